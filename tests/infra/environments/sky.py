"""An environment of this repository in a test: its file, in moto's account.

Knows the account and the passing of settings. Does not know what an environment holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.rigs.sky.cloud import ACCOUNT
from tests.rigs.sky.engine import Engine, Project
from tests.rigs.sky.fixtures import Start

SMALL: Mapping[str, Any] = {
    "ems:accounts": [ACCOUNT],
    "ems:home": "us-west-2",
    "ems:sites": {
        "oregon": {
            "region": "us-west-2",
            "cidr": "10.16.0.0/16",
            "zones": ["usw2-az1"],
            "batch": {"queues": [{"type": "c7i.xlarge", "max_vcpus": 16}], "general": None},
        }
    },
}
"""The least that is of use: one site in one zone with one queue."""
REGIONS = ("us-west-2", "us-east-1", "eu-west-1")


def environment(engine: Start, name: str) -> Engine:
    """Return an engine on an environment's own file, with moto's account in it."""
    sky = engine(Project.repository(), stack=name)
    with sky.settings() as settings:
        settings["ems:accounts"] = [ACCOUNT]
    return sky


def small(engine: Start, name: str = "small", **changed: Any) -> Engine:
    """Return an engine on a small environment; `changed` are keys of its one site."""
    sky = engine(Project.repository(), stack=name)
    with sky.settings() as settings:
        settings.clear()
        settings.update(SMALL)
        settings["ems:sites"] = {"oregon": {**SMALL["ems:sites"]["oregon"], **changed}}
    return sky
