"""A desk at a place: files and jobs below one folder, asked for on stdin and answered on stdout.

    → {"n": 7, "do": "get", "size": 0, …}\\n  and `size` raw bytes
    ← {"n": 7, "size": 4096, …}\\n            and `size` raw bytes; or {"n": 7, "error": [of, why]}
    ← {"n": 0}\\n                             at least every few seconds: it is still there

One session serves all that a broker asks of a host. Knows frames; what is asked is up to
`desk_files` and `desk_jobs`. Does not know who asks, nor how the session came.
"""

from __future__ import annotations

import errno
import json
import os
import select
import sys
import time

from .desk_files import Files, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    from .desk_files import Answer, Verb

MARK = b"EMS-DESK "
"""Begins the first line; what a login shell wrote before it is not ours."""
PROTOCOL = 1
BEAT_S = 3.0
_BLOCK_BYTES = 1024 * 1024


class Stream:
    """Requests in and answers out; says that it is there while it waits and works."""

    def __init__(self, take: int, give: int) -> None:
        self._take, self._give = take, give
        self._ready = bytearray()
        self._said = time.monotonic()

    def line(self) -> Optional[bytes]:
        """Return the next line, or None at the end."""
        at = self._ready.find(b"\n")
        while at < 0:
            seen = len(self._ready)
            if not self._more():
                return None
            at = self._ready.find(b"\n", seen)
        return self._cut(at + 1)

    def block(self, size: int) -> Optional[bytes]:
        """Return so many bytes, or None where the end comes first."""
        while len(self._ready) < size:
            if not self._more():
                return None
        return self._cut(size)

    def send(self, header: Dict[str, Any], data: bytes = b"") -> None:
        """Write one answer."""
        header["size"] = len(data)
        self.write(json.dumps(header, separators=(",", ":")).encode() + b"\n" + data)

    def write(self, data: bytes) -> None:
        """Write bytes, all of them."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._give, view[:_BLOCK_BYTES]) :]
        self._said = time.monotonic()

    def beat(self) -> None:
        """Say that the desk is there, where it has said nothing for a while."""
        if time.monotonic() - self._said >= BEAT_S:
            self.send({"n": 0})

    def _cut(self, size: int) -> bytes:
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def _more(self) -> bool:
        self.beat()
        while not select.select([self._take], [], [], BEAT_S)[0]:
            self.beat()
        block = os.read(self._take, _BLOCK_BYTES)
        self._ready += block
        return bool(block)


def serve(root: str) -> int:
    """Answer until nobody asks any more; return the exit code. `root` may begin with `~`."""
    root = os.path.abspath(os.path.expanduser(root))
    give = os.dup(1)
    os.dup2(2, 1)  # what prints by mistake must not print into an answer
    stream = Stream(0, give)
    hello: Dict[str, Any] = {"desk": PROTOCOL, "root": root, "home": os.path.expanduser("~")}
    hello["python"] = "%d.%d.%d" % sys.version_info[:3]
    try:
        os.makedirs(root, 0o700, exist_ok=True)
        Files(root, stream.beat).sweep()
    except OSError as error:
        hello["error"] = [root, _why(error)]
    try:
        stream.write(MARK + json.dumps(hello).encode() + b"\n")
        return 1 if "error" in hello else _answer_all(stream, _verbs(root, stream))
    except BrokenPipeError:
        return 0


def _verbs(root: str, stream: Stream) -> Dict[str, Verb]:
    from .desk_jobs import Jobs

    return {**Files(root, stream.beat).verbs(), **Jobs(root, stream.beat).verbs()}


def _answer_all(stream: Stream, verbs: Dict[str, Verb]) -> int:
    while True:
        line = stream.line()
        if line is None:
            return 0
        asked: Dict[str, Any] = json.loads(line)
        data = stream.block(int(asked.get("size", 0)))
        if data is None:
            return 0
        answer, out = _answer(verbs, asked, data)
        answer["n"] = asked["n"]
        stream.send(answer, out)


def _answer(verbs: Dict[str, Verb], asked: Dict[str, Any], data: bytes) -> Answer:
    verb = verbs.get(str(asked.get("do")))
    try:
        if verb is None:
            raise Problem(str(asked.get("do")), "is nothing that this desk can do")
        return verb(asked, data)
    except Problem as problem:
        return {"error": list(problem.args)}, b""
    except OSError as error:
        return {"error": [str(error.filename or "the place"), _why(error)]}, b""
    except (KeyError, TypeError, ValueError) as error:
        return {"error": [str(asked.get("do")), "was asked wrongly: %r" % (error,)]}, b""


def _why(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "there is no room left on the place's disk"
    return (error.strerror or str(error)).lower()
