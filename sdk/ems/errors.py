"""Errors as part of the interface: subject, value, what is allowed, next command.

Knows exit codes and one sentence form. Does not know who raises, nor how it is shown.
"""

from __future__ import annotations

DONE = 0
"""What was asked for is done."""
FAULT = 1
"""EMS could not go on: no store, no room, something unforeseen; `check` found a problem."""
USAGE = 2
"""The words, the pipeline's file or the settings are off; nothing was started."""
TASK_FAILED = 100
"""A task of the run failed."""
UNFINISHED = 101
"""No task failed and not all is done: SIGTERM or a lost terminal ended the run; go on with it."""
CANCELED = 103
"""The run was canceled by Ctrl-C; what finished is kept."""


class EmsError(Exception):
    """EMS could not do what was asked; `exit_code` 1.

    The message reads `subject: problem. Try: next command`, with the value at fault and what is
    allowed inside `problem`.
    """

    exit_code = FAULT

    def __init__(self, subject: str, problem: str, next_step: str = "") -> None:
        self.subject = subject
        self.problem = problem
        self.next_step = next_step
        super().__init__(subject, problem, next_step)

    def __str__(self) -> str:
        text = f"{self.subject}: {self.problem}" if self.subject else self.problem
        return f"{text}. Try: {self.next_step}" if self.next_step else text


class UsageError(EmsError):
    """The user's words, file or settings are off; `exit_code` 2, nothing was started."""

    exit_code = USAGE


class StoreError(EmsError):
    """The store can't be read or written (vanished, read-only, full, unknown schema)."""


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ` (did you mean 'x'?)` for the nearest known word, or nothing."""
    near = nearest(word, known)
    return f" (did you mean '{near}'?)" if near else ""


def nearest(word: str, known: list[str]) -> str:
    """Return the known word that was likely meant, or nothing.

    One of the same letters goes first: `us-esat-1` is us-east-1 with two of them exchanged.
    """
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=5, cutoff=0.6)
    same = [each for each in near if sorted(each) == sorted(word)]
    return next(iter(same + near), "")
