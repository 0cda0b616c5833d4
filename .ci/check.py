"""Run the static checks side by side; one line each, and the whole output of what failed.

Knows the tools and their arguments. Does not install anything: `make check` does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS: dict[str, list[str]] = {
    "types": [str(BIN / "pyright"), "--warnings"],
    "import layers": [str(BIN / "lint-imports"), "--no-cache"],
    "links in docs": [sys.executable, "-m", "tests.docs.links"],
    "lint": [str(BIN / "ruff"), "check", "--output-format=concise"],
    "format": [str(BIN / "ruff"), "format", "--check", "--output-format=concise"],
}


def run(name: str) -> tuple[str, int, float, str]:
    """Run one check; its name, exit status, seconds and output."""
    start = time.perf_counter()
    done = subprocess.run(
        CHECKS[name],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    )
    return name, done.returncode, time.perf_counter() - start, done.stdout


def main(names: list[str]) -> int:
    """Run the named checks, or all; 1 if any failed."""
    failed: list[str] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        for name, status, seconds, output in pool.map(run, names or CHECKS):
            print(f"{'ok' if status == 0 else 'FAILED':8}{name:16}{seconds:5.1f} s", flush=True)
            if status:
                failed.append(name)
                print(output.rstrip() + "\n", flush=True)
    if failed:
        print(f"make check: {', '.join(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
