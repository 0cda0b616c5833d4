"""How a failed task is told: what, with what, why, its last words, and what to do next."""

from __future__ import annotations

from tests.e2e.lab import Lab

FAILING = """
    import os
    import sys
    import time

    import ems
    from lib import deep

    @ems.task
    def collect(n):
        return list(range(n))

    @ems.task
    def train(rows, rate: float, file: ems.File, name="x"):
        for number in range(40):
            print("line", number)
        print("to stderr", file=sys.stderr)
        return deep.fit(rows, rate)

    @ems.task
    def exits():
        print("leaving")
        sys.exit(4)

    @ems.task
    def killed():
        print("last words", flush=True)
        os.kill(os.getpid(), 11)

    @ems.task(timeout="0.3s")
    def endless():
        print("started", flush=True)
        time.sleep(60)

    @ems.task(memory="0.2")
    def hungry():
        kept = []
        for _ in range(100):
            kept.append(bytearray(20 * 2**20))
            time.sleep(0.02)
        return len(kept)

    @ems.task
    def undeclared():
        name = "lib.hidden"
        return __import__("importlib").import_module(name).x

    @ems.pipeline
    def main():
        return train(collect(2), 0.5, ems.File("in.csv"))

    @ems.pipeline
    def others():
        return [exits(), killed(), endless(), hungry(), undeclared()]
    """


def _write(lab: Lab) -> None:
    lab.write("pipeline.py", FAILING)
    lab.write("in.csv", "a,b\n")
    lab.write("lib/__init__.py", "")
    lab.write("lib/hidden.py", "x = 1\n")
    lab.write(
        "lib/deep.py",
        """
        def fit(rows, rate):
            try:
                rows[7]
            except IndexError as error:
                raise ValueError(f"can't fit {len(rows)} rows at {rate}") from error
        """,
    )


def test_an_exception_is_told_as_its_author_needs_it(lab: Lab) -> None:
    _write(lab)
    done = lab.emsctl("run", "pipeline.py", code=100)
    assert done.out == ""
    lines = [line.strip() for line in done.err.splitlines()]
    assert "FAILED train: ValueError: can't fit 2 rows at 0.5" in lines
    assert "rows = result of collect" in lines
    assert "rate = 0.5" in lines and "name = 'x'" in lines
    assert any(line.startswith("file = in.csv") for line in lines)
    assert 'File "lib/deep.py", line 3, in fit' in lines
    assert 'File "pipeline.py", line 17, in train' in lines
    assert "IndexError: list index out of range" in lines
    assert "rows[7]" in lines
    assert "ems/worker" not in done.err and "execute.py" not in done.err
    tail = lines[lines.index("last lines of its output:") + 1 :]
    assert "line 39" in tail and "to stderr" in tail and "line 0" not in tail
    following = [line for line in lines if line.startswith("next: emsctl")]
    assert following
    assert "failed in" in done.err and "1 ran" in done.err and "1 failed" in done.err
    # each next command works, and tells what the failure told
    for line in following:
        shown = lab.emsctl(*line.removeprefix("next: emsctl ").split())
        assert "line 39" in shown.out or "can't fit 2 rows" in shown.out, line


def test_every_other_end_says_so(lab: Lab) -> None:
    _write(lab)
    run = lab.run("-k", file="pipeline.py:others", code=100)
    told = {failure["task"]: failure for failure in run.failures}
    text = {name: "\n".join(failure["text"]) for name, failure in told.items()}
    assert set(run.how.values()) == {"failed"}
    assert told["exits"]["reason"] == "exit" and told["exits"]["exit_code"] == 4
    assert "exit code 4" in text["exits"] and "leaving" in text["exits"]
    assert told["killed"]["reason"] == "signal" and told["killed"]["signal"] == 11
    assert "last words" in text["killed"]
    assert told["endless"]["reason"] == "timed_out" and "started" in text["endless"]
    assert "0.3 s" in text["endless"]
    assert told["hungry"]["reason"] == "out_of_memory" and "0.2 GiB" in text["hungry"].replace(
        "205 MiB", "0.2 GiB"
    ).replace("204.8 MiB", "0.2 GiB")
    assert told["undeclared"]["reason"] == "import"
    assert "declare it: @ems.task(uses=['lib" in text["undeclared"]
    assert all("next: emsctl" in each for each in text.values())
    assert all("ems/worker" not in each for each in text.values())


def test_what_cant_be_followed_is_warned_of_once_and_can_be_declared(lab: Lab) -> None:
    _write(lab)
    lab.write("lib/secret.py", "x = 1\n")
    text = """
        import ems
        import lib.hidden as hidden

        @ems.task
        def computed(name):
            return getattr(hidden, name)

        @ems.task
        def executed(n):
            exec("y = 1")
            return n

        @ems.task
        def imported(name):
            import importlib

            return importlib.import_module(name).x

        @ems.pipeline
        def main():
            return [computed("x"), executed(1), executed(2), imported("lib.secret")]
        """
    lab.write("warned.py", text)
    first = lab.emsctl("run", "warned.py", "-k", code=100)
    for line in ("warned.py:6", "warned.py:10", "warned.py:17"):
        assert first.err.count(f"{line}:") == 1, first.err
    assert first.err.count("uses=") >= 3 and 'version="' in first.err

    lab.write("lib/hidden.py", "x = 2\n")
    lab.write("lib/secret.py", "x = 2\n")
    declared = text.replace(
        "@ems.task\n        def imp", "@ems.task(uses='lib.secret')\n        def imp"
    )
    declared = declared.replace(
        "@ems.task\n        def comp", "@ems.task(uses=['lib.hidden'])\n        def comp"
    )
    declared = declared.replace(
        "@ems.task\n        def exec", "@ems.task(version='1')\n        def exec"
    )
    lab.write("warned.py", declared)
    done = lab.run(file="warned.py")
    assert done.result == [2, 1, 2, 2]
    assert done.done is not None and "uses=" not in done.done.err
    lab.write("lib/hidden.py", "x = 3\n")
    lab.write("lib/secret.py", "x = 3\n")
    lab.edit("warned.py", ('exec("y = 1")', 'exec("y = 2")'))
    again = lab.run(file="warned.py")
    assert again.ran == ["computed", "imported"] and again.result == [3, 1, 2, 3]
    lab.edit("warned.py", ("version='1'", "version='2'"))
    assert lab.run(file="warned.py").ran == ["executed[0]", "executed[1]"]


def test_an_argument_whose_class_does_not_count_is_warned_of(lab: Lab) -> None:
    text = """
        from dataclasses import dataclass

        import ems

        @dataclass
        class Row:
            value: int

            def total(self):
                return self.value + 1

        @ems.task
        def make():
            return Row(1)

        @ems.task
        def weigh(row):
            return row.total()

        @ems.pipeline
        def main():
            return weigh(make()), weigh(Row(5))
        """
    lab.write("pipeline.py", text)
    done = lab.emsctl("run", "pipeline.py")
    (line,) = [line for line in done.err.splitlines() if "warning" in line]
    assert "weigh gets a Row in 'row'" in line
    for remedy in ("`row: Row`", "uses=['pipeline.Row']"):
        assert remedy in line
    for decorated in ("@ems.task(uses=['pipeline.Row'])\n        def weigh(row)",
                      "@ems.task\n        def weigh(row: 'Row')"):  # fmt: skip
        lab.write("pipeline.py", text.replace("@ems.task\n        def weigh(row)", decorated))
        assert "warning" not in lab.emsctl("run", "pipeline.py").err
        lab.edit("pipeline.py", ("self.value + 1", "self.value + 2"))
        assert lab.run().result == [3, 7]
