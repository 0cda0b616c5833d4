"""Runs one version after the other: arguments in, a message with the result or the failure out.

Knows parcels, tasks and versions. Does not know how messages travel.
"""

from __future__ import annotations

import os
import sys
import time

from . import bundle, context, environment, program, protocol, reasons, settle, traces, values
from .guard import Guard
from .inputs import Inputs
from .outputs import Outputs
from .scratch import Scratch, root_of
from .tasks import Task
from .usage import Meter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from .channel import Output
    from .protocol import Message

IDLE, WORK, TASK = 0, 1, 2


class Refused(Exception):
    """This process can't run a parcel at all; `reason` is the word for it."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class Executor:
    """The state of a worker between versions, and the steps of each."""

    def __init__(self, output: Output, send: Callable[[Message], None]) -> None:
        self.phase = IDLE
        self.canceled = False
        self._output = output
        self._send = send
        self._meter = Meter()
        self._code: Any = None
        self._bundle = ""
        self._guard = Guard(())
        self._scratch: Optional[Scratch] = None
        self._surroundings: Any = None
        self._checked: Any = None
        self._parcel: Message = {}
        self._tasks: List[Task] = []
        self._log_base = 0
        self._pid = os.getpid()
        self._reports: List[Message] = []
        self._version: Message = {}

    # -- a parcel ---------------------------------------------------------------------------------

    def enter(self, parcel: Message) -> None:
        """Get ready for a parcel's versions; raises Refused, InputMissing or OSError."""
        self._parcel = parcel
        self._log_base = self._output.settle() - int(parcel.get("log_from") or 0)
        if self._scratch is None:
            self._scratch = Scratch(root_of(parcel))
            self._inputs = Inputs(self._scratch.inputs)
            self._outputs = Outputs(self._inputs)
        self._inputs.enter(parcel.get("objects") or (), parcel.get("places") or {})
        self._outputs.enter(parcel.get("outbox"), bool(parcel.get("fsync")))
        self._tasks = [Task(spec) for spec in parcel["tasks"]]
        self._enter_code(parcel.get("code") or {})
        self._check_environment(parcel.get("env") or {})

    def _enter_code(self, code: Dict[str, Any]) -> None:
        if self._code is not None:
            if code != self._code:
                raise Refused("worker", "this worker has other code loaded; start a new one")
            return
        assert self._scratch is not None
        root = os.path.dirname(self._scratch.home)
        self._bundle = bundle.folder_of(code, root, self._inputs.locate)
        self._code = code
        if self._bundle:
            bundle.put_on_path(code, self._bundle)
        self._guard = Guard(code.get("modules") or ())
        self._guard.install()
        self._surroundings = settle.Surroundings()

    def _check_environment(self, declared: Dict[str, str]) -> None:
        if declared == self._checked:
            return
        wrong = environment.mismatches(declared)
        if wrong:
            raise Refused(
                "environment",
                "%s here is not what the task declares: %s" % (sys.executable, "; ".join(wrong)),
            )
        self._checked = declared

    # -- a version --------------------------------------------------------------------------------

    def run(self, version: Message) -> Message:
        """Run one version and return its `end` message."""
        assert self._scratch is not None
        task: Task = self._tasks[int(version["task"])]
        log_start = self._begin(task, version)
        t0, began = time.time(), time.monotonic()
        self._meter.start()
        try:
            tree, content = self._steps(task, version)
            message = protocol.end(version, True)
            message["out"], message["content"] = tree, content
            message["files"] = self._outputs.complete(tree)
        except BaseException as error:  # whatever a task raises is its failure
            self.phase = WORK
            self._only_here()
            settle.end_children()
            message = self._failure(version, error)
        self._guard.leave()
        message["t0"], message["t1"] = t0, t0 + time.monotonic() - began
        message["cpu_s"], message["rss_mib"] = self._meter.stop()
        log_end = self._output.settle()
        message["log"] = [log_start, log_end - self._log_base] if log_end >= 0 else None
        message["metrics"] = self._reports
        self._surroundings.restore()
        self._scratch.settle()
        return message

    def _begin(self, task: Task, version: Message) -> int:
        assert self._scratch is not None
        self._version = version
        self._reports = []
        self._scratch.enter()
        self._inputs.begin(task.pickle)
        self._outputs.begin(self._scratch.path, task.pickle)
        seed = int(version.get("seed") or 0)
        attempts = self._parcel.get("attempts")
        checkpoint = os.path.join(attempts, version["v"], "checkpoint") if attempts else ""
        context.enter(
            context.Context(
                version["v"],
                task.name,
                seed,
                int(version.get("try") or 1),
                self._scratch.path,
                checkpoint,
                self._listen,
            )
        )
        settle.seed_all(seed)
        self._guard.enter(task.name, task.allowed, seed)
        return self._log_size() - self._log_base

    def _log_size(self) -> int:
        # nothing writes between two versions, so the end of one is the start of the next
        return self._output.last_size

    def _listen(self, step: Optional[int], metrics: Dict[str, Any]) -> None:
        message = protocol.report(self._version, step, metrics, time.time())
        self._reports.append({"step": step, "metrics": metrics, "t": message["t"]})
        self._send(message)

    def _steps(self, task: Task, version: Message) -> Tuple[Any, str]:
        self.phase = TASK
        given: Dict[str, Any] = version.get("args") or {}
        values.stand_in_for_main(task.spec.get("module") or "")
        arguments = {name: values.load(tree, self._inputs) for name, tree in given.items()}
        if task.is_command:
            tree = self._run_program(task.name, task.spec, arguments)
        else:
            result = task.call(arguments)
            self.phase = WORK
            self._only_here()
            settle.end_children()
            tree = values.dump(result, self._outputs, "result")
        self._inputs.check()
        if self.canceled:
            raise context.Canceled()
        return tree, values.brief(values.canon_tree(tree))

    def _run_program(self, name: str, spec: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
        assert self._scratch is not None
        scratch = self._scratch.path
        outputs: Dict[str, str] = spec.get("outputs") or {}
        program.lay_out(spec.get("files") or {}, self._inputs, scratch)
        program.prepare_outputs(outputs, scratch)
        told = self._told()
        if self._parcel.get("gang"):
            told.update(self._met())
        program.run(name, program.words_of(spec, arguments, scratch), told)
        self.phase = WORK
        settle.end_children()
        return program.collect(name, outputs, self._outputs, scratch)

    def _told(self) -> Dict[str, str]:
        """What a program is told of its attempt, as a Python task asks `ems.context()`."""
        now = context.context()
        told = {"EMS_VERSION": now.version, "EMS_SEED": str(now.seed)}
        told["EMS_ATTEMPT"] = str(now.attempt)
        told["EMS_PYTHON"] = sys.executable
        if self._parcel.get("attempts"):
            told["EMS_CHECKPOINT"] = str(now.checkpoint)
        return told

    def _met(self) -> Dict[str, str]:
        """Meet the other members of the gang; return what the program is told of them."""
        from .meeting import Meeting

        return Meeting(self._parcel["gang"], self._version, self._send).attend()

    def inherited(self) -> bool:
        """Return whether this is a process that a task forked from the worker's."""
        return os.getpid() != self._pid

    def _only_here(self) -> None:
        """A child that the task forked and that came back must not speak for the worker."""
        if self.inherited():
            os._exit(70)

    def _failure(self, version: Message, error: BaseException) -> Message:
        message = protocol.end(version, False)
        message["reason"] = "canceled" if self.canceled else reasons.word_for(error)
        message["error"] = traces.describe(error, self._bundle)
        if isinstance(error, reasons.OURS):
            message["error"]["type"] = type(error).__name__
            message["error"]["traceback"] = []
        message["exit"] = reasons.exit_code(error)
        message["signal"] = getattr(error, "signal", None)
        if isinstance(error, values.Unkept):
            message["error"]["path"] = error.path
        return message

    def close(self) -> None:
        """Remove the worker's folders."""
        if self._scratch is not None:
            self._scratch.close()
