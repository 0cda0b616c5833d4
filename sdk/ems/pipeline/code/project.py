"""The code of tasks in a project: which files it lies in, and what of it a task reaches.

Composes the finder, the facts of modules and their reach into what is hashed and what is shipped.
Does not know graphs, stores or workers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ems.errors import UsageError
from ems.settings import cache_folder

from . import notices
from .finder import Finder, Found
from .library import Files
from .manifest import TASK, VERSION, Code
from .notices import CodeWarning
from .reach import Reach
from .resolve import Resolver
from .symbols import TOP, Facts, digest_of
from .uses import files_of


class Project:
    """One project as it is on disk now; make a new one for each run."""

    def __init__(self, finder: Finder, cache: Path | None = None) -> None:
        self.finder = finder
        self.root = Path(finder.root)
        self.search = tuple(finder.relative(folder) for folder in finder.search)
        self.cache = cache or cache_folder()
        self.files = Files(finder, self.cache)
        self.resolver = Resolver(self.files)

    @classmethod
    def of(cls, path: Path, cache: Path | None = None) -> Project:
        """Return the project that a pipeline's file (or a folder) belongs to.

        Its root is the nearest folder with .ems.yaml, pyproject.toml or .git, else the file's.
        """
        return cls(Finder.of(Path(path).absolute()), cache)

    def name_of(self, path: Path) -> str | None:
        """Return the name under which a file of the project is imported."""
        return self.finder.name_of(str(path))

    def code_of(
        self, fn: Callable[..., object], uses: Sequence[str] = (), version: str | None = None
    ) -> Code:
        """Return the code that a function reaches.

        Raises UsageError for what can't be read: a syntax error, a pattern in `uses` that matches
        nothing, a function that no worker could load.
        """
        from .origin import origin_of

        origin = origin_of(self.finder, fn)
        if origin.kind == "project":
            from .annotated import classes_of

            classes = classes_of(origin.function, origin.module)
            return self.code_of_symbol(origin.module, origin.qualname, uses, version, classes)
        if origin.kind == "installed":
            return self._installed(origin.module, origin.qualname, uses, version)
        from .live import code_of_live

        return code_of_live(self, origin.function, uses, version)

    def code_of_symbol(
        self,
        module: str,
        qualname: str,
        uses: Sequence[str] = (),
        version: str | None = None,
        classes: Sequence[str] = (),
    ) -> Code:
        """Return the code that a function reaches, given where it is defined.

        `classes` are dotted names of what its arguments may be.
        """
        found = self.finder.find(module)
        facts = self.files.facts(found) if found is not None else None
        if facts is None:
            raise UsageError(module, f"is no module of the project {self.root}")
        name = qualname.partition(".")[0]
        if name not in facts.symbols:
            file = self.finder.relative(found.path) if found is not None else module
            raise UsageError(file, f"defines no '{name}' at its top level")
        reach = Reach(self.resolver)
        reach.load(module)
        reach.add(facts, name)
        for each in classes:
            reach.ref(each)
        return self.assemble(reach, (module, qualname), f"{facts.module}:{name}", uses, version)

    def code_of_files(self, patterns: Sequence[str], folder: Path | None = None) -> Code:
        """Return the code of a program from the files that it consists of, by glob below `folder`.

        Python files count in their normal form, scripts' main blocks included; others by content.
        Paths are relative to `folder`, by default the project's root.
        """
        base = str(folder.resolve()) if folder is not None else self.finder.root
        parts: dict[str, str] = {}
        paths: dict[str, str] = {}
        packages: set[str] = set()
        for relative in self._matched(patterns, base):
            path = paths[relative] = f"{base}/{relative}"
            facts = self._program(path) if relative.endswith(".py") else None
            if facts is None:
                parts[f"file:{relative}"] = self.files.file_digest(path)
                continue
            parts[f"file:{relative}"] = facts.symbols[TOP][0]
            for load in facts.loads:
                packages |= self.resolver.resolve(load.partition(":")[0]).packages
        packages -= {relative.partition("/")[0].removesuffix(".py") for relative in paths}
        self.save()
        return Code(
            entry=("", ""),
            parts=parts,
            modules={},
            files={relative: Path(path) for relative, path in paths.items()},
            digests={relative: self.files.digests[path] for relative, path in paths.items()},
            packages=tuple(sorted(packages)),
            texts=lambda part: self._file_text(paths.get(part.removeprefix("file:"), "")),
        )

    def save(self) -> None:
        """Keep what was read for the next process."""
        self.files.memo.save()

    def close(self) -> None:
        """Let go of the file of remembered facts; code that was read stays known."""
        self.files.memo.close()

    def assemble(
        self,
        reach: Reach,
        entry: tuple[str, str],
        task: str,
        uses: Sequence[str],
        version: str | None,
    ) -> Code:
        """Return what was reached from a task as its code; `task` names its own symbol."""
        reach.run()
        own = {} if version is not None else self._parts(reach, task)
        marks = () if version is not None else tuple(reach.marks)
        declared = Reach(self.resolver)
        files: dict[str, str] = {}
        for pattern in uses:
            files.update(self._use(declared, pattern))
        declared.run()
        parts = {**self._parts(declared, task), **own}
        for relative, path in files.items():
            parts[f"file:{relative}"] = self.files.file_digest(path)
        if version is not None:
            parts[VERSION] = digest_of(f"{entry[0]}:{entry[1]}\n{version}")
        modules = {**reach.modules, **declared.modules}
        paths = {self.finder.relative(found.path): found.path for found in modules.values()} | files
        self.save()
        return Code(
            entry=entry,
            parts=dict(sorted(parts.items())),
            modules={name: self.finder.relative(modules[name].path) for name in sorted(modules)},
            files={relative: Path(path) for relative, path in sorted(paths.items())},
            digests={
                relative: self.files.digests[path] for relative, path in sorted(paths.items())
            },
            packages=tuple(sorted(reach.packages | declared.packages)),
            search=self.search,
            warnings=tuple(
                dict.fromkeys(
                    [*self._warnings(marks, declared, bool(uses)), *self._shadows(modules)]
                )
            ),
            texts=lambda part: self._text(
                task if part == TASK else part, {**reach.facts, **declared.facts}, files
            ),
        )

    def _parts(self, reach: Reach, task: str) -> dict[str, str]:
        parts: dict[str, str] = {}
        for module, names in reach.symbols.items():
            symbols = reach.facts[module].symbols
            for name in names:
                parts[f"{module}:{name}"] = symbols[name][0]
        if task in parts:
            parts[TASK] = parts.pop(task)
        return parts

    def _use(self, reach: Reach, pattern: str) -> Iterator[tuple[str, str]]:
        """Reach the modules that a pattern of `uses=` names; yield the other files."""
        found = (
            self.finder.find(pattern) if all(w.isidentifier() for w in pattern.split(".")) else None
        )
        if found is not None and (found.path or any(files_of(p, "**/*.py") for p in found.places)):
            reach.whole(found)
            for place in found.places:
                for path in files_of(place, "**"):
                    yield from self._use_file(reach, f"{place}/{path}", python=True)
            return
        symbols = self.resolver.soft(pattern).symbols if "/" not in pattern else []
        for facts, name, _ in symbols:
            reach.add(facts, name)
        if not symbols:
            for relative in self._matched([pattern], self.finder.root):
                yield from self._use_file(reach, f"{self.finder.root}/{relative}", python=False)

    def _use_file(self, reach: Reach, path: str, *, python: bool) -> Iterator[tuple[str, str]]:
        name = self.finder.name_of(path) if path.endswith(".py") else None
        found = self.finder.find(name) if name is not None else None
        if found is not None and found.path == path:
            reach.whole(found)
        elif not python:
            yield self.finder.relative(path), path

    def _matched(self, patterns: Sequence[str], base: str) -> list[str]:
        matched: dict[str, None] = {}
        for pattern in patterns:
            names = files_of(base, pattern)
            if not names:
                raise UsageError(
                    "uses",
                    f"{pattern!r} matches no module of the project and no file below {base}",
                    "a module's dotted name, or a glob relative to that folder",
                )
            matched.update(dict.fromkeys(names))
        return list(matched)

    def _program(self, path: str) -> Facts | None:
        try:
            return self.files.program(path)
        except UsageError:  # a template, or another language's file: by content
            return None

    def _installed(
        self, module: str, qualname: str, uses: Sequence[str], version: str | None
    ) -> Code:
        """Return the code of a function of an installed package: its package's version counts."""
        reach = Reach(self.resolver)
        reach.packages.add(module.partition(".")[0])
        code = self.assemble(reach, (module, qualname), "", uses, version)
        parts = {**code.parts, TASK: digest_of(f"installed {module}:{qualname}")}
        return Code(
            code.entry, parts, code.modules, code.files, code.digests, code.packages, code.search
        )

    def _warnings(
        self,
        marks: Sequence[tuple[Facts, str, tuple[str, int, str, str]]],
        declared: Reach,
        uses: bool,
    ) -> Iterator[CodeWarning]:
        for facts, _, (kind, line, shown, target) in sorted(
            marks, key=lambda m: (m[0].module, m[2])
        ):
            about = facts.module
            if kind == "getattr":
                resolved = self.resolver.resolve(target)
                owners = [found.name for found in resolved.wholes]
                owners += [
                    f.module for f, name, _ in resolved.symbols if f.symbols[name][1] == "class"
                ]
                if not owners:
                    continue
                about = owners[0]
            if about in declared.facts if kind in ("getattr", "globals") else uses:
                continue
            found = self.finder.find(facts.module)
            file = self.finder.relative(found.path) if found is not None else facts.module
            yield notices.of_mark(file, kind, line, shown, about)

    def _shadows(self, modules: dict[str, Found]) -> Iterator[CodeWarning]:
        for name in sorted(modules):
            if name in sys.stdlib_module_names:
                yield notices.of_shadow(self.finder.relative(modules[name].path), name)

    def _text(self, part: str, facts: dict[str, Facts], files: dict[str, str]) -> str:
        module, _, symbol = part.partition(":")
        if module == "file" and symbol in files:
            return self._file_text(files[symbol])
        found = self.finder.find(module)
        if module not in facts or found is None:
            return ""
        return facts[module].texts.get(symbol) or self.files.text(found.path, module, symbol)

    def _file_text(self, path: str) -> str:
        if not path:
            return ""
        if path.endswith(".py") and (text := self.files.program_text(path)):
            return text
        try:
            return Path(path).read_text("utf-8")
        except (OSError, ValueError):
            return ""
