"""Runs one command N times, WIDTH at once, as a shell's loop would: WIDTH COMMAND… N."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

if __name__ == "__main__":
    width, *words, n = sys.argv[1:]
    with ThreadPoolExecutor(int(width)) as pool:
        codes = set(
            pool.map(lambda _: subprocess.run(words, check=False).returncode, range(int(n)))
        )
    sys.exit(max(codes))
