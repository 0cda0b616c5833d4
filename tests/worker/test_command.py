"""Templates: whatever a value holds stays the word it is, with a shell and without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.worker.command import Template, TemplateError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
SHOW = "import sys, json; print(json.dumps(sys.argv[1:]))"


@given(TEXT, TEXT)
def test_without_a_shell_each_value_stays_in_its_word(one: str, two: str) -> None:
    words = Template("run --a {a} --b={b} 'c {a}'").fill({"a": one, "b": two})
    assert words == ["run", "--a", one, f"--b={two}", f"c {one}"]


@settings(max_examples=40, deadline=None)
@given(TEXT, st.lists(TEXT, max_size=3))
def test_with_a_shell_too(one: str, several: list[str]) -> None:
    template = Template(
        f"{sys.executable} -S -c '{SHOW}' {{a}} x{{a}}y \"in {{a}} quotes\" 'and {{a}} single' "
        '"$(printf %s. "{a}")" {several} | cat'
    )
    assert template.shell
    done = subprocess.run(
        template.fill({"a": one, "several": several}),
        stdout=subprocess.PIPE,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"},
    )
    said = json.loads(done.stdout)
    inner = f"{one}."
    expected = [one, f"x{one}y", f"in {one} quotes", f"and {one} single", inner, *several]
    assert said == expected


@pytest.mark.parametrize(
    ("text", "shell"),
    [
        ("python train.py --seed {seed} --out {out.model}", False),
        ("a 'b | c > d' \"e; f\" --g=h{{i}}", False),
        ("echo 'cost: $5 `x`'", False),
        ("echo a~b a#b --x=y", False),
        ("echo a\\|b", False),
        ("a | b", True),
        ("a && b", True),
        ("a > {out.log}", True),
        ("echo $HOME", True),
        ('echo "$HOME"', True),
        ("echo `date`", True),
        ("ls *.txt", True),
        ("ls ~/x", True),
        ("a # note", True),
        ("SEED=1 a", True),
        ("a\nb", True),
        ("(a)", True),
    ],
)
def test_when_a_shell_is_used(text: str, shell: bool) -> None:
    assert Template(text).shell is shell


def test_lists_numbers_files_and_braces(tmp_path: Path) -> None:
    values = {"xs": [1, "b c"], "n": 0.1, "none": None, "f": tmp_path, "d": {"k": [1]}, "yes": True}
    words = Template("r {xs} {n} {none} {f} {d} {yes} {{xs}}").fill(values)
    assert words == [
        "r", "1", "b c", "0.1", "None", str(tmp_path), '{"k": [1]}', "True", "{xs}",
    ]  # fmt: skip
    assert Template("r {xs} z").fill({"xs": []}) == ["r", "z"]


def test_names() -> None:
    template = Template("r {a} {out.m} {b} {a} {out.n}")
    assert (template.arguments, template.outputs) == (["a", "b"], ["m", "n"])


@pytest.mark.parametrize(
    "text",
    ["r {", "r }", "r {a b}", "r {0}", "r {in.x}", "r {a:.2f}", "", "  ", "r 'open", "r \0"],
)
def test_bad_templates(text: str) -> None:
    with pytest.raises(TemplateError):
        Template(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("r --x={a}", [1]),
        ("r {a}", object()),
        ("r {a}", "x\0y"),
        ("r {a}", [[1]]),
        ("r x{a} | b", [1]),
    ],
)
def test_values_without_a_form(text: str, value: object) -> None:
    with pytest.raises(TemplateError, match=r"\{a\}"):
        Template(text).fill({"a": value})
