"""A Pulumi project that a test may change: an inline program, or a copy of the repository's own.

Commands of the engine write into a project (a stack's salt, its settings), so none runs in the
repository itself. Knows no engine.
"""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
_COPIED = ("Pulumi.yaml", "infra", "stacks", "policies")
_LINKED = (".venv", "sdk")


@dataclass(frozen=True)
class Project:
    """What a project's folder shall hold."""

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    copied: Sequence[str] = ()
    """What of the repository is copied."""
    place: str = "."
    """The folder of Pulumi.yaml in it."""

    @classmethod
    def inline(cls, program: str | Callable[[], None], *, name: str = "small") -> Project:
        """Return a project of one file: source, or a function whose body stands on its own."""
        if callable(program):
            source = textwrap.dedent(inspect.getsource(program))
            source += f"\n\n{program.__name__}()\n"
        else:
            source = textwrap.dedent(program)
        start = f"import sys\n\nsys.path.insert(0, {str(ROOT)!r})\n\n"
        settings = {
            "name": name,
            "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}},
        }
        return cls(name, {"Pulumi.yaml": yaml.safe_dump(settings), "__main__.py": start + source})

    @classmethod
    def repository(cls, place: str = ".", *, copied: Sequence[str] = _COPIED) -> Project:
        """Return the repository's own project (`place`: the folder of its Pulumi.yaml), copied."""
        settings = yaml.safe_load((ROOT / place / "Pulumi.yaml").read_text())
        return cls(settings["name"], copied=tuple(copied), place=place)

    def write(self, folder: Path) -> Path:
        """Write the project below `folder`, over what is there; return where Pulumi.yaml lies."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (folder / name).write_text(text)
        for name in self.copied:
            source, target = ROOT / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True)
            elif source.exists():
                shutil.copy2(source, target)
        for name in _LINKED if self.copied else ():
            if not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)
        return folder / self.place

    def config_file(self, folder: Path, stack: str) -> Path:
        """Return where the settings of `stack` lie in a project that was written to `folder`."""
        place = folder / self.place
        settings: Mapping[str, Any] = yaml.safe_load((place / "Pulumi.yaml").read_text())
        below = settings.get("stackConfigDir") or settings.get("config-dir") or "."
        return (place / str(below) / f"Pulumi.{stack}.yaml").resolve()
