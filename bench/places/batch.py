"""AWS Batch: a moto server that runs jobs as processes, with boto3 as the bare way.

Its jobs all run at once, whatever they ask for, and its answers are those of a Python server that
does one thing at a time: the figures compare two ways to use the same slow peer, and say nothing of
AWS's own speed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.places.ground import BARE, Bare, Ground, Place, clock

_QUEUE = "dev-oregon-plain"


def _missing() -> str:
    lacking = [name for name in ("boto3", "moto") if importlib.util.find_spec(name) is None]
    return f"no {' and no '.join(lacking)} in this Python" if lacking else ""


@contextmanager
def _batch(folder: Path) -> Iterator[Ground]:
    import pytest

    from ems.stack.reading import encode
    from tests.compute.batch import cloud

    process, address = cloud.started(folder / "jobs")
    try:
        with pytest.MonkeyPatch.context() as patch:
            cloud.towards(address, patch)
            outputs = cloud.made_outputs()
        stack = folder / "sky.json"
        stack.write_text(encode(outputs))
        nothing = str(clock(folder, "nothing", "true", "*"))
        submit = (sys.executable, str(BARE / "batch_jobs.py"), cloud.REGION, _QUEUE, nothing)
        target = {
            "batch": "oregon/plain", "image": cloud.IMAGE, "stack": str(stack),
            "python": str(clock(folder, "python", sys.executable, "*")),
        }  # fmt: skip
        yield Ground(
            target,
            (Bare("SubmitJob each", (*submit, "each")), Bare("an array job", (*submit, "array"))),
            {
                **os.environ, **cloud.VARIABLES, "AWS_ENDPOINT_URL": address,
                "AWS_REGION": cloud.REGION, "AWS_DEFAULT_REGION": cloud.REGION,
            },
            clock=folder / "clock.txt",
        )  # fmt: skip
    finally:
        process.kill()
        process.wait()


BATCH = Place("batch", "AWS Batch (moto)", _missing, _batch, (1, 10, 100), (1, 10, 100))
