"""`emsctl run` as it is typed: parameters, jobs, plans, JSON, what is forced and what is left."""

from __future__ import annotations

import json

from tests.e2e.lab import Lab

PARAMS = """
    from dataclasses import dataclass
    from typing import Literal

    import ems

    @ems.task
    def show(all):
        return all

    @ems.pipeline
    def main(
        workers: int = 4,
        rate: float = 0.5,
        name: str = "x",
        deep: bool = False,
        sizes: list[int] = [1, 2],
        mode: Literal["fast", "slow"] = "fast",
        limit: int | None = None,
        data: ems.File | None = None,
        anything=None,
        more: dict[str, float] = {},
    ):
        return show({"workers": workers, "rate": rate, "name": name, "deep": deep,
                     "sizes": sizes, "mode": mode, "limit": limit, "anything": anything,
                     "more": more})

    @ems.task
    def read(data):
        return open(data).read()

    @ems.pipeline
    def with_file(data: ems.File, times: int = 1):
        return read(data)
    """

DEFAULTS = {
    "workers": 4, "rate": 0.5, "name": "x", "deep": False, "sizes": [1, 2], "mode": "fast",
    "limit": None, "anything": None, "more": {},
}  # fmt: skip


def test_parameters_come_from_words_and_files(lab: Lab) -> None:
    lab.write("pipeline.py", PARAMS)
    lab.write("p.yaml", "workers: 8\nrate: 2\nsizes: [3]\nmore: {a: 1.5}\nname: '7'\n")
    lab.write("p.json", json.dumps({"deep": True, "limit": 3}))
    words = [
        "-p", "workers=8", "-p", "rate=1e-3", "-p", "name=08=y", "-p", "deep=true",
        "-p", "sizes=[5, 6]", "-p", "mode=slow", "-p", "limit=null", "-p", "anything=[a, 1]",
        "-p", "more={k: 2}",
    ]  # fmt: skip
    assert lab.run(*words).result == {
        "workers": 8, "rate": 0.001, "name": "08=y", "deep": True, "sizes": [5, 6],
        "mode": "slow", "limit": None, "anything": ["a", 1], "more": {"k": 2.0},
    }  # fmt: skip
    filed = lab.run("--params", "p.yaml", "-p", "workers=2")
    expected = {"workers": 2, "rate": 2.0, "sizes": [3], "more": {"a": 1.5}, "name": "7"}
    assert filed.result == {**DEFAULTS, **expected}
    assert lab.run("--params", "p.json").result == {**DEFAULTS, "deep": True, "limit": 3}
    lab.write("in.txt", "content")
    assert lab.run("-p", "data=in.txt", file="pipeline.py:with_file").result == "content"


CHAIN = """
    import os
    import time

    import ems

    def mark(word):
        with open(os.environ["MARKS"], "a") as out:
            out.write(word + "\\n")

    @ems.task
    def collect(seed):
        mark("collect")
        return [seed]

    @ems.task
    def train(rows):
        mark("train")
        return sum(rows)

    @ems.task(cache=False)
    def now(x):
        mark("now")
        return time.time()

    @ems.task
    def use(moment):
        mark("use")
        return moment > 0

    @ems.pipeline(name="chain")
    def main(n: int = 2):
        raw = [collect(seed) for seed in range(n)]
        return {"score": train([row[0] for row in raw]), "ok": use(now(1))}
    """


