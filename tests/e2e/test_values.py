"""What goes through tasks: plain data, files and folders, dataclasses, arrays, frames, parts."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.lab import Lab, ran

VALUES = """
    import datetime
    import enum
    from dataclasses import dataclass, field
    from pathlib import Path
    from typing import NamedTuple

    import numpy as np
    import pandas as pd

    import ems


    class Mode(enum.Enum):
        FAST = "fast"
        SLOW = "slow"


    class Point(NamedTuple):
        x: int
        y: float


    @dataclass(frozen=True)
    class Model:
        weights: np.ndarray
        notes: ems.File
        mode: Mode = Mode.FAST
        tags: list[str] = field(default_factory=list)


    @ems.task
    def plain():
        return {
            "none": None, "yes": True, "big": 2**70, "nan": float("nan"), "minus": -0.0,
            "text": "Grüße \\u2028 \\x00 {x} $y", "bytes": b"\\x00\\xff", "tuple": (1, (2, "3")),
            "set": {3, 1, 2}, "keys": {1: "int", (2, 3): "tuple"}, "dollar": {"$file": ["x"]},
            "when": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
            "span": datetime.timedelta(seconds=1.5), "mode": Mode.SLOW, "point": Point(1, 2.5),
            "complex": 1 + 2j, "path": Path("no/such"), "empty": [[], {}, (), set()],
        }


    @ems.task
    def same(value):
        return value


    @ems.task
    def kinds(value: dict) -> dict:
        return {name: type(item).__name__ for name, item in value.items()}


    @ems.task
    def train(raw: ems.File, rate: float) -> Model:
        with open(raw) as stream:
            rows = [float(line) for line in stream]
        with open("notes.txt", "w") as stream:
            stream.write(f"{len(rows)} rows")
        return Model(np.array(rows) * rate, ems.File("notes.txt"), tags=["a", "b"])


    @ems.task
    def inspect(weights, notes, model, first):
        return {
            "sum": float(weights.sum()), "dtype": str(weights.dtype), "notes": open(notes).read(),
            "name": notes.name, "tags": model.tags, "mode": model.mode, "first": first,
            "same": bool((model.weights == weights).all()), "kind": type(model).__name__,
        }


    @ems.task
    def folder():
        import os

        os.makedirs("out/sub")
        for name in ("b.txt", "a.txt", "sub/c.txt"):
            with open(f"out/{name}", "w") as stream:
                stream.write(name)
        os.chmod("out/b.txt", 0o755)
        return {"made": ems.Dir("out"), "one": [ems.File("out/a.txt")]}


    @ems.task
    def listing(made: ems.Dir):
        import os

        assert os.access(made / "b.txt", os.X_OK) and not os.access(made / "a.txt", os.X_OK)
        return sorted(str(path.relative_to(made.path)) for path in made.glob("**/*.txt"))


    @ems.task
    def frames():
        frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]}, index=[10, 20, 30])
        return {"frame": frame, "series": frame["a"], "mask": np.array([[True, False]]),
                "scalar": np.float32(0.5), "words": np.array(["x", "yy"]), "none": np.zeros((0, 3))}


    @ems.task
    def read_frames(all, part):
        return [list(part.columns), list(part.index), int(all["series"].sum()),
                str(all["mask"].dtype), str(all["scalar"].dtype), all["none"].shape]


    @ems.pipeline
    def main(raw: ems.File = ems.File("raw.txt")):
        value = plain()
        model = train(raw, rate=0.5)
        made = folder()
        tables = frames()
        return {
            "value": same(value),
            "kinds": kinds(value),
            "parts": [value["tuple"][1][0], value["keys"][1], value["point"].y, value["tuple"][-1]],
            "seen": inspect(model.weights, model.notes, model, model.tags[0]),
            "list": listing(made["made"]),
            "one": made["one"][0],
            "dir": made["made"],
            "frames": read_frames(tables, tables["frame"]),
            "frame": tables["frame"],
            "inside": same([{"deep": (model.notes, raw)}]),
            "constant": 7,
        }
    """


def test_values_pass_whole_and_in_parts(lab: Lab) -> None:
    lab.write("pipeline.py", VALUES)
    lab.write("raw.txt", "1\n2\n3\n")
    run = lab.ems_run()
    result, plain = run.result, run.result["value"]
    module = lab.load().fn.__globals__
    expected = module["plain"]()  # outside a pipeline a task is an ordinary function
    assert repr(plain.pop("nan")) == repr(expected.pop("nan")) == "nan"
    assert repr(plain) == repr(expected)
    assert {name: type(item).__name__ for name, item in expected.items()} == {
        key: kind for key, kind in result["kinds"].items() if key != "nan"
    }
    assert result["parts"] == [2, "int", 2.5, (2, "3")]
    seen = result["seen"]
    assert seen.pop("mode").name == "FAST"
    assert seen == {
        "sum": 3.0, "dtype": "float64", "notes": "3 rows", "name": "notes.txt",
        "tags": ["a", "b"], "first": "a", "same": True, "kind": "Model",
    }  # fmt: skip
    assert result["list"] == ["a.txt", "b.txt", "sub/c.txt"]
    assert Path(result["one"]).read_text() == "a.txt" and result["one"].name == "a.txt"
    assert (Path(result["dir"]) / "sub" / "c.txt").read_text() == "sub/c.txt"
    assert result["frames"] == [["a", "b"], [10, 20, 30], 6, "bool", "float32", (0, 3)]
    assert list(result["frame"]["b"].isna()) == [False, False, True]
    notes, raw = result["inside"][0]["deep"]
    assert notes.read_text() == "3 rows" and raw.read_text() == "1\n2\n3\n"
    assert result["constant"] == 7
    assert ran(lab.ems_run()) == []


def test_only_what_reads_a_changed_file_runs(lab: Lab) -> None:
    lab.write("pipeline.py", VALUES)
    lab.write("raw.txt", "1\n2\n3\n")
    lab.ems_run()
    lab.write("raw.txt", "1\n2\n4\n")
    assert ran(lab.ems_run()) == ["inspect", "same[1]", "train"]


def test_files_come_from_the_tasks_own_scratch_folder(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import ems

        @ems.task
        def outside():
            return ems.File("/etc/hostname")

        @ems.task
        def missing():
            return {"model": ems.File("never-written.npz")}

        @ems.pipeline
        def main():
            return outside(), missing()
        """,
    )
    run = lab.run("-k", code=100)
    told = {failure["task"]: " ".join(failure["text"]) for failure in run.failures}
    assert "/etc/hostname" in told["outside"] and "scratch" in told["outside"]
    assert "never-written.npz" in told["missing"]


