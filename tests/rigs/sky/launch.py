"""Be a Python process that another one forks: `python -ISE launch.py WORDS` for `python WORDS`.

The server that SKY_WARM names forks it (`warm.py`). This process stands for it: signals are passed
on, its exit code is the fork's, and when it goes, by SIGKILL or with its parent, so does the fork.
"""

import json
import os
import select
import signal
import socket
import sys


def main() -> None:
    """Ask for the fork, and wait for its end."""
    parent = os.getppid()
    server = socket.socket(socket.AF_UNIX)
    server.connect(os.environ["SKY_WARM"])
    asked = {
        "python": os.environ.pop("SKY_AS", sys.executable),
        "words": sys.argv[1:],
        "folder": os.getcwd(),
        "variables": dict(os.environ),
    }
    data = json.dumps(asked).encode() + b"\n"
    sent = socket.send_fds(server, [data], [0, 1, 2])
    server.sendall(data[sent:])
    said = server.makefile("r")
    pid = int(said.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    for number in (0, 1):
        os.close(number)
    # a killed engine leaves no orphans
    while not select.select([server], [], [], 0.5)[0]:
        if os.getppid() != parent:
            os._exit(1)
    code = int(said.readline() or 1)
    os._exit(code if code >= 0 else 128 - code)


main()
