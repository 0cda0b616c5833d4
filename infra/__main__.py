"""The environment's program, as the Pulumi engine runs it."""

import gc
import sys
from pathlib import Path

# The engine puts this folder on the path, where `kubernetes/` would pass for the package.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [str(_HERE.parent), *(p for p in sys.path if Path(p).resolve() != _HERE)]
# A program of seconds makes thousands of classes and promises and lets none go: looking through
# them for garbage took a fifth of a preview.
gc.disable()

from infra.environment import deploy  # noqa: E402  (the path comes first)

deploy()
