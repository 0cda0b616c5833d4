"""Instance types of SageMaker's training jobs: what each has, and which a job needs.

A small table, curated: the present families in the sizes that one job uses. Amounts are those of
the EC2 type of the same name (docs.aws.amazon.com/ec2/latest/instancetypes/, by
DescribeInstanceTypes), and names are those that CreateTrainingJob takes (botocore 1.44.5), both
read 2026-11-22. Pure. Knows no prices, and not whether a region or an account has a type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ems.compute.job import Reason, Resources
from ems.compute.remote.order import Refused

_NAME = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
_FOR_JOBS = 0.9
"""Of an instance's memory; the rest is the system's and SageMaker's own."""


class Instance(NamedTuple):
    """One type; `disk_gb` is that of its own SSD, 0 where SageMaker attaches a volume."""

    name: str
    vcpus: int
    memory_gib: int
    gpus: int = 0
    gpu_kind: str = ""
    disk_gb: int = 0


_CPUS = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "16xlarge": 64,
         "48xlarge": 192}  # fmt: skip
_GIB_FOR_A_CPU = {"m7i": 4, "c7i": 2, "r7i": 8}
_GPUS: tuple[Instance, ...] = (
    Instance("ml.g4dn.xlarge", 4, 16, 1, "t4", 125),
    Instance("ml.g4dn.2xlarge", 8, 32, 1, "t4", 225),
    Instance("ml.g4dn.4xlarge", 16, 64, 1, "t4", 225),
    Instance("ml.g4dn.8xlarge", 32, 128, 1, "t4", 900),
    Instance("ml.g4dn.12xlarge", 48, 192, 4, "t4", 900),
    Instance("ml.g4dn.16xlarge", 64, 256, 1, "t4", 900),
    Instance("ml.g6.xlarge", 4, 16, 1, "l4", 250),
    Instance("ml.g6.2xlarge", 8, 32, 1, "l4", 450),
    Instance("ml.g6.4xlarge", 16, 64, 1, "l4", 600),
    Instance("ml.g6.8xlarge", 32, 128, 1, "l4", 900),
    Instance("ml.g6.12xlarge", 48, 192, 4, "l4", 3760),
    Instance("ml.g6.16xlarge", 64, 256, 1, "l4", 1880),
    Instance("ml.g6.24xlarge", 96, 384, 4, "l4", 3760),
    Instance("ml.g6.48xlarge", 192, 768, 8, "l4", 7520),
    Instance("ml.g5.xlarge", 4, 16, 1, "a10g", 250),
    Instance("ml.g5.2xlarge", 8, 32, 1, "a10g", 450),
    Instance("ml.g5.4xlarge", 16, 64, 1, "a10g", 600),
    Instance("ml.g5.8xlarge", 32, 128, 1, "a10g", 900),
    Instance("ml.g5.12xlarge", 48, 192, 4, "a10g", 3800),
    Instance("ml.g5.16xlarge", 64, 256, 1, "a10g", 1900),
    Instance("ml.g5.24xlarge", 96, 384, 4, "a10g", 3800),
    Instance("ml.g5.48xlarge", 192, 768, 8, "a10g", 7600),
    Instance("ml.g6e.xlarge", 4, 32, 1, "l40s", 250),
    Instance("ml.g6e.2xlarge", 8, 64, 1, "l40s", 450),
    Instance("ml.g6e.4xlarge", 16, 128, 1, "l40s", 600),
    Instance("ml.g6e.8xlarge", 32, 256, 1, "l40s", 900),
    Instance("ml.g6e.12xlarge", 48, 384, 4, "l40s", 3800),
    Instance("ml.g6e.16xlarge", 64, 512, 1, "l40s", 1900),
    Instance("ml.g6e.24xlarge", 96, 768, 4, "l40s", 3800),
    Instance("ml.g6e.48xlarge", 192, 1536, 8, "l40s", 7600),
    Instance("ml.p4d.24xlarge", 96, 1152, 8, "a100", 8000),
    Instance("ml.p5.4xlarge", 16, 256, 1, "h100", 3800),
    Instance("ml.p5.48xlarge", 192, 2048, 8, "h100", 30400),
    Instance("ml.p5en.48xlarge", 192, 2048, 8, "h200", 30400),
)


def _plain() -> Iterator[Instance]:
    for family, gib in _GIB_FOR_A_CPU.items():
        for size, vcpus in _CPUS.items():
            yield Instance(f"ml.{family}.{size}", vcpus, gib * vcpus)


TABLE: tuple[Instance, ...] = (*_plain(), *_GPUS)
"""Of types alike the first counts, so families go from the least to the most of a GPU."""


def well_formed(name: str) -> bool:
    """Whether a name could be that of an instance type."""
    return bool(_NAME.fullmatch(name))


def choose(wanted: Resources, named: str = "") -> Instance | Refused:
    """Return the type that a job runs on: the named one if it is enough, or the least that is.

    A named type that the table does not have is taken at its word. The least: of GPUs first, then
    of CPUs, then of memory.
    """
    if named:
        return _named(wanted, named)
    fits = [each for each in TABLE if not lack(each, wanted)]
    if not fits:
        kinds = ", ".join(dict.fromkeys(each.gpu_kind for each in _GPUS))
        detail = f"no instance type has {_asked(wanted)} (GPUs known: {kinds})"
        return Refused(Reason.IMPOSSIBLE, detail)
    return min(fits, key=lambda each: (each.gpus, each.vcpus, each.memory_gib))


def _named(wanted: Resources, named: str) -> Instance | Refused:
    found = next((each for each in TABLE if each.name == named), None)
    if found is None:
        return Instance(named, 0, 0)
    if why := lack(found, wanted):
        return Refused(Reason.IMPOSSIBLE, f"{named} {why}; the job asks for {_asked(wanted)}")
    return found


def lack(instance: Instance, wanted: Resources) -> str:
    """Return what a type does not have for a job; nothing where it is enough."""
    if wanted.cpus > instance.vcpus:
        return f"has {instance.vcpus} vCPUs"
    if wanted.memory_gib > instance.memory_gib * _FOR_JOBS:
        return f"has {instance.memory_gib * _FOR_JOBS:g} GiB of memory for a job"
    if wanted.gpus > instance.gpus:
        return f"has {instance.gpus or 'no'} GPU" + ("s" if instance.gpus > 1 else "")
    if wanted.gpus and wanted.gpu_kind and wanted.gpu_kind.lower() != instance.gpu_kind:
        return f"has no {wanted.gpu_kind}"
    if instance.disk_gb and wanted.disk_gib * 2**30 > instance.disk_gb * 10**9:
        return f"has {instance.disk_gb} GB of disk"
    return ""


def _asked(wanted: Resources) -> str:
    said = [f"{wanted.cpus:g} CPUs"]
    if wanted.memory_gib:
        said.append(f"{wanted.memory_gib:g} GiB of memory")
    if wanted.gpus:
        said.append(" ".join(filter(None, (str(wanted.gpus), wanted.gpu_kind, "GPUs"))))
    if wanted.disk_gib:
        said.append(f"{wanted.disk_gib:g} GiB of disk")
    return ", ".join(said)
