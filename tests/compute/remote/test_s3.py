"""A place in S3: its files, and jobs there that containers run which hold nothing of EMS."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from ems.compute import ship
from ems.compute.job import Handle, JobState, Reason
from ems.compute.remote.order import PlaceError, Unreachable
from ems.compute.remote.s3 import S3Site
from ems.compute.remote.site import Look, Seen
from ems.compute.remote.spool import SpoolBackend
from ems.compute.remote.starter import WORD_BYTES, starter
from ems.errors import UsageError
from ems.hashing import digest_bytes, digest_file
from tests.compute.remote.containers import Containers
from tests.contract.place import Kept, Place
from tests.rigs import OLDEST, interpreter
from tests.rigs.s3 import Link, served
from tests.worker.cloud import Cloud, until
from tests.worker.keys import serving

MIB = 2**20


@pytest.fixture(scope="module")
def server() -> tuple[str, int]:
    return served()


@pytest.fixture
def cloud(
    server: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    link = Link(*server)
    made = Cloud(link, tmp_path)
    for name, value in made.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield made
    made.close()
    link.cut()


@pytest.fixture
def site(cloud: Cloud) -> Iterator[S3Site]:
    made = S3Site(cloud.url)
    yield made
    made.close()


def written(folder: Path, data: bytes) -> tuple[str, Path]:
    path = folder / uuid4().hex
    path.write_bytes(data)
    return digest_bytes(data), path


# -- objects ---------------------------------------------------------------------------------------


def test_objects_lie_where_a_store_at_the_root_has_them(
    cloud: Cloud, site: S3Site, tmp_path: Path
) -> None:
    given = dict(written(tmp_path, os.urandom(n * 1000)) for n in range(5))
    assert site.missing(list(given)) == set(given)
    site.put(given)
    assert cloud.names() == {f"objects/{d[:2]}/{d}": n * 1000 for n, d in enumerate(given)}
    other = S3Site(cloud.url)
    assert other.missing([*given, "ab" * 32]) == {"ab" * 32}
    other.close()
    for at, (digest, source) in enumerate(given.items()):
        target = tmp_path / "got" / digest
        site.fetch(digest, at * 1000, target)
        assert target.read_bytes() == source.read_bytes()


def test_what_a_job_relies_on_is_renewed(
    cloud: Cloud, site: S3Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ems.compute.remote import beside, s3

    digest, source = written(tmp_path, b"old by now")
    site.put({digest: source})
    key = f"{cloud.prefix}/objects/{digest[:2]}/{digest}"
    before = cloud.client().head_object(Bucket="lab", Key=key)["LastModified"]
    time.sleep(2)  # S3 tells whole seconds
    for module in (s3, beside):
        monkeypatch.setattr(module, "_YOUNG_S", 0.5)
    other = S3Site(cloud.url)
    assert other.missing([digest]) == set()
    other.close()
    assert cloud.client().head_object(Bucket="lab", Key=key)["LastModified"] > before


def test_a_large_object_in_ranges(cloud: Cloud, site: S3Site, tmp_path: Path) -> None:
    digest, source = written(tmp_path, os.urandom(20 * MIB))
    site.put({digest: source})
    site.fetch(digest, 20 * MIB, tmp_path / "got")
    assert digest_file(tmp_path / "got") == digest


def test_a_fetch_that_broke_off_is_gone_on_with(
    cloud: Cloud, site: S3Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ems.compute.remote import s3

    monkeypatch.setattr(s3, "_RETRY_S", 1)
    monkeypatch.setattr(s3, "_RANGE_BYTES", MIB)
    monkeypatch.setattr(s3, "_RANGES_AT_ONCE", 1)
    digest, source = written(tmp_path, os.urandom(8 * MIB))
    site.put({digest: source})
    asked: list[int] = []
    once = site._range

    def ranged(key: str, start: int, length: int) -> bytes:
        asked.append(start // MIB)
        if len(asked) == 4:
            cloud.link.cut()
        return once(key, start, length)

    monkeypatch.setattr(site, "_range", ranged)
    with pytest.raises(Unreachable):
        site.fetch(digest, 8 * MIB, tmp_path / "got")
    assert not (tmp_path / "got").exists()
    cloud.link.mend()
    begun = len(asked)
    site.fetch(digest, 8 * MIB, tmp_path / "got")
    assert asked[begun:] == list(range(3, 8)), "what had come is not fetched again"
    assert digest_file(tmp_path / "got") == digest


def test_a_damaged_object_is_refused(cloud: Cloud, site: S3Site, tmp_path: Path) -> None:
    digest = cloud.put(b"right")
    cloud.write(f"objects/{digest[:2]}/{digest}", b"wrong")
    with pytest.raises(PlaceError, match="is damaged"):
        site.fetch(digest, 5, tmp_path / "got")
    with pytest.raises(PlaceError, match="is not at"):
        site.fetch("ab" * 32, 5, tmp_path / "got")
    assert list(tmp_path.glob("tmp-*")) == []


def test_a_source_that_changed_is_not_put(site: S3Site, tmp_path: Path) -> None:
    digest, source = written(tmp_path, b"right")
    source.write_bytes(b"wrong")
    with pytest.raises(PlaceError, match="is no longer the object"):
        site.put({digest: source})
    assert site.missing([digest]) == {digest}


# -- files of jobs ---------------------------------------------------------------------------------


def test_files_are_written_read_and_removed(cloud: Cloud, site: S3Site) -> None:
    site.write({f"jobs/{n}/parcel.json": b"%d" % n for n in range(30)})
    site.write({"jobs/1/parcel.json": b"new"})
    assert (site.read("jobs/1/parcel.json"), site.read("jobs/31/parcel.json")) == (b"new", None)
    cloud.write("jobs/1/events/000000000000", b"e")
    site.remove([f"jobs/{n}" for n in range(1, 30)])
    site.remove(["jobs/31", "jobs/0/parcel.json"])
    assert cloud.names() == {}


def test_what_jobs_wrote_since(cloud: Cloud, site: S3Site) -> None:
    for kind, parts in (("events", [b"one\n", b"two\n"]), ("output", [b"abc", b"defg"])):
        cloud.write(f"jobs/a/{kind}/{0:012}", parts[0])
        cloud.write(f"jobs/a/{kind}/{len(parts[0]):012}", parts[1])
    cloud.write("jobs/b/parcel.json", b"{}")
    asked = [Look("a", 0, 0), Look("b", 0, 0), Look("none", 0, 0), Look("a", 2, 3), Look("a", 8, 7)]
    nothing = Seen(b"", b"")
    for _ in range(2):
        assert site.look(asked) == [
            Seen(b"one\ntwo\n", b"abcdefg"), nothing, Seen(b"", b"", there=False),
            Seen(b"e\ntwo\n", b"defg"), nothing,
        ]  # fmt: skip
    assert site.look(asked[:1]) == [Seen(b"one\ntwo\n", b"abcdefg")]


def test_much_comes_in_several_looks(cloud: Cloud, site: S3Site) -> None:
    data = os.urandom(9 * MIB)
    cloud.write(f"jobs/a/output/{0:012}", data[: 5 * MIB])
    cloud.write(f"jobs/a/output/{5 * MIB:012}", data[5 * MIB :])
    got, looks = b"", 0
    while True:
        seen = site.look([Look("a", 0, len(got))])[0]
        got, looks = got + seen.output, looks + 1
        if seen.complete:
            break
    assert (got, looks) == (data, 3)


def test_jobs_of_others_are_not_paged_through(cloud: Cloud, site: S3Site) -> None:
    site.write({f"jobs/other-{n}/parcel.json": b"" for n in range(40)})
    cloud.write(f"jobs/a/output/{0:012}", b"a")
    cloud.write(f"jobs/b/output/{0:012}", b"b")
    lists: list[str] = []
    once = site._list

    def counted(prefix: str):
        lists.append(prefix)
        return once(prefix)

    site._list = counted
    asked = [Look("a", 0, 0), Look("b", 0, 0)]
    assert [each.output for each in site.look(asked)] == [b"a", b"b"]
    assert lists == ["jobs"], "one request for all jobs"
    site._pages = 3  # as after seeing that others have thousands
    lists.clear()
    assert [each.output for each in site.look(asked)] == [b"a", b"b"]
    assert sorted(lists) == ["jobs/a", "jobs/b"]


# -- errors ----------------------------------------------------------------------------------------


def test_errors_tell_a_place_that_is_away_from_one_that_refuses(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ems.compute.remote import s3

    monkeypatch.setattr(s3, "_RETRY_S", 0)
    with pytest.raises(UsageError, match="is no s3://bucket/prefix"):
        S3Site("/shared")
    nowhere = S3Site("s3://nowhere/x")
    with pytest.raises(PlaceError, match="no such bucket"):
        nowhere.write({"a": b""})
    with pytest.raises(PlaceError, match="no such bucket"):
        nowhere.look([Look("a", 0, 0)])
    cloud.link.cut()
    away = S3Site(cloud.url)
    with pytest.raises(Unreachable, match=cloud.url):
        away.look([Look("a", 0, 0)])
    for each in (nowhere, away):
        each.close()


# -- containers that hold nothing of EMS -----------------------------------------------------------


def test_the_command_is_short_and_for_no_shell(cloud: Cloud) -> None:
    words = starter(cloud.url, "ab" * 32)
    assert sum(map(len, words)) < 4096
    assert max(map(len, words)) <= WORD_BYTES
    assert not set("".join(words[5:])) & set("$`\"' \\{}&;<>|*?()")


@pytest.mark.parametrize(
    "python", [sys.executable, pytest.param(OLDEST, marks=pytest.mark.rig("python-oldest"))]
)
def test_a_container_fetches_the_worker_and_runs_it(cloud: Cloud, python: str) -> None:
    found = str(interpreter(python)) if python == OLDEST else python
    worker = cloud.put(ship.zipapp())
    job = cloud.job("def work():\n    print('works')\n", [("work", {})])
    words = starter(cloud.url, worker, found)
    done = run(words, cloud, EMS_JOB=f"{cloud.url}/jobs/{job}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"works\n", b"")
    cloud.write(f"objects/{worker[:2]}/{worker}", b"other")
    done = run(words, cloud, EMS_JOB=f"{cloud.url}/jobs/{job}")
    assert done.returncode == 70
    assert b"is damaged" in done.stderr
    done = run(starter(cloud.url, "ab" * 32, found), cloud)
    assert (done.returncode, b"answered 404" in done.stderr) == (70, True)


@pytest.mark.parametrize("source", ["container", "identity", "machine"])
def test_the_command_finds_keys_as_the_worker_does(
    cloud: Cloud, tmp_path: Path, source: str
) -> None:
    worker = cloud.put(ship.zipapp())
    job = cloud.job("def work():\n    return 1\n", [("work", {})])
    (tmp_path / "token").write_text("identity")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    for server in serving():
        more = {
            "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/pod"},
            "identity": {
                "AWS_ROLE_ARN": "arn:aws:iam::1:role/lab",
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
                "AWS_ENDPOINT_URL_STS": server.url,
            },
            "machine": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url},
        }[source]
        words = starter(cloud.url, worker, sys.executable)
        here = {**more, **dict.fromkeys(names, ""), "EMS_JOB": f"{cloud.url}/jobs/{job}"}
        done = run(words, cloud, **here)
        assert (done.returncode, done.stderr) == (0, b"")
        asked = len(server.handler.asked)
        assert asked == (6 if source == "machine" else 2), "once by the command, once by the worker"


def run(words: Sequence[str], cloud: Cloud, **more: str) -> subprocess.CompletedProcess[bytes]:
    folder = cloud.folder / "elsewhere"
    folder.mkdir(exist_ok=True)
    env = {**os.environ, **cloud.variables, **more}
    env.pop("PYTHONPATH", None)
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, timeout=60, check=False)


# -- as a backend ----------------------------------------------------------------------------------


@pytest.fixture
def place(cloud: Cloud, site: S3Site, tmp_path: Path) -> Iterator[Place]:
    scheduler = Containers(cloud.url, tmp_path / "containers")
    objects = Kept(tmp_path / "here" / "objects")
    backend = SpoolBackend("far", site, scheduler, objects, tmp_path / "cache", poll_s=0.2)
    yield Place(backend, tmp_path / "here")
    backend.close()


SOURCE = """
    import time
    from pathlib import Path
    import ems

    def work(f, n):
        print("works", n, flush=True)
        ems.report(n, loss=1 / n)
        Path("out").write_text(f.read_text() * n)
        return ems.File("out")

    def bad():
        raise KeyError("nothing here")

    def wait():
        print("waits", flush=True)
        time.sleep(60)
