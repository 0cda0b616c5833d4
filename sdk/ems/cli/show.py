"""`emsctl show`: a run with its tasks and results, or the manifest of one version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ems.cli import history
from ems.cli.changes import OWN
from ems.cli.context import output_option, reading
from ems.cli.library import Library, mapping
from ems.cli.lookup import named
from ems.cli.tables import print_facts, print_json, print_section, print_table
from ems.cli.texts import counted, metric, size, took, value, when
from ems.errors import StoreError
from ems.units import seconds_text

if TYPE_CHECKING:
    from ems.cli.history import Group
    from ems.pipeline.nodes import NodeRow
    from ems.store.answers import RunInfo
    from ems.store.store import Store

_MOST_RECORDS = 2000
"""Versions of one task whose times are added up; above that the time is not shown."""


@click.command()
@click.argument("what", metavar="RUN|VERSION")
@output_option
@click.pass_context
def show(ctx: click.Context, what: str, output: str) -> None:
    """Show a run, or one version of a task.

    A run: its parameters, counts, tasks and results. A version: what it was made of, what it gave,
    how it went, and every attempt at it.

    \b
    JSON of a run: what `emsctl runs -o json` has of it, and {command, params, tasks,
    calls: [{label, task, version, how}], result, error}.
    JSON of a version: {version, task, run, spec: {kind, entry, key, code, env},
    args, out, files, exit, log, metrics, started, ended, seconds, asked, used,
    place, who, usd, attempts}. Values are trees: files are {"$file": [digest,
    bytes, name]}.
    """
    with reading(ctx) as store:
        found = named(store, what)
        if isinstance(found, str):
            _show_version(store, found, output)
        else:
            _show_run(store, found, output)


# -- a run --------------------------------------------------------------------------------------


def _show_run(store: Store, info: RunInfo, output: str) -> None:
    run, ended, summary = info.run, info.ended, info.summary
    gone = ""
    try:
        rows = history.calls(store, info)
    except StoreError as error:
        rows, gone = [], error.problem
    if output == "json":
        print_json(_run_document(store, info, rows))
        return
    print_facts(
        [
            ("run", run.id),
            ("pipeline", f"{run.pipeline} ({run.file})"),
            ("state", summary.state + (_died(summary.state))),
            ("started", f"{when(run.started)} by {run.who} on {run.host}"),
            ("took", took(run.started, ended.t if ended else None)),
            ("calls", gone or counted(_counts(rows))),
            ("params", _lines(run.params)),
            ("command", " ".join(run.argv)),
            ("error", _error(ended.error) if ended else ""),
        ]
    )
    if rows:
        print_section("tasks")
        _print_tasks(store, history.grouped(rows))
    if ended and ended.result is not None:
        print_section("result")
        print(_lines(Library(store).shown(ended.result)))


def _died(state: str) -> str:
    return "; what it finished is kept, run it again to go on" if state == "died" else ""


def _counts(rows: Sequence[NodeRow]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.how] = counts.get(row.how, 0) + 1
    return counts


def _print_tasks(store: Store, groups: Sequence[Group]) -> None:
    rows = [
        [group.task, counted(group.counts), _time_of(store, group), _example(group)]
        for group in groups
    ]
    print_table(("task", "calls", "time", "version"), rows, right=("time",))


def _time_of(store: Store, group: Group) -> str:
    """Return what the task's versions took when they ran, added up."""
    if not group.versions or len(group.versions) > _MOST_RECORDS:
        return ""
    found = store.records(group.versions).values()
    return seconds_text(sum(record.t1 - record.t0 for record in found)) if found else ""


def _example(group: Group) -> str:
    if len(group.versions) == 1:
        return group.versions[0][:12]
    return f"{len(group.versions)} versions" if group.versions else ""


def _error(error: Any) -> str:
    found = mapping(error)
    return ": ".join(str(found[key]) for key in ("label", "reason", "message") if found.get(key))


