"""Graphs that follow the data: map, fold, arrivals, pipelines in pipelines, order without data."""

from __future__ import annotations

import os

import ems
from tests.e2e.lab import Lab, how, ran

MAPPED = """
    import ems

    @ems.task
    def names(count: int):
        return [f"item{n}" for n in range(count)]

    @ems.task
    def clean(name, suffix="!"):
        return name + suffix

    @ems.task
    def add(so_far, item, gap=","):
        return so_far + gap + item

    @ems.task
    def size(items):
        return len(items)

    @ems.pipeline
    def main(count: int = 3):
        found = names(count)
        cleaned = ems.map(clean, found, suffix="?")
        return {
            "cleaned": cleaned,
            "size": size(cleaned),
            "second": clean(cleaned[1]) if count else None,
            "folded": ems.fold(add, cleaned, "start", gap=";"),
            "known": ems.map(clean, ["x", "y"]),
            "plain": ems.fold(add, [], "none"),
        }
    """


def test_map_and_fold_over_results(lab: Lab) -> None:
    lab.write("pipeline.py", MAPPED)
    first = lab.ems_run()
    assert first.result == {
        "cleaned": ["item0?", "item1?", "item2?"],
        "size": 3,
        "second": "item1?!",
        "folded": "start;item0?;item1?;item2?",
        "known": ["x!", "y!"],
        "plain": "none",
    }
    assert ran(lab.ems_run()) == []
    more = lab.ems_run(count=5)
    assert len(ran(more)) == 1 + 2 + 2 + 1  # names, two items, two steps, size
    assert more.result["folded"] == "start;item0?;item1?;item2?;item3?;item4?"
    again = ems.run(lab.load(), options=ems.RunOptions(rerun=["clean[1]", "add"]))
    assert ran(again) == ["add[0]", "add[1]", "add[2]", "clean[1]"]
    until = ems.run(lab.load(), options=ems.RunOptions(until=["clean"]), count=6)
    assert ran(until) == ["map(clean)/clean[5]", "names"] and until.state == "done"
    none = lab.ems_run(count=0)
    assert none.result["cleaned"] == [] and none.result["folded"] == "start"
    assert none.result["size"] == 0


ARRIVALS = """
    import ems

    @ems.task
    def clean(file: ems.File):
        with open("clean.txt", "w") as out:
            out.write(open(file).read().upper())
        return ems.File("clean.txt")

    @ems.task
    def add(state: dict, file: ems.File):
        return {"seen": state["seen"] + [open(file).read()]}

    @ems.pipeline
    def main():
        raw = ems.files("data/raw/*.txt", order="arrival")
        return ems.fold(add, ems.map(clean, raw), {"seen": []})

    @ems.pipeline
    def named():
        return ems.fold(add, ems.files("data/**/*.txt", order="name"), {"seen": []})
    """


def test_only_new_arrivals_are_processed(lab: Lab) -> None:
    lab.write("pipeline.py", ARRIVALS)
    for number, name in enumerate(("m", "k", "z")):
        path = lab.write(f"data/raw/{name}.txt", f"{name}{number}")
        os.utime(path, ns=(10**18 + number, 10**18 + number))
    first = lab.ems_run("pipeline.py:main")
    assert first.result == {"seen": ["M0", "K1", "Z2"]}
    assert len(ran(first)) == 6

    # new ones: sorted first by name and older by time, and yet they come last
    for name in ("a", "b"):
        path = lab.write(f"data/raw/{name}.txt", name)
        os.utime(path, ns=(10**17, 10**17))
    grown = lab.ems_run("pipeline.py:main")
    assert grown.result == {"seen": ["M0", "K1", "Z2", "A", "B"]}
    assert sorted(each.partition("[")[0] for each in ran(grown)) == ["add", "add", "clean", "clean"]

    # renamed, touched, copied: the content is what counts
    (lab.root / "data/raw/k.txt").rename(lab.root / "data/raw/0.txt")
    os.utime(lab.root / "data/raw/m.txt")
    lab.write("data/raw/copy-of-z.txt", "z2")
    same = lab.ems_run("pipeline.py:main")
    assert ran(same) == [] and same.result == grown.result

    # one that is gone, one that changed: what came after it is folded anew
    lab.write("data/raw/b.txt", "changed")
    changed = lab.ems_run("pipeline.py:main")
    assert changed.result == {"seen": ["M0", "K1", "Z2", "A", "CHANGED"]}
    assert len(ran(changed)) == 2
    (lab.root / "data/raw/a.txt").unlink()
    shorter = lab.ems_run("pipeline.py:main")
    assert shorter.result == {"seen": ["M0", "K1", "Z2", "CHANGED"]}
    assert len(ran(shorter)) == 1

    by_name = lab.ems_run("pipeline.py:named")
    assert by_name.result == {"seen": ["k1", "changed", "z2", "m0", "z2"]}


