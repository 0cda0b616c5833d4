"""One session with a desk at a place: requests out, answers back, several under way at a time.

Knows frames and time: a desk says at least every few seconds that it is there, and one that has
been silent for `patience_s` is taken for lost. Does not know what is asked, nor how it is reached.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as NotYet
from typing import Any, NamedTuple, TypeVar

from ems.compute.remote.order import PlaceError, Unreachable
from ems.errors import EmsError
from ems.worker.desk import MARK

_BLOCK_BYTES = 1024 * 1024
_MOST_NOISE = 256 * 1024
"""A login shell may print so much before the desk's first word."""
_ENDS_S = 2.0
_T = TypeVar("_T")


class Answer(NamedTuple):
    """What a desk answered."""

    says: Mapping[str, Any]
    data: bytes


class Session:
    """A process here that talks with a desk there; once lost, it stays lost.

    `explain` says what the process's end means (exit code, standard error).
    """

    def __init__(
        self,
        argv: Sequence[str],
        where: str,
        patience_s: float,
        explain: Callable[[int, bytes], EmsError],
    ) -> None:
        self._where, self._patience_s, self._explain = where, patience_s, explain
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the session ends
        self._process = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            bufsize=0, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._give, self._take = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._give, False)
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._promises: dict[int, Future[Answer]] = {}
        self._serial = 0
        self._heard = time.monotonic()
        self._ready = bytearray()
        self._lost: EmsError | None = None
        self.hello: Future[Mapping[str, Any]] = Future()
        self._thread = threading.Thread(target=self._listen, name=f"ems-{where}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether nothing more will come of it."""
        return self._lost is not None

    # -- asking -----------------------------------------------------------------------------------

    def ask(self, do: str, words: Mapping[str, Any], data: bytes = b"") -> Future[Answer]:
        """Send a request; return what `answer` waits for."""
        promise: Future[Answer] = Future()
        with self._lock:
            if self._lost is not None:
                raise self._lost
            self._serial += 1
            number = self._serial
            self._promises[number] = promise
        header = {"n": number, "do": do, "size": len(data), **words}
        self._write(json.dumps(header, separators=(",", ":")).encode() + b"\n" + data)
        return promise

    def answer(self, promise: Future[_T]) -> _T:
        """Wait for an answer; raises Unreachable once nothing was heard for too long."""
        asked = time.monotonic()
        while True:
            left = max(asked, self._heard) + self._patience_s - time.monotonic()
            try:
                return promise.result(max(0.0, left))
            except NotYet:
                self._check_silence(asked)

    def _check_silence(self, since: float) -> None:
        if time.monotonic() - max(since, self._heard) >= self._patience_s:
            self._lose(Unreachable(self._where, f"did not answer for {self._patience_s:g} s"))

    def _write(self, data: bytes) -> None:
        began, view = time.monotonic(), memoryview(data)
        with self._writing:
            while view:
                if self._lost is not None:
                    raise self._lost
                try:
                    if select.select([], [self._give], [], 0.5)[1]:
                        view = view[os.write(self._give, view[:_BLOCK_BYTES]) :]
                    else:
                        self._check_silence(began)
                except BlockingIOError:
                    pass
                except (BrokenPipeError, ValueError):
                    self._thread.join(_ENDS_S)  # it finds out why
                    self._lose(Unreachable(self._where, "ended the session"))

    # -- listening --------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take answers in until there are no more."""
        error: EmsError = Unreachable(self._where, "ended the session")
        try:
            self._greet()
            while (header := self._line()) is not None:
                says: dict[str, Any] = json.loads(header)
                data = self._bytes(says["size"])
                if data is None:
                    break
                self._keep(says, data)
            error = self._why_ended()
        except ValueError:
            error = PlaceError(self._where, "answers with what is no answer of a desk")
        finally:
            self._lose(error)

    def _greet(self) -> None:
        noise = 0
        while (line := self._line()) is not None and noise < _MOST_NOISE:
            if line.startswith(MARK):
                self.hello.set_result(json.loads(line[len(MARK) :]))
                return
            noise += len(line)

    def _keep(self, says: dict[str, Any], data: bytes) -> None:
        with self._lock:
            promise = self._promises.pop(says["n"], None)
        if promise is None:  # it only says that it is there
            return
        if "error" in says:
            subject, problem = says["error"]
            promise.set_exception(PlaceError(subject, f"{problem} ({self._where})"))
        else:
            promise.set_result(Answer(says, data))

    def _line(self) -> bytes | None:
        at = self._ready.find(b"\n")
        while at < 0:
            seen = len(self._ready)
            if not self._more():
                return None
            at = self._ready.find(b"\n", seen)
        return self._cut(at + 1)

    def _bytes(self, size: int) -> bytes | None:
        while len(self._ready) < size:
            if not self._more():
                return None
        return self._cut(size)

    def _cut(self, size: int) -> bytes:
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def _more(self) -> bool:
        block = os.read(self._take, _BLOCK_BYTES)
        self._heard = time.monotonic()
        self._ready += block
        return bool(block)

    def _why_ended(self) -> EmsError:
        """Return what the end of the process means."""
        try:
            code = self._process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            return Unreachable(self._where, "closed the session")
        self._errors.seek(0)
        return self._explain(code, self._errors.read())

    # -- the end ----------------------------------------------------------------------------------

    def _lose(self, error: EmsError) -> None:
        """Note why the session is over; every promise is broken with it."""
        with self._lock:
            if self._lost is None:
                self._lost = error
            waiting, self._promises = self._promises, {}
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        for promise in [*waiting.values(), self.hello]:
            with contextlib.suppress(InvalidStateError):
                promise.set_exception(self._lost)

    def close(self) -> None:
        """End the session: the desk ends when nobody asks any more."""
        with self._writing, contextlib.suppress(OSError):
            assert self._process.stdin
            self._process.stdin.close()
        self._thread.join(_ENDS_S)
        self._lose(Unreachable(self._where, "the session is closed"))
        self._process.wait()
        self._thread.join(_ENDS_S)
        if not self._thread.is_alive():  # else something else holds the other end, and it reads on
            assert self._process.stdout
            self._process.stdout.close()
            self._errors.close()
