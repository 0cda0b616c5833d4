"""How a declared environment is made at a place: a document with all that decides the outcome.

    {"format": 1, "kind": "requirements", "python": "3.11", "files": {name: text},
     "pins": {name: version}, "problem": ""}

`files` are what the tools read there; `pins` must be there once it is made. `problem` says why it
can't be made elsewhere: it names a folder of this machine, or holds a password. Then there are no
files, as a recipe is kept and sent: `of` is the digest of what is declared. Pure but for the files
that are read. Does not know places or tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ems.compute.job import Recipe
from ems.hashing import digest_bytes

from .installed import Installed
from .kept import kept
from .locked import lines_of
from .locks import conda_file, logical
from .markers import normal, requirement
from .passwords import hidden

if TYPE_CHECKING:
    from .environment import Environment

FORMAT = 1
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]*")
_INCLUDE = ("-r", "--requirement", "-c", "--constraint")
_PATH_OPTIONS = ("-f", "--find-links", "-e", "--editable")


def recipe_of(environment: Environment, parts: Mapping[str, str]) -> Recipe | None:
    """Return how an environment is made; None for an image, which a place starts as it is.

    Where no file is declared, `parts` are what has to be there.
    """
    if environment.image or not environment.python:
        return None
    document: dict[str, Any] = {"format": FORMAT, "python": environment.python, "problem": ""}
    document |= _contents(environment, parts)
    if document["problem"]:
        lock = environment.lock
        document |= {"files": {}, "of": lock.digest if lock else ""}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return Recipe(digest_bytes(text.encode()), text)


def _contents(environment: Environment, parts: Mapping[str, str]) -> dict[str, Any]:
    lock = environment.lock
    if lock is None:
        named = _packages_in(parts)
        made = _packages([f"{name}=={version}" for name, version in named.items()], named)
        return {**made, "problem": _had_elsewhere(environment, named)}
    path = environment.root / environment.source
    try:
        text = path.read_bytes().decode("utf-8-sig")
        pins = {n: v for n, v in lock.pins.items() if _VERSION.fullmatch(v)}
        if environment.kind == "conda":
            return _conda(text, environment.python, pins)
        if "[[package" in text:
            key = (FORMAT, 2, lock.digest)
            lines, sure, problem = kept(
                environment.cache, f"recipe {path}", key, lambda: lines_of(text)
            )
            known = {n: v for n, v in pins.items() if n in sure}
            return {**_packages(lines, known), "problem": problem}
        rest = {n: v for n, v in _packages_in(parts).items() if n not in lock.pins}
        return _Requirements(path.parent).read(text, pins, rest)
    except (OSError, ValueError) as error:
        told = f"{environment.source} can't be read: {hidden(str(error))}"
        return {**_packages([], {}), "problem": told}


def _packages_in(parts: Mapping[str, str]) -> dict[str, str]:
    """Return those parts that are packages in a version."""
    return {n: v for n, v in parts.items() if ":" not in n and n != "python" and v}


def _had_elsewhere(environment: Environment, named: Mapping[str, str]) -> str:
    """Say which package an index may have other content for, under the same version."""
    direct = Installed.here(environment.cache).direct if named else {}
    for name in sorted(named):
        if name in direct:
            return (
                f"{name} was installed here from {direct[name]}, which an index does not have"
                " (declare the environment)"
            )
    return ""


def _packages(lines: list[str], pins: Mapping[str, str]) -> dict[str, Any]:
    """Return contents of exactly these packages, without what they require."""
    text = "".join(f"{line}\n" for line in sorted(lines))
    return {"kind": "packages", "files": {"requirements.txt": text}, "pins": dict(pins)}


class _Requirements:
    """A requirements file with those that it includes, as files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, str] = {}
        self._marked: set[str] = set()
        self._problem = ""

    def read(self, text: str, pins: Mapping[str, str], rest: Mapping[str, str]) -> dict[str, Any]:
        """Return contents; `rest` is what is needed beyond the pins, in these versions alone."""
        self._files["requirements.txt"] = ""
        self._files["requirements.txt"] = self._flat(text, self._folder)
        hashed = any(re.search(r"--(require-)?hash", each) for each in self._files.values())
        kept = {n: v for n, v in rest.items() if n not in self._marked and _VERSION.fullmatch(v)}
        if kept and not hashed:  # with hashes, what is not listed is not installed
            lines = (f"{name}=={version}\n" for name, version in sorted(kept.items()))
            self._files["parts.txt"] = "".join(lines)
        sure = {name: version for name, version in pins.items() if name not in self._marked}
        found = {"files": self._files, "pins": sure, "problem": self._problem}
        return {"kind": "requirements", **found}

    def _flat(self, text: str, folder: Path) -> str:
        """Return a file's lines, with its includes under names of their own."""
        lines: list[str] = []
        for line in logical(text):
            option, _, rest = line.replace("=", " ", 1).partition(" ")
            self._problem = self._problem or problem_of(line)
            if self._problem:
                break
            if option in _INCLUDE:
                inner = folder / rest.strip()
                name = f"part-{len(self._files)}.txt"
                self._files[name] = ""
                self._files[name] = self._flat(inner.read_text("utf-8-sig"), inner.parent)
                line = f"{option} {name}"
            elif not line.startswith("-"):
                self._mark(line)
            lines.append(f"{line}\n")
        return "".join(lines)

    def _mark(self, line: str) -> None:
        """Note a package that a marker may leave out at the place."""
        found = requirement(line, "3")
        if found is not None and ";" in line.partition(" --")[0]:
            self._marked.add(found.name)


