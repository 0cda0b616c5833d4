"""A place without anything of ours but a folder and a Python: files there, through a desk.

The worker is copied there on first contact, and its `desk` answers over one session, which is
opened anew after it was lost. Uploads and downloads go on where they were cut. Knows the desk's
words. Does not know how the place is reached (`link`), nor what runs there.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from ems.compute import ship
from ems.compute.remote.desk_session import Answer, Session
from ems.compute.remote.link import Done, Here, Link
from ems.compute.remote.order import PlaceError, Unreachable
from ems.compute.remote.site import Look, Seen
from ems.errors import EmsError
from ems.hashing import digest_bytes, digest_file

PATIENCE_S = 15.0
"""A desk that has been silent for so long is lost."""
_PART_BYTES = 256 * 1024
_UNDER_WAY = 8
"""So many parts are under way at once: what a link of 100 ms needs to carry 20 MB/s."""
_WRITE_BYTES = 4 * 2**20
_COPY_S = 300.0
_ROUNDS = 3

_NO_WORKER, _NO_PYTHON, _OLD_PYTHON, _DAMAGED = 91, 92, 93, 94
# one line, no `!`, no backslash, no single quote: the login shell there may be none of sh's kind
_FIND = (
    'case "$1" in "~") r=$HOME;; "~/"*) r=$HOME/${1#??};; *) r=$1;; esac; '
    'case "$2" in "~/"*) p=$HOME/${2#??};; *) p=$2;; esac; w=$r/worker-$3.pyz; '
)
_CHECK = (
    f'command -v "$p" >/dev/null 2>&1 || exit {_NO_PYTHON}; '
    f'"$p" -c "import sys; sys.exit(sys.version_info < (3, 8))" >/dev/null || exit {_OLD_PYTHON}; '
)
_OPEN = f'{_FIND}[ -f "$w" ] || exit {_NO_WORKER}; {_CHECK}exec "$p" "$w" desk "$r"'
_COPY = (
    f'umask 077; {_FIND}{_CHECK}mkdir -p "$r" && cat >"$w.$$" && '
    '"$p" -c "import hashlib, sys; f = open(sys.argv[1], chr(114) + chr(98)); '
    'sys.exit(hashlib.sha256(f.read()).hexdigest() != sys.argv[2])" "$w.$$" "$3" '
    f'&& mv "$w.$$" "$w" && exit 0; rm -f "$w.$$"; exit {_DAMAGED}'
)


class Line(Link, Protocol):
    """A link over which a session can be held."""

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command of this machine that runs `argv` at the place."""
        ...

    def explain(self, code: int, said: bytes) -> EmsError:
        """Return what it means that such a command ended, by its exit code and last words."""
        ...

    def drop(self) -> None:
        """Forget connections that don't answer, so that the next one is a new one."""
        ...


class Near(Here):
    """This machine, as a place that outlives this process."""

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return it as it is."""
        return list(argv)

    def explain(self, code: int, said: bytes) -> EmsError:
        """Return that the session ended."""
        return Unreachable(self.where, f"ended the session: {Done(code, b'', said).said()}")

    def drop(self) -> None:
        """Nothing is held."""


class DeskSite:
    """Files below `folder` (it may begin with `~`) at the other end of a link."""

    def __init__(
        self,
        link: Line,
        folder: str,
        python: str = "python3",
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._link, self._folder, self._python = link, folder, python
        self._patience_s = patience_s
        self._opening = threading.Lock()
        self._session: Session | None = None
        self._hello: Mapping[str, Any] = {}
        self._failure: tuple[float, EmsError] | None = None

    @property
    def root(self) -> str:
        """The folder as jobs at the place see it; the place is asked for it once."""
        return str(self.hello()["root"])

    @property
    def where(self) -> str:
        """What it is called, for people."""
        return self._link.where

    def hello(self) -> Mapping[str, Any]:
        """Return what the place said of itself: `root`, `home` and the `python` there."""
        if not self._hello:
            self._talk()
        return self._hello

    def ask(self, do: str, words: Mapping[str, Any], data: bytes = b"") -> Answer:
        """Ask the desk; raises Unreachable, or PlaceError where it can't do what is asked."""
        session = self._talk()
        return session.answer(session.ask(do, words, data))

    # -- the session ------------------------------------------------------------------------------

    def _talk(self) -> Session:
        """Return a session that answers; opens one where there is none."""
        came = time.monotonic()
        with self._opening:
            if self._session is not None and not self._session.lost:
                return self._session
            if self._failure is not None and self._failure[0] > came:
                raise self._failure[1]  # somebody else tried while this one waited
            self._let_go()
            try:
                self._session = self._opened()
            except EmsError as error:
                self._failure = time.monotonic(), error
                raise
            return self._session

    def _opened(self) -> Session:
        worker = ship.zipapp()
        digest = digest_bytes(worker)
        try:
            return self._greeted(digest)
        except _NoWorker:
            self._copy(worker, digest)
            return self._greeted(digest)

    def _greeted(self, digest: str) -> Session:
        argv = self._link.command(self._script(_OPEN, digest))
        try:
            session = Session(argv, self.where, self._patience_s, self._explain)
        except FileNotFoundError:
            raise PlaceError(argv[0], "is not installed on this machine") from None
        try:
            hello = session.answer(session.hello)
        except EmsError as error:
            session.close()
            if isinstance(error, Unreachable):
                self._link.drop()
            raise
        if "error" in hello:
            session.close()
            raise PlaceError(hello["error"][0], f"{hello['error'][1]} ({self.where})")
        self._hello = hello
        return session

    def _copy(self, worker: bytes, digest: str) -> None:
        done = self._link.run(self._script(_COPY, digest), worker, _COPY_S)
        if done.code:
            raise self._explain(done.code, done.err)

    def _script(self, script: str, digest: str) -> list[str]:
        return ["sh", "-c", script, "sh", self._folder, self._python, digest]

    def _explain(self, code: int, said: bytes) -> EmsError:
        """Return what the end of a script of ours means."""
        python = f"{self._python} on {self.where}"
        mend = "python: PATH of a Python 3.8 or newer there, in the target's settings"
        if code == _NO_WORKER:
            return _NoWorker(self.where, "has no worker yet")
        if code == _NO_PYTHON:
            return PlaceError(python, "there is no such command", mend)
        if code == _OLD_PYTHON:
            return PlaceError(python, "is older than Python 3.8, or does not start", mend)
        if code == _DAMAGED:
            why = said.decode("utf-8", "replace").strip().splitlines()
            what = why[-1] if why else "it arrived damaged"
            return PlaceError(f"{self._folder} on {self.where}", f"can't hold the worker: {what}")
        return self._link.explain(code, said)

    def _let_go(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
            self._link.drop()

    def close(self) -> None:
        """End the session and the link."""
        with self._opening:
            if self._session is not None:
                self._session.close()
                self._session = None
            self._link.close()

    # -- objects ----------------------------------------------------------------------------------

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Return those of the objects that are not there."""
        return set(self.ask("have", {"digests": list(digests)}).says["missing"])

    def put(self, objects: Mapping[str, Path]) -> None:
        """Bring objects there, each from where an earlier try was cut."""
        waiting = list(objects)
        for _ in range(_ROUNDS):
            waiting = self._put({digest: objects[digest] for digest in waiting})
            if not waiting:
                return
        digest = waiting[0]
        raise PlaceError(str(objects[digest]), f"is no longer the object {digest[:16]}")

    def _put(self, objects: Mapping[str, Path]) -> list[str]:
        """Send parts of objects; return those that are not whole there."""
        session = self._talk()
        had = session.answer(session.ask("have", {"digests": list(objects)})).says
        lacking = set(had["missing"])
        under_way: deque[tuple[str, Future[Answer]]] = deque()
        for digest in list(lacking):
            for words, data in _parts(digest, objects[digest], had["partial"].get(digest, 0)):
                under_way.append((digest, session.ask("put", words, data)))
                if len(under_way) >= _UNDER_WAY:
                    _take_note(session, under_way, lacking)
        while under_way:
            _take_note(session, under_way, lacking)
        return sorted(lacking)

    def fetch(self, digest: str, size: int, target: Path) -> None:
        """Bring an object here, from where an earlier try was cut."""
        part = target.parent / f"tmp-fetch-{digest}"
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_ROUNDS):
            with part.open("ab") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)  # another process may want the same
                if target.exists():
                    return
                if not _is_still(part, stream.fileno()):  # … and gave up what it had
                    continue
                self._go_on(digest, size, stream)
                if digest_file(part) == digest:
                    part.chmod(0o444)
                    part.rename(target)
                    return
                part.unlink()
        raise PlaceError(f"object {digest[:16]}", f"is damaged on {self.where}")

    def _go_on(self, digest: str, size: int, stream: Any) -> None:
        """Append what is missing of an object."""
        session = self._talk()
        at = stream.seek(0, os.SEEK_END)
        under_way: deque[Future[Answer]] = deque()
        while under_way or at < size:
            while at < size and len(under_way) < _UNDER_WAY:
                words = {"digest": digest, "at": at, "most": _PART_BYTES}
                under_way.append(session.ask("get", words))
                at += _PART_BYTES
            stream.write(session.answer(under_way.popleft()).data)
        stream.flush()

    # -- small files ------------------------------------------------------------------------------

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, each whole at once."""
        batch: dict[str, bytes] = {}
        for name, data in files.items():
            batch[name] = data
            if sum(map(len, batch.values())) >= _WRITE_BYTES:
                self._write(batch)
                batch = {}
        self._write(batch)

    def _write(self, files: Mapping[str, bytes]) -> None:
        if files:
            sizes = [[name, len(data)] for name, data in files.items()]
            self.ask("write", {"files": sizes}, b"".join(files.values()))

    def read(self, path: str) -> bytes | None:
        """Return a file; None where there is none."""
        says, data = self.ask("read", {"path": path})
        return data if says["there"] else None

    def look(self, asked: Sequence[Look]) -> list[Seen]:
        """Return what jobs wrote; one request for all."""
        says, data = self.ask("look", {"jobs": [list(each) for each in asked]})
        found: list[Seen] = []
        at = 0
        for events, output, there, complete in says["rows"]:
            middle, end = at + events, at + events + output
            found.append(Seen(data[at:middle], data[middle:end], there, complete))
            at = end
        return found

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files and folders."""
        self.ask("remove", {"paths": list(paths)})


class _NoWorker(EmsError):
    """The place was never met, or has an older worker."""


def _parts(digest: str, path: Path, at: int) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield what is asked for each part of a file from an offset on; at least one."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            at = min(at, size)
            stream.seek(at)
            while True:
                data = stream.read(_PART_BYTES)
                yield {"digest": digest, "at": at, "of": size}, data
                at += len(data)
                if at >= size or not data:
                    return
    except OSError as error:
        raise PlaceError(str(path), f"can't be read: {error.strerror}") from None


def _is_still(path: Path, fd: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _take_note(
    session: Session, under_way: deque[tuple[str, Future[Answer]]], lacking: set[str]
) -> None:
    digest, promise = under_way.popleft()
    if session.answer(promise).says.get("done"):
        lacking.discard(digest)
