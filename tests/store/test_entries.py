"""The log's entries: every kind's literal line, so that a change of the format is noticed."""

from __future__ import annotations

import pytest

from ems.store.entries import (
    Arrived,
    Claim,
    Drop,
    Ended,
    Entry,
    Failed,
    Handle,
    Keep,
    Record,
    Release,
    Revoke,
    Run,
    decode,
    encode,
)

RECORD = Record(
    v="aa",
    gen=1,
    runner="r-1",
    run="run-1",
    task="train",
    spec="bb",
    args={"seed": 1},
    out={"$file": ["cc", 5, "m.pt"]},
    content="7",
    t0=1.5,
    t1=2.5,
    files=[["cc", 5]],
    cpu_s=0.5,
    rss_mib=20.0,
    place="local",
    who="ann",
    log="hällo\n",
    metrics=[{"step": 1}],
    asked={"cpus": 2},
)
FAILED = Failed(
    v="aa",
    gen=1,
    attempt=2,
    runner="r-1",
    run="run-1",
    task="train",
    spec="bb",
    args={},
    reason="exception",
    t0=1.5,
    t1=2.5,
    exit=1,
    error={"type": "ValueError", "message": "no", "traceback": []},
)
PINNED: list[tuple[Entry, bytes]] = [
    (
        Claim("r-1", "run-1", 1, ["aa", "bb"]),
        b'{"k":"claim","runner":"r-1","run":"run-1","gen":1,"versions":["aa","bb"],"native":null}',
    ),
    (
        Handle("aa", 1, "batch", "job-7", "us-east-1"),
        b'{"k":"handle","version":"aa","gen":1,"backend":"batch","native":"job-7",'
        b'"region":"us-east-1"}',
    ),
    (
        RECORD,
        b'{"k":"record","v":"aa","gen":1,"runner":"r-1","run":"run-1","task":"train","spec":"bb",'
        b'"args":{"seed":1},"out":{"$file":["cc",5,"m.pt"]},"content":"7","t0":1.5,"t1":2.5,'
        b'"files":[["cc",5]],"cpu_s":0.5,"rss_mib":20.0,"place":"local","who":"ann","exit":0,'
        b'"log":"h\\u00e4llo\\n","metrics":[{"step":1}],"asked":{"cpus":2},"usd":0.0}',
    ),
    (
        FAILED,
        b'{"k":"failed","v":"aa","gen":1,"try":2,"runner":"r-1","run":"run-1","task":"train",'
        b'"spec":"bb","args":{},"reason":"exception","t0":1.5,"t1":2.5,"exit":1,"signal":null,'
        b'"error":{"type":"ValueError","message":"no","traceback":[]},"cpu_s":0.0,"rss_mib":0.0,'
        b'"log":"","metrics":[],"place":"","who":""}',
    ),
    (Revoke(["aa"], "gc", 7), b'{"k":"revoke","versions":["aa"],"why":"gc","upto":7}'),
    (
        Run("run-1", "main", "p.py", {"n": 4}, "ann", "lab", 3.5, ["emsctl", "run"]),
        b'{"k":"run","id":"run-1","pipeline":"main","file":"p.py","params":{"n":4},"who":"ann",'
        b'"host":"lab","started":3.5,"argv":["emsctl","run"]}',
    ),
    (
        Ended("run-1", "done", 4.5, {"ran": 3}, "dd", [1], None),
        b'{"k":"ended","run":"run-1","state":"done","t":4.5,"counts":{"ran":3},"nodes":"dd",'
        b'"result":[1],"error":null}',
    ),
    (Release("r-1", "run-1"), b'{"k":"release","runner":"r-1","run":"run-1","versions":"all"}'),
    (Keep("run-1"), b'{"k":"keep","run":"run-1"}'),
    (Drop("run-1"), b'{"k":"drop","run":"run-1"}'),
    (Arrived(["aa", "bb"]), b'{"k":"arrived","digests":["aa","bb"]}'),
]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("entry", "line"), PINNED, ids=lambda p: type(p).__name__)
def test_the_line_of_each_kind_is_pinned(entry: Entry, line: bytes) -> None:
    assert encode(entry) == line


@pytest.mark.parametrize(("entry", "line"), PINNED, ids=lambda p: type(p).__name__)
def test_each_kind_is_read_back(entry: Entry, line: bytes) -> None:
    found = decode(line)
    assert type(found) is type(entry)
    for name in type(entry)._fields:
        assert _plain(getattr(found, name)) == _plain(getattr(entry, name))


def test_what_a_newer_release_added_is_ignored() -> None:
    assert decode(b'{"k":"keep","run":"run-1","reason":"new"}') == Keep("run-1")
    assert decode(b'{"k":"from the future","x":1}') is None


def test_what_an_older_release_left_out_has_a_default() -> None:
    found = decode(b'{"k":"claim","runner":"r","run":"x","gen":1,"versions":[]}')
    assert found == Claim("r", "x", 1, [])


@pytest.mark.parametrize("line", [b"[1]", b'{"k":"keep"}', b"{"])
def test_what_is_no_entry_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


def test_any_text_fits_one_ascii_line() -> None:
    line = encode(Keep("a\nb\u2028\udcff\0"))
    assert line.isascii()
    assert b"\n" not in line
    assert decode(line) == Keep("a\nb\u2028\udcff\0")


def test_what_json_has_no_form_for_is_an_error_at_once() -> None:
    with pytest.raises(TypeError):
        encode(Ended("run-1", "done", 1.0, {}, result={1, 2}))