def test_arrival_order_is_the_same_from_the_command_line(lab: Lab) -> None:
    lab.write("pipeline.py", ARRIVALS)
    lab.write("data/raw/b.txt", "b")
    plan = lab.emsctl("run", "pipeline.py:main", "-n", "-o", "json").json
    assert {row["task"]: row["run"] for row in plan["tasks"]}["clean"] == 1
    lab.write("data/raw/a.txt", "a")
    os.utime(lab.root / "data/raw/a.txt", ns=(1, 1))
    first = lab.run(file="pipeline.py:main")
    assert first.result == {"seen": ["A", "B"]}  # -n noted nothing: both arrive now, oldest first
    lab.write("data/raw/0.txt", "0")
    second = lab.run(file="pipeline.py:main")
    assert second.result == {"seen": ["A", "B", "0"]} and len(second.ran) == 2
    empty = lab.write("pipeline2.py", ARRIVALS).name
    for path in (lab.root / "data/raw").iterdir():
        path.unlink()
    assert lab.run(file=f"{empty}:main").result == {"seen": []}


NESTED = """
    import os
    import time

    import ems

    def mark(word):
        with open(os.environ["MARKS"], "a") as out:
            out.write(word + "\\n")

    @ems.task
    def train(x, times=2):
        return x * times

    @ems.task
    def listed(n):
        return list(range(n))

    @ems.pipeline
    def inner(x, times: int = 3):
        return {"trained": train(x, times)}

    @ems.pipeline
    def down(n: int):
        return [train(n), *(down(n - 1) if n else [])]

    @ems.task
    def slow():
        time.sleep(0.3)
        mark("slow")

    @ems.task
    def quick(n):
        mark(f"quick{n}")
        return n

    @ems.pipeline
    def main():
        first, second = inner(1), inner(x=first_of(2), times=5)
        waited = slow()
        return {
            "both": [first["trained"], second["trained"]],
            "again": inner(1)["trained"],
            "down": down(2),
            "mapped": ems.map(inner, listed(3), times=7),
            "after": quick(1, after=waited),
            "list": quick(2, after=[waited, first["trained"]]),
        }

    def first_of(x):
        return train(x, 1)
    """


def test_pipelines_call_pipelines_and_after_orders(lab: Lab) -> None:
    lab.write("pipeline.py", NESTED)
    run = lab.ems_run("pipeline.py:main")
    assert run.result["both"] == [3, 10]
    assert run.result["again"] == 3
    assert run.result["down"] == [4, 2, 0]
    assert [each["trained"] for each in run.result["mapped"]] == [0, 7, 14]
    assert run.result["after"] == 1 and run.result["list"] == 2
    assert lab.marks()[0] == "slow" and sorted(lab.marks()[1:]) == ["quick1", "quick2"]
    labels = how(run)
    assert labels["inner/train"] == "ran" and labels["inner[2]/train"] == "cached"
    assert ran(lab.ems_run("pipeline.py:main")) == []


def test_after_a_failure_nothing_follows(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import ems

        @ems.task
        def breaks():
            raise ValueError("no")

        @ems.task
        def follows():
            return 1

        @ems.pipeline
        def main():
            return follows(after=breaks())
        """,
    )
    run = lab.run("-k", code=100)
    assert run.how == {"breaks": "failed", "follows": "skipped"}
