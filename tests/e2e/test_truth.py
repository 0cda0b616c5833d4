"""Keys and arguments never disagree: whatever is lost, replaced or re-run beside a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.harm import marked, spoil
from tests.e2e.lab import Lab

LUCK = """
    import os, time
    import ems

    @ems.task
    def luck() -> dict:
        with open("x.bin", "wb") as stream:
            stream.write(os.urandom(16))
        return {"file": ems.File("x.bin"), "n": 1}

    @ems.task
    def use(file: ems.File) -> str:
        return file.read_bytes().hex()

    @ems.task
    def slow(salt: int) -> int:
        with open(os.environ["MARKS"], "a") as marks:
            marks.write("slow\\n")
        time.sleep(2)
        return salt

    @ems.pipeline
    def main(again: bool = False):
        drawn = luck()
        return [use(drawn["file"], after=slow(1)) if again else use(drawn["file"])]

    @ems.pipeline
    def only():
        return luck()["n"]
"""


def objects_with(lab: Lab, data: bytes) -> list[Path]:
    found = (lab.root / ".ems/objects").glob("??/*")
    return [path for path in found if path.read_bytes() == data]


def test_a_lost_result_that_comes_out_otherwise_makes_new_versions(lab: Lab) -> None:
    lab.write("pipeline.py", LUCK)
    first = lab.run()
    for path in objects_with(lab, bytes.fromhex(first.result[0])):
        path.unlink()
    lab.edit("pipeline.py", ("read_bytes().hex()", 'read_bytes().hex() + ""'))
    second = lab.run()
    assert second.result != first.result
    assert second.how == {"luck": "ran", "use": "ran"}
    third = lab.run()
    assert third.ran == []
    assert third.result == second.result
    assert third.versions == second.versions


def test_a_rerun_beside_a_run_is_not_mixed_into_it(lab: Lab) -> None:
    lab.write("pipeline.py", LUCK)
    lab.emsctl("run", "pipeline.py:only")
    going = lab.start("run", "pipeline.py:main", "-p", "again=true", "-o", "json")
    marked(lab, "slow")
    lab.emsctl("run", "pipeline.py:only", "--rerun", "luck")
    _, err = going.communicate(timeout=30)
    assert going.returncode == 0, err
    after = lab.run("-p", "again=true", file="pipeline.py:main")
    assert after.ran == [], "the version that was recorded is not the one that its arguments make"


ITEMS = """
    import os
    import ems

    @ems.task
    def source() -> list:
        made = []
        for i in range(2):
            with open(f"{i}.txt", "w") as stream:
                stream.write(f"content {i}")
            made.append(ems.File(f"{i}.txt"))
        return made

    @ems.task
    def folder() -> ems.Dir:
        os.makedirs("d")
        with open("d/x.txt", "w") as stream:
            stream.write("good content")
        return ems.Dir("d")

    @ems.task
    def use(file: ems.File) -> str:
        return file.read_text() + "!"

    @ems.task
    def look(where: ems.Dir) -> str:
        return (where / "x.txt").read_text() + "!"

    @ems.pipeline
    def main():
        return [*[ems.map(use, source())], look(folder())]
"""


def _harm_and_run(lab: Lab, harm: Any) -> Any:
    lab.write("pipeline.py", ITEMS)
    good = lab.run().result
    lab.edit("pipeline.py", ('file.read_text() + "!"', 'file.read_text() + "?"'))
    lab.edit("pipeline.py", ('"x.txt").read_text() + "!"', '"x.txt").read_text() + "?"'))
    for text in (b"content 1", b"good content"):
        for path in objects_with(lab, text):
            harm(path)
    second = lab.run()
    assert second.result == [[each.replace("!", "?") for each in good[0]], "good content?"]
    assert {"source", "folder"} <= set(second.ran)
    return second


def test_damaged_files_behind_items_and_inside_folders_are_made_again(lab: Lab) -> None:
    _harm_and_run(lab, spoil)


def test_missing_files_behind_items_and_inside_folders_are_made_again(lab: Lab) -> None:
    _harm_and_run(lab, Path.unlink)


def test_a_rerun_that_fails_leaves_the_old_result(lab: Lab) -> None:
    lab.write(
        "pipeline.py",
        """
        import os
        import ems

        @ems.task
        def train() -> int:
            if os.environ.get("BROKEN"):
                raise OSError("the machine is broken")
            return 7

        @ems.pipeline
        def main():
            return train()
        """,
    )
    assert lab.run().result == 7
    lab.run("--rerun", "train", code=100, env={"BROKEN": "1"})
    kept = lab.run()
    assert (kept.result, kept.ran) == (7, [])
    assert lab.run("--rerun", "train").ran == ["train"]


PARTS = """
    import ems

    @ems.task
    def source() -> dict:
        return {"a": 1}

    @ems.task
    def use(x: int) -> int:
        return x

    @ems.task
    def three() -> list:
        return [1, 2, 3]

    @ems.pipeline
    def main():
        made = source()
        return [use(made["a"]), use(made["nope"]), use(5)]

    @ems.pipeline
    def result():
        return source()["nope"]

    @ems.pipeline
    def inner(x: int):
        if x == 2:
            raise ValueError("mine")
        return use(x)

    @ems.pipeline
    def mapped():
        return [ems.map(inner, three()), use(9)]
"""


def test_a_part_that_is_not_there_stops_nothing_else(lab: Lab) -> None:
    lab.write("pipeline.py", PARTS)
    found = lab.run("-k", file="pipeline.py:main", code=100)
    assert found.how == {"source": "ran", "use[0]": "ran", "use[1]": "failed", "use[2]": "ran"}
    assert "no item 'nope'; there are 'a'" in found.failures[0]["message"]
    lab.emsctl("run", "pipeline.py:main", "-n")
    whole = lab.run(file="pipeline.py:result", code=100)
    assert "no item 'nope'" in whole.failures[0]["message"]


def test_a_mapped_pipeline_that_raises_fails_alone_and_says_where(lab: Lab) -> None:
    lab.write("pipeline.py", PARTS)
    found = lab.run("-k", file="pipeline.py:mapped", code=100)
    assert found.how["use"] == "ran"
    message = found.failures[0]["message"]
    assert "ValueError: mine" in message and "pipeline.py:" in message


def test_labels_do_not_depend_on_who_is_first(lab: Lab) -> None:
    text = """
        import time
        import ems

        @ems.task
        def listed(start: int, wait: float) -> list:
            time.sleep(wait)
            return [start, start + 1]

        @ems.task
        def use(x: int) -> int:
            return x

        @ems.pipeline
        def main(first: float, second: float):
            return [ems.map(use, listed(1, first)), ems.map(use, listed(11, second))]
        """
    lab.write("pipeline.py", text)
    one = lab.run("-p", "first=0.6", "-p", "second=0")
    other = lab.run("-p", "first=0", "-p", "second=0.6")
    uses = {label: v for label, v in one.versions.items() if "use" in label}
    assert uses == {label: v for label, v in other.versions.items() if "use" in label}
    assert set(uses) == {f"map(use)[{m}]/use[{i}]" for m in (0, 1) for i in (0, 1)}
