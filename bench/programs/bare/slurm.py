"""Runs N empty jobs by sbatch, and asks squeue until none is left: COMMAND each|array N."""

import subprocess
import sys
import time

_LOOK_S = 0.2


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    command, way, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    submit = ("sbatch", "--parsable", "--job-name=bare", "--output=/dev/null", f"--wrap={command}")
    if way == "array":
        _run(*submit, f"--array=0-{n - 1}")
    else:
        for _ in range(n):
            _run(*submit)
    while _run("squeue", "--noheader", "--name=bare", "--format=%A").strip():
        time.sleep(_LOOK_S)
