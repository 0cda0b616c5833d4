"""What a site of the stack gives to its Batch jobs, and which of its queues takes which job.

Pure. Knows the stack's outputs and how instance types are named. Does not ask AWS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ems.compute.job import Reason, Resources
from ems.compute.remote.order import Order, Refused
from ems.errors import UsageError, did_you_mean
from ems.stack.outputs import Batch, Queue, Site, StackOutputs
from ems.stack.quotas import vcpus_of

Spot = Literal["auto", "always", "never"]
Architecture = Literal["x86_64", "arm64"]

MIB_FOR_A_CPU = 1792
"""Memory of a job that declares none, for each of its CPUs: what the leanest families (2 GiB for a
vCPU) have left beside ECS's agent and the system."""

GPU_KINDS: Mapping[str, tuple[str, ...]] = {
    "t4": ("g4dn",),
    "a10g": ("g5",),
    "l4": ("g6", "gr6"),
    "l40s": ("g6e",),
    "v100": ("p3", "p3dn"),
    "a100": ("p4d", "p4de"),
    "h100": ("p5",),
    "h200": ("p5e", "p5en"),
    "b200": ("p6-b200",),
}
"""GPU → the instance families that have it (docs.aws.amazon.com/ec2/latest/instancetypes/ac.html,
read 2026-11-21)."""


@dataclass(frozen=True)
class Ground:
    """One site as its Batch jobs see it."""

    environment: str
    account: str
    name: str
    site: Site
    batch: Batch
    queues: Mapping[str, Queue]
    """Those that this target may use, by the stack's word for each."""
    named: bool
    """Whether the target names its one queue, which then is taken without a choice."""


def ground(outputs: StackOutputs, said: str) -> Ground:
    """Return the site, and the queues, that `SITE` or `SITE/QUEUE` names; raises UsageError."""
    name, slash, queue = said.partition("/")
    subject = f"batch: {said}"
    site = outputs.sites.get(name)
    if site is None:
        near = did_you_mean(name, list(outputs.sites))
        there = ", ".join(sorted(outputs.sites)) or "none"
        problem = f"environment {outputs.environment} has no site {name!r}{near} (there: {there})"
        raise UsageError(subject, problem, "emsctl stack show")
    if site.batch is None or not site.batch.queues:
        others = [each for each, other in outputs.sites.items() if other.batch]
        problem = f"site {name} has no Batch queues (with queues: {', '.join(others) or 'none'})"
        raise UsageError(subject, problem, "emsctl stack show")
    known = site.batch.queues
    if slash and queue not in known:
        near = did_you_mean(queue, list(known))
        problem = f"site {name} has no queue {queue!r}{near} (there: {', '.join(sorted(known))})"
        raise UsageError(subject, problem, "emsctl stack show")
    queues = {queue: known[queue]} if slash else known
    return Ground(outputs.environment, outputs.account, name, site, site.batch, queues, bool(slash))


def vcpus(resources: Resources) -> int:
    """Return the vCPUs that Batch reserves: whole ones, on instances."""
    return max(1, math.ceil(resources.cpus))


def memory_mib(resources: Resources) -> int:
    """Return the memory limit of a job, which Batch demands."""
    if resources.memory_gib:
        return max(4, math.ceil(resources.memory_gib * 1024))
    return MIB_FOR_A_CPU * vcpus(resources)


def choose(
    ground: Ground, order: Order, spot: Spot, architecture: Architecture
) -> tuple[str, Queue] | Refused:
    """Return the queue that takes an order, or why none does; the same for the same order.

    Of those that fit: no GPU for a job without one, the market that was asked for, the general
    queue, the smallest instances.
    """
    wanted = order.resources
    why: list[str] = []
    fits: list[tuple[tuple[object, ...], str, Queue]] = []
    for key, queue in sorted(ground.queues.items()):
        lack = _lack(queue, order, spot, "" if ground.named else architecture)
        if lack:
            why.append(f"{key}: {lack}")
            continue
        market = queue.market != ("spot" if spot == "always" or order.spot else "on-demand")
        size = vcpus_of(queue.instance_types[0]) if queue.kind == "type" else None
        rank = (queue.gpu and not wanted.gpus, market, queue.kind == "type", size or 0, key)
        fits.append((rank, key, queue))
    if not fits:
        what = _asked(wanted)
        return Refused(Reason.IMPOSSIBLE, f"no queue of {ground.name} takes {what} ({_few(why)})")
    _, key, queue = min(fits, key=lambda each: each[0])
    return key, queue


def _lack(queue: Queue, order: Order, spot: Spot, architecture: str) -> str:
    """Return what a queue does not have for an order; nothing where it fits."""
    wanted = order.resources
    if wanted.gpus and not queue.gpu:
        return _NO_GPU
    families = [each.partition(".")[0] for each in queue.instance_types]
    if wanted.gpus and wanted.gpu_kind:
        kinds = GPU_KINDS.get(wanted.gpu_kind.lower())
        if kinds is None:
            return f"gpu_kind {wanted.gpu_kind!r} is none of {', '.join(GPU_KINDS)}"
        if not all(family in kinds for family in families):
            return f"{', '.join(families)} has no {wanted.gpu_kind}"
    if architecture and queue.architecture != architecture:
        return f"is {queue.architecture}"
    if queue.market == "spot" and (spot == "never" or (spot == "auto" and not order.spot)):
        return "is spot"
    if queue.market == "on-demand" and spot == "always":
        return "is no spot"
    return _too_small(queue, vcpus(wanted))


def _too_small(queue: Queue, wanted: int) -> str:
    if wanted > queue.max_vcpus:
        return f"has {queue.max_vcpus} vCPUs at most"
    sizes = [vcpus_of(each) for each in queue.instance_types] if queue.kind == "type" else []
    known = [each for each in sizes if each is not None]
    if known and len(known) == len(sizes) and wanted > max(known):
        return f"{', '.join(queue.instance_types)} has {max(known)} vCPUs"
    return ""


def _asked(wanted: Resources) -> str:
    kind = f"{wanted.gpu_kind} " if wanted.gpu_kind else ""
    gpus = f" and {_counted(wanted.gpus, f'{kind}GPU')}" if wanted.gpus else ""
    return f"a job of {_counted(vcpus(wanted), 'CPU')}{gpus}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _few(why: Sequence[str]) -> str:
    why = sorted(why, key=lambda each: each.endswith(_NO_GPU))  # what is nearest goes first
    return "; ".join(why[:4]) + (f"; and {len(why) - 4} more" if len(why) > 4 else "")


_NO_GPU = "has no GPU"


def image_of(order_image: str, own: str, site: Site) -> str | Refused:
    """Return the image of a job: its own, or the target's; a repository's name becomes its address.

    `worker:2026-11` is `<registry>/dev/worker:2026-11` where the site has a repository `worker`.
    """
    image = order_image or own
    there = ", ".join(f"{each}:TAG" for each in sorted(site.images.repositories)) or "none"
    if not image:
        detail = (
            "no image is named, by the job or by its target: `image:` of the target in .ems.yaml, "
            f"or `defaults: {{batch: {{image: …}}}}` for the stack's own (at the site: {there})"
        )
        return Refused(Reason.IMPOSSIBLE, detail)
    cut = min((at for at in (image.find(":"), image.find("@")) if at >= 0), default=len(image))
    address = site.images.repositories.get(image[:cut])
    if address is None:
        return image
    if cut == len(image):
        detail = f"image {image!r} has no tag, and tags are not changed there (allowed: {there})"
        return Refused(Reason.BAD_IMAGE, detail)
    return address + image[cut:]
