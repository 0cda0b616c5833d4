"""What IAM says to calls of Batch under the submit policy of `infra/`, as far as that goes.

Knows the operators that the policy has; another one is an error here, not a silent yes. Which
resources and keys a call carries: docs.aws.amazon.com/service-authorization, Batch.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

REGION, ACCOUNT = "us-west-2", "123456789012"
HERE = f"arn:aws:batch:{REGION}:{ACCOUNT}"


class Ask(NamedTuple):
    """One action on one resource, with what its conditions are held against."""

    action: str
    resource: str
    keys: Mapping[str, str] = {}


def permitted(document: str, ask: Ask) -> bool:
    """Whether a policy allows it."""
    return any(
        each["Effect"] == "Allow"
        and _any(each["Action"], ask.action)
        and _any(each["Resource"], ask.resource)
        and all(
            _holds(operator, wanted, ask.keys)
            for operator, wanted in each.get("Condition", {}).items()
        )
        for each in json.loads(document)["Statement"]
    )


def _any(patterns: str | Sequence[str], value: str) -> bool:
    several = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatchcase(value, each) for each in several)


def _holds(operator: str, wanted: Mapping[str, Any], keys: Mapping[str, str]) -> bool:
    if operator not in ("StringEquals", "Bool", "Null", "StringLike"):
        raise AssertionError(f"operator {operator} is not known here")
    if operator == "Null":
        return all((key not in keys) == (value == "true") for key, value in wanted.items())
    return all(key in keys and _any(value, keys[key]) for key, value in wanted.items())


def asks(operation: str, body: Mapping[str, Any]) -> Iterator[Ask]:
    """Yield all that IAM looks at for one call of Batch."""
    tags = {f"aws:RequestTag/{key}": value for key, value in (body.get("tags") or {}).items()}
    if operation == "submitjob":
        definition = body["jobDefinition"]
        for resource in (f"{HERE}:job-queue/{body['jobQueue']}", definition, f"{HERE}:job/*"):
            yield Ask("batch:SubmitJob", resource, tags)
        yield Ask("batch:TagResource", f"{HERE}:job/4a1c", tags)
    elif operation == "registerjobdefinition":
        inside = body["containerProperties"]
        said = {"batch:Privileged": str(inside["privileged"]).lower()}
        name = f"{HERE}:job-definition/{body['jobDefinitionName']}"
        yield Ask("batch:RegisterJobDefinition", name, {**tags, **said})
        yield Ask("batch:TagResource", name, tags)
        to = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
        for role in ("jobRoleArn", "executionRoleArn"):
            yield Ask("iam:PassRole", inside[role], to)
    elif operation == "terminatejob":
        theirs = {"aws:ResourceTag/ems-environment": "dev"}
        yield Ask("batch:TerminateJob", f"{HERE}:job/{body['jobId']}", theirs)
    else:
        yield Ask(f"batch:{_READS[operation]}", "*")


_READS = {
    "describecomputeenvironments": "DescribeComputeEnvironments",
    "describejobdefinitions": "DescribeJobDefinitions",
    "describejobqueues": "DescribeJobQueues",
    "describejobs": "DescribeJobs",
    "listjobs": "ListJobs",
}
