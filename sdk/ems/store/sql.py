"""The index's tables and the statements that touch many rows at once.

Every step of a statement gives up the interpreter's lock, and a busy main thread takes 5 ms to
hand it back: so thousands of rows go into one statement with thousands of places, not into
thousands of steps. Knows SQL; does not know what the rows mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any

SCHEMA = 3
TABLES = """
create table applied(id integer primary key, value int, head blob);
create table runners(id integer primary key, name text unique);
create table versions(
    v blob primary key,          -- 32 bytes
    gen int not null default 0,  -- of the last claim
    runner int,                  -- who made it; null: given up, or settled by a record
    content text,                -- of the winner; null: there is none
    files int,                   -- has the winner objects?
    n int, start int, length int -- where the winner's line lies
) without rowid;
create table handles(           -- the last job that a backend held for a version
    v blob primary key, gen int, backend text, native text, region text
) without rowid;
create table tries(v blob, n int, start int, length int);
create index tries_v on tries(v);
create table runs(
    id text primary key, n int, runner text, run text, ended text, kept int
) without rowid;
create table durations(key text primary key, seconds blob) without rowid;
create table arrivals(place integer primary key, digest text unique);
create table seen(
    path text primary key, size int, mtime_ns int, ino int, digest text
) without rowid;
"""
_SIZES = (1, 4, 16, 64, 256, 1024, 4096)
_MANY = 10_000


def put_claims(db: sqlite3.Connection, rows: Sequence[tuple[bytes, int, int]]) -> None:
    """Note claims (version, generation, runner); an older generation changes nothing."""
    head = "insert into versions(v, gen, runner) values "
    tail = (
        " on conflict(v) do update set gen=excluded.gen, runner=excluded.runner"
        " where excluded.gen > versions.gen"
    )
    _put_many(db, head, "(?,?,?)", tail, rows)


def put_winners(
    db: sqlite3.Connection, rows: Sequence[tuple[bytes, str, int, int, int, int]]
) -> None:
    """Note records (version, content, files, place) of versions that have none.

    One that wins settles the claim: nobody holds the version any more.
    """
    head = "insert into versions(v, content, files, n, start, length) values "
    tail = (
        " on conflict(v) do update set content=excluded.content, files=excluded.files,"
        " n=excluded.n, start=excluded.start, length=excluded.length, runner=null"
        " where content is null"
    )
    _put_many(db, head, "(?,?,?,?,?,?)", tail, rows)


def winners(db: sqlite3.Connection, versions: Sequence[bytes]) -> Iterator[tuple[bytes, str, int]]:
    """Yield version, content and files of those that are recorded."""
    ask = "select v, content, files from versions where content is not null"
    if len(versions) >= _MANY:
        count = db.execute("select count(*) from versions").fetchone()[0]
        if count <= 2 * len(versions):  # reading all in order is quicker than asking for most
            wanted = set(versions)
            return (row for row in db.execute(ask).fetchall() if row[0] in wanted)
    return _ask_many(db, ask + " and v in ", versions)


def states(
    db: sqlite3.Connection, versions: Sequence[bytes]
) -> Iterator[tuple[bytes, int, str | None, str | None, int]]:
    """Yield version, generation, runner's name, content and files of those that are known."""
    ask = (
        "select v, gen, name, content, files from versions left join runners"
        " on runners.id = versions.runner where v in "
    )
    return _ask_many(db, ask, versions)


def places(
    db: sqlite3.Connection, versions: Sequence[bytes]
) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield version and place of the winner."""
    ask = "select v, n, start, length from versions where content is not null and v in "
    return _ask_many(db, ask, versions)


def handles(
    db: sqlite3.Connection, versions: Sequence[bytes]
) -> Iterator[tuple[bytes, int, str, str, str]]:
    """Yield version, generation, backend, native id and region of the last job for each."""
    ask = "select v, gen, backend, native, region from handles where v in "
    return _ask_many(db, ask, versions)


def seen(db: sqlite3.Connection, paths: Sequence[str]) -> Iterator[tuple[str, int, int, int, str]]:
    """Yield path, size, mtime_ns, inode and digest of files that were hashed before."""
    return _ask_many(db, "select path, size, mtime_ns, ino, digest from seen where path in ", paths)


def arrived(db: sqlite3.Connection, digests: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield digest and place in the order of arrival of contents that are known."""
    return _ask_many(db, "select digest, place from arrivals where digest in ", digests)


def _put_many(
    db: sqlite3.Connection, head: str, row: str, tail: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    rows = sorted(rows, key=itemgetter(0))  # neighbours share pages
    for start, size, missing in _chunks(len(rows)):
        chunk = list(rows[start : start + size])
        chunk += [chunk[-1]] * missing  # the same again changes nothing
        db.execute(_statement(head, row, size, tail), list(chain.from_iterable(chunk)))


def _ask_many(db: sqlite3.Connection, ask: str, keys: Sequence[Any]) -> Iterator[Any]:
    keys = sorted(keys)
    for start, size, missing in _chunks(len(keys)):
        chunk = list(keys[start : start + size])
        chunk += [chunk[-1]] * missing
        yield from db.execute(_statement(ask + "(", "?", size, ")"), chunk).fetchall()


def _chunks(count: int) -> Iterator[tuple[int, int, int]]:
    """Yield start, size and how many are lacking; few sizes, so that statements are kept."""
    start = 0
    while start < count:
        left = count - start
        size = next((s for s in _SIZES if left <= s <= 2 * left), 0)
        size = size or max(s for s in _SIZES if s <= left)
        yield start, size, max(0, size - left)
        start += size


@cache
def _statement(head: str, row: str, size: int, tail: str) -> str:
    return head + ",".join([row] * size) + tail
