"""Inside a task: context, seeds, metrics, scratch folders, retries and their checkpoints."""

from __future__ import annotations

from typing import Any

from tests.e2e.lab import Lab, ran

CONTEXT = """
    import os
    import random

    import numpy as np

    import ems

    @ems.task
    def look(n, again=0):
        here = ems.context()
        assert os.path.samefile(os.getcwd(), here.scratch), (os.getcwd(), here.scratch)
        left = os.listdir(".")
        with open("left-behind.txt", "w") as out:
            out.write("x")
        return {"version": here.version, "seed": here.seed, "attempt": here.attempt,
                "task": here.task, "draw": [random.random(), float(np.random.rand())],
                "left": left, "scratch": str(here.scratch)}

    @ems.task
    def other(n, again=0):
        return {"seed": ems.context().seed, "draw": [random.random(), float(np.random.rand())]}

    @ems.task
    def measured(n):
        for step in range(n):
            print("step", step)
            ems.report(step, reward=step / 2, best=np.float32(step))
        ems.report(done=True)
        return n

    @ems.pipeline
    def main():
        return [look(1), look(2), other(1), measured(3)]
    """


def test_context_seed_scratch_and_report(lab: Lab) -> None:
    lab.write("pipeline.py", CONTEXT)
    run = lab.ems_run()
    one, two, other, _ = run.result
    assert one["version"] == run.versions["look[0]"] and two["version"] == run.versions["look[1]"]
    assert one["attempt"] == 1 and one["task"] == "look"
    assert one["left"] == two["left"] == []
    assert one["seed"] != two["seed"] and one["draw"] != two["draw"]
    assert other == {"seed": one["seed"], "draw": one["draw"]}  # from the arguments alone
    record: Any = run.records["measured"]
    assert [(row["step"], row["metrics"]) for row in record.metrics] == [
        (0, {"reward": 0.0, "best": 0.0}),
        (1, {"reward": 0.5, "best": 1.0}),
        (2, {"reward": 1.0, "best": 2.0}),
        (None, {"done": True}),
    ]
    assert record.log.split("\n")[:3] == ["step 0", "step 1", "step 2"]

    lab.edit("pipeline.py", ("def look(n, again=0):\n", "def look(n, again=0):\n    str(again)\n"))
    mended = lab.ems_run().result
    assert mended[0]["seed"] == one["seed"] and mended[0]["draw"] == one["draw"]
    assert mended[0]["version"] != one["version"]


RETRIED = """
    import os
    import sys

    import ems

    @ems.task(retries=2)
    def train(steps: int, die: str):
        here = ems.context()
        kept = here.checkpoint / "step.txt"
        start = int(kept.read_text()) if kept.exists() else 0
        print(f"attempt {here.attempt} from {start}", flush=True)
        for step in range(start, steps):
            ems.report(step, loss=1 / (step + 1))
            kept.write_text(str(step + 1))
            if step % 2 == 1 and here.attempt < 3:
                if die == "kill":
                    os.kill(os.getpid(), 9)
                if die == "exit":
                    sys.exit(3)
                raise RuntimeError("preempted")
        return {"attempt": here.attempt, "start": start}

    @ems.pipeline
    def main(die: str = "raise", steps: int = 5):
        return train(steps, die)
    """


def test_a_retry_finds_its_checkpoints(lab: Lab) -> None:
    lab.write("pipeline.py", RETRIED)
    for die in ("raise", "exit", "kill"):
        run = lab.ems_run(die=die)
        assert run.result == {"attempt": 3, "start": 4}, die
        store = run._store
        assert store is not None
        tries = store.attempts(run.versions["train"])
        assert [type(each).__name__ for each in tries] == ["Failed", "Failed", "Record"]
        assert ran(run) == ["train"]


def test_a_later_run_goes_on_from_the_checkpoint_of_a_failed_one(lab: Lab) -> None:
    lab.write("pipeline.py", RETRIED)
    lab.edit("pipeline.py", ("here.attempt < 3", "start < 4"), ("retries=2", "retries=1"))
    first = lab.run("-p", "steps=7", code=100)
    (failure,) = first.failures
    assert failure["reason"] == "exception" and "preempted" in failure["message"]
    assert first.done is not None and "attempt 1 of 2 failed" in first.done.err
    assert "trying again" in first.done.err
    second = lab.run("-p", "steps=7")
    assert second.result["start"] == 4


def test_no_retry_is_made_where_none_was_asked_for(lab: Lab) -> None:
    lab.write("pipeline.py", RETRIED)
    lab.edit("pipeline.py", ("@ems.task(retries=2)", "@ems.task"))
    run = lab.run("-p", "die=kill", code=100)
    (failure,) = run.failures
    assert failure["reason"] == "signal" and failure["signal"] == 9
    assert "attempt 1 from 0" in "\n".join(failure["text"])
