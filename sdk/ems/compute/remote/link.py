"""How commands are run at a place: here, or over ssh (`ems.compute.remote.ssh`).

Knows processes. Does not know what the commands mean.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ems.compute.remote.order import PlaceError, Unreachable

PATIENCE_S = 30.0


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: bytes
    err: bytes

    def said(self) -> str:
        """Return its last words on standard error, or else on standard output, on one line."""
        text = (self.err.strip() or self.out.strip()).decode("utf-8", "replace")
        return text.splitlines()[-1].strip() if text else f"exit code {self.code}"


class Link(Protocol):
    """Runs commands at one place; several threads may use it."""

    where: str
    """For people: `this machine`, `robot@10.0.0.7`."""

    def run(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = PATIENCE_S) -> Done:
        """Run a command to its end and return how it ended.

        Raises Unreachable where the place does not answer in time, PlaceError where there is no
        such command. Signals of this process's terminal don't reach it.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Here:
    """This machine."""

    where = "this machine"

    def __init__(self, variables: dict[str, str] | None = None) -> None:
        self._variables = variables

    def run(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = PATIENCE_S) -> Done:
        """Run a command; see `Link`."""
        try:
            done = subprocess.run(
                list(argv), input=stdin, capture_output=True, timeout=timeout_s, check=False,
                env=self._variables, start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            raise PlaceError(argv[0], f"is not installed on {self.where}") from None
        except subprocess.TimeoutExpired:
            raise Unreachable(argv[0], f"did not answer within {timeout_s:g} s") from None
        return Done(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        """Nothing is held."""
