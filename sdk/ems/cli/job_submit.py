"""`emsctl job submit`: write jobs down, hand them over, and see them to their end or leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ems.cli.job_view import (
    exit_code,
    follow,
    jobs_here,
    say_how_to_come_back,
    say_outputs,
)  # fmt: skip
from ems.compute.jobfile.fault import Steps
from ems.errors import UNFINISHED, UsageError

_COMMAND = "ems.job.command"


class _WithCommand(click.Command):
    """A command whose words behind `--` are kept as they are."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take away what stands behind `--`."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command(cls=_WithCommand)
@click.argument("file", required=False, metavar="[FILE | -- COMMAND …]")
@click.option("-d", "--detach", is_flag=True, help="Leave once the jobs are handed over.")
@click.option("--on", metavar="TARGET", help="Where they run, whatever the file says.")
@click.option("--name", help="The job's name.")
@click.option("--cpus", metavar="N", help="CPUs: 2, or 4+.")
@click.option("--memory", metavar="GIB", help="Memory: 16, 512MiB, or 8+.")
@click.option("--gpus", metavar="N", help="GPUs: 1, or 2+.")
@click.option("--timeout", metavar="TIME", help="How long it may run: 90s, 2h.")
@click.option("--retries", type=int, metavar="N", help="Tries after the first.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE",
    help="A key of the file, such as resources.cpus=4 or variables.SEED=3.",
)  # fmt: skip
@click.option(
    "--get", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Copy the outputs to a folder at the end.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table",
    help="For people, or for programs.",
)  # fmt: skip
@click.pass_context
def submit(
    ctx: click.Context,
    file: str | None,
    detach: bool,
    on: str | None,
    name: str | None,
    cpus: str | None,
    memory: str | None,
    gpus: str | None,
    timeout: str | None,
    retries: int | None,
    sets: tuple[str, ...],
    folder: Path | None,
    output: str,
) -> None:
    """Submit the jobs of a FILE, `job.json` or `job.yaml`, or one job with the COMMAND.

    They are written down in the store before anything starts. The command prints what they write,
    and ends when they have ended: 0 all succeeded, 100 one failed, 103 canceled. Ctrl-C leaves jobs
    that outlive this command alone (101) and ends those of this machine; a second one ends the
    command at once.

    \b
    JSON: one object a line, {event: state, handle, state, reason, …} or
    {event: line, job, text}, of a gang's member with `member`; with -d a list of
    {id, name, target, store}.
    """
    words: list[str] = ctx.meta.get(_COMMAND, [])
    flags: dict[Steps, object] = {
        ("name",): name, ("resources", "cpus"): cpus, ("resources", "memory"): memory,
        ("resources", "gpus"): gpus, ("timeout",): timeout, ("retries",): retries,
    }  # fmt: skip
    changes = {steps: value for steps, value in flags.items() if value is not None}
    changes |= _sets(sets)
    wanted = _wanted(file, words, name)
    with jobs_here(ctx) as jobs:
        handles = jobs.submit(
            wanted, on=on, changes=changes, detach=detach,
            **({} if detach else {"patience_s": None}),
        )  # fmt: skip
        ids = [handle.id for handle in handles]
        if detach:
            _print_detached(handles, output)
            return
        infos, left = follow(jobs, ids, output)
        if left:
            say_how_to_come_back(infos)
        if output != "json" or folder is not None:
            say_outputs(jobs, infos, folder)
    ctx.exit(UNFINISHED if any(not i.state.ended for i in infos) else exit_code(infos))


def _wanted(file: str | None, words: list[str], name: str | None) -> Any:
    if words and file:
        raise UsageError("job submit", f"takes a file or a command, not {file} and `{words[0]} …`")
    if words:
        return {"name": name or _name_of(words), "command": words}
    if file is None:
        raise UsageError(
            "job submit", "takes a file or a command", "emsctl job submit -- python train.py"
        )
    return Path(file)


def _name_of(words: list[str]) -> str:
    """Return a name for a command: that of its program, in what a name may hold."""
    plain = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in words[0])
    return Path(words[0]).stem if plain.isalnum() else plain.strip("-")[-40:].strip("-") or "job"


def _sets(words: tuple[str, ...]) -> dict[Steps, object]:
    from ems.compute.jobfile.source import parsed

    found: dict[Steps, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError("--set", f"{word!r} is not KEY=VALUE", "--set resources.cpus=4")
        found[tuple(key.split("."))] = parsed(value)
    return found


def _print_detached(handles: Any, output: str) -> None:
    if output == "json":
        click.echo(json.dumps([handle.to_json() for handle in handles], indent=2))
        return
    first = handles[0].id
    base = first.rpartition(".")[0] or first
    click.echo(base)
    count = "is" if len(handles) == 1 else f"and its {len(handles)} jobs are"
    click.echo(f"{base} {count} handed over. Come back: emsctl job watch {base}", err=True)
