"""Gangs on real backends: members that meet and talk over TCP, and end together whoever watches."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ems.compute.job import JobState, Reason
from ems.errors import UsageError
from ems.jobs.jobs import Jobs
from ems.jobs.types import Changed, JobHandle, JobInfo, Wrote
from tests.jobs.places import durable, local, queueing

LEARNER = """
import os, socket, ems
own = ems.peers()[int(os.environ["EMS_RANK"])]
with socket.create_server(("", own.port)) as server:
    said = []
    for _ in range(int(os.environ["EMS_SIZE"]) - 1):
        line, _ = server.accept()
        with line, line.makefile() as text:
            said.append(text.read())
print(*sorted(said), flush=True)
"""
ROBOT = """
import json, os, socket, time
with open(os.environ["EMS_PEERS"]) as stream:
    learner = json.load(stream)[0]
assert (learner["address"], str(learner["port"])) == (
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"])
for _ in range(200):
    try:
        with socket.create_connection((learner["address"], learner["port"])) as line:
            line.sendall("{EMS_ROLE}/{EMS_ROLE_RANK}/{RANK}/{WORLD_SIZE}".format_map(os.environ).encode())
        break
    except ConnectionRefusedError:
        time.sleep(0.05)
"""
FOREVER = "echo up; exec sleep 60"


@pytest.fixture(params=[local, durable], ids=["local", "durable"])
def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Jobs]:
    made: Jobs = request.param(tmp_path)
    yield made
    made.close()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Jobs]:
    made = durable(tmp_path)
    yield made
    made.close()


def role(name: str, command: str, **keys: Any) -> dict[str, Any]:
    words = ["sh", "-c", command] if "\n" not in command else [sys.executable, "-c", command]
    return {"name": name, "command": words, "resources": {"cpus": 0.5}, **keys}


def gang(*roles: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"name": "gang", "roles": list(roles), **keys}


def talk() -> dict[str, Any]:
    return gang(role("learner", LEARNER), role("robot", ROBOT, count=2))


TALKED = "robot/0/1/3 robot/1/2/3\n"


def end(jobs: Jobs, named: list[JobHandle] | list[str]) -> tuple[JobInfo, Counter[tuple[str, str]]]:
    """Watch to the end; return what became of a gang and what its members wrote."""
    wrote = Counter((e.member, e.text) for e in jobs.watch(named) if isinstance(e, Wrote))
    return jobs.status(named)[0], wrote


def states(info: JobInfo) -> dict[str, str]:
    return {member.name: member.state.value for member in info.members}


def until_running(jobs: Jobs, named: list[JobHandle]) -> None:
    for event in jobs.watch(named):
        if isinstance(event, Changed) and event.info.state is JobState.RUNNING:
            return
    raise AssertionError("it ended before it ran")


def test_members_meet_and_talk(jobs: Jobs) -> None:
    info, wrote = end(jobs, jobs.submit(talk()))
    assert info.state is JobState.SUCCEEDED, info
    assert wrote == {("learner-0", TALKED.strip()): 1}
    assert set(states(info).values()) == {"succeeded"} and len(info.members) == 3
    assert len({(m.address, m.port) for m in info.members}) == 3
    assert jobs.log(info) == f"learner-0 | {TALKED}".encode()


def test_one_that_fails_ends_the_others_and_is_named(jobs: Jobs) -> None:
    roles = role("learner", "sleep 0.3; exit 3"), role("robot", FOREVER, count=2)
    info, _ = end(jobs, jobs.submit(gang(*roles)))
    assert (info.state, info.reason, info.exit_code) == (JobState.FAILED, Reason.EXIT, 3)
    assert info.detail.startswith("learner-0: ") and "exit code 3" in info.detail
    assert states(info) == {"learner-0": "failed", "robot-0": "canceled", "robot-1": "canceled"}


def test_a_member_that_is_killed_ends_the_others(there: Jobs) -> None:
    kill = "sleep 0.2; kill -9 $$"
    info, _ = end(there, there.submit(gang(role("robot", FOREVER), role("learner", kill))))
    assert (info.reason, info.signal) == (Reason.SIGNAL, signal.SIGKILL)
    assert info.detail.startswith("learner-0: ") and states(info)["robot-0"] == "canceled"


def test_roles_that_end_the_gang(jobs: Jobs, tmp_path: Path) -> None:
    learner = role("learner", "echo $EMS_ROLE_RANK >m", count=2, ends=True, outputs={"model": "m"})
    handles = jobs.submit(gang(role("robot", FOREVER), learner))
    info, _ = end(jobs, handles)
    assert info.state is JobState.SUCCEEDED and set(states(info).values()) == {"succeeded"}
    assert info.members[0].detail == "was told to stop"
    assert sorted(info.outputs) == ["learner-0.model", "learner-1.model"]
    jobs.get(handles, tmp_path / "got")
    assert (tmp_path / "got/learner-1/m").read_text() == "1\n"


def test_tried_again_as_a_whole_with_its_checkpoints(there: Jobs) -> None:
    learner = "cat $EMS_CHECKPOINT/at; echo $EMS_GANG >>$EMS_CHECKPOINT/at; sleep 0.2; exit 3"
    retries = {"count": 1, "reasons": ["exit"]}
    wanted = gang(role("learner", learner), role("robot", FOREVER), retries=retries)
    info, wrote = end(there, there.submit(wanted))
    assert (info.attempt, info.exit_code) == (2, 3)
    assert wrote["robot-0", "up"] == 2
    first = [text for member, text in wrote if member == "learner-0" and len(text) == 32]
    assert len(first) == 1  # the second try has read what the first one left


def test_a_gang_that_does_not_assemble_is_let_go(tmp_path: Path) -> None:
    jobs = durable(tmp_path, queueing)
    wanted = gang(role("robot", FOREVER), role("late", FOREVER, count=2), meet=0.5)
    info, _ = end(jobs, jobs.submit(wanted))
    assert (info.state, info.reason) == (JobState.FAILED, Reason.NO_CAPACITY)
    assert info.detail == "late-0, late-1 were not there 0.5 s after the first member"
    assert set(states(info).values()) == {"canceled"}
    jobs.close()


def test_nobody_watches_a_gang_that_has_not_met(tmp_path: Path) -> None:
    """Its members let their places go by themselves."""
    jobs = durable(tmp_path, queueing)
    wanted = gang(role("robot", FOREVER), role("late", FOREVER), meet=1)
    handles = jobs.submit(wanted)
    jobs.close()
    deadline = time.monotonic() + 40
    said = tmp_path / "there/jobs"
    while not any(b'"ev":"parcel"' in f.read_bytes() for f in said.glob("*/events.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    jobs = durable(tmp_path, queueing)
    info, _ = end(jobs, handles)
    assert info.reason is Reason.NO_CAPACITY and "is anybody watching" in info.detail
    jobs.close()


def test_cancel(jobs: Jobs) -> None:
    handles = jobs.submit(gang(role("robot", FOREVER, count=2), retries=2))
    until_running(jobs, handles)
    info = jobs.cancel(handles, grace_s=2)[0]
    assert info.state is JobState.CANCELED and set(states(info).values()) == {"canceled"}
    assert jobs.cancel(handles)[0] == info


def test_one_at_a_time_where_there_is_room_for_one(tmp_path: Path) -> None:
    jobs = local(tmp_path)
    large = role("robot", "sleep 0.2; echo $EMS_SIZE", count=2, resources={"cpus": 2})
    handles = jobs.submit([gang(large)] * 3, patience_s=None)
    waits = jobs.status(handles)[1]
    assert waits.state is JobState.SUBMITTED
    assert "2 members with 4 CPUs together fit at once (local: 0 CPUs are free)" in waits.detail
    wrote = [(e.job, e.text) for e in jobs.watch(handles) if isinstance(e, Wrote)]
    assert Counter(wrote) == {(handle, "2"): 2 for handle in handles}
    assert [job for job, _ in wrote[::2]] == [job for job, _ in wrote[1::2]]  # not half of two
    jobs.close()


def test_what_is_canceled_while_it_waits_has_no_members(tmp_path: Path) -> None:
    jobs = local(tmp_path)
    large = role("robot", FOREVER, count=2, resources={"cpus": 2})
    handles = jobs.submit([gang(large)] * 2, patience_s=None)
    infos = jobs.cancel(handles[1:], grace_s=1)
    assert (infos[0].state, infos[0].members) == (JobState.CANCELED, ())
    jobs.cancel(handles[:1], grace_s=1)
    jobs.close()


def test_a_gang_that_could_never_fit_is_refused(tmp_path: Path) -> None:
    jobs = local(tmp_path)
    with pytest.raises(UsageError, match=r"5 members with 5 CPUs together can never run at once"):
        jobs.submit(gang(role("robot", "true", count=5, resources={"cpus": 1})))
    assert jobs.status() == []
    jobs.close()


# -- those who watch ------------------------------------------------------------------------------

CHILD = """
import json, os, sys
from pathlib import Path
import ems.compute.remote.spool as spool
import ems.jobs.gangs as gangs
from ems.jobs.types import Wrote
from tests.jobs.places import durable
home, what, wanted = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
die = lambda *_: os.kill(os.getpid(), 9)
if what == "unseated":
    gangs.Gangs._settle_seats = die
elif what == "seated":
    gangs.Gangs._submit = die
elif what == "ready":
    spool.SpoolBackend.brief = die
elif what == "stopping":
    spool.SpoolBackend.cancel = die
jobs = durable(home)
handles = jobs.submit(wanted, patience_s=None) if isinstance(wanted, dict) else [wanted]
for event in jobs.watch(handles):
    if isinstance(event, Wrote):
        print(event.member, event.text, flush=True)
print(jobs.status(handles)[0].state.value, flush=True)
jobs.close()
"""


def child(home: Path, what: str, wanted: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home), what, json.dumps(wanted)],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("when", ["unseated", "seated", "ready"])
def test_another_one_takes_over_before_the_meeting(there: Jobs, tmp_path: Path, when: str) -> None:
    killed = child(tmp_path, when, talk())
    assert killed.wait(60) == -signal.SIGKILL
    killed.communicate()
    info = there.status()[0]
    assert info.state is JobState.SUBMITTED, info
    two = child(tmp_path, "watch", info.handle.id)
    after, wrote = end(there, [info.handle])
    assert (after.state, after.attempt) == (JobState.SUCCEEDED, 1)
    assert wrote == {("learner-0", TALKED.strip()): 1}
    assert two.communicate(timeout=60)[0] == f"learner-0 {TALKED}succeeded\n"


def test_after_the_meeting_it_goes_on_by_itself(there: Jobs, tmp_path: Path) -> None:
    count = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done"
    killed = child(tmp_path, "watch", gang(role("a", count), role("b", count)))
    assert killed.stdout and killed.stdout.readline()
    killed.kill()
    killed.communicate()
    handle = there.status()[0].handle
    info, wrote = end(there, [handle])
    assert (info.state, info.attempt) == (JobState.SUCCEEDED, 1)
    assert wrote == {(name, str(i)): 1 for name in ("a-0", "b-0") for i in range(1, 9)}


def test_who_comes_later_ends_what_was_to_be_ended(there: Jobs, tmp_path: Path) -> None:
    wanted = gang(role("learner", "sleep 0.2; exit 5"), role("robot", FOREVER))
    killed = child(tmp_path, "stopping", wanted)
    assert killed.wait(60) == -signal.SIGKILL
    killed.communicate()
    info, _ = end(there, [there.status()[0].handle])
    assert (info.reason, info.exit_code) == (Reason.EXIT, 5)
    assert states(info) == {"learner-0": "failed", "robot-0": "canceled"}


def test_left_alone_once_its_members_have_met(there: Jobs, tmp_path: Path) -> None:
    handle = there.submit(gang(role("a", "sleep 0.5; echo done", count=2)), detach=True)[0]
    there.close()
    time.sleep(1)
    said = list((tmp_path / "there/jobs").glob("*/output"))
    assert [each.read_text() for each in said] == ["done\n"] * 2
    other = durable(tmp_path)
    assert other.find([end(other, [handle])[0].members[1].native]) == [handle]
    other.close()
