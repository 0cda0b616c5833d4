"""The worker's command line: `serve` (warm), `run PARCEL EVENTS` (one parcel, then the end), `at`
`[s3://bucket/prefix/jobs/ID]` (one that lies in S3), or `desk ROOT` (files and jobs of a place, for
a broker elsewhere)."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

USAGE = (
    "usage: worker serve | worker run PARCEL.json EVENTS.jsonl | worker at [s3://…/jobs/ID] | "
    "worker desk ROOT"
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
    sys.stderr.write(USAGE + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
