"""Every table of the stand-in against the installed pulumi_aws: what it names must be there."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from tests.rigs.sky import kinds, schema
from tests.rigs.sky.kind import Call, Kind, remembered

TABLES = kinds.collect()


@pytest.fixture(params=sorted(TABLES.kinds))
def kind(request: pytest.FixtureRequest) -> Kind:
    return TABLES.kinds[request.param]


def shape_of(kind: Kind) -> schema.Shape:
    known = schema.shape(kind.token)
    assert known, f"pulumi_aws has no {kind.token}"
    return known


def test_what_a_table_says_of_inputs_is_in_the_package(kind: Kind) -> None:
    known = shape_of(kind)
    named = {
        *(path.split(".")[0] for path in (*kind.replaces, *kind.sets, *kind.documents)),
        *kind.defaults,
        *([kind.name] if kind.name else []),
    }
    assert named <= set(known.inputs)


def test_dotted_paths_lead_to_properties(kind: Kind) -> None:
    for path in (*kind.replaces, *kind.sets, *kind.documents):
        assert schema.leads_to(kind.token, path), f"{kind.token} has no {path}"


def test_computed_outputs_are_outputs(kind: Kind) -> None:
    known = shape_of(kind)
    assert {*kind.computed, *kind.renewed, *kind.secrets} - {"id"} <= known.outputs


def test_defaults_have_the_package_s_types(kind: Kind) -> None:
    required = dict.fromkeys(shape_of(kind).inputs)
    found = schema.check(kind.token, {**required, **kind.defaults})
    wrong = [failure for failure in found if failure.reason != "missing required property"]
    assert not wrong


def test_replace_rules_cite_a_file(kind: Kind) -> None:
    for path, citation in kind.replaces.items():
        assert re.search(r"^[a-z0-9]+/\w+\.go\b", citation), f"{kind.token} {path}: {citation!r}"


def test_a_type_in_two_tables_is_refused() -> None:
    first, second = ModuleType("first"), ModuleType("second")
    for module in (first, second):
        module.__dict__["KINDS"] = [remembered("aws:sqs/queue:Queue", "sqs.Nothing")]
    with pytest.raises(LookupError, match=r"in first and in second \(allowed: once\)"):
        kinds.collect([first, second])


def test_remembered_types_are_listed_with_what_is_lacking() -> None:
    module = ModuleType("one")
    module.__dict__["KINDS"] = [remembered("aws:sqs/queue:Queue", "sqs.Nothing")]
    assert kinds.collect([module]).remembered == {"aws:sqs/queue:Queue": "sqs.Nothing"}


def test_a_remembered_type_keeps_what_the_program_says() -> None:
    kind = remembered(
        "aws:sqs/queue:Queue", "sqs.Nothing", outputs=lambda call, props: {"arn": f"x:{call.name}"}
    )
    call = Call(lambda service, region: None, "us-east-1", "0" * 12, "q")
    made = kind.create(call, {"name": "n"})
    assert (made, call.id) == ("q", "q")
    assert kind.read(call, made, {"name": "n"}) == {"name": "n", "arn": "x:q"}
    assert kind.computed == ("arn",)
