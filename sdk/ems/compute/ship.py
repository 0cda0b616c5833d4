"""The worker as one file to send, and as a folder to start from on this machine.

Knows which files a worker is made of; they import nothing else of EMS. Equal files give equal bytes
and so equal digests. Does not know how a worker is started.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import ems

_ENTRY = '''"""Starts the worker."""

import sys

from ems.worker.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''
_FACADE = '''"""What `import ems` means in a worker; see `ems.worker.facade`."""


def __getattr__(name):
    from ems.worker import facade

    if name not in facade.__all__:
        raise AttributeError(
            "ems.%s is not available inside a worker; there are %s"
            % (name, ", ".join(facade.__all__))
        )
    value = globals()[name] = getattr(facade, name)
    return value
'''


def contents() -> dict[str, bytes]:
    """Return the files of the worker by relative path, in order."""
    root = Path(ems.__file__).parent
    found = {"__main__.py": _ENTRY.encode(), "ems/__init__.py": _FACADE.encode()}
    found["ems/hashing.py"] = (root / "hashing.py").read_bytes()
    for path in (root / "worker").glob("*.py"):
        found[f"ems/worker/{path.name}"] = path.read_bytes()
    return dict(sorted(found.items()))


def digest_of(files: dict[str, bytes]) -> str:
    """Return the digest that names a worker made of these files."""
    hashed = hashlib.sha256()
    for name, data in files.items():
        hashed.update(f"{name}\0{len(data)}\0".encode())
        hashed.update(data)
    return hashed.hexdigest()


def zipapp() -> bytes:
    """Return the worker as one file that any Python from 3.8 on runs; equal files, equal bytes."""
    import io
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in contents().items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, data)
    return stream.getvalue()


def extracted(cache: Path) -> Path:
    """Return the worker's folder under `<cache>/worker/`, written there once and compiled.

    It appears whole or not at all, and stays for the next start.
    """
    files = contents()
    final = cache / "worker" / digest_of(files)[:32]
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix="new-"))
    for name, data in files.items():
        path = temporary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        _compile(path, final / name)
    try:
        os.rename(temporary, final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(temporary, ignore_errors=True)  # another process was first
    return final


def _compile(path: Path, shown: Path) -> None:
    """Compile for this Python; the folder's name is its content, so nothing need be compared."""
    import py_compile

    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(path), dfile=str(shown), doraise=True, invalidation_mode=mode)
