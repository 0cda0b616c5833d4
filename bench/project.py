"""Makes a project of the size that the code digest is measured on: 100 modules of 300 lines.

Every function, class and constant is reached from `lab.entry.train`, so that nothing of it can
be left out of the digest. Module i is called by module i // 2, which makes a tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MODULES = 100
LINES = 300
_FUNCTION_LINES = 11


def make_project(folder: Path) -> int:
    """Write the project; how many lines it has."""
    package = folder / "lab"
    package.mkdir(parents=True)
    (folder / ".ems.yaml").write_text("# the root of this project\n")
    (package / "__init__.py").write_text("")
    for index in range(MODULES):
        (package / f"m{index:03}.py").write_text(module_text(index))
    (package / "entry.py").write_text(
        '"""Where it begins."""\n\nfrom lab import m000\n\n\n'
        "def train(x: float) -> float:\n    return m000.run(x)\n"
    )
    return sum(len(path.read_text().splitlines()) for path in package.glob("m*.py"))


def edit_module(folder: Path, index: int) -> None:
    """Change one constant of one module, as a researcher does."""
    path = folder / "lab" / f"m{index:03}.py"
    text = path.read_text()
    path.write_text(text.replace("GAIN = 1.5", "GAIN = 1.25"))


def module_text(index: int) -> str:
    """A module of LINES lines that calls those of its children in the tree."""
    children = [c for c in (2 * index, 2 * index + 1) if index < c < MODULES]
    if index == 0:
        children = [1]
    lines = [f'"""Part {index} of the project."""', "", "import math"]
    lines += ["from dataclasses import dataclass", ""]
    lines += [f"from lab import m{child:03}" for child in children]
    lines += ["", "GAIN = 1.5", f"OFFSET = {index}", "", ""]
    lines += ["@dataclass(frozen=True)", "class State:", '    """What a step keeps."""', ""]
    lines += ["    value: float", "    steps: int = 0", ""]
    lines += ['    def after(self, value: float) -> "State":']
    lines += ["        return State(self.value + value * GAIN, self.steps + 1)", "", ""]
    count = (LINES - len(lines) - 10 - len(children)) // _FUNCTION_LINES
    for number in range(count):
        lines += _function(number)
    lines += ["def run(x: float) -> float:", "    state = State(x)"]
    lines += [f"    x += m{child:03}.run(x)" for child in children]
    calls = ", ".join(f"step_{number}" for number in range(count))
    lines += [f"    for step in ({calls}):", "        state = step(state, x)"]
    lines += ["    return state.value + OFFSET"]
    lines[5 + len(children) : 5 + len(children)] = _filler(LINES - len(lines))
    return "\n".join(lines) + "\n"


def _function(number: int) -> Iterator[str]:
    yield f"def step_{number}(state: State, x: float) -> State:"
    yield f'    """Step {number}."""'
    yield f"    scale = math.sqrt({number} + 1) * GAIN"
    yield "    if x > scale:"
    yield "        x = math.fmod(x, scale)"
    yield "    values = [x * factor + OFFSET for factor in range(3)]"
    yield "    # the largest one decides"
    yield '    found = {"least": min(values), "most": max(values)}'
    yield f'    return state.after(found["most"] - found["least"] + {number})'
    yield ""
    yield ""


def _filler(count: int) -> list[str]:
    return ["# a comment that fills the module up to its length"] * max(0, count)
