"""Make the pictures of README: `python docs/images/make.py [terminal] [plot]`; both without words.

The terminal is a real session of `emsctl` with the tutorial's pipeline, on a pseudo-terminal. The
plot is what examples/four_rooms gives, half a minute of work.
"""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WIDTH = 96
LINE = ("arms == arm].mean() for", "arms == arm].mean() / 2 for")


def terminal() -> None:
    """Draw the session: a run, the same again, a changed line, and why."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.py"
        page = (ROOT / "docs/tutorial/first-pipeline.md").read_text(encoding="utf-8")
        found = re.search(r"```python file=pipeline.py\n(.*?)```", page, re.S)
        assert found and LINE[0] in found[1]
        path.write_text(found[1], encoding="utf-8")
        shown = [
            _typed(folder, "emsctl run pipeline.py"),
            _typed(folder, "emsctl run pipeline.py"),
        ]
        path.write_text(found[1].replace(*LINE), encoding="utf-8")
        shown += [
            Text("# train: trust an arm half as much", style="italic bright_black"),
            _typed(folder, "emsctl run pipeline.py"),
            _typed(folder, "emsctl why train"),
        ]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for each in shown:
        console.print(each)
    svg = console.export_svg(title="emsctl")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.S)  # nothing is fetched to show it
    (HERE / "terminal.svg").write_text(svg, encoding="utf-8")


def plot() -> None:
    """Run the quickstart and keep its plot."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pipeline.py", "rooms"):
            source = ROOT / "examples/four_rooms" / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, Path(folder) / name)
        done = subprocess.run(
            [*_emsctl("run"), "pipeline.py", "-o", "json"],
            cwd=folder, env=_environment(folder), stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        result = json.loads(done.stdout)["result"]
        shutil.copyfile(Path(folder) / result["plot"], HERE / "four_rooms.png")
    print(f"success {result['success']:.0%}, random {result['random']:.0%}")


def _typed(folder: str, line: str) -> Text:
    """Return a typed command and what a terminal shows of it at its end."""
    answer = Text.from_ansi(_run(folder, line.split()))
    return Text.assemble(("$ ", "bold green"), (line, "bold"), "\n", answer)


def _run(folder: str, words: list[str]) -> str:
    main, other = pty.openpty()
    process = subprocess.Popen(
        [*_emsctl(words[1]), *words[2:]],
        cwd=folder, env=_environment(folder), stdin=other, stdout=other, stderr=other,
    )  # fmt: skip
    os.close(other)
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(main)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(words)}: exit status {process.returncode}")
    return _settled(b"".join(parts).decode())


def _settled(raw: str) -> str:
    """Return what is left on the screen when a display that is redrawn in place has ended."""
    lines, at = [""], 0
    for token in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|\r\n|\r|\n|[^\x1b\r\n]+", raw):
        if token in ("\r\n", "\n"):
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif token == "\x1b[2K":
            lines[at] = ""
        elif re.fullmatch(r"\x1b\[\d*A", token):
            at = max(0, at - int(token[2:-1] or 1))
        elif token.endswith("m") or not token.startswith(("\x1b", "\r")):
            lines[at] += token
    return "\n".join(lines).rstrip()


def _emsctl(command: str) -> list[str]:
    return [str(Path(sys.executable).parent / "emsctl"), command]


def _environment(folder: str) -> dict[str, str]:
    """Return variables for a session of nobody in particular."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {
        "HOME": folder,
        "LOGNAME": "ada",
        "EMS_CACHE": f"{folder}/.cache",
        "TERM": "xterm-256color",
        "COLUMNS": str(WIDTH),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


if __name__ == "__main__":
    for name in sys.argv[1:] or ["terminal", "plot"]:
        {"terminal": terminal, "plot": plot}[name]()
        print(f"docs/images: {name}")
