"""The Pulumi engine: a complete installation from the PATH, or one built here from Go modules.

Built once, into .rigs/pulumi: the CLI, Pulumi's executor for Python programs, and a start script
for the language host of `language.py`. What is built is pinned by `cli/go.mod` and `go.sum`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILT = ROOT / ".rigs" / "pulumi"
NEWEST = "3.246.0"
"""What is built here: the newest whose Go modules and Python SDK are both out."""
OLDEST = (3, 246)
_CLI = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_VERSION = f"{_SDK}/go/common/version.Version"
_EXECUTOR = "pulumi-language-python-exec"
_HOST = "pulumi-language-python"
_PACKAGES = ("boto3", "moto", "flask", "flask_cors", "grpc", "pulumi", "pulumi_aws")


def missing() -> str:
    """Say what is missing for tests on the engine, or nothing."""
    packages = _missing_packages()
    if packages:
        return f"no Python package {packages}"
    if folder():
        return ""
    return f"no Pulumi CLI of {OLDEST[0]}.{OLDEST[1]} or newer"


def folder() -> Path | None:
    """Return the folder with the CLI and its language host; None where there is none."""
    found = _on_path()
    if found:
        return found
    return BUILT if _built() and (BUILT / _HOST).exists() else None


def install() -> None:
    """Build the CLI, unless it is here."""
    if _built():
        _write_host()
    found = folder()
    if found:
        print(f"pulumi: {found / 'pulumi'}")
        return
    go = shutil.which("go")
    if not go:
        raise OSError(
            "pulumi: neither a Pulumi CLI nor Go on the PATH (allowed: either)."
            " Try: https://www.pulumi.com/docs/install, or apt install golang"
        )
    print(
        f"pulumi: building {NEWEST} by {go}: some minutes, the first time",
        flush=True,
    )
    begun = time.monotonic()
    build(go)
    print(f"pulumi: {BUILT / 'pulumi'}, built in {time.monotonic() - begun:.0f} s")


def build(go: str) -> None:
    """Build the CLI and put the executor and the language host beside it."""
    work = ROOT / "tests" / "rigs" / "sky" / "cli"
    BUILT.mkdir(parents=True, exist_ok=True)
    making = BUILT / "pulumi.making"
    flags = ["-trimpath", "-ldflags", f"-s -w -X {_VERSION}={NEWEST}", "-o", str(making)]
    _run([go, "build", *flags, _CLI], work)
    module = Path(_run([go, "list", "-m", "-f", "{{.Dir}}", _SDK], work).strip())
    shutil.copyfile(module / "python" / "cmd" / _EXECUTOR, BUILT / _EXECUTOR)
    (BUILT / _EXECUTOR).chmod(0o755)
    _write_host()
    making.rename(BUILT / "pulumi")


def _built() -> bool:
    return all((BUILT / name).exists() for name in ("pulumi", _EXECUTOR))


def _write_host() -> None:
    host = BUILT / _HOST
    here = Path(__file__).parent
    warm = f'${{SKY_WARM:+-ISE "{here / "launch.py"}"}}'
    making = BUILT / f"{_HOST}.making"
    making.write_text(
        "#!/bin/sh\n"
        f'SKY_EXECUTOR="{BUILT / _EXECUTOR}"'
        f' exec "{sys.executable}" {warm} -P "{here / "language.py"}" "$@"\n'
    )
    making.chmod(0o755)
    making.rename(host)


def _run(command: Sequence[str], folder: Path) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


@cache
def _on_path() -> Path | None:
    """The folder of a CLI that is new enough and has a language host of its own."""
    cli = shutil.which("pulumi")
    if not cli or not (shutil.which(_HOST) and shutil.which(_EXECUTOR)):
        return None
    said = subprocess.run([cli, "version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v?(\d+)\.(\d+)\.", said.strip())
    new = bool(found) and (int(found[1]), int(found[2])) >= OLDEST
    return Path(cli).parent if new else None


@cache
def _missing_packages() -> str:
    from importlib.util import find_spec

    return next((name for name in _PACKAGES if find_spec(name) is None), "")
