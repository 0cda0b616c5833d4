"""`emsctl export`: a version as a folder that needs no store to be read."""

from __future__ import annotations

from pathlib import Path

import click

from ems.cli import lookup
from ems.cli.context import reading, warn
from ems.cli.texts import plural, size
from ems.errors import FAULT, EmsError, UsageError


@click.command()
@click.argument("version", metavar="VERSION")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.pass_context
def export(ctx: click.Context, version: str, folder: Path) -> None:
    """Write a version as a folder: code, data, timing, results.

    \b
    manifest.json   everything that is known of it
    code/           the project's files that it was run with
    inputs/         its arguments: arguments.json and files
    outputs/        what it gave: result.json and files
    log.txt         what it wrote
    metrics.jsonl   what it reported
    README.txt      how it was made, and what could not be written

    Input files that lie outside the store are copied if they are still there and unchanged, and
    named if not. DIR must be new or empty.
    """
    from ems.cli.exporting import Exporting

    with reading(ctx) as store:
        found = lookup.version_of(store, version)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "is not empty" if folder.is_dir() else "is no folder"
            raise UsageError(str(folder), what, f"emsctl export {version} NEW_FOLDER")
        try:
            done = Exporting(store, found, folder).write()
        except OSError as error:
            raise EmsError(error.filename or str(folder), error.strerror or str(error)) from None
    for text in done.outside:
        warn(text)
    for text in done.lost:
        warn(text)
    print(f"wrote {plural(done.count, 'file')}, {size(done.bytes)}, to {folder}")
    if done.lost:
        ctx.exit(FAULT)
