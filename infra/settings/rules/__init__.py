"""The rules between settings: what fits by itself may still not fit together.

Every rule is pure and yields all its faults. What only AWS can say is asked by `infra/preflight`.
"""

from __future__ import annotations

from infra.settings.fault import Fault
from infra.settings.rules import clusters, labs, networks, queues, whole
from infra.settings.types import Environment

__all__ = ["check", "warnings"]


def check(
    settings: Environment, environment: str, hidden: frozenset[str] = frozenset()
) -> list[Fault]:
    """Return all faults of an environment, errors and warnings.

    `hidden` names sites that are in the file and could not be read: labs may name them.
    """
    return [
        *whole.faults(settings, environment),
        *networks.faults(settings),
        *labs.faults(settings, hidden),
        *queues.faults(settings),
        *clusters.faults(settings),
    ]


def warnings(settings: Environment) -> list[Fault]:
    """Return what may be meant and is probably not."""
    return [fault for fault in check(settings, "any") if fault.level == "warning"]
