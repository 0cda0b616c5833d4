"""Faults of the operating system as errors that name the store and what to do.

Knows error numbers. Does not know what was being done.
"""

from __future__ import annotations

import errno
import os

from ems.errors import StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def vanished(url: str) -> StoreError:
    """Return the error for a store that was there and isn't any more."""
    return StoreError(
        url,
        "the store vanished: its format.json is gone (removed, moved or unmounted)",
        "bring it back, or start anew with another `emsctl run`",
    )


def explain(url: str, key: str, e: OSError) -> StoreError:
    """Return the error of the operating system as one that names the store and what to do."""
    what = f"{key}: " if key else ""
    reason = os.strerror(e.errno) if e.errno else str(e)
    if e.errno in _FULL:
        return StoreError(
            url,
            f"{what}no space to write ({reason}); what was recorded before is safe",
            "free some space, for one with `emsctl gc`, then run again",
        )
    if e.errno in _DENIED:
        return StoreError(
            url,
            f"{what}may not be written ({reason}); reading it is fine",
            "a store that you may write to: `store:` in .ems.yaml",
        )
    return StoreError(url, f"{what}{reason}", "emsctl check")
