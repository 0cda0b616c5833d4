"""A project as one archive, so that a runner elsewhere reads the same code, settings and data.

In it are the files that git knows or would take, the code that the tasks reach and the files that
the pipeline is given. Does not know pipelines, jobs or places.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ems.errors import UsageError

FOLDER = "project"
"""Where the project's files lie in the archive."""
_MARKS = (".ems.yaml", "pyproject.toml", ".git")
_SKIPPED = frozenset(["__pycache__", "node_modules", "site-packages"])


def files_of(root: Path, but: Sequence[Path]) -> list[Path]:
    """Return the files of a project, without those below the folders `but`."""
    found = _known_to_git(root)
    paths = _walked(root, but) if found is None else found
    outside = [os.path.abspath(each) for each in but]
    return [each for each in paths if not _is_below(str(each), outside) and os.path.lexists(each)]


def _known_to_git(root: Path) -> list[Path] | None:
    """Return what is tracked or not ignored; None where git is not at work there."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(words, cwd=root, capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode:
        return None
    return [root / os.fsdecode(each) for each in done.stdout.split(b"\0") if each]


def _walked(root: Path, but: Sequence[Path]) -> list[Path]:
    """Return all files but hidden ones and what is installed or compiled."""
    outside, found = [os.path.abspath(each) for each in but], list[Path]()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            each
            for each in folders
            if not each.startswith(".")
            and each not in _SKIPPED
            and not os.path.exists(os.path.join(folder, each, "pyvenv.cfg"))
            and os.path.abspath(os.path.join(folder, each)) not in outside
        )
        found += [Path(folder) / each for each in sorted(names) if not each.startswith(".")]
    return found


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path == each or path.startswith(each + os.sep) for each in folders)


def pack(top: Path, root: Path, files: Iterable[Path], archive: Path) -> tuple[int, list[Path]]:
    """Write the archive; return its size and the files that lie outside of `top`, left out.

    Paths in it are relative to `top`. The marks of the project's root go along, so that code is
    called there as it is here. The same files give the same bytes.
    """
    left_out: list[Path] = []
    wanted: dict[str, Path] = {}
    for mark in _MARKS[:2]:
        wanted |= {_name(each, top): each for each in (top / mark, root / mark) if each.is_file()}
    for path in files:
        if not _is_below(str(path), [str(top)]):
            left_out.append(path)
        elif path.is_dir():
            wanted |= {_name(each, top): each for each in path.rglob("*") if each.is_file()}
        else:
            wanted[_name(path, top)] = path
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for folder in _git_folders(top, root):
            tar.addfile(_bare(tarfile.TarInfo(folder), 0o755, tarfile.DIRTYPE))
        for name, path in sorted(wanted.items()):
            _add(tar, name, path)
    return archive.stat().st_size, left_out


def _name(path: Path, top: Path) -> str:
    return f"{FOLDER}/{path.relative_to(top).as_posix()}"


def _git_folders(top: Path, root: Path) -> Iterator[str]:
    """Yield an empty `.git` where there is one: a project may begin at it."""
    if os.path.lexists(root / ".git"):
        yield f"{_name(root, top)}/.git"


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    if not path.is_file():  # a socket, a link that leads nowhere or to a folder, a submodule
        return
    info, mode = tarfile.TarInfo(name), 0o755 if os.access(path, os.X_OK) else 0o644
    try:
        with path.open("rb") as stream:
            info.size = os.fstat(stream.fileno()).st_size
            tar.addfile(_bare(info, mode, tarfile.REGTYPE), stream)
    except OSError as error:
        problem = f"can't be read: {(error.strerror or str(error)).lower()}"
        raise UsageError(str(path), problem, "chmod, or its name in .gitignore") from None


def _bare(info: tarfile.TarInfo, mode: int, kind: bytes) -> tarfile.TarInfo:
    info.mode, info.type, info.mtime = mode, kind, 0
    return info
