"""N independent tasks and their sum, as redun's users write them."""

from redun import task

redun_namespace = "bench"


@task()
def inc(x: int) -> int:
    return x + 1


@task()
def total(values: list[int]) -> int:
    return sum(values)


@task()
def main(n: int = 1000) -> int:
    return total([inc(i) for i in range(n)])
