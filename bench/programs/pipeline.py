"""N independent tasks and their sum."""

import ems


@ems.task
def inc(x: int) -> int:
    return x + 1


@ems.task
def total(values: list[int]) -> int:
    return sum(values)


@ems.pipeline
def main(n: int = 1000) -> int:
    return total([inc(i) for i in range(n)])
