"""What a command gets from the command line before its name: settings, the store, a session.

Knows where they come from. Reading commands open a store that is there and never make one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ems.errors import StoreError
from ems.settings import STORE_FOLDER, Settings

if TYPE_CHECKING:
    from ems.session import Session
    from ems.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])


def output_option(command: F) -> F:
    """Add `-o table|json`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        help="For people, or for programs  [default: table]",
    )(command)


def settings_of(ctx: click.Context) -> Settings:
    """Return the settings of the folder that the command was started in."""
    return Settings.load(Path.cwd(), store=_store_flag(ctx))


def session(ctx: click.Context) -> Session:
    """Return the session of the folder that the command was started in."""
    return session_for(ctx, Path.cwd())


def session_for(ctx: click.Context, start: Path) -> Session:
    """Return the session of a folder or a pipeline's file; close it when done."""
    from ems.session import Session

    return Session.open(start, store=_store_flag(ctx), warn=warn)


@contextlib.contextmanager
def reading(ctx: click.Context) -> Generator[Store]:
    """Open the store that is there; StoreError, which says where one is, if there is none."""
    from ems.store.store import Store

    settings = settings_of(ctx)
    try:
        store = Store.open(settings.store, create=False, warn=warn)
    except StoreError as error:
        near = _nearby(Path(settings.store))
        raise (StoreError(error.subject, error.problem, near) if near else error) from None
    try:
        yield store
    finally:
        store.close()


def warn(text: str) -> None:
    """Tell a person something on standard error."""
    print(f"emsctl: {text}", file=sys.stderr)


def _store_flag(ctx: click.Context) -> str | None:
    found: object = ctx.find_root().obj
    return found if isinstance(found, str) else None


def _nearby(missing: Path) -> str:
    """Return the command for a store in a folder below, where a pipeline may have been run."""
    if missing.name != STORE_FOLDER or missing.exists():
        return ""
    found = sorted(missing.parent.glob(f"*/{STORE_FOLDER}/format.json"))
    if not found:
        return ""
    folder = found[0].parent.parent.relative_to(missing.parent)
    return f"emsctl -C {folder} …"
