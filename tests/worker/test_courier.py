"""Jobs that lie in S3, run by real workers: full trips, signals, losses, a network that fails."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.hashing import digest_bytes
from tests.rigs import OLDEST, interpreter
from tests.rigs.s3 import Link, served
from tests.worker.cloud import Cloud, until

_OTHERS = {"python-oldest": OLDEST}
WORK = """
    import os, sys, time
    from pathlib import Path
    import ems

    def whole(f, d, n):
        print("began")
        ems.report(1, loss=0.5)
        Path("x").write_bytes(b"x" * n)
        Path("out/in").mkdir(parents=True)
        Path("out/in/y").write_text("y")
        return [f.read_text(), (d / "a").read_text(), ems.File("x"), ems.Dir("out")]

    def bad():
        raise KeyError("nothing here")

    def chatty():
        for at in range(3 * 2**20 // 64):
            print("%063d" % at)

    def slow(seconds, steps=0):
        print("waits", flush=True)
        kept = ems.context().checkpoint / "step"
        print("found", kept.read_text() if kept.exists() else "nothing", flush=True)
        kept.with_name("new").write_text("half")
        os.replace(kept.with_name("new"), kept)
        try:
            time.sleep(seconds)
        except BaseException:
            kept.write_text("last")
            raise

    def stubborn():
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ignores", flush=True)
        time.sleep(60)

    def quick(n):
        print("quick", n, flush=True)
        return n
"""


@pytest.fixture(scope="module")
def server() -> tuple[str, int]:
    return served()


@pytest.fixture
def cloud(server: tuple[str, int], tmp_path: Path) -> Iterator[Cloud]:
    yield from _cloud(server, tmp_path, sys.executable)


@pytest.fixture(
    params=["this-python", *(pytest.param(n, marks=pytest.mark.rig(n)) for n in _OTHERS)]
)
def everywhere(
    server: tuple[str, int], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Cloud]:
    other = _OTHERS.get(request.param)
    yield from _cloud(server, tmp_path, str(interpreter(other)) if other else sys.executable)


def _cloud(server: tuple[str, int], folder: Path, python: str) -> Iterator[Cloud]:
    link = Link(*server)
    made = Cloud(link, folder, python)
    yield made
    made.close()
    link.cut()


def folder_of(cloud: Cloud) -> dict[str, object]:
    listing = [["a", "", cloud.put(b"in a folder"), 11]]
    return {"$dir": [cloud.put(json.dumps(listing, separators=(",", ":")).encode()), 11, "d"]}


def test_a_whole_trip(everywhere: Cloud) -> None:
    cloud = everywhere
    given = {"$file": [cloud.put(b"input"), 5, "in.txt"]}
    calls = [("whole", {"f": given, "d": folder_of(cloud), "n": 5000}), ("bad", {})]
    job = cloud.job(WORK, calls)
    code, out = cloud.run(job)
    assert (code, out) == (100, b"began\n"), "a container's log has the task's output"
    first, second = cloud.ends(job)
    assert [each["ev"] for each in cloud.messages(job)] == [
        "hello", "report", "end", "end", "parcel",
    ]  # fmt: skip
    assert first["ok"]
    assert first["out"][:2] == ["input", "in a folder"]
    assert cloud.object(first["out"][2]["$file"][0]) == b"x" * 5000
    rows = json.loads(cloud.object(first["out"][3]["$dir"][0]))
    assert cloud.object(rows[0][2]) == b"y"
    assert (second["reason"], second["error"]["type"]) == ("exception", "KeyError")
    assert cloud.whole(job, "output") == b"began\n"
    assert first["log"] == [0, 6]


def test_what_has_ended_is_not_run_again(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("quick", {"n": 1})])
    assert cloud.run(job) == (0, b"quick 1\n")
    before = cloud.names()
    assert cloud.run(job) == (0, b"")
    assert cloud.names() == before


def test_three_mib_of_output_come_in_parts(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("chatty", {})])
    code, out = cloud.run(job)
    log = b"".join(b"%063d\n" % at for at in range(3 * 2**20 // 64))
    assert code == 0
    assert out == log
    assert cloud.whole(job, "output") == log
    assert cloud.ends(job)[0]["log"] == [0, len(log)]
    assert len(cloud.names(f"jobs/{job}/output/")) < 20


def test_output_is_seen_while_it_runs_and_parts_stay_few(cloud: Cloud) -> None:
    source = """
    import time
    def ticks():
        for at in range(40):
            print(at, flush=True)
            time.sleep(0.1)
    """
    job = cloud.job(source, [("ticks", {})])
    running = cloud.start(job)
    sizes: set[int] = set()
    while running.poll() is None:
        sizes.add(sum(cloud.names(f"jobs/{job}/output/").values()))
        time.sleep(0.2)
    assert len(sizes) >= 4, "it grows about once a second"
    assert len(cloud.names(f"jobs/{job}/output/")) == 1, "and in one part"


@pytest.mark.parametrize("marked", [True, False])
def test_sigterm(cloud: Cloud, marked: bool) -> None:
    job = cloud.job(WORK, [("slow", {"seconds": 60}), ("quick", {"n": 1})])
    running = cloud.start(job)
    until(lambda: b"found" in cloud.whole(job, "output"))
    if marked:
        cloud.write(f"jobs/{job}/events.jsonl.cancel", b"")
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == (103 if marked else 101)
    word = "canceled" if marked else "preempted"
    assert [each["reason"] for each in cloud.ends(job)] == [word, word]
    assert cloud.messages(job)[-1]["state"] == word
    version = cloud.ends(job)[0]["v"]
    rows = json.loads(cloud.read(f"attempts/{version}/checkpoint.json"))
    assert [row[0] for row in rows] == ["step"]
    assert cloud.read(f"attempts/{version}/files/{rows[0][2]}") == b"last"
    assert cloud.run(job) == ((103 if marked else 101), b""), "nothing is left to do"


def test_a_task_that_ignores_sigterm_gets_last_words(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("stubborn", {})])
    running = cloud.start(job, EMS_GRACE_S="9.5")
    until(lambda: b"ignores" in cloud.whole(job, "output"))
    running.send_signal(signal.SIGTERM)
    assert running.wait(9.5) == 101, "before the place would kill it"
    assert [each["reason"] for each in cloud.ends(job)] == ["preempted"]


def test_canceled_before_it_began(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("quick", {"n": 1})])
    cloud.write(f"jobs/{job}/events.jsonl.cancel", b"")
    assert cloud.run(job) == (103, b"")
    assert [each["reason"] for each in cloud.ends(job)] == ["canceled"]


def test_killed_and_started_again_it_goes_on(everywhere: Cloud) -> None:
    cloud = everywhere
    job = cloud.job(WORK, [("quick", {"n": 1}), ("slow", {"seconds": 60}), ("bad", {})])
    running = cloud.start(job)
    until(lambda: len(cloud.ends(job)) == 1 and b"found" in cloud.whole(job, "output"))
    version = json.loads(cloud.read(f"jobs/{job}/parcel.json"))["versions"][1]["v"]
    until(lambda: cloud.names(f"attempts/{version}/checkpoint.json"))
    running.kill()
    running.wait()
    running = cloud.start(job)
    until(lambda: b"found half" in cloud.whole(job, "output"))
    running.send_signal(signal.SIGTERM)
    running.wait(20)
    log = cloud.whole(job, "output")
    assert log == b"quick 1\nwaits\nfound nothing\nwaits\nfound half\n"
    first, second, third = cloud.ends(job)
    assert first["ok"]
    assert second["log"] == [len(b"quick 1\nwaits\nfound nothing\n"), len(log)]
    assert (second["reason"], third["reason"]) == ("preempted", "preempted")


def test_nothing_runs_on_unheard(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("stubborn", {})])
    running = cloud.start(job)
    until(lambda: b"ignores" in cloud.whole(job, "output"))
    mine = str(cloud.app).encode()

    def left() -> int:
        return sum(mine in each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline"))

    assert left() == 3, "what carries, what keeps, what runs the task"
    running.kill()
    until(lambda: left() == 0)


def test_a_failure_before_the_loss_still_counts(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("bad", {}), ("slow", {"seconds": 2})])
    running = cloud.start(job)
    until(lambda: len(cloud.ends(job)) == 1)
    running.kill()
    running.wait()
    code, out = cloud.run(job)
    assert code == 100
    assert out.startswith(b"waits\nfound "), "the first one is not run again"
    last = cloud.messages(job)[-1]
    assert (last["state"], last["reason"], last["detail"]) == (
        "done", "exception", "'nothing here'",
    )  # fmt: skip


def test_a_place_that_requeues_hears_no_preempted_end(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("slow", {"seconds": 1.5})], requeue=True)
    running = cloud.start(job)
    until(lambda: b"found" in cloud.whole(job, "output"))
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 101
    assert [each["ev"] for each in cloud.messages(job)] == ["hello"]
    code, out = cloud.run(job)
    assert (code, out) == (0, b"waits\nfound last\n")
    assert [each["ev"] for each in cloud.messages(job)] == ["hello", "hello", "end", "parcel"]
    assert cloud.ends(job)[0]["ok"]


def test_of_two_workers_at_a_job_one_stops(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("slow", {"seconds": 5})])
    one = cloud.start(job)
    until(lambda: cloud.messages(job))
    two = cloud.start(job)
    assert sorted([one.wait(30), two.wait(30)]) == [0, 101]
    assert len(cloud.ends(job)) == 1, "parts of two workers are never mixed"
    assert cloud.messages(job)[-1]["ev"] == "parcel"


def test_s3_is_away_for_five_seconds(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("slow", {"seconds": 3}), ("quick", {"n": 2})])
    running = cloud.start(job)
    until(lambda: b"found" in cloud.whole(job, "output"))
    cloud.link.cut()
    time.sleep(5)
    assert running.poll() is None, "what is to be carried out waits"
    cloud.link.mend()
    assert running.wait(30) == 0
    first, second = cloud.ends(job)
    assert first["ok"] and second["ok"]
    assert second["t1"] - first["t1"] < 2, "the second ran while S3 was away"
    assert cloud.whole(job, "output") == b"waits\nfound nothing\nquick 2\n"


def test_a_limit_holds_while_s3_is_away(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("slow", {"seconds": 60})])
    parcel = json.loads(cloud.read(f"jobs/{job}/parcel.json"))
    parcel["tasks"][0]["timeout_s"] = 2
    cloud.write(f"jobs/{job}/parcel.json", json.dumps(parcel).encode())
    running = cloud.start(job)
    until(lambda: b"found" in cloud.whole(job, "output"))
    cloud.link.cut()
    time.sleep(3.5)
    cloud.link.mend()
    assert running.wait(20) == 100
    end = cloud.ends(job)[0]
    assert end["reason"] == "timed_out"
    assert end["t1"] - end["t0"] < 3


def test_a_damaged_object_is_said(cloud: Cloud) -> None:
    digest = cloud.put(b"input")
    cloud.write(f"objects/{digest[:2]}/{digest}", b"other")
    args = {"f": {"$file": [digest, 5, "in.txt"]}, "d": folder_of(cloud), "n": 1}
    job = cloud.job(WORK, [("whole", args), ("quick", {"n": 3})])
    code, out = cloud.run(job)
    assert code == 100
    assert b"is damaged" in out
    first, second = cloud.ends(job)
    assert first["reason"] == "input_missing"
    assert f"{cloud.url}/objects/{digest[:2]}/{digest} is damaged" in first["error"]["message"]
    assert second["ok"], "what does not need it runs"


def test_a_missing_object_is_said(cloud: Cloud) -> None:
    args = {"f": {"$file": ["ab" * 32, 5, "in.txt"]}, "d": folder_of(cloud), "n": 1}
    job = cloud.job(WORK, [("whole", args)])
    assert cloud.run(job)[0] == 100
    assert "404 NoSuchKey" in cloud.ends(job)[0]["error"]["message"]


def test_objects_are_kept_for_the_next_parcel(cloud: Cloud) -> None:
    given = cloud.put(os.urandom(1000).hex().encode())
    args = {"f": {"$file": [given, 2000, "in.txt"]}, "d": folder_of(cloud), "n": 1}
    assert cloud.run(cloud.job(WORK, [("whole", args)]))[0] == 0
    cloud.client().delete_object(Bucket="lab", Key=f"{cloud.prefix}/objects/{given[:2]}/{given}")
    assert cloud.run(cloud.job(WORK, [("whole", args)]))[0] == 0
    left = list((cloud.folder / "scratch").glob("ems-*/*/jobs/*"))
    assert len(left) == 1, "folders of jobs that are over go when the next one comes"


def test_an_object_that_is_there_is_not_sent_again(cloud: Cloud) -> None:
    job = cloud.job(WORK, [("whole", {"f": {"$file": [cloud.put(b"i"), 1, "i"]},
                                      "d": folder_of(cloud), "n": 77})])  # fmt: skip
    there = digest_bytes(b"x" * 77)
    key = f"{cloud.prefix}/objects/{there[:2]}/{there}"
    cloud.client().put_object(Bucket="lab", Key=key, Body=b"x" * 77, ChecksumAlgorithm="SHA256")
    before = cloud.client().head_object(Bucket="lab", Key=key)["LastModified"]
    time.sleep(1.1)
    assert cloud.run(job)[0] == 0
    assert cloud.client().head_object(Bucket="lab", Key=key)["LastModified"] == before


def test_no_room(cloud: Cloud) -> None:
    blocked = cloud.folder / "file"
    blocked.write_text("")
    job = cloud.job(WORK, [("quick", {"n": 1})])
    code, out = cloud.run(job, EMS_SCRATCH=str(blocked))
    assert code == 70
    assert out.startswith(b"ems: ")
    assert b"Traceback" not in out


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "neither EMS_JOB"),
        ({"EMS_JOB": "s3://lab/x"}, "is no s3://bucket/prefix/jobs/<id>"),
        ({"EMS_JOB": "s3://lab/x/jobs/none"}, "there is no such job"),
        ({"EMS_JOB": "s3://nowhere/x/jobs/none"}, "NoSuchBucket"),
        ({"EMS_JOB": "s3://lab/x/jobs/a", "AWS_ACCESS_KEY_ID": "",
          "AWS_EC2_METADATA_DISABLED": "true"}, "no AWS credentials here; tried: variables"),
    ],
)  # fmt: skip
def test_what_can_not_be_run_is_said_in_a_line(
    cloud: Cloud, variables: dict[str, str], said: str
) -> None:
    code, out = cloud.run("", **variables)
    assert code == 70
    assert said in out.decode()
    assert len(out.splitlines()) == 1


def test_a_child_of_an_array_finds_its_job(cloud: Cloud) -> None:
    jobs = [cloud.job(WORK, [("quick", {"n": n})]) for n in range(2)]
    cloud.write("jobs/array-1/list", "\n".join(jobs).encode())
    where = {"EMS_JOBS": f"{cloud.url}/jobs/array-1"}
    assert cloud.run("", AWS_BATCH_JOB_ARRAY_INDEX="1", **where) == (0, b"quick 1\n")
    assert cloud.run("", JOB_COMPLETION_INDEX="0", **where) == (0, b"quick 0\n")
    code, out = cloud.run("", JOB_COMPLETION_INDEX="2", **where)
    assert (code, b"has 2 jobs, and none with the index 2" in out) == (70, True)
