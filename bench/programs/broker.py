"""N jobs that sleep at a place, watched for a while: what that costs here. PLACE N SLEEP_S WATCH_S.

Prints the share of a core that the process itself took while it watched, that of the commands that
it ran (squeue, ssh), and its memory. The jobs go on: they end with the place.
"""

import json
import resource
import signal
import sys
import time

import ems
from ems.compute.job import JobState
from ems.jobs.types import Changed


class Enough(Exception):
    """The watch is over."""


def cpu_s(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def over(*_: object) -> None:
    raise Enough


def main(place: str, n: int, sleep_s: str, watch_s: float) -> None:
    job = {"name": "sleep", "command": ["sleep", sleep_s]}
    handles = ems.submit_job([job] * n, on=place)
    states: dict[JobState, set[str]] = {state: set() for state in JobState}
    signal.signal(signal.SIGALRM, over)
    began, own, children = 0.0, 0.0, 0.0
    try:
        for event in ems.watch_job(handles):
            if not began:  # what is there at first is told at once; from here on it is watching
                signal.setitimer(signal.ITIMER_REAL, watch_s)
                began = time.monotonic()
                own, children = cpu_s(resource.RUSAGE_SELF), cpu_s(resource.RUSAGE_CHILDREN)
            if isinstance(event, Changed):
                states[event.info.state].add(event.job.id)
    except Enough:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.monotonic() - began
    measured = {
        "own": (cpu_s(resource.RUSAGE_SELF) - own) / took,
        "children": (cpu_s(resource.RUSAGE_CHILDREN) - children) / took,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "began": len(states[JobState.RUNNING]), "ended": len(states[JobState.SUCCEEDED]),
    }  # fmt: skip
    print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
