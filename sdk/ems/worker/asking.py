"""What a place is asked about environments, on standard input, and its answer on standard output.

    {"do": "want", "python": …, "pythons": […], "wants": [{key, parts, recipe, modules, attempt}]}
        → a row for each: {"own": true}, {"python": PATH}, {"making": ATTEMPT}, {"failed": WHY}, or
          {"refused": WHY} where it was not tried
    {"do": "tidy", "older_s": 2592000, "remove": false}
        → {"kept": 3, "going": [{key, bytes, idle_s}]}

What is wanted and is not there is begun to be made, by one process at a time that goes on alone
(`making`). Nothing here waits for it. Does not know who asks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from . import making, scratch
from .environment import mismatches
from .made import FOLDER, Made, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional

MARK = "EMS-MADE "
"""Begins the answer; what a login shell wrote before it is not ours."""
_ENDS = ("exit", "ems-exit")
"""A job's folder has one of these once the job has ended, whoever started it."""
_SHARED = (".cache", ".pythons")


def answer(root: str) -> int:
    """Answer one question about the environments below a place's folder."""
    asked: Dict[str, Any] = json.load(sys.stdin)
    out = os.dup(1)
    os.dup2(2, 1)  # what prints by mistake must not print into the answer
    said = _tidy(root, asked) if asked["do"] == "tidy" else _wanted(root, asked)
    with os.fdopen(out, "w") as stream:
        stream.write(MARK + json.dumps(said) + "\n")
    return 0


def has() -> int:
    """Answer, of the parts on standard input, which this Python does not have."""
    json.dump(mismatches(json.load(sys.stdin)), sys.stdout)
    return 0


def make(root: str, key: str, attempt: str) -> int:
    """Make an environment; whoever began this try gave its lock to this process."""
    made = Made(root, key)
    return making.Maker(made, made.note("want.json")).run(attempt)


# -- what is wanted -------------------------------------------------------------------------------


def _wanted(root: str, asked: Dict[str, Any]) -> Dict[str, Any]:
    return {"rows": [_row_or_refusal(root, asked, want) for want in asked["wants"]]}


def _row_or_refusal(root: str, asked: Dict[str, Any], want: Dict[str, Any]) -> Dict[str, Any]:
    """Answer one want; what is wrong with its files is no matter of the others.

    They may be somebody else's, who shares the folder and not what is in it.
    """
    try:
        return _row(root, asked, want)
    except OSError as problem:
        return {"refused": "%s: %s" % (problem.filename or root, problem.strerror or problem)}


def _row(root: str, asked: Dict[str, Any], want: Dict[str, Any]) -> Dict[str, Any]:
    made, attempt = Made(root, want["key"]), want["attempt"]
    if not attempt and _has_own(asked["python"], want):
        return {"own": True}
    python = made.take()
    if python:
        return {"python": python}
    failed: Dict[str, Any] = made.note("failed.json") or {}
    if attempt and failed.get("attempt") == attempt:
        return {"failed": failed["said"]}
    if want["recipe"] is not None:
        problem = json.loads(want["recipe"])["problem"]
        if problem:
            return {"refused": problem}
        words = {"recipe": want["recipe"], "modules": want["modules"]}
        made.write("want.json", {**words, "pythons": [asked["python"], *asked["pythons"]]})
    elif made.note("want.json") is None:
        return {"making": ""}  # it was removed: asked for again, with the recipe
    return _made_by_one(root, made, failed.get("attempt"))


def _made_by_one(root: str, made: Made, ended: Any) -> Dict[str, Any]:
    """Begin to make it, unless another one is at it."""
    fd = lock(made.path("lock"))
    if fd is None:
        attempt = made.note("attempt") or ""
        return {"making": "" if attempt == ended else attempt}
    try:
        python = made.take()
        if python:
            return {"python": python}
        attempt = os.urandom(4).hex()
        made.write("attempt", attempt)
        _start(root, made.key, attempt, fd)
        return {"making": attempt}
    finally:
        os.close(fd)


