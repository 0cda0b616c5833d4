"""A fleet of rollout pods and its learner: the job of docs/how-to/rollout-fleet.md on real pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.compute.kubernetes import lab as pods
from tests.docs.pages import File, steps
from tests.e2e.lab import Lab
from tests.rigs import rig
from tests.rigs.kubernetes.cluster import Cluster

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/rollout-fleet.md"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pods.running(tmp_path_factory.mktemp("k")) as made:
        yield made


@pytest.fixture
def fleet(cluster: Cluster, lab: Lab) -> Iterator[pods.Lab]:
    made = pods.Lab(cluster, lab.root)
    for each in steps(PAGE.read_text()):
        if isinstance(each, File):
            lab.write(each.path, each.text)
    keys = msgspec.to_builtins(made.settings())
    desk = {"ssh": "here", "folder": "desk", "slots": 2}
    lab.write(".ems.yaml", json.dumps({"targets": {"fleet": keys, "desk": desk}}))
    yield made
    made.close()


@rig("kubernetes")
def test_the_fleet_collects_until_the_learner_has_enough(fleet: pods.Lab, lab: Lab) -> None:
    process = lab.start("job", "submit", "fleet.yaml", "--get", "got")
    limits: list[Any] = []

    def seen() -> bool:
        everything = fleet.cluster.api.list("v1", "Pod", fleet.namespace)
        limits[:] = [each["spec"]["containers"][0]["resources"] for each in everything]
        return len(limits) == 4 or process.poll() is not None

    pods.until(seen, 60)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, (out, err)
    asked = {"cpu": "250m", "memory": "64Mi"}
    assert limits == [{"requests": asked, "limits": {"cpu": "1", "memory": "256Mi"}}] * 4
    returns = json.loads((lab.root / "got/learner-0/returns.json").read_text())
    assert sorted(returns) == ["0", "1", "2", "3"]
    assert all(len(each) >= 50 for each in returns.values())
    assert len({each[0] for each in returns.values()}) == 4  # seeds of their own
    (told,) = lab.emsctl("job", "status", "gym", "-o", "json").json
    places = {each["name"]: (each["state"], each["place"]) for each in told["members"]}
    rollouts = {f"rollout-{nth}": ("succeeded", "fleet") for nth in range(4)}
    assert places == {**rollouts, "learner-0": ("succeeded", "desk")}
