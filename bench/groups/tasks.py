"""N trivial tasks, cold and cached, and the plan of them, by EMS and its peers."""

from __future__ import annotations

from pathlib import Path

from bench.contenders import Contender, ems_folder, ems_variables, snakemake_plan
from bench.lineup import Lineup
from bench.measure import Case, Results, Step, Steps

SIZES = (1_000, 10_000, 100_000)
PEER_SIZE = 1_000
SNAKEMAKE_PLAN = 5_000
QUICK_SIZES = (100, 1_000)
QUICK_PEER_SIZE = 100
SMALLEST_PLAN = 1


def cases(lineup: Lineup) -> list[Case]:
    sizes = QUICK_SIZES if lineup.quick else SIZES
    peer_size = QUICK_PEER_SIZE if lineup.quick else PEER_SIZE
    found: list[Case] = []
    for n in sizes:
        found += sized(lineup, n, peers=n == peer_size)
    if lineup.ems:
        found.append(plan_case(lineup.ems, SMALLEST_PLAN))
    snakemake = lineup.peer("snakemake")
    if snakemake and not lineup.quick:
        found.append(_snakemake(snakemake, SNAKEMAKE_PLAN))
    return found


def derive(lineup: Lineup, results: Results) -> None:
    """What a plan adds to the memory of a plan of one task."""
    largest = max(QUICK_SIZES if lineup.quick else SIZES)
    whole = results.median_rss(f"plan.{largest}", "ems")
    least = results.median_rss(f"plan.{SMALLEST_PLAN}", "ems")
    if whole is not None and least is not None:
        results.derive(f"plan.{largest}.memory", "ems", whole - least)


def sized(lineup: Lineup, n: int, peers: bool) -> list[Case]:
    """The cases of one size; EMS alone, or everybody."""
    found = [tasks_case(each, n) for each in (lineup.all if peers else []) if each.tasks]
    if lineup.ems and not peers:
        found.append(tasks_case(lineup.ems, n))
    if lineup.ems:
        found.append(plan_case(lineup.ems, n))
    return found


def tasks_case(contender: Contender, n: int) -> Case:
    tasks = contender.tasks
    assert tasks is not None
    slow = contender.name != "ems" or n >= 30_000
    return Case(
        contender.name,
        f"tasks-{n}",
        lambda folder: tasks(contender.environment, folder, n),
        repeat_at_most=3 if slow else 1000,
    )


def plan_case(ems: Contender, n: int) -> Case:
    def steps(folder: Path) -> Steps:
        ems_folder(folder, "pipeline.py")
        argv = (ems.environment.program("emsctl"), "run", "-n", "pipeline.py", "-p", f"n={n}")
        yield Step(f"plan.{n}", argv, folder, ems_variables(ems.environment, folder))

    return Case(ems.name, f"plan-{n}", steps)


def _snakemake(contender: Contender, n: int) -> Case:
    return Case(
        contender.name,
        f"plan-{n}",
        lambda folder: snakemake_plan(contender.environment, folder, n),
        repeat_at_most=3,
    )
