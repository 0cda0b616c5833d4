"""Many small jobs as one Ray job: what is written for its driver, and what is read of it.

    <root>/ray/code-<digest>/driver.py  child.py
    <root>/ray/<batch>/batch.json  states.json  stop/<name>.json
    <root>/jobs/<id>/ray-batch          the name of the batch that a job is in

Knows these files and the Jobs API's requests. Does not know when anything is asked for.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ems.compute.ray.cluster import Needs
from ems.compute.remote.order import Order
from ems.compute.remote.site import Site
from ems.hashing import digest_bytes

MARK = "ray-batch"
_HERE = Path(__file__).parent
_LAST_RESORT_S = 15
"""Ray's own SIGKILL comes so long after ours."""


def order_for(order: Order) -> dict[str, Any]:
    """Return an order as child.py reads it."""
    return {
        "id": order.id, "folder": order.folder, "line": order.shell(),
        "variables": dict(order.variables), "secrets": dict(order.secrets),
        "wall_s": order.wall_s, "grace_s": order.grace_s,
    }  # fmt: skip


class Runner:
    """Our two scripts at the place; written there once by this process."""

    def __init__(self, site: Site, python: str) -> None:
        self._site, self._python = site, python
        self._files = {name: (_HERE / name).read_bytes() for name in ("driver.py", "child.py")}
        digest = digest_bytes(b"\0".join(self._files.values()))[:16]
        self._folder = f"ray/code-{digest}"
        self._there = False

    def bring(self) -> None:
        """Write the scripts where they are not."""
        if not self._there:
            path = f"{self._folder}/child.py"  # the last to be written
            if self._site.read(path) is None:
                self._site.write(
                    {f"{self._folder}/{name}": self._files[name] for name in self._files}
                )
            self._there = True

    def single(self, order: Order, needs: Needs) -> dict[str, Any]:
        """Write what a job of its own needs, and return the request that submits it."""
        self.bring()
        self._site.write({f"jobs/{order.id}/ray-order.json": _encoded(order_for(order))})
        words = (self._python, "-I", "-S", f"{self._root}/child.py", order.folder,
                 f"{order.folder}/ray-order.json")  # fmt: skip
        patience = str(int(order.grace_s) + _LAST_RESORT_S)
        variables = {**order.variables, "RAY_JOB_STOP_WAIT_TIME_S": patience}
        return {
            "submission_id": order.id, "entrypoint": _line(words), **needs.entrypoint(),
            "runtime_env": {"env_vars": variables},
            "metadata": {"name": order.name, "needs": json.dumps(needs.task())},
        }  # fmt: skip

    def batch(self, name: str, submission: str, size: int) -> dict[str, Any]:
        """Return the request that submits the driver of a batch; it takes no CPU of its own."""
        self.bring()
        words = (self._python, f"{self._root}/driver.py", self._site.root, name,
                 f"{self._root}/child.py")  # fmt: skip
        told = {"name": f"{size} jobs of EMS", "batch": name}
        return {"submission_id": submission, "entrypoint": _line(words), "metadata": told}

    @property
    def _root(self) -> str:
        return f"{self._site.root}/{self._folder}"


def name_of(orders: Sequence[Order]) -> str:
    """Return the name of a batch: the same for the same jobs."""
    ids = "\n".join(sorted(order.id for order in orders))
    return f"ems-batch-{digest_bytes(ids.encode())[:24]}"


def write_batch(site: Site, name: str, orders: Sequence[Order], needs: Needs) -> None:
    """Write a batch, and then in each job's folder that it is in it."""
    described = {"needs": needs.task(), "orders": [order_for(order) for order in orders]}
    site.write({f"ray/{name}/batch.json": _encoded(described)})
    site.write({f"jobs/{order.id}/{MARK}": name.encode() for order in orders})


def read_batch(site: Site, name: str) -> tuple[list[str], dict[str, Any]]:
    """Return the ids of a batch's jobs, and what each needs as options of a Ray task."""
    data = site.read(f"ray/{name}/batch.json")
    if data is None:
        return [], {}
    batch = json.loads(data)
    return [each["id"] for each in batch["orders"]], batch["needs"]


def read_states(site: Site, name: str) -> Mapping[str, Mapping[str, Any]]:
    """Return what the driver of a batch last wrote of its jobs: those that began, or ended."""
    data = site.read(f"ray/{name}/states.json")
    return cast("Mapping[str, Mapping[str, Any]]", json.loads(data)) if data else {}


def write_stop(site: Site, batches: Mapping[str, Sequence[str]]) -> None:
    """Ask the drivers of batches to end those of their jobs that have not begun."""
    name = f"{os.urandom(8).hex()}.json"
    told = {
        f"ray/{batch}/stop/{name}": _encoded({"ids": list(ids)}) for batch, ids in batches.items()
    }
    if told:
        site.write(told)


def _line(words: Sequence[str]) -> str:
    return "exec " + " ".join(map(shlex.quote, words))


def _encoded(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data).encode()
