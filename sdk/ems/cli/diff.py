"""`emsctl diff`: two runs side by side: parameters, tasks, versions, results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ems.cli import changes, history, lookup
from ems.cli.context import output_option, reading
from ems.cli.library import Library, mapping
from ems.cli.tables import print_json, print_section, print_table
from ems.cli.texts import plural, value
from ems.pipeline.why import Change, Comparison

if TYPE_CHECKING:
    from ems.pipeline.nodes import NodeRow
    from ems.store.answers import RunInfo
    from ems.store.store import Store

_MOST = 500
"""Calls whose versions are compared part by part."""
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Pair:
    """A call that both runs made, with another version."""

    label: str
    task: str
    old: str
    new: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What two runs differ in."""

    params: Mapping[str, tuple[Any, Any]]
    removed: Sequence[str]
    added: Sequence[str]
    pairs: Sequence[Pair]
    same: int
    results: tuple[Any, Any]


@click.command()
@click.argument("old", metavar="RUN")
@click.argument("new", metavar="RUN")
@output_option
@click.pass_context
def diff(ctx: click.Context, old: str, new: str, output: str) -> None:
    """Compare two runs: `emsctl diff last~1 last`.

    Parameters, calls that only one of them made, calls whose version differs and by which part, and
    results. `emsctl why` shows the parts with a diff.

    \b
    JSON: {runs: [old, new], params: {name: [old, new]}, removed: [label],
    added: [label], changed: [{label, task, versions: [old, new], changes}],
    same, results: [old, new]}.
    """
    with reading(ctx) as store:
        before, after = lookup.run_of(store, old), lookup.run_of(store, new)
        found = difference(store, before, after)
    ids = (before.summary.id, after.summary.id)
    if output == "json":
        print_json(_document(ids, found))
        return
    _print(ids, found)


def difference(store: Store, old: RunInfo, new: RunInfo) -> Difference:
    """Return what two runs differ in."""
    before = {row.label: row for row in history.calls(store, old)}
    after = {row.label: row for row in history.calls(store, new)}
    both = [label for label in after if label in before]
    changed = [label for label in both if before[label].version != after[label].version]
    library = Library(store)
    return Difference(
        params=_params(old, new),
        removed=[label for label in before if label not in after],
        added=[label for label in after if label not in before],
        pairs=_pairs(library, [(before[label], after[label]) for label in changed]),
        same=len(both) - len(changed),
        results=(_result(library, old), _result(library, new)),
    )


def _params(old: RunInfo, new: RunInfo) -> dict[str, tuple[Any, Any]]:
    before, after = mapping(old.run.params), mapping(new.run.params)
    return {
        name: (before.get(name), after.get(name))
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    }


def _pairs(library: Library, rows: Sequence[tuple[NodeRow, NodeRow]]) -> list[Pair]:
    comparison = Comparison(library)
    library.fetch([row.version for pair in rows[:_MOST] for row in pair if row.version])
    found: list[Pair] = []
    for at, (old, new) in enumerate(rows):
        known: tuple[Change, ...] = ()
        if at < _MOST and old.version and new.version:
            before, after = library.made(old.version), library.made(new.version)
            if before is not None and after is not None:
                known = comparison.changes(before, after)
        found.append(Pair(new.label, new.task, old.version, new.version, known))
    return found


def _result(library: Library, info: RunInfo) -> Any:
    return library.shown(info.ended.result) if info.ended else None


def _document(ids: tuple[str, str], found: Difference) -> dict[str, Any]:
    return {
        "runs": list(ids),
        "params": {name: list(pair) for name, pair in found.params.items()},
        "removed": list(found.removed),
        "added": list(found.added),
        "changed": [
            {
                "label": pair.label,
                "task": pair.task,
                "versions": [pair.old or None, pair.new or None],
                "changes": [changes.document(each) for each in pair.changes],
            }
            for pair in found.pairs
        ],
        "same": found.same,
        "results": list(found.results),
    }


# -- printing -----------------------------------------------------------------------------------


def _print(ids: tuple[str, str], found: Difference) -> None:
    alike = f"{plural(found.same, 'call')} with the same version"
    print(f"{ids[0]} → {ids[1]}: {alike}, {len(found.pairs)} with another")
    if found.params:
        print_section("params")
        rows = [[name, value(a, 40), value(b, 40)] for name, (a, b) in found.params.items()]
        print_table(("name", *ids), rows)
    for title, labels in (
        ("only in the first", found.removed),
        ("only in the second", found.added),
    ):
        if labels:
            print_section(f"{title}: {plural(len(labels), 'call')}")
            print(", ".join(labels[:_SHOWN]) + (" …" if len(labels) > _SHOWN else ""))
    _print_pairs(found.pairs)
    _print_results(ids, found.results)


def _print_pairs(pairs: Sequence[Pair]) -> None:
    if not pairs:
        return
    print_section(f"other versions: {plural(len(pairs), 'call')}")
    groups: dict[tuple[str, tuple[str, ...]], list[Pair]] = {}
    for pair in pairs:
        said = tuple(changes.lines(pair.changes, diffs=False)) or (_unknown(pair),)
        groups.setdefault((pair.task, said), []).append(pair)
    for (_, said), group in list(groups.items())[:_SHOWN]:
        more = f" … {group[-1].label} ({len(group)} calls)" if len(group) > 1 else ""
        print(f"{group[0].label}{more}")
        for line in said:
            print(f"  {line}")
    if len(groups) > _SHOWN:
        print(f"and {len(groups) - _SHOWN} more groups; all of them: -o json")


def _unknown(pair: Pair) -> str:
    if not pair.old or not pair.new:
        return f"not reached in the {'first' if not pair.old else 'second'} run"
    return "by parts that are not kept"


def _print_results(ids: tuple[str, str], results: tuple[Any, Any]) -> None:
    old, new = results
    if old is None and new is None:
        return
    print_section("results" if old != new else "results: the same")
    before, after = mapping(old), mapping(new)
    if not before or not after or any(key[:1] == "$" for key in (*before, *after)):
        before, after = {"": old}, {"": new}
    rows = [
        [name, value(before.get(name), 60), value(after.get(name), 60)]
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name) or old == new
    ]
    print_table(("", *ids), rows)
