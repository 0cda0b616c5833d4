"""Functions that no file holds: notebook cells, closures, code typed in.

A module is written for them: their source, the plain values they take from around them, imports
for the rest. From there on it is a module like any other. Knows live objects; `sources` finds their
text.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Sequence
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ems.errors import UsageError

from . import facts as reading
from .annotated import classes_of, kinds_of
from .items import Reading, read_item
from .literals import literal
from .manifest import Code
from .origin import function_of, origin_of
from .reach import Reach
from .sources import class_source, function_source, without_annotations
from .surroundings import Surroundings, is_of_ems
from .symbols import Facts

if TYPE_CHECKING:
    from .project import Project

MODULE = "<live>"
_BOUND = """
import sys as _sys
for _each in ({names},):
    _each.__module__ = "__main__"
    setattr(_sys.modules["__main__"], _each.__name__, _each)
"""


def code_of_live(
    project: Project, function: FunctionType, uses: Sequence[str], version: str | None
) -> Code:
    """Return the code of a function that only this process has, with the module written for it."""
    written = _Written(project, f"task {function.__name__}")
    name = function.__name__ if function.__name__.isidentifier() else "task"
    written.define_function(name, function)
    written.annotated_classes(function)
    text = written.text()
    facts = reading.read(text, MODULE, package=False)
    module = f"ems_live_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    reach = Reach(project.resolver)
    reach.add(facts, name)
    for each in written.classes:
        reach.add(facts, each)
    for each in classes_of(function, function.__module__):
        if not each.startswith("__main__."):
            reach.ref(each)
    code = project.assemble(reach, (MODULE, name), f"{MODULE}:{name}", uses, version)
    path = f"{module}.py"
    text += written.rebound(function.__module__)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Code(
        entry=(module, name),
        parts=code.parts,
        modules={**code.modules, module: path},
        files=code.files,
        digests={**code.digests, path: digest},
        packages=code.packages,
        search=code.search,
        warnings=code.warnings,
        generated={path: text},
        texts=lambda part: _text(facts, name, part) or code.texts(part),
    )


def _text(facts: Facts, name: str, part: str) -> str:
    module, _, symbol = part.partition(":")
    if part == "task":
        return facts.texts[name]
    return facts.texts.get(symbol, "") if module == MODULE else ""


class _Written:
    """The module as it is written: imports, values, definitions, each name once."""

    def __init__(self, project: Project, subject: str) -> None:
        self._project = project
        self._subject = subject
        self._imports: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._bodies: dict[str, str] = {}
        self._objects: dict[str, object] = {}
        self.classes: list[str] = []

    def text(self) -> str:
        """Return the module's source so far."""
        imports = [self._imports[name] for name in sorted(self._imports)]
        values = [f"{name} = {self._values[name]}" for name in sorted(self._values)]
        return "\n".join([*imports, *values, *self._bodies.values()]) + "\n"

    def rebound(self, module: str) -> str:
        """Return what makes classes known as those of `__main__`, where they come from there."""
        if module != "__main__" or not self.classes:
            return ""
        return _BOUND.format(names=", ".join(self.classes))

    def define_function(self, name: str, function: FunctionType) -> None:
        """Write a function under a name, after what it needs."""
        if not self._begin(name, function):
            return
        node = function_source(function)
        if node is None:
            raise UsageError(
                self._subject, f"the source of '{name}' is not to be had", "it in a file of its own"
            )
        if isinstance(node, ast.Lambda):
            self._values_of(function, node)
            node = ast.Assign([ast.Name(name, ast.Store())], node)
        else:
            self._values_of(function, node)
            node.name = name
            node.decorator_list = [
                each for each in node.decorator_list if not is_of_ems(each, function)
            ]
            if not node.decorator_list:
                without_annotations(node)
        ast.fix_missing_locations(node)
        self._needs(node, Surroundings(function))
        self._bodies[name] = ast.unparse(node)

    def annotated_classes(self, function: FunctionType) -> None:
        """Write the classes that annotate a function: its arguments may be of them."""
        around = Surroundings(function)
        for annotation in function.__annotations__.values():
            for value in kinds_of(annotation, function.__globals__):
                if self._is_live(value):
                    self._value(value.__name__, value, around)

    def _begin(self, name: str, value: object) -> bool:
        """Take a name; return whether it is new. Raises UsageError if it means two things."""
        new = name not in self._objects
        known = self._objects.setdefault(name, value)
        if known is not value and (literal(known) is None or literal(known) != literal(value)):
            raise UsageError(
                self._subject,
                f"'{name}' means two things in the functions that it calls",
                "two names",
            )
        return new

    def _values_of(self, function: FunctionType, node: Any) -> None:
        """Put the values that defaults have now in place of their expressions."""
        given = list(function.__defaults__ or ())
        named = function.__kwdefaults__ or {}
        for position, value in enumerate(given):
            text = literal(value)
            if text is not None:
                node.args.defaults[position] = ast.parse(text, mode="eval").body
        for position, arg in enumerate(node.args.kwonlyargs):
            text = literal(named.get(arg.arg)) if arg.arg in named else None
            if text is not None:
                node.args.kw_defaults[position] = ast.parse(text, mode="eval").body

    def _needs(self, node: ast.stmt, around: Surroundings) -> None:
        """Write what a definition takes from around it."""
        bound = Reading("", {})
        read_item(bound, node)
        for item in bound.items:
            for name in sorted(item.uses()):
                if around.has(name) and name not in item.scope.bound:
                    self._value(name, around.get(name), around)

    def _value(self, name: str, value: object, around: Surroundings) -> None:
        if name in self._objects and self._objects[name] is value:
            return
        home = around.home(self._project.finder, name)
        if home:
            self._import(name, value, f"from {home} import {name}")
        elif isinstance(value, ModuleType):
            self._import(name, value, f"import {value.__name__} as {name}")
        elif line := self._importable(name, value):
            self._import(name, value, line)
        elif isinstance(value, type):
            self._define_class(name, value)
        elif callable(value) and (hasattr(value, "__code__") or hasattr(value, "__wrapped__")):
            self.define_function(name, function_of(value))
        else:
            self._constant(name, value)

    def _import(self, name: str, value: object, line: str) -> None:
        self._begin(name, value)
        self._imports[name] = line

    def _constant(self, name: str, value: object) -> None:
        text = literal(value)
        if text is None:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise UsageError(
                self._subject,
                f"takes '{name}' from around it, a {kind}, which can't travel with code "
                "(plain values, functions, classes and modules can)",
                f"'{name}' as an argument of the task",
            )
        self._begin(name, value)
        self._values[name] = text

    def _define_class(self, name: str, value: type) -> None:
        if not self._begin(name, value):
            return
        node = class_source(value)
        if node is None:
            raise UsageError(
                self._subject, f"the source of class '{name}' is not to be had", "a file"
            )
        self._needs(node, Surroundings.of_class(value))
        self._bodies[name] = ast.unparse(node)
        self.classes.append(name)

    def _importable(self, name: str, value: object) -> str | None:
        """Return the import of something that other processes have as well."""
        module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(qualname, str) or "." in qualname:
            return None
        if self._is_live(value):
            return None
        if getattr(sys.modules.get(module), qualname, None) is not value:
            return None
        if module == "__main__":
            module = self._main_name(qualname)
        elif module.startswith("ems.") and hasattr(sys.modules["ems"], qualname):
            module = "ems"
        return f"from {module} import {qualname} as {name}" if module else None

    def _is_live(self, value: object) -> bool:
        if callable(value) and not isinstance(value, type):
            try:
                return origin_of(self._project.finder, value).kind == "live"
            except UsageError:
                return False
        name = getattr(value, "__module__", None) or ""
        module = sys.modules.get(name)
        if name == "__main__":
            return not self._main_name(getattr(value, "__qualname__", ""))
        bare = module is not None and getattr(module, "__spec__", None) is None
        return module is None or (bare and not getattr(module, "__file__", None))

    def _main_name(self, symbol: str) -> str | None:
        """Return the name of the module that is run as a script, if its file defines a symbol."""
        file = getattr(sys.modules["__main__"], "__file__", None)
        name = self._project.finder.name_of(file) if isinstance(file, str) else None
        found = self._project.finder.find(name) if name is not None else None
        facts = self._project.files.facts(found) if found is not None else None
        return name if facts is not None and symbol in facts.symbols else None
