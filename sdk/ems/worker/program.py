"""Runs a program as a task: its files laid out, its words filled in, its outputs collected.

Knows processes and the scratch folder, which is the working directory. Does not know messages.
"""

from __future__ import annotations

import os
import signal
import sys

from . import places
from .command import Template
from .context import Canceled
from .outputs import OutputMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

    from .inputs import Inputs
    from .outputs import Outputs


RAY = "ems-ray"
_MOST_COPIED_BYTES = 16 * 1024 * 1024


class ProgramFailed(Exception):
    """A program that ended by an exit code other than 0, or by a signal."""

    def __init__(self, name: str, code: int) -> None:
        self.exit = code if code >= 0 else None
        self.signal = -code if code < 0 else None
        how = "exit code %d" % code if code >= 0 else "signal %s" % signal_name(-code)
        super().__init__("%s ended with %s" % (name, how))


def signal_name(number: int) -> str:
    """Return `SIGKILL` for 9, or the number where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def words_of(task: Dict[str, Any], values: Dict[str, Any], scratch: str) -> List[str]:
    """Return the words to run; `values` are the loaded arguments."""
    if "argv" in task:
        return _own([str(word) for word in task["argv"]])
    template = Template(task["template"])
    filled = dict(values)
    for name in template.outputs:
        filled["out." + name] = os.path.join(scratch, task["outputs"][name])
    return _own(template.fill(filled))


def _own(words: List[str]) -> List[str]:
    """Return the words to start; a program of EMS itself is this worker, which every place has."""
    if words[:1] != [RAY]:
        return words
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [sys.executable, here, "ray", *words[1:]]


def lay_out(files: Dict[str, str], inputs: Inputs, scratch: str) -> None:
    """Put files by digest at their relative paths; a script (`#!`) becomes executable.

    Files are copied, so that a program may write to them and finds its own folder; larger ones than
    16 MiB are links.
    """
    for relative, digest in files.items():
        target, source = os.path.join(scratch, relative), inputs.locate(digest)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.stat(source).st_size > _MOST_COPIED_BYTES:
            os.symlink(os.path.abspath(source), target)
            continue
        places.copy_file(source, target)
        with open(target, "rb") as stream:
            if stream.read(2) == b"#!":
                os.chmod(target, 0o755)


def run(name: str, words: List[str], told: Dict[str, str]) -> None:
    """Run a program to its end in the working directory; raises ProgramFailed or Canceled.

    `told` are variables that it gets beside those of the worker.
    A cancellation is handed on to the whole process group as SIGTERM, and the program gets as long
    as whoever canceled waits.
    """
    # blocked until the child's id is known, so that no cancellation can miss it
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = 0
    try:
        pid = _start(name, words, former, {**os.environ, **told})
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
        status = os.waitpid(pid, 0)[1]
    except Canceled:
        if pid:
            _hand_on(pid)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    if code != 0:
        raise ProgramFailed(name, code)


def _start(name: str, words: List[str], mask: Any, variables: Dict[str, str]) -> int:
    ignored_by_python = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        return os.posix_spawnp(
            words[0], words, variables, setsigmask=mask, setsigdef=ignored_by_python
        )
    except OSError as error:
        raise type(error)(error.errno, "%s: %s" % (name, error.strerror), words[0]) from None


def _hand_on(pid: int) -> None:
    if os.getpgrp() == os.getpid():
        former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        signal.signal(signal.SIGTERM, former)
    else:
        os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)


def prepare_outputs(outputs: Dict[str, str], scratch: str) -> None:
    """Make the folders that outputs shall be written in."""
    for relative in outputs.values():
        os.makedirs(os.path.dirname(os.path.join(scratch, relative)), exist_ok=True)


def collect(name: str, outputs: Dict[str, str], sink: Outputs, scratch: str) -> Dict[str, Any]:
    """Return the tree of a command's result: each output by name; raises OutputMissing."""
    tree: Dict[str, Any] = {}
    for key, relative in outputs.items():
        path = os.path.join(scratch, relative)
        if not os.path.exists(path):
            raise OutputMissing(
                "%s ended well but did not write output %r at %s" % (name, key, relative)
            )
        tag, put = ("$dir", sink.put_folder) if os.path.isdir(path) else ("$file", sink.put_path)
        tree[key] = {tag: [*put(path), os.path.basename(os.path.normpath(relative))]}
    return tree
