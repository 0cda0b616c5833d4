"""Nothing is computed twice, nothing is published under a wrong name, and digests agree."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.e2e.lab import Lab, how, ran

COUNTED = """
    import os
    import time

    import ems

    def mark(word):
        with open(os.environ["MARKS"], "a") as out:
            out.write(word + "\\n")

    @ems.task
    def base(n, wait=0.0):
        mark(f"base {n}")
        time.sleep(wait)
        return n * 2

    @ems.task
    def over(x):
        mark(f"over {x}")
        return x + 1

    @ems.pipeline
    def main(wait: float = 0.0):
        left, right = over(base(1, wait)), over(base(1, wait))
        merged = over(2)
        return [left, right, merged, over(base(1, wait))]

    @ems.pipeline
    def slow():
        return [over(base(n, 0.4)) for n in range(3)]

    @ems.pipeline
    def slow_too():
        return [base(n, 0.4) for n in range(2, -1, -1)] + [over(10)]
    """


def test_the_same_work_in_two_branches_runs_once(lab: Lab) -> None:
    lab.write("pipeline.py", COUNTED)
    run = lab.ems_run("pipeline.py:main")
    assert run.result == [3, 3, 3, 3]
    assert lab.marks() == ["base 1", "over 2"]
    assert sorted(how(run).values()) == ["cached"] * 5 + ["ran"] * 2


def test_two_runs_at_once_run_once(lab: Lab) -> None:
    lab.write("pipeline.py", COUNTED)
    started = [
        lab.start("run", f"pipeline.py:{name}", "-o", "json")
        for name in ("slow", "slow", "slow_too")
    ]
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    assert sorted(lab.marks()) == [
        "base 0",
        "base 1",
        "base 2",
        "over 0",
        "over 10",
        "over 2",
        "over 4",
    ]
    assert any("waiting for its result" in err for _, err in ended)


FILES = """
    import os

    import ems

    @ems.task
    def read(file):
        text = open(file).read()
        if os.environ.get("CHANGE"):
            with open(os.environ["CHANGE"], "w") as out:
                out.write("changed meanwhile")
        return text

    @ems.task
    def walk(folder: ems.Dir):
        return sorted(path.name for path in folder.glob("*"))

    @ems.task
    def shout(text):
        return text.upper()

    @ems.pipeline
    def main():
        text = read(ems.File("data/a.txt"))
        return [shout(text), walk(ems.Dir("data"))]
    """


def test_times_and_names_do_not_count_but_content_does(lab: Lab) -> None:
    lab.write("pipeline.py", FILES)
    path = lab.write("data/a.txt", "one")
    assert lab.ems_run().result == ["ONE", ["a.txt"]]
    os.utime(path, ns=(10**18, 10**18))
    path.write_text("one")
    path.chmod(0o600)
    assert ran(lab.ems_run()) == []
    lab.edit("pipeline.py", ('ems.File("data/a.txt")', 'ems.File("b.txt")'))
    path.rename(lab.root / "b.txt")
    shutil.copy(lab.root / "b.txt", path)
    assert ran(lab.ems_run()) == []
    path.rename(lab.root / "data/c.txt")
    assert ran(lab.ems_run()) == ["walk"]
    (lab.root / "b.txt").write_text("two")  # of the same size
    changed = lab.ems_run()
    assert ran(changed) == ["read", "shout"] and changed.result[0] == "TWO"


def test_a_file_that_changes_while_it_is_read_is_not_published(lab: Lab) -> None:
    lab.write("pipeline.py", FILES)
    path = lab.write("data/a.txt", "as it was")
    run = lab.run(code=100, env={"CHANGE": str(path)})
    (failure,) = run.failures
    assert failure["task"] == "read" and failure["reason"] == "input_changed"
    assert "a.txt" in failure["message"]
    with lab.store() as store:
        assert store.record(run.versions["read"]) is None
    then = lab.run()
    assert then.result[0] == "CHANGED MEANWHILE"
    assert then.versions["read"] != run.versions["read"]
    path.write_text("as it was")
    assert "read" in lab.run().ran


def test_the_same_result_stops_the_wave(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import numpy as np

        import ems

        @ems.task
        def make(n):
            with open("made.txt", "w") as out:
                out.write("always the same")
            return {"file": ems.File("made.txt"), "array": np.arange(3), "n": 7}

        @ems.task
        def middle(made):
            return made["n"]

        @ems.task
        def last(x, file, array):
            return [x, open(file).read(), int(array.sum())]

        @ems.pipeline
        def main(n: int = 1):
            made = make(n)
            return last(middle(made), made["file"], made["array"])
        """,
    )
    assert lab.ems_run().result == [7, "always the same", 3]
    assert ran(lab.ems_run(n=2)) == ["make"]
    lab.edit("pipeline.py", ('"n": 7', '"n": 6 + 1'))
    assert ran(lab.ems_run(n=2)) == ["make"]
    lab.edit("pipeline.py", ('return made["n"]', 'return made["n"] + 0'))
    assert ran(lab.ems_run(n=2)) == ["middle"]


HASHED = """
    import ems

    WORDS = {"one", "two", "three", "four"}
    FROZEN = frozenset(("x", "y", "z"))
    TABLE = {"b": 1, "a": {2, 3}}

    @ems.task
    def pick(word, among=frozenset({"p", "q", "r"}), rows=None):
        return sorted(w for w in WORDS | FROZEN | among if w in {"one", "x", "q"} or w == word)

    @ems.task
    def table(sets):
        return {name: set(TABLE["a"]) | each for name, each in sets.items()}

    @ems.pipeline
    def main():
        made = table({"l": {"c", "a", "b"}, "k": {1, 2, (3, "x")}})
        return [pick("two", rows={"u", "v"}), pick("four", rows=made["l"]), made]
    """


def test_digests_are_equal_across_processes_and_hash_seeds(lab: Lab, tmp_path: Path) -> None:
    lab.write("pipeline.py", HASHED)
    first = lab.run(env={"PYTHONHASHSEED": "1"})
    assert len(first.ran) == 3
    assert lab.run(env={"PYTHONHASHSEED": "2"}).ran == []
    (tmp_path / "other").mkdir()
    other = Lab(tmp_path / "other")
    other.write("pipeline.py", HASHED)
    second = other.run(env={"PYTHONHASHSEED": "3"})
    assert len(second.ran) == 3 and second.versions == first.versions
    with lab.store() as ours, other.store() as theirs:
        for version in first.versions.values():
            mine, hers = ours.record(version), theirs.record(version)
            assert mine is not None and hers is not None and mine.content == hers.content


def test_two_people_share_a_store(lab: Lab, tmp_path: Path) -> None:
    lab.write("pipeline.py", COUNTED)
    lab.write(".ems.yaml", f"store: {tmp_path / 'shared'}\n")
    first = lab.emsctl("run", "pipeline.py:main", "-o", "json").json
    home = tmp_path / "second person"
    home.mkdir()
    other = Lab(home)
    shutil.copy(lab.root / "pipeline.py", other.root)
    there = other.emsctl(
        "--store", str(tmp_path / "shared"), "run", "pipeline.py:main", "-o", "json"
    )
    assert first["counts"]["ran"] == 2 and there.json["counts"] == {"cached": 7}
    assert there.json["result"] == first["result"]
