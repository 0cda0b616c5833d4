"""Makes an environment at a place, as a process that needs nobody: from its recipe, once.

By uv where it is there, else by venv and pip; conda's files by micromamba, mamba or conda. The
place's own settings of these hold (pip.conf, uv.toml, .condarc); what they fetch and make stays
below the place's folder. It counts once its own Python has found every pin in it.

Words of the tools: `uv venv --help` and `uv pip install --help` of uv 0.13, `pip install --help` of
pip 23; docs.conda.io "conda env create", mamba.readthedocs.io "Micromamba" (read 2026-11-22).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

from . import scratch, tools, usage
from .desk_files import replace
from .desk_login import NO_MODULE, shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence

    from .made import Made

ZIPAPP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FORMAT = 1
"""The format of recipes that this builder reads."""
_SAID_LINES, _SAID_BYTES = 5, 4000
_LOADS_S = 60.0
"""How long a login shell may take to load modules."""
_PREFIX = "e-"
_NOT_OURS = (
    "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PIP_TARGET",
    "PIP_PREFIX", "UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON", "__PYVENV_LAUNCHER__",
)  # fmt: skip
_TELL = "import json, os, sys; os.write(int(sys.argv[1]), json.dumps(dict(os.environ)).encode())"
_LOAD = (
    "type module >/dev/null 2>&1 || . /etc/profile; "
    'tell=$1 fd=$2 python=$3; shift 3; for m in "$@"; do module load "$m" >&2; '
    'case ":$LOADEDMODULES:" in *":$m:"*|*":$m/"*) ;; *) exit %d;; esac; done; '
    'exec "$python" -I -c "$tell" "$fd"' % NO_MODULE
)
_PR_SET_PDEATHSIG = 1


class NotMade(Exception):
    """It can't be made: a sentence that says why."""


class Modules(Exception):
    """Environment modules can't be loaded: which, and what was said."""


def with_modules(modules: Sequence[str], log: int) -> Dict[str, str]:
    """Return the variables that there are once modules are loaded; raises Modules."""
    if not modules:
        return dict(os.environ)
    take, give = os.pipe()
    words = [shell(), "-l", "-c", _LOAD, "sh", _TELL, str(give), sys.executable, *modules]
    child = subprocess.Popen(
        words, pass_fds=[give], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
    )
    os.close(give)
    patience = threading.Timer(_LOADS_S, child.kill)  # a login shell may wait for somebody
    patience.start()
    with os.fdopen(take, "rb") as stream:
        said = stream.read()
    code = child.wait()
    patience.cancel()
    if code or not said:
        raise Modules("module load %s" % " ".join(modules))
    return json.loads(said)


