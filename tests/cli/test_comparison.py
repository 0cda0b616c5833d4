from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ems.cli.changes import document, line, lines
from ems.pipeline.why import ABSENT, Change, Comparison, Made

V = {name: name * 64 for name in "abcdef"}


class Shelf:
    """What versions were made of and gave, from plain dictionaries."""

    def __init__(self, made: Mapping[str, Made], contents: Mapping[str, str]) -> None:
        self._made, self._contents = made, contents

    def made(self, version: str) -> Made | None:
        return self._made.get(version)

    def content(self, version: str, steps: Sequence[Sequence[Any]]) -> str:
        return self._contents.get(version, "") + "".join(str(step[1]) for step in steps)


def spec(key: str = "k", **parts: Any) -> dict[str, Any]:
    return {"key": key, "kind": "python", "code": {}, "env": {}, **parts}


def made(version: str, args: Mapping[str, Any], task: str = "t", **more: Any) -> Made:
    return Made(version, task, more.get("spec", spec()), more.get("sources", {}), args)


def compare(old: Made, new: Made, *others: Made, **contents: str) -> tuple[Change, ...]:
    shelf = Shelf({each.version: each for each in others}, {V[k]: c for k, c in contents.items()})
    return Comparison(shelf).changes(old, new)


def of(name: str, *steps: Any) -> dict[str, Any]:
    return {"$of": [V[name], [["item", step] for step in steps]]}


def said(old: Any, new: Any, *others: Made, **contents: str) -> list[str]:
    found = compare(made(V["e"], {"x": old}), made(V["f"], {"x": new}), *others, **contents)
    return list(lines(found))


def test_plain_arguments() -> None:
    assert said(1, 1) == []
    assert said(1, 2) == ["argument x: 1 → 2"]
    assert said([1, 2], [1, 3]) == ["argument x[1]: 2 → 3"]
    assert said({"a": 1, "b": 2}, {"a": 1, "c": 2}) == [
        "argument x['b'] is gone: 2", "argument x['c'] is new: 2"
    ]  # fmt: skip
    assert said({"$tuple": [1]}, {"$tuple": [2]}) == ["argument x[0]: 1 → 2"]
    assert said({"$tuple": [1]}, [1]) == ["argument x: (1,) → [1]"]
    old, new = ({"$data": ["m:C", {"$fields": {"lr": n, "n": 1}}]} for n in (0.1, 0.2))
    assert said(old, new) == ["argument x.lr: 0.1 → 0.2"]
    assert said({"$set": [1]}, {"$set": [2]}) == ["argument x: {1} → {2}"]


def test_a_file_counts_by_content() -> None:
    files = [{"$file": [digest * 64, 3, name]} for digest, name in ("aA", "aB", "bA")]
    assert said(files[0], files[1]) == []
    assert said(files[0], files[2]) == ["argument x: A (3 B, aaaaaaaaaaaa) → A (3 B, bbbbbbbbbbbb)"]


def test_an_upstream_result_counts_by_content() -> None:
    assert said(of("a"), of("b"), a="1", b="1") == []
    assert said(of("a", "w"), of("b", "w"), a="1", b="1") == []
    assert said(of("a"), 7, a="7") == []
    assert said(of("a"), 7, a="8") == ["argument x: result of aaaaaaaaaaaa → 7"]


def test_what_lies_behind_another_result() -> None:
    upstream = [made(V["a"], {"n": 1}, "up"), made(V["b"], {"n": 2}, "up")]
    assert said(of("a"), of("b"), *upstream, a="1", b="2") == [
        "argument x: another result of up", "  argument n: 1 → 2"
    ]  # fmt: skip
    assert said([of("a")], [of("a"), of("b")], *upstream, a="1", b="2") == [
        "argument x[1]: takes as well the result of up"
    ]
    assert said([of("a"), of("b")], [of("a")], *upstream, a="1", b="2") == [
        "argument x[1]: takes no more the result of up"
    ]
    assert said(5, of("b"), *upstream, b="2") == ["argument x: 5 → result of up"]


def test_parts_of_gathered_values() -> None:
    old, new = [{"$of": [None, [["item", 0]], [of(name), 5]]} for name in "ab"]
    upstream = [made(V["a"], {"n": 1}, "up"), made(V["b"], {"n": 2}, "up")]
    assert said(old, new, *upstream, a="1", b="1") == []
    assert said(old, new, *upstream, a="1", b="2")[0] == "argument x: another result of up"
    old, new = [{"$of": [None, [["item", 1]], [of(name), 5]]} for name in "ab"]
    assert said(old, new, a="1", b="2") == []


def test_code_environment_and_shape() -> None:
    old = made(
        V["a"], {},
        spec=spec("1", code={"task": "x", "m:f": "y"}, env={"python": "3.11", "numpy": "1"}),
        sources={"task": "def _():\n    return 1", "m:f": "f"},
    )  # fmt: skip
    new = made(
        V["b"], {},
        spec=spec("2", code={"task": "z", "m:g": "y"}, env={"python": "3.12", "numpy": "1"}),
        sources={"task": "def _():\n    return 2", "m:g": "f"},
    )  # fmt: skip
    assert list(lines(compare(old, new))) == [
        "code m:f is not reached any more",
        "    @@ -1 +0,0 @@",
        "    -f",
        "code m:g is reached now",
        "    @@ -0,0 +1 @@",
        "    +f",
        "the task's own code changed",
        "    @@ -1,2 +1,2 @@",
        "     def _():",
        "    -    return 1",
        "    +    return 2",
        "environment python: 3.11 → 3.12",
    ]
    command = [
        made(V[v], {}, spec=spec(v, kind="command", template=t, outputs={"m": t}))
        for v, t in ("aA", "bB")
    ]
    assert [line(change) for change in compare(*command)] == ["command changed", "outputs changed"]


def test_a_key_that_differs_for_no_part_is_that_of_an_uncached_task() -> None:
    old, new = made(V["a"], {}, spec=spec("1")), made(V["b"], {}, spec=spec("2"))
    assert [line(change) for change in compare(old, new)] == ["cache=False: it runs in every run"]


def test_a_deep_chain_ends() -> None:
    names = [f"{n:064x}" for n in range(200)]
    chain = [
        made(name, {"x": {"$of": [names[n - 2], []]} if n > 1 else n}, f"t{n}")
        for n, name in enumerate(names)
    ]
    shelf = Shelf({each.version: each for each in chain}, {name: name for name in names})
    found = Comparison(shelf).changes(chain[-2], chain[-1])
    assert len(list(lines(found))) == 21 and document(found[0])["upstream"] == "t197"


def test_absent_parts_are_null_in_json() -> None:
    found = document(Change("argument", "x", ABSENT, 3))
    assert (found["before"], found["after"], found["upstream"]) == (None, 3, None)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        | st.lists(inner, max_size=3).map(lambda rows: {"$tuple": rows})
    ),
    max_leaves=8,
)


@given(TREES, TREES)
def test_trees_differ_exactly_if_a_change_is_found(old: Any, new: Any) -> None:
    from ems.worker.values import canon_tree

    found = compare(made(V["e"], {"x": old}), made(V["f"], {"x": new}))
    assert bool(found) == (canon_tree(old) != canon_tree(new))
    assert all(isinstance(text, str) for text in lines(found))
