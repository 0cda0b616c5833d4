"""A site with Batch queues in an AWS of one's own, and schedulers for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.compute.batch.calls import BatchCalls
from ems.compute.batch.ground import Ground, ground
from ems.compute.batch.scheduler import BatchScheduler, Choices
from ems.compute.batch.submissions import Submitter
from ems.compute.job import JobState
from ems.compute.remote.order import Native, Order
from ems.compute.remote.s3 import S3Site
from ems.stack import outputs as o
from tests.stack.making import environment, site
from tests.stack.sky import REGION, client, made_queue, trusting

IMAGE = "python:3.11"
BUCKET = "bucket-of-dev"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
}
FOLDER = f"s3://{BUCKET}/scratch/ems"
DO = """
import os
from ems.worker.courier import job_of
os.environ["ID"] = job_of(os.environ).rpartition("/")[2]
with open(os.environ["OUT"], "a") as out:
    out.write(os.environ["ID"] + " on " + os.environ["AWS_BATCH_JOB_ATTEMPT"] + "\\n")
os.execvp("sh", ["sh", "-c", os.environ["DO"]])
"""
"""What a test's job does: it finds its name as workers do, tells it, and does what DO says."""


@dataclass(frozen=True)
class Cloud:
    """A moto server, what it was asked, and the outputs of the environment in it."""

    address: str
    folder: Path
    outputs: o.StackOutputs

    def ask(self, what: str, said: object = None) -> Any:
        data = json.dumps(said).encode()
        with urllib.request.urlopen(f"{self.address}/rig/{what}", data=data) as answer:
            return json.loads(answer.read())

    def calls(self) -> list[tuple[str, Any]]:
        return [(name, body) for name, body in self.ask("calls")]

    def fail(
        self, operation: str, code: str, status: str, *, times: int = 1, after: bool = False
    ) -> None:
        said = {"operation": operation, "code": code, "status": status}
        self.ask("fail", {**said, "times": times, "after": after})

    def hold(self, reasons: Mapping[str, str]) -> None:
        """Keep jobs of these queues RUNNABLE, each queue with a reason; of no queue with {}."""
        self.ask("hold", reasons)

    def ground(self, said: str = "oregon/cpus") -> Ground:
        return ground(self.outputs, said)

    def scheduler(
        self, said: str = "oregon/cpus", choices: Choices | None = None, priority: int = 0
    ) -> BatchScheduler:
        """Return a new scheduler, as another process would have it."""
        return BatchScheduler(
            "sky",
            self.ground(said),
            lambda _: (sys.executable, "-c", DO),
            S3Site(FOLDER),
            BatchCalls(REGION),
            Submitter("dev", "ana-maria@lab", priority),
            choices or Choices(image=IMAGE),
        )

    def since(self, before: int) -> Counter[str]:
        return Counter(name for name, _ in self.calls()[before:])

    def bodies(self, operation: str, before: int = 0) -> list[Any]:
        return [body for name, body in self.calls()[before:] if name == operation]


ROOT = Path(__file__).resolve().parents[3]


def started(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a server; return it and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.compute.batch.server", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={name: v for name, v in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))},
    )
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{int(process.stdout.readline())}"


@contextmanager
def cloud_of_its_own(folder: Path) -> Iterator[Cloud]:
    """Start a server with a site in it; it ends with the block."""
    process, address = started(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            towards(address, patch)
            outputs = made_outputs()
        yield Cloud(address, folder, outputs)
    finally:
        process.kill()
        process.wait()


def towards(address: str, patch: pytest.MonkeyPatch) -> None:
    """Point boto3 at a server, with keys that mean nothing."""
    patch.setenv("AWS_ENDPOINT_URL", address)
    for name, value in VARIABLES.items():
        patch.setenv(name, value)
    patch.delenv("AWS_PROFILE", raising=False)
    patch.setattr("boto3.DEFAULT_SESSION", None)  # it keeps credentials and endpoints


def made_outputs() -> o.StackOutputs:
    """Make a site with four queues, as its outputs say."""
    vpc = client("ec2").create_vpc(CidrBlock="10.16.0.0/16")["Vpc"]["VpcId"]
    subnet = client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.16.0.0/20")["Subnet"]["SubnetId"]
    trusting("batch")
    where = {"LocationConstraint": REGION}
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    client("logs").create_log_group(logGroupName="/ems/dev/oregon")
    wanted = {
        "cpus": ("on-demand", ["c7i.4xlarge"], False),
        "spots": ("spot", ["c7i.4xlarge"], False),
        "gpus": ("on-demand", ["g5.2xlarge"], True),
        "plain": ("on-demand", ["c7i.large"], False),
    }
    queues: dict[str, o.Queue] = {}
    for key, (market, types, gpu) in wanted.items():
        made = made_queue(
            f"dev-oregon-{key}", subnet, shared=key != "plain", market=market, types=types
        )
        queues[key] = msgspec.structs.replace(made, gpu=gpu)
    bare = site(REGION, queues)
    oregon = msgspec.structs.replace(
        bare, storage=msgspec.structs.replace(bare.storage, bucket=BUCKET)
    )
    return environment(sites={"oregon": oregon, "bare": msgspec.structs.replace(bare, batch=None)})


def order(id: str, out: Path, do: str = "true", **changes: Any) -> Order:
    """Return an order whose job tells its id in a file and does what `do` says."""
    variables = {"OUT": str(out), "DO": do, **changes.pop("variables", {})}
    return Order(
        id=f"ems-{id}", name="train", argv=("unused",), folder="unused", variables=variables,
        **changes,
    )  # fmt: skip


def ended(scheduler: BatchScheduler, ids: Sequence[str], within_s: float = 30) -> dict[str, Native]:
    """Look until all of the jobs have ended."""
    return until(scheduler, ids, lambda seen: len(seen) == len(ids) and all(_over(seen)), within_s)


def _over(seen: Mapping[str, Native]) -> list[bool]:
    return [each.state.ended for each in seen.values()]


def running(scheduler: BatchScheduler, ids: Sequence[str]) -> dict[str, Native]:
    """Look until all of the jobs run."""

    def do(seen: Mapping[str, Native]) -> bool:
        return len(seen) == len(ids) and all(s.state is JobState.RUNNING for s in seen.values())

    return until(scheduler, ids, do, 20)


def until(
    scheduler: BatchScheduler,
    ids: Sequence[str],
    done: Callable[[Mapping[str, Native]], bool],
    within_s: float = 20,
) -> dict[str, Native]:
    """Look until something holds of what is seen."""
    limit = time.monotonic() + within_s
    while not done(seen := scheduler.look(ids)):
        assert time.monotonic() < limit, seen
        time.sleep(0.1)
    return seen
