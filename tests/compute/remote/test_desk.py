"""Files through a desk: here, and over ssh with a cable that is cut."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ems.compute.remote.desk import DeskSite, Near
from ems.compute.remote.order import PlaceError, Unreachable
from ems.compute.remote.site import Look
from ems.compute.remote.ssh import SshLink
from ems.errors import EmsError
from ems.hashing import digest_bytes
from tests.rigs import OLDEST, interpreter, rig
from tests.rigs.sshd import Host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("desk") / "host") as made:
        yield made


@pytest.fixture(params=["here", pytest.param("ssh", marks=rig("sshd"))])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DeskSite]:
    """A place on this machine, and on another one."""
    if request.param == "here":
        link = Near()
    else:
        host: Host = request.getfixturevalue("host")
        link = SshLink(host.name, host.options)
    made = DeskSite(link, str(tmp_path / "place"))
    yield made
    made.close()


@pytest.fixture
def far(host: Host, tmp_path: Path) -> Iterator[DeskSite]:
    """A place on another machine."""
    made = DeskSite(SshLink(host.name, host.options), str(tmp_path / "place"))
    yield made
    made.close()


def _file(folder: Path, data: bytes) -> tuple[str, Path]:
    digest = digest_bytes(data)
    path = folder / digest[:8]
    path.write_bytes(data)
    return digest, path


def test_objects_go_there_and_come_back(site: DeskSite, tmp_path: Path) -> None:
    contents = [b"", b"x", os.urandom(1000), os.urandom(3 * 2**20 + 17)]
    objects = dict(_file(tmp_path, data) for data in contents)
    assert site.missing(list(objects)) == set(objects)
    site.put(objects)
    assert site.missing([*objects, "f" * 64]) == {"f" * 64}
    for digest, path in objects.items():
        there = Path(site.root) / "objects" / digest[:2] / digest
        assert there.read_bytes() == path.read_bytes()
        assert stat.S_IMODE(there.stat().st_mode) == 0o444
        target = tmp_path / "got" / digest
        site.fetch(digest, path.stat().st_size, target)
        assert target.read_bytes() == path.read_bytes()
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == sorted(objects)
    assert not list((Path(site.root) / "objects").glob("tmp-*"))


def test_several_at_once(site: DeskSite, tmp_path: Path) -> None:
    objects = dict(_file(tmp_path, os.urandom(200_000)) for _ in range(20))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda pair: site.put(dict([pair])), objects.items()))
        got = [tmp_path / f"got-{each}" for each in objects]
        list(threads.map(site.fetch, objects, [200_000] * 20, got))
    assert [digest_bytes(path.read_bytes()) for path in got] == list(objects)


def test_an_object_that_changed_meanwhile(site: DeskSite, tmp_path: Path) -> None:
    digest, path = _file(tmp_path, b"before")
    path.write_bytes(b"after!")
    with pytest.raises(PlaceError, match=f"is no longer the object {digest[:16]}"):
        site.put({digest: path})
    assert site.missing([digest]) == {digest}
    path.write_bytes(b"before")
    site.put({digest: path})
    assert site.missing([digest]) == set()


def test_a_damaged_object_there_never_arrives(site: DeskSite, tmp_path: Path) -> None:
    digest, path = _file(tmp_path, b"right")
    site.put({digest: path})
    there = Path(site.root) / "objects" / digest[:2] / digest
    there.chmod(0o644)
    there.write_bytes(b"wrong")
    with pytest.raises(PlaceError, match="is damaged on"):
        site.fetch(digest, 5, tmp_path / "got")
    assert not (tmp_path / "got").exists()
    with pytest.raises(PlaceError, match="is not there"):
        site.fetch("e" * 64, 5, tmp_path / "got")


def test_small_files(site: DeskSite) -> None:
    site.write({"jobs/a/parcel.json": b"{}", "jobs/a/b/c": b"", "top": os.urandom(5 * 2**20)})
    site.write({"jobs/a/parcel.json": b"[]"})
    assert site.read("jobs/a/parcel.json") == b"[]"
    assert site.read("jobs/a/b/c") == b""
    assert len(site.read("top") or b"") == 5 * 2**20
    assert site.read("jobs/none/parcel.json") is None
    site.remove(["jobs/a", "top", "nothing"])
    assert site.read("jobs/a/parcel.json") is None
    assert not (Path(site.root) / "jobs/a").exists()


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/passwd", "", "a//b", "a\0b", "."])
def test_paths_stay_below_the_root(site: DeskSite, path: str) -> None:
    for asked in (lambda: site.read(path), lambda: site.write({path: b""})):
        with pytest.raises(PlaceError, match="is no path below"):
            asked()
    with pytest.raises(PlaceError, match="is no path below"):
        site.remove([path])


def test_a_look_brings_a_part_and_says_so(site: DeskSite) -> None:
    output, events = os.urandom(6 * 2**20), b'{"ev":"x"}\n' * 10
    site.write({"jobs/a/output": output, "jobs/b/output": output, "jobs/b/events.jsonl": events})
    got = {"a": b"", "b": b""}
    rounds, complete, at = 0, False, 0
    while not complete:
        asked = [Look(name, at if name == "b" else 0, len(got[name])) for name in got]
        seen = dict(zip(got, site.look([*asked, Look("none", 0, 0)]), strict=False))
        assert sum(len(each.output) + len(each.events) for each in seen.values()) <= 4 * 2**20
        assert seen["b"].events == events[at:]
        at = len(events)
        for name in got:
            got[name] += seen[name].output
        complete = all(each.complete for each in seen.values())
        rounds += 1
    assert got == {"a": output, "b": output}
    assert rounds == 4
    assert site.look([Look("none", 0, 0)])[0] == (b"", b"", False, True)


def test_a_session_that_is_killed_is_followed_by_a_new_one(site: DeskSite) -> None:
    site.write({"a": b"1"})
    _kill_session(site)
    deadline = time.monotonic() + 10
    while True:  # what was under way is lost; the next call has a new session
        try:
            assert site.read("a") == b"1"
            break
        except Unreachable:
            assert time.monotonic() < deadline


def _kill_session(site: DeskSite) -> None:
    session = site._session  # pyright: ignore[reportPrivateUsage]
    assert session
    os.kill(session._process.pid, signal.SIGKILL)  # pyright: ignore[reportPrivateUsage]


def test_a_desk_that_falls_silent_is_unreachable(tmp_path: Path) -> None:
    site = DeskSite(Near(), str(tmp_path / "place"), patience_s=3.5)
    site.write({"a": b"1"})
    session = site._session  # pyright: ignore[reportPrivateUsage]
    assert session
    time.sleep(4)  # nobody asks, and it says that it is there all the same
    assert site.read("a") == b"1"
    assert session is site._session  # pyright: ignore[reportPrivateUsage]
    os.kill(session._process.pid, signal.SIGSTOP)  # pyright: ignore[reportPrivateUsage]
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"did not answer for 3\.5 s"):
        site.read("a")
    assert time.monotonic() - began < 15
    assert site.read("a") == b"1"
    site.close()


def test_an_old_worker_is_left_alone_and_the_folder_is_private(site: DeskSite) -> None:
    root = Path(site.root)
    old = root / f"worker-{'0' * 64}.pyz"
    old.write_bytes(b"old")
    site.close()
    assert site.read("nothing") is None
    assert len(list(root.glob("worker-*.pyz"))) == 2
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("python", "problem"),
    [
        ("python-none", "python-none on this machine: there is no such command"),
        ("/bin/false", "/bin/false on this machine: is older than Python 3.8, or does not start"),
    ],
)
def test_a_python_that_is_not_there(tmp_path: Path, python: str, problem: str) -> None:
    site = DeskSite(Near(), str(tmp_path / "place"), python)
    with pytest.raises(PlaceError) as caught:
        site.missing([])
    assert str(caught.value).startswith(problem)
    assert "Try: python: PATH of a Python 3.8 or newer there, in the target's" in str(caught.value)


@rig("python-oldest")
def test_the_oldest_python(tmp_path: Path) -> None:
    site = DeskSite(Near(), str(tmp_path / "place"), str(interpreter(OLDEST)))
    digest, path = _file(tmp_path, os.urandom(300_000))
    site.put({digest: path})
    site.fetch(digest, 300_000, tmp_path / "got")
    assert str(site.hello()["python"]).startswith(OLDEST)
    site.close()


def test_a_folder_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    site = DeskSite(Near(), str(tmp_path / "file" / "place"))
    with pytest.raises(PlaceError, match="can't hold the worker"):
        site.missing([])


@rig("sshd")
def test_a_folder_at_home_and_a_login_shell_that_talks(host: Host) -> None:
    (host.home / ".bashrc").write_text("echo welcome; echo to the lab\n")
    try:
        site = DeskSite(SshLink(host.name, host.options), "~/sub/place")
        assert site.root == str(host.home / "sub/place")
        site.write({"a": b"1"})
        assert (host.home / "sub/place/a").read_text() == "1"
        site.close()
    finally:
        (host.home / ".bashrc").unlink()


@rig("sshd")
def test_an_upload_goes_on_after_a_cut(host: Host, far: DeskSite, tmp_path: Path) -> None:
    digest, path = _file(tmp_path, os.urandom(48 * 2**20))
    part = Path(far.root) / "objects" / f"tmp-put-{digest}"
    failed: list[BaseException] = []
    thread = threading.Thread(target=lambda: failed.append(_failing(far, digest, path)))
    thread.start()
    _until(lambda: part.exists() and part.stat().st_size > 2**20)
    host.kill_sessions()
    thread.join()
    assert isinstance(failed[0], Unreachable)
    before = part.stat()
    assert 0 < before.st_size < 48 * 2**20
    far.put({digest: path})
    there = Path(far.root) / "objects" / digest[:2] / digest
    assert there.stat().st_ino == before.st_ino  # it was gone on with, not begun anew
    assert digest_bytes(there.read_bytes()) == digest


def _failing(site: DeskSite, digest: str, path: Path) -> BaseException:
    try:
        site.put({digest: path})
    except EmsError as error:
        return error
    return AssertionError("was not cut")


@rig("sshd")
def test_a_download_goes_on_after_a_cut(host: Host, far: DeskSite, tmp_path: Path) -> None:
    size = 48 * 2**20
    digest, path = _file(tmp_path, os.urandom(size))
    there = Path(far.root) / "objects" / digest[:2] / digest
    there.parent.mkdir(parents=True)
    path.rename(there)
    target = tmp_path / "got" / digest
    part = target.parent / f"tmp-fetch-{digest}"
    with ThreadPoolExecutor(1) as threads:
        fetching = threads.submit(far.fetch, digest, size, target)
        _until(lambda: part.exists() and part.stat().st_size > 2**20)
        host.kill_sessions()
        assert isinstance(fetching.exception(), Unreachable)
    before = part.stat()
    assert 0 < before.st_size < size
    far.fetch(digest, size, target)
    assert target.stat().st_ino == before.st_ino
    assert digest_bytes(target.read_bytes()) == digest
    assert not part.exists()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)
