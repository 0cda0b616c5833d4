"""The content digest by plain hashlib: parts of 64 MiB, a thread a core, nothing else.

Each thread reads its part through a buffer of 1 MiB, which stays in the core's cache; hashlib
lets go of the interpreter while it works. It makes the digest that EMS makes, so both can be
compared.
"""

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

PART_BYTES = 64 << 20
BUFFER_BYTES = 1 << 20


def digest_part(descriptor: int, start: int, size: int) -> bytes:
    whole = hashlib.sha256()
    buffer = memoryview(bytearray(BUFFER_BYTES))
    end = min(start + PART_BYTES, size)
    while start < end:
        count = os.preadv(descriptor, [buffer[: end - start]], start)
        whole.update(buffer[:count])
        start += count
    return whole.digest()


def digest(path: str, threads: int) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    size = os.fstat(descriptor).st_size
    starts = range(0, size, PART_BYTES)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(lambda start: digest_part(descriptor, start, size), starts))
    if len(parts) == 1:
        return parts[0].hex()
    return f"{hashlib.sha256(b''.join(parts)).hexdigest()}-{len(parts)}"


if __name__ == "__main__":
    began = time.perf_counter()
    found = digest(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({"digest": found, "seconds": time.perf_counter() - began}))
