"""A policy is trained, deployed to an endpoint of SageMaker, asked, and the endpoint removed.

What is learned and packed is cached like any task's result. What changes the cloud runs each time
(`cache=False`). An endpoint costs as long as it stands, so it is taken down also where something
fails; a run that is ended while its endpoint comes up leaves it (README.md).
"""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from cart import cost, search

import ems


@ems.task
def train(seed: int) -> ems.File:
    """Find a policy that keeps the cart in the middle."""
    weights = search(seed)
    Path("policy.json").write_text(json.dumps({"weights": weights, "cost": cost(weights)}))
    return ems.File("policy.json")


@ems.task
def pack(policy: ems.File) -> ems.File:
    """Pack a policy as SageMaker unpacks it into /opt/ml/model."""
    data = Path(policy).read_bytes()
    entry = tarfile.TarInfo("policy.json")
    entry.size = len(data)
    with tarfile.open("model.tar.gz", "w:gz") as tar:
        tar.addfile(entry, io.BytesIO(data))
    return ems.File("model.tar.gz")


@ems.task(cache=False, timeout="1h")  # coming up, and where that fails, being taken down
def deploy(
    model: ems.File,
    environment: str,
    role: str,
    output: str,
    image: str,
    instance: str,
    look_s: int,
) -> str:
    """Start an endpoint for a model and return its name once it answers."""
    import boto3

    # `ems-ENVIRONMENT--` is what the stack's submit policy lets researchers name; the rest is this
    # run's alone, so that it takes down nothing but its own
    name = f"ems-{environment}--cart-{secrets.token_hex(6)}"
    bucket, _, prefix = output.removeprefix("s3://").partition("/")
    key = f"{prefix}/models/{sha256(Path(model).read_bytes()).hexdigest()}/model.tar.gz"
    boto3.client("s3").upload_file(str(model), bucket, key)
    sagemaker = boto3.client("sagemaker")
    tags = [{"Key": "ems-environment", "Value": environment}]
    container = {"Image": image, "ModelDataUrl": f"s3://{bucket}/{key}"}
    variant = {
        "VariantName": "policy",
        "ModelName": name,
        "InstanceType": instance,
        "InitialInstanceCount": 1,
    }
    try:
        sagemaker.create_model(
            ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role, Tags=tags
        )
        sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[variant], Tags=tags
        )
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=tags)
        waiter = sagemaker.get_waiter("endpoint_in_service")
        looks = {"Delay": look_s, "MaxAttempts": 25 * 60 // look_s}
        waiter.wait(EndpointName=name, WaiterConfig=looks)
    except BaseException:
        take_down(name, look_s)
        raise
    return name


@ems.task(cache=False)
def ask(endpoint: str, observations: list[list[float]]) -> dict[str, Any]:
    """Return the policy's actions; what went wrong is an answer as well, so that `remove` runs."""
    import boto3

    try:
        answer = boto3.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint,
            ContentType="application/json",
            Body=json.dumps({"observations": observations}),
        )
        return json.loads(answer["Body"].read())
    except Exception as error:
        return {"error": str(error)}


@ems.task(cache=False)
def remove(endpoint: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Take the endpoint down after it was asked; pass the answer on."""
    take_down(endpoint)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer


def take_down(name: str, look_s: int = 15) -> None:
    """Delete what `deploy` made, as far as it got.

    SageMaker deletes no endpoint that comes up, so that is waited for, 30 minutes at most.
    """
    import boto3
    from botocore.exceptions import WaiterError

    sagemaker = boto3.client("sagemaker")
    looks = {"Delay": look_s, "MaxAttempts": 30 * 60 // look_s}
    # should this be killed as it waits
    print(f"if it is left: aws sagemaker delete-endpoint --endpoint-name {name}", flush=True)
    with contextlib.suppress(WaiterError):  # it failed, or there is none: both are fine
        waiter = sagemaker.get_waiter("endpoint_in_service")
        waiter.wait(EndpointName=name, WaiterConfig=looks)
    for delete in (
        lambda: sagemaker.delete_endpoint(EndpointName=name),
        lambda: sagemaker.delete_endpoint_config(EndpointConfigName=name),
        lambda: sagemaker.delete_model(ModelName=name),
    ):
        try:
            delete()
        except sagemaker.exceptions.ClientError as error:
            print(f"{name}: {error}")  # it is not there; the next one may be


@ems.pipeline
def main(
    image: str,
    role: str,
    output: str,
    environment: str = "dev",
    instance: str = "ml.m5.large",
    seed: int = 0,
    look_s: int = 15,
):
    endpoint = deploy(pack(train(seed)), environment, role, output, image, instance, look_s)
    answer = ask(endpoint, [[0.8, 0.0], [-0.8, 0.0], [0.0, 0.0]])
    return remove(endpoint, answer)
