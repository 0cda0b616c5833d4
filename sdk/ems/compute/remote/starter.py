"""A command for containers that hold Python and nothing of EMS: it fetches the worker and runs it.

The command is text alone: `ems.compute.remote.stub` with the worker's own signing, squeezed. Which
job it is stands in the environment: EMS_JOB, or EMS_JOBS and the index of a child of an array
(`ems.worker.courier`). Knows no cloud's calls.
"""

from __future__ import annotations

import ast
import base64
import functools
import zlib
from pathlib import Path

from ems.compute.remote import stub
from ems.worker import signing

WORD_BYTES = 240
"""No word of the command is longer: SageMaker takes 256 characters a word (CreateTrainingJob,
AlgorithmSpecification, ContainerArguments, 2025)."""
_BOOT = "import sys,zlib,base64;exec(zlib.decompress(base64.b64decode(''.join(sys.argv[3:]))))"


def starter(url: str, worker_digest: str, python: str = "python3") -> tuple[str, ...]:
    """Return the words that become the worker whose zipapp is an object below `url`.

    The container's role must be let read it. Nothing in the words is for a shell, nor a reference
    that Kubernetes or Batch would fill in.
    """
    text = base64.b64encode(zlib.compress(_source().encode(), 9)).decode("ascii")
    pieces = [text[at : at + WORD_BYTES] for at in range(0, len(text), WORD_BYTES)]
    return (python, "-c", _BOOT, url.rstrip("/"), worker_digest, *pieces)


@functools.cache
def _source() -> str:
    """Return the two modules as one, without what only readers need."""
    body: list[ast.stmt] = []
    for module in (signing, stub):
        assert module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"), feature_version=(3, 8))
        body += [each for each in _Bare().visit(tree).body if not isinstance(each, ast.Expr)]
    whole = ast.Module(body, type_ignores=[])
    return ast.unparse(ast.fix_missing_locations(whole)).replace("    ", " ")


class _Bare(ast.NodeTransformer):
    """Takes off docstrings, annotations, and imports of EMS's own modules."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        own = node.level > 0 or (node.module or "").startswith(("ems", "__future__"))
        return None if own else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for each in (*node.args.args, *node.args.kwonlyargs):
            each.annotation = None
        return self._without_words(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_words(node)

    def _without_words(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)
