"""Environments that places made and nobody uses any more, for `emsctl gc`.

Knows the places of `.ems.yaml`. Does not know how they are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.context import session_for, settings_of, warn
from ems.cli.texts import plural, size

if TYPE_CHECKING:
    from ems.compute.environments import Tidied


def environments(ctx: click.Context, older_s: float, *, delete: bool) -> Sequence[Tidied]:
    """Ask each place which environments no job used for so long, and remove them if told."""
    targets = settings_of(ctx).targets
    if not targets:
        return []
    from concurrent.futures import ThreadPoolExecutor

    from ems.compute.targets import read
    from ems.settings import FILE

    session = session_for(ctx, Path.cwd())
    try:
        setting, known = session.setting(warn), read(targets, FILE).values()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(each.tidy, setting, older_s, remove=delete) for each in known]
            found = [tidied for each in asked for tidied in each.result()]
    finally:
        session.close()
    for each in found:
        if each.problem:
            warn(f"{each.place}: its environments stay as they are: {each.problem}")
    return found


def lines(found: Sequence[Tidied], *, deleted: bool) -> str:
    """Return what people read of them: a line for each place that has any."""
    done = "removed" if deleted else "to remove"
    return "\n".join(
        f"{each.place}: {plural(each.kept, 'environment')} kept, {each.gone} {done}"
        + (f" ({size(each.bytes)})" if each.bytes else "")
        for each in found
        if each.kept or each.gone or each.bytes
    )


def document(found: Sequence[Tidied]) -> list[dict[str, Any]]:
    """Return them for programs."""
    return [
        {"place": e.place, "kept": e.kept, "gone": e.gone, "bytes": e.bytes, "problem": e.problem}
        for e in found
    ]
