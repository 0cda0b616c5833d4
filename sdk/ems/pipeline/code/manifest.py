"""What the code of a task consists of: hashed parts, and the files that a worker needs to run it.

Knows names, digests and paths. Does not know how they were found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .notices import CodeWarning

# The part that is the task itself: its name is not in the digest.
TASK = "task"
# The part that stands in for a task's code where the user gave `version=`.
VERSION = "version"


def _nothing() -> Mapping[str, str]:
    return {}


def _no_text(part: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Code:
    """The code that a task reaches. `parts` is hashed; `modules` and `files` are shipped.

    `parts` maps "task", "module:symbol" and "file:path" to digests. `modules` maps dotted names to
    paths, `files` paths to files here, `digests` paths to content digests as they were when the
    code was read; `generated` holds the text of files that exist nowhere. All paths are relative to
    the project's root, with forward slashes; `search` are the folders to import from, in order.
    `packages` are top-level names of imports from outside the project, Python's own left out.
    """

    entry: tuple[str, str]
    parts: Mapping[str, str]
    modules: Mapping[str, str]
    files: Mapping[str, Path]
    digests: Mapping[str, str]
    packages: tuple[str, ...]
    search: tuple[str, ...] = (".",)
    warnings: tuple[CodeWarning, ...] = ()
    generated: Mapping[str, str] = field(default_factory=_nothing)
    texts: Callable[[str], str] = field(default=_no_text, repr=False, compare=False)

    def source(self, part: str) -> str:
        """Return the normal form of a part, for a diff; "" where it is not text or gone."""
        return self.texts(part)
