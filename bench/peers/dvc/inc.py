"""One task, as DVC's users write it: a program that reads a file and writes one."""

import sys
from pathlib import Path

value = int(Path(sys.argv[1]).read_text())
Path(sys.argv[2]).write_text(f"{value + 1}\n")
