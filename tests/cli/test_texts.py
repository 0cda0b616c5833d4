from __future__ import annotations

import time

import pytest

from ems.cli.tables import plain_table
from ems.cli.texts import counted, metric, plural, size, took, value, when

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (None, "None"),
        (True, "True"),
        ("it's", '"it\'s"'),
        ([1, 2.5, "x"], "[1, 2.5, 'x']"),
        ({"a": [1], "b": {}}, "{'a': [1], 'b': {}}"),
        ({"$tuple": [1]}, "(1,)"),
        ({"$tuple": [1, 2]}, "(1, 2)"),
        ({"$set": []}, "set()"),
        ({"$set": [1, 2]}, "{1, 2}"),
        ({"$frozenset": {"$set": [1]}}, "frozenset({1})"),
        ({"$dict": [[1, "a"], [{"$tuple": []}, 2]]}, "{1: 'a', (): 2}"),
        ({"$float": "nan"}, "nan"),
        ({"$path": "a/b"}, "a/b"),
        ({"$datetime": "2024-01-01T00:00:00"}, "2024-01-01T00:00:00"),
        ({"$enum": ["mod:Colour", "RED"]}, "Colour.RED"),
        ({"$npscalar": ["<f4", "1.5"]}, "1.5"),
        ({"$file": [DIGEST, 120, "raw.npz"]}, "raw.npz (120 B, abababababab)"),
        ({"$dir": [DIGEST, 2048, "data"]}, "data/ (2 KiB, abababababab)"),
        ({"$npy": [DIGEST, 3 << 20]}, "array (3 MiB, abababababab)"),
        ({"$pickle": [DIGEST, 1]}, "pickle (1 B, abababababab)"),
        ({"$data": ["m:Config", {"$fields": {"lr": 0.1}}]}, "Config(lr=0.1)"),
        ({"$named": ["m:Point", {"$fields": {"x": 1, "y": 2}}]}, "Point(x=1, y=2)"),
        ({"$of": [DIGEST, []]}, "result of abababababab"),
        (
            {"$of": [DIGEST, [["item", "train"], ["attr", "x"]]]},
            "result of abababababab['train'].x",
        ),
        ({"$of": [None, [["item", 0]], [1, 2]]}, "part of [1, 2][0]"),
        ({"$later": [1]}, "later([1])"),
    ],
)
def test_values_are_shown_without_being_loaded(tree: object, text: str) -> None:
    assert value(tree) == text


def test_long_values_are_cut() -> None:
    assert value("x" * 100, 10) == "'xxxxxxxx…" and len(value("x" * 100, 10)) == 10


def test_small_words() -> None:
    assert (size(0), size(1023), size(1536), size(5 << 30)) == ("0 B", "1023 B", "1.5 KiB", "5 GiB")
    assert (plural(1, "call"), plural(0, "call")) == ("1 call", "0 calls")
    assert counted({"failed": 1, "ran": 2, "cached": 0}) == "2 ran, 1 failed"
    assert counted({}) == "nothing to do"
    assert (took(1.0, None), took(1.0, 3.0), took(3.0, 1.0)) == ("", "2 s", "0 s")
    moment = time.mktime((2024, 5, 1, 12, 30, 0, 0, 0, -1))
    assert (when(moment), when(None)) == ("2024-05-01 12:30:00", "")
    assert metric({"step": 3, "metrics": {"r": 0.12345678}, "t": 1.0}) == "[step 3] r 0.123457"
    assert metric({"step": None, "t": 1.0, "loss": 2}) == "loss 2"


def test_plain_tables_are_aligned_and_never_cut() -> None:
    rows = [["a" * 200, "1"], ["b", "10"]]
    lines = plain_table(("name", "n"), rows, {"n"})
    assert lines == ["name" + " " * 196 + "   n", "a" * 200 + "   1", "b" + " " * 199 + "  10"]
