"""What gc asks of places: which environments nobody has used for long, and to remove them.

Knows targets whose kind makes environments. Does not know stores nor runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ems.compute.environments.front import Front
from ems.compute.kinds import Setting
from ems.errors import EmsError


@dataclass(frozen=True)
class Tidied:
    """What there is at one place: environments that stay, those that go, and what they take.

    `problem` says why nothing is known of it.
    """

    place: str
    kept: int = 0
    gone: int = 0
    bytes: int = 0
    problem: str = ""


@runtime_checkable
class Tidy(Protocol):
    """A kind of place (`ems.compute.kinds.Kind`) that makes environments."""

    def tidy(
        self, name: str, settings: Any, setting: Setting, older_s: float, *, remove: bool
    ) -> Sequence[Tidied]:
        """Look for environments that nobody used for so long, at each place of a target.

        They are removed where that is asked for. One in use, or named by a job that has not ended,
        stays. A place that can't be asked is a `problem`; nothing is raised for it.
        """
        ...


def tidy(place: str, front: Front, older_s: float, *, remove: bool) -> Tidied:
    """Ask one place; see `Tidy`."""
    try:
        said = front.ask({"do": "tidy", "older_s": older_s, "remove": remove})
    except EmsError as error:
        return Tidied(place, problem=str(error))
    going = said["going"]
    number = sum(not each["key"].startswith(".") for each in going)
    return Tidied(place, said["kept"], number, sum(each["bytes"] for each in going))
