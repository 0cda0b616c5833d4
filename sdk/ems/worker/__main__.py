"""The worker's command line: `serve` (warm), or `run PARCEL EVENTS` (one parcel, then the end)."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

USAGE = "usage: worker serve | worker run PARCEL.json EVENTS.jsonl"


def main(words: List[str]) -> int:
    """Run the worker; return its exit code."""
    if words == ["serve"]:
        from .serve import serve

        return serve()
    if len(words) == 3 and words[0] == "run":
        from .alone import run

        return run(words[1], words[2])
    sys.stderr.write(USAGE + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
