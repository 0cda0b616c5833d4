"""The content digest by EMS, with its own choice of threads."""

import json
import sys
import time

from ems.hashing import digest_file

if __name__ == "__main__":
    began = time.perf_counter()
    found = digest_file(sys.argv[1])
    print(json.dumps({"digest": found, "seconds": time.perf_counter() - began}))
