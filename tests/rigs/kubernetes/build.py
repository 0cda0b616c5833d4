"""How the cluster's programs come here: one built from Go modules, the others by apt.

Knows where they lie and what they are called. Starts nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.rigs import apt

VERSION = "1.34.1"
SOURCE = Path(__file__).parent / "kube"
ROOT = Path(__file__).resolve().parents[3]
KUBE = ROOT / ".rigs/kubernetes/kube"
"""etcd, API server, controllers, scheduler, kubelet and kubectl in one program."""
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "busybox": "busybox-static",
    "ip": "iproute2",
}
"""Program → the Debian package that has it."""


def missing() -> str:
    """Say what is missing, or nothing."""
    if os.geteuid() != 0:
        return "a kubelet needs root"
    if lacking := sorted({name for name in PACKAGES if not shutil.which(name)}):
        return f"no {', '.join(lacking)} on the PATH"
    if not KUBE.exists():
        return f"no {KUBE.relative_to(ROOT)} (built by `make rigs` from Go modules, minutes)"
    return ""


def install() -> None:
    """Install by apt what has a package, and build the rest (five minutes on two cores, once)."""
    packages = sorted({PACKAGES[name] for name in PACKAGES if not shutil.which(name)})
    if packages:
        apt.install(packages)
    if not KUBE.exists():
        _build()


def _build() -> None:
    if not shutil.which("go"):
        raise OSError("no `go` to build it with (1.24 or later)")
    KUBE.parent.mkdir(parents=True, exist_ok=True)
    version = "k8s.io/component-base/version"
    major, minor, _ = VERSION.split(".")
    flags = (
        f"-s -w -X {version}.gitVersion=v{VERSION} "
        f"-X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    )
    # under another name until it is whole: an interrupted build leaves nothing that looks ready
    part = KUBE.with_suffix(".part")
    subprocess.run(
        ["go", "build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", part, "."],
        cwd=SOURCE,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )
    part.replace(KUBE)
