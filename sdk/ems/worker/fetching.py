"""What a parcel needs of S3, brought to the disk here; and that disk's folders.

    <EMS_SCRATCH or the folder for temporary files>/ems-<user>/<root in S3>/
        objects/        kept for the next parcel, while there is room
        jobs/<id>-…/    one that runs: its parcel, messages, output, scratch, checkpoints

Knows objects by digest. Does not know how a parcel is run.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile

from ..hashing import digest_file
from .answers import Away, Missing, NoRoom, S3Error, Stopped
from .places import object_path
from .scratch import remove
from .values import OBJECT_TAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any, Dict, Iterator, List, Mapping, Tuple, TypeVar

    from .protocol import Message
    from .s3 import S3

    T = TypeVar("T")

_RANGE_BYTES = 16 * 1024 * 1024
_OBJECTS_AT_ONCE = 8
_RANGES_AT_ONCE = 4
_SPARE_BYTES = 64 * 1024 * 1024


def key_of(digest: str) -> str:
    """Return where an object lies below the root in S3."""
    return "objects/%s/%s" % (digest[:2], digest)


class Disk:
    """The folders here that belong to one root in S3, and to this user; several jobs share them."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        base = environ.get("EMS_SCRATCH") or tempfile.gettempdir()
        own = os.path.join(base, "ems-%d" % os.getuid())
        os.makedirs(own, mode=0o700, exist_ok=True)
        if os.stat(own).st_uid != os.getuid():
            raise NoRoom("%s belongs to somebody else; EMS_SCRATCH names another folder" % own)
        self.root = os.path.join(own, hashlib.sha256(url.encode("utf-8")).hexdigest()[:16])
        self.objects = os.path.join(self.root, "objects")
        self._jobs = os.path.join(self.root, "jobs")
        os.makedirs(self.objects, exist_ok=True)
        os.makedirs(self._jobs, exist_ok=True)
        self._held: List[int] = []

    def enter(self, job: str) -> str:
        """Return a new folder for a job, held until this process ends; remove those left over."""
        gate = os.open(os.path.join(self.root, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            for name in os.listdir(self._jobs):
                if not self._lives(name):
                    remove(os.path.join(self._jobs, name))
            folder = tempfile.mkdtemp(prefix=job + "-", dir=self._jobs)
            held = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX)
            self._held.append(held)
            return folder
        finally:
            os.close(gate)

    def _lives(self, name: str) -> bool:
        try:
            fd = os.open(os.path.join(self._jobs, name, "lock"), os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except OSError:
            return True
        finally:
            os.close(fd)

    def make_room(self, size: int, wanted: Mapping[str, bool]) -> None:
        """See to it that `size` bytes fit; raises NoRoom.

        Objects kept from earlier parcels go first, those not asked for the longest; none while
        another job runs here, which may need them.
        """
        if self._free() >= size + _SPARE_BYTES:
            return
        if sum(map(self._lives, os.listdir(self._jobs))) <= 1:
            kept = [
                os.path.join(parent, name)
                for parent, _, names in os.walk(self.objects)
                for name in names
                if name not in wanted and not name.startswith("tmp-")
            ]
            for path in sorted(kept, key=lambda each: os.stat(each).st_mtime):
                os.unlink(path)
                if self._free() >= size + _SPARE_BYTES:
                    return
        told = (size / 2.0**30, self._free() / 2.0**30, self.root)
        problem = "needs %.2f GiB, and %.2f GiB are free in %s; EMS_SCRATCH names another folder"
        raise NoRoom(problem % told)

    def _free(self) -> int:
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize


class Fetching:
    """Brings what a parcel names; what could not be had is in `troubles`: digest → sentence."""

    def __init__(self, roots: List[S3], disk: Disk) -> None:
        self._roots = roots
        self._disk = disk
        self._wanted: Dict[str, bool] = {}
        self.troubles: Dict[str, str] = {}

    def bring(self, parcel: Message) -> None:
        """Have every object of a parcel here, or a trouble for it.

        Raises NoRoom where the disk is too small, Away where S3 can't be reached.
        """
        self._wanted = dict(named(parcel))
        self._all(list(self._wanted))
        inner: List[str] = []
        for digest, is_folder in list(self._wanted.items()):
            if is_folder and digest not in self.troubles:
                with open(object_path(self._disk.objects, digest), "rb") as stream:
                    inner += [row[2] for row in json.loads(stream.read().decode("ascii"))]
        self._wanted.update(dict.fromkeys(inner, False))
        self._all(list(dict.fromkeys(inner)))

    def _all(self, digests: List[str]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_OBJECTS_AT_ONCE) as pool:
            doing = [pool.submit(self._one, digest) for digest in digests]
            for digest, trouble in zip(digests, _results(doing)):
                if trouble:
                    self.troubles[digest] = trouble

    def _one(self, digest: str) -> str:
        """Have an object here; return what is wrong with it, or nothing."""
        final = object_path(self._disk.objects, digest)
        if os.path.exists(final):
            os.utime(final)
            return ""
        made = os.path.join(self._disk.objects, "tmp-%d-%s" % (os.getpid(), os.urandom(6).hex()))
        try:
            fd = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                where = self._pull(key_of(digest), fd)
            finally:
                os.close(fd)
            found = digest_file(made)
            if found != digest:
                return "%s is damaged: its content has the digest %s" % (where, found[:16])
            os.chmod(made, 0o444)
            os.makedirs(os.path.dirname(final), exist_ok=True)
            os.rename(made, final)
            return ""
        except (NoRoom, Stopped, Away):
            raise  # nothing is wrong with the object
        except S3Error as error:
            return str(error)
        finally:
            if os.path.exists(made):
                os.unlink(made)

    def _pull(self, key: str, fd: int) -> str:
        """Write an object into a file, from the first root that has it; return where it was."""
        client, size = self._first(key, fd)
        if size > _RANGE_BYTES:
            self._pull_rest(client, key, fd, size)
        return "%s/%s" % (client.url, key)

    def _first(self, key: str, fd: int) -> Tuple[S3, int]:
        """Write the first stretch of an object; return whose it is, and the object's size."""
        for client in self._roots[:-1]:
            try:
                return client, client.fetch_range(key, fd, 0, _RANGE_BYTES)
            except Missing:
                continue
        return self._roots[-1], self._roots[-1].fetch_range(key, fd, 0, _RANGE_BYTES)

    def _pull_rest(self, client: S3, key: str, fd: int, size: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._disk.make_room(size - _RANGE_BYTES, self._wanted)
        with ThreadPoolExecutor(_RANGES_AT_ONCE) as pool:
            doing = [
                pool.submit(client.fetch_range, key, fd, at, _RANGE_BYTES)
                for at in range(_RANGE_BYTES, size, _RANGE_BYTES)
            ]
            for _ in _results(doing):
                pass


def _results(doing: List[Future[T]]) -> Iterator[T]:
    """Yield what comes of each; after an error what has not begun is left undone."""
    try:
        for each in doing:
            yield each.result()
    except BaseException:
        for each in doing:
            each.cancel()
        raise


def named(parcel: Message) -> Iterator[Tuple[str, bool]]:
    """Yield (digest, whether it stands for a folder) of all that a parcel names."""
    holders: List[Dict[str, Any]] = [parcel.get("code") or {}, *parcel["tasks"]]
    for each in holders:
        files: Dict[str, str] = each.get("files") or {}
        for digest in files.values():
            yield digest, False
    for version in parcel["versions"]:
        yield from _in_tree(version.get("args") or {})


def _in_tree(tree: Any) -> Iterator[Tuple[str, bool]]:
    if type(tree) is list:
        for item in tree:
            yield from _in_tree(item)
    elif type(tree) is dict:
        for key, item in tree.items():
            if key in OBJECT_TAGS:
                yield item[0], key == "$dir"
            else:
                yield from _in_tree(item)
