"""Finding a pipeline in a user's file: `pipeline.py` or `pipeline.py:name`.

Knows Python files and what may be wrong with them. Does not know what a pipeline does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from ems.errors import EmsError, UsageError, did_you_mean
from ems.pipeline.pipeline import Pipeline

MAIN = "main"


def load_pipeline(target: str) -> tuple[Pipeline[..., Any], Path]:
    """Return the pipeline that `FILE[:NAME]` means, and its file.

    Without a name: the only one, or the one called `main`. Raises UsageError where the file or the
    pipeline is missing, is ambiguous, or can't be imported; the user's line is named.
    """
    file, _, name = target.partition(":")
    path = Path(file)
    if not path.is_file():
        raise UsageError(file, _missing(path), "emsctl init, to start from a small example")
    if path.suffix != ".py":
        raise UsageError(file, "is no Python file (allowed: a file that ends in .py)")
    return _choose(file, _import(path), name), path


def _missing(path: Path) -> str:
    if path.is_dir():
        return "is a folder (allowed: a Python file with a pipeline)"
    near = [str(each) for each in path.parent.glob("*.py")] if path.parent.is_dir() else []
    return f"no such file{did_you_mean(str(path), near)}"


def _import(path: Path) -> Any:
    """Run a user's file as a module named after it, so that its classes keep their names."""
    import importlib.util

    from ems.pipeline.code.finder import Finder

    top, name = _import_name(path.resolve())
    folder = str(path.resolve().parent)
    # a worker searches the same folders, in this order
    for each in reversed([str(top), *Finder.of(path.resolve()).search]):
        if each not in sys.path:
            sys.path.insert(0, each)
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(str(path), "can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with in_user_code(Path(folder), str(path)):
        spec.loader.exec_module(module)
    return module


def _import_name(path: Path) -> tuple[Path, str]:
    """Return the folder to import a file from, and its name there: dotted inside a package."""
    name = path.stem
    if not name.isidentifier():
        return path.parent, "".join(each if each.isalnum() else "_" for each in name)
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        name, folder = f"{folder.name}.{name}", folder.parent
    return folder, name


@contextmanager
def in_user_code(folder: Path, file: str = "") -> Generator[None]:
    """Turn whatever goes wrong in a user's file into a UsageError that names its line.

    `file` is named where the error itself knows no file.
    """
    where = str(folder.resolve())
    try:
        yield
    except UsageError as error:
        raise located(error, where) from error
    except EmsError:
        raise
    except SyntaxError as error:
        line = _shown(error.filename or file or where)
        line += f":{error.lineno}" if error.lineno is not None else ""
        text = (error.text or "").strip()
        raise UsageError(
            line, f"syntax error: {error.msg}" + (f": {text}" if text else "")
        ) from None
    except RecursionError as error:
        raise UsageError(_last_line(error, where), "calls itself without an end") from None
    except SystemExit as error:
        raise UsageError(
            _last_line(error, where) or file or where,
            f"ends the program (exit code {error.code}) before its pipeline is run",
            'that under `if __name__ == "__main__":`',
        ) from None
    except Exception as error:
        if _is_ours(error, where):
            raise  # a bug of EMS must not look like the user's mistake
        said = " ".join(str(error).split())
        raise UsageError(
            _last_line(error, where) or file or where,
            f"{type(error).__name__}: {said}" if said else type(error).__name__,
        ) from error


def located(error: UsageError, folder: str) -> UsageError:
    """Return the error with the line of the user's file that led to it."""
    line = _last_line(error, folder)
    if not line or error.subject.startswith(line):
        return error
    subject = f"{line}: {error.subject}" if error.subject else line
    return type(error)(subject, error.problem, error.next_step)


_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _last_line(error: BaseException, folder: str) -> str:
    found = ""
    for file, line in _frames(error):
        if file.startswith(folder) and not file.startswith(_HERE):
            found = f"{_shown(file)}:{line}"
    return found


def _is_ours(error: BaseException, folder: str) -> bool:
    """Whether EMS's own code was the last to go on, not the user's or a library's for them."""
    last = ""
    for file, _ in _frames(error):
        if file.startswith((folder, _HERE)):
            last = file
    return last.startswith(_HERE) and last != os.path.abspath(__file__)


def _frames(error: BaseException) -> Iterator[tuple[str, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def _shown(file: str) -> str:
    try:
        shown = os.path.relpath(file)
    except ValueError:
        return file
    return file if shown.startswith("..") else shown


def _choose(file: str, module: Any, name: str) -> Pipeline[..., Any]:
    names = cast("dict[str, Any]", vars(module))
    found: dict[str, Pipeline[..., Any]] = {
        key: each for key, each in names.items() if isinstance(each, Pipeline)
    }
    own = {key: each for key, each in found.items() if each.fn.__module__ == module.__name__}
    if name:
        by_name = {each.name: each for each in found.values()} | found
        if name not in by_name:
            known = ", ".join(own) or "none"
            raise UsageError(
                f"{file}:{name}",
                f"no such pipeline{did_you_mean(name, list(by_name))}; there are {known}",
            )
        return by_name[name]
    if MAIN in own:
        return own[MAIN]
    if len(own) == 1:
        return next(iter(own.values()))
    if not own:
        raise UsageError(file, "has no pipeline (a function under @ems.pipeline)", "emsctl init")
    first = next(iter(own))
    raise UsageError(
        file, f"has {len(own)} pipelines: {', '.join(own)}", f"emsctl run {file}:{first}"
    )
