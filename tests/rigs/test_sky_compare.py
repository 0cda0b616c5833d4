"""Differences between inputs: what counts as one, and what of it needs a new resource."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.rigs.sky.compare import changes, same
from tests.rigs.sky.kind import Kind
from tests.rigs.sky.wire import DEFAULTS, UNKNOWN, pack, unpack

KIND = Kind(
    "aws:sqs/queue:Queue",
    create=lambda call, props: "",
    read=lambda call, id_, props: None,
    delete=lambda call, id_, props: None,
    update=lambda call, id_, old, new: None,
    replaces={"name": "x", "block.type": "x", "rules.*.port": "x", "whole": "x"},
    sets=("zones", "rules.*.networks", "blocks"),
    documents=("policy", "block.policy"),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
props = st.dictionaries(st.text(max_size=3), values, max_size=4)


def found(old: dict[str, Any], new: dict[str, Any], kind: Kind = KIND) -> dict[str, str]:
    """Path → what, with `!` where it replaces."""
    return {c.dotted: c.what + ("!" if c.replaces else "") for c in changes(kind, old, new)}


@given(props)
def test_nothing_differs_from_itself(inputs: dict[str, Any]) -> None:
    assert found(inputs, inputs) == {}


@given(props, props)
def test_what_differs_one_way_differs_the_other(a: dict[str, Any], b: dict[str, Any]) -> None:
    turned = {"ADD": "DELETE", "DELETE": "ADD", "UPDATE": "UPDATE"}
    there = {c.dotted: c.what for c in changes(KIND, a, b)}
    back = {c.dotted: turned[c.what] for c in changes(KIND, b, a)}
    assert there == back


@given(props)
def test_values_come_back_from_the_wire(inputs: dict[str, Any]) -> None:
    assert found(unpack(pack(inputs)), inputs) == {}


@given(st.permutations(["a", "b", "c"]))
def test_the_order_in_a_set_says_nothing(order: list[str]) -> None:
    assert found({"zones": ["a", "b", "c"]}, {"zones": order}) == {}
    rules = {"rules": [{"networks": ["a", "b", "c"]}]}
    assert found(rules, {"rules": [{"networks": order}]}) == {}
    assert same(KIND, "zones", ["a", "b", "c"], order)


def test_a_set_of_blocks_finds_the_one_that_changed() -> None:
    one, two, three = {"n": 1}, {"n": 2}, {"n": 3}
    assert found({"blocks": [one, two]}, {"blocks": [two, one]}) == {}
    assert found({"blocks": [one, two]}, {"blocks": [three, one]}) == {"blocks[1].n": "UPDATE"}


def test_the_order_in_a_list_counts() -> None:
    assert found({"list": ["a", "b"]}, {"list": ["b", "a"]}) == {
        "list[0]": "UPDATE",
        "list[1]": "UPDATE",
    }


def test_documents_compare_by_meaning() -> None:
    statement = {"Effect": "Allow", "Action": ["s3:Get", "s3:Put"], "Resource": ["*"]}
    other = {"Resource": "*", "Action": ["s3:Put", "s3:Get"], "Effect": "Allow"}
    old = {"policy": json.dumps({"Statement": [statement]}, indent=2)}
    assert found(old, {"policy": json.dumps({"Statement": [other]})}) == {}
    stricter = {**other, "Action": "s3:Get"}
    assert found(old, {"policy": json.dumps({"Statement": [stricter]})}) == {"policy": "UPDATE"}
    block = {"block": {"policy": '{"a": 1,  "b": 2}'}}
    assert found(block, {"block": {"policy": '{"b":2,"a":1}'}}) == {}


def test_replace_rules_reach_into_blocks() -> None:
    assert found({"name": "a"}, {"name": "b"}) == {"name": "UPDATE!"}
    old = {"block": {"type": "a", "size": 1}}
    assert found(old, {"block": {"type": "a", "size": 2}}) == {"block.size": "UPDATE"}
    assert found(old, {"block": {"type": "b", "size": 1}}) == {"block.type": "UPDATE!"}
    assert found(old, {}) == {"block": "DELETE!"}
    assert found({"block": {"size": 1}}, {}) == {"block": "DELETE"}
    rule = {"rules": [{"port": 1, "name": "a"}]}
    assert found(rule, {"rules": [{"port": 2, "name": "b"}]}) == {
        "rules[0].name": "UPDATE",
        "rules[0].port": "UPDATE!",
    }
    assert found({"whole": {"a": 1}}, {"whole": {"a": 2}}) == {"whole.a": "UPDATE!"}


def test_another_region_replaces_always() -> None:
    assert found({"region": "us-east-1"}, {"region": "us-west-2"}) == {"region": "UPDATE!"}


def test_without_update_every_change_but_of_tags_replaces() -> None:
    fixed = replace(KIND, update=None)
    assert found({"size": 1}, {"size": 2}, fixed) == {"size": "UPDATE!"}
    assert found({"tags": {"a": "b"}}, {"tags": {"a": "c"}}, fixed) == {"tags.a": "UPDATE"}


def test_what_a_preview_cannot_know_counts_as_a_change() -> None:
    assert found({"name": "a"}, {"name": UNKNOWN}) == {"name": "UPDATE!"}
    assert not same(KIND, "size", UNKNOWN, UNKNOWN)


def test_marks_of_defaults_are_no_input() -> None:
    assert found({DEFAULTS: ["name"]}, {}) == {}


def test_odd_keys_are_quoted() -> None:
    assert found({"tags": {}}, {"tags": {"a b": "c"}}) == {'tags["a b"]': "ADD"}
