"""N independent tasks and their sum, as Prefect's users write them; results kept and reused."""

import sys

from prefect import flow, task
from prefect.cache_policies import INPUTS, TASK_SOURCE


@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)
def inc(x: int) -> int:
    return x + 1


@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)
def total(values: list[int]) -> int:
    return sum(values)


@flow
def main(n: int = 1000) -> int:
    return total([inc(i) for i in range(n)])


if __name__ == "__main__":
    print(main(int(sys.argv[1])))
