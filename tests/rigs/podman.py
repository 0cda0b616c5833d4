"""Containers as a cloud runs them: podman and runc, in a folder of their own, with no registry.

An image is a few empty folders; the programs in it are this machine's, mounted read-only. So an
image takes no download, and a container holds this machine's `python3` and nothing of EMS. Needs
root. Knows no cloud.

Three things differ from podman's defaults, each of which fails here: its runtime is runc (crun
wants a higher limit of open files than may be set), cgroups are made by podman itself (there is no
systemd), and events go to a file (there is no journal).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.rigs import apt

PACKAGES = ("podman", "runc")
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=8192:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_STORAGE = """\
[storage]
driver = "vfs"
graphroot = "{folder}/images"
runroot = "{run}"
"""
_FOLDERS = ("usr", "bin", "lib", "lib64", "etc", "proc", "sys", "dev", "tmp", "root", "opt/ml")
_FILES = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"}
_MOUNTED = ("/usr", "/bin", "/lib", "/lib64")
NO_IMAGE = 125
"""What `podman run` returns where there is no such image: nothing was started."""


def missing() -> str:
    """Return what is missing here."""
    absent = [name for name in PACKAGES if not shutil.which(name)]
    if os.geteuid() != 0:
        return "not root: containers here are root's"
    return f"{', '.join(absent)} not installed" if absent else ""


def install() -> None:
    """Install Debian's packages."""
    apt.install(PACKAGES)


class Podman:
    """Images and containers below one folder; use it as a context, or call `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # sockets below it have short names only
        self._run = Path(tempfile.mkdtemp(prefix="podman-"))
        (folder / "containers.conf").write_text(_CONTAINERS)
        storage = _STORAGE.format(folder=folder, run=self._run / "run")
        (folder / "storage.conf").write_text(storage)
        self._environment = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "TMPDIR": str(self._run),
        }

    def __enter__(self) -> Podman:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def make_image(
        self, name: str, files: Mapping[str, Path] | None = None, entry: Sequence[str] = ()
    ) -> None:
        """Make an image under a name, whatever registry that name is of.

        `files` are those that it has of its own: path inside → file here.
        """
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for folder in _FOLDERS:
                info = tarfile.TarInfo(folder)
                info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
                tar.addfile(info)
            for path, text in _FILES.items():
                info = tarfile.TarInfo(path)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
            for path, source in (files or {}).items():
                tar.add(source, path.lstrip("/"))
        made = self.folder / "image.tar"
        made.write_bytes(data.getvalue())
        change = ["--change", f"ENTRYPOINT {json.dumps(list(entry))}"] if entry else []
        self.ask("import", "--quiet", *change, str(made), name)

    def run(
        self,
        name: str,
        image: str,
        entry: Sequence[str],
        words: Sequence[str],
        variables: Mapping[str, str],
        mounts: Mapping[Path, str],
        output: Path,
    ) -> subprocess.Popen[bytes]:
        """Start a container on this machine's network; its end is that of the process.

        `mounts` are folders here that it may write, and where it has them. What it prints is
        appended to `output`.
        """
        command = ["podman", "run", "--name", name, "--network", "host", "--pull", "never"]
        for path in _MOUNTED:
            command += ["--volume", f"{path}:{path}:ro"]
        for here, there in mounts.items():
            command += ["--volume", f"{here}:{there}"]
        for key, value in variables.items():
            command += ["--env", f"{key}={value}"]
        if entry:
            command += ["--entrypoint", json.dumps(list(entry))]
        with output.open("ab") as stream:
            return subprocess.Popen(
                [*command, image, *words],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def signal(self, name: str, signal: str) -> bool:
        """Send a signal to a container's first process; return whether it was there to take it."""
        return self._asked("kill", "--signal", signal, name).returncode == 0

    def remove(self, name: str) -> None:
        """Remove a container, whatever it does."""
        self._asked("rm", "--force", "--time", "0", "--ignore", name)

    def ask(self, *words: str) -> str:
        """Return what podman answers; raises where it fails."""
        done = self._asked(*words)
        if done.returncode:
            raise RuntimeError(f"podman {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def _asked(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def remove_all(self) -> None:
        """Remove all containers, whatever they do."""
        self._asked("rm", "--all", "--force", "--time", "0")

    def stop(self) -> None:
        """End and remove all; nothing may be asked of it any more."""
        self.remove_all()
        self._asked("rmi", "--all", "--force")
        shutil.rmtree(self._run, ignore_errors=True)
        shutil.rmtree(self.folder / "images", ignore_errors=True)
