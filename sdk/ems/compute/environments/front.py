"""The front of a place (a host, a login node), asked about environments through the worker there.

Knows how a question gets there and the answer back. Does not know what is asked.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ems.compute import ship
from ems.compute.remote.link import Link
from ems.compute.remote.order import PlaceError
from ems.compute.remote.site import Site
from ems.hashing import digest_bytes
from ems.worker.asking import MARK
from ems.worker.places import object_path

_PATIENCE_S = 120.0
_NO_PYTHON, _OLD_PYTHON = 92, 93
# no `!`, no backslash, no single quote: the login shell there may be none of sh's kind
_ASK = (
    'case "$1" in "~/"*) p=$HOME/${1#??};; *) p=$1;; esac; z=$2 r=$3; shift 3; '
    'for m in "$@"; do module load "$m" >/dev/null 2>&1; done; '
    f'command -v "$p" >/dev/null 2>&1 || exit {_NO_PYTHON}; '
    f'exec "$p" -c "import sys; sys.version_info < (3, 8) and sys.exit({_OLD_PYTHON}); '
    "sys.path[0] = sys.argv[1]; from ems.worker.__main__ import main; "
    'sys.exit(main(sys.argv[2:]))" "$z" environments "$r"'
)


class NoPython(PlaceError):
    """The front has no Python that could be asked; where jobs run there may be one."""


class Front:
    """A place's front: its files, the way there, its own Python and what is loaded for every job.

    `site` and `link` are not closed here: whoever made them does.
    """

    def __init__(self, site: Site, link: Link, python: str, modules: Sequence[str] = ()) -> None:
        self._site, self._link = site, link
        self.python, self.modules = python, tuple(modules)
        self._worker_there = ""

    @property
    def where(self) -> str:
        """What it is called, for people."""
        return self._link.where

    def path(self, *names: str) -> str:
        """Return a path below the place's folder, as the place sees it."""
        return "/".join((self._site.root, *names))

    def ask(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask, and return the answer; raises Unreachable, NoPython or PlaceError."""
        zipapp = object_path(self.path("objects"), self._worker())
        words = (self.python, zipapp, self._site.root, *self.modules)
        sh = ("bash", "-lc") if self.modules else ("sh", "-c")  # a login shell has `module`
        asked = json.dumps(question).encode()
        done = self._link.run([*sh, _ASK, "ems", *words], asked, _PATIENCE_S)
        if done.code in (_NO_PYTHON, _OLD_PYTHON):
            raise NoPython(f"{self.python} on {self.where}", "is missing, or older than Python 3.8")
        for line in done.out.decode("utf-8", "replace").splitlines():
            if line.startswith(MARK):
                return json.loads(line[len(MARK) :])
        raise PlaceError(f"environments on {self.where}", f"can't be looked after: {done.said()}")

    def _worker(self) -> str:
        """Have the worker be there; return its digest."""
        if not self._worker_there:
            data = ship.zipapp()
            digest = digest_bytes(data)
            if self._site.missing([digest]):
                with tempfile.TemporaryDirectory(prefix="ems-worker-") as folder:
                    path = Path(folder) / "worker.pyz"
                    path.write_bytes(data)
                    self._site.put({digest: path})
            self._worker_there = digest
        return self._worker_there