def _run_document(store: Store, info: RunInfo, rows: Sequence[NodeRow]) -> dict[str, Any]:
    from ems.cli.runs import document

    ended = info.ended
    return {
        **document(info.summary),
        "counts": dict(_counts(rows) or info.summary.counts),
        "command": list(info.run.argv),
        "params": info.run.params,
        "tasks": [
            {"task": group.task, "counts": dict(group.counts)} for group in history.grouped(rows)
        ],
        "calls": [
            {"label": row.label, "task": row.task, "version": row.version or None, "how": row.how}
            for row in rows
        ],
        "result": Library(store).shown(ended.result) if ended else None,
        "error": ended.error if ended else None,
    }


# -- a version ----------------------------------------------------------------------------------


def _show_version(store: Store, version: str, output: str) -> None:
    from ems.cli.manifest import manifest

    found = manifest(store, version)
    if output == "json":
        print_json(found)
        return
    _print_version(found)


def _print_version(found: Mapping[str, Any]) -> None:
    print_facts(
        [
            ("version", found["version"]),
            ("task", found["task"]),
            ("state", found["state"]),
            ("run", found["run"]),
            ("started", f"{when(found['started'])} by {found['who']} at {found['place']}"),
            ("took", seconds_text(found["seconds"])),
            ("used", _used(found["used"])),
            ("asked", _asked(found["asked"])),
            ("cost", f"{found['usd']:.4f} USD" if found["usd"] else ""),
            ("exit", str(found["exit"]) if found["exit"] is not None else ""),
            ("error", _failure(found["error"])),
            ("code", _code(found["spec"])),
            ("environment", ", ".join(f"{k} {v}" for k, v in found["spec"].get("env", {}).items())),
        ]
    )
    _section("arguments", _lines(found["args"]))
    if found["state"] == "recorded":
        _section("result", _lines(found["out"]))
    _section(
        "files", "\n".join(f"{digest[:12]}  {size(count)}" for digest, count in found["files"])
    )
    _section("metrics", _metrics(found["metrics"]))
    _section("output (the last lines)", "\n".join(found["log"].splitlines()[-10:]))
    _print_attempts(found["attempts"])


def _section(title: str, text: str) -> None:
    if text:
        print_section(title)
        print(text)


def _used(used: Mapping[str, Any]) -> str:
    return f"{seconds_text(used['cpu_s'])} of CPU, {used['rss_mib']:.0f} MiB of memory at most"


def _asked(asked: Mapping[str, Any]) -> str:
    if not asked:
        return ""
    parts = [f"{asked.get('cpus', 1):g} CPU"]
    if asked.get("memory_gib"):
        parts.append(f"{asked['memory_gib']:g} GiB")
    if asked.get("gpus"):
        parts.append(f"{asked['gpus']} GPU")
    return ", ".join(parts)


def _failure(error: Mapping[str, Any] | None) -> str:
    if not error:
        return ""
    lines = [f"{error.get('type', '')}: {error.get('message', '')}".strip(": ")]
    lines += [str(line) for line in error.get("traceback") or ()]
    return "\n".join(lines)


def _code(spec: Mapping[str, Any]) -> str:
    if not spec:
        return "its description is gone from the store"
    if spec["kind"] == "command":
        return f"{spec['template']}\n{', '.join(spec['bundle'])}".strip()
    others = [part for part in spec["code"] if part != OWN]
    return "\n".join([":".join(spec["entry"]), *others])


def _metrics(metrics: Sequence[Mapping[str, Any]]) -> str:
    return f"{len(metrics)} reported; the last: {metric(metrics[-1])}" if metrics else ""


def _print_attempts(attempts: Sequence[Mapping[str, Any]]) -> None:
    if len(attempts) < 2 and not any(each["state"] == "failed" for each in attempts):
        return
    print_section("attempts")
    rows = [
        [str(at), each["state"], each["reason"], when(each["started"]), _seconds(each), each["run"]]
        for at, each in enumerate(attempts, 1)
    ]
    print_table(("attempt", "state", "reason", "started", "took", "run"), rows, right=("took",))


def _seconds(attempt: Mapping[str, Any]) -> str:
    return seconds_text(attempt["seconds"])


def _lines(tree: Any) -> str:
    """Return a mapping as one line an item, anything else as one line."""
    rows = mapping(tree)
    if rows and not any(key[:1] == "$" for key in rows):
        return "\n".join(f"{name} = {value(item, 200)}" for name, item in rows.items())
    return value(tree, 400) if tree not in (None, {}) else ""
