"""The keys of a target: what they come to, what is refused, and what a look at the place finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.compute.kinds import Finding, Setting, kinds
from ems.compute.sagemaker.kind import KIND, SageMakerKind, SageMakerSettings
from ems.errors import UsageError
from ems.stack import aws
from tests.compute.sagemaker.cloud import BUCKET, IMAGE, Cloud, outputs
from tests.contract.place import Kept
from tests.rigs import rig


def setting(folder: Path, stack: str = "dev") -> Setting:
    return Setting(Kept(folder / "objects"), folder / "cache", print, folder, stack)


def settings(**more: Any) -> SageMakerSettings:
    return msgspec.convert({"sagemaker": "oregon", "image": IMAGE, **more}, SageMakerSettings)


def test_the_word_stands_for_this_kind() -> None:
    assert kinds()["sagemaker"]() is KIND


def test_a_target_as_people_write_it(tmp_path: Path) -> None:
    said = settings(
        instance="ml.g5.xlarge",
        spot="always",
        metrics=[{"name": "reward", "regex": r"reward=(\S+)"}],
    )
    kind = SageMakerKind(read=lambda *_: outputs())
    (backend,) = kind.open("gpu", said, setting(tmp_path))
    able = backend.capabilities
    assert backend.name == "gpu" and able.targets == ("gpu",)
    assert able.durable and able.images and able.gpus and able.requeues and not able.modules
    backend.close()
    (plain,) = kind.open("cpu", settings(instance="ml.c7i.large"), setting(tmp_path))
    assert not plain.capabilities.gpus
    plain.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"sagemaker": "oregano"}, "did you mean 'oregon'"),
        ({"sagemaker": "bare"}, "site bare has no role for SageMaker (with one: oregon)"),
        ({"instance": "g5.xlarge"}, "allowed: ml.FAMILY.SIZE"),
        ({"volume": 0}, "volume: 0 does not fit (allowed: 1 to 16384)"),
        ({"attempts": 32}, "attempts: 32 does not fit (allowed: 1 to 31)"),
        ({"longest_hours": 700}, "longest_hours: 700 does not fit (allowed: 1 to 672)"),
        ({"folder": "/shared"}, "is not in S3"),
        ({"folder": f"s3://{BUCKET}/secret"}, f"s3://{BUCKET}/scratch/…"),
        ({"folder": "s3://b/" + "x" * 250}, "has 257 characters (allowed: 256)"),
        ({"metrics": [{"name": "r", "regex": "r=("}]}, "missing )"),
        ({"metrics": [{"name": "r", "regex": "r="}]}, "has 0 groups (allowed: one, the number)"),
        ({"metrics": [{"name": "", "regex": "(r)"}]}, "name has 0 characters"),
        ({"metrics": [{"name": "r", "regex": "(r)"}] * 41}, "there are 41 (allowed: 40)"),
    ],
)
def test_what_can_not_be(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    kind = SageMakerKind(read=lambda *_: outputs())
    with pytest.raises(UsageError) as found:
        kind.open("gpu", settings(**more), setting(tmp_path))
    assert said in str(found.value)


def test_without_a_stack_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no stack says what its site offers"):
        KIND.open("gpu", settings(), setting(tmp_path, ""))


# -- checks ---------------------------------------------------------------------------------------


class Quotas:
    """Service Quotas as far as it is asked; moto lists none."""

    def __init__(self, **values: float) -> None:
        self._values = values

    def get_paginator(self, _: str) -> Quotas:
        return self

    def paginate(self, ServiceCode: str) -> list[dict[str, Any]]:
        assert ServiceCode == "sagemaker"
        names = {"training": "training job usage", "spot": "spot training job usage"}
        return [
            {"Quotas": [{"QuotaName": f"ml.g5.xlarge for {names[use]}", "Value": value}]}
            for use, value in self._values.items()
        ]


def checked(where: Path, quotas: Quotas | None = None, **more: Any) -> list[Finding]:
    def clients(service: str, region: str) -> Any:
        known = quotas if service == "service-quotas" else None
        return known or aws.client(service, region)

    kind = SageMakerKind(read=lambda *_: outputs(), clients=clients)
    return list(kind.check("gpu", settings(**more), setting(where)))


@rig("podman")
def test_a_look_at_a_site_that_is_ready(cloud: Cloud, tmp_path: Path) -> None:
    (found,) = checked(tmp_path, image="")
    assert found.ready and found.what == "SageMaker training at oregon (us-west-2)"
    quotas = Quotas(training=2, spot=0)
    (found,) = checked(tmp_path, quotas, image="", instance="ml.g5.xlarge")
    assert found.ready and found.what.endswith("ml.g5.xlarge: quota spot 0, training 2")
    (found,) = checked(tmp_path, Quotas(), image="", instance="ml.g5.xlarge")
    assert found.ready and found.what.endswith("ml.g5.xlarge: quota not known")


@rig("podman")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "image worker:2026-11"),
        ({"image": "docker.io/python:3"}, "SageMaker pulls from ECR of us-west-2 alone"),
        ({"image": "worker"}, "has no tag"),
        ({"image": "", "folder": "s3://nobodys-bucket/x"}, "bucket nobodys-bucket"),
        ({"image": "", "sagemaker": "mars"}, "has no site 'mars'"),
        ({"image": "", "instance": "ml.g5.xlarge", "spot": "always"}, "is 0"),
    ],
)
def test_what_a_look_finds(cloud: Cloud, tmp_path: Path, more: dict[str, Any], said: str) -> None:
    (found,) = checked(tmp_path, Quotas(training=1, spot=0), **more)
    assert not found.ready and said in found.what, found


@rig("podman")
def test_a_look_at_a_place_that_is_away(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found = checked(tmp_path, image="")
    assert found and not any(each.ready for each in found)
    assert "can't be reached" in found[0].what
