"""Jobs of a host: started once, in turn, held to what they may use, ended when asked, never lost
without a word. The host is this machine; what a link adds is in test_over_ssh."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ems.compute.hosts.scheduler import Limits
from ems.compute.job import JobState, Reason
from ems.compute.remote.order import Refused
from tests.compute.hosts.places import Desk
from tests.rigs import OLDEST, interpreter, rig

TWO = Limits(2, 4.0, ("0", "5"))
Make = Callable[..., Desk]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make desks for one folder; their jobs are ended with the test."""
    made: list[Desk] = []

    def one(limits: Limits = TWO, python: str = "python3") -> Desk:
        made.append(Desk(tmp_path / "place", limits, python))
        return made[-1]

    yield one
    jobs = tmp_path / "place" / "jobs"
    made[0].scheduler.stop([path.name for path in jobs.iterdir()] if jobs.exists() else [], 0)
    for desk in made:
        desk.site.close()


ENDS: tuple[tuple[str, JobState, Reason | None, int | None, int | None], ...] = (
    ("exit 0", JobState.SUCCEEDED, None, 0, None),
    ("exit 100", JobState.FAILED, Reason.EXIT, 100, None),
    ("exit 101", JobState.FAILED, Reason.PREEMPTED, 101, None),
    ("exit 103", JobState.CANCELED, Reason.CANCELED, 103, None),
    ("echo no such thing; exit 7", JobState.FAILED, Reason.WORKER, 7, None),
    ("kill -9 $$", JobState.FAILED, Reason.SIGNAL, None, 9),
)


def test_how_it_ended(make: Make) -> None:
    desk = make()
    ids = [desk.start(f"n{n}", end[0]) for n, end in enumerate(ENDS)]
    natives = desk.ended(*ids)
    for (script, *expected), native in zip(ENDS, natives, strict=True):
        assert [*native[:2], native.exit_code, native.signal] == expected, script
    assert natives[4].detail == "the worker ended with exit code 7: no such thing"


@rig("python-oldest")
def test_on_the_oldest_python(make: Make) -> None:
    desk = make(python=str(interpreter(OLDEST)))
    first = desk.start("a", "echo said; sleep 30")
    desk.running(first)
    desk.scheduler.stop([first], 5)
    (native,) = desk.ended(first)
    assert native.state is JobState.CANCELED
    assert desk.output(first) == "said\n"


def test_started_many_times_runs_once(make: Make) -> None:
    desks = [make() for _ in range(4)]
    order = desks[0].order("a", "echo x >>count; sleep 0.3")
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(lambda desk: desk.scheduler.start([order, order]), desks))
    assert said == [[None, None]] * 4
    desks[0].ended(order.id)
    assert desks[1].scheduler.start([order]) == [None]
    time.sleep(0.2)
    assert (Path(order.folder) / "count").read_text() == "x\n"
    assert desks[2].look("ems-none", order.id).keys() == {order.id}


SPAN = "date +%s.%N >from; sleep 0.4; date +%s.%N >to"


def _spans(desk: Desk, ids: list[str]) -> list[tuple[float, float]]:
    folders = [desk.root / "jobs" / id for id in ids]
    return [(float((f / "from").read_text()), float((f / "to").read_text())) for f in folders]


def test_three_jobs_of_two_brokers_on_two_slots(make: Make) -> None:
    one, two = make(), make()
    ids = [desk.start(name, SPAN) for desk, name in ((one, "a"), (two, "b"), (one, "c"))]
    waiting = two.look(*ids)[ids[2]]
    assert waiting.state is JobState.SUBMITTED
    assert waiting.waiting == "waits for a slot of this machine"
    assert {each.state for each in one.ended(*ids)} == {JobState.SUCCEEDED}
    spans = _spans(one, ids)
    assert spans[2][0] >= min(spans[0][1], spans[1][1])
    assert spans[2][0] < max(spans[0][1], spans[1][1]) + 2


def test_first_come_first_served(make: Make) -> None:
    desk = make()
    ids = [desk.start("a", SPAN), desk.start("big", SPAN, cpus=1.5), desk.start("b", SPAN)]
    assert desk.look(*ids)[ids[2]].waiting.endswith("behind 1 other job")
    desk.ended(*ids)
    first, big, last = _spans(desk, ids)
    assert big[0] >= first[1]
    assert last[0] >= big[1]


def test_gpus_and_memory_are_counted(make: Make) -> None:
    desk = make()
    show = 'echo "$CUDA_VISIBLE_DEVICES"; sleep 0.5'
    ids = [desk.start(f"gpu{n}", show, gpus=1, cpus=0.5) for n in range(2)]
    third = desk.start("gpu2", "echo $CUDA_VISIBLE_DEVICES", gpus=2)
    desk.until(lambda: all(desk.output(id) for id in ids))
    assert {desk.output(id) for id in ids} == {"0\n", "5\n"}
    desk.ended(third)
    assert desk.output(third) == "0,5\n"
    one = desk.start("much", SPAN, memory="3GiB")
    two = desk.start("more", SPAN, memory="2GiB")
    desk.ended(one, two)
    spans = _spans(desk, [one, two])
    assert spans[1][0] >= spans[0][1]


