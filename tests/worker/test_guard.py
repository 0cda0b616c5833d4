"""A task imports the project modules of its own list, in whatever way it asks for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.shipped import Shipped

CODE = {
    "work": """
        def loads():
            import helper
            from lib import inner
            return helper.x + inner.x
        def statement():
            import helper
        def from_package():
            from lib import inner
        def by_call():
            import importlib
            return importlib.import_module("lib.inner").x
        def by_name():
            return __import__("helper").x
        def relative():
            from lib import sibling
            return sibling.x
        def unshipped():
            import lib.not_there
        def missing():
            import not_a_package
        def optional():
            try:
                import helper
            except ImportError:
                return "without"
        def allowed():
            import json, lib
            return lib.__name__
    """,
    "helper": "x = 1",
    "lib____init__": "",
    "lib__inner": "x = 2",
    "lib__sibling": "from . import inner\nx = inner.x",
}


def _run(shipped: Shipped, *calls: tuple[str, list[str]]) -> list[dict[str, Any]]:
    code = shipped.code(**CODE)
    code["modules"] = {
        "work": "work.py",
        "helper": "helper.py",
        "lib": "lib/__init__.py",
        "lib.inner": "lib/inner.py",
        "lib.sibling": "lib/sibling.py",
    }
    tasks = {name: {"modules": modules} for name, modules in calls}
    return shipped.ends(shipped.parcel(code, [(name, {}) for name, _ in calls], tasks))


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("statement", "helper"),
        ("from_package", "lib.inner"),
        ("by_call", "lib.inner"),
        ("by_name", "helper"),
        ("unshipped", "lib.not_there"),
    ],
)
def test_a_module_that_is_not_listed_is_refused(shipped: Shipped, name: str, refused: str) -> None:
    fresh = _run(shipped, (name, ["work"]))[-1]
    loaded = _run(shipped, ("loads", ["work", "helper", "lib", "lib.inner"]), (name, ["work"]))[-1]
    for end in (fresh, loaded):
        assert (end["ok"], end["reason"]) == (False, "import")
        assert end["error"]["type"] == "ImportError"
        assert f"uses=['{refused}']" in end["error"]["message"]
        assert name in end["error"]["message"]
        assert "worker" not in "\n".join(end["error"]["traceback"])


def test_inside_a_package_too(shipped: Shipped) -> None:
    (end,) = _run(shipped, ("relative", ["work", "lib.sibling"]))
    assert end["reason"] == "import"
    assert "uses=['lib.inner']" in end["error"]["message"]
    (end,) = _run(shipped, ("relative", ["work", "lib.sibling", "lib.inner"]))
    assert end["out"] == 2


def test_other_imports_are_as_ever(shipped: Shipped) -> None:
    missing, optional, allowed = _run(
        shipped, ("missing", ["work"]), ("optional", ["work"]), ("allowed", ["work", "lib.inner"])
    )
    assert missing["error"]["type"] == "ModuleNotFoundError"
    assert optional["out"] == "without"
    assert allowed["out"] == "lib"
