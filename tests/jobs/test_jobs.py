"""The job API on real backends: one job and many, here and at a place that outlives processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ems.compute.job import JobState, Reason
from ems.errors import UsageError
from ems.jobs.jobs import Jobs
from ems.jobs.types import Changed, JobHandle, JobInfo, Wrote
from tests.jobs.places import durable, local

Make = Callable[[Path], Jobs]


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


def sh(text: str, **keys: Any) -> dict[str, Any]:
    return {"name": "job", "command": ["sh", "-c", text], **keys}


def end(jobs: Jobs, named: list[JobHandle]) -> tuple[list[JobInfo], bytes]:
    """Watch to the end; return what became of them and all that they wrote."""
    text = b"".join(e.data for e in jobs.watch(named) if isinstance(e, Wrote))
    return jobs.status(named), text


def test_inputs_outputs_variables_and_output(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "in" / "a.txt").write_text("given")
    job = sh(
        "cat d/in/a.txt; echo $WORD; echo kept >o/a; mkdir f; echo 1 >f/x",
        inputs={"d": str(tmp_path / "data")},
        outputs={"one": "o/a", "folder": "f"},
        variables={"WORD": "ünï"},
    )
    handles = jobs.submit(job)
    infos, text = end(jobs, handles)
    assert infos[0].state is JobState.SUCCEEDED and infos[0].exit_code == 0
    assert text == "givenünï\n".encode() and jobs.log(infos[0]) == text
    jobs.get(handles, tmp_path / "got")
    assert (tmp_path / "got/o/a").read_text() == "kept\n"
    assert (tmp_path / "got/f/x").read_text() == "1\n"


def test_a_failure_has_its_reason_and_what_was_written(jobs: Jobs) -> None:
    infos, text = end(jobs, jobs.submit(sh("printf 'a\\377b\\nlast'; exit 7")))
    assert (infos[0].reason, infos[0].exit_code) == (Reason.EXIT, 7)
    assert text == b"a\xffb\nlast"


def test_a_limit_of_time_holds(jobs: Jobs) -> None:
    infos, _ = end(jobs, jobs.submit(sh("sleep 60", timeout=0.3)))
    assert infos[0].reason is Reason.TIMED_OUT


def test_tries_again_after_its_reasons_only(jobs: Jobs) -> None:
    again = sh("echo try; exit 3", retries={"count": 2, "reasons": ["exit"]})
    infos, text = end(jobs, jobs.submit(again))
    assert (infos[0].attempt, text) == (3, b"try\n" * 3)
    other = sh("echo try; exit 3", retries={"count": 2, "reasons": ["lost"]})
    assert end(jobs, jobs.submit(other))[1] == b"try\n"


def test_cancel(jobs: Jobs) -> None:
    handles = jobs.submit([sh("echo up; exec sleep 60", retries=3), sh("exec sleep 60")])
    watching = jobs.watch(handles)
    next(e for e in watching if isinstance(e, Wrote))
    infos = jobs.cancel(handles, grace_s=2)
    assert [i.state for i in infos] == [JobState.CANCELED] * 2
    assert [i.state for i in jobs.cancel(handles)] == [JobState.CANCELED] * 2


def test_events_tell_each_state_once(jobs: Jobs) -> None:
    handles = jobs.submit(sh("sleep 0.3"))
    states = [e.info.state.value for e in jobs.watch(handles) if isinstance(e, Changed)]
    assert states[-1] == "succeeded" and len(states) == len(set(states))


def test_found_by_id_start_name_and_handle(jobs: Jobs) -> None:
    first = jobs.submit({"name": "train", "command": "true"})[0]
    second = jobs.submit({"name": "train", "command": "true"})[0]
    many = jobs.submit([{"name": "sweep", "command": "true"}] * 3)
    kept = JobHandle.from_json(json.loads(json.dumps(first.to_json())))
    assert jobs.find([kept, str(first), first.to_json()]) == [first]
    assert jobs.find(["train"]) == [second]
    assert jobs.find(["sweep"]) == many and jobs.find([many[1].id]) == [many[1]]
    assert jobs.find([many[0].id[:7]]) == many
    for word, said in (("trian", "did you mean 'train'"), ("train-", "start of 2 ids")):
        with pytest.raises(UsageError, match=said):
            jobs.find([word])
    end(jobs, [first, second, *many])


def test_what_can_not_be_is_refused_and_nothing_is_written(jobs: Jobs, tmp_path: Path) -> None:
    gang = sh("true", roles=[{"name": "a", "on": "moon"}])
    for job, said in (
        (gang, "names no place"),
        (sh("true", on="moon"), "names no place"),
        (sh("true", inputs={"a": "none.txt"}), "can't be read"),
        (sh("true", inputs={"a": "0" * 64}), "has no object"),
        (sh("true", environment={"modules": ["gcc/12"]}), "module gcc/12 can't be loaded"),
    ):
        with pytest.raises(UsageError, match=said):
            jobs.submit(job)
    assert jobs.status() == [] and not list((tmp_path / "store").glob("jobs/*"))


def test_only_what_outlives_a_process_can_be_left(tmp_path: Path, there: Jobs) -> None:
    here = local(tmp_path)
    with pytest.raises(UsageError, match="can't be left alone"):
        here.submit(sh("true"), detach=True)
    here.close()
    assert there.submit(sh("true"), detach=True)[0].target == "spooled"


def test_secrets_are_kept_nowhere(there: Jobs, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("EMS_TEST_HUNTER", "hunter2")
    handles = there.submit(sh("test ${#T} = 7", secrets={"T": "env:EMS_TEST_HUNTER"}))
    assert end(there, handles)[0][0].state is JobState.SUCCEEDED
    there.close()  # a folder that is being removed can't be walked
    for folder in ("store", "there"):
        for file in (tmp_path / folder).rglob("*"):
            assert not file.is_file() or b"hunter2" not in file.read_bytes(), file


def test_another_process_goes_on_watching(there: Jobs, tmp_path: Path) -> None:
    handles = there.submit(sh("echo one; sleep 0.5; echo two; echo x >o", outputs={"o": "o"}))
    there.close()
    other = durable(tmp_path)
    assert other.status()[0].state in (JobState.SUBMITTED, JobState.RUNNING)
    infos, text = end(other, handles)
    assert (infos[0].state, text) == (JobState.SUCCEEDED, b"one\ntwo\n")
    assert other.get(handles, tmp_path / "got") and (tmp_path / "got/o").read_text() == "x\n"
    other.close()


CHILD = """
import sys
from pathlib import Path
from tests.jobs.places import durable, local
home, what = Path(sys.argv[1]), sys.argv[2]
if what == "killed":
    import os
    import ems.jobs.following as following
    following.Following.hand_over = lambda self: os.kill(os.getpid(), 9)
