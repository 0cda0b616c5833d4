"""A fold over what has arrived: each step takes STEP_S and leaves a line where it is counted."""

import time

from settings import COUNT, STEP_S  # pyright: ignore[reportMissingImports]: made for the run

import ems


@ems.task
def add(state: int, item: ems.File) -> int:
    with open(COUNT, "a") as count:
        count.write("step\n")
    time.sleep(STEP_S)
    with open(item) as file:
        return state + int(file.read())


@ems.pipeline
def main() -> int:
    return ems.fold(add, ems.files("raw/*.txt", order="arrival"), 0)
