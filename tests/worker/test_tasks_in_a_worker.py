"""What a task may do to the worker and its surroundings, and what it may not keep."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ems
from ems.worker import facade
from ems.worker.inputs import rows_of
from tests.worker.shipped import Shipped


def _ends(shipped: Shipped, source: str, *calls: Any, **keys: Any) -> list[dict[str, Any]]:
    listed = [call if isinstance(call, tuple) else (call, {}) for call in calls]
    return shipped.ends(shipped.parcel(shipped.code(work=source), listed, **keys))


def test_what_a_task_changes_is_put_back(shipped: Shipped) -> None:
    source = """
        import os, sys, io
        def spoil():
            os.environ["SPOILT"] = "yes"
            del os.environ["PATH"]
            sys.path.insert(0, "/nowhere")
            sys.stdout = io.StringIO()
            print("into the void")
            os.close(2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.mkdir("left"), open("left/file", "w").close()
            os.chdir("/")
        def look():
            print("seen")
            os.write(2, b"too")
            return [os.environ.get("SPOILT"), "PATH" in os.environ, "/nowhere" in sys.path,
                    os.listdir("."), os.path.basename(os.path.dirname(os.getcwd()))[-1].isdigit()]
    """
    _, messages, output = shipped.alone(
        shipped.parcel(shipped.code(work=source), [("spoil", {}), ("look", {})])
    )
    spoil, look = [m for m in messages if m["ev"] == "end"]
    assert spoil["ok"]
    assert look["out"] == [None, True, False, [], True]
    assert output[slice(*look["log"])] == b"seen\ntoo"


def test_scratch_folders_are_gone_in_the_end(shipped: Shipped) -> None:
    source = """
        import os
        def f():
            os.makedirs("a/b")
            open("a/b/c", "w").close()
            os.chmod("a/b", 0o500)
    """
    assert _ends(shipped, source, "f", "f")[1]["ok"]
    assert list((shipped.folder / "scratch").rglob("*")) == []


def test_a_file_elsewhere_is_refused(shipped: Shipped, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    source = f"""
        import ems
        def f():
            open({str(other)!r}, "w").close()
            return ems.File({str(other)!r})
        def g():
            return [1, ems.File("missing.txt")]
        def h():
            open("here.txt", "w").close()
            return {{"deep": [ems.File("gone.txt")]}}
    """
    outside, missing, listed = _ends(shipped, source, "f", "g", "h")
    assert outside["reason"] == "outside_scratch"
    assert str(other) in outside["error"]["message"]
    assert outside["error"]["traceback"] == []
    assert other.exists()
    assert missing["reason"] == "output_missing"
    assert "missing.txt" in missing["error"]["message"]
    assert "holds here.txt" in listed["error"]["message"]


def test_what_cant_be_kept_is_named(shipped: Shipped) -> None:
    source = """
        import dataclasses, threading
        @dataclasses.dataclass
        class Net:
            layers: list
        def f():
            return {"net": Net([1, threading.Lock()])}
    """
    (end,) = _ends(shipped, source, "f")
    assert (end["reason"], end["error"]["path"]) == ("unkept", "result['net'].layers[1]")
    assert "lock" in end["error"]["message"]


def test_the_same_file_twice_and_an_input_handed_on(shipped: Shipped, tmp_path: Path) -> None:
    place = tmp_path / "mine.txt"
    place.write_text("mine")
    source = """
        import ems, os
        def f(given):
            open("one", "w").write("1")
            os.symlink("one", "two")
            mine = [ems.File("one"), ems.File("./one"), ems.File("two")]
            return [*mine, given, ems.File(str(given))]
    """
    digest = _digest(place)
    given = {"$file": [digest, 4, "mine.txt"]}
    (end,) = _ends(shipped, source, ("f", {"given": given}), places={digest: str(place)})
    one = end["out"][0]["$file"][0]
    assert [each["$file"][0] for each in end["out"]] == [one, one, one, digest, digest]
    assert sorted(d for d, _ in end["files"]) == sorted([one, digest])
    assert (shipped.objects / digest[:2] / digest).read_text() == "mine"
    assert place.read_text() == "mine"


def test_an_input_that_changes_is_not_published(shipped: Shipped, tmp_path: Path) -> None:
    place = tmp_path / "grows.txt"
    place.write_text("old")
    digest = _digest(place)
    source = f"""
        def f(given):
            text = given.read_text()
            with open({str(place)!r}, "a") as stream:
                stream.write("more")
            return text
        def g(given):
            return given.read_text()
    """
    given = {"given": {"$file": [digest, 3, "grows.txt"]}}
    stamp = os.stat(place)
    known = [str(place), stamp.st_size, stamp.st_mtime_ns, stamp.st_ino]
    first, second = _ends(shipped, source, ("f", given), ("g", given), places={digest: known})
    assert first["reason"] == "input_changed"
    assert "changed while the task read it" in first["error"]["message"]
    assert second["reason"] == "input_changed"
    assert "changed after its digest was found" in second["error"]["message"]
    place.unlink()
    (end,) = _ends(shipped, source, ("g", given), places={digest: str(place)})
    assert end["reason"] == "input_missing"


def _nothing(_folder: Path) -> None: ...


def _edit(folder: Path) -> None:
    (folder / "x").write_text("new and longer")


def _add(folder: Path) -> None:
    (folder / "sub" / "more").write_text("")


def _remove(folder: Path) -> None:
    (folder / "sub" / "y").unlink()


@pytest.mark.parametrize("harm", [_nothing, _edit, _add, _remove])
@pytest.mark.parametrize("when", ["before", "during"])
def test_a_folder_that_changes_is_not_published(
    shipped: Shipped, tmp_path: Path, harm: Callable[[Path], None], when: str
) -> None:
    place, harmed = tmp_path / "d", tmp_path / "harmed"
    (place / "sub").mkdir(parents=True)
    (place / "x").write_text("old")
    (place / "sub" / "y").write_text("")
    rows = rows_of(str(place))
    assert [row[0] for row in rows] == ["sub/y", "x"]
    shutil.copytree(place, harmed)
    harm(harmed)
    source = f"""
        import os, shutil
        def f(given):
            text = open(os.path.join(given, "x")).read()
            if {when == "during" and harm is not _nothing}:
                shutil.rmtree({str(place)!r})
                shutil.copytree({str(harmed)!r}, {str(place)!r})
            return text
    """
    if when == "before":
        harm(place)
    call = ("f", {"given": {"$dir": ["a" * 64, 3, "d"]}})
    (end,) = _ends(shipped, source, call, places={"a" * 64: [str(place), rows]})
    if harm is _nothing:
        assert end["out"] == "old"
    else:
        assert end["reason"] == "input_changed"
        said = "after its digest was found" if when == "before" else "while the task read it"
        assert said in end["error"]["message"]


def test_seeds_reach_generators_that_load_late(shipped: Shipped) -> None:
    source = """
        def early():
            import random
            import numpy as np
            return [random.random(), float(np.random.rand())]
        def again():
            import random, numpy
            return [random.random(), float(numpy.random.rand())]
    """
    first, second = _ends(shipped, source, "early", "again")
    assert first["ok"], first
    assert first["out"] == second["out"]


def test_a_fork_that_comes_back_does_not_speak(shipped: Shipped) -> None:
    source = """
        import os
        def f():
            if os.fork():
                os.wait()
                return "parent"
            return "child"
        def g():
            if os.fork():
                os.wait()
                return "parent"
            raise ValueError("child")
    """
    assert [end["out"] for end in _ends(shipped, source, "f", "g")] == ["parent", "parent"]


def test_multiprocessing_works_in_a_task(shipped: Shipped) -> None:
    source = """
        import multiprocessing, ems
        def square(x):
            return x * x
        @ems.task
        def f():
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return pool.map(square, range(4))
        @ems.task
        def left():
            from concurrent.futures import ProcessPoolExecutor
            pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
            return list(pool.map(square, range(3)))
    """
    ends = _ends(shipped, source, "f", "left", "f")
    assert [end.get("out") for end in ends] == [[0, 1, 4, 9], [0, 1, 4], [0, 1, 4, 9]]


def test_a_forked_process_ends_when_it_is_asked_however_early(shipped: Shipped) -> None:
    source = """
        import os, time, ems
        @ems.task
        def f():
            import signal
            os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
            pid = os.fork()
            if pid == 0:
                time.sleep(20)
                os._exit(0)
            return os.waitpid(pid, 0)[1]
    """
    (end,) = _ends(shipped, source, "f")
    assert end.get("out") == signal.SIGTERM


def test_odd_errors_are_told(shipped: Shipped) -> None:
    source = """
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError("no text")
        class Worse(BaseException):
            pass
        def f(): raise Odd()
        def g(): raise Worse("w")
        def h(): raise KeyboardInterrupt
        def deep():
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise ValueError("outer \\ud800") from error
    """
    odd, worse, stopped, deep = _ends(shipped, source, "f", "g", "h", "deep")
    assert odd["error"]["type"] == "work.Odd"
    assert "can't be shown" in odd["error"]["message"]
    assert (worse["reason"], worse["error"]["message"]) == ("exception", "w")
    assert stopped["error"]["type"] == "KeyboardInterrupt"
    text = "\n".join(deep["error"]["traceback"])
    assert "ZeroDivisionError: division by zero" in text
    assert "direct cause" in text
    assert deep["error"]["message"] == "outer \ud800"


def test_code_that_does_not_import(shipped: Shipped) -> None:
    for source, said in (("import nothing_like_it", "nothing_like_it"), ("def f(:", "work.py")):
        (end,) = _ends(shipped, source, "f")
        assert end["reason"] == "import"
        assert said in "\n".join(end["error"]["traceback"])
    (end,) = _ends(shipped, "x = 1", "f")
    assert (end["reason"], end["error"]["type"]) == ("import", "AttributeError")


def test_another_environment_is_refused(shipped: Shipped) -> None:
    code = shipped.code(work="def f(): return 1")
    wrong = {"python": "2.7", "pytest": "0.1", "no-such-package": "1", "image:x": "y"}
    (end,) = shipped.ends(shipped.parcel(code, [("f", {})], env=wrong))
    assert (end["ok"], end["reason"]) == (False, "environment")
    message = end["error"]["message"]
    assert "(declared 2.7)" in message
    assert "(declared 0.1)" in message
    assert "no-such-package is missing" in message
    assert "image" not in message
    here = {"python": "%d.%d" % __import__("sys").version_info[:2], "pytest": pytest.__version__}
    assert shipped.ends(shipped.parcel(code, [("f", {})], env=here))[0]["ok"]


def test_an_unknown_schema_is_refused(shipped: Shipped) -> None:
    code, _, output = shipped.alone(shipped.parcel({}, [], schema=99))
    assert code not in (0, 100)
    assert b"schema 99" in output
    assert b"same release" in output


def test_code_from_object_folders(shipped: Shipped) -> None:
    source = b"def f(): return __file__"
    from ems.hashing import digest_bytes

    digest = digest_bytes(source)
    place = shipped.objects / digest[:2] / digest
    place.parent.mkdir(parents=True)
    place.write_bytes(source)
    code = {"files": {"src/work.py": digest}, "modules": {"work": "src/work.py"}, "search": ["src"]}
    (end,) = shipped.ends(shipped.parcel(code, [("f", {})]))
    assert end["out"].endswith("src/work.py")
    assert str(shipped.folder / "scratch") in end["out"]


def test_the_facade_has_every_public_name() -> None:
    assert set(facade.__all__) == set(ems.__all__)


def test_the_project_on_sys_path_is_not_imported(shipped: Shipped, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "stray.py").write_text("x = 1\n")
    shipped.variables["PYTHONPATH"] = str(project)
    code = {**shipped.code(work="def f():\n    import stray\n"), "root": str(project)}
    (end,) = shipped.ends(shipped.parcel(code, [("f", {})]))
    assert end["error"]["type"] == "ModuleNotFoundError"


def _digest(path: Path) -> str:
    from ems.hashing import digest_file

    return digest_file(path)