class Maker:
    """Makes one environment; whoever starts it holds its lock."""

    def __init__(self, made: Made, want: Dict[str, Any]) -> None:
        self._made, self._want = made, want
        self._recipe: Dict[str, Any] = json.loads(want["recipe"])
        self._prefix = made.path(_PREFIX + os.urandom(4).hex())
        self._python = os.path.join(self._prefix, "bin", "python")
        self._variables: Dict[str, str] = {}
        self._log = os.open(made.path("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)

    def run(self, attempt: str) -> int:
        """Make it; write down that it is there, or why it is not."""
        try:
            sweep(self._made)
            self._make()
        except (NotMade, OSError) as problem:
            said = str(problem)
        else:
            return 0
        self._say("ems: %s" % said)
        scratch.remove(self._prefix)
        self._made.write("failed.json", {"attempt": attempt, "said": said})
        return 1

    def _make(self) -> None:
        if self._recipe["format"] != FORMAT:
            raise NotMade("the recipe has format %s, not %d" % (self._recipe["format"], FORMAT))
        self._variables = self._environment()
        for name, text in self._recipe["files"].items():
            replace(self._made.path("files/%s" % os.path.basename(name)), text.encode())
        (self._conda if self._recipe["kind"] == "conda" else self._packages)()
        self._verify()
        scratch.remove(self._made.path("tmp"))
        self._say("ems: made")
        os.sync()  # a marker that outlives a power cut speaks of files that did, too
        inside = os.path.relpath(self._python, self._made.folder)
        replace(self._made.path("used"), b".")
        os.chmod(self._made.path("used"), 0o666)  # a folder may be shared by people
        self._made.write("made.json", {"python": inside, "at": time.time()})

    def _environment(self) -> Dict[str, str]:
        """Return the variables of the tools: the place's own, and folders below its root."""
        try:
            made = with_modules(self._want["modules"], self._log)
        except Modules as problem:
            raise NotMade("%s: %s" % (problem, self._last_words())) from None
        for name in _NOT_OURS:
            made.pop(name, None)
        shared = os.path.dirname(self._made.folder)
        kept = {"PIP_CACHE_DIR": "pip", "UV_CACHE_DIR": "uv", "CONDA_PKGS_DIRS": "conda"}
        made.update({name: os.path.join(shared, ".cache", to) for name, to in kept.items()})
        made["UV_PYTHON_INSTALL_DIR"] = os.path.join(shared, ".pythons")
        made["TMPDIR"] = self._made.path("tmp")
        os.makedirs(made["TMPDIR"], exist_ok=True)
        made.setdefault("MAMBA_ROOT_PREFIX", os.path.join(shared, ".cache", "mamba"))
        made.update(dict.fromkeys(("CONDA_ALWAYS_YES", "MAMBA_ALWAYS_YES"), "true"))
        made.update({"CONDA_REGISTER_ENVS": "false", "PYTHONNOUSERSITE": "1", "PIP_USER": "0"})
        made.update({"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        return made

    # -- the ways ---------------------------------------------------------------------------------

    def _packages(self) -> None:
        """Make it by uv, or by venv and pip, or by conda's Python and pip."""
        minor = self._recipe["python"]
        path, there = tools.python(minor, self._want["pythons"], self._variables)
        uv = tools.find("uv", self._variables)
        conda = tools.conda(self._variables)
        if uv:
            words = [uv, "venv", "--quiet", "--no-project", "--python", path or minor, self._prefix]
            self._run(words, "" if path else _no_python(minor, there))
            self._install([uv, "pip", "install", "--python", self._python])
            return
        if path and self._answers([path, "-c", "import venv, ensurepip"]):
            self._run([path, "-m", "venv", self._prefix])
        elif conda:
            self._run([conda, "create", "--yes", "--quiet", "--prefix", self._prefix,
                       "python=%s" % minor, "pip"])  # fmt: skip
        elif path:
            raise NotMade("%s has no venv with pip; install uv, or python%s-venv" % (path, minor))
        else:
            raise NotMade("%s; install uv, or Python %s" % (_no_python(minor, there), minor))
        self._install([self._python, "-m", "pip", "install"])

    def _install(self, words: Sequence[str]) -> None:
        listed = self._made.path("files/requirements.txt")
        if os.path.exists(listed) and os.stat(listed).st_size:
            alone = ["--no-deps"] if self._recipe["kind"] == "packages" else []
            parts = self._made.path("files/parts.txt")
            limits = ["-c", parts] if "parts.txt" in self._recipe["files"] else []
            self._run([*words, *alone, "-r", listed, *limits])

    def _conda(self) -> None:
        tool = tools.conda(self._variables)
        if not tool:
            raise NotMade("a conda file needs micromamba, mamba or conda, and none is there")
        listed = self._made.path("files/environment.yml")
        words = [tool, "env", "create", "--quiet", "--prefix", self._prefix, "--file", listed]
        if os.path.basename(tool) == "micromamba":
            words = [tool, "create", "--yes", "--quiet", "--prefix", self._prefix, "--file", listed]
        self._run(words)

    def _verify(self) -> None:
        """Have its own Python look for the pins."""
        declared = {**self._recipe["pins"], "python": self._recipe["python"]}
        try:
            done = subprocess.run(
                [self._python, ZIPAPP, "has"], input=json.dumps(declared).encode(),
                stdout=subprocess.PIPE, stderr=self._log, env=self._variables, check=False,
            )  # fmt: skip
            wrong: List[str] = json.loads(done.stdout)
        except (OSError, ValueError):
            raise NotMade("its Python does not start: %s" % self._last_words()) from None
        if wrong:
            raise NotMade("what was made is not what is declared: %s" % "; ".join(wrong))

    # -- programs ---------------------------------------------------------------------------------

    def _run(self, words: Sequence[str], hint: str = "") -> None:
        """Run a tool to its end; raises NotMade, with its last lines, where it failed."""
        self._say("$ %s" % " ".join(words))
        code = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            env=self._variables, cwd=self._made.folder, preexec_fn=_ends_with_us,  # noqa: PLW1509
        ).wait()  # fmt: skip
        if code:
            name = " ".join([os.path.basename(words[0]), *(w for w in words[1:4] if w[0] != "-")])
            told = "%s failed (exit code %d): %s" % (name, code, self._last_words())
            raise NotMade("%s; %s" % (hint, told) if hint else told)

    def _answers(self, words: Sequence[str]) -> bool:
        return subprocess.call(
            words, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            env=self._variables,
        ) == 0  # fmt: skip

    def _say(self, line: str) -> None:
        os.write(self._log, (line + "\n").encode("utf-8", "replace"))

    def _last_words(self) -> str:
        with open(self._made.path("log"), "rb") as stream:
            stream.seek(max(0, os.fstat(self._log).st_size - _SAID_BYTES))
            lines = stream.read().decode("utf-8", "replace").split("\n")
        said = [" ".join(each.split()) for each in lines if each.strip()]
        return " / ".join(each for each in said[-_SAID_LINES:] if not each.startswith("$ "))


def sweep(made: Made) -> None:
    """Remove what a maker left that was killed; only for whoever holds the lock."""
    whole: Dict[str, str] = made.note("made.json") or {}
    kept = whole.get("python", "").split("/")[0]
    for name in os.listdir(made.folder):
        if (name.startswith(_PREFIX) and name != kept) or name in ("tmp", "files"):
            scratch.remove(made.path(name))


def _no_python(minor: str, there: Sequence[str]) -> str:
    return "there is no Python %s (there are %s)" % (minor, ", ".join(there) or "none")


def _ends_with_us() -> None:
    if usage.LINUX:
        try:
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        except (ImportError, OSError, AttributeError):
            pass
