"""Digests that must never change by themselves: across processes, Pythons, releases of EMS.

A change here re-runs everything that everybody ever computed. It needs an ADR.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.code.lab import LAB, TASKS
from tests.pipeline.code.sandbox import Sandbox
from tests.rigs import BETWEEN, NEWEST, interpreter, rig

SDK = Path(__file__).resolve().parents[3] / "sdk"

ODD = '''
import math as m, os.path
from collections import (OrderedDict as OD, defaultdict)
LIMIT = 10
def task(a, /, b: int = LIMIT, *args, c=1.5, **kw) -> int:
    """Every construct that Pythons have parsed differently."""
    text = f"a{{b}} {a!r:>{b}} {m.sin(b):.3f}" f"{'x'}" "tail" f"{b=}" f"{b = !s}"
    names = "\\u00e4\\U0001f9e0\\ud800" + "a" 'b'
    match a:
        case [1, "x", *rest] | {"k": OD(x=1), **more} if rest: return -1
        case None | True | 1.5 | -2j | OD.x: pass
        case (x, _) as pair: return pair
    try:
        with open(os.path.devnull) as f, open(text) as (g): yield f, g
    except* (OSError, ValueError) as e: raise e from None
    for i, *j in {**kw}.items():
        if (n := i) > 0x_ff: continue
        elif not n: break
        else: del j[0], i
    else: assert n, "no"
    async def inner():
        async with a as q: return [x async for x in q if await x]
    nums = 1_000, 1e999, 10**30, True, 0b11, 1e-7, ..., b"\\x00\\xff", 100000000000000000000000
    return (lambda *p, k=c, **o: (p, k, o))(*args, **kw), names, nums, a[1:2, ::3, ...], not a @ b
'''

# what each task of the lab reaches, folded into one digest
PINNED = {
    "collect": "0ae7bd9f202c77d9c4e5812b170fd1c7",
    "train": "2c8303cb43caebc4becffaac0a48162a",
    "evaluate": "0c9e42e33c3d0ee4a8127fb47820f86b",
    "plot": "d0ab050f23668ea22abffd382b61b012",
    "odd": "df17aceeab36f0654fc261e9ede96654",
}

SCRIPT = """
import hashlib, json, sys
from pathlib import Path
from ems.pipeline.code import Project
project = Project.of(Path(sys.argv[1]) / "pipeline.py", Path(sys.argv[2]))
found = {}
for module, task in json.loads(sys.argv[3]):
    parts = project.code_of_symbol(module, task).parts
    found[task if module != "odd" else "odd"] = hashlib.sha256(
        json.dumps(dict(parts), sort_keys=True).encode()
    ).hexdigest()[:32]
print(json.dumps(found))
"""


def digests(python: str, sandbox: Sandbox, seed: str = "random") -> dict[str, str]:
    import json

    sandbox.write({**LAB, "odd.py": ODD})
    wanted = json.dumps([*(("pipeline", task) for task in TASKS), ("odd", "task")])
    done = subprocess.run(
        [python, "-c", SCRIPT, str(sandbox.root), str(sandbox.cache), wanted],
        env={**os.environ, "PYTHONPATH": str(SDK), "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("seed", ["0", "7", "random"])
def test_digests_are_pinned(sandbox: Sandbox, seed: str) -> None:
    assert digests(sys.executable, sandbox, seed) == PINNED


@rig("python-newest")
def test_digests_are_the_same_on_the_newest_python(sandbox: Sandbox) -> None:
    assert digests(str(interpreter(NEWEST)), sandbox) == PINNED


@rig("python-between")
def test_digests_are_the_same_on_the_python_between(sandbox: Sandbox) -> None:
    assert digests(str(interpreter(BETWEEN)), sandbox) == PINNED


def test_digests_are_the_same_from_the_memo(sandbox: Sandbox) -> None:
    assert digests(sys.executable, sandbox) == digests(sys.executable, sandbox) == PINNED
