"""Figure 10b of the paper: train in one cloud, evaluate in a network, deploy to a robot in another.

The pipeline is that of docs/how-to/two-clouds.md. The cloud is Batch over moto; the two networks
are namespaces with an ssh server each, which reach neither each other nor the cloud.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ems.stack.reading import plain
from tests.compute.batch.cloud import IMAGE, Cloud, cloud_of_its_own, towards
from tests.docs.pages import File, steps
from tests.e2e.lab import Lab
from tests.rigs import rig
from tests.rigs.sshd import Host

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/two-clouds.md"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud_of_its_own(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Host]]:
    folder = tmp_path_factory.mktemp("networks")
    with Host(folder / "vpc1") as vpc1, Host(folder / "robot") as robot:
        yield {"vpc1": vpc1, "robot": robot}


def _targets(hosts: dict[str, Host]) -> str:
    targets = {
        "cloud": {"batch": "oregon/cpus", "image": IMAGE, "python": sys.executable},
        **{name: {"ssh": host.name, "options": host.options} for name, host in hosts.items()},
    }
    return json.dumps({"stack": "sky.json", "targets": targets})


@rig("sshd")
def test_the_best_policy_comes_to_the_robot(
    lab: Lab, cloud: Cloud, hosts: dict[str, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    towards(cloud.address, monkeypatch)
    files = {each.path: each.text for each in steps(PAGE.read_text()) if isinstance(each, File)}
    lab.write("pipeline.py", files["pipeline.py"])
    lab.write(".ems.yaml", _targets(hosts))
    (lab.root / "sky.json").write_bytes(msgspec.json.encode(plain(cloud.outputs)))

    ran = lab.run()
    path, rewards = ran.result
    policy = hosts["robot"].home / "policy.json"
    assert path == str(policy)
    assert json.loads(policy.read_text())["size"] == (1, 4, 16)[rewards.index(max(rewards))]
    assert not (hosts["vpc1"].home / "policy.json").exists()
    with lab.store() as store:
        records = store.records(ran.versions.values()).values()
    places = {record.task: record.place.partition(":")[0] for record in records}
    assert places == {"train": "cloud", "evaluate": "vpc1", "best": "local", "deploy": "robot"}

    policy.unlink()
    assert lab.run().ran == []  # deployed is deployed
    judged = lab.run("-p", "goals=100").ran
    assert {label.partition("[")[0] for label in judged} == {"evaluate", "best"}

    hosts["robot"].cut()
    try:
        lab.edit(
            "pipeline.py",
            (
                'place = pathlib.Path.home() / "policy.json"',
                'place = pathlib.Path.home() / "next.json"',
            ),
        )
        process = lab.start("run", "pipeline.py")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
    finally:
        hosts["robot"].mend()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (hosts["robot"].home / "next.json").exists()
