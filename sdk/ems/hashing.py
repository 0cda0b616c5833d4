"""Content digests: SHA-256 over parts, equal everywhere, in the form of S3's composite checksum.

Knows bytes and files. Does not know values, tasks or stores. Standard library of Python 3.8 only,
since the worker carries this module along.
"""

from __future__ import annotations

import hashlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Optional, Tuple

    Entry = Tuple[str, str, str, int]

PART_BYTES = 64 * 1024 * 1024
"""Bytes of one part: 10,000 parts, S3's limit for one upload, make 625 GiB."""

_BLOCK_BYTES = 1024 * 1024


def digest_bytes(data: bytes) -> str:
    """Return the content digest of bytes: hex SHA-256, or `<hex>-<parts>` above one part."""
    if len(data) <= PART_BYTES:
        return hashlib.sha256(data).hexdigest()
    view = memoryview(data)
    parts = [
        hashlib.sha256(view[start : start + PART_BYTES]).digest()
        for start in range(0, len(data), PART_BYTES)
    ]
    return join_parts(parts)


def join_parts(parts: Iterable[bytes]) -> str:
    """Return the digest of a content from the raw SHA-256 digests of its parts, in order."""
    listed = list(parts)
    if len(listed) == 1:
        return listed[0].hex()
    return "%s-%d" % (hashlib.sha256(b"".join(listed)).hexdigest(), len(listed))


def digest_file(path: str | os.PathLike[str], threads: Optional[int] = None) -> str:
    """Return the content digest of a file; parts are hashed in parallel (the GIL is released).

    `threads` is the number of threads, by default one a core. Raises OSError as `open` does.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        count = max(1, -(-size // PART_BYTES))
        if count == 1:
            return _digest_part(fd, 0).hex()
        from concurrent.futures import ThreadPoolExecutor

        workers = min(threads or os.cpu_count() or 1, count)
        with ThreadPoolExecutor(workers) as pool:
            starts = range(0, size, PART_BYTES)
            return join_parts(pool.map(_digest_part, [fd] * count, starts))
    finally:
        os.close(fd)


def _digest_part(fd: int, start: int) -> bytes:
    found = hashlib.sha256()
    buffer = bytearray(_BLOCK_BYTES)
    view = memoryview(buffer)
    place, end = start, start + PART_BYTES
    while place < end:
        got = os.preadv(fd, [view[: min(_BLOCK_BYTES, end - place)]], place) if _PREADV else 0
        if not _PREADV:
            block = os.pread(fd, min(_BLOCK_BYTES, end - place), place)
            got = len(block)
            view[:got] = block
        if got == 0:
            break
        found.update(view[:got])
        place += got
    return found.digest()


_PREADV = hasattr(os, "preadv")


def tree_bytes(entries: Iterable[Entry]) -> bytes:
    """Return the object that stands for a folder: its files as canonical JSON, sorted by path.

    An entry is (path with forward slashes, "x" if executable else "", digest, size in bytes). The
    folder's digest is that of these bytes, so names, contents and the executable bit count, and
    times, owners and empty folders do not.
    """
    import json

    rows = sorted([path, mode, digest, size] for path, mode, digest, size in entries)
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=True).encode("ascii")
