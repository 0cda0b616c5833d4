"""What a login shell of a host knows: the user's variables for secrets, and environment modules.

Secrets go into the worker's environment and nowhere else: never into a file or a log. Knows shells
of sh's kind.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import select
import shlex
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Sequence

NO_MODULE = 96
"""The exit code for a module that can't be loaded."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TELLS_S = 30.0
"""How long a login shell may take to tell its variables."""


class Failed(Exception):
    """A job can't start here: (the word for why, a sentence)."""


def shell() -> str:
    """Return the user's shell where it is one of sh's kind."""
    own = pwd.getpwuid(os.getuid()).pw_shell
    if os.path.basename(own) in ("bash", "zsh", "ksh", "sh", "dash") and os.path.exists(own):
        return own
    return "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"


def with_modules(folder: str, line: str) -> str:
    """Return what loads the modules that are its parameters, and then becomes the job.

    Older versions of `module load` tell nobody that they failed; LOADEDMODULES does.
    """
    output = shlex.quote(os.path.join(folder, "output"))
    return (
        'for m in "$@"; do module load "$m" >>%s 2>&1; '
        'case ":$LOADEDMODULES:" in *":$m:"*|*":$m/"*) ;; *) exit %d;; esac; done; %s'
        % (output, NO_MODULE, line)
    )


def secrets(references: Dict[str, str]) -> Dict[str, str]:
    """Return secrets by the variable that each goes into; raises Failed where one isn't there."""
    split = {name: reference.partition(":") for name, reference in references.items()}
    wanted = [
        where for kind, _, where in split.values() if kind == "env" and _NAME.fullmatch(where)
    ]
    there = {**os.environ, **_login_variables(wanted)} if wanted else {}
    made: Dict[str, str] = {}
    for name, (kind, _, where) in split.items():
        if kind == "env" and where in there:
            made[name] = there[where]
        elif kind == "file":
            try:
                with open(os.path.expanduser(where), encoding="utf-8") as stream:
                    made[name] = stream.read().strip()
            except (OSError, ValueError) as error:
                raise _unresolved(name, references[name], "can't be read: %s" % error) from None
        else:
            what = "is not set on the host" if kind == "env" else "is no reference"
            raise _unresolved(name, references[name], "%s (allowed: env:NAME, file:PATH)" % what)
    return made


def _unresolved(name: str, reference: str, problem: str) -> Failed:
    return Failed("environment", "secret %s: %r %s" % (name, reference, problem))


_TELL = """import json, os, sys
found = {name: os.environ[name] for name in sys.argv[2:] if name in os.environ}
os.write(int(sys.argv[1]), json.dumps(found).encode() + b"\\n")
"""


def _login_variables(names: Sequence[str]) -> Dict[str, str]:
    """Return those of the variables that a login shell sets; what it prints is not heard."""
    take, give = os.pipe()
    words = [shell(), "-l", "-c", 'exec "$@"', "sh", sys.executable, "-I", "-c", _TELL]
    child = subprocess.Popen(
        [*words, str(give), *names], pass_fds=[give], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(give)
    said, until = b"", time.monotonic() + _TELLS_S
    while not said.endswith(b"\n"):
        left = max(0.0, until - time.monotonic())
        block = os.read(take, 65536) if select.select([take], [], [], left)[0] else b""
        if not block:
            break
        said += block
    os.close(take)
    child.kill()
    child.wait()
    return json.loads(said) if said.endswith(b"\n") else {}
