"""The environment's program, as the Pulumi engine runs it."""

import sys
from pathlib import Path

# The engine puts this folder on the path, where `kubernetes/` would pass for the package.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [str(_HERE.parent), *(p for p in sys.path if Path(p).resolve() != _HERE)]

from infra.environment import deploy  # noqa: E402  (the path comes first)

deploy()
