"""SQLite files of the index: made whole or not at all, opened alike everywhere.

Knows connections and files. Does not know what is in the tables.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Generator
from pathlib import Path

from ems.store import sql

_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_CACHE_KIB = 64 * 1024
"""Keys are random, so pages are, too: with SQLite's 2 MiB a large index is read again and again."""
_CHECKPOINT_PAGES = 4000


def connect(path: Path | str, lock_s: float) -> sqlite3.Connection:
    """Open a database; waits `lock_s` for others."""
    db = sqlite3.connect(path, timeout=lock_s, isolation_level=None, check_same_thread=False)
    db.execute("pragma synchronous=normal")
    db.execute(f"pragma cache_size=-{_CACHE_KIB}")
    db.execute(f"pragma wal_autocheckpoint={_CHECKPOINT_PAGES}")
    return db


def create(path: Path, *, replace: bool) -> None:
    """Make an empty index under a temporary name, then put it in its place at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    temp.unlink(missing_ok=True)
    db = connect(temp, 1.0)
    try:
        db.execute("pragma synchronous=off")
        db.execute("pragma journal_mode=wal")
        db.executescript(f"begin; {sql.TABLES} pragma user_version={sql.SCHEMA}; commit;")
    finally:
        db.close()
    with _only_one(path):
        if replace:
            for suffix in ("-wal", "-shm", ""):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        if not path.exists():
            temp.rename(path)
    temp.unlink(missing_ok=True)


@contextlib.contextmanager
def _only_one(path: Path) -> Generator[None]:
    """Keep other processes from replacing the same index."""
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def memory() -> sqlite3.Connection:
    """Return an empty index in memory."""
    db = connect(":memory:", 1.0)
    db.executescript(sql.TABLES)
    return db


@contextlib.contextmanager
def writing(db: sqlite3.Connection) -> Generator[None]:
    """Hold a transaction that writes; undone where the block raises."""
    db.execute("begin immediate")
    try:
        yield
        db.execute("commit")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("rollback")
        raise


def is_broken(e: sqlite3.DatabaseError) -> bool:
    """Whether the file's content is at fault, rather than a lock or the disk."""
    number: int = getattr(e, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return number & 0xFF in _BROKEN
