"""Container images made of this machine's files, since nothing can be pulled.

Writes the archive format that `docker save` writes. Knows no registry.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDERS = ("bin", "dev", "etc", "proc", "sys", "root", "tmp", "var")
FILES = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"}


def busybox(
    out: Path,
    name: str,
    command: Sequence[str],
    files: Mapping[str, Path] | None = None,
) -> Path:
    """Write an image of busybox, with more files (path inside → file here), and return its archive.

    A pod that mounts this machine's /usr, /lib, /lib64 and /bin runs its Python in such an image.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in FOLDERS:
            _entry(tar, folder, tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755)
        tar.add("/bin/busybox", "bin/busybox")
        for applet in _applets():
            _entry(tar, f"bin/{applet}", tarfile.SYMTYPE, target="busybox")
        for path, text in FILES.items():
            _file(tar, path, text.encode())
        for path, source in (files or {}).items():
            tar.add(source, path.lstrip("/"))
    _archive(out, name, layer.getvalue(), command)
    return out


def _archive(out: Path, name: str, layer: bytes, command: Sequence[str]) -> None:
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}"]},
            "history": [{"created_by": "tests.rigs.kubernetes.images"}],
        }
    ).encode()
    file = f"{_digest(config)}.json"
    manifest = [{"Config": file, "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(out, "w") as tar:
        _file(tar, "layer.tar", layer)
        _file(tar, file, config)
        _file(tar, "manifest.json", json.dumps(manifest).encode())


def _applets() -> list[str]:
    listed = subprocess.run(
        ["/bin/busybox", "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    return [applet for applet in listed if applet != "busybox"]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _entry(
    tar: tarfile.TarFile, path: str, kind: bytes, *, mode: int = 0o755, target: str = ""
) -> None:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.linkname = kind, mode, target
    tar.addfile(info)


def _file(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    info = tarfile.TarInfo(path)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
