"""One task."""

import ems


@ems.task
def inc(x: int) -> int:
    return x + 1


@ems.pipeline
def main() -> int:
    return inc(1)
