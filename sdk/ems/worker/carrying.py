"""What a job says, carried from its folder here to S3 while it runs.

    jobs/<id>/events/<offset>   jobs/<id>/output/<offset>     parts, in order one growing file each
    attempts/<version>/checkpoint.json  attempts/<version>/files/<digest>
    objects/<2 hex>/<digest>

Objects and attempts may lie below another root than jobs do: the store's, where that is in S3, too.
The last part is written again, longer, until it is large, so that their number stays small. Every
write has a condition: of two workers at one job, one finds out and stops. What an `end` names is in
S3 before the `end` is. Knows messages and files. Does not know processes.
"""

from __future__ import annotations

import json
import os
import threading
import time

from ..hashing import digest_file
from . import protocol
from .answers import Missing, S3Error, Stopped, Taken
from .fetching import key_of
from .inputs import rows_of
from .places import copy_file, object_path
from .scratch import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Set

    from .protocol import Message
    from .s3 import S3

_PART_BYTES = 256 * 1024
_BLOCK_BYTES = 4 * 1024 * 1024
_PAUSE_S = 1.0
_CHECKPOINT_S = 30.0
_YOUNG_S = 1200.0
"""An older object is put again, so that a store's gc sees that it is of use."""


class Superseded(Exception):
    """Another worker is at this job, or nobody wants it any more."""


class Tail:
    """The last part of a growing file as S3 has it; writing goes on there."""

    def __init__(self, start: int = 0, data: bytes = b"", etag: str = "") -> None:
        self.start, self.data, self.etag = start, data, etag

    @property
    def end(self) -> int:
        """The length of the whole file."""
        return self.start + len(self.data)


class Past:
    """What earlier workers at a job carried to S3 before they were lost."""

    def __init__(self, client: S3, job: str) -> None:
        prefix = "jobs/%s/" % job
        self.canceled = False
        self.ended: Set[str] = set()
        self.failed: Optional[Message] = None
        self.over = ""
        parts: Dict[str, List[str]] = {"events": [], "output": []}
        for key, _ in client.list(prefix):
            kind, _, offset = key[len(prefix) :].partition("/")
            if kind in parts and offset:
                parts[kind].append(key)
            elif kind == "events.jsonl.cancel":
                self.canceled = True
        self.output = self._tail(client, parts["output"])
        self.events = self._tail(client, parts["events"])
        earlier = [client.get(key) for key in parts["events"][:-1]]
        self._read(b"".join([*earlier, self.events.data]))

    def _tail(self, client: S3, keys: List[str]) -> Tail:
        if not keys:
            return Tail()
        found = client.ask("GET", keys[-1])
        return Tail(int(keys[-1].rpartition("/")[2]), found.body, found.headers["etag"])

    def _read(self, events: bytes) -> None:
        for line in events.splitlines():
            if line.startswith(protocol.END_PREFIX):
                message = protocol.decode(line)
                self.ended.add(message["v"])
                if self.failed is None and not message["ok"]:
                    self.failed = message
            elif line.startswith(protocol.PARCEL_PREFIX):
                self.over = protocol.decode(line)["state"]


