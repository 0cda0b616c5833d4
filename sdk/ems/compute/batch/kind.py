"""The kind `batch`: a target that is AWS Batch at a site of the stack.

    targets:
      sky: {batch: oregon, image: "worker:2026-11"}
      gpus: {batch: oregon/g5-2xlarge-spot, image: "worker:2026-11", spot: always}

Knows the keys, and what a site gives. Does not know Batch's calls.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from ems.compute.backend import Backend
from ems.compute.batch.calls import BatchCalls
from ems.compute.batch.checks import problems
from ems.compute.batch.ground import Ground, ground
from ems.compute.batch.scheduler import BatchScheduler, Choices
from ems.compute.batch.submissions import Submitter
from ems.compute.kinds import Finding, Setting
from ems.compute.remote.environments import Given
from ems.compute.remote.order import Order
from ems.compute.remote.site import Site
from ems.errors import EmsError, UsageError
from ems.stack import aws
from ems.stack.outputs import StackOutputs

PREFIXES = ("scratch", "store", "data")
"""The folders of a site's bucket that its jobs may write."""
_POLL_S = 2.0


class BatchSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of a target."""

    batch: str
    """`SITE`, whose queue is chosen for each job, or `SITE/QUEUE`; `emsctl stack show` has both."""
    image: str = ""
    """What jobs run in that name no image: `worker:TAG` of the site's repositories, or any address.
    It needs a `python3`, not EMS."""
    folder: str = ""
    """Where jobs find their input and leave their output; `s3://BUCKET/scratch/ems` of the site."""
    spot: Literal["auto", "always", "never"] = "auto"
    """Whether jobs go to spot instances: those that say they may, all, or none."""
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """What the image is built for, where only the site is named."""
    priority: int = 0
    """Among one's own jobs in a fair-share queue, 0 to 9999; higher ones start first."""
    attempts: int = 3
    """How often Batch itself starts a job whose spot instance was taken back, 1 to 10."""
    python: str = "python3"
    """The Python in the image, 3.8 or later."""
    stack: str = ""
    """The stack, if it is not the project's."""


Read = Callable[[str, Path], StackOutputs]
"""A stack's name and the folder that it is looked for in → its outputs."""


def outputs_of(stack: str, folder: Path) -> StackOutputs:
    """Return the outputs of a stack, as `.ems.yaml` names it."""
    from ems.stack import sources

    return sources.read(sources.reference(stack), folder).outputs


@dataclass
class BatchKind:
    """See `ems.compute.kinds.Kind`."""

    read: Read = outputs_of
    clients: aws.Clients = aws.client
    word: str = "batch"
    settings: type[Any] = BatchSettings

    def open(self, name: str, settings: BatchSettings, setting: Setting) -> Sequence[Backend]:
        """Return the target's one backend; reads the stack's outputs and asks nothing of AWS."""
        from ems.compute.remote.beside import beside
        from ems.compute.remote.s3 import S3Site
        from ems.compute.remote.spool import SpoolBackend

        at = self._ground(name, settings, setting)
        folder = _folder(name, settings, at)
        site = S3Site(folder)
        scheduler = self._scheduler(name, settings, at, site)
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
                poll_s=_POLL_S,
                warn=setting.warn,
            )
        ]

    def check(self, name: str, settings: BatchSettings, setting: Setting) -> Sequence[Finding]:
        """Ask AWS whether queues, log group, bucket and image are there and work."""
        from ems.compute.remote.s3 import S3Site

        try:
            at = self._ground(name, settings, setting)
            folder = _folder(name, settings, at)
            scheduler = self._scheduler(name, settings, at, S3Site(folder))
            calls = BatchCalls(at.site.region, self.clients)
            found = problems(at, calls, settings.image, folder, self.clients)
            if found:
                return [Finding(name, False, each.what, each.next_step) for each in found]
            room = scheduler.room()
            used = f"{(room.total or 0) - (room.free or 0):g} of {room.total:g} vCPUs wanted"
            return [Finding(name, True, f"{scheduler.version()}, {used}")]
        except EmsError as error:
            return [Finding(name, False, f"{error.subject}: {error.problem}", error.next_step)]

    def _ground(self, name: str, settings: BatchSettings, setting: Setting) -> Ground:
        stack = settings.stack or setting.stack
        if not stack:
            raise UsageError(
                f"target {name}", "no stack says what its site offers", "emsctl stack use REF"
            )
        for key, value, most in (
            ("priority", settings.priority, 9999),
            ("attempts", settings.attempts, 10),
        ):
            least = 1 if key == "attempts" else 0
            if not least <= value <= most:
                problem = f"{key}: {value} does not fit (allowed: {least} to {most})"
                raise UsageError(f"target {name}", problem)
        return ground(self.read(stack, setting.base), settings.batch)

    def _scheduler(
        self, name: str, settings: BatchSettings, at: Ground, site: Site
    ) -> BatchScheduler:
        from ems.compute.remote.starter import starter

        choices = Choices(settings.image, settings.spot, settings.architecture, settings.attempts)
        return BatchScheduler(
            name,
            at,
            lambda order: starter(site.root, _worker(order), order.argv[0]),
            site,
            BatchCalls(at.site.region, self.clients),
            Submitter(at.environment, getpass.getuser(), settings.priority),
            choices,
        )


def _worker(order: Order) -> str:
    """Return the digest of the worker that an order's command line names: its file's name."""
    return order.argv[1].rpartition("/")[2]


def _folder(name: str, settings: BatchSettings, at: Ground) -> str:
    """Return the folder in S3; raises UsageError for one that jobs may not write."""
    bucket = at.site.storage.bucket
    folder = (settings.folder or f"s3://{bucket}/scratch/ems").rstrip("/")
    subject = f"target {name}"
    if not folder.startswith("s3://"):
        problem = f"folder: {folder!r} is not in S3 (allowed: s3://BUCKET/PREFIX)"
        raise UsageError(subject, problem)
    there, _, path = folder.removeprefix("s3://").partition("/")
    if there == bucket and path.partition("/")[0] not in PREFIXES:
        allowed = ", ".join(f"s3://{bucket}/{each}/…" for each in PREFIXES)
        raise UsageError(subject, f"folder: jobs may not write {folder} (allowed: {allowed})")
    return folder


KIND = BatchKind()
