"""The kind `sagemaker`: a target that is SageMaker's training jobs at a site of the stack.

    targets:
      gpu: {sagemaker: oregon, image: "worker:2026-11", spot: always}
      big: {sagemaker: oregon, image: "worker:2026-11", instance: ml.g5.2xlarge}

Knows the keys, and what a site gives. Does not know SageMaker's calls.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from ems.compute.backend import Backend
from ems.compute.batch.kind import outputs_of
from ems.compute.kinds import Finding, Setting
from ems.compute.remote.environments import Given
from ems.compute.remote.order import Order
from ems.compute.remote.site import Site
from ems.compute.sagemaker.calls import Calls
from ems.compute.sagemaker.checks import Problem, lacking, problems, quotas
from ems.compute.sagemaker.ground import Choices, Ground, ground
from ems.compute.sagemaker.instances import well_formed
from ems.compute.sagemaker.requests import WORD
from ems.compute.sagemaker.scheduler import SageMakerScheduler
from ems.errors import EmsError, UsageError
from ems.stack import aws
from ems.stack.outputs import StackOutputs

PREFIXES = ("scratch", "store", "data", "sagemaker")
"""The folders of a site's bucket that its training jobs may write."""
_POLL_S = 5.0
"""Calls of an account are counted together, and an instance takes minutes to start anyway."""
_LIMITS = (("volume", 1, 16384), ("attempts", 1, 31), ("longest_hours", 1, 672),
           ("spot_wait_hours", 0, 672))  # fmt: skip
_MOST_METRICS = 40


