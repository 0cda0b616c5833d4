"""The digest of the code that one function reaches, timed within the process.

The user's modules are imported before the clock starts: that is Python's work, not the digest's.
"""

import hashlib
import importlib
import json
import sys
import time
from pathlib import Path

from ems.pipeline.code import Project

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    began = time.perf_counter()
    entry = importlib.import_module("lab.entry")
    imported = time.perf_counter()
    code = Project.of(Path(sys.argv[1])).code_of(entry.train, (), None)
    done = time.perf_counter()
    lines = "\n".join(f"{part} {code.parts[part]}" for part in sorted(code.parts))
    print(
        json.dumps(
            {
                "seconds": done - imported,
                "import_s": imported - began,
                "parts": len(code.parts),
                "modules": len(code.modules),
                "digest": hashlib.sha256(lines.encode()).hexdigest(),
            }
        )
    )