def problem_of(line: str) -> str:
    """Say why a line of a requirements file can't be followed on another machine, or nothing."""
    shown = hidden(line)
    if shown != line:
        return f"'{shown}' holds a password, which is not sent (write ${{NAME}} in its place)"
    option, _, rest = line.replace("=", " ", 1).partition(" ")
    rest = rest.strip()
    if option in _PATH_OPTIONS:
        path = rest
    elif " @ file:" in line:
        path = line.partition(" @ file:")[2].removeprefix("//")
    else:
        path = "" if option.startswith("-") else line
        if not path.startswith((".", "/", "~", "file:")):
            return ""
    shared = path.startswith("/") and option not in ("-e", "--editable")
    if shared or "://" in path or path.startswith("${"):
        return ""
    return f"'{line}' names a folder of this machine"


def _conda(text: str, python: str, pins: Mapping[str, str]) -> dict[str, Any]:
    """Return contents of a conda file, which is given a Python where it names none."""
    import yaml

    content: dict[str, Any] = conda_file(text)
    listed: list[Any] = list(content.get("dependencies") or [])
    inner = [line for each in listed if isinstance(each, dict) for line in each.get("pip", [])]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    marked = {normal(str(line).split("[")[0].split("=")[0]) for line in inner if ";" in str(line)}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    names = [re.split(r"[\s=<>!~\[]", str(each).rpartition("::")[2])[0] for each in listed]
    if "python" not in names:
        listed.insert(0, f"python={python}")
    kept = {key: content[key] for key in ("channels", "variables") if key in content}
    made = yaml.safe_dump({**kept, "dependencies": listed}, sort_keys=False)
    channels: list[object] = content.get("channels") or []
    said = [str(e) for e in (*inner, *channels, *listed) if not isinstance(e, dict)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    variables: dict[str, Any] = content.get("variables") or {}
    said += [f"{name}: {value}" for name, value in variables.items()]
    problem = next((told for line in said if (told := problem_of(line))), "")
    known = {name: version for name, version in pins.items() if name not in marked}
    # what conda calls `=1.26` is 1.26.4 as well
    known = {name: version for name, version in known.items() if version.count(".") > 1}
    return {
        "kind": "conda", "files": {"environment.yml": made}, "pins": known, "problem": problem,
    }  # fmt: skip
