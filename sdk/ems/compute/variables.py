"""The environment variables that a worker starts with.

Knows the names that libraries read for threads and GPUs, and how a secret's reference is resolved
on this machine. Does not know workers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ems.errors import EmsError

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def of_worker(
    threads: int, gpus: tuple[str, ...] | None, own: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, str]:
    """Return this process's variables with those of a worker; `gpus` None leaves them as they are.

    String hashes are fixed, so that the order of a set does not change a result. `own` wins over
    all but `secrets`, which are references: `env:NAME` or `file:PATH`.
    """
    made = dict(os.environ)
    made.update(dict.fromkeys(_THREADS, str(threads)))
    made["PYTHONHASHSEED"] = "0"
    # `python` in a command is the Python that the environment was read from
    made["PATH"] = os.pathsep.join(
        filter(None, (str(Path(sys.executable).parent), made.get("PATH")))
    )
    if gpus is not None:
        made["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    made.update(own)
    made.update({name: resolve(name, reference) for name, reference in secrets.items()})
    return made


def resolve(name: str, reference: str) -> str:
    """Return the secret that a reference names on this machine."""
    kind, _, where = reference.partition(":")
    if kind == "env" and where in os.environ:
        return os.environ[where]
    if kind == "file":
        try:
            return Path(where).expanduser().read_text().strip()
        except OSError as error:
            raise EmsError(f"secret {name}", f"{reference!r} can't be read: {error}") from None
    what = "is not set here" if kind == "env" else "is no reference (allowed: env:NAME, file:PATH)"
    raise EmsError(f"secret {name}", f"{reference!r} {what}")
