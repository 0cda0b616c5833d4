"""What the job API gives back: handles, what is known of a job, and what happens to it.

Frozen and JSON-safe. Knows no backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from ems.compute.job import JobState, Reason


@dataclass(frozen=True)
class JobHandle:
    """Names a submitted job from any process, on any machine with the same store.

    `str()` of it is its id; `dict(handle.to_json())` may be kept and read again.
    """

    id: str
    name: str
    target: str
    store: str

    def __str__(self) -> str:
        return self.id

    def to_json(self) -> dict[str, str]:
        """Return what `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> JobHandle:
        """Return the handle that `to_json` wrote."""
        return cls(*(str(data.get(key, "")) for key in ("id", "name", "target", "store")))


@dataclass(frozen=True)
class MemberInfo:
    """One member of a gang: `robot-0` is the first of role `robot`.

    `rank` counts over the gang, `nth` over the role. `address` and `port` are where the others
    were told that it listens; `log` is the digest of its output, once it has ended.
    """

    name: str
    role: str
    nth: int
    rank: int
    state: JobState
    reason: Reason | None = None
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
    place: str = ""
    native: str = ""
    address: str = ""
    port: int = 0
    log: str = ""

    @property
    def prefix(self) -> bytes:
        """Return what its lines begin with where they stand beside those of others."""
        return prefix_of(self.name)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        made = asdict(self)
        made["state"] = self.state.value
        made["reason"] = self.reason.value if self.reason else None
        return made


def prefix_of(member: str) -> bytes:
    """Return what lines of a gang's member begin with; nothing for a job that is none."""
    return f"{member} | ".encode() if member else b""


@dataclass(frozen=True)
class JobInfo:
    """What is known of a job: its state, why, where, since when.

    Times are Unix time. `detail` is a sentence for a person; while a job waits it says for what.
    `outputs` are digests by name, `log` is that of its output; both are in the store. `members` are
    those of a gang, by rank; each has a log of its own.
    """

    handle: JobHandle
    state: JobState
    reason: Reason | None = None
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
    attempt: int = 1
    attempts: int = 1
    place: str = ""
    native: str = ""
    who: str = ""
    submitted: float = 0.0
    started: float | None = None
    ended: float | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    log: str = ""
    members: tuple[MemberInfo, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Return how long it ran; None until it has ended."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        made = asdict(self)
        made["handle"] = self.handle.to_json()
        made["state"] = self.state.value
        made["reason"] = self.reason.value if self.reason else None
        made["seconds"] = self.seconds
        made["members"] = [member.to_json() for member in self.members]
        return made


class Changed(NamedTuple):
    """A job came into another state, or is tried again (`attempt`)."""

    job: JobHandle
    info: JobInfo


class Wrote(NamedTuple):
    """A line that a job wrote, with its end where it has one; bytes, as programs write any.

    `member` says which member of a gang wrote it (`robot-0`).
    """

    job: JobHandle
    data: bytes
    member: str = ""

    @property
    def text(self) -> str:
        """Return the line as text, without its end."""
        return self.data.decode("utf-8", "replace").rstrip("\r\n")


JobEvent = Changed | Wrote
