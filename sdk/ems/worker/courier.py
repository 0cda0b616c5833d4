"""A parcel that lies in S3, run here: fetched, run as `worker run` does, carried out meanwhile.

What was carried is the truth: a worker that is started again at the same job goes on behind it, and
versions that have ended are not run again. While S3 can't be reached the task goes on and what it
says waits here. Knows processes and signals. Does not know tasks.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from . import protocol, usage
from .alone import CANCELED, DONE, PREEMPTED, TASK_FAILED
from .answers import Missing, S3Error, Stopped
from .carrying import Carrier, Checkpoints, Past, Superseded
from .credentials import NoCredentials
from .fetching import Disk, Fetching
from .program import signal_name
from .progress import Progress, steady_now
from .s3 import S3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Mapping, Optional

    from .protocol import Message

NOT_RUN = 70
"""The exit code where nothing could be carried out: no parcel, no S3, no keys."""
_EXIT = {"done": DONE, "canceled": CANCELED, "preempted": PREEMPTED}
_LOOK_S = 0.1
_MARK_S = 3.0
"""How long S3 is asked whether a SIGTERM was EMS's own."""
_ROUND_S, _ROUND_PATIENCE_S = 1.0, 15.0
_START_S, _END_S = 300.0, 900.0
"""For how long S3 is tried before a parcel is run, and after it."""
_GRACE_S, _LAST_S = 30.0, 8.0
"""Between SIGTERM and SIGKILL, unless EMS_GRACE_S tells; what last words may take of it."""
_AT_ONCE = 8


class Ended(Exception):
    """A SIGTERM came before the parcel was begun."""


def job_of(environ: Mapping[str, str]) -> str:
    """Return the job that variables name: EMS_JOB, or one of the list at EMS_JOBS.

    A child of an array knows its index: AWS_BATCH_JOB_ARRAY_INDEX or JOB_COMPLETION_INDEX. The list
    `<EMS_JOBS>/list` has a job's id a line. Raises S3Error.
    """
    if environ.get("EMS_JOB"):
        return environ["EMS_JOB"]
    where = environ.get("EMS_JOBS", "").rstrip("/")
    index = environ.get("AWS_BATCH_JOB_ARRAY_INDEX") or environ.get("JOB_COMPLETION_INDEX") or ""
    if not where or not index.isdigit():
        raise S3Error("neither EMS_JOB names a job, nor EMS_JOBS a list and an index one of it")
    ids = S3(where, _START_S, environ=environ).get("list").decode("ascii").split()
    if int(index) >= len(ids):
        raise S3Error("%s/list has %d jobs, and none with the index %s" % (where, len(ids), index))
    return "%s/%s" % (where.rpartition("/")[0], ids[int(index)])


def run(url: Optional[str] = None) -> int:
    """Run the job at `s3://bucket/prefix/jobs/<id>`; return the exit code of `worker run`.

    That is 101, too, where another worker is at the job. 70 where nothing could be said in S3.
    """
    try:
        return _Courier(url or job_of(os.environ)).run()
    except (S3Error, NoCredentials, protocol.ProtocolError, OSError) as error:
        _say(str(error))
        return NOT_RUN
    except Stopped:
        return PREEMPTED  # nothing was begun, and nothing is known that could be said


def _say(text: str) -> None:
    sys.stderr.write("ems: %s\n" % text)
    sys.stderr.flush()


