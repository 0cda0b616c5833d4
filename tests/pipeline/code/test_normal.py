"""The normal form: equal for equal code however it is laid out, different for different code."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.pipeline.code.facts import read, read_program
from ems.pipeline.code.symbols import TOP

NAMES = st.sampled_from(["a", "b", "value", "h.f", "self.x.y"])
CONSTANTS = st.one_of(
    st.integers(-(2**70), 2**70).map(repr),
    st.floats(allow_nan=False).map(lambda x: repr(x).replace("inf", "1e999")),
    st.booleans().map(repr),
    st.text(max_size=8).map(repr),
    st.binary(max_size=4).map(repr),
    st.sampled_from(["None", "...", "1j", "''", "0x10", "1_000"]),
)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    signs = [
        "+",
        "-",
        "*",
        "//",
        "**",
        "@",
        "<",
        "<=",
        "==",
        "is",
        "is not",
        "in",
        "not in",
        "and",
        "or",
    ]
    return st.one_of(
        st.tuples(inner, st.sampled_from(signs), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda x: f"(not {x})"),
        inner.map(lambda x: f"(-{x})"),
        st.lists(inner, max_size=3).map(lambda xs: f"[{', '.join(xs)}]"),
        st.lists(inner, min_size=1, max_size=3).map(lambda xs: f"({', '.join(xs)},)"),
        pair.map(lambda t: f"{{{t[0]}: {t[1]}, **a}}"),
        pair.map(lambda t: f"f({t[0]}, *b, key={t[1]}, **c)"),
        pair.map(lambda t: f"({t[0]} if {t[1]} else b)"),
        pair.map(lambda t: f"[{t[0]} for a in {t[1]} if a]"),
        inner.map(lambda x: f"(lambda a, /, b=1, *c, d, **e: {x})"),
        pair.map(lambda t: f"({t[0]})[{t[1]}:, ::2]"),
        inner.map(lambda x: f"(w := {x})"),
        inner.map(
            lambda x: f"f'a{{{{b {{({x})!r:>{{a}}}}'" if "'" not in x and "\\" not in x else x
        ),
    )


BLOCKS = [
    "def f(a, *, b=1) -> int:\n    'doc'\n    BODY",
    "async def g(*a: int, **b):\n    BODY",
    "@d\nclass C(B, k=1):\n    x: int = 1\n    BODY",
    "try:\n    BODY\nexcept (E, F) as e:\n    BODY\nelse:\n    x = 1\nfinally:\n    x = 2",
    "with a as b, c:\n    BODY",
    "while a:\n    BODY\nelse:\n    x = 1",
    "if a:\n    BODY\nelif b:\n    x = 1\nelse:\n    x = 2",
    "match a:\n  case [1, *r] | {'k': C(x=y), **z} if a:\n    BODY",
]


def _blocks(drawn: tuple[str, list[str]]) -> str:
    form, inner = drawn
    return form.replace("BODY", "\n".join(inner).replace("\n", "\n    "))


EXPRESSIONS = st.recursive(st.one_of(NAMES, CONSTANTS), _compound, max_leaves=12)
STATEMENTS = st.recursive(
    st.one_of(
        EXPRESSIONS.map(lambda e: f"x = {e}"),
        EXPRESSIONS.map(lambda e: f"a.b[0] += {e}"),
        EXPRESSIONS.map(lambda e: f"for i, *j in {e}: continue"),
        st.sampled_from(["pass", "import a.b as c", "from m import n as o, p", "global g"]),
    ),
    lambda inner: st.tuples(st.sampled_from(BLOCKS), st.lists(inner, min_size=1, max_size=3)).map(
        _blocks
    ),
    max_leaves=5,
)


def form(source: str) -> str:
    return read_program(source).texts[TOP]


@settings(max_examples=60, deadline=None)
@given(STATEMENTS)
def test_layout_does_not_count(source: str) -> None:
    tree = ast.parse(source)
    assert form(ast.unparse(tree)) == form(source)
    assert form(source.replace("\n", "  # note\n\n")) == form(source)


@settings(max_examples=60, deadline=None)
@given(STATEMENTS)
def test_the_normal_form_is_its_own(source: str) -> None:
    text = form(source)
    if 'f"' not in text:  # nested quotes in f-strings are no syntax before 3.12
        assert form(text) == text


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS, EXPRESSIONS)
def test_equal_text_means_an_equal_tree(one: str, two: str) -> None:
    same = ast.dump(ast.parse(one)) == ast.dump(ast.parse(two))
    assert (form(f"x = {one}") == form(f"x = {two}")) is same


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("1", "True"),
        ("1", "1.0"),
        ("1.0", "1e0 + 0"),
        ("'1'", "1"),
        ("'a'", "b'a'"),
        ("0.0", "-0.0"),
        ("(1,)", "1"),
        ("(1, 2)", "[1, 2]"),
        ("a - (b - c)", "a - b - c"),
        ("a or b and c", "(a or b) and c"),
        ("f'{a}'", "'{a}'"),
        ("f'{a!r}'", "f'{a}'"),
        ("f'{a:>1}'", "f'{a:>2}'"),
        ("f'{{a}}'", "f'{a}'"),
        ("a.b(c)", "a.b[c]"),
        ("x[1:2]", "x[1, 2]"),
        ("f(a)", "f(*a)"),
        ("f(a=1)", "f(b=1)"),
        ("1e999", "inf"),
        ("{**a}", "{a}"),
        ("[a for a in b]", "(a for a in b)"),
        ("'\\\\n'", "'\\n'"),
        ("lambda a: a", "lambda *a: a"),
        ("lambda a, /: a", "lambda a: a"),
        ("lambda *, a: a", "lambda a: a"),
        ("not a", "-a"),
        ("a if b else c", "b if a else c"),
        ("(yield)", "(yield None)"),
        ("a is b", "a == b"),
    ],
)
def test_different_code_differs(one: str, two: str) -> None:
    assert form(f"x = {one}") != form(f"x = {two}")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("1_000", "1000"),
        ("0x10", "16"),
        ("'a' 'b'", "'ab'"),
        ("'a'", '"""a"""'),
        ("((a))", "a"),
        ("f'a' 'b'", "f'ab'"),
        ("f'{a:}'", "f'{a}'"),
        ("[a,]", "[a]"),
        ("1e3", "1000.0"),
        ("u'a'", "'a'"),
        ("'\\x41'", "'A'"),
        ("a if (b) else (c)", "(a if b else c)"),
        ("'ä'", "'\\xe4'"),
    ],
)
def test_spelling_does_not_count(one: str, two: str) -> None:
    assert form(f"x = {one}") == form(f"x = {two}")


def test_annotations_stay_where_they_may_be_read() -> None:
    def text(source: str, name: str) -> str:
        return read(source, "m", package=False).texts[name]

    assert "int" not in text("def f(a: int) -> int: return a", "f")
    assert "int" not in text("@property\ndef f(a: int): return a", "f")
    assert "a: int" in text("@beartype\ndef f(a: int): return a", "f")
    assert "a: int" in text("class C:\n    a: int", "C")
    assert "int" not in text("class C:\n    def f(self, a: int): b: int = a", "C")
    assert text("X: int = 1", "X") == "X = 1"


def test_what_stays_of_empty_bodies() -> None:
    forms = {
        form(f"def f():\n    {body}\n") for body in ("pass", "...", "'doc'", "'doc'\n    pass", "1")
    }
    assert len(forms) == 1
