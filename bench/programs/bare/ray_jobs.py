"""Runs N empty jobs by Ray's Jobs API, each its own, or as the tasks of one: URL PYTHON COMMAND
each|tasks N. The token is in RAY_AUTH_TOKEN."""

import json
import os
import shlex
import sys
import time
import urllib.request
from typing import Any

_LOOK_S = 0.2
_DRIVER = """
import subprocess, ray
ray.init(log_to_driver=False)
@ray.remote(num_cpus=1)
def nothing():
    return subprocess.run([{command!r}]).returncode
assert set(ray.get([nothing.remote() for _ in range({n})])) == {{0}}
"""


def _ask(url: str, body: dict[str, Any] | None = None) -> Any:
    headers = {
        "Authorization": f"Bearer {os.environ['RAY_AUTH_TOKEN']}",
        "Content-Type": "application/json",
    }
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
        return json.load(answer)


def main() -> None:
    url, python, command, way, number = sys.argv[1:]
    n, jobs = int(number), f"{url}/api/jobs/"
    if way == "tasks":
        program = _DRIVER.format(command=command, n=n)
        wanted = [{"entrypoint": f"exec {python} -c {shlex.quote(program)}"}]
    else:
        wanted = [{"entrypoint": f"exec {command}", "entrypoint_num_cpus": 1}] * n
    names = {_ask(jobs, each)["submission_id"] for each in wanted}
    while True:
        states = [e["status"] for e in _ask(jobs) if e["submission_id"] in names]
        assert not {"FAILED", "STOPPED"}.intersection(states), "a job failed"
        if states.count("SUCCEEDED") == len(names):
            return
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    main()