class _Courier:
    def __init__(self, url: str) -> None:
        root, found, self._job = url.rstrip("/").rpartition("/jobs/")
        if not found or "/" in self._job:
            raise S3Error("%r is no s3://bucket/prefix/jobs/<id>" % url)
        self._client = S3(root, _START_S, lambda: self._begun or not self._asked)
        self._keeper = 0
        self._asked = 0.0
        self._begun = False
        """Until then a SIGTERM breaks off what is being fetched."""
        self._superseded = ""
        self._trouble = ""

    # -- from the parcel to the keeper ------------------------------------------------------------

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._asked_to_end)
        past = Past(self._client, self._job)
        if past.over:
            state = past.over
            return TASK_FAILED if state == "done" and past.failed else _EXIT.get(state, DONE)
        given = self._parcel()
        disk = Disk(self._client.url, os.environ)
        self._folder = disk.enter(self._job)
        parcel = self._localized(given, disk.objects, past)
        waits = self._client.patient(_ROUND_PATIENCE_S)
        self._attempts = self._root_of(given.get("attempts"), "attempts")
        self._checkpoints = Checkpoints(waits.at(self._attempts.url), parcel["attempts"])
        outbox = waits.at(self._root_of(given.get("outbox"), "objects").url)
        self._carrier = Carrier(
            waits, self._job, self._folder, disk.objects, outbox, past, self._checkpoints,
            bool(given.get("requeue")),
        )  # fmt: skip
        self._roots = [self._root_of(each, "objects") for each in given.get("objects") or ("",)]
        self._versions: List[str] = [each["v"] for each in parcel["versions"]]
        self._progress = Progress(parcel, steady_now())
        self._output_end = past.output.end
        code = self._prepared(parcel, disk, past.canceled)
        if code is None:
            code = self._watched(parcel)
        return self._last_words(code)

    def _parcel(self) -> Message:
        try:
            data = self._client.get("jobs/%s/parcel.json" % self._job)
        except Missing as error:
            raise S3Error("%s; there is no such job" % error) from None
        return protocol.read_parcel(data)

    def _root_of(self, folder: Optional[str], name: str) -> S3:
        """Return the root of a folder that a parcel names; its own job's where it names none."""
        root = (folder or "").rpartition("/" + name)[0]
        return self._client.at(root) if root.startswith("s3://") else self._client

    def _localized(self, given: Message, objects: str, past: Past) -> Message:
        """Return what is left of a parcel, with folders of this disk, and write it there."""
        made = dict(given)
        made["objects"], made["outbox"], made["places"] = [objects], objects, {}
        for name in ("scratch", "attempts"):
            made[name] = os.path.join(self._folder, name)
            os.mkdir(made[name])
        made["versions"] = [each for each in given["versions"] if each["v"] not in past.ended]
        with open(os.path.join(self._folder, "parcel.json"), "wb") as stream:
            stream.write(protocol.encode(made))
        with open(os.path.join(self._folder, "output"), "wb") as stream:
            stream.truncate(past.output.end)  # offsets in messages are those of the whole output
        return made

    def _prepared(self, parcel: Message, disk: Disk, canceled: bool) -> Optional[int]:
        """Bring what the parcel needs; return an exit code where it can't be begun."""
        fetching = Fetching(self._roots, disk)
        try:
            if canceled:
                raise Ended()
            fetching.bring(parcel)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for each in [
                    pool.submit(self._checkpoints.bring, self._attempts, version)
                    for version in self._versions
                ]:
                    each.result()
            if self._asked:
                raise Ended()
        except (Stopped, Ended):
            self._begun = True
            self._mark_if_canceled()
            state = "canceled" if canceled or self._is_marked() else "preempted"
            return self._given_up(state, "was ended before it began", state)
        except (S3Error, OSError) as error:
            _say(str(error))
            return self._given_up("worker", str(error), "done")
        self._carrier.troubles = fetching.troubles
        for trouble in fetching.troubles.values():
            _say(trouble)
        self._begun = True
        return None

    # -- while it runs ----------------------------------------------------------------------------

    def _watched(self, parcel: Message) -> int:
        """Run the keeper to its end, carrying out what it says; return the exit code."""
        output = os.path.join(self._folder, "output")
        self._start_keeper(output)
        over, gone = threading.Event(), threading.Event()
        if parcel.get("gang"):
            threading.Thread(target=self._introduce, args=(over,), daemon=True).start()
        work = [
            threading.Thread(target=self._carry, args=(over,), daemon=True),
            threading.Thread(target=self._save, args=(over,), daemon=True),
            threading.Thread(target=_repeat, args=(output, self._output_end, gone), daemon=True),
        ]
        for each in work:
            each.start()
        status = self._until_it_ends(over)
        over.set()
        gone.set()
        for each in work:
            each.join()
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status)
        told = "what ran the task was ended by %s" % signal_name(os.WTERMSIG(status))
        return self._lost(told)

    def _start_keeper(self, output: str) -> None:
        """Start `worker run` in a session of its own, so that signals reach it from here alone."""
        words = [sys.executable, sys.argv[0], "run"]
        words += [os.path.join(self._folder, name) for name in ("parcel.json", "events.jsonl")]
        out = os.open(output, os.O_WRONLY | os.O_APPEND)
        empty = os.open(os.devnull, os.O_RDONLY)
        parent = os.getpid()
        self._keeper = os.fork()
        if self._keeper:
            os.close(out)
            os.close(empty)
            return
        try:
            os.setsid()
            for fd, standard in ((empty, 0), (out, 1), (out, 2)):
                os.dup2(fd, standard)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.execve(words[0], words, {**os.environ, "EMS_COURIER": str(parent)})
        finally:
            os._exit(NOT_RUN)

    def _until_it_ends(self, over: threading.Event) -> int:
        grace = float(os.environ.get("EMS_GRACE_S") or _GRACE_S)
        handed_on = killed = False
        while True:
            pid, status = os.waitpid(self._keeper, os.WNOHANG)
            if pid:
                return status
            if self._superseded and not killed:
                usage.kill_descendants(self._keeper, signal.SIGKILL)
                os.kill(self._keeper, signal.SIGKILL)
                killed = True
            if self._asked and not handed_on:
                over.set()
                self._time_last_checkpoint(grace)
                self._mark_if_canceled()
                os.kill(self._keeper, signal.SIGTERM)
                handed_on = True
            if handed_on and not killed and time.monotonic() - self._asked > grace - _LAST_S:
                usage.kill_descendants(self._keeper, signal.SIGKILL)
                killed = True
            time.sleep(_LOOK_S)

    def _time_last_checkpoint(self, grace: float) -> None:
        """Checkpoints may be uploaded until shortly before the grace is over."""
        until = self._asked + grace - _LAST_S / 2
        last = self._attempts.patient(grace, lambda: time.monotonic() < until)
        self._carrier.last_checkpoint = last

    def _asked_to_end(self, _number: int, _frame: Any) -> None:
        self._asked = self._asked or time.monotonic()

    def _mark_if_canceled(self) -> None:
        """Tell the keeper that EMS asked for the end, if it did."""
        try:
            found = self._client.patient(_MARK_S).head("jobs/%s/events.jsonl.cancel" % self._job)
        except (S3Error, NoCredentials):
            return  # whoever canceled knows
        if found is not None:
            with open(self._mark("cancel"), "wb"):
                pass

    def _mark(self, what: str) -> str:
        """Return the path of a file that tells the keeper something."""
        return os.path.join(self._folder, "events.jsonl." + what)

    def _is_marked(self) -> bool:
        return os.path.exists(self._mark("cancel"))

    def _carry(self, over: threading.Event) -> None:
        """Carry out what is new, every second."""
        pause = _LOOK_S
        while not over.wait(pause):
            self._carried()
            pause = _ROUND_S

    def _carried(self, hurry: bool = False) -> bool:
        """Carry out what is new; return whether that worked."""
        try:
            self._carrier.round(hurry)
        except Superseded as error:
            self._superseded = str(error)
            return True
        except (S3Error, NoCredentials) as error:
            if not self._trouble:
                _say("%s; what is to be carried out waits" % error)
            self._trouble = str(error)
            return False
        if self._trouble:
            _say("%s answers again" % self._client.url)
        self._trouble = ""
        return True

    def _introduce(self, over: threading.Event) -> None:
        """Bring the list of the gang's members once it is in S3."""
        key, target = "jobs/%s/events.jsonl.peers" % self._job, self._mark("peers")
        client = self._client.patient(_ROUND_PATIENCE_S)
        while not over.wait(_ROUND_S):
            try:
                data = client.get(key)
            except (S3Error, NoCredentials, Stopped):  # not yet, or the carrier says what is off
                continue
            with open(target + ".new", "wb") as stream:
                stream.write(data)
            os.rename(target + ".new", target)
            return

    def _save(self, over: threading.Event) -> None:
        """Upload checkpoints after they changed."""
        last = False
        while not last:
            last = over.wait(_ROUND_S)
            for version in self._versions:
                try:
                    if last and self._asked:
                        self._checkpoints.save(version, self._carrier.last_checkpoint)
                    elif not last and self._checkpoints.changed(version):
                        self._checkpoints.save(version)
                except (S3Error, NoCredentials, Stopped, OSError):
                    pass  # the carrier says that S3 is away; it is tried again

    # -- how it ends ------------------------------------------------------------------------------

    def _given_up(self, reason: str, sentence: str, state: str) -> int:
        """Say for versions without an end that they have one now; return the exit code."""
        made = self._progress.give_up(reason, sentence, steady_now())
        parcel, failed = self._progress.parcel["parcel"], self._progress.failed
        self._write([*made, protocol.parcel_end(parcel, state, failed)])
        return _EXIT[state] or (TASK_FAILED if failed else DONE)

    def _lost(self, sentence: str) -> int:
        """The keeper is gone without a last word: say it for it."""
        path = os.path.join(self._folder, "events.jsonl")
        if os.path.exists(path):
            with open(path, "rb") as stream:
                for line in stream.read().split(b"\n"):
                    self._progress.note(line, steady_now())
        if self._progress.current is not None:
            size = os.stat(os.path.join(self._folder, "output")).st_size
            self._write([self._progress.lost("worker", sentence, steady_now(), size)])
        return self._given_up("worker", sentence, "done")

    def _write(self, messages: List[Message]) -> None:
        with open(os.path.join(self._folder, "events.jsonl"), "ab") as stream:
            stream.write(b"".join(map(protocol.encode, messages)))

    def _last_words(self, code: int) -> int:
        """Carry out all that is left; return the exit code."""
        until = time.monotonic() + _END_S
        while not self._superseded and not self._carried(hurry=True):
            if time.monotonic() > until:
                _say("what is left was not carried out: %s" % self._trouble)
                return NOT_RUN
            time.sleep(_ROUND_S)
        if self._superseded:
            _say(self._superseded)
            return PREEMPTED
        return TASK_FAILED if code == DONE and self._carrier.failed else code


def _repeat(path: str, start: int, gone: threading.Event) -> None:
    """Repeat the job's output on this process's own, where a container's log is taken from."""
    with open(path, "rb") as stream:
        stream.seek(start)
        last = False
        while not last:
            last = gone.wait(_LOOK_S)
            while True:
                block = stream.read(65536)
                if not block:
                    break
                try:
                    sys.stdout.buffer.write(block)
                    sys.stdout.buffer.flush()
                except OSError:
                    return  # nobody reads it
