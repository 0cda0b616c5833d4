"""The shape of a request: what SageMaker's own model allows, and what was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ems.compute.job import Resources
from ems.compute.remote.order import Order, Refused
from ems.compute.remote.starter import starter
from ems.compute.sagemaker.ground import Choices, Ground, ground
from ems.compute.sagemaker.instances import TABLE, Instance, choose, lack
from ems.compute.sagemaker.requests import LONGEST_S, name_of, request
from tests.compute.sagemaker.cloud import ADDRESS, IMAGE, ROLE, order, outputs

LONG = f"s3://{'b' * 63}/{'p' * 180}"
_JAVAS = re.compile(r"\\p\{(\w)\}")
_CLASSES = {"L": "a-zA-Z", "Z": " ", "N": "0-9"}
METRICS = ({"Name": "reward", "Regex": "reward=([-0-9.e]+)"},)


def made(
    choices: Choices, wanted: Order | None = None, at: Ground | None = None, root: str = LONG
) -> dict[str, Any]:
    found = request(
        wanted or order("1" * 32),
        starter(root, "a" * 64),
        "ana-maria@lab",
        at or ground(outputs(), "oregon"),
        choices,
    )
    assert isinstance(found, dict), found
    return found


def faults(shape: Any, value: Any, at: str = "") -> Iterator[str]:
    """Yield what of a value AWS's model does not allow; botocore itself looks at less."""
    limits = shape.metadata
    if shape.type_name == "structure":
        yield from (f"{at}: no {name}" for name in shape.required_members if name not in value)
        for name, inner in value.items():
            if name not in shape.members:
                yield f"{at}: {name} is not known"
            else:
                yield from faults(shape.members[name], inner, f"{at}.{name}")
        return
    if shape.type_name == "string":
        if "enum" in limits and value not in limits["enum"]:
            yield f"{at}: {value} is none of its values"
        pattern = _JAVAS.sub(lambda found: _CLASSES[found[1]], limits.get("pattern", r"[\s\S]*"))
        if not re.fullmatch(pattern, value):
            yield f"{at}: {value!r} does not fit {pattern}"
    size: int = value if shape.type_name in ("integer", "boolean") else len(value)
    if not limits.get("min", 0) <= size <= limits.get("max", size):
        yield f"{at}: {size} is not in {limits}"
    if shape.type_name == "list":
        for n, inner in enumerate(value):
            yield from faults(shape.member, inner, f"{at}[{n}]")
    if shape.type_name == "map":
        for key, inner in value.items():
            yield from faults(shape.key, key, f"{at}.{key}")
            yield from faults(shape.value, inner, f"{at}.{key}")


@pytest.fixture(scope="module")
def shape() -> Any:
    import botocore.session

    model = botocore.session.get_session().get_service_model("sagemaker")
    return model.shape_for("CreateTrainingJobRequest")


@pytest.mark.parametrize(
    "choices",
    [
        Choices(image=IMAGE),
        Choices(image=IMAGE, spot="always", vpc="always", metrics=METRICS, attempts=31),
        Choices(image=IMAGE, instance="ml.g5.xlarge", attempts=1, longest_hours=672),
    ],
)
def test_requests_are_as_the_model_wants_them(shape: Any, choices: Choices) -> None:
    """The starter's words fit as well, with the longest folder that a target may have."""
    assert list(faults(shape, made(choices))) == []


def test_the_model_finds_what_does_not_fit(shape: Any) -> None:
    good = made(Choices(image=IMAGE))
    words = {**good["AlgorithmSpecification"], "ContainerArguments": ["x" * 257]}
    for key, value in (
        ("TrainingJobName", "ems_dev"),
        ("AlgorithmSpecification", words),
        ("ResourceConfig", {"InstanceType": "ml.none.large"}),
        ("Environment", {"A": "x" * 513}),
        ("RoleArn", "role"),
        ("Unheard", 1),
    ):
        assert list(faults(shape, {**good, key: value})), key


def test_what_a_job_is_given() -> None:
    wanted = order("22", wall_s=3600.0, spot=True)
    made_of = made(Choices(image=IMAGE, volume_gib=50, metrics=METRICS), wanted)
    what = made_of["AlgorithmSpecification"]
    assert (what["TrainingImage"], made_of["RoleArn"]) == (ADDRESS, ROLE)
    assert what["ContainerEntrypoint"][:2] == ["python3", "-c"]
    assert what["ContainerArguments"][:2] == [LONG, "a" * 64]
    assert what["MetricDefinitions"] == list(METRICS)
    assert made_of["EnableManagedSpotTraining"] is True
    runs = 2 * 3600 + 900
    assert made_of["StoppingCondition"] == {
        "MaxRuntimeInSeconds": runs, "MaxWaitTimeInSeconds": runs + 86400,
    }  # fmt: skip
    assert made_of["RetryStrategy"] == {"MaximumRetryAttempts": 1}
    assert made_of["ResourceConfig"]["VolumeSizeInGB"] == 50
    assert made_of["CheckpointConfig"]["S3Uri"] == f"{wanted.folder}/checkpoints"
    assert made_of["Environment"]["EMS_JOB"] == wanted.folder
    tags = {each["Key"]: each["Value"] for each in made_of["Tags"]}
    assert tags == {"ems-environment": "dev", "ems-name": "train", "ems-user": "ana-maria@lab"}


