"""Inputs against the types of the installed pulumi_aws."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rigs.sky import schema
from tests.rigs.sky.wire import UNKNOWN

ENVIRONMENT = "aws:batch/computeEnvironment:ComputeEnvironment"


def reasons(token: str, inputs: dict[str, Any]) -> dict[str, str]:
    return {failure.path: failure.reason for failure in schema.check(token, inputs)}


def test_what_fits_passes() -> None:
    resources = {"type": "EC2", "maxVcpus": 4, "subnets": ["a", UNKNOWN], "tags": {"a": "b"}}
    assert reasons(ENVIRONMENT, {"type": "MANAGED", "computeResources": resources}) == {}
    assert reasons(ENVIRONMENT, {"type": "MANAGED", "computeResources": UNKNOWN}) == {}


def test_a_misspelled_property_is_named_with_its_neighbour() -> None:
    found = reasons("aws:ec2/vpc:Vpc", {"cidrBlok": "10.0.0.0/16"})
    assert found == {"cidrBlok": "no such property (did you mean cidrBlock?)"}


def test_what_is_required_must_be_there() -> None:
    assert reasons(ENVIRONMENT, {}) == {"type": "missing required property"}


@pytest.mark.parametrize(
    ("inputs", "path", "reason"),
    [
        ({"maxVcpus": "4"}, "maxVcpus", "expected int, got str '4'"),
        ({"maxVcpus": True}, "maxVcpus", "expected int, got bool True"),
        ({"subnets": "a"}, "subnets", "expected a list, got str 'a'"),
        ({"subnets": [1]}, "subnets[0]", "expected str, got int 1"),
        ({"tags": ["a"]}, "tags", "expected a map, got list ['a']"),
        ({"tags": {"a": 1}}, 'tags["a"]', "expected str, got int 1"),
        ({"launchTemplate": "x"}, "launchTemplate", "expected a block, got str 'x'"),
        (
            {"launchTemplate": {"verzion": "1"}},
            "launchTemplate.verzion",
            "no such property (did you mean version?)",
        ),
    ],
)
def test_nested_types_are_checked(inputs: dict[str, Any], path: str, reason: str) -> None:
    resources = {"type": "EC2", "maxVcpus": 1, "subnets": [], **inputs}
    found = reasons(ENVIRONMENT, {"type": "MANAGED", "computeResources": resources})
    assert found == {f"computeResources.{path}": reason}


def test_a_policy_may_be_text_or_a_document() -> None:
    assert reasons("aws:iam/policy:Policy", {"policy": "{}"}) == {}


def test_a_block_that_bears_its_resource_s_name_is_not_taken_for_it() -> None:
    fits = {"bucket": "b", "versioningConfiguration": {"status": "Enabled"}}
    assert reasons("aws:s3/bucketVersioning:BucketVersioning", fits) == {}


def test_an_unknown_type_is_named() -> None:
    assert list(reasons("aws:ec2/vpd:Vpd", {}).values()) == [
        "pulumi_aws has no resource type aws:ec2/vpd:Vpd"
    ]


def test_outputs_are_known() -> None:
    known = schema.shape("aws:ec2/vpc:Vpc")
    assert known
    assert {"arn", "cidrBlock", "tagsAll"} <= known.outputs
    assert "arn" not in known.inputs


def test_dotted_paths() -> None:
    assert schema.leads_to(ENVIRONMENT, "computeResources.launchTemplate.version")
    assert schema.leads_to(ENVIRONMENT, "computeResources.ec2Configurations.*.imageType")
    assert schema.leads_to(ENVIRONMENT, "tags")
    assert not schema.leads_to(ENVIRONMENT, "computeResources.launchTemplate.verzion")
    assert not schema.leads_to(ENVIRONMENT, "type.name")
