"""Tasks as people write them: signatures, modules, tasks that call tasks, mapped commands."""

from __future__ import annotations

from tests.e2e.lab import Lab, how, ran

CALLS = """
    from dataclasses import dataclass

    import ems

    @dataclass
    class Setup:
        rows: list
        rate: float = 0.1

    @ems.task
    def rows(n: int):
        return {"items": [{"x": i} for i in range(n)], "pair": (1, 2)}

    @ems.task
    def every(first, /, second, *rest, third=3, **named):
        return [first, second, list(rest), third, named]

    @ems.task
    def fit(setup: Setup):
        return sum(row["x"] for row in setup.rows) * setup.rate

    @ems.task
    def inner(x):
        return x + 1

    @ems.task
    def outer(x):
        return inner(inner(x))

    @ems.task
    def value(row, scale):
        return row["x"] * scale

    @ems.task
    def total(values):
        return sum(values)

    @ems.task
    def pair(item, other):
        return [item, other]

    cut = ems.command("cut -c1-{count} {file} > {out.o}", outputs={"o": "cut"})

    size = ems.command("sh -c 'cat $1 && echo $2' x {file} {row}", name="size")

    @ems.task
    def read(file, prefix=""):
        return prefix + open(file).read()

    @ems.pipeline
    def main(n: int = 3):
        made = rows(n)
        scale = inner(1)
        return {
            "every": every(1, 2, inner(3), 4, third=inner(5), more=made["pair"][1]),
            "same": [every(1, second=2), every(1, 2), every(1, second=2, third=3)],
            "fit": fit(Setup(made["items"], rate=2.0)),
            "outer": outer(1),
            "part": total(ems.map(value, made["items"], scale=scale)),
            "twice": ems.map(inner, ems.map(value, made["items"], scale=1)),
            "listed": ems.map(pair, [scale, 5, made["pair"]], other=scale),
            "tuple": ems.map(inner, made["pair"]),
            "commands": [read(each["o"], "-") for each in
                         ems.map(cut, ems.files("*.txt", order="name"), count=2)],
            "bytes": ems.map(size, made["items"], file=ems.File("a.txt")),
        }
    """


def test_calls_bind_as_in_python(lab: Lab) -> None:
    lab.write("pipeline.py", CALLS)
    lab.write("a.txt", "abc\n")
    lab.write("b.txt", "xyz\n")
    run = lab.ems_run()
    assert run.result == {
        "every": [1, 2, [4, 4], 6, {"more": 2}],
        "same": [[1, 2, [], 3, {}]] * 3,
        "fit": 6.0,
        "outer": 3,
        "part": 6,
        "twice": [1, 2, 3],
        "listed": [[2, 2], [5, 2], [(1, 2), 2]],
        "tuple": [2, 3],
        "bytes": [{}, {}, {}],
        "commands": ["-ab\n", "-xy\n"],
    }
    assert [how(run)[f"every[{n}]"] for n in (1, 2, 3)].count("ran") == 1
    assert ran(lab.ems_run()) == []


def test_tasks_may_lie_anywhere_in_the_project(lab: Lab) -> None:
    lab.write("lab/__init__.py", "")
    lab.write("lab/tasks/__init__.py", "from .train import train\n")
    lab.write(
        "lab/tasks/train.py",
        """
        import ems

        from ..common import SCALE
        from . import losses


        @ems.task(cpus=1)
        def train(x):
            return losses.loss(x) * SCALE
        """,
    )
    lab.write("lab/tasks/losses.py", "def loss(x):\n    return x - 1\n")
    lab.write("lab/common.py", "SCALE = 10\nOTHER = 3\n")
    lab.write("src/installed/__init__.py", "def shift(x):\n    return x + 7\n")
    lab.write(
        "flows/deep/my_pipeline.py",
        """
        import ems
        import near
        from installed import shift
        from lab.tasks import train


        @ems.task
        def here(x):
            return near.near(shift(x))


        @ems.pipeline
        def main():
            return here(train(3))
        """,
    )
    lab.write("flows/deep/near.py", "def near(x):\n    return -x\n")
    file = "flows/deep/my_pipeline.py"
    path = {"PYTHONPATH": f"{lab.root}:{lab.root / 'src'}"}
    assert lab.run(file=file, env=path).result == -27
    lab.edit("lab/common.py", ("OTHER = 3", "OTHER = 4"))
    assert lab.run(file=file, env=path).ran == []
    lab.edit("lab/tasks/losses.py", ("x - 1", "x - 2"))
    assert lab.run(file=file, env=path).ran == ["here", "train"]
    lab.edit("src/installed/__init__.py", ("x + 7", "x + 8"))
    assert lab.run(file=file, env=path).ran == ["here"]
    lab.edit("flows/deep/near.py", ("-x", "-x - 1"))
    assert lab.run(file=file, env=path).ran == ["here"]


def test_tasks_made_in_a_loop_keep_their_own_values(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import enum

        import ems

        class Mode(enum.Enum):
            LOW = 1
            HIGH = 2

            def factor(self):
                return self.value * 10

        def make(by):
            @ems.task
            def scaled(x, mode: Mode = Mode.LOW):
                return x * by * mode.factor()

            return scaled

        scale = [make(by) for by in (1, 2, 3)]
        double = ems.task(lambda x: x * 2)

        @ems.pipeline
        def main():
            return [each(double(2)) for each in scale] + [scale[1](1, Mode.HIGH)]
        """,
    )
    assert lab.ems_run().result == [40, 80, 120, 40]
    lab.edit("pipeline.py", ("(1, 2, 3)", "(1, 2, 4)"))
    changed = lab.ems_run()
    assert changed.result == [40, 80, 160, 40] and len(ran(changed)) == 1
    lab.edit("pipeline.py", ("self.value * 10", "self.value * 100"))
    assert lab.ems_run().result == [400, 800, 1600, 400]


def test_map_and_fold_over_what_is_no_list(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import ems

        @ems.task
        def number(n):
            return n

        @ems.task
        def table():
            return {"a": 1}

        @ems.task
        def add(a, b=0):
            return a + b

        @ems.pipeline
        def main():
            return [ems.map(add, number(3)), ems.fold(add, table(), 0), ems.map(add, table()["b"])]
        """,
    )
    run = lab.run("-k", code=100)
    said = sorted(failure["message"] for failure in run.failures)
    assert len(said) == 3
    assert any("goes over a list" in each and "3" in each for each in said)
    assert any("dict" in each for each in said) and any("'b'" in each for each in said)
