"""Nothing is started twice and nothing is lost: submissions cut off, a controller that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ems.compute.job import Handle, JobState, Reason, Resources
from ems.compute.kinds import Setting
from ems.compute.remote.desk import DeskSite, Near
from ems.compute.remote.environments import Given
from ems.compute.remote.link import PATIENCE_S, Done, Here
from ems.compute.remote.order import Order, Unreachable
from ems.compute.remote.spool import SpoolBackend
from ems.compute.slurm.kind import KIND, Settings
from ems.compute.slurm.scheduler import SlurmScheduler
from ems.errors import UsageError
from tests.compute.slurm.conftest import PYTHON, Cluster, Places
from tests.compute.slurm.orders import order, ran, until_ended
from tests.contract.place import Kept
from tests.rigs import rig
from tests.rigs.slurm import Slurm

pytestmark = rig("slurm")


class Broken(Here):
    """A link that breaks once: before or after the command that hands jobs over."""

    def __init__(self, variables: dict[str, str], after: bool) -> None:
        super().__init__(variables)
        self.after = after
        self.broken = False

    def run(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = PATIENCE_S) -> Done:
        if self.broken or b"#!/bin/bash" not in stdin:
            return super().run(argv, stdin, timeout_s)
        self.broken = True
        if self.after:
            super().run(argv, stdin, timeout_s)
        raise Unreachable("link", "is broken")


@pytest.mark.parametrize("after", [False, True])
def test_a_link_that_breaks_at_the_submission(place: Cluster, after: bool) -> None:
    orders = [order(place, n) for n in range(3)]
    scheduler = SlurmScheduler(Broken(place.variables, after), str(place.root))
    with pytest.raises(Unreachable):
        scheduler.start(orders)
    assert scheduler.start(orders) == [None] * 3
    assert place.scheduler().start(orders) == [None] * 3
    until_ended(scheduler, orders)
    assert ran(orders) == [1, 1, 1]
    assert len({place.job_of(each.id).partition("_")[0] for each in orders}) == 1


def test_two_processes_hand_over_the_same_at_once(place: Cluster) -> None:
    orders = [order(place, n) for n in range(4)]
    unreachable: list[Unreachable] = []

    def hand_over() -> None:
        try:
            place.scheduler().start(orders)
        except Unreachable as error:
            unreachable.append(error)

    threads = [threading.Thread(target=hand_over) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(unreachable) <= 2
    scheduler = place.scheduler()
    assert scheduler.start(orders) == [None] * 4
    until_ended(scheduler, orders)
    assert ran(orders) == [1] * 4


def test_killed_before_sbatch_answers(place: Cluster) -> None:
    """The name stands in the folder, the id does not: the queue is asked by name."""
    one, other = order(place, 1), order(place, 2)
    first = place.scheduler()
    assert first.start([one]) == [None]
    record = Path(one.folder) / "ems-native"
    name = record.read_text().splitlines()[0]
    (Path(one.folder) / "ems-started").unlink(missing_ok=True)
    record.write_text(f"{name}\n")
    (Path(other.folder) / "ems-native").write_text("count.0123456789ab 0\n")  # never came there
    second = place.scheduler()
    assert second.start([one, other]) == [None, None]
    until_ended(second, [other])
    time.sleep(1)
    assert ran([one, other]) == [1, 1]


def test_a_duplicate_in_slurm_does_nothing(place: Cluster) -> None:
    """Where Slurm could not say that it has a job, it is handed over again; one of the two runs."""
    one = order(place, 1, "echo run >>ran; sleep 2")
    assert place.scheduler().start([one]) == [None]
    deadline = time.monotonic() + 20
    while not (Path(one.folder) / "ran").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    native = Path(one.folder) / "ems-native"
    kept = native.read_text()
    native.unlink()
    second = place.scheduler()
    assert second.start([one]) == [None]
    assert native.read_text() != kept
    until_ended(second, [one])
    assert ran([one]) == [1]


def test_what_slurm_has_forgotten_stands_in_the_folder(
    place_at: Places, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Slurm(tmp_path_factory.mktemp("slurm"), min_job_age=2) as slurm:
        place = place_at(slurm)
        orders = [
            order(place, 1, "exit 0"),
            order(place, 2, "echo >events.jsonl; exit 3"),
            order(place, 3, "kill $$"),
        ]
        scheduler = place.scheduler()
        scheduler.start(orders)
        until_ended(scheduler, orders)
        deadline = time.monotonic() + 60
        while slurm.run("squeue", "-h", "-t", "all"):
            assert time.monotonic() < deadline
            slurm.run("scontrol", "reconfigure")
            time.sleep(1)
        found = place.scheduler().look([each.id for each in orders])
    states = [(n.state, n.reason, n.exit_code, n.signal) for n in map(found.get, _ids(orders)) if n]
    assert states == [
        (JobState.SUCCEEDED, None, 0, None),
        (JobState.FAILED, Reason.EXIT, 3, None),
        (JobState.FAILED, Reason.SIGNAL, None, 15),
    ]


def _ids(orders: Sequence[Order]) -> list[str]:
    return [each.id for each in orders]


SLEEP = "import time\ndef f(s):\n    print('on', flush=True)\n    time.sleep(s)\n    return s\n"


def test_a_controller_that_is_away(
    place_at: Places, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Running jobs go on, nothing is decided, what is submitted meanwhile starts after it."""
    with Slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        place = place_at(slurm)
        first = place.submit(place.parcel(SLEEP, [("f", {"s": 3})]))
        place.until(lambda: b"on" in place.log(first))
        slurm.stop_controller()
        second = place.submit(place.parcel(SLEEP, [("f", {"s": 0})]))
        place.until(lambda: "contact slurm controller" in place.opened[0].waiting(second))
        assert place.status(first).state is JobState.RUNNING
        assert place.status(second).state is JobState.SUBMITTED
        time.sleep(1)
        slurm.start_controller()
        for handle in (first, second):
            assert place.finish(handle, 40).state is JobState.SUCCEEDED
            assert len(place.ends(handle)) == 1
        place.leave()


