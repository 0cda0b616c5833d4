"""The picture of the result: success against the number of episodes learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

INK, QUIET, FAINT = "#1f2933", "#7b8794", "#e4e7eb"
LABEL_HEIGHT = 0.11  # of the vertical axis


@dataclass(frozen=True)
class Line:
    """One policy trained on more and more episodes: how often it found the goal."""

    label: str
    rates: Sequence[float]
    color: str


def draw(
    path: str,
    episodes: Sequence[int],
    lines: Sequence[Line],
    levels: Sequence[tuple[str, float]],
    goals: int,
) -> None:
    """Write a PNG. `levels` are rates to compare with; each rate was measured on `goals` goals."""
    figure = Figure(figsize=(7.2, 4.2), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    _frame(axes, episodes, goals)
    labels: list[tuple[float, str, str]] = []
    for line in lines:
        rates = np.array(line.rates)
        low, high = interval(rates, goals)
        axes.fill_between(episodes, low, high, color=line.color, alpha=0.13, linewidth=0)
        axes.plot(episodes, rates, "o-", color=line.color, linewidth=2.2, markersize=6)
        labels.append((rates[-1], line.label, line.color))
    for (label, rate), style in zip(levels, ("--", ":", "-."), strict=False):
        axes.axhline(rate, color=QUIET, linestyle=style, linewidth=1.4, zorder=1)
        labels.append((rate, label, QUIET))
    _label(axes, labels)
    figure.savefig(path)


def interval(rates: npt.NDArray[np.float64], tries: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Where the true rates lie with 95 % confidence (Wilson's interval)."""
    z2 = 1.96**2 / tries
    middle = (rates + z2 / 2) / (1 + z2)
    half = 1.96 / (1 + z2) * np.sqrt(rates * (1 - rates) / tries + z2 / (4 * tries))
    return middle - half, middle + half


def _frame(axes: Axes, episodes: Sequence[int], goals: int) -> None:
    axes.set_title(
        f"Four Rooms: goals found within 100 steps, of {goals} in unseen mazes",
        loc="left",
        fontsize=11,
        color=INK,
        pad=12,
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(episodes, [str(count) for count in episodes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training episodes (bands: 95 % confidence)", color=INK)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(colors=INK, length=0)
    axes.grid(axis="y", color=FAINT)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)


def _label(axes: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Write each label at its rate, to the right of the lines; move up what would overlap."""
    free = 0.0
    for rate, text, color in sorted(labels):
        height = max(rate, free)
        free = height + LABEL_HEIGHT
        axes.annotate(
            f"{text}\n{rate:.0%}",
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=9,
            annotation_clip=False,
        )