def test_limits_are_never_beyond_sagemakers() -> None:
    most = Choices(image=IMAGE, spot="always", longest_hours=672, spot_wait_hours=672)
    assert set(made(most)["StoppingCondition"].values()) == {LONGEST_S}


def test_spot_is_as_the_target_and_the_job_say() -> None:
    for said, wanted, spot in (
        ("auto", False, False), ("auto", True, True), ("always", False, True),
        ("never", True, False),
    ):  # fmt: skip
        found = made(Choices(image=IMAGE, spot=said), order("23", spot=wanted))  # type: ignore[arg-type]
        assert found["EnableManagedSpotTraining"] is spot
        assert ("MaxWaitTimeInSeconds" in found["StoppingCondition"]) is spot


def test_the_sites_network_is_used_where_it_has_a_way_out() -> None:
    """An interface of SageMaker's has no public address: in a subnet without NAT it reaches S3
    and nothing else."""
    at = ground(outputs(), "oregon")
    private = msgspec.structs.replace(at.site.network.jobs, public=False)
    network = msgspec.structs.replace(at.site.network, jobs=private)
    quiet = Ground("dev", at.account, "oregon", msgspec.structs.replace(at.site, network=network),
                   at.sagemaker)  # fmt: skip
    there = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    for ground_, vpc, wanted in (
        (at, "auto", None), (at, "always", there), (quiet, "auto", there), (quiet, "never", None),
    ):  # fmt: skip
        assert made(Choices(image=IMAGE, vpc=vpc), at=ground_).get("VpcConfig") == wanted  # type: ignore[arg-type]


def test_names_fit_and_differ() -> None:
    prefix = "ems-" + "e" * 16 + "--"
    ids = [f"ems-{n:032x}" for n in range(20)] + ["ems-" + "9" * 60]
    names = {name_of(prefix, id, life) for id in ids for life in (1, 2, 50)}
    assert len(names) == 3 * len(ids) and max(map(len, names)) <= 63
    assert name_of("ems-dev--", "ems-ab") == "ems-dev--ab"
    assert name_of("ems-dev--", "ems-ab", 2) == "ems-dev--ab-2"


def test_without_an_image_it_is_said_where_one_goes() -> None:
    found = request(
        order("24"), ("python3",), "ana", ground(outputs(), "oregon"), Choices(instance="ml.p5.9x")
    )
    assert isinstance(found, Refused) and "defaults: {sagemaker: {image: …}}" in found.detail
    assert "worker:TAG" in found.detail


# -- instance types -------------------------------------------------------------------------------


def test_the_table_is_as_ec2_lists_the_types(shape: Any) -> None:
    import gzip
    import json
    from importlib.resources import files

    data = files("moto").joinpath("ec2/resources/instance_types.json.gz").read_bytes()
    listed = json.loads(gzip.decompress(data))
    taken = shape.members["ResourceConfig"].members["InstanceType"].enum
    assert len({each.name for each in TABLE}) == len(TABLE)
    for each in TABLE:
        assert each.name in taken
        known = listed[each.name.removeprefix("ml.")]
        gpus = known.get("GpuInfo", {}).get("Gpus", [])
        assert each == Instance(
            each.name,
            known["VCpuInfo"]["DefaultVCpus"],
            known["MemoryInfo"]["SizeInMiB"] // 1024,
            sum(gpu["Count"] for gpu in gpus),
            gpus[0]["Name"].lower() if gpus else "",
            known.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0),
        )


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (Resources(), "ml.c7i.large"),
        (Resources(cpus=3, memory_gib=10), "ml.m7i.xlarge"),
        (Resources(cpus=2, memory_gib=14), "ml.r7i.large"),
        (Resources(gpus=1), "ml.g4dn.xlarge"),
        (Resources(gpus=1, gpu_kind="A10G", cpus=6), "ml.g5.2xlarge"),
        (Resources(gpus=1, disk_gib=300), "ml.g6.2xlarge"),
        (Resources(gpus=2, gpu_kind="l40s"), "ml.g6e.12xlarge"),
        (Resources(gpus=8, gpu_kind="h100"), "ml.p5.48xlarge"),
    ],
)
def test_the_least_type_that_is_enough(wanted: Resources, name: str) -> None:
    found = choose(wanted)
    assert isinstance(found, Instance) and found.name == name and not lack(found, wanted)


def test_a_type_that_is_named() -> None:
    assert choose(Resources(cpus=900), "ml.x9.huge") == Instance("ml.x9.huge", 0, 0)
    for wanted, said in (
        (Resources(cpus=5), "has 4 vCPUs"),
        (Resources(memory_gib=16), "has 14.4 GiB of memory for a job"),
        (Resources(gpus=2), "has 1 GPU;"),
        (Resources(gpus=1, gpu_kind="h100"), "has no h100"),
        (Resources(disk_gib=300), "has 250 GB of disk"),
    ):
        found = choose(wanted, "ml.g5.xlarge")
        assert not isinstance(found, Instance) and said in found.detail
