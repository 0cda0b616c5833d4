"""The example: a policy trained, deployed, asked and removed, its container running for real."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from infra.plan.iam.submit import SubmitPlace, submit_document
from tests.compute.batch.policy import Ask, permitted
from tests.compute.sagemaker.cloud import BUCKET, REPOSITORY, ROLE, ROOT, Cloud
from tests.rigs import rig
from tests.stack.making import ACCOUNT
from tests.stack.sky import REGION, client

pytestmark = rig("podman")
EXAMPLE = ROOT / "examples/endpoint"
HERE = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:"


def run(folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    """Run the example as its README says, in a copy of its folder."""
    if not folder.exists():
        shutil.copytree(EXAMPLE, folder)
        (folder / ".ems.yaml").write_text("store: .ems\n")
    said = {"role": ROLE, "output": f"s3://{BUCKET}/sagemaker", "image": f"{REPOSITORY}:{tag}"}
    said["look_s"] = "1"
    words = [word for key, value in said.items() for word in ("-p", f"{key}={value}")]
    emsctl = Path(sys.executable).with_name("emsctl")
    return subprocess.run(
        [emsctl, "run", "pipeline.py", "-q", *words],
        cwd=folder,
        env={**os.environ, "AWS_DEFAULT_REGION": REGION},  # boto3 minds no AWS_REGION
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_policy_is_deployed_asked_and_removed(cloud: Cloud, tmp_path: Path) -> None:
    before = len(cloud.calls())
    done = run(tmp_path / "endpoint", "cart-1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "actions: [-1, 1, 0]\n"
    calls = cloud.calls(since=before)
    assert [name for name, _ in calls if name != "DescribeEndpoint"] == [
        "CreateModel", "CreateEndpointConfig", "CreateEndpoint",
        "DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel",
    ]  # fmt: skip
    sagemaker = client("sagemaker")
    assert not sagemaker.list_endpoints()["Endpoints"] and not sagemaker.list_models()["Models"]
    for name, body in calls:
        kind = name.removeprefix("Create").removeprefix("Delete").removeprefix("Describe")
        which = {"Model": "model", "EndpointConfig": "endpoint-config", "Endpoint": "endpoint"}
        arn = f"{HERE}{which[kind]}/{body[f'{kind}Name']}"
        assert permitted(document(), Ask(f"sagemaker:{name}", arn)), (name, arn)


def document() -> str:
    """Return what researchers may do."""
    bucket = f"arn:aws:s3:::{BUCKET}"
    place = SubmitPlace("dev", "oregon", REGION, REGION, ACCOUNT, bucket, sagemaker_role=ROLE)
    return submit_document("ems-dev-oregon-submit", place)


def test_what_does_not_come_up_is_taken_down(cloud: Cloud, tmp_path: Path) -> None:
    before = len(cloud.calls())
    done = run(tmp_path / "endpoint", "2026-11")  # which has no command `serve`
    assert done.returncode != 0 and "endpoint" in done.stderr.lower()
    asked = [name for name, _ in cloud.calls(since=before)]
    assert asked[-3:] == ["DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"]
    assert not client("sagemaker").list_endpoints()["Endpoints"]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example's own functions, in this process."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.syspath_prepend(EXAMPLE)
    spec = importlib.util.spec_from_file_location("endpoint_example", EXAMPLE / "pipeline.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def model(pipeline: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("policy.json").write_text('{"weights": [1.0, 2.0], "cost": 0.0}')
    pipeline.pack.fn("policy.json")
    return tmp_path / "model.tar.gz"


def test_nobody_elses_endpoint_is_taken_down(
    cloud: Cloud, pipeline: ModuleType, model: Path
) -> None:
    """Two people deploy the same model, and the second one's does not come up."""
    where = ("dev", ROLE, f"s3://{BUCKET}/sagemaker")
    first = pipeline.deploy.fn(model, *where, f"{REPOSITORY}:cart-1", "ml.m5.large", 1)
    with pytest.raises(Exception, match="Failed"):
        pipeline.deploy.fn(model, *where, f"{REPOSITORY}:2026-11", "ml.m5.large", 1)
    assert "actions" in pipeline.ask.fn(first, [[0.8, 0.0]])
    pipeline.remove.fn(first, {})
    assert not client("sagemaker").list_endpoints()["Endpoints"]


def test_what_is_broken_off_as_it_comes_up_is_taken_down(
    cloud: Cloud, pipeline: ModuleType, model: Path
) -> None:
    """SageMaker deletes no endpoint that is `Creating`, as it is right after it was asked for."""
    sagemaker, name, key = client("sagemaker"), "ems-dev--cart-early", "sagemaker/early.tar.gz"
    client("s3").upload_file(str(model), BUCKET, key)
    container = {"Image": f"{REPOSITORY}:cart-1", "ModelDataUrl": f"s3://{BUCKET}/{key}"}
    variant = {"VariantName": "policy", "ModelName": name, "InstanceType": "ml.m5.large"}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{**variant, "InitialInstanceCount": 1}]
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    pipeline.take_down(name, 1)
    assert not sagemaker.list_endpoints()["Endpoints"] and not sagemaker.list_models()["Models"]
