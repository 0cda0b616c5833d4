"""`emsctl run`: run a pipeline, or say what a run would do.

Knows words of the command line and how results are printed. Does not know how a run works.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.context import session_for
from ems.cli.live import colored, failure_lines, observer_for
from ems.errors import UsageError
from ems.units import seconds_text

if TYPE_CHECKING:
    from ems.pipeline.plan import Plan
    from ems.pipeline.run import Run
    from ems.session import Session


@click.command()
@click.argument("target", metavar="FILE[:PIPELINE]")
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the pipeline.",
)
@click.option(
    "--params", "params_file", metavar="FILE", help="Parameters from a YAML or JSON file."
)
@click.option("-j", "--jobs", type=click.IntRange(1), help="Tasks at once at most [default: CPUs].")
@click.option(
    "--on", multiple=True, metavar="TARGET",
    help="Where tasks run that don't say; again for more, in order.",
)  # fmt: skip
@click.option(
    "-n", "--dry-run", is_flag=True, help="Say what would run and why, and start nothing."
)
@click.option(
    "-k", "--keep-going", is_flag=True, help="After a failure, go on with what does not need it."
)
@click.option(
    "--rerun", multiple=True, metavar="TASK", help="Run a task again though it is cached."
)
@click.option(
    "--until", multiple=True, metavar="TASK", help="Run a task and what it needs, nothing else."
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="For people, or for programs.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show failures and the result only.")
@click.option(
    "--driver", metavar="TARGET",
    help="Run the runner itself as a job there, which goes on without this machine.",
)  # fmt: skip
@click.option(
    "-d", "--detach", is_flag=True, help="With --driver: leave once the job is handed over."
)
@click.pass_context
def run(
    ctx: click.Context,
    target: str,
    params: tuple[str, ...],
    params_file: str | None,
    jobs: int | None,
    on: tuple[str, ...],
    dry_run: bool,
    keep_going: bool,
    rerun: tuple[str, ...],
    until: tuple[str, ...],
    output: str,
    quiet: bool,
    driver: str | None,
    detach: bool,
) -> None:
    """Run a pipeline: nothing that is known already is computed again.

    FILE is a Python file; :PIPELINE names one of several, of which `main` needs no naming. Exit
    codes: 0 done, 100 a task failed, 101 unfinished, 103 canceled, 1 EMS's own error, 2 usage.

    With --driver, Ctrl-C leaves the run alone (101); `emsctl job cancel` ends it. The store must be
    one that the place reaches.

    \b
    JSON: {run, pipeline, state, seconds, counts, result, failures: [{task, version,
    reason, message, exit_code, signal, text}]}.
    JSON of -n: {pipeline, expected_s, unknown, tasks: [{task, total, cached, run,
    depends, expected_s, why}]}.
    """
    from ems.pipeline.loadfile import load_pipeline
    from ems.session import RunOptions

    pipeline, path = load_pipeline(target)
    given = {**_from_file(params_file), **_from_words(params)}
    options = RunOptions(jobs, keep_going, rerun, until, sys.argv, on)
    if detach and not driver:
        raise UsageError("-d", "is for --driver alone", "emsctl run --driver TARGET -d …")
    session = session_for(ctx, path)
    try:
        if dry_run:
            _print_plan(session, pipeline, given, options, output)
            return
        if driver is not None:
            from ems.cli.driver import Asked, drive

            asked = Asked(target, driver, output, quiet, detach)
            ctx.exit(drive(session, pipeline, path, given, options, asked))
        observer = observer_for(sys.stderr, quiet=quiet)
        try:
            done = session.run(pipeline, given, options, words=True, observer=observer)
        finally:
            observer.close()
        _print_run(done, output, quiet=quiet)
    finally:
        session.close()
    ctx.exit(done.exit_code)


def _from_words(words: tuple[str, ...]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError("-p", f"{word!r} is not NAME=VALUE", "-p workers=8")
        given[name] = value
    return given


def _from_file(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    import yaml

    try:
        found = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--params {file}", (error.strerror or str(error)).lower()) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"--params {file}", f"is no YAML: {error}".replace("\n", " ")) from None
    if not isinstance(found, dict):
        raise UsageError(f"--params {file}", "holds no mapping of parameters to values")
    return {str(name): value for name, value in found.items()}


# -- the end of a run -----------------------------------------------------------------------------


def _print_run(run: Run, output: str, *, quiet: bool = False) -> None:
    if output == "json":
        click.echo(json.dumps(_run_document(run), indent=2))
        return
    counts = ", ".join(f"{run.counts[how]} {how}" for how in _ORDER if run.counts.get(how))
    text = f"{run.state} in {seconds_text(run.seconds)}: {counts or 'nothing to do'}"
    if not quiet or run.state != "done":
        click.echo(colored(text, _COLORS.get(run.state, ""), sys.stderr), err=True)
    if run.state == "done":
        for line in result_lines(run.result):
            click.echo(line)
    else:
        nexts = {
            "failed": f"emsctl show {run.id}",
            "canceled": "the same command goes on from here",
            "unfinished": "the same command goes on from here",
        }
        if run.state in nexts:
            click.echo(f"next: {nexts[run.state]}", err=True)


_ORDER = ("ran", "cached", "failed", "skipped", "left out", "pending")
_COLORS = {"done": "green", "failed": "red", "canceled": "yellow", "unfinished": "yellow"}


def _run_document(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "state": run.state,
        "seconds": round(run.seconds, 3),
        "counts": dict(run.counts),
        "result": plain(run.result) if run.state == "done" else None,
        "failures": [
            {"task": f.label, "version": f.version, "reason": f.reason, "message": f.message,
             "exit_code": f.exit_code, "signal": f.signal, "text": failure_lines(f)}
            for f in run.failures
        ],
    }  # fmt: skip


def plain(value: Any) -> Any:
    """Return a result as JSON can hold it: files as paths, other types as text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def result_lines(value: Any) -> list[str]:
    """Return a result as a person reads it: one line an item."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [f"{name}: {_cell(item)}" for name, item in value.items()]
    if isinstance(value, (list, tuple)) and len(value) <= 20:
        return [_cell(item) for item in value]
    return [_cell(value)]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if hasattr(value, "__fspath__"):
        return _near(str(value))
    text = value if isinstance(value, str) else json.dumps(plain(value))
    return text if len(text) <= 400 else text[:397] + "..."


def _near(path: str) -> str:
    """Return a path as one would type it from here."""
    try:
        near = str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
    return near


# -- a dry run ------------------------------------------------------------------------------------


def _print_plan(
    session: Session, pipeline: Any, given: dict[str, Any], options: Any, output: str
) -> None:
    from ems.cli.reasons import reasons

    found, written = session.plan(pipeline, given, options, words=True)
    why = reasons(session.store, written, found)
    if output == "json":
        click.echo(json.dumps(_plan_document(found, why), indent=2))
        return
    for line in _plan_lines(found, why):
        click.echo(line)


def _plan_document(plan: Plan, why: dict[str, str]) -> dict[str, Any]:
    rows = [
        {"task": row.task, "total": row.total, "cached": row.cached, "run": row.run,
         "depends": row.depends, "expected_s": row.expected_s, "why": why.get(row.task)}
        for row in plan.rows
    ]  # fmt: skip
    return {
        "pipeline": plan.pipeline,
        "expected_s": plan.expected_s,
        "unknown": plan.unknown,
        "tasks": rows,
    }


def _plan_lines(plan: Plan, why: dict[str, str]) -> list[str]:
    width = max([len(row.task) for row in plan.rows] or [4])
    lines = [f"{'task':<{width}}  calls  cached    run  depends  expected"]
    for row in plan.rows:
        busy = row.run + row.depends
        expected = (
            ""
            if not busy
            else "?"
            if row.expected_s is None
            else seconds_text(row.expected_s * busy)
        )
        counts = f"{row.total:>5}  {row.cached:>6}  {row.run:>5}  {row.depends:>7}"
        lines.append(f"{row.task:<{width}}  {counts}  {expected:>8}")
        if row.task in why:
            lines.append(f"{'':<{width}}  {why[row.task]}")
    if plan.unknown:
        lines.append(f"{plan.unknown} maps or folds over results are not known before those run")
    if not any(row.run or row.depends for row in plan.rows):
        lines.append("nothing would run")
    elif plan.expected_s is not None:
        lines.append(f"about {seconds_text(plan.expected_s)} in all, by earlier runs")
    return lines
