"""How time grows with the number of tasks: the sizes between those that `tasks` measures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.groups.tasks import plan_case, tasks_case
from bench.lineup import Lineup
from bench.measure import Case, Results

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
QUICK_SIZES = (100, 300, 1_000)
PEER_SIZES = {"redun": (300, 1_000, 3_000), "prefect": (300, 1_000, 3_000)}
FIT_FROM = 10
"""The exponent is fitted to the sizes from the largest / FIT_FROM on, where fixed costs fade."""


def cases(lineup: Lineup) -> list[Case]:
    found: list[Case] = []
    for n in QUICK_SIZES if lineup.quick else SIZES:
        if lineup.ems:
            found += [tasks_case(lineup.ems, n), plan_case(lineup.ems, n)]
    if not lineup.quick:
        for contender in lineup.peers:
            sizes = PEER_SIZES.get(contender.name, ())
            found += [tasks_case(contender, n) for n in sizes]
    return found


def derive(lineup: Lineup, results: Results) -> None:
    if lineup.quick:
        return  # fixed costs are all that such sizes show
    for what, pattern in (
        ("growth.cold", "tasks.{}.cold"),
        ("growth.cached", "tasks.{}.cached"),
        ("growth.plan", "plan.{}"),
    ):
        points = [(n, results.median(pattern.format(n), "ems")) for n in SIZES]
        known = [(n, t) for n, t in points if t and n * FIT_FROM >= max(SIZES)]
        if len(known) > 1:
            results.derive(what, "ems", exponent(known))


def exponent(points: Sequence[tuple[int, float]]) -> float:
    """The slope of log time over log n, by least squares."""
    x = [math.log(n) for n, _ in points]
    y = [math.log(t) for _, t in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)
