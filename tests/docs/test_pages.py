"""README and docs/ do what they say: files are written and commands run, page by page."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs.pages import Command, File, blocks, matches, normal, outputs, script, steps

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    if "reference" not in page.parts and "adr" not in page.parts
)


@pytest.mark.parametrize("page", PAGES)
def test_python_of_a_page_compiles(page: str) -> None:
    for block in blocks((ROOT / page).read_text(encoding="utf-8")):
        if block.language == "python":
            ast.parse(block.text, f"{page}:{block.line}")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.timeout(300)
def test_commands_of_a_page_do_what_it_shows(page: str, tmp_path: Path) -> None:
    todo = steps((ROOT / page).read_text(encoding="utf-8"))
    if not any(isinstance(step, Command) for step in todo):
        return
    folder = tmp_path / "work"
    folder.mkdir()
    done = subprocess.run(
        ["bash", "-c", script(todo)],
        cwd=folder,
        env=_environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    results = outputs(done.stdout)
    for number, step in enumerate(todo):
        if isinstance(step, Command):
            status, real = results.get(number, (-1, ["(was not reached)", done.stderr]))
            _compare(page, step, status, real, asked=_asks(todo[number + 1 : number + 2]))


def _compare(page: str, step: Command, status: int, real: list[str], *, asked: bool) -> None:
    said = "\n".join(real)
    where = f"{page}:{step.line}: $ {step.text}"
    assert status == 0 or asked, f"{where}\nexit status {status}\n{said}"
    if step.shown is not None and not matches(step.shown, real):
        shown = "\n".join(step.shown)
        raise AssertionError(f"{where}\n--- the page shows\n{shown}\n--- it printed\n{said}")


def _asks(following: Sequence[Command | File]) -> bool:
    """Whether the next command asks for this one's exit status."""
    return any(isinstance(step, Command) and "$?" in step.text for step in following)


def _environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of Ada, a reader: EMS on the PATH, a home and a cache of her own."""
    keep = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return keep | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LOGNAME": "ada",
        "EMS_CACHE": str(tmp_path / "cache"),
        "EMS_REPO": str(ROOT),
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }


PAGE = """
```python file=lib/hello.py
print("hello 3.21 s")
```
<!-- $ export WORD=there -->
```console
$ python lib/hello.py
hello 0.4 s
$ echo $WORD; printf 'a\\nb\\nc\\n'; false
there
...
c
$ echo $?
1
```
```console norun=a-fresh-clone
$ exit 7
```
"""


def test_a_page_is_followed_as_a_reader_would(tmp_path: Path) -> None:
    todo = steps(PAGE)
    done = subprocess.run(
        ["bash", "-c", script(todo)],
        cwd=tmp_path,
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    results = outputs(done.stdout)
    for number, step in enumerate(todo):
        if isinstance(step, Command):
            status, real = results[number]
            _compare("PAGE", step, status, real, asked=_asks(todo[number + 1 : number + 2]))
    with pytest.raises(AssertionError, match="the page shows"):
        _compare("PAGE", Command(1, "x", ["a line"]), 0, ["another"], asked=False)
    with pytest.raises(AssertionError, match="exit status 3"):
        _compare("PAGE", Command(1, "x", None), 3, [], asked=False)


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ("run 4f2a91c0 done in 1.2 s", "run 77be01aa done in 31 ms"),
        ("2 tasks, 1.5 MiB", "2 tasks,  900 B"),
        ("at 2026-01-02 10:11", "at 2027-03-04 23:59"),
        ("run 20260102-101112-abcd: main", "run 20270304-010203-wxyz: main"),
        ("  ran add (5.9e-05 s)", "  ran add (0.2 s)"),
        ("started by ada on laptop", "started by root on vm"),
        ("train ... ok", "train seed=3 ok"),
    ],
)
def test_times_sizes_dates_and_ids_are_equal_to_each_other(shown: str, real: str) -> None:
    assert matches([shown], [real])


def test_tasks_that_run_side_by_side_may_end_in_any_order() -> None:
    shown = ["run x: main", "  ran a[0] (1 s)", "  ran a[1] (1 s)", "done in 2 s: 2 ran"]
    assert matches(shown, [shown[0], "  ran a[1] (9 ms)", "  ran a[0] (7 ms)", shown[3]])
    assert not matches(shown, [shown[0], "  ran a[1] (9 ms)", shown[3], "  ran a[0] (7 ms)"])
    assert not matches(shown, [shown[0], "  ran a[1] (9 ms)", "  ran a[1] (7 ms)", shown[3]])


def test_numbers_that_say_something_are_compared() -> None:
    assert not matches(["4 tasks ran"], ["5 tasks ran"])
    assert normal("4 tasks, 8 cached") == "4 tasks, 8 cached"
