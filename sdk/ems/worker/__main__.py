"""The worker's command line: `serve` (warm), `run PARCEL EVENTS` (one parcel, then the end), `at`
`[s3://bucket/prefix/jobs/ID]` (one that lies in S3), `desk ROOT` (files and jobs of a place, for a
broker elsewhere), `environments ROOT`, `make ROOT KEY ATTEMPT`, `has` (environments of a place), or
`ray …` (what a job calls `ems-ray`)."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

USAGE = (
    "usage: worker serve | worker run PARCEL.json EVENTS.jsonl | worker at [s3://…/jobs/ID] | "
    "worker desk ROOT | worker environments ROOT | worker make ROOT KEY ATTEMPT | worker has | "
    "worker ray …"
)


def main(words: List[str]) -> int:
    """Run the worker; return its exit code."""
    if words == ["serve"]:
        from .serve import serve

        return serve()
    if len(words) == 3 and words[0] == "run":
        from .alone import run

        return run(words[1], words[2])
    if len(words) in (1, 2) and words[0] == "at":
        from .courier import run as run_at

        return run_at(*words[1:])
    if len(words) == 2 and words[0] == "desk":
        from .desk import serve as answer

        return answer(words[1])
    if words and (words[0], len(words)) in (("environments", 2), ("make", 4), ("has", 1)):
        from . import asking

        todo = {"environments": asking.answer, "make": asking.make, "has": asking.has}[words[0]]
        return todo(*words[1:])
    if words and words[0] == "ray":
        from .ray_cluster import main as lead_or_follow

        return lead_or_follow(words[1:])
    sys.stderr.write(USAGE + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
