from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from ems.errors import EmsError
from ems.stack.outputs import SCHEMA, ClusterOutputs
from ems.stack.reading import (
    decode,
    decode_clusters,
    encode,
    merge,
    parse_document,
    plain,
    without_cluster,
)
from tests.stack.making import environment, queue, site, with_cluster, workspace


def changed(path: str, value: object) -> str:
    """Return the outputs as JSON with one value changed."""
    document: Any = json.loads(encode(environment()))
    *steps, last = path.split(".")
    place = document
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return json.dumps(document)


def refused(text: str | bytes) -> str:
    with pytest.raises(EmsError) as caught:
        decode(text, "dev")
    return str(caught.value)


def test_what_is_written_is_read_back() -> None:
    for outputs in (environment(), with_cluster(), environment(labs={}, sites={})):
        assert decode(encode(outputs)) == outputs
        assert decode(json.dumps(plain(outputs))) == outputs


def test_the_schema_number_is_always_written() -> None:
    assert json.loads(encode(environment()))["schema"] == SCHEMA
    clusters = ClusterOutputs(environment="dev", workspaces={})
    assert json.loads(encode(clusters)) == {"environment": "dev", "workspaces": {}, "schema": 1}
    assert decode_clusters(encode(clusters)) == clusters


def test_a_later_release_is_refused_with_the_remedy() -> None:
    assert refused(changed("schema", SCHEMA + 1)) == (
        f"dev: has schema {SCHEMA + 1}, a later release's (readable: 1). "
        "Try: pip install --upgrade emsctl"
    )


def test_an_earlier_release_is_refused_with_the_remedy() -> None:
    assert refused(changed("schema", 0)) == (
        "dev: has schema 0, an earlier release's (readable: 1). "
        "Try: make up with this release of EMS, which writes it anew"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1, 2]", "holds no outputs of EMS ($.schema is not there)"),
        ('{"bucket": "x"}', "holds no outputs of EMS ($.schema is not there)"),
        ('{"schema": true}', "holds no outputs of EMS ($.schema is not there)"),
        ('{"schema": "1"}', "holds no outputs of EMS ($.schema is not there)"),
        ('{"schema": 1', "is no JSON: "),
        ("", "is no JSON: "),
        (b'"\xff"', "is no JSON: "),
        ('{"schema": 1}', "$: object missing required field 'environment'"),
    ],
)
def test_what_is_foreign_or_damaged(text: str | bytes, problem: str) -> None:
    assert refused(text).startswith(f"dev: {problem}")


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("sites.oregon.region", 3, "$.sites.oregon.region: expected 'str', got 'int'"),
        (
            "sites.oregon.batch.queues.general.max_vcpus",
            "many",
            "$.sites.oregon.batch.queues.general.max_vcpus: expected 'int', got 'str'",
        ),
        (
            "sites.oregon.batch.queues.general.market",
            "flea",
            "$.sites.oregon.batch.queues.general.market: invalid enum value 'flea'",
        ),
        (
            "labs.robots.sites.oregon.tunnels.1.address",
            None,
            "$.labs.robots.sites.oregon.tunnels[1].address: expected 'str', got 'null'",
        ),
        (
            "sites.oregon.network.jobs",
            {"subnets": []},
            "$.sites.oregon.network.jobs: object missing required field 'security_groups'",
        ),
        ("sites.oregon.batch", [], "$.sites.oregon.batch: expected 'object | null', got 'array'"),
        ("sites", None, "$.sites: expected 'object', got 'null'"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_path(
    path: str, value: object, problem: str
) -> None:
    told = refused(changed(path, value))
    assert told == f"dev: {problem}. Try: make up, which writes them anew"


def test_keys_of_a_later_release_are_left_alone() -> None:
    for path in ("news", "sites.oregon.news", "sites.oregon.batch.queues.general.news"):
        assert decode(changed(path, {"a": [1]})) == environment()


def test_a_document_of_all_outputs_of_a_stack_will_do() -> None:
    clusters = ClusterOutputs(environment="dev", workspaces={"oregon": workspace()})
    document = {"stack": plain(with_cluster()), "other": 1}
    assert parse_document(document, "f") == with_cluster()
    both = parse_document({**document, "workspaces": plain(clusters)}, "f")
    assert both == merge(with_cluster(), clusters) != with_cluster()
    assert parse_document(plain(environment()), "f") == environment()


def test_workspaces_are_put_where_their_clusters_are() -> None:
    clusters = ClusterOutputs(environment="dev", workspaces={"oregon": workspace()})
    merged = merge(with_cluster(), clusters)
    found = merged.sites["oregon"].kubernetes
    assert found is not None and found.workspace == workspace()
    assert decode(encode(merged)) == merged
    assert without_cluster(with_cluster(), clusters) == ()


def test_workspaces_that_outlived_their_cluster_are_named() -> None:
    clusters = ClusterOutputs(
        environment="dev", workspaces={"oregon": workspace(), "gone": workspace()}
    )
    assert merge(environment(), clusters) == environment()
    assert without_cluster(environment(), clusters) == ("oregon", "gone")


def test_clusters_of_another_environment_are_refused() -> None:
    with pytest.raises(EmsError, match="clusters of prod: belong to another environment than dev"):
        merge(environment(), ClusterOutputs(environment="prod", workspaces={}))


def test_outputs_are_frozen() -> None:
    with pytest.raises(AttributeError):
        environment().account = "x"  # type: ignore[misc]
    assert hash(queue(instance_types=("a",)))
    assert msgspec.structs.replace(site(), region="eu-west-1").region == "eu-west-1"
