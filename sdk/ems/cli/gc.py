"""`emsctl gc`: what no kept run needs, named first, deleted when told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ems.cli import gc_places, lookup
from ems.cli.context import output_option, reading
from ems.cli.tables import print_facts, print_json
from ems.cli.texts import plural, size
from ems.units import seconds

if TYPE_CHECKING:
    from ems.compute.environments import Tidied
    from ems.store.gc import Garbage
    from ems.store.store import Store


@click.command()
@click.option("--keep", type=click.IntRange(0), metavar="N", help="Keep the newest N runs only.")
@click.option("--older-than", metavar="AGE", help="Let go of runs older than this: 30d, 12h.")
@click.option("--drop", multiple=True, metavar="RUN", help="Let go of this run.")
@click.option(
    "--grace",
    default="1h",
    metavar="AGE",
    help="Spare what is younger; less than 1h is safe only while nothing runs  [default: 1h]",
)
@click.option(
    "--unused",
    default="30d",
    metavar="AGE",
    help="Let go of environments at places that no job used for so long  [default: 30d]",
)
@click.option(
    "--yes", "--delete", "delete", is_flag=True, help="Delete; else only say what would go."
)
@output_option
@click.pass_context
def gc(
    ctx: click.Context,
    keep: int | None,
    older_than: str | None,
    drop: tuple[str, ...],
    grace: str,
    unused: str,
    delete: bool,
    output: str,
) -> None:
    """Delete what no kept run needs.

    Every run is kept unless an option lets it go; runs that go on always are. Results that a kept
    run used stay, whoever computed them, and so does what is younger than an hour. Without --yes
    nothing is deleted.

    The places of .ems.yaml are asked for environments that they made: those that no job used for a
    month go, too. A place that can't be reached keeps its own.

    \b
    JSON: {deleted, bytes, waiting, kept: [run], dropped: [run], versions, objects,
    runners, environments: [{place, kept, gone, bytes, problem}]}. `bytes` are free now
    or would be, `waiting` once the living runners and jobs at places end.
    """
    from ems.store.gc import Keeping, find_garbage, sweep

    age = None if older_than is None else seconds(older_than, "--older-than")
    spared = seconds(grace, "--grace")
    idle_s = seconds(unused, "--unused")
    with reading(ctx) as store:
        drops = frozenset(lookup.run_of(store, word).summary.id for word in drop)
        keeping = Keeping(newest=keep, younger_than_s=age, dropped=drops)
        found = find_garbage(store, keeping, grace_s=spared)
        freed = None
        if delete:
            _note(store, found.dropped)
            freed = sweep(store, found, grace_s=spared)
    places = gc_places.environments(ctx, idle_s, delete=delete)
    _show(found, freed, places, output)


def _note(store: Store, runs: Sequence[str]) -> None:
    """Write down which runs are let go, so that nobody misses what is deleted of them."""
    from ems.store.entries import Drop

    marked = {run.id for run in store.runs() if run.kept is False}
    if entries := [Drop(run) for run in runs if run not in marked]:
        store.committer.commit("", entries)


def _show(found: Garbage, freed: int | None, places: Sequence[Tidied], output: str) -> None:
    count = len(found.orphans) + (0 if found.runners else len(found.condemned))
    amount = found.bytes if freed is None else freed
    if output == "json":
        document = _document(found, freed, amount, count)
        print_json({**document, "environments": gc_places.document(places)})
        return
    print_facts(
        [
            ("runs", f"{len(found.kept)} kept, {len(found.dropped)} not"),
            ("not kept", "\n".join(found.dropped[:10]) + (" …" if len(found.dropped) > 10 else "")),
            ("versions", f"{len(found.versions)} that only those need"),
            ("objects", f"{count}, {size(amount)} {'to free' if freed is None else 'freed'}"),
            ("waiting", _waiting(found)),
            ("places", gc_places.lines(places, deleted=freed is not None)),
        ]
    )
    if freed is None:
        some = amount or any(each.gone or each.bytes for each in places)
        print("nothing was deleted. Try: the same with --yes" if some else "nothing to delete")


def _waiting(found: Garbage) -> str:
    lines: list[str] = []
    if more := found.waiting - found.held:
        runners = plural(len(found.runners), "runner")
        lines.append(f"{size(more)} more once {runners} that may use it ended")
    if found.held:
        jobs = plural(found.jobs, "job")
        lines.append(f"{size(found.held)} more once {jobs} at places that may read it ended")
    return "\n".join(lines)


def _document(found: Garbage, freed: int | None, amount: int, count: int) -> dict[str, Any]:
    return {
        "deleted": freed is not None,
        "bytes": amount,
        "waiting": found.waiting,
        "kept": list(found.kept),
        "dropped": list(found.dropped),
        "versions": len(found.versions),
        "objects": count,
        "runners": list(found.runners),
    }
