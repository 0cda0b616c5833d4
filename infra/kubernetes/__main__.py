"""The clusters' program, as the Pulumi engine runs it."""

import sys
from pathlib import Path

# The engine puts this folder on the path, where a module would hide a package of its name.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [str(_HERE.parents[1]), *(p for p in sys.path if Path(p).resolve() != _HERE)]

from infra.kubernetes.program import deploy  # noqa: E402  (the path comes first)

deploy()
