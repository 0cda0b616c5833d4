"""A site with SageMaker in an AWS of one's own, and schedulers and targets for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.compute.job import Resources
from ems.compute.remote.order import Native, Order
from ems.compute.remote.s3 import S3Site
from ems.compute.sagemaker.calls import Calls
from ems.compute.sagemaker.ground import Choices, Ground, ground
from ems.compute.sagemaker.scheduler import SageMakerScheduler
from ems.stack import aws
from ems.stack import outputs as o
from tests.stack.making import ACCOUNT, environment, site
from tests.stack.sky import REGION, client

ROOT = Path(__file__).resolve().parents[3]
BUCKET = "bucket-of-dev"
FOLDER = f"s3://{BUCKET}/scratch/ems"
IMAGE = "worker:2026-11"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/ems-dev/worker"
ADDRESS = f"{REPOSITORY}:2026-11"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ems-dev-oregon-sagemaker"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
}


def outputs() -> o.StackOutputs:
    """Return an environment with a site that has SageMaker and one that has not."""
    bare = site(REGION)
    oregon = msgspec.structs.replace(
        bare,
        storage=msgspec.structs.replace(bare.storage, bucket=BUCKET),
        sagemaker=o.SageMaker(role=ROLE, output=f"s3://{BUCKET}/sagemaker"),
    )
    return environment(sites={"oregon": oregon, "bare": bare})


@dataclass(frozen=True)
class Cloud:
    """A server, what it was asked, and the outputs of the environment in it."""

    address: str
    outputs: o.StackOutputs

    def ask(self, what: str, said: object = None) -> Any:
        data = json.dumps(said).encode()
        with urllib.request.urlopen(f"{self.address}/rig/{what}", data=data) as answer:
            return json.loads(answer.read())

    def calls(self, operation: str = "", since: int = 0) -> list[Any]:
        """Return what was asked: bodies of one operation, or all as (operation, body)."""
        found = self.ask("calls")[since:]
        return [body for name, body in found if name == operation] if operation else found

    def fail(
        self,
        operation: str,
        code: str,
        status: str = "400 Bad Request",
        message: str = "told to fail",
        after: bool = False,
        times: int = 1,
    ) -> None:
        """Let the next calls of an operation fail; with `after`, once they were done."""
        said = {"operation": operation, "code": code, "status": status, "message": message}
        self.ask("fail", {**said, "times": times, "after": after})

    def end(self, name: str, how: str) -> None:
        self.ask("end", {"name": name, "how": how})

    def ground(self) -> Ground:
        return ground(self.outputs, "oregon")

    def scheduler(
        self, choices: Choices | None = None, clients: aws.Clients = aws.client
    ) -> SageMakerScheduler:
        """Return a new scheduler, as another process would have it; its jobs do what DO says."""
        return SageMakerScheduler(
            "gpu",
            self.ground(),
            lambda _: ("sh", "-c", 'eval "$DO"', "job"),
            S3Site(FOLDER),
            Calls(REGION, clients),
            "ana-maria@lab",
            choices or Choices(image=IMAGE),
            again_s=0.0,
        )


def started(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a server; return it and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.compute.sagemaker.server", str(folder), REPOSITORY],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={name: v for name, v in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))},
    )
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{int(process.stdout.readline())}"


def towards(address: str, patch: pytest.MonkeyPatch) -> None:
    """Point boto3 and obstore at a server, with keys that mean nothing."""
    patch.setenv("AWS_ENDPOINT_URL", address)
    patch.setenv("AWS_REGION", REGION)
    for name, value in VARIABLES.items():
        patch.setenv(name, value)
    patch.delenv("AWS_PROFILE", raising=False)
    patch.setattr("boto3.DEFAULT_SESSION", None)  # it keeps credentials and endpoints


def make_bucket() -> None:
    """Make what a site's outputs speak of."""
    where = {"LocationConstraint": REGION}
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    client("ecr").create_repository(repositoryName="ems-dev/worker")


def order(id: str, do: str = "true", **changes: Any) -> Order:
    """Return an order whose container does what `do` says."""
    variables = {"DO": do, **changes.pop("variables", {})}
    resources = changes.pop("resources", Resources(cpus=2))
    return Order(
        id=f"ems-{id}", name="train", argv=("python3", "/nowhere/" + "a" * 64),
        folder=f"{FOLDER}/jobs/ems-{id}", variables=variables, resources=resources, **changes,
    )  # fmt: skip


def until(
    scheduler: SageMakerScheduler,
    ids: Sequence[str],
    done: Callable[[Mapping[str, Native]], bool],
    within_s: float = 60,
) -> dict[str, Native]:
    """Look until something holds of what is seen."""
    limit = time.monotonic() + within_s
    while not done(seen := scheduler.look(ids)):
        assert time.monotonic() < limit, seen
        time.sleep(0.1)
    return seen


def ended(scheduler: SageMakerScheduler, ids: Sequence[str]) -> dict[str, Native]:
    """Look until all of the jobs have ended."""
    return until(
        scheduler, ids, lambda s: len(s) == len(ids) and all(e.state.ended for e in s.values())
    )
