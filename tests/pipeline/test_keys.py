"""Keys: pinned digests, and what does and does not enter them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ems.pipeline.keys import filled, key_of, line_of, pendings_of, prefix_of, recipe_line, seed_of
from ems.worker.values import brief, canon

PREFIX = prefix_of("ab" * 32)


def test_keys_and_seeds_are_pinned() -> None:
    lines = [brief(canon("MiniGrid-FourRooms-v0")), brief(canon(50)), brief(canon(3))]
    assert (
        key_of(PREFIX, lines).hex()
        == "18063685a8526282d5f1bf46ba39932a81adabec0da6d68672823911a163c28a"
    )
    assert seed_of(lines) == 1726971096
    assert recipe_line(b"\x01" * 32, ()) == '{"$recipe":"%s"}' % ("01" * 32)
    assert recipe_line(b"\x01" * 32, (("item", "train"),)) == (
        '{"$recipe":["%s",[["item", "train"]]]}' % ("01" * 32)
    )


def test_a_literal_and_a_result_with_the_same_value_give_the_same_line() -> None:
    value = {"a": [1, 2, 3]}
    pending = {"$pending": [7, ()]}
    content = brief(canon(value))
    assert line_of(pending, lambda _index, _steps: content) == line_of(value, _never)


def test_long_content_inside_a_container_counts_by_its_digest() -> None:
    tree = [{"$pending": [0, ()]}, 1]
    long = brief(canon("x" * 500))
    assert line_of(tree, lambda _index, _steps: long) == f"[{long},1]"


def test_pending_parts_are_found_and_filled_in() -> None:
    tree = {"a": [{"$pending": [1, ()]}, 2], "b": {"$tuple": [{"$pending": [3, (("item", 0),)]}]}}
    assert pendings_of(tree) == [(1, ()), (3, (("item", 0),))]
    assert filled(tree, lambda index, _steps: -index) == {"a": [-1, 2], "b": {"$tuple": [-3]}}


@given(st.lists(st.text(alphabet="abc", max_size=3), max_size=4))
def test_other_lines_make_another_key(lines: list[str]) -> None:
    assert key_of(PREFIX, lines) != key_of(PREFIX, [*lines, "x"])
    assert key_of(PREFIX, lines) != key_of(prefix_of("cd" * 32), lines)


def _never(_index: int, _steps: object) -> str:
    raise AssertionError("nothing is pending here")
