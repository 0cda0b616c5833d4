"""The environment that code runs in: what is declared of it, and which of that code reaches.

Knows declarations, locks and what is installed. Does not start or check anything: the worker has
its own, smaller check. A part's name without a colon is Python or a distribution, which a worker
can verify; `image:`, `module:`, `lock:` and `unknown:` parts are only hashed.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ems.errors import UsageError, did_you_mean

from .installed import Installed
from .locks import Lock, read_lock
from .markers import normal

if TYPE_CHECKING:
    from ems.compute.job import Recipe
    from ems.pipeline.code import Project

FILES = ("lock", "requirements", "conda")
KEYS = (*FILES, "image", "modules", "python")
_IMAGE = re.compile(r"\S+@(sha256:[0-9a-f]{64})")

# Names of imports and distributions that differ, for what is locked but not installed here.
_ALIASES: dict[str, tuple[str, ...]] = {
    "PIL": ("pillow", "pillow-simd"),
    "attr": ("attrs",),
    "bs4": ("beautifulsoup4",),
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv",
        "py-opencv",
    ),
    "dateutil": ("python-dateutil",),
    "git": ("gitpython",),
    "mpl_toolkits": ("matplotlib", "matplotlib-base"),
    "matplotlib": ("matplotlib", "matplotlib-base"),
    "pkg_resources": ("setuptools",),
    "serial": ("pyserial",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "torch": ("torch", "pytorch"),
    "yaml": ("pyyaml",),
    "zmq": ("pyzmq",),
}


@dataclass(frozen=True, slots=True)
class Environment:
    """What a project or a task declares of its environment; nothing declared is what is here."""

    root: Path
    cache: Path
    python: str
    lock: Lock | None = None
    source: str = ""
    image: str = ""
    """The digest, which is what an image is; `reference` is where it is had, and not hashed."""
    reference: str = ""
    modules: tuple[tuple[str, str], ...] = ()
    kind: str = ""
    """What `source` is: lock, requirements or conda."""

    @classmethod
    def of(cls, project: Project, declared: Mapping[str, Any] | None = None) -> Environment:
        """Return the environment that is declared: `{"lock": "requirements.lock"}` and so on.

        Keys are lock, requirements or conda (a file, relative to the project), image (by digest),
        modules, python. Raises UsageError for what is unknown, ambiguous or can't be read.
        """
        return cls.at(project.root, project.cache, declared)

    @classmethod
    def at(cls, root: Path, cache: Path, declared: Mapping[str, Any] | None = None) -> Environment:
        """Return the environment declared for a folder; `cache` is where tables are remembered."""
        words = dict(declared or {})
        for key in words:
            if key not in KEYS:
                hint = did_you_mean(str(key), list(KEYS))
                raise UsageError(
                    "environment", f"unknown key '{key}'{hint}; known are {', '.join(KEYS)}"
                )
        files = [key for key in FILES if key in words]
        if len(files) > 1:
            raise UsageError(
                "environment", f"{' and '.join(files)} say the same thing; one is allowed"
            )
        python = _python(words.get("python"))
        lock = None
        if files:
            lock = read_lock(cache, root / str(words[files[0]]), files[0], python or _here())
        return cls(
            root=root,
            cache=cache,
            python=python
            or (lock.python if lock else "")
            or ("" if words.get("image") else _here()),
            lock=lock,
            source=str(words[files[0]]) if files else "",
            image=_image(words.get("image")),
            reference=str(words.get("image") or ""),
            modules=tuple(_modules(words.get("modules", ()))),
            kind=files[0] if files else "",
        )

    def for_task(self, declared: Mapping[str, Any] | None) -> Environment:
        """Return a task's environment: what it declares in place of the project's, if anything."""
        return Environment.at(self.root, self.cache, declared) if declared else self

    @property
    def key(self) -> str:
        """A name that equal environments share."""
        words = [
            self.python,
            self.lock.digest if self.lock else "",
            self.image,
            *map("/".join, self.modules),
        ]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]

    def parts(self, packages: Sequence[str]) -> dict[str, str]:
        """Return what of the environment code reaches that imports these top-level names.

        Distributions come with all that they require. An image counts as a whole, by its digest.
        """
        parts = {"python": self.python} if self.python else {}
        if self.image:
            parts["image:digest"] = self.image
        parts.update({f"module:{name}": version for name, version in self.modules})
        if packages and (self.lock is not None or not self.image):
            parts.update(self._packages(packages))
        return dict(sorted(parts.items()))

    def recipe(self, parts: Mapping[str, str]) -> Recipe | None:
        """Return how it is made where it is not there; `parts` are those that are needed of it."""
        from .recipes import recipe_of

        return recipe_of(self, parts)

    def _packages(self, packages: Sequence[str]) -> dict[str, str]:
        installed = Installed.here(self.cache)
        names: set[str] = set()
        parts: dict[str, str] = {}
        for top in packages:
            found = self._distributions(installed, top)
            names.update(found)
            if not found and self.lock is not None:  # any line of the lock may be the one
                parts[f"lock:{self.source}"] = self.lock.digest
            elif not found:
                parts[f"unknown:{top}"] = ""
        for name in self._closure(installed, names):
            version = self._version(installed, name)
            if version:
                parts[name] = version
        return parts

    def _distributions(self, installed: Installed, top: str) -> list[str]:
        """Return the distributions that an import comes from."""
        here = installed.imports.get(top, [])
        if self.lock is None:
            return here
        known = self.lock.pins.keys() | set(self.lock.loose)
        candidates = [*here, *_ALIASES.get(top, ()), normal(top)]
        return [name for name in dict.fromkeys(candidates) if name in known] or here

    def _closure(self, installed: Installed, names: Iterable[str]) -> set[str]:
        requires = self.lock.requires if self.lock is not None else {}
        found: set[str] = set()
        rest = list(names)
        while rest:
            name = rest.pop()
            if name not in found:
                found.add(name)
                rest += requires.get(name, installed.requires.get(name, []))
        return found

    def _version(self, installed: Installed, name: str) -> str:
        """Return the declared version; where only a name is declared, what is here is meant."""
        pinned = self.lock.pins.get(name) if self.lock is not None else None
        return pinned or installed.versions.get(name, "")


def _here() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _python(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    if not re.fullmatch(r"3\.\d+", text) or isinstance(value, float):
        raise UsageError(
            "environment python", f"{value!r} is no minor version", 'python: "3.11", in quotes'
        )
    return text


def _image(value: object) -> str:
    if value is None:
        return ""
    match = _IMAGE.fullmatch(str(value))
    if match is None:
        raise UsageError(
            "environment image",
            f"{str(value)!r} has no digest; what a tag means can change (allowed: repo@sha256:…)",
            f"docker buildx imagetools inspect {str(value).partition('@')[0]}",
        )
    return match[1]


def _modules(value: Any) -> list[tuple[str, str]]:
    listed = [value] if isinstance(value, str) else list(value)
    found: list[tuple[str, str]] = []
    for each in listed:
        name, _, version = str(each).partition("/")
        if not name or not version:
            raise UsageError(
                "environment modules", f"{each!r} names no version", f"{each}/<version>"
            )
        found.append((name, version))
    return sorted(found)
