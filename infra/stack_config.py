"""The settings of the stack that the engine runs, for both of an environment's programs.

Knows how the engine hands values over, and where the file is that they come from. Does not know
what a setting means.
"""

from __future__ import annotations

import pulumi

from infra.settings.fault import NAMESPACE
from infra.settings.reading import read, source_of
from infra.settings.types import Environment


def settings_of(environment: str) -> Environment:
    """Return the stack's settings; raises SettingsError with every fault, by line of the file."""
    own = f"{NAMESPACE}:"
    values = {
        key: value
        for key, value in pulumi.runtime.get_config_env().items()
        if key.startswith(own)  # the file may hold other programs' keys, such as aws:profile
    }
    return read(values, environment, source=source_of(environment))
