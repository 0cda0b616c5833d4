"""Specs: what is hashed of a task, and what a worker needs to run it.

The spec's key is in every version of the task; its document, an object in the store, keeps the
named parts that the key was made of, so that "why did this run?" is answered by what decided it.
Does not know arguments, runs or backends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ems.hashing import digest_bytes
from ems.pipeline.command import Command
from ems.pipeline.keys import prefix_of
from ems.pipeline.pipeline import Pipeline
from ems.pipeline.task import Options, argument_names
from ems.worker.values import canon

if TYPE_CHECKING:
    from ems.compute.job import Recipe
    from ems.pipeline.code import Code, Project
    from ems.pipeline.environment import Environment

SCHEMA = 1


@dataclass(frozen=True)
class Spec:
    """One task's code, environment and shape. Parts map names to digests of normalised forms."""

    kind: str
    name: str
    entry: tuple[str, str]
    params: tuple[str, ...]
    code: Code
    env: Mapping[str, str]
    environment: str
    image: str = ""
    """The reference of the image that is declared; its digest is among the parts."""
    template: str = ""
    outputs: tuple[tuple[str, str], ...] = ()
    salt: str = ""
    declared: Environment | None = None

    @cached_property
    def recipe(self) -> Recipe | None:
        """How a place makes the environment, where it is not there; never hashed."""
        return self.declared.recipe(self.env) if self.declared is not None else None

    @cached_property
    def key(self) -> str:
        """The digest of what can change a result; names, resources and places are not in it."""
        hashed = {
            "kind": self.kind,
            "params": list(self.params),
            "code": dict(self.code.parts),
            "env": dict(self.env),
            "template": self.template,
            "outputs": dict(self.outputs),
            "salt": self.salt,
        }
        return hashlib.sha256(canon(hashed).encode("ascii")).hexdigest()

    @cached_property
    def verify(self) -> Mapping[str, str]:
        """What a worker checks of its place before it runs."""
        return dict(self.env)

    @cached_property
    def sources(self) -> bytes:
        """The normalised text of every part of the code, for people and for diffs."""
        texts = {part: self.code.source(part) for part in sorted(self.code.parts)}
        return json.dumps(texts, separators=(",", ":")).encode("ascii")

    @cached_property
    def document(self) -> bytes:
        """The object that a record's `spec` names."""
        content = {
            "schema": SCHEMA,
            "kind": self.kind,
            "name": self.name,
            "entry": list(self.entry),
            "key": self.key,
            "params": list(self.params),
            "code": dict(sorted(self.code.parts.items())),
            "env": dict(sorted(self.env.items())),
            "template": self.template,
            "outputs": dict(self.outputs),
            "modules": dict(sorted(self.code.modules.items())),
            "sources": digest_bytes(self.sources),
            "search": list(self.code.search),
            "bundle": shipped(self.code),
        }
        return json.dumps(content, separators=(",", ":")).encode("ascii")

    @cached_property
    def digest(self) -> str:
        """The digest of the document."""
        return digest_bytes(self.document)


def shipped(code: Code) -> dict[str, str]:
    """Return the digest of each file that a worker gets, by path."""
    made = {path: digest_bytes(text.encode()) for path, text in code.generated.items()}
    return dict(sorted({**code.digests, **made}.items()))


class Specs:
    """The specs of a run's tasks, each worked out once."""

    def __init__(self, project: Project, environment: Environment, folder: Path, run: str) -> None:
        self._project, self._environment = project, environment
        self._folder, self._run = folder, run
        self._specs: dict[int, Spec] = {}
        self._tasks: dict[int, Any] = {}
        self._entries: dict[int, dict[str, Any]] = {}
        self.warnings: dict[str, str] = {}

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self._project.root

    @property
    def all(self) -> list[Spec]:
        """The specs of every task that has been called so far."""
        return list(self._specs.values())

    def tasks(self) -> list[Any]:
        """Return every task that has been called so far."""
        return list(self._tasks.values())

    def prefix(self, task: Any) -> bytes:
        """Return what the keys of a task start with; of a pipeline that is mapped, by its code."""
        if isinstance(task, Pipeline):
            parts = self._project.code_of(task.fn).parts  # pyright: ignore[reportUnknownMemberType]
            return prefix_of(hashlib.sha256(canon(dict(parts)).encode("ascii")).hexdigest())
        return prefix_of(self.of(task).key)

    def of(self, task: Any) -> Spec:
        """Return the spec of a task or command."""
        spec = self._specs.get(id(task))
        if spec is None:
            spec = self._command(task) if isinstance(task, Command) else self._python(task)
            self._specs[id(task)] = spec
            self._tasks[id(task)] = task
        return spec

    def options(self, task: Any) -> Options:
        """Return what the decorator said."""
        return task.options

    def names(self, task: Any) -> tuple[str, ...]:
        """Return the names of a call's arguments, in the order of its trees."""
        return argument_names(task.parameters)

    def owns(self, module: str) -> bool:
        """Whether a module is the project's own."""
        return self._project.finder.find(module) is not None

    def misses(self, task: Any, kind: str) -> bool:
        """Whether a class of the project, `module:name`, is not in the code of a task."""
        if isinstance(task, Command) or task.options.version is not None:
            return False
        module, _, name = kind.partition(":")
        part = f"{module}:{name.partition('.')[0]}"
        return part not in self.of(task).code.parts and self.owns(module)

    def _python(self, task: Any) -> Spec:
        options: Options = task.options
        code = self._project.code_of(task.fn, options.uses, options.version)
        for warning in code.warnings:
            self.warnings.setdefault(f"{warning.file}:{warning.line}", str(warning))
        environment = self._environment.for_task(options.environment)
        return Spec(
            kind="python",
            name=task.name,
            entry=code.entry,
            params=argument_names(task.parameters),
            code=code,
            env=environment.parts(code.packages),
            environment=environment.key,
            image=environment.reference,
            salt="" if options.cache else self._run,
            declared=environment,
        )

    def _command(self, task: Command) -> Spec:
        options = task.options
        code = self._project.code_of_files(task.code, self._folder)
        environment = self._environment.for_task(options.environment)
        return Spec(
            kind="command",
            name=task.name,
            entry=("", ""),
            params=task.parameters.names,
            code=code,
            env=environment.parts(code.packages),
            environment=environment.key,
            image=environment.reference,
            template=task.template,
            outputs=tuple(sorted(task.outputs.items())),
            salt="" if options.cache else self._run,
            declared=environment,
        )

    def entry(self, task: Any) -> dict[str, Any]:
        """Return a task as it stands in a parcel."""
        found = self._entries.get(id(task))
        if found is None:
            found = self._entries[id(task)] = self._entry(task)
        return found

    def _entry(self, task: Any) -> dict[str, Any]:
        spec, options = self.of(task), self.options(task)
        common = {
            "kind": spec.kind,
            "name": spec.name,
            "timeout_s": options.timeout_s,
            "memory_gib": options.resources.memory_gib or None,
        }
        if isinstance(task, Command):
            files = shipped(spec.code)
            return {**common, "template": task.template, "outputs": task.outputs, "files": files}
        return {
            **common,
            "module": spec.entry[0],
            "qualname": spec.entry[1],
            "modules": sorted(spec.code.modules),
            "pickle": options.pickle,
        }
