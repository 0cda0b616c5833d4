"""Draws N empty jobs at each place, by EMS and by the bare ways, and what data cost to move.

    python bench/plot_places.py RESULTS.json PLACES.png

One panel a place, log by log, and one for data (the paper's Figure 8). A program of its own, so
that the one that measures stays small.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_STYLES = {"ems": ("C0", "o-", "EMS, jobs"), "ems, tasks": ("C0", "o--", "EMS, tasks")}
_OTHERS = (("C1", "s-"), ("C2", "^-"))
_SITES = (("folder", "C0"), ("ssh", "C1"), ("s3", "C2"), ("mounted", "C3"))
Lines = dict[str, list[tuple[int, float]]]


def lines_of(rows: list[dict[str, Any]], start: str) -> Lines:
    """Return the points (size, seconds) of each contender in rows `start.SIZE`."""
    found: Lines = {}
    for row in rows:
        head, _, size = row["id"].rpartition(".")
        if head == start and size.isdigit():
            for who, value in row["values"].items():
                if value is not None:
                    found.setdefault(who, []).append((int(size), value))
    return {who: sorted(points) for who, points in found.items()}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    places = [r["id"].split(".")[1] for r in rows if r["id"].startswith("places.")]
    places = list(dict.fromkeys(places))
    panels = len(places) + 1
    columns = min(3, panels)
    grid = (-(-panels // columns), columns)
    drawn: Any = pyplot.subplots(
        *grid, figsize=(3.6 * columns, 3.1 * grid[0]), layout="constrained", squeeze=False
    )
    figure, axes = drawn
    each = iter(axes.flat)
    for place in places:
        _place(next(each), place, lines_of(rows, f"places.{place}"))
    _data(next(each), rows)
    for empty in each:
        empty.set_axis_off()
    figure.savefig(path, dpi=130)


def _place(axes: Any, place: str, lines: Lines) -> None:
    others = iter(_OTHERS)
    for who, points in lines.items():
        colour, style, label = _STYLES.get(who) or (*next(others), who)
        axes.plot(*zip(*points, strict=True), style, color=colour, label=label, markersize=4)
    axes.set(title=place, xlabel="empty jobs", ylabel="seconds")
    _finish(axes)


def _data(axes: Any, rows: list[dict[str, Any]]) -> None:
    for site, colour in _SITES:
        start = "move.mounted" if site == "mounted" else f"move.{site}.in"
        for who, points in lines_of(rows, start).items():
            style, label = ("o-", f"EMS, {site}") if who == "ems" else ("s:", who)
            axes.plot(*zip(*points, strict=True), style, color=colour, label=label, markersize=4)
    axes.set(title="data, in", xlabel="MiB", ylabel="seconds")
    _finish(axes)


def _finish(axes: Any) -> None:
    axes.set(xscale="log", yscale="log")
    axes.grid(True, which="major", color="0.92")
    if axes.lines:
        axes.legend(fontsize=7)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text())["rows"], Path(sys.argv[2]))
