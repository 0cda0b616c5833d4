"""Commands on another machine by OpenSSH's own client, one connection for all of them.

The user's configuration holds: aliases, keys, jumps. Knows ssh's options and what its failures
look like. Does not know what the commands mean.

Exit code 255 and a line on standard error is how ssh(1) says that it failed itself (man page of
OpenSSH 9.2, EXIT STATUS; the lines as its sources of 2023-02 print them).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from ems.compute.remote.link import PATIENCE_S, Done
from ems.compute.remote.order import PlaceError, Unreachable
from ems.errors import EmsError

_FAILED = 255
_NOT_FOUND = 127
_CONNECT_S = 10
_PERSIST_S = 60
_DROP_S = 3.0
_REFUSED = re.compile(r"Permission denied \(|Too many authentication failures|No supported auth")
_CHANGED = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED")
_UNKNOWN = re.compile(r"Host key verification failed|No \S+ host key is known for")
_SETTINGS = re.compile(
    r"Bad configuration option|[Bb]ad owner or permissions|keyword .* extra arguments"
    r"|terminating, \d+ bad configuration|command-line: line \d+"
)
_RESOLVE = re.compile(r"Could not resolve hostname")
_CONNECTION = re.compile(
    r"^(ssh: |ssh_dispatch|kex_exchange|banner exchange|Connection |Timeout, server|mux_client"
    r"|client_loop|Control socket|packet_write|Received disconnect|Disconnected from|Unable to neg"
    r"|Read from|Write failed|stdio forwarding|channel \d|Shared connection)",
    re.MULTILINE,
)


class SshLink:
    """One host, as ssh knows it: a name, an address, an alias, with `user@` or without.

    `options` are further words for `-o`: `Port=2222`.
    """

    def __init__(self, host: str, options: Sequence[str] = ()) -> None:
        if not host or host.startswith("-") or any(each.isspace() for each in host):
            raise EmsError("ssh", f"{host!r} is no host (allowed: HOST, USER@HOST, an alias)")
        self.where = host
        self._host, self._options = host, tuple(options)
        self._folder = tempfile.mkdtemp(prefix="ems-ssh-")
        self._path = str(Path(self._folder) / "c")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command of this machine that runs `argv` there."""
        return [*self._ssh(), "-T", "--", self._host, shlex.join(argv)]

    def _ssh(self) -> list[str]:
        if not os.path.exists(self._folder):  # closed before, or swept by the machine
            os.mkdir(self._folder, 0o700)
        own = (
            "BatchMode=yes", "ControlMaster=auto", f"ControlPath={self._path}",
            f"ControlPersist={_PERSIST_S}", "ServerAliveInterval=2", "ServerAliveCountMax=3",
            f"ConnectTimeout={_CONNECT_S}", "ClearAllForwardings=yes", "RemoteCommand=none",
            "LogLevel=ERROR",
        )  # fmt: skip
        # ssh takes the first value that it meets, so that a test's or user's words go before ours
        return ["ssh", *(word for option in (*self._options, *own) for word in ("-o", option))]

    def run(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = PATIENCE_S) -> Done:
        """Run a command there; see `Link`."""
        try:
            ended = subprocess.run(
                self.command(argv), input=stdin, capture_output=True, timeout=timeout_s,
                check=False, start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            raise _no_ssh() from None
        except subprocess.TimeoutExpired:
            self.drop()
            raise Unreachable(self.where, f"did not answer within {timeout_s:g} s") from None
        done = Done(ended.returncode, ended.stdout, ended.stderr)
        if done.code < 0 or (done.code == _FAILED and self._is_ours(done.err)):
            raise self.explain(done.code, done.err)
        if done.code == _NOT_FOUND:
            raise PlaceError(argv[0], f"is not installed on {self.where}: {done.said()}")
        return done

    def _is_ours(self, said: bytes) -> bool:
        """Whether it was ssh that failed, and not a command that ended with the same code."""
        text = said.decode("utf-8", "replace")
        known = (_REFUSED, _CHANGED, _UNKNOWN, _SETTINGS, _CONNECTION)
        return not text.strip() or any(each.search(text) for each in known)

    def explain(self, code: int, said: bytes) -> EmsError:
        """Return what it means that ssh ended: an EmsError that a person can mend, or Unreachable.

        A refused login is no PlaceError: a ticket or an agent may be back in a minute.
        """
        text, host = said.decode("utf-8", "replace"), self._host
        last = Done(code, b"", said or b"the connection is lost").said().rstrip(".")
        if _CHANGED.search(text):
            known = f"ssh-keygen -R {host}, if you know why"
            return EmsError(host, "its host key is not the one that is known here", known)
        if _UNKNOWN.search(text):
            keyscan = f"ssh-keyscan {host.rpartition('@')[2]} >> ~/.ssh/known_hosts"
            return EmsError(host, "its host key is not known here", f"ssh {host}, or {keyscan}")
        if _REFUSED.search(text):
            return EmsError(
                host, f"refuses the login: {last}", f"ssh-copy-id {host}, or ssh {host}"
            )
        if _SETTINGS.search(text):
            return EmsError(host, f"ssh can't read its settings: {last}", f"ssh {host}")
        if _RESOLVE.search(text):
            return Unreachable(host, "no address is known for this name", f"ssh {host}")
        if code == _FAILED or code < 0:
            return Unreachable(host, f"can't be reached: {last}")
        return Unreachable(host, f"ended the session: {last}")

    def drop(self) -> None:
        """End the connection that is shared, so that the next command makes a new one."""
        if not Path(self._path).exists():
            return
        words = [*self._ssh(), "-O", "exit", "--", self._host]
        try:
            subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DROP_S, check=False
            )
        except (subprocess.TimeoutExpired, OSError):
            pass
        Path(self._path).unlink(missing_ok=True)

    def close(self) -> None:
        """End the connection; what runs there in sessions of its own goes on."""
        self.drop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _no_ssh() -> EmsError:
    return EmsError("ssh", "is not installed on this machine", "install OpenSSH's client")
