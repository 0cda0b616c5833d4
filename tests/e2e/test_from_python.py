"""`ems.run`: from Python, from a script's own __main__, and from a notebook's cells."""

from __future__ import annotations

import signal
from typing import Any

import pytest

import ems
from ems.pipeline.observer import Observer, Snapshot
from ems.session import RunOptions, Session
from tests.e2e.lab import Lab, how, ran

SIMPLE = """
    import ems

    @ems.task
    def add(a, b=1):
        if a < 0:
            raise ValueError(f"a is {a}")
        print("adding", a)
        return a + b

    @ems.pipeline
    def main(workers: int = 2):
        return {"sums": [add(n) for n in range(workers)]}

    @ems.pipeline
    def negative(workers: int = 2):
        return [add(workers), add(-1)]
    """


def test_a_run_has_results_records_and_timings(lab: Lab) -> None:
    lab.write("pipeline.py", SIMPLE)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run = lab.ems_run(workers=3)
    assert run.result == {"sums": [1, 2, 3]} and run.state == "done" and run.exit_code == 0
    assert run.counts == {"ran": 3} and run.pipeline == "main" and run.seconds > 0
    assert set(run.records) == set(run.timings) == set(run.versions) == set(how(run))
    assert all(0 <= seconds < 5 for seconds in run.timings.values())
    assert run.records["add[1]"].log == "adding 1\n"
    again = lab.ems_run(workers=3)
    assert again.counts == {"cached": 3} and again.timings == run.timings
    # a notebook's own Ctrl-C works as before
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_errors_from_python(lab: Lab) -> None:
    lab.write("pipeline.py", SIMPLE)
    with pytest.raises(ems.RunFailed, match=r"add\[1\]: ValueError: a is -1") as caught:
        lab.ems_run("pipeline.py:negative")
    failed = caught.value.run
    assert failed.state == "failed" and failed.exit_code == caught.value.exit_code == 100
    assert failed.failures[0].traceback[-1] == "ValueError: a is -1"
    assert isinstance(caught.value, ems.EmsError)
    cases: list[dict[str, Any]] = [{"workers": "8"}, {"workers": 1.5}, {"worker": 8}]
    for wrong in cases:
        with pytest.raises(ems.UsageError, match="worker"):
            lab.ems_run(**wrong)
    with pytest.raises(ems.UsageError, match=r"ems\.pipeline"):
        ems.run(lambda: 1)  # type: ignore[arg-type]
    with pytest.raises(ems.UsageError, match="outside a run"):
        lab.load()()
    options = ems.RunOptions(rerun=["add"], jobs=1)
    assert ran(ems.run(lab.load(), options=options)) == ["add[0]", "add[1]"]


SCRIPT = """
    import sys
    from dataclasses import dataclass

    import ems
    from helper import double

    SCALE = 10

    @dataclass
    class Row:
        value: int

    @ems.task
    def make(n: int) -> Row:
        return Row(double(n) * SCALE)

    @ems.task
    def read(row: Row) -> str:
        return f"{type(row).__name__}: {row.value}"

    @ems.pipeline
    def main(n: int = 3):
        return [make(n), read(make(n))]

    if __name__ == "__main__":
        run = ems.run(main, n=int(sys.argv[1]))
        first = run.result[0]
        print(isinstance(first, Row), first.value, run.result[1], dict(run.counts))
    """


def test_a_plain_script_runs_its_own_pipeline(lab: Lab) -> None:
    lab.write("script.py", SCRIPT)
    lab.write("helper.py", "def double(n):\n    return n * 2\n")
    first = lab.python("script.py", "3")
    assert (first.out, first.code) == (
        "True 60 Row: 60 {'ran': 2, 'cached': 1}\n", 0
    ), first.err  # fmt: skip
    assert lab.python("script.py", "3").out == "True 60 Row: 60 {'cached': 3}\n"
    # the same file, as a pipeline of emsctl, is the same work
    run = lab.run("-p", "n=3", file="script.py")
    assert run.ran == [] and run.result == [{"value": 60}, "Row: 60"]
    lab.edit("helper.py", ("n * 2", "n * 3"))
    assert lab.python("script.py", "3").out == "True 90 Row: 90 {'ran': 2, 'cached': 1}\n"


