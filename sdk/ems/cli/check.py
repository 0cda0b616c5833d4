"""`emsctl check`: this machine, the installation, store and sky; what is broken and how to mend it.

Knows machine and store. What is said of the sky stands in `check_stack.py`.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems import __version__
from ems.cli.context import output_option, settings_of, warn
from ems.cli.tables import print_facts, print_json, print_section
from ems.cli.texts import plural, size
from ems.errors import FAULT, EmsError
from ems.settings import FILE
from ems.units import gib_text

if TYPE_CHECKING:
    from ems.cli.check_stack import Findings
    from ems.settings import Settings
    from ems.store.store import Store

_LOW_BYTES = 1 << 30
Problem = tuple[str, str, str]
"""Where, what, next step."""


@click.command()
@click.option(
    "--all", "everything", is_flag=True, help="Read and verify every object of the store."
)
@click.option(
    "--stack",
    metavar="REF",
    help="The sky to look over: a Pulumi stack, ssm:REGION/NAME, FILE.json.",
)
@output_option
@click.pass_context
def check(ctx: click.Context, everything: bool, stack: str | None, output: str) -> None:
    """Look over this machine, the store, places and the sky; exit 1 if something is broken.

    Places are the targets of .ems.yaml and those of the stack: each is asked whether it is ready
    for jobs.

    A sample of the store's objects is read and compared with their digests, or all with --all.

    The sky is the one that --stack or .ems.yaml names: whether its outputs can be read, whether AWS
    still has what they describe (queues, buckets, file systems, registries, clusters), and whether
    the account's quotas let its queues start anything. In a checkout that has the settings of the
    stack, these and what stands in the way of `make up` are looked over as well, also before it
    has been made.

    \b
    JSON: {machine, versions, settings, store, stack, places: [{place, ready, what,
    from, needed}], problems: [{where, what, next}]}.
    `stack` is null where none is named, else {reference, readable, where, environment,
    account, sites: {name: region}, as_described, notes}.
    """
    settings = settings_of(ctx)
    problems: list[Problem] = []
    sky = _sky(stack or settings.stack)
    document: dict[str, Any] = {
        "machine": _machine(),
        "versions": {"ems": __version__, "python": platform.python_version()},
        "settings": str(settings.file) if settings.file else None,
        "store": _store(settings, everything, problems),
        "stack": sky.document() if sky else None,
        "places": _places(ctx, settings, problems),
        "problems": [],
    }
    problems += _space(settings)
    problems += sky.problems if sky else []
    if output == "json":
        found = [{"where": a, "what": b, "next": c} for a, b, c in problems]
        print_json({**document, "problems": found})
    else:
        _print(document, problems)
    if problems:
        ctx.exit(FAULT)


def _sky(reference: str | None) -> Findings | None:
    """Return what there is to say of the environment that is named; None where none is."""
    if reference is None:
        return None
    from ems.cli.check_stack import look_over

    return look_over(reference, Path.cwd())


def _places(
    ctx: click.Context, settings: Settings, problems: list[Problem]
) -> list[dict[str, Any]]:
    """Return what a look at each place found; those not ready are problems.

    A place of the stack that lacks something is none: nobody may have wanted it.
    """
    if not settings.targets and settings.stack is None:
        return []
    from concurrent.futures import ThreadPoolExecutor

    from ems.compute.targets import Targets
    from ems.session import Session

    session = Session(Path.cwd(), settings, lambda _: None)
    try:
        setting, targets = session.setting(lambda _: None), session.targets
        named = targets.listed() if isinstance(targets, Targets) else targets
        with ThreadPoolExecutor(8) as pool:
            looks = [(each, pool.submit(each.check, setting)) for each in named.values()]
            found = [(each, finding) for each, look in looks for finding in look.result()]
    except EmsError as error:
        problems.append((error.subject, error.problem, error.next_step))
        return []
    finally:
        session.close()
    problems += [
        (seen.place, seen.what, seen.next_step)
        for each, seen in found
        if not seen.ready and each.lack is None
    ]
    return [
        {
            "place": seen.place, "ready": seen.ready, "what": seen.what,
            "from": f"stack {each.stack}" if each.stack else FILE,
            "needed": seen.next_step if each.lack is not None else "",
        }
        for each, seen in found
    ]  # fmt: skip


def _machine() -> dict[str, Any]:
    from ems.compute import machine

    return {
        "cpus": machine.cpus(),
        "memory_gib": round(machine.memory_gib(), 2),
        "gpus": list(machine.gpus()),
        "system": platform.platform(),
        "host": platform.node(),
    }


def _store(settings: Settings, everything: bool, problems: list[Problem]) -> dict[str, Any]:
    """Return facts of the store; what is wrong with it goes to `problems`."""
    from ems.store.store import Store

    facts: dict[str, Any] = {"url": settings.store, "exists": True}
    if "://" not in settings.store and not Path(settings.store).exists():
        return {**facts, "exists": False}
    try:
        with Store.open(settings.store, create=False, warn=warn) as store:
            return {**facts, **_opened(store, everything, problems)}
    except EmsError as error:
        problems.append((error.subject, error.problem, error.next_step or "emsctl check"))
        return facts


def _opened(store: Store, everything: bool, problems: list[Problem]) -> dict[str, Any]:
    from ems.store.check import check as check_store

    runs = store.runs()
    for found in check_store(store, all_objects=everything):
        problems.append((found.where, found.what, found.next_step))
    if not store.writable:
        problems.append((store.url, "may be read but not written", "chmod, or another store"))
    objects = [stat.size for stat in store.root.list("objects/")]
    segments = [stat.size for stat in store.root.list("log/")]
    return {
        "id": store.id,
        "readable": True,
        "writable": store.writable,
        "runs": len(runs),
        "versions": len(store.find("")),
        "objects": len(objects),
        "object_bytes": sum(objects),
        "segments": len(segments),
        "log_bytes": sum(segments),
        "verified": "all objects" if everything else "a sample of the objects",
    }


def _space(settings: Settings) -> list[Problem]:
    """Return a problem for each place that has little room left."""
    from ems.settings import cache_folder

    places = [("cache", cache_folder())]
    if "://" not in settings.store:
        places.insert(0, ("store", Path(settings.store)))
    found: list[Problem] = []
    for name, place in places:
        free = _free(place)
        if free is not None and free < _LOW_BYTES:
            text = f"only {size(free)} are free"
            found.append((f"{name} {place}", text, "emsctl gc, or make room"))
    return found


def _free(place: Path) -> int | None:
    for folder in (place, *place.parents):
        if folder.exists():
            try:
                return shutil.disk_usage(folder).free
            except OSError:
                return None
    return None


def _print(document: dict[str, Any], problems: Sequence[Problem]) -> None:
    machine, store = document["machine"], document["store"]
    free = _free(Path(store["url"])) if "://" not in store["url"] else None
    gpus = machine["gpus"]
    print_facts(
        [
            ("machine", f"{machine['host']}: {machine['system']}"),
            ("CPUs", f"{machine['cpus']:g}"),
            ("memory", gib_text(machine["memory_gib"])),
            ("GPUs", f"{len(gpus)} (ids {', '.join(gpus)})" if gpus else "none"),
            ("disk free", size(free) if free is not None else ""),
            (
                "ems",
                f"{document['versions']['ems']} at {os.path.dirname(os.path.dirname(__file__))}",
            ),
            ("Python", f"{document['versions']['python']} at {sys.executable}"),
            ("settings", document["settings"] or "no .ems.yaml; defaults"),
            (
                "store",
                store["url"] + ("" if store["exists"] else " (none yet; the first run makes it)"),
            ),
            *_store_facts(store),
            *_sky_facts(document["stack"]),
            *_place_facts(document["places"]),
        ]
    )
    print_section("problems" if problems else "nothing is broken")
    for where, what, next_step in problems:
        print(f"{where}: {what}. Try: {next_step}" if next_step else f"{where}: {what}")


def _store_facts(store: dict[str, Any]) -> list[tuple[str, str]]:
    if "id" not in store:
        return []
    access = "read and write" if store["writable"] else "read only"
    return [
        ("access", access),
        ("log", f"{plural(store['segments'], 'segment')}, {size(store['log_bytes'])}"),
        ("runs", str(store["runs"])),
        ("versions", str(store["versions"])),
        (
            "objects",
            f"{store['objects']}, {size(store['object_bytes'])}; verified: {store['verified']}",
        ),
    ]


def _place_facts(places: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return a line for each place that is ready, and for those of the stack that lack a key."""
    found: list[tuple[str, str]] = []
    for each in places:
        ours = each["from"] == FILE
        if each["needed"]:
            found.append((each["place"], f"not set up: {each['what']}"))
        elif each["ready"]:
            found.append(
                (each["place"], each["what"] + ("" if ours else f" (from {each['from']})"))
            )
    return found


def _sky_facts(sky: dict[str, Any] | None) -> list[tuple[str, str]]:
    if sky is None:
        return []
    described = {True: "yes", False: "no, see problems", None: "could not be seen in full"}
    sites = [f"{name} ({region})" for name, region in sky.get("sites", {}).items()]
    return [
        ("stack", sky.get("where") or f"{sky['reference']}, which can't be read"),
        ("sites", ", ".join(sites)),
        ("as described", described[sky["as_described"]] if "as_described" in sky else ""),
        ("notes", "\n".join(sky["notes"])),
    ]