class Parts:
    """A growing file as objects named by offset, from the last one on that is there."""

    def __init__(self, client: S3, prefix: str, tail: Tail) -> None:
        self._client, self._prefix, self._start = client, prefix, tail.start
        self._data = bytearray(tail.data)
        self._sent = len(tail.data)
        self._etag = tail.etag
        self._next = 0.0
        self._close_if_large()

    @property
    def waiting(self) -> int:
        """How many bytes have not been sent."""
        return len(self._data) - self._sent

    def add(self, data: bytes) -> None:
        """Append to it; nothing is sent yet."""
        self._data += data

    def send(self, hurry: bool = False) -> None:
        """Send what is new, unless that was done a moment ago; raises Superseded."""
        if len(self._data) == self._sent or (not hurry and time.monotonic() < self._next):
            return
        data = bytes(self._data)
        self._etag = self._put("%s%012d" % (self._prefix, self._start), data)
        self._sent = len(data)
        self._next = time.monotonic() + max(_PAUSE_S, len(data) / 2.0**20)
        self._close_if_large()

    def _close_if_large(self) -> None:
        if self._sent >= max(_PART_BYTES, self._start // 64):
            self._start += self._sent
            del self._data[: self._sent]
            self._sent, self._etag = 0, ""

    def _put(self, key: str, data: bytes) -> str:
        while True:
            condition = {"if-match": self._etag} if self._etag else {"if-none-match": "*"}
            try:
                return self._client.put(key, data, condition)
            except Missing:
                raise Superseded("%s is gone: the job was removed" % key) from None
            except Taken:
                self._etag = self._own(key, data)

    def _own(self, key: str, data: bytes) -> str:
        """Return the ETag of a part that this worker wrote and never heard of."""
        there = self._client.ask("GET", key)
        if not there.body or not data.startswith(there.body) or there.headers["etag"] == self._etag:
            raise Superseded("%s was written by another worker at this job" % key)
        return there.headers["etag"]


class Checkpoints:
    """Checkpoints of a parcel's versions, in the folder `attempts` here and in S3."""

    def __init__(self, client: S3, attempts: str) -> None:
        self._client, self._attempts = client, attempts
        self._lock = threading.Lock()
        self._saved: Dict[str, Any] = {}
        self._files: Dict[str, Set[str]] = {}
        self._when: Dict[str, float] = {}

    def bring(self, client: S3, version: str) -> None:
        """Have the last checkpoint of a version here, if there is one."""
        base = "attempts/%s/" % version
        try:
            rows = json.loads(client.get(base + "checkpoint.json").decode("utf-8"))
        except Missing:
            return
        folder = self._folder(version)
        for relative, mode, digest, size in rows:
            path = os.path.join(folder, relative)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o700 if mode else 0o600)
            try:
                at = 0
                while at < size:
                    client.fetch_range(base + "files/" + digest, fd, at, _BLOCK_BYTES * 4)
                    at += _BLOCK_BYTES * 4
            finally:
                os.close(fd)
            if digest_file(path) != digest:
                remove(folder)
                return  # begun anew is right, and slower
        self._saved[version] = _rows(folder)
        self._files[version] = {row[2] for row in rows}

    def changed(self, version: str) -> bool:
        """Return whether there is something new, and the last upload some time ago."""
        if time.monotonic() - self._when.get(version, -_CHECKPOINT_S) < _CHECKPOINT_S:
            return False
        rows = _rows(self._folder(version))
        return bool(rows) and rows != self._saved.get(version)

    def save(self, version: str, client: Optional[S3] = None) -> None:
        """Upload the checkpoint of a version as it is now, if it is a new one.

        One that changes meanwhile is left for the next time: what is in S3 is whole.
        """
        with self._lock:
            folder = self._folder(version)
            rows = _rows(folder)
            if not rows or rows == self._saved.get(version):
                return
            still = os.path.join(self._attempts, version, "still")
            try:
                listed = self._upload(client or self._client, version, folder, still, rows)
            except FileNotFoundError:
                return  # it changes right now
            finally:
                remove(still)
            self._when[version] = time.monotonic()
            if listed is not None:
                self._saved[version] = rows

    def _upload(
        self, client: S3, version: str, folder: str, still: str, rows: List[List[Any]]
    ) -> Optional[List[List[Any]]]:
        base = "attempts/%s/" % version
        listed: List[List[Any]] = []
        remove(still)
        for relative, _, _, _ in rows:
            _keep(os.path.join(folder, relative), os.path.join(still, relative))
        if _rows(folder) != rows:
            return None
        known = self._files.get(version, set())
        for relative, size, _, _ in rows:
            path = os.path.join(still, relative)
            digest, mode = digest_file(path), "x" if os.stat(path).st_mode & 0o100 else ""
            listed.append([relative, mode, digest, size])
            if digest not in known:
                client.put_file(base + "files/" + digest, path)
        if any(_stamp(still, row) != row[1:3] for row in rows):
            return None
        client.put(base + "checkpoint.json", json.dumps(listed).encode("ascii"))
        now = {row[2] for row in listed}
        self._files[version] = now
        for digest in known - now:
            client.delete(base + "files/" + digest)
        return listed

    def drop(self, version: str) -> None:
        """Remove the checkpoint of a version that has its result, if it had one."""
        if version not in self._saved:
            return
        try:
            for key, _ in self._client.list("attempts/%s/" % version):
                self._client.delete(key)
        except S3Error:
            pass  # it goes with the next gc, or by the bucket's own rule

    def _folder(self, version: str) -> str:
        return os.path.join(self._attempts, version, "checkpoint")


def _rows(folder: str) -> List[List[Any]]:
    try:
        return rows_of(folder)
    except OSError:  # there is none yet, or it changes right now
        return []