def test_who_waits_for_a_gpu_holds_up_nobody(make: Make) -> None:
    desk = make()
    both = desk.start("both", "sleep 30", gpus=2)
    desk.running(both)
    waits = desk.start("waits", "true", gpus=1)
    none = desk.start("none", 'echo "[$CUDA_VISIBLE_DEVICES]"')
    desk.ended(none)
    assert desk.output(none) == "[]\n"
    assert desk.look(waits)[waits].state is JobState.SUBMITTED


def test_what_can_never_run_is_refused(make: Make) -> None:
    desk = make()
    orders = [
        desk.order("a", "true", cpus=3),
        desk.order("b", "true", memory="5GiB"),
        desk.order("c", "true", gpus=1, gpu_kind="abacus"),
        desk.order("d", "true"),
    ]
    said = desk.scheduler.start(orders)
    assert said == [
        Refused(Reason.IMPOSSIBLE, "needs 3 CPUs, and jobs may use 2 on this host"),
        Refused(Reason.IMPOSSIBLE, "needs 5 GiB of memory, and jobs may use 4 on this host"),
        Refused(Reason.IMPOSSIBLE, "needs 1 GPUs abacus, and jobs may use 0 on this host"),
        None,
    ]
    assert desk.look("ems-a").keys() == set()


def test_room_is_what_nobody_holds(make: Make) -> None:
    desk = make()
    assert desk.scheduler.room()[:3] == (2, 2, 2)
    held = desk.start("a", "sleep 30", gpus=1)
    desk.running(held)
    assert desk.scheduler.room()[:3] == (1, 2, 1)
    assert "1 of 2 slots, 1 of 2 GPUs in use" in desk.scheduler.version()
    desk.scheduler.stop([held], 0)
    desk.ended(held)
    desk.until(lambda: desk.scheduler.room()[:3] == (2, 2, 2))


def test_stop_while_it_waits_and_while_it_runs(make: Make) -> None:
    desk = make()
    runs = desk.start("runs", "trap 'echo asked; exit 103' TERM; sleep 30 & wait", cpus=2)
    waits = desk.start("waits", "echo ran")
    desk.running(runs)
    began = time.monotonic()
    desk.scheduler.stop([waits], 30)
    (native,) = desk.ended(waits)
    assert native[:3] == (JobState.CANCELED, Reason.CANCELED, "was canceled before it started")
    desk.scheduler.stop([runs, waits, "ems-none"], 30)
    (native,) = desk.ended(runs)
    assert native[:2] == (JobState.CANCELED, Reason.CANCELED)
    assert time.monotonic() - began < 25
    assert (desk.output(runs), desk.output(waits)) == ("asked\n", "")


def test_stop_of_what_does_not_listen_ends_all_of_it(make: Make, tmp_path: Path) -> None:
    desk = make()
    script = f"""
        trap '' TERM
        setsid sh -c 'trap "" TERM; echo $$ >{tmp_path}/far; sleep 30; true' &
        sleep 30; sleep 30
    """
    deaf = desk.start("deaf", script)
    desk.until(lambda: (tmp_path / "far").exists() and (tmp_path / "far").read_text() != "")
    began = time.monotonic()
    desk.scheduler.stop([deaf], 0.5)
    desk.site.close()  # it holds with nobody watching
    other = make()
    (native,) = other.ended(deaf)
    assert native[:2] == (JobState.CANCELED, Reason.CANCELED)
    assert 0.4 < time.monotonic() - began < 25
    assert not _lives(int((tmp_path / "far").read_text()))


def test_a_limit_of_time_holds_with_nobody_watching(make: Make) -> None:
    desk = make()
    slow = desk.start("slow", "trap '' TERM; sleep 30; sleep 30", wall_s=0.3)
    desk.site.close()
    (native,) = make().ended(slow)
    assert native[:2] == (JobState.FAILED, Reason.TIMED_OUT)


def test_what_a_job_left_behind_ends_with_it(make: Make, tmp_path: Path) -> None:
    desk = make()
    left = desk.start("left", f"setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 30' & sleep 0.3")
    assert desk.ended(left)[0].state is JobState.SUCCEEDED
    assert not _lives(int((tmp_path / "pid").read_text()))


