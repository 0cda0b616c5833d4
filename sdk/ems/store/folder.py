"""A root in a folder: local disk or a shared file system.

Works relative to an open descriptor of the folder, so that a store which was removed stays
removed: a write into it fails, and never makes a new one. What appears under a key appears whole:
written under a temporary name, then linked (create-only) or renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from ems.errors import StoreError, UsageError
from ems.store.faults import explain, vanished
from ems.store.layout import FORMAT, OPEN, TEMP, TOP, has, lay_out, open_folder
from ems.store.root import Stat

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class FolderRoot:
    """The `Root` of a folder. `open` makes the folder and its layout, but not `format.json`."""

    probes = True

    def __init__(self, path: Path, fd: int) -> None:
        self.url = str(path)
        self.at = path
        seen = os.fstat(fd)
        self.identity = f"{os.path.realpath(path)}\n{seen.st_dev}:{seen.st_ino}"
        self._fd = fd
        self._dirs: dict[str, int] = {}
        self._own = f"{TEMP}{os.getpid()}-{os.urandom(4).hex()}"
        self._count = count()  # threads may share it, which a generator can't be
        self.writable = os.access("log", os.W_OK, dir_fd=fd)

    @classmethod
    def open(cls, path: Path, *, create: bool) -> FolderRoot:
        path = path.expanduser().absolute()
        try:
            fd = open_folder(path)
            if create and (fd is None or not has(fd, FORMAT)):
                fd = lay_out(path, fd)
        except NotADirectoryError:
            raise UsageError(str(path), "is a file; a store is a folder") from None
        except OSError as e:
            raise explain(str(path), "", e) from None
        if fd is None:
            raise StoreError(str(path), "there is no store here", "emsctl run, or check `store:`")
        return cls(path, fd)

    def close(self) -> None:
        for fd in (self._fd, *self._dirs.values()):
            os.close(fd)
        self._dirs = {}
        self._fd = -1

    # reading

    def get(self, key: str) -> bytes | None:
        found = self.look(key)
        return None if found is None else found[0]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def look(self, key: str) -> tuple[bytes, Stat] | None:
        try:
            fd = os.open(key, OPEN, dir_fd=self._fd)
        except FileNotFoundError:
            self._still_here(key)
            return None
        except OSError as e:
            raise self._explain(key, e) from None
        try:
            seen = os.fstat(fd)
            return _read(fd, 0, seen.st_size), _stat(key, seen)
        except OSError as e:
            raise self._explain(key, e) from None
        finally:
            os.close(fd)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        try:
            fd = os.open(key, OPEN, dir_fd=self._fd)
            try:
                return _read(fd, start, length)
            finally:
                os.close(fd)
        except OSError as e:
            raise self._explain(key, e) from None

    def stat(self, key: str) -> Stat | None:
        try:
            seen = os.stat(key, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise self._explain(key, e) from None
        return _stat(key, seen)

    def list(self, prefix: str, after: str = "") -> Iterator[Stat]:
        folder = prefix.rstrip("/")
        try:
            fd = os.open(folder, OPEN | os.O_DIRECTORY, dir_fd=self._fd)
        except FileNotFoundError:
            self._still_here(prefix)
            return
        except OSError as e:
            raise self._explain(prefix, e) from None
        try:
            with os.scandir(fd) as found:
                entries = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in found)
        finally:
            os.close(fd)
        for name, is_folder in entries:
            key = f"{folder}/{name}"
            if is_folder:
                yield from self.list(key + "/", after)
            elif key > after and (seen := self.stat(key)) is not None:
                yield seen

    # writing

    def put_new(self, key: str, data: bytes, *, durable: bool = True) -> bool:
        temp = self._write(key, data, durable)
        try:
            os.link(temp, key, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except FileExistsError:
            # over NFS a link that was made can be reported as one that was there before
            return os.stat(temp, dir_fd=self._fd).st_nlink == 2
        except OSError as e:
            raise self._explain(key, e, linking=True) from None
        finally:
            self._forget(temp)
        if durable:
            self._sync_folder(key)
        return True

    def harden(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                fd = os.open(key, OPEN, dir_fd=self._fd)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
            except OSError as e:
                raise self._explain(key, e) from None
        if keys:
            self._sync_folder(keys[0])

    def put(self, key: str, data: bytes) -> None:
        temp = self._write(key, data, durable=False)
        self._rename(temp, key)

    def freshen(self, key: str) -> bool:
        try:
            os.utime(key, dir_fd=self._fd)
        except FileNotFoundError:
            return False
        except OSError as e:
            raise self._explain(key, e) from None
        return True

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                os.unlink(key, dir_fd=self._fd)
            except FileNotFoundError:
                continue
            except OSError as e:
                raise self._explain(key, e) from None

    def prune(self, folders: Sequence[str]) -> None:
        from ems.worker.scratch import remove

        for folder in folders:
            remove(str(self.at / folder))

    def make_folder(self, key: str) -> Path:
        """Make a folder under the root, with its parents, and return its path."""
        self._still_here(key)
        try:
            self._mkdir(key)
        except OSError as e:
            raise self._explain(key, e) from None
        return self.at / key

    # how

    def _write(self, key: str, data: bytes, durable: bool) -> str:
        name = f"{self._own}-{next(self._count)}"
        temp = f"{key.rpartition('/')[0]}/{name}".lstrip("/")
        try:
            fd = self._create(temp)
            try:
                _write_all(fd, data)
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as e:
            self._forget(temp)
            raise self._explain(key, e) from None
        return temp

    def _create(self, key: str) -> int:
        try:
            return os.open(key, _CREATE, 0o666, dir_fd=self._fd)
        except FileNotFoundError:
            folder = key.rpartition("/")[0]
            if folder in TOP:
                raise
            self._still_here(key)
            self._mkdir(folder)
            return os.open(key, _CREATE, 0o666, dir_fd=self._fd)

    def _rename(self, temp: str, key: str) -> None:
        try:
            try:
                os.replace(temp, key, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except FileNotFoundError:
                self._still_here(key)
                self._mkdir(key.rpartition("/")[0])
                os.replace(temp, key, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except OSError as e:
            self._forget(temp)
            raise self._explain(key, e) from None

    def _mkdir(self, folder: str) -> None:
        try:
            os.mkdir(folder, dir_fd=self._fd)
        except FileExistsError:
            return
        except FileNotFoundError:
            parent = folder.rpartition("/")[0]
            if not parent or parent in TOP:
                raise
            self._mkdir(parent)
            self._mkdir(folder)

    def _sync_folder(self, key: str) -> None:
        folder = key.rpartition("/")[0] or "."
        fd = self._dirs.get(folder)
        if fd is None:
            fd = os.open(folder, OPEN | os.O_DIRECTORY, dir_fd=self._fd)
            if folder == "log":
                self._dirs[folder] = fd
        try:
            os.fsync(fd)
        except OSError as e:
            raise self._explain(key, e) from None
        finally:
            if folder not in self._dirs:
                os.close(fd)

    def _forget(self, temp: str) -> None:
        with contextlib.suppress(OSError):  # a leftover is swept up by gc
            os.unlink(temp, dir_fd=self._fd)

    def _still_here(self, key: str) -> None:
        """Raise where the folder lost its store, or its path is another folder's by now."""
        if key == FORMAT:
            return
        try:
            same = os.path.samestat(os.stat(self.at), os.fstat(self._fd))
        except OSError:
            same = False
        if not same or not has(self._fd, FORMAT):
            raise vanished(self.url)

    def _explain(self, key: str, e: OSError, linking: bool = False) -> StoreError:
        if e.errno in (errno.ENOENT, errno.ESTALE) and not has(self._fd, FORMAT):
            return vanished(self.url)
        if linking and e.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            return StoreError(self.url, "the file system has no hard links", "a store elsewhere")
        return explain(self.url, key, e)


def _stat(key: str, seen: os.stat_result) -> Stat:
    # a moved file keeps its old mtime; that it was moved is what counts here
    return Stat(key, seen.st_size, max(seen.st_mtime, seen.st_ctime))


def _read(fd: int, start: int, wanted: int) -> bytes:
    parts: list[bytes] = []
    while wanted > 0 and (part := os.pread(fd, min(wanted, 1 << 30), start)):
        parts.append(part)
        start += len(part)
        wanted -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
