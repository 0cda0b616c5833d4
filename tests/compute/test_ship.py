"""The worker as a file: equal files, equal bytes; laid out once, by whoever is first."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ems.compute import ship


def test_equal_files_have_equal_bytes_and_digests() -> None:
    assert ship.zipapp() == ship.zipapp()
    files = {"a.py": b"x = 1\n", "b/c.py": b""}
    assert ship.digest_of(files) == (
        "001c38e76aa185bd2c7c1db5951bfbf9e9c611d7c6d0fe0d090767e8c5f0ecda"
    )
    assert ship.digest_of(files) != ship.digest_of({**files, "a.py": b"x = 2\n"})
    assert ship.digest_of(files) != ship.digest_of({"a.py": b"x = 1\nb/c.py", "b/c.py": b""})


def test_the_worker_brings_nothing_else_of_ems() -> None:
    names = set(ship.contents())
    assert {"__main__.py", "ems/__init__.py", "ems/hashing.py", "ems/worker/serve.py"} <= names
    assert all(
        name in ("__main__.py", "ems/__init__.py", "ems/hashing.py")
        or name.startswith("ems/worker/")
        for name in names
    )


def test_laid_out_once_by_many_at_the_same_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: ship.extracted(tmp_path), range(16)))
    assert len(found) == 1
    assert sorted(path.name for path in (tmp_path / "worker").iterdir()) == [found.pop().name]


def test_it_starts_from_the_folder_and_is_compiled(tmp_path: Path) -> None:
    app = ship.extracted(tmp_path)
    done = subprocess.run(
        [sys.executable, "-v", str(app), "serve"], input=b"", capture_output=True, check=True
    )
    assert done.stdout.startswith(b'{"ev":"hello","schema":1,')
    loaded = re.findall(rb"code object from '(.*)'", done.stderr)
    own = [path for path in loaded if path.startswith(str(app / "ems").encode())]
    assert own
    assert [path for path in own if not path.endswith(b".pyc")] == []
