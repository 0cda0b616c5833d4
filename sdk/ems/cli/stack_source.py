"""Which environment a command is about: its argument, or the key `stack` of .ems.yaml.

Knows the order of the two. Does not know how outputs are read (`ems.stack.sources`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ems.errors import UsageError

if TYPE_CHECKING:
    from ems.settings import Settings
    from ems.stack.sources import Read

_STEP = "emsctl stack use NAME, where NAME is a Pulumi stack, ssm:REGION/NAME, or FILE.json"


def named(settings: Settings, said: str | None) -> str:
    """Return the reference that was said, or the project's own; UsageError where there is none."""
    found = said or settings.stack
    if not found:
        raise UsageError("stack", "none is named, here or in .ems.yaml", _STEP)
    return found


def read(reference: str) -> Read:
    """Return the outputs that a reference leads to from this folder."""
    from ems.stack import sources

    return sources.read(sources.reference(reference), Path.cwd())
