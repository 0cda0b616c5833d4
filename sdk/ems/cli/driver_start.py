"""What a job runs whose work is a run: `python -m ems.cli.driver_start`, in the job's folder.

It unpacks the project, makes sure of the store, and becomes `emsctl run` there. Lines of standard
output begin with MARK, so that whoever follows the job can tell them from progress: a job's output
is one stream. Does not know who follows.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import tarfile
from typing import Any

import msgspec

from ems.errors import FAULT, UNFINISHED, EmsError, StoreError
from ems.settings import BASE_VARIABLE, DRIVER_VARIABLE, STACK_VARIABLE

MARK = b"\x1e"
"""ASCII's record separator, as RFC 7464 puts it before a JSON text."""
ARCHIVE = "project.tar"
ORDER = "driver.json"


class Order(msgspec.Struct, frozen=True):
    """What a driver is to do.

    `cwd` is inside of the archive. `words` stand behind `emsctl run`, and `params` is the text of
    the file for `--params`. `argv` is what a person typed. `sky` are the stack's outputs as JSON:
    where the job runs there may be no way to read them.
    """

    target: str
    store: str
    store_id: str
    base: str
    cwd: str
    words: tuple[str, ...]
    params: str
    argv: tuple[str, ...]
    sky: str = ""


class Marked(io.RawIOBase):
    """Standard output whose lines begin with MARK."""

    def __init__(self, fd: int) -> None:
        self._fd, self._at_start = fd, True

    def writable(self) -> bool:
        """Return that it takes bytes."""
        return True

    def write(self, data: Any) -> int:
        """Write bytes through at once."""
        taken = bytes(data)
        for line in taken.splitlines(keepends=True):
            os.write(self._fd, MARK + line if self._at_start else line)
            self._at_start = line.endswith(b"\n")
        return len(taken)


def main() -> int:
    """Run what the order says; return the run's exit code."""
    with open(ORDER, "rb") as stream:
        order = msgspec.json.decode(stream.read(), type=Order)
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(".")
    try:
        _make_sure_of(order)
    except EmsError as error:
        print(f"emsctl: {error}", file=sys.stderr)
        return FAULT
    os.environ |= {DRIVER_VARIABLE: order.target, "NO_COLOR": "1"}
    if os.path.isdir(order.base):
        os.environ[BASE_VARIABLE] = order.base
    params = _written("params.yaml", order.params)
    if order.sky:
        os.environ[STACK_VARIABLE] = _written("sky.json", order.sky)
    os.chdir(order.cwd)
    return _run(order, ["--store", order.store, "run", *order.words, "--params", params])


def _written(name: str, text: str) -> str:
    with open(name, "w", encoding="utf-8") as stream:
        stream.write(text)
    return os.path.abspath(name)


def _make_sure_of(order: Order) -> None:
    """Raise StoreError where there is another store at the address than the one that was meant."""
    from ems.store.store import Store

    with Store.open(order.store, create=False) as store:
        if store.id != order.store_id:
            problem = f"is another store at {order.target} than where the run was submitted"
            raise StoreError(order.store, problem, "a store that both reach: s3://BUCKET/PREFIX")


def _run(order: Order, words: list[str]) -> int:
    """Be `emsctl run`, and end by SIGTERM where that is why the run is unfinished.

    A job that a signal ended is tried again; an exit code is taken for the run's own word.
    """
    from ems.cli.main import main as emsctl

    sys.argv = list(order.argv)
    sys.stdout = io.TextIOWrapper(
        Marked(sys.stdout.fileno()),  # pyright: ignore[reportArgumentType]
        encoding="utf-8", errors="backslashreplace", write_through=True,
    )  # fmt: skip
    heard, wake = os.pipe()
    for end in (heard, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    code: object = 0
    try:
        emsctl(words, prog_name="emsctl")
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    if code == UNFINISHED and signal.SIGTERM in _read(heard):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    return code if isinstance(code, int) else FAULT


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 256)
    except BlockingIOError:
        return b""


if __name__ == "__main__":
    sys.exit(main())
