"""Draws how time grows with the number of tasks: `python bench/plot.py RESULTS.json GROWTH.png`.

A program of its own, so that the one that measures stays small.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LINES = (
    ("ems", "cold", "C0", "o-"),
    ("ems", "cached", "C0", "o--"),
    ("ems", "plan", "C0", "o:"),
    ("redun", "cold", "C1", "s-"),
    ("redun", "cached", "C1", "s--"),
    ("prefect", "cold", "C2", "^-"),
    ("prefect", "cached", "C2", "^--"),
    ("snakemake", "cold", "C3", "v-"),
    ("snakemake", "cached", "C3", "v--"),
    ("snakemake", "plan", "C3", "v:"),
    ("metaflow", "cold", "C4", "D-"),
    ("metaflow", "cached", "C4", "D--"),
)


def points(rows: list[dict[str, Any]], who: str, what: str) -> list[tuple[int, float]]:
    """Sizes and seconds of one line, in order."""
    found: list[tuple[int, float]] = []
    for row in rows:
        kind, size, *rest = row["id"].split(".")
        named = rest == [what] if kind == "tasks" else kind == what == "plan" and not rest
        value = row["values"].get(who)
        if named and value is not None and int(size) > 1:
            found.append((int(size), value))
    return sorted(found)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn: Any = pyplot.subplots(figsize=(8.4, 4.8), layout="constrained")
    figure, axes = drawn
    for who, what, colour, style in LINES:
        line = points(rows, who, what)
        if line:
            label = f"{'EMS' if who == 'ems' else who}, {what}"
            axes.plot(*zip(*line, strict=True), style, color=colour, label=label, markersize=4)
    axes.set(xscale="log", yscale="log", xlabel="tasks", ylabel="seconds, the whole process")
    axes.set_title("Time against the number of tasks (slope 1 is linear)")
    low = axes.get_ylim()[0]
    sizes = [size for who, what, _, _ in LINES for size, _ in points(rows, who, what)]
    if sizes:
        least, most = min(sizes), max(sizes)
        axes.plot([least, most], [low, low * most / least], color="0.8", zorder=0, label="slope 1")
    axes.grid(True, which="major", color="0.92")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text())["rows"], Path(sys.argv[2]))
