"""The worker protocol: one JSON object a line, either way (contract 7).

Knows the shapes of messages and their schema number. Does not know pipes, files or how a version is
run. Both sides import this module: the worker and the backends that talk to it.

To the worker, a parcel (`null` or a missing key means the default in brackets):
  {"schema":1, "parcel":id, "code":{"dir":folder, "files":{path: digest}, "modules":{module: path},
  "search":[folders on sys.path, relative]}, "env":{"python":"3.11", package: version},
  "tasks":[task…], "places":{digest: place}, "objects":[folders],
  "outbox":folder, "scratch":folder, "attempts":folder, "fsync":bool, "log_from":int,
  "requeue":bool,
  "gang":{"gang":hex, "role", "nth", "times", "rank", "size", "wait_s", "peers":file},
  "versions":[{"v":hex, "gen":1, "try":1, "task":index, "args":{name: tree}, "seed":int}…]}
With `requeue` the place starts the job again that it took its machine from: then versions that did
not end say nothing of it (`worker at`).
With `gang` the parcel is one command, the `rank`-th member of a gang (from 0; the `nth` of `times`
of its role). The worker says `ready` and waits for the file `peers`, by default EVENTS.peers: all
members by rank, [{"role", "role_rank", "rank", "address", "port"}…]; then it says `met`.
A place is where an object lies that is in none of the folders, with what it was when its digest was
found: [file, size, mtime_ns, inode], or [folder, [[relative path, size, mtime_ns, inode]…]] with a
row for every file below; a bare path is watched from the task's start on only.
A task is {"kind":"python", "name", "module", "qualname", "modules":[…], "pickle":bool,
"timeout_s", "memory_gib"} or {"kind":"command", "name", "template" or "argv":[…],
"outputs":{name: path}, "files":{path: digest}, "timeout_s", "memory_gib"}.
From the worker: hello, then for each version `ready` and `met` (of a gang's member), any number of
`report` and one `end`, then `parcel`.
After a SIGTERM a warm worker says `canceled`; whoever started it knows whether it asked for that. A
worker on its own (`run`) says `preempted`, unless a file EVENTS.cancel tells that EMS asked.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    Message = Dict[str, Any]

SCHEMA = 1
"""The schema that is written here."""
OLDEST = 1
"""The oldest schema that is read here: one release back."""
END_PREFIX = b'{"ev":"end"'
PARCEL_PREFIX = b'{"ev":"parcel"'
HELLO_PREFIX = b'{"ev":"hello"'
READY_PREFIX = b'{"ev":"ready"'
MET_PREFIX = b'{"ev":"met"'

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().decode


class ProtocolError(Exception):
    """A message that this release can't read; says what it got and what it reads."""


def encode(message: Message) -> bytes:
    """Return a message as one line, with its newline; ASCII, whatever text it holds."""
    return _encode(message).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """Return the message of a line; raises ProtocolError if it is no JSON object."""
    try:
        message: Message = _decode(line.decode("utf-8"))
    except ValueError as error:
        raise ProtocolError("%r… is no JSON line: %s" % (line[:60], error)) from None
    if type(message) is not dict:
        raise ProtocolError("%r… is no JSON object" % (line[:60],))
    return message


def check_schema(message: Message, what: str) -> Message:
    """Return the message if its schema can be read here; raises ProtocolError otherwise."""
    schema = message.get("schema")
    if type(schema) is not int or not OLDEST <= schema <= SCHEMA:
        raise ProtocolError(
            "%s has schema %r, and this worker reads %d to %d; use the same release of EMS on both "
            "sides" % (what, schema, OLDEST, SCHEMA)
        )
    return message


def read_parcel(line: bytes) -> Message:
    """Return the parcel of a line, with every key that the worker needs; raises ProtocolError."""
    parcel = check_schema(decode(line), "the parcel")
    for key, kind in (("parcel", str), ("tasks", list), ("versions", list)):
        if not isinstance(parcel.get(key), kind):
            raise ProtocolError("the parcel has no %r of type %s" % (key, kind.__name__))
    return parcel


def hello(python: str, pid: int, log: int) -> Message:
    """Return the first message of a worker; `log` is how long its output file is already."""
    return {"ev": "hello", "schema": SCHEMA, "python": python, "pid": pid, "log": log}


def report(version: Message, step: Optional[int], metrics: Message, t: float) -> Message:
    """Return the message for metrics reported by a running task."""
    return {"ev": "report", "v": version["v"], "step": step, "metrics": metrics, "t": t}


def ready(version: Message, address: str, port: int, t: float) -> Message:
    """Return the message of a gang's member that waits for the others, and where it will listen."""
    return {"ev": "ready", "v": version["v"], "address": address, "port": port, "t": t}


def met(version: Message, t: float) -> Message:
    """Return the message of a gang's member that knows the others; its command starts."""
    return {"ev": "met", "v": version["v"], "t": t}


def end(version: Message, ok: bool) -> Message:
    """Return the start of an `end` message; `ok` stands right after what names the attempt."""
    return {
        "ev": "end",
        "v": version["v"],
        "gen": version.get("gen", 1),
        "try": version.get("try", 1),
        "ok": ok,
    }


def lost_end(
    version: Message,
    reason: str,
    message: str,
    t0: float,
    t1: float,
    log: Optional[List[int]],
    exit_code: Optional[int] = None,
    signal: Optional[int] = None,
    rss_mib: float = 0.0,
) -> Message:
    """Return the `end` of a version whose worker could not send one, or that never started."""
    made = end(version, False)
    made["reason"] = reason
    made["error"] = {"type": "", "message": message, "traceback": []}
    made["exit"], made["signal"] = exit_code, signal
    made["t0"], made["t1"], made["cpu_s"], made["rss_mib"] = t0, t1, 0.0, rss_mib
    made["log"], made["metrics"] = log, []
    return made


def preempted(line: bytes) -> bytes:
    """Return the line of an `end` for a worker that nobody of EMS asked to end.

    A worker can't tell who sent its SIGTERM, and says `canceled`.
    """
    said = "its worker got a SIGTERM that EMS did not send"
    return for_another_reason(line, "canceled", "preempted", said, 15)


def for_another_reason(line: bytes, said: str, reason: str, message: str, signal: int) -> bytes:
    """Return the line of an `end` that failed for `said` with what is known to be behind it."""
    if b'"reason":"%s"' % said.encode() not in line:
        return line
    told = decode(line)
    if told["ok"] or told["reason"] != said:
        return line
    told["reason"], told["signal"] = reason, signal
    told["error"]["message"] = message
    return encode(told)[:-1]


def parcel_end(parcel: str, state: str, failed: Optional[Message]) -> Message:
    """Return the last message of a parcel; `failed` is the first `end` that was not ok."""
    made: Message = {"ev": "parcel", "id": parcel, "state": state}
    if failed is not None:
        made["reason"], made["exit"] = failed["reason"], failed.get("exit")
        made["signal"], made["detail"] = failed.get("signal"), failed["error"]["message"]
    return made
