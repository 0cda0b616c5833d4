"""The environments of this repository are good, and are what their first line says."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import rules
from infra.settings.reading import read_file
from infra.settings.types import Environment

STACKS = Path(__file__).resolve().parents[3] / "stacks"
NAMES = ["dev", "paper", "prod", "sandbox", "staging"]


def settings(name: str) -> Environment:
    return read_file(STACKS / f"Pulumi.{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_each_is_good(name: str) -> None:
    assert rules.warnings(settings(name)) == []


@pytest.mark.parametrize("name", ["dev", "staging"])
def test_nothing_that_costs_while_nothing_runs(name: str) -> None:
    (site,) = settings(name).sites.values()
    assert site.nat == "none"
    assert (site.endpoints, site.flow_logs, site.kubernetes) == ((), False, None)
    assert (site.storage.throughput, site.storage.backup) == ("bursting", False)
    assert not settings(name).labs


def test_staging_is_devs_twin() -> None:
    (dev,), (staging,) = settings("dev").sites.items(), settings("staging").sites.items()
    assert dev[0] == staging[0]
    same = ("region", "zones", "nat", "batch", "kubernetes", "sagemaker", "storage", "images")
    assert all(getattr(dev[1], key) == getattr(staging[1], key) for key in same)


def test_prod() -> None:
    prod = settings("prod")
    assert prod.protect
    assert [len(site.zones) for site in prod.sites.values()] == [3, 3, 3]
    assert len({site.region for site in prod.sites.values()}) == 3
    assert all(site.storage.backup and site.nat != "none" for site in prod.sites.values())
    assert prod.sites["oregon"].kubernetes
    assert prod.budget


def test_paper() -> None:
    paper = settings("paper")
    assert list(paper.sites) == ["batch", "kubernetes", "ray", "robot"]
    (lab,) = paper.labs.values()
    assert lab.sites == tuple(paper.sites)


def test_sandbox() -> None:
    sandbox = settings("sandbox")
    assert sandbox.accounts == ("123456789012",)
    assert len(sandbox.sites) == 2
    assert len(sandbox.labs) == 1
