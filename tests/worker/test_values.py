"""Canonical values: pinned text, round trips, equality of literal and stored forms."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.hashing import digest_bytes
from ems.worker.files import Dir, File
from ems.worker.values import (
    Unkept,
    brief,
    canon,
    canon_tree,
    dump,
    files_of,
    load,
    pick,
)


@dataclasses.dataclass(frozen=True)
class Pose:
    x: float
    name: str = ""


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


Pair = collections.namedtuple("Pair", "a b")


class Shelf:
    """A sink and source in a folder."""

    pickle = False

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def put_bytes(self, data: bytes) -> tuple[str, int]:
        digest = digest_bytes(data)
        (self.folder / digest).write_bytes(data)
        return digest, len(data)

    def put_path(self, path: str) -> tuple[str, int]:
        return self.put_bytes(pathlib.Path(path).read_bytes())

    def put_folder(self, path: str) -> tuple[str, int]:
        return "f" * 64, 0

    def special(self, value: object) -> None:
        return None

    def file(self, digest: str, name: str) -> str:
        return str(self.folder / digest)

    def folder_of(self, digest: str, name: str) -> str:
        return str(self.folder)


@pytest.fixture
def shelf(tmp_path: pathlib.Path) -> Shelf:
    return Shelf(tmp_path)


KEPT = [
    None,
    True,
    1,
    -(10**40),
    1.5,
    -0.0,
    float("inf"),
    "text ü \ud800",
    b"\x00\xff",
    bytearray(b"x"),
    [1, [2, (3, 4)]],
    (),
    {"a": {"b": [None]}},
    {1: "one", (2, 3): "pair"},
    {"$tuple": "a key that looks like a tag"},
    {1, 2, 3},
    frozenset({"a"}),
    2 + 3j,
    range(1, 10, 2),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    datetime.date(2026, 1, 2),
    datetime.time(1, 2),
    datetime.timedelta(days=1, microseconds=5),
    decimal.Decimal("1.10"),
    uuid.UUID(int=5),
    pathlib.Path("no/such/path"),
    Colour.RED,
    Level.LOW,
    Pose(1.0, "p"),
    Pair(1, [2]),
    np.float32(1.5),
    np.int64(-3),
    np.bool_(True),
]


@pytest.mark.parametrize("value", KEPT, ids=lambda value: type(value).__name__)
def test_what_is_kept_comes_back_as_it_was(value: object, shelf: Shelf) -> None:
    tree = dump(value, shelf)
    back = load(tree, shelf)  # type: ignore[arg-type]
    assert type(back) is type(value)
    assert back == value
    assert canon_tree(tree) == canon(value)


@pytest.mark.parametrize("dtype", ["<f8", "<i4", "|b1", "<U5", "<c16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_and_count_by_content(dtype: str, order: str, shelf: Shelf) -> None:
    value = np.arange(6).reshape(2, 3).astype(dtype, order=order)  # type: ignore[call-overload]
    tree = dump({"a": value}, shelf)
    back = load(tree, shelf)["a"]  # type: ignore[arg-type]
    assert back.dtype == value.dtype
    assert (back == value).all()
    assert canon_tree(tree) == canon({"a": np.ascontiguousarray(value)})
    assert files_of(tree)[0][0] == tree["a"]["$npy"][0]


def test_frames_come_back(shelf: Shelf) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[5, 6])
    pd.testing.assert_frame_equal(load(dump(frame, shelf), shelf), frame)  # type: ignore[arg-type]
    series = pd.Series([1.0, 2.0])
    pd.testing.assert_series_equal(load(dump(series, shelf), shelf), series)  # type: ignore[arg-type]


def test_the_canonical_text_is_pinned() -> None:
    value = {"b": [1, 1.0, True, None, "é"], "a": (1, {2}), "c": Pose(0.5), "d": Level.LOW}
    assert canon(value) == (
        '{"a":{"$tuple":[1,{"$set":[2]}]},"b":[1,1.0,true,null,"\\u00e9"],'
        '"c":{"$data":["test_values:Pose",{"$fields":{"name":"","x":0.5}}]},'
        '"d":{"$enum":["test_values:Level","LOW"]}}'.replace("test_values", __name__)
    )
    tree = {"$npy": ["object", 132, "<i2", [1, 2], digest_bytes(b"\x01\x00\x02\x00")]}
    assert canon(np.array([[1, 2]], dtype="<i2")) == canon_tree(tree)
    assert canon_tree(tree) == (
        '{"$npy":["<i2",[1,2],"7b11c1133330cd161071bf23a0c9b6ce5320a8f3a0f83620035a72be46df4104"]}'
    )


def test_long_text_becomes_its_digest() -> None:
    assert brief(canon("a" * 126)) == '"' + "a" * 126 + '"'
    assert brief(canon("a" * 127)) == (
        '{"$sha256":"361badde49b367483c6172fbef26a09598f3814fe1509cac8231f9fa97d1c30a"}'
    )


def test_types_that_are_equal_to_python_count_apart() -> None:
    texts = [canon(v) for v in (1, 1.0, True, "1", [1], (1,), {1}, np.int64(1), Level.LOW)]
    assert len(set(texts)) == len(texts)


def test_the_order_of_keys_and_members_does_not_count() -> None:
    assert canon({"a": 1, "b": 2}) == canon({"b": 2, "a": 1})
    assert canon({3, 1, 2}) == canon({2, 3, 1})
    assert canon({(1, 2): "x", 3: "y"}) == canon({3: "y", (1, 2): "x"})


@pytest.mark.parametrize(
    ("value", "path", "word"),
    [
        ({"policy": [1, object()]}, "value['policy'][1]", "object"),
        (collections.OrderedDict(a=1), "value", "plain dict"),
        ([lambda: 1], "value[0]", "top of a module"),
        ((n for n in ()), "value", "list of its items"),
        (np.array([object()]), "value", "objects"),
        (Pose(x=open), "value.x", "can't be kept"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_kept_is_named(value: object, path: str, word: str, shelf: Shelf) -> None:
    with pytest.raises(Unkept) as caught:
        dump(value, shelf)
    assert caught.value.path == path
    assert word in caught.value.problem


def test_a_path_that_exists_is_refused(tmp_path: pathlib.Path, shelf: Shelf) -> None:
    with pytest.raises(Unkept, match=r"ems\.Dir"):
        dump(tmp_path, shelf)


def test_files_count_by_content_not_by_name(tmp_path: pathlib.Path, shelf: Shelf) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.dat"
    for each in (one, two):
        each.write_text("same")
    assert canon_tree(dump(File(one), shelf)) == canon_tree(dump(File(two), shelf))
    assert dump(File(one), shelf)["$file"][2] == "one.txt"
    back = load(dump([File(one)], shelf), shelf)[0]  # type: ignore[arg-type]
    assert back.read_text() == "same"
    assert back.name == "one.txt"
    assert File(one) == File(str(one))
    assert Dir(tmp_path).glob("*.txt") == [one]


def test_parts_of_a_stored_tree(shelf: Shelf) -> None:
    tree = dump({"train": [1, (2, 3)], "pose": Pose(1.0), "by": {5: "five"}}, shelf)
    assert pick(tree, [("item", "train"), ("item", -1), ("item", 0)]) == 2
    assert pick(tree, [("item", "pose"), ("attr", "x")]) == 1.0
    assert pick(tree, [("item", "by"), ("item", 5)]) == "five"
    for steps, word in [
        ([("item", "tarin")], "'train'"),
        ([("item", "train"), ("item", 7)], "item 7 of 2"),
        ([("item", "pose"), ("attr", "y")], "x, name"),
        ([("item", "train"), ("item", 0), ("item", 0)], "no items"),
    ]:
        with pytest.raises(LookupError, match=word):
            pick(tree, steps)  # type: ignore[arg-type]


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(st.integers() | st.booleans(), inner)
    ),
    max_leaves=12,
)


@given(plain)
def test_any_plain_value_comes_back_with_the_same_text(value: object) -> None:
    shelf = Shelf(pathlib.Path("unused"))
    tree = dump(value, shelf)
    assert canon_tree(tree) == canon(value)
    back = load(tree, shelf)  # type: ignore[arg-type]
    assert back == value
    assert canon(back) == canon(value)


@given(plain, plain)
def test_different_values_have_different_texts(one: object, two: object) -> None:
    if canon(one) == canon(two):
        assert one == two
