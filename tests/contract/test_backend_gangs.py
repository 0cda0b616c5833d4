"""Members of a gang at each kind of place: they say where they are, and reach each other."""

from __future__ import annotations

import json
from typing import Any

from ems.compute.job import Handle, JobState, Member, Resources
from tests.contract.place import Place

TALK = """
import json, os, socket, time
peers = json.load(open(os.environ["EMS_PEERS"]))
first = peers[0]["address"], peers[0]["port"]
if os.environ["EMS_RANK"] == "0":
    with socket.create_server(("", peers[0]["port"])) as server:
        line, _ = server.accept()
        print(line.makefile().readline(), end="")
for _ in range(300 if os.environ["EMS_RANK"] == "1" else 0):
    try:
        with socket.create_connection(first, timeout=5) as line:
            line.sendall(b"hello from 1\\n")
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
"""


def ready(place: Place, handle: Handle) -> dict[str, Any]:
    lines = map(json.loads, place.backend.events(handle, 0)[0])
    return next((line for line in lines if line["ev"] == "ready"), {})


def test_members_meet(place: Place) -> None:
    jobs = [
        place.job(
            ["python3", "-c", TALK], key=f"{place.folder.stat().st_ino:015x}{rank}" * 2,
            resources=Resources(cpus=1), member=Member("ab" * 16, "role", rank, 2, rank, 2),
        )
        for rank in range(2)
    ]  # fmt: skip
    handles = place.backend.submit(jobs)
    place.until(
        lambda: bool(place.backend.poll(handles)) and all(ready(place, h) for h in handles), 100
    )
    said = [ready(place, handle) for handle in handles]
    rows = [
        {"role": "role", "role_rank": n, "rank": n, "address": s["address"], "port": s["port"]}
        for n, s in enumerate(said)
    ]
    place.backend.brief(handles, json.dumps(rows).encode())
    statuses = [place.finish(handle, 100) for handle in handles]
    assert [each.state for each in statuses] == [JobState.SUCCEEDED] * 2, statuses
    assert place.log(handles[0]) == b"hello from 1\n"