jobs = (local if what == "local" else durable)(home)
if what == "watch":
    from ems.jobs.types import Wrote
    for event in jobs.watch([sys.argv[3]]):
        if isinstance(event, Wrote):
            sys.stdout.buffer.write(event.data)
    print(jobs.status([sys.argv[3]])[0].state.value)
else:
    handles = jobs.submit({"name": "job", "command": ["sh", "-c", sys.argv[3]], "retries": 1})
    print(handles[0].id, flush=True)
    for _ in jobs.watch(handles):
        pass
jobs.close()
"""


def child(home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home), *words],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_between_record_and_hand_over(there: Jobs, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    killed = child(tmp_path, "killed", f"echo ran >>{marks}")
    assert killed.wait(30) == -signal.SIGKILL
    info = there.status()[0]
    assert info.state is JobState.SUBMITTED and "not handed over" in info.detail
    assert not marks.exists()
    two = [child(tmp_path, "watch", info.handle.id) for _ in range(2)]
    assert end(there, [info.handle])[0][0].state is JobState.SUCCEEDED
    assert [each.communicate(timeout=30)[0] for each in two] == ["succeeded\n"] * 2
    assert marks.read_text() == "ran\n"


def test_two_processes_watch_at_once(there: Jobs, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    job = sh(f"echo ran >>{marks}; echo line; sleep 0.5; exit 3", retries=1)
    handle = there.submit(job)[0]
    two = [child(tmp_path, "watch", handle.id) for _ in range(2)]
    said = [each.communicate(timeout=40)[0] for each in two]
    # who comes late is told of the attempt that counts now
    assert all(text.endswith("line\nfailed\n") for text in said)
    assert marks.read_text() == "ran\n" * 2
    assert there.status([handle])[0].attempt == 2


def test_a_local_job_is_its_processes_own(tmp_path: Path) -> None:
    owner = child(tmp_path, "local", "sleep 60")
    assert owner.stdout is not None
    id = owner.stdout.readline().strip()
    jobs = local(tmp_path)
    info = jobs.status([id])[0]
    assert info.state is JobState.RUNNING and f"process {owner.pid}" in info.detail
    with pytest.raises(UsageError, match="only that one can end it"):
        jobs.cancel([id])
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    assert jobs.status([id])[0].reason is Reason.LOST
    assert next(e.info.reason for e in jobs.watch([id]) if isinstance(e, Changed)) is Reason.LOST
    jobs.close()


def test_hundreds_are_one_record(tmp_path: Path) -> None:
    jobs = local(tmp_path)
    begin = time.monotonic()
    handles = jobs.submit([sh("true", resources={"cpus": 0.1})] * 500, patience_s=None)
    took = time.monotonic() - begin
    assert len(list((tmp_path / "store").glob("jobs/*.json"))) == 1 and took < 10
    assert jobs.find([handles[0].id.partition(".")[0]]) == handles
    infos = jobs.cancel(handles, grace_s=1)
    assert all(info.state.ended for info in infos)
    jobs.close()
