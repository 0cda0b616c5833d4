"""N empty jobs, or N empty tasks of a pipeline, at a place, timed within: jobs|tasks PLACE N.

Prints what the process itself took of the CPU and of memory, without its children.
"""

import atexit
import json
import resource
import sys


@atexit.register  # before EMS registers what it does at the end, so that this comes after it
def report() -> None:
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu_s": own.ru_utime + own.ru_stime, "rss_mib": own.ru_maxrss / 1024}))


import ems  # noqa: E402


@ems.task
def nothing(at: int) -> None:
    """Does nothing; `at` makes it one of many."""


@ems.pipeline
def main(n: int = 1) -> list[None]:
    return [nothing(at) for at in range(n)]


def jobs(place: str, n: int) -> None:
    handles = ems.submit_job([{"name": "empty", "command": ["true"]}] * n, on=place)
    assert isinstance(handles, list)
    for _ in ems.watch_job(handles):
        pass
    states = {info.state.value for info in ems.status_job(handles)}
    assert states == {"succeeded"}, states


def tasks(place: str, n: int) -> None:
    from ems.session import RunOptions

    ems.run(main, options=RunOptions(on=(place,)), n=n)


if __name__ == "__main__":
    way, place, number = sys.argv[1:]
    (jobs if way == "jobs" else tasks)(place, int(number))
