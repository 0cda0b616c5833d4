"""Turns results into a JSON file and a page that a person reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench.contenders import Contender
from bench.measure import Results, Sample
from bench.rows import Row, place, row

SCHEMA = 1
_OF_PLACES = (
    "Real counterparts, all on this one machine: its cores run the broker, the place and the jobs. "
    "`ems` is N jobs by the job API, submitted and watched to their end; `ems, tasks` a pipeline "
    "of N empty tasks, which travel as parcels; the others are the place's own commands or API. "
    "Each native job of EMS starts a Python, the bare one only `true`. Instance time is how long "
    "the processes that a place started for jobs ran, one CPU each, by a clock around them. Larger "
    "numbers are left out where they would take minutes here (a Job or a Ray job each: 10; jobs by "
    "ssh, on Kubernetes, Ray and Batch: 100). moto, which stands for AWS, is slow on both sides. "
    "The broker's share of a core is its own user and system time over half a minute in which "
    "1,000 jobs wait and run.",
)
BUSY = 0.5
"""A load per core from which on the page warns that the machine did other work."""


def as_json(
    results: Results,
    machine: Mapping[str, object],
    contenders: Sequence[Contender],
    missing: Mapping[str, str],
    options: Mapping[str, object],
) -> dict[str, object]:
    """All that was measured; every sample is kept."""
    rows: list[dict[str, object]] = []
    for name in _row_names(results):
        found = row(name)
        entry: dict[str, object] = {**asdict(found), "samples": {}, "values": {}, "failures": {}}
        entry["samples"] = {
            who: [asdict(each) for each in listed]
            for who, listed in results.samples.get(name, {}).items()
        }
        entry["values"] = {who: results.value(name, who) for who in _whos(results, name)}
        entry["failures"] = results.failures.get(name, {})
        ours = results.value(name, "ems")
        entry["met"] = None if ours is None else found.met(ours)
        rows.append(entry)
    return {
        "schema": SCHEMA,
        "machine": dict(machine),
        "options": dict(options),
        "contenders": {
            c.name: {"version": c.environment.version, "about": c.about} for c in contenders
        },
        "missing": dict(missing),
        "rows": rows,
    }


def as_markdown(
    results: Results,
    machine: Mapping[str, object],
    contenders: Sequence[Contender],
    missing: Mapping[str, str],
    plots: Mapping[str, str],
) -> str:
    """The page: goals, figures and peers; then every row with what it cost."""
    lines = ["# Measured", "", *_about(machine, contenders, missing), ""]
    lines += ["## Goals", "", *_goals(results), ""]
    for title, picture in plots.items():
        lines += [f"## {title}", "", f"![{title.lower()}: time against size]({picture})", ""]
    if "Places" in plots:
        lines += [*_OF_PLACES, ""]
    lines += ["## All rows", "", *_details(results), ""]
    lines += ["## What each does with its tasks", ""]
    lines += [f"- **{c.name}** {c.environment.version}: {c.about}" for c in contenders]
    return "\n".join(lines) + "\n"


def _about(
    machine: Mapping[str, object], contenders: Sequence[Contender], missing: Mapping[str, str]
) -> list[str]:
    named = {c.environment.name: c.environment.version for c in contenders}
    versions = ", ".join(f"{name} {version}" for name, version in named.items())
    lines = [
        f"{machine['date']}, commit {machine['commit']}. {machine['cores']} cores "
        f"({machine['cpu']}), {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}. {versions}.",
        "",
        "Whole processes from start to end; medians. Contenders take turns in one run, each in a "
        "folder that nothing has been in before. CPU is user and system time of the process and "
        "its children; memory is the peak of the largest of them. `make bench` makes this page.",
    ]
    load = max(float(str(machine["load_before"])), 0.0)
    if load > BUSY * int(str(machine["cores"])):
        lines += ["", f"**The machine was busy** (load {load} at the start): too noisy to quote."]
    for name, why in missing.items():
        lines += ["", f"**Missing: {name}**: {why}"]
    return lines


def _goals(results: Results) -> list[str]:
    lines = ["| what | goal | EMS | met | peers, and how many times EMS's time |"]
    lines += ["|---|---|---|---|---|"]
    for name in _row_names(results):
        found = row(name)
        peers = [who for who in _whos(results, name) if who != "ems"]
        if found.goal is None and not peers:
            continue
        ours = results.value(name, "ems")
        met = None if ours is None else found.met(ours)
        cells = (
            found.title,
            _goal(found),
            _or_failure(results, found, "ems"),
            {None: "", True: "yes", False: "**no**"}[met],
            "; ".join(_beside(results, found, who, ours) for who in peers),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _beside(results: Results, found: Row, who: str, ours: float | None) -> str:
    value = results.value(found.id, who)
    text = f"{who} {_or_failure(results, found, who)}"
    return f"{text} ({_ratio(value / ours)})" if value is not None and ours else text


def _details(results: Results) -> list[str]:
    lines = ["| what | who | median | least | most | CPU | memory | times |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for name in _row_names(results):
        found = row(name)
        for who in _whos(results, name):
            samples = results.samples.get(name, {}).get(who, [])
            cells = (found.title, who, _or_failure(results, found, who), *_spread(found, samples))
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _spread(found: Row, samples: Sequence[Sample]) -> tuple[str, ...]:
    if not samples:
        return ("", "", "", "", "")
    return (
        show(found, min(each.value for each in samples)),
        show(found, max(each.value for each in samples)),
        _seconds(median(each.cpu_s for each in samples)),
        f"{median(each.rss_mib for each in samples):.0f} MiB",
        str(len(samples)),
    )


def _or_failure(results: Results, found: Row, who: str) -> str:
    value = results.value(found.id, who)
    if value is not None:
        return show(found, value)
    why = results.failures.get(found.id, {}).get(who)
    return f"failed: {_cell(why)}" if why else ""


def _goal(found: Row) -> str:
    if found.goal is None:
        return ""
    return f"{'≥' if found.at_least else '≤'} {show(found, found.goal)}"


def show(found: Row, value: float) -> str:
    """A value with its unit, to three digits."""
    if found.unit == "%" and value < 0.1:
        return f"{100 * value:.2g} %"
    if found.unit == "s":
        return _seconds(value)
    if found.unit == "%":
        return f"{100 * value:.0f} %"
    return f"{value:.0f} {found.unit}" if found.unit else f"{value:.2f}"


def _seconds(value: float) -> str:
    if value < 1:
        return f"{1000 * value:.3g} ms" if value < 0.1 else f"{1000 * value:.0f} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"


def _ratio(value: float) -> str:
    return f"{value:.0f} ×" if value >= 10 else f"{value:.2g} ×"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _row_names(results: Results) -> list[str]:
    """Kind by kind, the sizes in order; what is only a case's name is no row."""
    places: dict[str, tuple[int, int]] = {}
    for name in (*results.samples, *results.derived, *results.failures):
        with suppress(KeyError, ValueError):
            places[name] = place(name)
    return sorted(places, key=lambda name: places[name])


def _whos(results: Results, name: str) -> list[str]:
    listed = (results.samples, results.derived, results.failures)
    found = dict.fromkeys(who for each in listed for who in each.get(name, {}))
    return sorted(found, key=lambda who: who != "ems")


def write(folder: Path, data: Mapping[str, object], page: str) -> None:
    """The two files, in a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(data, indent=1) + "\n")
    (folder / "RESULTS.md").write_text(page)
