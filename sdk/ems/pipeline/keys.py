"""Keys of work: recipe and version (contract 1), and the seed that goes with the arguments.

Pure. A key is SHA-256 over a prefix (format, spec key) and one line an argument, each line the
brief canonical text of its value. In a recipe, a pending argument's line names the upstream
recipe; in a version, it is the upstream content. Names of tasks, resources and places are in
neither.
"""

# trees are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ems.worker.values import brief, canon_tree

FORMAT = "ems-version-1"

Steps = Sequence[Sequence[Any]]
Fill = Callable[[int, Steps], str]


def prefix_of(spec_key: str) -> bytes:
    """Return what every key of one task starts with."""
    return f"{FORMAT}\n{spec_key}\n".encode("ascii")


def key_of(prefix: bytes, lines: Iterable[str]) -> bytes:
    """Return the 32 bytes of a recipe or version from its prefix and its arguments' lines."""
    return hashlib.sha256(prefix + "\n".join(lines).encode("ascii")).digest()


def recipe_line(recipe: bytes, steps: Steps) -> str:
    """Return the line of an argument that is (a part of) the result of an upstream recipe."""
    if not steps:
        return f'{{"$recipe":"{recipe.hex()}"}}'
    return f'{{"$recipe":["{recipe.hex()}",{json.dumps([list(s) for s in steps])}]}}'


def line_of(tree: Any, fill: Fill) -> str:
    """Return the line of an argument's tree; `fill` answers for each pending part of it."""
    if type(tree) is dict and len(tree) == 1 and "$pending" in tree:
        return fill(*tree["$pending"])
    return brief(canon_tree(filled(tree, lambda index, steps: {"$content": fill(index, steps)})))


def filled(tree: Any, fill: Callable[[int, Steps], Any]) -> Any:
    """Return a copy of a tree in which each pending part is what `fill(node, steps)` returns."""
    kind = type(tree)
    if kind is list:
        return [filled(item, fill) for item in tree]
    if kind is not dict:
        return tree
    if "$pending" in tree and len(tree) == 1:
        return fill(*tree["$pending"])
    return {key: filled(item, fill) for key, item in tree.items()}


def pendings_of(tree: Any) -> list[tuple[int, Steps]]:
    """Return (node, steps) of each pending part of a tree, in order."""
    found: list[tuple[int, Steps]] = []

    def note(index: int, steps: Steps) -> None:
        found.append((index, steps))

    filled(tree, note)
    return found


def seed_of(lines: Iterable[str]) -> int:
    """Return the seed of a call, below 2**31: it depends on the arguments alone (contract 11)."""
    digest = hashlib.sha256(b"ems-seed-1\n" + "\n".join(lines).encode("ascii")).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF
