"""The shapes of messages are pinned: a worker and a backend of different releases must agree."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ems.worker import protocol
from ems.worker.progress import Progress

VERSION = {"v": "ab", "gen": 2, "try": 3, "task": 0, "args": {}, "seed": 1}


def test_lines_are_ascii_and_pinned() -> None:
    end = protocol.end(VERSION, True)
    assert protocol.encode(end) == b'{"ev":"end","v":"ab","gen":2,"try":3,"ok":true}\n'
    hello = protocol.encode(protocol.hello("3.11.7", 5, 0))
    assert hello == b'{"ev":"hello","schema":1,"python":"3.11.7","pid":5,"log":0}\n'
    report = protocol.report(VERSION, 1, {"loss": "ü\n"}, 2.5)
    assert protocol.encode(report) == (
        b'{"ev":"report","v":"ab","step":1,"metrics":{"loss":"\\u00fc\\n"},"t":2.5}\n'
    )
    done = protocol.parcel_end("p", "done", None)
    assert protocol.encode(done) == b'{"ev":"parcel","id":"p","state":"done"}\n'


def test_prefixes_are_what_encode_writes() -> None:
    assert protocol.encode(protocol.end(VERSION, False)).startswith(protocol.END_PREFIX)
    assert protocol.encode(protocol.parcel_end("p", "done", None)).startswith(
        protocol.PARCEL_PREFIX
    )
    assert protocol.encode(protocol.hello("3", 1, 0)).startswith(protocol.HELLO_PREFIX)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"schema":2}',
        b'{"schema":1,"parcel":"p"}',
        b'{"schema":1,"parcel":1,"tasks":[],"versions":[]}',
    ],
)
def test_what_is_no_parcel_is_refused(line: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.read_parcel(line)


def test_a_range_of_schemas_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "SCHEMA", 3)
    monkeypatch.setattr(protocol, "OLDEST", 2)
    for schema in (2, 3):
        assert protocol.check_schema({"schema": schema}, "it") == {"schema": schema}
    for wrong in (1, 4, None, "2", True, 2.5):
        with pytest.raises(protocol.ProtocolError, match="reads 2 to 3"):
            protocol.check_schema({"schema": wrong}, "it")


def test_a_cancellation_that_nobody_asked_for_is_a_preemption() -> None:
    end = protocol.end(VERSION, False)
    end.update(reason="canceled", signal=None, error={"message": "Canceled"})
    told = protocol.decode(protocol.preempted(protocol.encode(end)[:-1]))
    assert (told["reason"], told["signal"]) == ("preempted", 15)
    for line in (_end(0, True, [0, 1]), _end(0, False, [0, 1])):
        assert protocol.preempted(line) == line


def _parcel(count: int, **task: Any) -> dict[str, Any]:
    versions = [{**VERSION, "v": f"v{at}"} for at in range(count)]
    return {"schema": 1, "parcel": "p", "tasks": [task], "versions": versions}


def _end(at: int, ok: bool, log: list[int]) -> bytes:
    end = protocol.end({**VERSION, "v": f"v{at}"}, ok)
    end.update(reason="exit", error={"message": '"ok":true'}, log=log)
    return protocol.encode(end)[:-1]


def test_progress_through_a_parcel_whose_worker_is_lost() -> None:
    progress = Progress(_parcel(4), 10.0)
    progress.note(b'{"ev":"report","v":"v0"}', 10.5)
    assert progress.index == 0
    progress.note(_end(0, True, [0, 7]), 11.0)
    assert progress.failed is None
    lost = progress.lost("signal", "killed", 12.0, 20, signal=9)
    assert (lost["v"], lost["gen"], lost["try"], lost["log"]) == ("v1", 2, 3, [7, 20])
    assert (lost["t0"], lost["t1"], lost["signal"], lost["exit"]) == (11.0, 12.0, 9, None)
    assert progress.failed == lost
    rest = progress.rest(20)
    assert rest is not None
    assert ([each["v"] for each in rest["versions"]], rest["log_from"]) == (["v2", "v3"], 20)
    progress.note(_end(2, False, [20, 22]), 13.0)
    assert progress.failed == lost
    given_up = progress.give_up("canceled", "stopped", 14.0)
    assert [(each["v"], each["reason"]) for each in given_up] == [("v3", "canceled")]
    assert progress.rest(0) is None


def test_an_end_that_is_not_ok_is_seen_whatever_a_task_says() -> None:
    progress = Progress(_parcel(1), 0.0)
    progress.note(_end(0, False, [0, 0]), 1.0)
    assert progress.failed is not None
    assert json.dumps(progress.failed["reason"]) == '"exit"'


def test_limits() -> None:
    progress = Progress(_parcel(2, timeout_s=5, memory_gib=0.5), 100.0)
    assert progress.limits() == (5, 0.5)
    assert progress.verdict(104.9, 2**29) is None
    assert progress.verdict(105.1, 0) == ("timed_out", "ran longer than its timeout of 5 s")
    found = progress.verdict(101.0, 2**29 + 1)
    assert found is not None
    assert found[0] == "out_of_memory"
    assert Progress(_parcel(1), 0.0, 7.0, None).limits() == (7.0, None)
    assert Progress(_parcel(1), 0.0).verdict(1e9, 2**60) is None