def test_plan_rerun_until_and_uncached_tasks(lab: Lab) -> None:
    lab.write("pipeline.py", CHAIN)
    plan = lab.emsctl("run", "pipeline.py", "-n", "-o", "json").json
    rows = {row["task"]: row for row in plan["tasks"]}
    assert plan["pipeline"] == "chain" and plan["expected_s"] is None
    assert {name: (row["run"], row["depends"], row["cached"]) for name, row in rows.items()} == {
        "collect": (2, 0, 0), "train": (0, 1, 0), "now": (1, 0, 0), "use": (0, 1, 0),
    }  # fmt: skip
    assert lab.marks() == []

    first = lab.run()
    assert first.result == {"score": 1, "ok": True}
    assert first.ran == ["collect[0]", "collect[1]", "now", "train", "use"]
    table = lab.emsctl("run", "pipeline.py", "-n").out
    assert "collect" in table and "about" in table
    assert lab.run().ran == ["now", "use"]  # cache=False runs in every run, and gave another time

    again = lab.run("--rerun", "collect")
    assert again.ran == ["collect[0]", "collect[1]", "now", "use"]  # same content: train stays
    assert lab.run("--rerun", "collect[1]", "--until", "train").ran == ["collect[1]"]
    plan = lab.emsctl("run", "pipeline.py", "-n", "--rerun", "train", "-o", "json").json
    assert {row["task"]: row["run"] for row in plan["tasks"]}["train"] == 1

    part = lab.run("-p", "n=3", "--until", "collect")
    assert part.ran == ["collect[2]"] and part.how["train"] == "left out"
    assert part.state == "done"
    both = lab.run("-p", "n=3", "--until", "train", "--until", "now")
    assert both.ran == ["now", "train"]
    assert "train" not in lab.emsctl("run", "pipeline.py", "-n", "--until", "collect").out


def test_keep_going_runs_what_does_not_need_the_failed_one(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import time

        import ems

        @ems.task
        def step(x, upstream=None):
            if x == 0:
                raise ValueError("step 0 is bad")
            time.sleep(0.1)
            return x

        @ems.pipeline
        def main():
            bad = step(0)
            chain = bad
            good = step(1)
            for n in range(2, 12):
                good = step(n, good)
            return step(100, bad), good
        """,
    )
    stopped = lab.run(code=100)
    assert stopped.state == "failed" and "pending" in stopped.how.values()
    assert stopped.done is not None
    kept = lab.run("-k", code=100)
    states = sorted(kept.how.values())
    assert states.count("failed") == 1 and states.count("skipped") == 1
    assert states.count("ran") + states.count("cached") == 11
    assert [failure["task"] for failure in kept.failures] == ["step[0]"]
    third = lab.run("--keep-going", code=100)
    assert third.ran == []


def test_jobs_limit_how_many_run_at_once(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import os
        import time

        import ems

        @ems.task(cpus=0.25)
        def step(n):
            for word in ("start", "end"):
                with open(os.environ["MARKS"], "a") as out:
                    out.write(word + "\\n")
                time.sleep(0.15 if word == "start" else 0)

        @ems.pipeline
        def main(first: int = 0):
            return [step(first + n) for n in range(4)]
        """,
    )
    lab.run("-j", "1")
    assert lab.marks() == ["start", "end"] * 4
    lab.marks_file.unlink()
    lab.run("-j", "2", "-p", "first=10")
    assert lab.marks()[:2] == ["start", "start"]
    lab.marks_file.unlink()
    lab.write(".ems.yaml", "jobs: 1\n")
    lab.run("-p", "first=20")
    assert lab.marks() == ["start", "end"] * 4


def test_what_people_read(lab: Lab) -> None:
    lab.write("pipeline.py", CHAIN)
    lab.write("sub/.keep", "")
    first = lab.emsctl("run", "pipeline.py:main", "-p", "n=1")
    assert first.out.splitlines() == ["score: 0", "ok: true"]
    assert "ran collect" in first.err and "done in" in first.err and "4 ran" in first.err
    again = lab.emsctl("-C", "sub", "run", "../pipeline.py", "-p", "n=1")
    assert "2 cached" in again.err and "2 ran" in again.err
    quiet = lab.emsctl("run", "pipeline.py:chain", "-q", "-p", "n=1")
    assert quiet.out == first.out and "ran collect" not in quiet.err
    told = lab.emsctl("run", "pipeline.py", "-p", "n=1", "-o", "json").json
    assert told["counts"] == {"ran": 2, "cached": 2} and told["failures"] == []
    assert told["state"] == "done" and told["pipeline"] == "chain"
