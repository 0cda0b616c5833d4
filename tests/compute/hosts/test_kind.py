"""Targets of kind `ssh`: their keys, their names, what a check of them says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.compute.hosts.kind import KIND, Hosts
from ems.compute.job import JobState
from ems.compute.kinds import Setting, kinds
from ems.errors import UsageError
from tests.contract.place import Kept, Place
from tests.rigs import rig
from tests.rigs.sshd import Host


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(Kept(tmp_path / "objects"), tmp_path / "cache", lambda _: None, tmp_path)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("kind") / "host") as made:
        yield made


def _hosts(**keys: Any) -> Hosts:
    return msgspec.convert(keys, KIND.settings)


def _names(setting: Setting, **keys: Any) -> list[str]:
    backends = KIND.open("robots", _hosts(**keys), setting)
    for each in backends:
        each.close()
    return [each.name for each in backends]


def test_it_is_found_by_its_word() -> None:
    assert KIND.word == "ssh"
    if "ssh" in kinds():
        assert kinds()["ssh"]() is KIND


def test_each_host_is_a_place(setting: Setting) -> None:
    assert _names(setting, ssh="pi@robot1") == ["robots"]
    assert _names(setting, ssh=["pi@robot1", "robot2"]) == ["robots/robot1", "robots/robot2"]
    same = ["pi@robot", "root@robot"]
    assert _names(setting, ssh=same) == ["robots/pi@robot", "robots/root@robot"]
    (first, _) = KIND.open("robots", _hosts(ssh=["a", "b"]), setting)
    assert first.capabilities.targets == ("robots", "robots/a")
    assert first.capabilities.durable
    assert first.capabilities.gpus
    assert first.capabilities.modules
    assert not first.capabilities.push
    first.close()
    _.close()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"ssh": []}, "targets: robots: ssh: names no host"),
        ({"ssh": "-oProxyCommand=x"}, "targets: robots: ssh: '-oProxyCommand=x' is no host"),
        ({"ssh": ["a", "a"]}, "targets: robots: ssh: 'a' stands there twice"),
        ({"ssh": "a", "slots": 0}, "targets: robots: slots: 0 is too few"),
        ({"ssh": "a", "gpus": -1}, "targets: robots: gpus: -1 is too few"),
        ({"ssh": "a", "memory": "much"}, "targets: robots: memory: 'much' is no amount"),
    ],
)
def test_settings_that_can_not_be(setting: Setting, keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        KIND.open("robots", _hosts(**keys), setting)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("keys", [{"ssh": "a", "slot": 1}, {"slots": 1}, {"ssh": 1}])
def test_keys_that_are_not_known(keys: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        _hosts(**keys)


def test_this_machine_as_a_durable_place(setting: Setting, tmp_path: Path) -> None:
    hosts = _hosts(ssh="here", folder=str(tmp_path / "place"), slots=3, gpus=[0, 2], memory="2GiB")
    (found,) = KIND.check("desk", hosts, setting)
    assert found.ready
    assert found.place == "desk"
    assert found.what.startswith("Python 3.")
    assert ", 0 of 3 slots, 0 of 2 GPUs in use, " in found.what
    assert found.what.endswith(" GiB of disk free")
    (backend,) = KIND.open("desk", hosts, setting)
    place = Place(backend, tmp_path)
    handle = place.submit(place.parcel("def f(): return 7", [("f", {})]))
    assert place.finish(handle, 40).state is JobState.SUCCEEDED
    assert [end["out"] for end in place.ends(handle)] == [7]
    backend.close()


@rig("sshd")
def test_a_check_says_which_hosts_answer(host: Host, setting: Setting) -> None:
    hosts = _hosts(ssh=["robot", "127.0.0.1"], options=[*host.options, "ConnectTimeout=2"], slots=2)
    ready, other = KIND.check("robots", hosts, setting)
    assert (ready.place, ready.ready) == ("robots/robot", True)
    assert "0 of 2 slots" in ready.what
    assert (other.place, other.ready) == ("robots/127.0.0.1", False)
    assert "127.0.0.1: its host key is not known here" in other.what
    assert other.next_step.startswith("ssh 127.0.0.1, or ssh-keyscan 127.0.0.1 >>")
    bare = _hosts(ssh="robot", options=host.options, python="python-none")
    (found,) = KIND.check("robots", bare, setting)
    assert not found.ready
    assert found.what == "python-none on robot: there is no such command"
    assert found.next_step.startswith("python: PATH")
