"""`make up ENV=dev`, `make preview`, `make down`: an environment's two programs, in order.

Up: what removed clusters hold goes while they can be reached, then the environment, then its
clusters. Down: the other way round. Before anything is made, machine, settings and account are
looked at. Knows which program runs when, on which stack; not what they make.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from ems.errors import EmsError, UsageError, did_you_mean
from infra.plan.home import home_of
from infra.preflight import look, tools
from infra.programs import ROOT, Program, backend
from infra.settings.fault import Fault, SettingsError, errors, with_lines
from infra.settings.reading import read
from infra.settings.source import Source, load
from infra.settings.types import Environment

SKY = Program(".")
CLUSTERS = Program("infra/kubernetes")
_QUIET = ("--suppress-outputs",)
"""A hundred nested lines, which `emsctl stack show` tells in twenty."""


def settings_file(environment: str, verb: str = "up") -> Path:
    """Return the environment's file; raises UsageError, naming the ones that there are.

    `verb` is what `make` was asked to do, for what to try instead.
    """
    folder = ROOT / "stacks"
    known = sorted(each.name.split(".")[1] for each in folder.glob("Pulumi.*.yaml"))
    if not environment:
        allowed = f"(allowed: {', '.join(known)})"
        raise UsageError("ENV", f"names no environment {allowed}", f"make {verb} ENV={known[0]}")
    if environment not in known:
        raise UsageError(
            f"environment {environment!r}",
            f"has no stacks/Pulumi.{environment}.yaml{did_you_mean(environment, known)}"
            f" (there are: {', '.join(known)})",
        )
    return folder / f"Pulumi.{environment}.yaml"


def with_clusters(settings: Environment) -> set[str]:
    """Return the sites that have a cluster."""
    return {name for name, site in settings.sites.items() if site.kubernetes}


def bring_up(
    environment: str,
    *,
    agreed: bool = False,
    skip_preview: bool = False,
    clusters: bool = True,
    secrets_provider: str = "",
) -> Environment:
    """Deploy an environment and return its settings; stacks that are not there yet are made.

    `agreed`: nothing is asked. Without `clusters`, the clusters' program is left out: their API
    can't be reached from here. `secrets_provider` is for stacks that are made.
    """
    source = load(settings_file(environment))
    settings = read(source.values, environment, source=source)
    provider = str(source.document.get("secretsprovider") or secrets_provider)
    _may_ask(agreed)
    _look_before(environment, settings, source, provider)
    words = ["--stack", environment, *_flags(agreed, skip_preview)]
    wanted = with_clusters(settings)
    if clusters:
        _clear_removed(environment, wanted, words)
    _make_stack(SKY, environment, provider)
    SKY.pulumi(["up", *words, *_QUIET])
    if wanted and clusters:
        _make_stack(CLUSTERS, environment, provider)
        CLUSTERS.pulumi(["up", *words, *_QUIET])
    elif wanted:
        click.echo(f"left out: what runs in the clusters of {', '.join(sorted(wanted))}")
    return settings


def foresee(environment: str, *, secrets_provider: str = "") -> None:
    """Show what `bring_up` would change; a stack that is not there yet is made, and stays empty."""
    source = load(settings_file(environment, "preview"))
    settings = read(source.values, environment, source=source)
    provider = str(source.document.get("secretsprovider") or secrets_provider)
    _look_before(environment, settings, source, provider)
    _make_stack(SKY, environment, provider)
    SKY.pulumi(["preview", "--stack", environment])
    if CLUSTERS.stacks().get(environment):
        CLUSTERS.pulumi(["preview", "--stack", environment])
    elif wanted := with_clusters(settings):
        names = ", ".join(sorted(wanted))
        click.echo(f"not shown: what will run in the clusters of {names}, which are not there yet")


def take_down(environment: str, *, agreed: bool = False, skip_preview: bool = False) -> None:
    """Take an environment down: its clusters' contents, then the rest. Refused where protected."""
    source = load(settings_file(environment, "down"))
    step = f"ems:protect: false in stacks/Pulumi.{environment}.yaml, make up ENV={environment}"
    refused = "is protected, so nothing was taken down"
    if read(source.values, environment, source=source).protect:
        raise UsageError(f"environment {environment!r}", refused, step)
    _may_ask(agreed)
    _look_here(source, "")
    there = [each for each in (CLUSTERS, SKY) if each.stacks().get(environment)]
    if not there:
        click.echo(f"{environment}: nothing is there to take down")
    if any(each.get("protect") for program in there for each in program.resources(environment)):
        raise UsageError(f"environment {environment!r}", f"{refused}, as of its last `up`", step)
    for program in there:
        program.pulumi(["destroy", "--stack", environment, *_flags(agreed, skip_preview)])
    if there:
        click.echo(_emptied(environment, there))


