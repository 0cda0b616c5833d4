"""`emsctl stack use`: which environment a project uses, read as a check, then written down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli import stack_source
from ems.cli.context import settings_of, warn
from ems.cli.tables import print_facts
from ems.settings import FILE

if TYPE_CHECKING:
    from ems.settings import Settings


@click.command()
@click.argument("reference", metavar="REF")
@click.pass_context
def use(ctx: click.Context, reference: str) -> None:
    """Write into .ems.yaml which environment this project uses.

    REF is a Pulumi stack's name, `ssm:REGION/NAME`, or a path that ends in .json. It is read first,
    and what can't be read is not written. Other lines of the file and its comments stay.
    """
    from ems.cli.settings_file import write_key

    settings = settings_of(ctx)
    found = stack_source.read(reference)
    for note in found.notes:
        warn(note)
    file = settings.file or settings.root / FILE
    write_key(file, "stack", _as_written(reference, file))
    sites = [f"{name} ({site.region})" for name, site in found.outputs.sites.items()]
    print_facts(
        [
            ("stack", found.where),
            ("environment", f"{found.outputs.environment}, account {found.outputs.account}"),
            ("sites", ", ".join(sites)),
            ("written to", _shown(settings, file)),
        ]
    )


def _as_written(reference: str, file: Path) -> str:
    """Return the reference as it holds in the settings' file: a path is relative to its folder."""
    if not reference.endswith(".json"):
        return reference
    path = Path(reference).expanduser()
    return str(path) if path.is_absolute() else os.path.relpath(path, file.parent)


def _shown(settings: Settings, file: Path) -> str:
    return f"{os.path.relpath(file)}{'' if settings.file else ' (new)'}"
