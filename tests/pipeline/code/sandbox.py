"""A project in a folder of its own, and what the code of its tasks is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

from ems.pipeline.code import Code, Project


class Sandbox:
    """Writes files and reads tasks' code, with a new `Project` each time as each run has."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "lab"
        self.cache = folder / "cache"
        self.write({".ems.yaml": ""})

    def write(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            place = self.root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(dedent(text), "utf-8")

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text("utf-8")
        assert text.count(old) == 1, (path, old)
        (self.root / path).write_text(text.replace(old, new), "utf-8")

    def project(self, pipeline: str = "pipeline.py") -> Project:
        return Project.of(self.root / pipeline, self.cache)

    def code(
        self,
        task: str,
        module: str = "pipeline",
        *,
        uses: Sequence[str] = (),
        version: str | None = None,
        pipeline: str = "pipeline.py",
    ) -> Code:
        return self.project(pipeline).code_of_symbol(module, task, uses, version)

    def parts(self, task: str, **files: str) -> dict[str, str]:
        return dict(self.code(task).parts)

    def one(self, source: str, task: str = "task", **others: str) -> Code:
        """Return the code of a task of a pipeline that is this source."""
        self.write({"pipeline.py": source})
        return self.code(task)