def test_a_handle_of_somebody_else(place: Cluster) -> None:
    handle = Handle("cluster", "ems-" + "7" * 32, "", 1.0)
    status = place.finish(handle)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.LOST)


def test_with_files_at_the_end_of_a_link(place: Cluster) -> None:
    """What a login node by ssh has: its files come and go through a session there."""
    site = DeskSite(Near(place.variables), str(place.root), PYTHON)
    objects, cache = Kept(place.objects), place.folder / "cache"
    backend = SpoolBackend(
        "cluster", site, place.scheduler(), objects, cache, environments=Given(PYTHON), poll_s=0.2
    )
    place.opened.append(backend)
    place.backend = backend
    handle = place.submit(place.parcel(SLEEP, [("f", {"s": 0.5})]))
    assert place.finish(handle).state is JobState.SUCCEEDED
    assert (place.ends(handle)[0]["out"], place.log(handle)) == (0.5, b"on\n")
    backend.forget([handle])
    place.until(lambda: not (place.root / "jobs" / handle.native).exists())


def test_room_and_version(place: Cluster) -> None:
    scheduler = place.scheduler()
    assert scheduler.version().startswith("slurm 2")
    room = place.scheduler().room()
    assert (room.free, room.total, room.gpus) == (8, 8, 0)
    big = place.scheduler(partition="big").room()
    assert (big.free, big.total, big.gpus) == (4, 4, 2)
    nodes = f"{place.slurm.node}[1-2]"
    place.slurm.run("scontrol", "update", f"nodename={nodes}", "state=drain", "reason=new disks")
    try:
        room = place.scheduler().room()
        assert (room.free, "2 drained (new disks)" in room.why) == (0, True)
        handle = place.submit(
            place.parcel(SLEEP, [("f", {"s": 0})]), resources=Resources.of(cpus=1)
        )
        place.until(lambda: "down, drained or reserved" in place.opened[0].waiting(handle), 60)
        assert place.status(handle).state is JobState.SUBMITTED
    finally:
        place.slurm.run("scontrol", "update", f"nodename={nodes}", "state=resume")
    assert place.finish(handle, 40).state is JobState.SUCCEEDED


# -- the kind -----------------------------------------------------------------------------------


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(Kept(tmp_path / "objects"), tmp_path / "cache", lambda _: None, tmp_path)


def test_a_target_of_the_kind(
    place: Cluster, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", place.variables["SLURM_CONF"])
    settings = Settings("here", "shared", partition="big", python=PYTHON)
    (finding,) = KIND.check("lab", settings, setting)
    assert finding.ready
    assert finding.what.startswith("slurm 2") and "1 nodes, 0 of 4 CPUs in use" in finding.what
    (backend,) = KIND.open("lab", settings, setting)
    place.opened.append(backend)
    place.backend = backend
    place.objects = setting.base / "objects"
    handle = place.submit(place.parcel("def f(): return 1", [("f", {})]))
    assert place.finish(handle).state is JobState.SUCCEEDED
    assert (setting.base / "shared" / "jobs" / handle.native).is_dir()
    assert backend.capabilities.targets == ("lab",)


def test_findings_of_a_target_that_is_not_ready(
    place: Cluster, setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_CONF", place.variables["SLURM_CONF"])
    blocked = tmp_path / "file"
    blocked.touch()
    for settings, said in (
        (Settings("here", "shared", partition="gpu"), "there is no partition 'gpu'"),
        (Settings("here", str(blocked)), "can't be written on this machine"),
        (Settings("login.lab", "relative"), "an absolute path that login and compute nodes share"),
    ):
        (finding,) = KIND.check("lab", settings, setting)
        assert (finding.ready, said in finding.what) == (False, True), finding
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = KIND.check("lab", Settings("here", "shared"), setting)
    assert "is not installed on this machine" in finding.what


@pytest.mark.parametrize(
    ("key", "word", "said"),
    [
        ("options", "--time=3", "EMS sets --time itself"),
        ("options", "-N2", "EMS sets --nodes itself"),
        ("options", "-pgpu", "has a key of its own"),
        ("options", "gpu", "is no option"),
        ("preemptible", "--array=0-3", "EMS sets --array itself"),
    ],
)
def test_options_that_can_not_be(setting: Setting, key: str, word: str, said: str) -> None:
    settings = Settings("here", "shared", **{key: (word,)})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=said):
        KIND.open("lab", settings, setting)
