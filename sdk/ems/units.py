"""Amounts as people write them: durations, memory, counts and open ranges (`4+`).

Knows seconds, GiB and plain numbers. Does not know what is measured with them.
"""

from __future__ import annotations

import math
import re

from ems.errors import UsageError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.ASCII)
_DURATION_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*(\+?)", re.ASCII)
_GIB = {
    "": 1.0,
    "kib": 2.0**-20,
    "mib": 2.0**-10,
    "gib": 1.0,
    "tib": 2.0**10,
    "kb": 1e3 / 2**30,
    "mb": 1e6 / 2**30,
    "gb": 1e9 / 2**30,
    "tb": 1e12 / 2**30,
}
MOST_BARE_GIB = 2048.0


def seconds(value: float | str, subject: str = "timeout") -> float:
    """Return a duration in seconds: `90`, `"90s"`, `"10m"`, `"1h30m"`, `"2d"`."""
    if isinstance(value, str):
        return _seconds_of_text(value.strip(), subject)
    if isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        raise _bad_duration(subject, value)
    return float(value)


def _seconds_of_text(text: str, subject: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return seconds(float(text), subject)
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise _bad_duration(subject, text)
    total = sum(float(number) * _DURATION_S[unit] for number, unit in parts)
    return seconds(total, subject)


def _bad_duration(subject: str, value: object) -> UsageError:
    return UsageError(
        subject, f"{value!r} is no duration (allowed: seconds above 0, '90s', '10m', '1h30m', '2d')"
    )


def gib(value: float | str, subject: str = "memory") -> tuple[float, bool]:
    """Return memory or disk in GiB and whether more is welcome (`"8+"`).

    A number without a unit is GiB; above 2048 it is refused, since it was meant as MiB.
    """
    number, unit, more = _amount(value, subject, "a number of GiB, '512MiB', '8+'")
    factor = _GIB.get(unit.lower())
    if factor is None:
        raise UsageError(
            subject, f"{value!r} has no known unit (allowed: KiB, MiB, GiB, TiB, KB, MB, GB, TB)"
        )
    if not unit and number > MOST_BARE_GIB:
        raise UsageError(
            subject,
            f"{value!r} is {number:g} GiB, since units are GiB (at most {MOST_BARE_GIB:g} without "
            "a unit)",
            f"{subject}='{number:g}MiB'",
        )
    return number * factor, more


def count(value: float | str, subject: str = "cpus") -> tuple[float, bool]:
    """Return a number that may be a fraction and whether more is welcome: `2`, `"0.5"`, `"4+"`."""
    number, unit, more = _amount(value, subject, "a number or '4+'")
    if unit:
        raise UsageError(subject, f"{value!r} is no number (allowed: a number or '4+')")
    return number, more


def whole(value: float | str, subject: str = "gpus") -> tuple[int, bool]:
    """Return a whole number and whether more is welcome: `1`, `"2+"`."""
    number, more = count(value, subject)
    if number != int(number):
        raise UsageError(subject, f"{value!r} is no whole number (allowed: 0, 1, 2, '2+')")
    return int(number), more


def _amount(value: float | str, subject: str, allowed: str) -> tuple[float, str, bool]:
    if isinstance(value, str):
        match = _AMOUNT.fullmatch(value.strip())
        if match is None:
            raise UsageError(subject, f"{value!r} is no amount (allowed: {allowed})")
        return float(match[1]), match[2], bool(match[3])
    if isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise UsageError(subject, f"{value!r} is no amount (allowed: {allowed})")
    return float(value), "", False


def gib_text(value: float) -> str:
    """Return GiB as a person reads it: `512 MiB`, `4 GiB`, `1.5 TiB`."""
    for factor, unit in ((2.0**10, "TiB"), (1.0, "GiB"), (2.0**-10, "MiB")):
        if value >= factor:
            return f"{round(value / factor, 2):g} {unit}"
    return f"{round(value * 2**20, 2):g} KiB"


def seconds_text(value: float) -> str:
    """Return a duration as a person reads it: `5.2 ms`, `0.12 s`, `42 s`, `3 m 20 s`, `2 h 5 m`."""
    if 0 < value < 0.0995:
        return f"{value * 1000:.2g} ms"
    if value < 10:
        return f"{value:.2g} s"
    whole_s = round(value)
    if whole_s < 60:
        return f"{whole_s} s"
    if whole_s < 3600:
        return f"{whole_s // 60} m {whole_s % 60} s"
    if whole_s < 86400:
        return f"{whole_s // 3600} h {whole_s % 3600 // 60} m"
    return f"{whole_s // 86400} d {whole_s % 86400 // 3600} h"
