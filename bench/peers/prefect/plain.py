"""N independent tasks and their sum, with Prefect's defaults: runs recorded, results not kept."""

import sys

from prefect import flow, task


@task
def inc(x: int) -> int:
    return x + 1


@task
def total(values: list[int]) -> int:
    return sum(values)


@flow
def main(n: int = 1000) -> int:
    return total([inc(i) for i in range(n)])


if __name__ == "__main__":
    print(main(int(sys.argv[1])))
