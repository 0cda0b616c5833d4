"""How a command ends when it can't go on: one line on standard error and an exit code.

Knows errors and streams. Does not know commands. What nobody foresaw is written down whole, in a
file that the message names.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator

import click

from ems.errors import CANCELED, FAULT, USAGE, EmsError

BROKEN_PIPE = 141
"""What a shell reports of a program that wrote into a closed pipe."""
DEBUG = "EMS_DEBUG"
GLOBAL = ("--store", "-C")
"""Options that stand before the command."""


@contextlib.contextmanager
def ending() -> Generator[None]:
    """Turn every exception into its line and a `click.exceptions.Exit` with its code."""
    try:
        yield
        sys.stdout.flush()
    except (click.exceptions.Exit, SystemExit):
        raise
    except EmsError as error:
        _debug()
        _say(str(error))
        code = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = USAGE
    except click.UsageError as error:
        _say(_usage(error))
        code = USAGE
    except click.ClickException as error:
        _say(error.format_message())
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _debug()
        _say("canceled")
        code = CANCELED
    except BrokenPipeError:
        _close_output()
        code = BROKEN_PIPE
    except Exception as error:
        _unforeseen(error)
        code = FAULT
    else:
        return
    raise click.exceptions.Exit(code)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.write(f"emsctl: {text}\n")
        sys.stderr.flush()


def _debug() -> None:
    if os.environ.get(DEBUG):
        import traceback

        traceback.print_exc()


def _usage(error: click.UsageError) -> str:
    problem = " ".join(error.format_message().split()).rstrip(".")
    path = error.ctx.command_path if error.ctx else "emsctl"
    words = path.split(" ")[1:]
    subject = f"{' '.join(words)}: " if words else ""
    next_step = " ".join(["emsctl", *words, "--help"])
    if isinstance(error, click.NoSuchOption) and error.option_name in GLOBAL and words:
        next_step = " ".join(["emsctl", error.option_name, "…", *words])
    return f"{subject}{problem[:1].lower()}{problem[1:]}. Try: {next_step}"


def _close_output() -> None:
    """Let the interpreter's last flush go nowhere: the reader has left."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            try:
                stream.flush()
            except BrokenPipeError:
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _unforeseen(error: Exception) -> None:
    import traceback

    text = "".join(traceback.format_exception(error))
    kind = type(error).__name__
    said = " ".join(str(error).split())
    said = f"{kind}: {said[:200]}" if said else kind
    path = _written(text)
    if path is None or os.environ.get(DEBUG):
        _say(text)
    where = f"; the traceback is in {path}" if path else ""
    _say(f"unexpected {said}{where}. Try: emsctl check")


def _written(text: str) -> str | None:
    """Keep a traceback in the cache folder; return its path, or None where that is impossible."""
    import time

    from ems.settings import cache_folder

    folder = cache_folder() / "crashes"
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{' '.join(sys.argv)}\n\n{text}", encoding="utf-8")
    except OSError:
        return None
    return str(path)
