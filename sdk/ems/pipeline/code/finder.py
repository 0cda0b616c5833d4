"""From module names to files of the project.

Knows the search folders and how Python looks a module up in them. Reads no file. A folder without
`__init__.py` is a package only for the modules that lie in it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

_MARKERS = (".ems.yaml", "pyproject.toml", ".git")
# EMS itself, and modules that Python has built in: they win over any file.
_NEVER = frozenset(["ems", *sys.builtin_module_names])
_FOREIGN = frozenset(["site-packages", "dist-packages", "__pycache__", "node_modules"])


class Found(NamedTuple):
    """A module of the project: `path` is "" for a folder without `__init__.py`."""

    name: str
    path: str
    package: bool
    places: tuple[str, ...]


def root_of(path: Path) -> Path:
    """Return the nearest folder around a file that has .ems.yaml, pyproject.toml or .git in it."""
    folder = path if path.is_dir() else path.parent
    for each in (folder, *folder.parents):
        if any(os.path.exists(os.path.join(each, marker)) for marker in _MARKERS):
            return each
    return folder


def home_of(folder: Path) -> Path:
    """Return the nearest folder, from this one upward, that is no package."""
    while os.path.isfile(os.path.join(folder, "__init__.py")) and folder.parent != folder:
        folder = folder.parent
    return folder


class Finder:
    """Finds modules below `root` in the search folders, in order; remembers every answer."""

    def __init__(self, root: str, search: tuple[str, ...]) -> None:
        self.root = root
        self.search = search
        self._known: dict[str, Found | None] = {}
        self._tops: dict[str, str] = {}

    @classmethod
    def of(cls, path: Path) -> Finder:
        """Return the finder for the project of a file: its folder, `src` and the root are searched.

        Folders below the root that are on `sys.path`, such as those of an editable install, follow.
        """
        root = os.path.realpath(root_of(path))
        own = path if path.is_dir() else path.parent
        near = [os.path.realpath(each) for each in (own, home_of(own))]
        others = [os.path.join(root, "src"), root]
        others += [os.path.realpath(entry) for entry in sys.path if entry]
        kept = [each for each in others if os.path.isdir(each) and _may_hold_code(each, root)]
        return cls(root, tuple(dict.fromkeys([*near, *kept])))

    def find(self, name: str) -> Found | None:
        """Return the project's module of a dotted name, or None where it is not the project's."""
        try:
            return self._known[name]
        except KeyError:
            found = self._known[name] = self._look(name)
            return found

    def name_of(self, path: str) -> str | None:
        """Return the name that a file of the project is imported by, or None."""
        return self._name(os.path.realpath(path))

    def _name(self, path: str) -> str | None:
        stem = path.removesuffix(".py").removesuffix(os.sep + "__init__")
        top = self._top(os.path.dirname(path))
        for folder in (top, *self.search) if top in self.search else self.search:
            if stem.startswith(folder + os.sep):
                words = stem[len(folder) + 1 :].split(os.sep)
                if all(word.isidentifier() for word in words):
                    return ".".join(words)
        return None

    def _top(self, folder: str) -> str:
        """Return the nearest folder upward that is no package."""
        known = self._tops.get(folder)
        if known is None:
            inside = len(folder) > len(self.root) and os.path.isfile(f"{folder}{os.sep}__init__.py")
            known = self._tops[folder] = self._top(os.path.dirname(folder)) if inside else folder
        return known

    def relative(self, path: str) -> str:
        """Return a path relative to the root, with forward slashes."""
        if path.startswith(self.root + os.sep):
            return path[len(self.root) + 1 :].replace(os.sep, "/")
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def _look(self, name: str) -> Found | None:
        parent, _, last = name.rpartition(".")
        if not parent:
            return None if last in _NEVER else self._look_top(last)
        above = self.find(parent)
        return self._in(name, last, above.places) if above is not None else None

    def _look_top(self, name: str) -> Found | None:
        found = self._in(name, name, self.search)
        if found is not None and found.path:
            return found
        imported = sys.modules.get(name)
        file = getattr(imported, "__file__", None)
        if isinstance(file, str):  # what was really imported wins over a bare folder
            file = os.path.realpath(file)
            if not self.owns(file):
                return None
            package = os.path.basename(file) == "__init__.py"
            return Found(name, file, package, (os.path.dirname(file),) if package else ())
        return found if name not in sys.stdlib_module_names else None

    def _in(self, name: str, last: str, places: tuple[str, ...]) -> Found | None:
        bare: list[str] = []
        for place in places:
            folder = f"{place}{os.sep}{last}"
            if os.path.isdir(folder):
                if os.path.isfile(f"{folder}{os.sep}__init__.py"):
                    return self._named(name, f"{folder}{os.sep}__init__.py", folder)
                bare.append(folder)
            if os.path.isfile(folder + ".py"):
                return self._named(name, folder + ".py", None)
        return Found(name, "", True, tuple(bare)) if bare else None

    def _named(self, name: str, path: str, folder: str | None) -> Found:
        return Found(
            self._name(path) or name, path, folder is not None, (folder,) if folder else ()
        )

    def owns(self, path: str) -> bool:
        """Return whether a file is the project's own, and not installed, hidden or outside."""
        if not path.startswith(self.root + os.sep):
            return False
        base = next((each for each in self.search if path.startswith(each + os.sep)), self.root)
        folder = os.path.dirname(path)
        while folder.startswith(self.root) and folder != self.root:
            if os.path.isfile(os.path.join(folder, "pyvenv.cfg")):
                return False
            folder = os.path.dirname(folder)
        return not is_foreign(os.path.relpath(path, base))


def _may_hold_code(folder: str, root: str) -> bool:
    """Return whether a folder to import from is part of the project, and no Python of its own."""
    if folder != root and not folder.startswith(root + os.sep):
        return False
    libraries = [os.path.realpath(os.path.join(p, "lib")) for p in (sys.prefix, sys.base_prefix)]
    inside = any(folder == each or folder.startswith(each + os.sep) for each in libraries)
    return not inside and not is_foreign(os.path.relpath(folder, root))


def is_foreign(relative: str) -> bool:
    """Return whether a relative path leads through a hidden folder or installed packages."""
    parts = relative.split(os.sep)
    return any(part in _FOREIGN or (part.startswith(".") and part != ".") for part in parts)
