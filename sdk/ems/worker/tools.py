"""What a place has to make environments with: Pythons by minor version, uv, conda and its kin.

Looks on the PATH and where their installers put them. Installs nothing.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence, Tuple

_FOLDERS = (
    "~/.local/bin", "~/.cargo/bin", "~/bin", "~/miniforge3/bin", "~/mambaforge/bin",
    "~/miniconda3/bin", "~/anaconda3/bin", "/opt/conda/bin", "/usr/local/bin", "/usr/bin",
)  # fmt: skip
"""Where installers put programs that a login without a terminal does not have on its PATH."""
_PYTHONS = (
    "~/.pyenv/versions/%s.*/bin/python", "~/.local/share/uv/python/*-%s.*/bin/python%s",
)  # fmt: skip
_KINDS = ("micromamba", "mamba", "conda")
_MINOR = "import sys; print('%d.%d' % sys.version_info[:2])"
_STARTS_S = 30.0


def find(name: str, variables: Dict[str, str]) -> str:
    """Return the path of a program, or ""."""
    folders = [os.path.expanduser(each) for each in _FOLDERS]
    path = os.pathsep.join([variables.get("PATH", os.defpath), *folders])
    return shutil.which(name, path=path) or ""


def conda(variables: Dict[str, str]) -> str:
    """Return micromamba, mamba or conda, whichever is there, or ""."""
    named = {"micromamba": "MAMBA_EXE", "conda": "CONDA_EXE"}
    for name in _KINDS:
        told = variables.get(named.get(name, ""), "")
        known = told if os.path.basename(told) == name and os.access(told, os.X_OK) else ""
        found = find(name, variables) or known
        if found:
            return found
    return ""


def python(minor: str, given: Sequence[str], variables: Dict[str, str]) -> Tuple[str, List[str]]:
    """Return a Python of a minor version, those `given` first; "" and what there is if none."""
    there: Dict[str, str] = {}
    paths = [find(each, variables) or os.path.expanduser(each) for each in given]
    named = ["python%s" % minor, "python3", *("python3.%d" % n for n in range(8, 20))]
    paths += [find(each, variables) for each in named] + [sys.executable]
    for pattern in _PYTHONS:
        filled = os.path.expanduser(pattern.replace("%s", minor))
        paths += sorted(glob.glob(filled), reverse=True)
    for path in dict.fromkeys(each for each in paths if each):
        found = _minor(path, variables)
        if found == minor:
            return path, []
        if found:
            there.setdefault(found, path)
    return "", ["%s (%s)" % (each, there[each]) for each in sorted(there, key=_number)]


def _number(minor: str) -> List[int]:
    return [int(each) for each in minor.split(".")]


def _minor(path: str, variables: Dict[str, str]) -> Optional[str]:
    try:
        done = subprocess.run(
            [path, "-c", _MINOR], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=variables, timeout=_STARTS_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else None