def test_a_supervisor_that_is_killed(make: Make) -> None:
    desk = make()
    held = desk.start("a", "trap 'echo asked; exit 101' TERM; sleep 30 & wait")
    desk.running(held)
    os.kill(_pid(desk, held, "supervisor"), signal.SIGKILL)
    (native,) = desk.ended(held)
    assert native[:2] == (JobState.FAILED, Reason.LOST)
    assert native.detail == "what looked after it on the host was killed"
    assert desk.output(held) == "asked\n"
    assert desk.scheduler.room().free == 2
    assert desk.scheduler.start([desk.order("a", "echo again")]) == [None]
    assert desk.look(held)[held].state is JobState.FAILED


def test_a_number_that_another_process_has_now_is_not_it(make: Make) -> None:
    desk = make()
    held = desk.start("a", "true")
    desk.ended(held)
    folder = desk.root / "jobs" / held
    (folder / "exit").unlink()
    made = json.loads((folder / "pid").read_text())
    made["supervisor"][0] = made["worker"][0] = os.getpid()
    (folder / "pid").write_text(json.dumps(made))
    assert desk.look(held)[held].reason is Reason.LOST
    made["supervisor"] = [os.getpid(), _ticks(os.getpid())]
    (folder / "pid").write_text(json.dumps(made))
    assert desk.look(held)[held].state is JobState.RUNNING
    made["boot"] = "another"
    (folder / "pid").write_text(json.dumps(made))
    native = desk.look(held)[held]
    assert native[:3] == (JobState.FAILED, Reason.LOST, "the host was restarted while it ran")


def test_secrets_are_resolved_there_and_lie_in_no_file(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".profile").write_text("echo hello; export OF_LOGIN=hush-login\n")
    (home / "key").write_text("hush-key\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OF_HOST", "hush-host")
    desk = make()
    secrets = {"A": "env:OF_LOGIN", "B": "env:OF_HOST", "C": "file:~/key"}
    script = 'test "$A$B$C" = hush-loginhush-hosthush-key && echo right; sleep 0.3'
    held = desk.start("a", script.replace("hush-", "''hu''sh-"), secrets=secrets)
    desk.running(held)
    assert _files_with(desk.root, b"hush-") == []
    assert desk.ended(held)[0].state is JobState.SUCCEEDED
    assert desk.output(held) == "right\n"
    assert _files_with(desk.root, b"hush-") == []
    for name, reference, problem in (
        ("b", "env:NOT_SET", "'env:NOT_SET' is not set on the host"),
        ("c", "file:/none", "'file:/none' can't be read"),
        ("d", "vault:x", "'vault:x' is no reference"),
    ):
        (native,) = desk.ended(desk.start(name, "echo ran", secrets={"T": reference}))
        assert native[:2] == (JobState.FAILED, Reason.ENVIRONMENT)
        assert native.detail.startswith(f"secret T: {problem}")


def _files_with(root: Path, text: bytes) -> list[Path]:
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) > 4
    return [path for path in files if text in path.read_bytes()]


@rig("modules")
def test_modules_are_loaded_by_a_login_shell(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "modules" / "tool").mkdir(parents=True)
    (home / "modules/tool/1.2").write_text("#%Module\nsetenv TOOL one-two\n")
    init = "/usr/share/modules/init"
    profile = (
        f". {init}/$(basename $0 | tr -d -) 2>/dev/null || . {init}/sh\nmodule use $HOME/modules\n"
    )
    (home / ".profile").write_text(profile)
    monkeypatch.setenv("HOME", str(home))
    desk = make()
    for name, module in (("a", "tool/1.2"), ("b", "tool")):
        held = desk.start(name, "echo $TOOL", modules=(module,))
        assert desk.ended(held)[0].state is JobState.SUCCEEDED, desk.output(held)
        assert desk.output(held) == "one-two\n"
    held = desk.start("c", "echo ran", modules=("tool/1.2", "nothing/7"))
    (native,) = desk.ended(held)
    assert native[:2] == (JobState.FAILED, Reason.ENVIRONMENT)
    assert native.detail.startswith("module load tool/1.2, nothing/7")
    assert "nothing/7" in desk.output(held)
    assert "ran" not in desk.output(held)


def test_a_hundred_jobs_in_one_request(make: Make) -> None:
    desk = make(Limits(4, 4.0, 0))
    orders = [
        desk.order(f"n{n:03}", f"echo {n}; date +%s.%N >from; date +%s.%N >to") for n in range(100)
    ]
    assert desk.scheduler.start(orders) == [None] * 100
    ids = [order.id for order in orders]
    assert len(desk.look(*ids)) == 100
    assert {each.state for each in desk.ended(*ids, timeout_s=60)} == {JobState.SUCCEEDED}
    assert [desk.output(id) for id in ids] == [f"{n}\n" for n in range(100)]


def _pid(desk: Desk, id: str, who: str) -> int:
    return json.loads((desk.root / "jobs" / id / "pid").read_text())[who][0]


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
