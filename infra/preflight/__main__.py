"""`python -m infra.preflight --stack dev`: what stands in the way of `pulumi up`, all at once.

Exit code 1 where something does, 0 where all is well or there are warnings alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from infra.preflight import look, tools
from infra.settings.fault import Fault, SettingsError, errors, with_lines
from infra.settings.reading import STACKS, environment_of, read
from infra.settings.source import load

ROOT = STACKS.parent


@click.command()
@click.option("-s", "--stack", required=True, metavar="NAME", help="The environment: dev, prod, …")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def main(stack: str, output: str) -> None:
    """Look at settings, tools and AWS before an environment is deployed.

    \b
    JSON: {problems: [{where, what, next, level}]}; `level` is error or warning.
    """
    found = problems(STACKS / f"Pulumi.{stack}.yaml", ROOT)
    if output == "json":
        click.echo(json.dumps({"problems": [_told(fault) for fault in found]}, indent=2))
    else:
        for fault in found:
            click.echo(f"{fault.level}: {fault}")
        if not found:
            click.echo(f"{stack}: nothing stands in the way")
    sys.exit(1 if errors(found) else 0)


def problems(file: Path, project: Path) -> list[Fault]:
    """Return all that is in the way of the environment in a file. AWS is asked once it can be."""
    try:
        source = load(file)
    except SettingsError as error:
        return [*error.faults, *tools.faults(project, {})]
    machine = list(tools.faults(project, source.document))
    try:
        environment = environment_of(file)
        settings = read(source.values, environment, source=source)
    except SettingsError as error:
        return [*error.faults, *machine]
    found = look(settings, environment=environment)
    return [*machine, *with_lines(found, source.lines, source.file)]


def _told(fault: Fault) -> dict[str, str]:
    where = f"{fault.line}: {fault.where}" if fault.line else fault.where
    return {"where": where, "what": fault.what, "next": fault.next, "level": fault.level}


if __name__ == "__main__":
    main()