def test_a_result_that_cant_be_kept_names_object_and_attribute(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import threading
        from dataclasses import dataclass

        import ems

        @dataclass
        class Holder:
            name: str
            parts: dict

        @ems.task
        def make():
            return Holder("x", {"inner": [1, threading.Lock()]})

        @ems.task(pickle=True)
        def opted():
            return Holder("x", {"inner": [1, type(threading)("made")]})

        class Old:
            def __init__(self, n):
                self.n = n

        @ems.task(pickle=True)
        def old():
            return Old(7)

        @ems.task(pickle=True)
        def use(old):
            return old.n + 1

        @ems.pipeline
        def main(pickled: bool = False):
            return use(old()) if pickled else make()
        """,
    )
    run = lab.run(code=100)
    (failure,) = run.failures
    assert failure["task"] == "make" and failure["reason"] == "unkept"
    assert "result.parts['inner'][1]" in failure["message"]
    assert "_thread.lock" in failure["message"]
    assert lab.run("-p", "pickled=true").result == 8


def test_a_missing_item_of_a_result_says_what_there_is(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import ems

        @ems.task
        def split():
            return {"train": [1], "test": [2]}

        @ems.task
        def use(rows):
            return rows

        @ems.pipeline
        def main():
            return use(split()["valid"])
        """,
    )
    run = lab.run(code=100)
    (failure,) = run.failures
    assert failure["task"] == "use"
    assert "'valid'" in failure["message"] and "'train', 'test'" in failure["message"]
