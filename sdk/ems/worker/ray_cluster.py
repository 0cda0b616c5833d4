"""`ems-ray [--OPTION=VALUE …] COMMAND`: a Ray cluster of a gang's members, for one command.

Every member of the gang runs the same line. The first starts Ray's head, waits until the others
have joined, runs the command with RAY_ADDRESS set, and tells them when it is over; its exit code is
the command's. Each member ends what it started by process id, and two clusters may share a machine.

The first member makes the cluster's token (RAY_AUTH_MODE=token) and tells it to whoever calls from
a member's own address and port. RAY_AUTH_TOKEN, as a secret of the job, goes before: all members
have it, and nobody is told. So the token is in no record, no file and no command line; like Ray's
own traffic, it is not encrypted on its way, and an address and a port prove little on a machine of
many users (docs/how-to/ray-on-slurm.md).

Options are those of `ray start` (`--num-cpus=4`, `--include-dashboard=true`), for all nodes. Knows
the gang's list and Ray's command line. Does not import Ray.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time

from .peers import NoGang, peers
from .ray_lines import Desk, Line, call
from .ray_node import HEAD_ONLY, Broken, Children, Node, free_ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Set, Tuple

    from .peers import Peer

USAGE = "usage: ems-ray [--OPTION=VALUE of `ray start` …] [--] COMMAND [WORD …]"
_JOINS_S = 600.0
"""All members are there when this begins; Ray itself may be slow to read from a shared disk."""
_LOOK_S = 0.1
_LAST_S = 10.0
"""What a command gets between SIGTERM and SIGKILL where Ray has ended under it."""
_OWN = frozenset(["head", "address", "port", "node-ip-address", "block", "temp-dir"])
_STOPPED = 128 + signal.SIGTERM


def main(words: List[str]) -> int:
    """Run the command line; return its exit code."""
    try:
        options, command = _read(words)
        everyone = peers()
    except (ValueError, NoGang) as error:
        return _say(str(error), 2)
    own = everyone[int(os.environ["EMS_RANK"])]
    member = (_Leader if own.rank == 0 else _Follower)(own, everyone, options)
    try:
        return member.run(command)
    except (Broken, OSError) as error:
        member.give_up(str(error))
        return _say(str(error), 1)
    finally:
        member.end()


def _read(words: List[str]) -> Tuple[Dict[str, str], List[str]]:
    options: Dict[str, str] = {}
    rest = list(words)
    while rest and rest[0].startswith("--"):
        name, equals, value = rest.pop(0)[2:].partition("=")
        if not name:
            break
        if not equals or name in _OWN:
            raise ValueError("--%s can't be given here; %s" % (name, USAGE))
        options[name] = value
    if not rest:
        raise ValueError("there is no command; %s" % USAGE)
    return options, rest


def _say(text: str, code: int = 0) -> int:
    sys.stderr.write("ems-ray: %s\n" % text)
    sys.stderr.flush()
    return code


def _name(peer: Peer) -> str:
    return "%s-%d" % (peer.role, peer.role_rank)


class _Member:
    """What the leader and the others have in common: SIGTERM, Ray's variables, the end."""

    def __init__(self, own: Peer, everyone: List[Peer], options: Dict[str, str]) -> None:
        self.own, self.everyone, self.options = own, everyone, options
        self.signals = 0
        self.node: Any = None
        signal.signal(signal.SIGTERM, self._note)
        self.children = Children()

    def _note(self, *_: Any) -> None:
        self.signals += 1

    def stopped(self) -> bool:
        return self.signals > 0

    def make_node(self, token: str) -> Dict[str, str]:
        """Make the node; return the variables that it and the command have."""
        variables = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        variables["RAY_USAGE_STATS_ENABLED"] = "0"
        for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH"):
            variables.pop(name, None)
        self.node = Node(self.children, variables)
        return variables

    def give_up(self, why: str) -> None:
        """Tell the others why there is no cluster, where they can be told."""

    def end(self) -> None:
        """End all that was started."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is being done
        if self.node is not None:
            self.node.end()


class _Leader(_Member):
    """The first member: Ray's head and the command are its own."""

    def __init__(self, own: Peer, everyone: List[Peer], options: Dict[str, str]) -> None:
        super().__init__(own, everyone, options)
        self._others = [each for each in everyone if each.rank != own.rank]
        self._lines: Dict[Peer, Line] = {}
        self._joined: Set[Peer] = set()
        self._desk: Any = None

    def run(self, command: List[str]) -> int:
        token, told = _token(os.environ)
        self._desk = Desk(self.own, self._others)
        port, client = free_ports(2)
        address = "%s:%d" % (self.own.address, port)
        variables = self.make_node(token)
        fixed = {"port": str(port), "node-ip-address": self.own.address}
        given = {"include-dashboard": "false", "ray-client-server-port": str(client)}
        given.update(self.options)
        if not self.node.start(fixed, given, self.stopped):
            return _STOPPED
        if not self._gather({"address": address, **told}):
            return _STOPPED
        _say("%d nodes at %s" % (len(self.everyone), address))
        code = self._drive(command, {**variables, "RAY_ADDRESS": address})
        return 128 - code if code < 0 else code

    def _gather(self, told: Dict[str, str]) -> bool:
        """Wait until all have joined; False where this is told to stop before."""
        deadline = time.monotonic() + _JOINS_S
        while len(self._joined) < len(self._others):
            for line in self._answer().values():
                line.say(**told)
            self._listen()
            lost = [_name(each) for each, line in self._lines.items() if line.closed]
            if lost:
                raise Broken("%s was gone before it joined" % lost[0])
            if self.node.broken():
                raise Broken(self.node.broken())
            if time.monotonic() > deadline:
                late = [_name(each) for each in self._others if each not in self._joined]
                raise Broken("%s did not join in %g s" % (", ".join(late), _JOINS_S))
            if self.stopped():
                return False
            time.sleep(_LOOK_S)
        return True

    def _answer(self) -> Dict[Peer, Line]:
        calls: Dict[Peer, Line] = self._desk.calls() if self._desk is not None else {}
        self._lines.update(calls)
        return calls

    def _listen(self) -> None:
        for peer, line in self._lines.items():
            for message in line.hear():
                if "failed" in message:
                    raise Broken("%s: %s" % (_name(peer), message["failed"]))
                self._joined.add(peer)

    def _drive(self, command: List[str], variables: Dict[str, str]) -> int:
        """Run the command to its end; what happens to Ray meanwhile is told."""
        pid = self.children.start(command, variables, None)
        handed_on, kill_at = 0, float("inf")
        told: Set[Peer] = set()
        while True:
            code = self.children.ended(pid)
            if code is not None:
                return code
            if self.signals > handed_on:
                handed_on = self.signals
                _signal(pid, signal.SIGTERM)
            for peer, line in self._lines.items():
                said = [each["failed"] for each in line.hear() if "failed" in each]
                if (said or line.closed) and peer not in told:
                    told.add(peer)
                    _say("%s is lost: %s" % (_name(peer), said[0] if said else "without a word"))
            if self.node.broken() and kill_at == float("inf"):
                _say(self.node.broken())
                _signal(pid, signal.SIGTERM)
                kill_at = time.monotonic() + _LAST_S
            if time.monotonic() > kill_at:
                _signal(pid, signal.SIGKILL)
            time.sleep(_LOOK_S)

    def give_up(self, why: str) -> None:
        self._answer()
        for line in self._lines.values():
            line.say(failed=why)

    def end(self) -> None:
        self._answer()
        for line in self._lines.values():
            line.say(over=True)
        super().end()


