"""A task that reads the two ends of a file where it lies; `turn` makes it new each time."""

import ems


@ems.task
def ends(data: ems.File, turn: int) -> list[int]:
    with open(data, "rb") as stream:
        first = stream.read(1)[0]
        stream.seek(-1, 2)
        return [turn, first, stream.read(1)[0]]


@ems.pipeline
def main(turn: int = 0) -> list[int]:
    return ends(ems.File("data"), turn)