def _emptied(environment: str, programs: Sequence[Program]) -> str:
    """Say what to do about empty stacks: the command that the engine names deletes their file."""
    words = f"stack rm {environment} --preserve-config"
    lines = [f"  pulumi -C {each.folder} {words}" for each in programs]
    kept = f"which keeps stacks/Pulumi.{environment}.yaml"
    told = f"{environment} is down. Its empty stack costs nothing; to remove that too, {kept}:"
    return "\n".join([told, *lines])


def _clear_removed(environment: str, wanted: set[str], words: list[str]) -> None:
    """Take away what clusters hold that the settings no longer want, while they are there."""
    if not CLUSTERS.stacks().get(environment):
        return
    if not wanted:
        CLUSTERS.pulumi(["destroy", *words])
        return
    gone = [
        each["urn"]
        for each in CLUSTERS.resources(environment)
        if each["type"] == "pulumi:providers:kubernetes"
        and each["urn"].rpartition("::")[2].removeprefix(f"{environment}-") not in wanted
    ]
    if gone:  # all that was made through a cluster's provider depends on it
        targets = [word for urn in gone for word in ("--target", urn)]
        CLUSTERS.pulumi(["destroy", *words, *targets, "--target-dependents"])


def _make_stack(program: Program, environment: str, secrets_provider: str) -> None:
    """Make a stack if it is not there.

    Both programs' stacks share the environment's file, and so the key of its secrets.
    """
    if environment not in program.stacks():
        provider = ["--secrets-provider", secrets_provider] if secrets_provider else []
        program.pulumi(["stack", "init", "--stack", environment, *provider])


def _look_before(
    environment: str, settings: Environment, source: Source, secrets_provider: str
) -> None:
    """Raise for what stops a deployment, before anything is made; tell what may."""
    _look_here(source, secrets_provider)
    found = with_lines(look(settings, environment=environment), source.lines, source.file)
    for fault in found:
        if fault.level == "warning":
            click.echo(f"warning: {fault}", err=True)
    _stop_for(errors(found))


def _look_here(source: Source, secrets_provider: str) -> None:
    """Raise for what this machine lacks."""
    _stop_for(tools.cli())
    document: dict[str, Any] = dict(source.document)
    if secrets_provider:
        document["secretsprovider"] = secrets_provider
    variables = {**os.environ, "PULUMI_BACKEND_URL": backend()}
    _stop_for(tools.passphrase(ROOT, document, variables))


def _stop_for(faults: Iterable[Fault]) -> None:
    found = list(faults)
    if len(found) == 1:
        where = ": ".join(filter(None, (found[0].line, found[0].where)))
        raise EmsError(where, f"{found[0].what}; nothing was changed", found[0].next)
    if found:
        raise SettingsError("preflight", found)


def _may_ask(agreed: bool) -> None:
    if not (agreed or sys.stdin.isatty()):
        raise UsageError("no terminal", "nobody can be asked before a change is made", "YES=1")


def _flags(agreed: bool, skip_preview: bool) -> list[str]:
    return [*(["--yes"] if agreed else []), *(["--skip-preview"] if skip_preview else [])]


# ------------------------------------------------------------------------------- the command line
@click.group()
def main() -> None:
    """Bring an environment up or down: both programs, in order."""


_environment = click.argument("environment")
_yes = click.option("-y", "--yes", is_flag=True, help="Don't ask before changing anything.")
_skip = click.option("--skip-preview", is_flag=True, help="Don't show beforehand what will change.")
_secrets = click.option(
    "--secrets-provider",
    default="",
    metavar="URL",
    help="For a stack that is made: awskms://…; a passphrase otherwise.",
)


@main.command()
@_environment
@_yes
@_skip
@click.option("--no-clusters", is_flag=True, help="Leave out the clusters' program.")
@_secrets
def up(
    environment: str, yes: bool, skip_preview: bool, no_clusters: bool, secrets_provider: str
) -> None:
    """Deploy an environment; stacks that are not there yet are made."""
    settings = bring_up(
        environment,
        agreed=yes,
        skip_preview=skip_preview,
        clusters=not no_clusters,
        secrets_provider=secrets_provider,
    )
    click.echo(f"\nnext: emsctl stack use ssm:{home_of(settings)}/{environment}")


@main.command()
@_environment
@_secrets
def preview(environment: str, secrets_provider: str) -> None:
    """Show what `up` would change."""
    foresee(environment, secrets_provider=secrets_provider)


@main.command()
@_environment
@_yes
@_skip
def down(environment: str, yes: bool, skip_preview: bool) -> None:
    """Take an environment down: its clusters' contents, then the rest. Refused where protected."""
    take_down(environment, agreed=yes, skip_preview=skip_preview)


def entry() -> None:
    """Run the command; what goes wrong ends in one line."""
    try:
        main()
    except EmsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    entry()