class _Follower(_Member):
    """Any other member: its Ray is there for as long as the leader is."""

    line: Any = None

    def run(self, command: List[str]) -> int:
        leader = self.everyone[0]
        self.line = call(self.own, leader, _JOINS_S, self.stopped)
        told = self._await("address")
        if told is None:
            return _STOPPED
        # a member that has a token goes by no other: else anybody at that port could name one
        token = os.environ.get("RAY_AUTH_TOKEN") or told.get("token")
        if not token:
            raise Broken("%s has a RAY_AUTH_TOKEN, and this member has none" % _name(leader))
        self.make_node(token)
        fixed = {"address": told["address"], "node-ip-address": self.own.address}
        given = {name: each for name, each in self.options.items() if name not in HEAD_ONLY}
        if not self.node.start(fixed, given, self.stopped):
            return _STOPPED
        self.line.say(joined=True)
        return _STOPPED if self._await("over") is None else 0

    def _await(self, word: str) -> Any:
        """Return the leader's message with this word; None where this is told to stop before."""
        while not self.stopped():
            for message in self.line.hear():
                if word in message:
                    return message
                if "failed" in message:
                    raise Broken("%s: %s" % (_name(self.everyone[0]), message["failed"]))
                if "over" in message:
                    raise Broken("%s ended before there was a cluster" % _name(self.everyone[0]))
            if self.line.closed:
                raise Broken("%s is gone without a word" % _name(self.everyone[0]))
            if self.node is not None and self.node.broken():
                raise Broken(self.node.broken())
            time.sleep(_LOOK_S)
        return None

    def give_up(self, why: str) -> None:
        if self.line is not None:
            self.line.say(failed=why)


def _token(variables: Mapping[str, str]) -> Tuple[str, Dict[str, str]]:
    """Return the cluster's token, and what the others are told of it: they have a secret too."""
    given = variables.get("RAY_AUTH_TOKEN")
    if given:
        return given, {}
    made = secrets.token_hex(32)
    return made, {"token": made}


def _signal(pid: int, number: int) -> None:
    """Send a signal to a command and what it started in its group."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
