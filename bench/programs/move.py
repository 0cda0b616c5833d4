"""One object to a place or from it, timed within the process: SITE-AS-JSON in|out FILE.

The connection is open before the clock starts; what arrived is on the disk before it stops.
`ems` in SITE says whether EMS's site moves it, or the plain copy that a person would make.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ems.hashing import digest_file
from ems.worker.places import object_path


def synced(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


class Ours:
    """EMS's own way: the site that its broker ships with."""

    def __init__(self, told: dict[str, Any], file: Path) -> None:
        self._told, self._file = told, file
        self._digest, self._site = digest_file(file), self._open()
        self._site.missing([self._digest])

    def _open(self) -> Any:
        told = self._told
        if told["kind"] == "folder":
            from ems.compute.remote.folder import FolderSite

            return FolderSite(Path(told["root"]))
        if told["kind"] == "ssh":
            from ems.compute.remote.desk import DeskSite
            from ems.compute.remote.ssh import SshLink

            return DeskSite(SshLink(told["host"], told["options"]), told["root"], told["python"])
        from ems.compute.remote.s3 import S3Site

        return S3Site(f"s3://{told['bucket']}/{told['prefix']}")

    def put(self) -> None:
        self._site.put({self._digest: self._file})
        if self._told["kind"] == "folder":  # a desk has done it itself
            synced(object_path(f"{self._told['root']}/objects", self._digest))

    def get(self, target: Path) -> None:
        self._site.fetch(self._digest, self._file.stat().st_size, target)
        synced(str(target))

    def close(self) -> None:
        self._site.close()


class Plain:
    """The plain copy of the same bytes: cp, scp, or boto3's own transfer."""

    def __init__(self, told: dict[str, Any], file: Path) -> None:
        self._told, self._file = told, file
        self._there = f"{told.get('root', '')}/plain"
        if told["kind"] == "s3":
            import boto3

            self._s3: Any = boto3.client("s3")  # pyright: ignore[reportUnknownMemberType]
            self._s3.list_buckets()
        elif told["kind"] == "ssh":
            words = [*told["options"], f"ControlPath={told['control']}", "ControlMaster=auto"]
            words += ["ControlPersist=60"]
            self._options = [word for each in words for word in ("-o", each)]
            self._run("ssh", *self._options, told["host"], f"mkdir -p {told['root']}")

    def _run(self, *words: str) -> None:
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)

    def put(self) -> None:
        told = self._told
        if told["kind"] == "s3":
            self._s3.upload_file(str(self._file), told["bucket"], "plain")
        elif told["kind"] == "ssh":
            self._run(
                "scp", "-O", "-q", *self._options, str(self._file), f"{told['host']}:{self._there}"
            )
            self._run("ssh", *self._options, told["host"], f"sync {self._there}")
        else:
            self._run("cp", str(self._file), self._there)
            synced(self._there)

    def get(self, target: Path) -> None:
        told = self._told
        if told["kind"] == "s3":
            self._s3.download_file(told["bucket"], "plain", str(target))
        elif told["kind"] == "ssh":
            self._run(
                "scp", "-O", "-q", *self._options, f"{told['host']}:{self._there}", str(target)
            )
        else:
            self._run("cp", self._there, str(target))
        synced(str(target))

    def close(self) -> None:
        if self._told["kind"] == "ssh":
            self._run("ssh", *self._options, "-O", "exit", self._told["host"])


def main(told: dict[str, Any], way: str, file: Path) -> None:
    mover = (Ours if told["ems"] else Plain)(told, file)
    target = file.with_name(f"back-{os.getpid()}")
    os.sync()
    began = time.perf_counter()
    if way == "in":
        mover.put()
    else:
        mover.get(target)
    took = time.perf_counter() - began
    if way == "out":
        assert digest_file(target) == digest_file(file), "it came back damaged"
        target.unlink()
    mover.close()
    print(json.dumps({"seconds": took}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