def _start(root: str, key: str, attempt: str, fd: int) -> None:
    """Start the process that makes it; the lock is its own from now on."""
    words = [sys.executable, making.ZIPAPP, "make", root, key, attempt]
    with open(Made(root, key).path("log"), "ab") as log:
        subprocess.Popen(
            words, pass_fds=[fd], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            start_new_session=True,
        )  # fmt: skip


def _has_own(python: str, want: Dict[str, Any]) -> bool:
    """Whether the place's own Python has the parts, with the job's modules loaded."""
    if not want["modules"]:
        return not mismatches(want["parts"])
    try:
        variables = making.with_modules(want["modules"], 2)
    except making.Modules:
        return True  # they may be where it runs, which tells what is missing
    words = [os.path.expanduser(python), making.ZIPAPP, "has"]
    try:
        done = subprocess.run(
            words, input=json.dumps(want["parts"]).encode(), stdout=subprocess.PIPE,
            env=variables, check=False,
        )  # fmt: skip
        return json.loads(done.stdout) == []
    except (OSError, ValueError):
        return False


# -- what nobody uses -----------------------------------------------------------------------------


def _tidy(root: str, asked: Dict[str, Any]) -> Dict[str, Any]:
    """Say what nobody used for so long, and remove it where that is asked for."""
    folder, older_s, remove = os.path.join(root, FOLDER), asked["older_s"], asked["remove"]
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    keys = [name for name in names if name not in _SHARED]
    named = _named_by_jobs(root, keys)
    going: List[Dict[str, Any]] = []
    for key in keys:
        made = Made(root, key)
        idle_s = time.time() - _last_used(made)
        if key in named or idle_s < older_s or not _let_go(made, older_s, remove, going):
            continue
        going[-1]["idle_s"] = idle_s
    kept = len(keys) - len(going)
    for name in _SHARED:
        path = os.path.join(folder, name)
        if not kept and os.path.isdir(path):
            going.append({"key": name, "bytes": _bytes(path), "idle_s": 0.0})
            if remove:
                scratch.remove(path)
    return {"kept": kept, "going": going}


def _let_go(made: Made, older_s: float, remove: bool, going: List[Dict[str, Any]]) -> bool:
    """Take an environment away, unless it is made or used now, or somebody else's; whether it goes.

    What can't be removed stays as it is.
    """
    used = made.path("used")
    holds: List[Optional[int]] = []
    try:
        holds = [lock(made.path("lock")), *([lock(used)] if os.path.exists(used) else [])]
        if None in holds or (remove and time.time() - _last_used(made) < older_s):
            return False
        row = {"key": made.key, "bytes": _bytes(made.folder)}
        if remove:
            if os.path.exists(made.path("made.json")):
                os.unlink(made.path("made.json"))  # from here on it is none
            scratch.remove(made.folder)
        going.append(row)
        return True
    except PermissionError:
        return False
    finally:
        for fd in holds:
            if fd is not None:
                os.close(fd)


def _last_used(made: Made) -> float:
    """Return when it was last used; of one that was never whole, when it was tried."""
    for name in ("used", "attempt", ""):
        try:
            return os.stat(made.path(name)).st_mtime
        except OSError:
            pass
    return time.time()


def _named_by_jobs(root: str, keys: List[str]) -> List[str]:
    """Return those of the environments that a job is to be started with which has not ended."""
    parcels = b"".join(_parcels(os.path.join(root, "jobs")))
    return [key for key in keys if ("/%s/%s/" % (FOLDER, key)).encode() in parcels]


def _parcels(folder: str) -> Iterator[bytes]:
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        job = os.path.join(folder, name)
        if any(os.path.exists(os.path.join(job, end)) for end in _ENDS):
            continue
        try:
            with open(os.path.join(job, "parcel.json"), "rb") as stream:
                yield stream.read()
        except OSError:
            pass


def _bytes(folder: str) -> int:
    """Return what a folder takes of the disk; a file with several names counts once."""
    found: Dict[Any, int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            stat = os.lstat(os.path.join(parent, name))
            found[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
    return sum(found.values())