"""


def test_a_parcel_there_and_back(cloud: Cloud, place: Place) -> None:
    given = {"$file": [place.put(b"abc"), 3, "in"]}
    parcel = place.parcel(SOURCE, [("work", {"f": given, "n": 2}), ("bad", {})])
    handle = place.submit(parcel)
    status = place.finish(handle, 40)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.EXCEPTION)
    first, second = place.ends(handle)
    assert place.read(first["out"]["$file"][0]) == b"abcabc"
    assert second["error"]["type"] == "KeyError"
    assert place.log(handle) == b"works 2\n"
    place.backend.forget([handle])
    until(lambda: not cloud.names("jobs/"))


def test_a_cancellation(place: Place) -> None:
    handle = place.submit(place.parcel(SOURCE, [("wait", {})]))
    place.until(lambda: place.log(handle) == b"waits\n", 40)
    place.backend.cancel([handle], 10)
    assert place.finish(handle, 40).state is JobState.CANCELED
    assert [each["reason"] for each in place.ends(handle)] == ["canceled"]


def test_another_process_goes_on_watching(cloud: Cloud, place: Place, tmp_path: Path) -> None:
    handle = place.submit(place.parcel(SOURCE, [("bad", {})]))
    place.finish(handle, 40)
    site = S3Site(cloud.url)
    scheduler = Containers(cloud.url, tmp_path / "others")
    objects = Kept(tmp_path / "there" / "objects")
    other = SpoolBackend("far", site, scheduler, objects, tmp_path / "cache2", poll_s=0.2)
    watched = Place(other, tmp_path / "there")
    status = watched.finish(Handle.from_json(handle.to_json()), 20)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.EXCEPTION)
    other.close()