class Metric(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number that SageMaker takes out of what a job prints, and shows in CloudWatch."""

    name: str
    regex: str
    """With one group, which is the number."""


class SageMakerSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of a target."""

    sagemaker: str
    """The site; `emsctl stack show` has them."""
    image: str = ""
    """What jobs run in that name no image: `worker:TAG` of the site's repositories, or an address
    in ECR of its region. It needs a `python3`, not EMS, and root."""
    instance: str = ""
    """The instance type of every job (`ml.g5.xlarge`); else the least that has what a job asks."""
    spot: Literal["auto", "always", "never"] = "auto"
    """Whether jobs run on spot instances: those that say they may, all, or none."""
    folder: str = ""
    """Where jobs find their input and leave their output; `s3://BUCKET/scratch/ems` of the site."""
    python: str = "python3"
    """The Python in the image, 3.8 or later."""
    volume: int = 30
    """GiB of disk, for instance types that have none of their own; more where a job asks for it."""
    vpc: Literal["auto", "always", "never"] = "auto"
    """Whether jobs are in the site's network; `auto`: where it has a way out for them (NAT)."""
    attempts: int = 2
    """How often a job is started in all where SageMaker itself fails."""
    longest_hours: float = 24
    """How long a job may run that declares no timeout."""
    spot_wait_hours: float = 24
    """How long a job waits for spot instances, beside its run."""
    metrics: tuple[Metric, ...] = ()
    """What of a job's output CloudWatch shows as curves."""
    stack: str = ""
    """The stack, if it is not the project's."""


Read = Callable[[str, Path], StackOutputs]
"""A stack's name and the folder that it is looked for in → its outputs."""


@dataclass
class SageMakerKind:
    """See `ems.compute.kinds.Kind`."""

    read: Read = outputs_of
    clients: aws.Clients = aws.client
    poll_s: float = _POLL_S
    word: str = "sagemaker"
    settings: type[Any] = SageMakerSettings

    def open(self, name: str, settings: SageMakerSettings, setting: Setting) -> Sequence[Backend]:
        """Return the target's one backend; reads the stack's outputs and asks nothing of AWS."""
        from ems.compute.remote.beside import beside
        from ems.compute.remote.s3 import S3Site
        from ems.compute.remote.spool import SpoolBackend

        at, choices, folder = self._opened(name, settings, setting)
        site = S3Site(folder)
        scheduler = self._scheduler(name, at, site, choices)
        writable = [f"s3://{at.site.storage.bucket}/{each}" for each in PREFIXES]
        return [
            SpoolBackend(
                name,
                site,
                scheduler,
                setting.objects,
                setting.cache,
                beside=beside(setting.store, folder, writable, setting.warn),
                environments=Given(settings.python),
                poll_s=self.poll_s,
                warn=setting.warn,
            )
        ]

    def check(self, name: str, settings: SageMakerSettings, setting: Setting) -> Sequence[Finding]:
        """Ask AWS whether SageMaker answers, and whether buckets, image and quotas are there."""
        try:
            at, choices, folder = self._opened(name, settings, setting)
            calls = Calls(at.site.region, self.clients)
            found: list[Problem] = problems(at, calls, choices, folder, self.clients)
            known = quotas(at, settings.instance, self.clients)
            found += lacking(known, settings.spot, settings.instance)
            if found:
                return [Finding(name, False, each.what, each.next_step) for each in found]
            said = [f"SageMaker training at {at.name} ({at.site.region})"]
            if settings.instance:
                counts = ", ".join(f"{use} {value:g}" for use, value in sorted(known.items()))
                said.append(f"{settings.instance}: quota {counts or 'not known'}")
            return [Finding(name, True, ", ".join(said))]
        except EmsError as error:
            return [Finding(name, False, f"{error.subject}: {error.problem}", error.next_step)]

    def _opened(
        self, name: str, settings: SageMakerSettings, setting: Setting
    ) -> tuple[Ground, Choices, str]:
        """Return what settings and stack come to; raises UsageError for what can't be."""
        stack = settings.stack or setting.stack
        subject = f"target {name}"
        if not stack:
            raise UsageError(subject, "no stack says what its site offers", "emsctl stack use REF")
        _check(subject, settings)
        at = ground(self.read(stack, setting.base), settings.sagemaker)
        choices = Choices(
            settings.image,
            settings.instance,
            settings.spot,
            settings.vpc,
            settings.volume,
            settings.attempts,
            settings.longest_hours,
            settings.spot_wait_hours,
            tuple({"Name": each.name, "Regex": each.regex} for each in settings.metrics),
        )
        return at, choices, _folder(subject, settings.folder, at)

    def _scheduler(self, name: str, at: Ground, site: Site, choices: Choices) -> SageMakerScheduler:
        from ems.compute.remote.starter import starter

        return SageMakerScheduler(
            name,
            at,
            lambda order: starter(site.root, _worker(order), order.argv[0]),
            site,
            Calls(at.site.region, self.clients),
            getpass.getuser(),
            choices,
        )


def _worker(order: Order) -> str:
    """Return the digest of the worker that an order's command line names: its file's name."""
    return order.argv[1].rpartition("/")[2]


def _check(subject: str, settings: SageMakerSettings) -> None:
    for key, least, most in _LIMITS:
        value: float = getattr(settings, key)
        if not least <= value <= most:
            problem = f"{key}: {value:g} does not fit (allowed: {least} to {most})"
            raise UsageError(subject, problem)
    if settings.instance and not well_formed(settings.instance):
        problem = f"instance: {settings.instance!r} is no instance type (allowed: ml.FAMILY.SIZE)"
        raise UsageError(subject, problem)
    if len(settings.metrics) > _MOST_METRICS:
        problem = f"metrics: there are {len(settings.metrics)} (allowed: {_MOST_METRICS})"
        raise UsageError(subject, problem)
    for each in settings.metrics:
        _check_metric(f"{subject}, metrics", each)


def _check_metric(subject: str, metric: Metric) -> None:
    for key, value, most in (("name", metric.name, 255), ("regex", metric.regex, 500)):
        if not 1 <= len(value) <= most:
            problem = f"{key} has {len(value)} characters (allowed: 1 to {most})"
            raise UsageError(subject, problem)
    try:
        groups = re.compile(metric.regex).groups
    except re.error as error:
        raise UsageError(subject, f"regex {metric.regex!r}: {error}") from None
    if groups != 1:
        problem = f"regex {metric.regex!r} has {groups} groups (allowed: one, the number)"
        raise UsageError(subject, problem)


def _folder(subject: str, said: str, at: Ground) -> str:
    """Return the folder in S3; raises UsageError for one that jobs may not write."""
    bucket = at.site.storage.bucket
    folder = (said or f"s3://{bucket}/scratch/ems").rstrip("/")
    if not folder.startswith("s3://"):
        problem = f"folder: {folder!r} is not in S3 (allowed: s3://BUCKET/PREFIX)"
        raise UsageError(subject, problem)
    if len(folder) > WORD:
        problem = f"folder: {folder!r} has {len(folder)} characters (allowed: {WORD})"
        raise UsageError(subject, problem)
    there, _, path = folder.removeprefix("s3://").partition("/")
    if there == bucket and path.partition("/")[0] not in PREFIXES:
        allowed = ", ".join(f"s3://{bucket}/{each}/…" for each in PREFIXES)
        raise UsageError(subject, f"folder: jobs may not write {folder} (allowed: {allowed})")
    return folder


KIND = SageMakerKind()