CELLS = """
    import linecache
    import sys
    import types

    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    count = 0

    def cell(source):
        global count
        count += 1
        name = f"{MADE_FILES}/{count}.py" if MADE_FILES else f"<ipython-input-{count}-0123456789ab>"
        lines = source.splitlines(True)
        linecache.cache[name] = (len(source), None, lines, name)
        exec(compile(source, name, "exec"), main.__dict__)

    MADE_FILES = sys.argv[1] if len(sys.argv) > 1 else ""

    cell('''
    import ems
    import math
    import helper
    from dataclasses import dataclass
    OFFSET = 1
    ''')
    cell('''
    def shift(x):
        return x + OFFSET

    @dataclass
    class Row:
        value: float

    @ems.task
    def make(n):
        return Row(math.floor(helper.double(shift(n))))

    @ems.task
    def read(row: Row):
        return [type(row).__name__, row.value]
    ''')
    cell('''
    @ems.pipeline
    def pipe(n: int = 1):
        return [make(n), read(make(n))]

    def show(run):
        print(type(run.result[0]) is Row, run.result[0].value, run.result[1], dict(run.counts))
    ''')
    cell("show(ems.run(pipe, n=2))")
    cell("show(ems.run(pipe, n=2))")
    cell("OFFSET = 5")
    cell("show(ems.run(pipe, n=2))")
    cell("def shift(x):\\n    # a comment\\n    return x + OFFSET\\n")
    cell("show(ems.run(pipe, n=2))")
    cell("def shift(x):\\n    return x - OFFSET\\n")
    cell("show(ems.run(pipe, n=2))")
    cell("OFFSET = 1\\n@dataclass\\nclass Row:\\n    value: float\\n    unit = 'm'\\n")
    cell("show(ems.run(pipe, n=4))")
    cell("@dataclass\\nclass Row:\\n    value: float\\n    unit = 'cm'\\n")
    cell("show(ems.run(pipe, n=4))")
    cell("del read.fn.__annotations__['row']")
    cell("ems.run(pipe, n=2)")
    """


@pytest.mark.parametrize("files", ["", "/tmp/ipykernel_4242"])
def test_cells_of_a_notebook(lab: Lab, files: str) -> None:
    lab.write("cells.py", CELLS)
    lab.write("helper.py", "def double(n):\n    return n * 2\n")
    # a notebook starts with the folder on the path, and no file of its own
    starter = "import sys; sys.path.insert(0, ''); exec(open('cells.py').read())"
    done = lab.python("-c", starter, *([files] if files else []))
    assert done.out.splitlines() == [
        "True 6 ['Row', 6] {'ran': 2, 'cached': 1}",
        "True 6 ['Row', 6] {'cached': 3}",
        "True 14 ['Row', 14] {'ran': 2, 'cached': 1}",
        "True 14 ['Row', 14] {'cached': 3}",
        "True -6 ['Row', -6] {'ran': 2, 'cached': 1}",
        "True 6 ['Row', 6] {'ran': 2, 'cached': 1}",
        "True 6 ['Row', 6] {'ran': 2, 'cached': 1}",
    ], done.err
    assert "annotate the argument that holds one, as in `row: Row`" in done.err
    again = lab.python("-c", starter, *([files] if files else []))
    assert again.out.splitlines()[0] == "True 6 ['Row', 6] {'cached': 3}", again.err


def test_many_runs_leave_a_constant_number_of_descriptors(lab: Lab) -> None:
    import gc
    import os

    lab.write("pipeline.py", SIMPLE)
    main = lab.load()
    kept = [ems.run(main, workers=1)]
    counts: list[int] = []
    for _ in range(20):
        kept.append(ems.run(main, workers=1))
        gc.collect()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[0] == counts[-1]
    assert all(run.result == {"sums": [1]} and run.records for run in kept)


def test_a_store_that_was_removed_is_made_again(lab: Lab) -> None:
    import shutil

    lab.write("pipeline.py", SIMPLE)
    main = lab.load()
    assert ems.run(main, workers=1).counts == {"ran": 1}
    shutil.rmtree(lab.root / ".ems")
    assert ems.run(main, workers=1).counts == {"ran": 1}
    assert ems.run(main, workers=1).counts == {"cached": 1}


class Watching(Observer):
    """Keeps the moments that it was shown."""

    def __init__(self) -> None:
        self.moments: list[Snapshot] = []

    def tick(self, snapshot: Snapshot) -> None:
        self.moments.append(snapshot)


def test_the_time_left_is_known_from_earlier_runs(lab: Lab) -> None:
    text = """
        import time
        import ems

        @ems.task
        def slow(i: int) -> int:
            time.sleep(0.8)
            return i

        @ems.pipeline
        def main():
            return [slow(i) for i in range(2)]
        """
    moments: list[list[Snapshot]] = []
    for more in ("", " + 1"):
        lab.write("pipeline.py", text.replace("return i\n", f"return i{more}\n"))
        watching = Watching()
        Session.open(lab.root).run(lab.load(), {}, RunOptions(jobs=1), observer=watching)
        moments.append(watching.moments)
    first, second = moments
    assert first and all(each.eta_s is None for each in first)
    assert second and all(0 < (each.eta_s or 0) < 2 for each in second)
    running = [each for moment in second for each in moment.running]
    assert running and all(0.7 < (each.expected_s or 0) < 1 for each in running)