def _keep(source: str, target: str) -> None:
    """Have a file under a second name, which stays what it is when the first one is replaced."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        copy_file(source, target)
        found = os.stat(source)
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _stamp(folder: str, row: List[Any]) -> List[int]:
    found = os.stat(os.path.join(folder, row[0]))
    return [found.st_size, found.st_mtime_ns]


class Carrier:
    """Carries the messages and the output of one job; one round after the other."""

    def __init__(
        self,
        client: S3,
        job: str,
        folder: str,
        objects: str,
        outbox: S3,
        past: Past,
        checkpoints: Checkpoints,
        requeue: bool,
    ) -> None:
        self._outbox, self._objects, self._checkpoints = outbox, objects, checkpoints
        self._events = Parts(client, "jobs/%s/events/" % job, past.events)
        self._output = Parts(client, "jobs/%s/output/" % job, past.output)
        self._events_path = os.path.join(folder, "events.jsonl")
        self._output_path = os.path.join(folder, "output")
        self._events_at, self._output_at = 0, past.output.end
        self._requeue = requeue
        self._tail = b""
        self._lines: List[bytes] = []
        self._there: Set[str] = set()
        self._done: List[str] = []
        self.last_checkpoint: Optional[S3] = None
        """What checkpoints of failed versions are uploaded with, where it may take only so long."""
        self.failed: Optional[Message] = past.failed
        """The first `end` of the parcel that was not ok, as far as the keeper does not know it."""
        self.troubles: Dict[str, str] = {}
        """Why objects are missing here: digest → sentence."""

    def round(self, hurry: bool = False) -> None:
        """Carry what is new. What fails is done again next time; raises S3Error, Superseded."""
        self._read_events()
        while self._output.waiting >= _BLOCK_BYTES or self._read_output():
            self._output.send(hurry=True)
        self._output.send(hurry)
        while self._lines:
            line = self._passed(self._lines[0])
            if line:
                self._events.add(line + b"\n")
            del self._lines[0]
        self._events.send(hurry)
        while self._done and not self._events.waiting:
            self._checkpoints.drop(self._done.pop())

    def _read_events(self) -> None:
        data = _read(self._events_path, self._events_at, -1)
        self._events_at += len(data)
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()
        self._lines += lines

    def _read_output(self) -> bool:
        data = _read(self._output_path, self._output_at, _BLOCK_BYTES)
        self._output_at += len(data)
        self._output.add(data)
        return len(data) == _BLOCK_BYTES

    def _passed(self, line: bytes) -> bytes:
        """Return a message as it goes out, or nothing for one that stays."""
        if line.startswith(protocol.END_PREFIX):
            return self._ended(line)
        if line.startswith(protocol.PARCEL_PREFIX):
            message = protocol.decode(line)
            if self._requeue and message["state"] == "preempted":
                return b""
            if self.failed is not None:
                made = protocol.parcel_end(message["id"], message["state"], self.failed)
                return protocol.encode(made)[:-1]
        return line

    def _ended(self, line: bytes) -> bytes:
        message = protocol.decode(line)
        if message["ok"]:
            files: Dict[str, int] = dict(message.get("files") or ())
            missing = [each for each in files if each not in self._there]
            if missing:
                self._events.send(hurry=True)
            for digest in missing:
                trouble = self._upload(digest, files[digest])
                if trouble:
                    return self._spoiled(message, trouble)
            self._done.append(message["v"])
            return line
        try:
            self._checkpoints.save(message["v"], self.last_checkpoint)
        except Stopped:
            pass  # there is no time left for it: the one before counts
        if self._requeue and message["reason"] == "preempted":
            return b""
        if message["reason"] == "input_missing":
            said = message["error"]["message"]
            why = [self.troubles[each] for each in self.troubles if each[:16] in said]
            message["error"]["message"] = "; ".join([said, *why])
            line = protocol.encode(message)[:-1]
        return line

    def _upload(self, digest: str, size: int) -> str:
        """Have an object in S3; return what is wrong with it here, or nothing."""
        found = self._outbox.stat(key_of(digest))
        if found is None or not found.is_content(digest, size) or found.age_s > _YOUNG_S:
            try:
                self._outbox.put_file(key_of(digest), object_path(self._objects, digest))
            except OSError as error:
                return "object %s can't be read here: %s" % (digest[:16], error.strerror)
        self._there.add(digest)
        return ""

    def _spoiled(self, message: Message, trouble: str) -> bytes:
        made = protocol.lost_end(
            message, "worker", trouble, message["t0"], message["t1"], message.get("log")
        )
        self.failed = self.failed or made
        return protocol.encode(made)[:-1]


def _read(path: str, start: int, length: int) -> bytes:
    try:
        with open(path, "rb") as stream:
            stream.seek(start)
            return stream.read(length)
    except FileNotFoundError:
        return b""
