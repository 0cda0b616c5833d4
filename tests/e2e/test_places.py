"""What a task declares of where it runs: refused where it is not to be had, never ignored."""

from __future__ import annotations

import pytest

from tests.e2e.lab import Lab

IMAGE = "lab/sim@sha256:" + "a" * 64


def _pipeline(options: str) -> str:
    return f"""
        import ems

        @ems.task
        def one() -> int:
            return 1

        @ems.task({options})
        def where(x: int) -> int:
            return x

        @ems.pipeline
        def main():
            return where(one())
        """


REFUSED = {
    "image": (f"environment={{'image': '{IMAGE}'}}", "image sha256:aaaa"),
    "modules": ("environment={'modules': ['cuda/12.1']}", "environment module cuda/12.1"),
    "target": ("on='batch'", "on='batch'"),
    "targets": ("on=['batch', 'robot']", "on='batch' or 'robot'"),
}


@pytest.mark.parametrize(("options", "value"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_there_is_refused_before_anything_runs(
    lab: Lab, options: str, value: str
) -> None:
    lab.write("pipeline.py", _pipeline(options))
    for words in (("run",), ("run", "-n")):
        said = lab.bad(*words, "pipeline.py")
        assert said.startswith(f"emsctl: task where: {value}")
        assert "allowed here: " in said and " Try: " in said
        assert ("'local'" in said) == ("target" in options or "on=" in options)
    with lab.store() as store:
        assert store.runs() == []
    # what is left out may be for another place
    assert lab.run("--until", "one").how == {"one": "ran", "where": "left out"}


def test_an_image_of_the_whole_project_is_refused_too(lab: Lab) -> None:
    lab.write(".ems.yaml", f"environment:\n  image: {IMAGE}\n")
    lab.write("pipeline.py", _pipeline(""))
    assert "task one: image sha256:aaaa" in lab.bad("run", "pipeline.py")


ALLOWED = ["on='local'", "on='auto'", "on=['batch', 'local']", "on=''", "spot=True"]


@pytest.mark.parametrize("options", ALLOWED)
def test_what_is_there_runs(lab: Lab, options: str) -> None:
    lab.write("pipeline.py", _pipeline(options))
    assert lab.run().result == 1


@pytest.mark.parametrize("options", [REFUSED["image"][0], REFUSED["target"][0]])
def test_a_task_that_appears_later_fails_as_impossible(lab: Lab, options: str) -> None:
    lab.write(
        "pipeline.py",
        f"""
        import ems

        @ems.task
        def items() -> list:
            return [1, 2]

        @ems.task({options})
        def where(x: int) -> int:
            return x

        @ems.pipeline
        def each(x):
            return where(x)

        @ems.pipeline
        def main():
            return ems.map(each, items())
        """,
    )
    ran = lab.run(file="pipeline.py:main", code=100)
    assert ran.ran == ["items"]
    assert {failure["reason"] for failure in ran.failures} == {"impossible"}
    assert "here" in str(ran.failures) or "there" in str(ran.failures)


FOLDER = """
    import os
    import time

    import ems

    @ems.task
    def slow() -> int:
        open(os.environ["MARKS"], "a").write("on\\n")
        time.sleep(1.5)
        return 1

    @ems.task
    def use(given: ems.Dir, _: int = 0) -> str:
        open(os.environ["MARKS"], "a").write("on\\n")
        text = (given / "x.txt").read_text()
        time.sleep(1.5)
        return text

    @ems.pipeline
    def later():
        return use(ems.Dir("d"), slow())

    @ems.pipeline
    def now():
        return use(ems.Dir("d"))
    """
HARM = {
    "edited": lambda folder: (folder / "x.txt").write_text("new"),
    "added": lambda folder: (folder / "y.txt").write_text("new"),
    "gone": lambda folder: (folder / "sub/z.txt").unlink(),
    "all gone": lambda folder: folder.rename(folder.with_name("elsewhere")),
}


@pytest.mark.parametrize("when", ["later", "now"])
@pytest.mark.parametrize("harm", HARM)
def test_a_folder_that_changes_is_not_served_under_its_old_digest(
    lab: Lab, harm: str, when: str
) -> None:
    lab.write("pipeline.py", FOLDER)
    lab.write("d/x.txt", "old")
    lab.write("d/sub/z.txt", "z")
    process = lab.start("run", f"pipeline.py:{when}", "-o", "json")
    while not lab.marks():
        assert process.poll() is None
    HARM[harm](lab.root / "d")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 100, (out, err)
    assert "input_changed" in out or (harm == "all gone" and "input_missing" in out)


def test_equal_tasks_in_two_modules_are_both_shipped(lab: Lab) -> None:
    text = """
        import ems

        @ems.task
        def double(x: int) -> int:
            return 2 * x
        """
    lab.write("a.py", text)
    lab.write("b.py", text)
    lab.write(
        "pipeline.py",
        """
        import ems, a, b

        @ems.pipeline
        def main():
            return [a.double(1), b.double(2)]
        """,
    )
    assert lab.run("--jobs", "1").result == [2, 4]
