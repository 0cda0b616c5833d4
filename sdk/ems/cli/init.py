"""`emsctl init`: a small pipeline that runs, to be changed into one's own."""

from __future__ import annotations

from pathlib import Path

import click

from ems.errors import UsageError
from ems.settings import FILE, STORE_FOLDER

PIPELINE = '''"""Which slot machine pays best? A small pipeline to be changed into your own.

    emsctl run pipeline.py
    emsctl run pipeline.py -p pulls=5000
"""

import json
import random

import ems

PAYS = [0.2, 0.5, 0.8]


@ems.task
def collect(arm: int, pulls: int) -> ems.File:
    """Pull one arm; keep what it paid."""
    luck = random.Random(arm)
    rewards = [luck.gauss(PAYS[arm], 1.0) for _ in range(pulls)]
    with open("rewards.json", "w") as out:
        json.dump(rewards, out)
    return ems.File("rewards.json")


@ems.task
def estimate(rewards: ems.File) -> float:
    """What an arm pays on average."""
    values = json.loads(rewards.read_text())
    return sum(values) / len(values)


@ems.task
def best(estimates: list[float]) -> int:
    """The arm that looks best."""
    return estimates.index(max(estimates))


@ems.pipeline
def main(pulls: int = 1000):
    estimates = [estimate(collect(arm, pulls)) for arm in range(len(PAYS))]
    return {"estimates": estimates, "best": best(estimates)}
'''

SETTINGS = f"""# Settings of this project. Every key may be left out.
store: {STORE_FOLDER}   # where results are kept: a folder (it may be shared), or s3://bucket/prefix
# jobs: 4     # how many CPUs a run may use; all of them if not set
"""


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Start with a small pipeline that runs: pipeline.py, .ems.yaml and a line in .gitignore.

    Nothing that is there is overwritten.
    """
    files = {"pipeline.py": PIPELINE, FILE: SETTINGS}
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise UsageError(
            str(folder), f"has {' and '.join(there)} already", "emsctl init NEW_FOLDER"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with open(folder / name, "x", encoding="utf-8") as out:
                out.write(text)
        made = [*files, *_ignore(folder)]
    except OSError as error:
        raise UsageError(str(folder), (error.strerror or str(error)).lower()) from None
    print(f"made {', '.join(made)} in {folder}")
    where = "" if folder == Path() else f"cd {folder} && "
    print(f"next: {where}emsctl run pipeline.py")


def _ignore(folder: Path) -> list[str]:
    """Keep the store out of git; return what was written."""
    path, line = folder / ".gitignore", f"{STORE_FOLDER}/"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if {line, STORE_FOLDER, f"/{line}"} & set(text.split()):
        return []
    with path.open("a", encoding="utf-8") as out:
        out.write(("\n" if text and not text.endswith("\n") else "") + line + "\n")
    return [f"a line in {path.name}"]
