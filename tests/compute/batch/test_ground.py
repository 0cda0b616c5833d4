"""Which queue takes a job, and what the stack's outputs give to it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ems.compute.batch.ground import Ground, choose, ground, image_of, memory_mib
from ems.compute.job import Resources
from ems.compute.remote.order import Order, Refused
from ems.errors import UsageError
from ems.stack import outputs as o
from tests.stack.making import environment, queue, site


def made(name: str, **changes: Any) -> o.Queue:
    plain = {"gpu": False, "instance_types": ("c7i.4xlarge",), "max_vcpus": 64}
    return queue(name, **(plain | changes))


QUEUES = {
    "general": made("q-general", kind="general", instance_types=("c7i", "m7i"), max_vcpus=256),
    "c7i-spot": made("q-c7i-spot", market="spot"),
    "c7g": made("q-c7g", architecture="arm64", instance_types=("c7g.xlarge",)),
    "g5": made("q-g5", gpu=True, instance_types=("g5.2xlarge",)),
    "g5-big": made("q-g5-big", gpu=True, instance_types=("g5.12xlarge",)),
    "p5-spot": made("q-p5-spot", gpu=True, instance_types=("p5.48xlarge",), market="spot",
                    max_vcpus=192),
}  # fmt: skip


def at(said: str = "oregon") -> Ground:
    outputs = environment(
        sites={"oregon": site(queues=QUEUES), "bare": msgspec.structs.replace(site(), batch=None)}
    )
    return ground(outputs, said)


def chosen(said: str = "oregon", spot: Any = "auto", *, may: bool = False, **wanted: Any) -> str:
    order = Order("ems-1", "n", (), "", Resources(**wanted), spot=may)
    found = choose(at(said), order, spot, "x86_64")
    return found.detail if isinstance(found, Refused) else found[0]


def test_the_queue_that_fits() -> None:
    assert chosen() == "general"
    assert chosen(cpus=100) == "general"
    assert chosen(may=True) == "c7i-spot"
    assert chosen(may=True, cpus=20) == "general", "a c7i.4xlarge has 16 vCPUs"
    assert chosen(spot="always") == "c7i-spot"
    assert chosen(gpus=1) == "g5"
    assert chosen(gpus=1, cpus=32) == "g5-big"
    assert chosen(gpus=1, gpu_kind="A10G") == "g5"
    assert chosen(gpus=8, gpu_kind="h100", may=True) == "p5-spot"
    assert chosen("oregon/c7g", cpus=2) == "c7g", "who names a queue knows what the image is for"


def test_a_job_that_no_queue_takes_is_told_why() -> None:
    assert "p5-spot: is spot" in chosen(gpus=8, gpu_kind="h100")
    assert "g5.2xlarge has 8 vCPUs" in chosen("oregon/g5", gpus=1, cpus=9)
    assert "has 256 vCPUs at most" in chosen("oregon/general", cpus=300)
    assert "no queue of oregon takes a job of 1 CPU and 1 k80 GPU" in chosen(gpus=1, gpu_kind="k80")
    assert "is none of t4, a10g" in chosen("oregon/g5", gpus=1, gpu_kind="k80")
    assert chosen(spot="never", may=True) == "general"
    assert "is no spot" in chosen("oregon/g5", spot="always", gpus=1)
    assert "has no GPU" in chosen("oregon/general", gpus=1)


def test_what_names_no_queue_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"no site 'oregn' \(did you mean 'oregon'"):
        at("oregn")
    with pytest.raises(UsageError, match=r"no queue 'g6' .*there: c7g, c7i-spot"):
        at("oregon/g6")
    with pytest.raises(UsageError, match=r"site bare has no Batch queues \(with queues: oregon\)"):
        at("bare")


def test_memory_is_what_was_asked_for_or_a_share() -> None:
    assert memory_mib(Resources(cpus=2.5)) == 3 * 1792
    assert memory_mib(Resources(memory_gib=0.5)) == 512
    assert memory_mib(Resources(memory_gib=0.001)) == 4


def test_an_image_by_its_repository() -> None:
    place = at().site
    address = place.images.repositories["worker"]
    assert image_of("worker:1", "other:2", place) == f"{address}:1"
    assert image_of("", "worker@sha256:ab", place) == f"{address}@sha256:ab"
    assert image_of("python:3.11", "", place) == "python:3.11"
    bare, none = image_of("worker", "", place), image_of("", "", place)
    assert isinstance(bare, Refused) and "no tag" in bare.detail
    assert isinstance(none, Refused) and "worker:TAG" in none.detail
