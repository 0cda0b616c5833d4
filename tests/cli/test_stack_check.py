"""What `emsctl check` says of the sky."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.cli import check_stack
from ems.stack import aws as ems_aws
from ems.stack.reading import encode, plain
from tests.cli.conftest import call
from tests.rigs import rig
from tests.stack import conftest as fixtures
from tests.stack.conftest import Give
from tests.stack.making import environment
from tests.stack.sky import Sky
from tests.stack.test_ssm import publish

shared_cloud, cloud, aws, sky = (
    fixtures.shared_cloud,
    fixtures.cloud,
    fixtures.aws,
    fixtures.sky,
)
pulumi, project = fixtures.pulumi, fixtures.project
STEP = "Try: pulumi refresh --stack dev, then make up ENV=dev"


def problems(folder: Path, *words: str) -> list[dict[str, str]]:
    return call(folder, "check", *words, "-o", "json").json["problems"]


def test_no_sky_is_nothing_broken(tmp_path: Path) -> None:
    told = call(tmp_path, "check", "-o", "json")
    assert told.code == 0 and told.json["stack"] is None
    assert "stack" not in call(tmp_path, "check").out.split("nothing is broken")[0].split()


def test_all_is_as_described(tmp_path: Path, sky: Sky) -> None:
    publish(sky.outputs)
    assert call(tmp_path, "stack", "use", "ssm:us-west-2/dev").code == 0
    told = call(tmp_path, "check")
    assert told.code == 0, told.out
    for text in (
        "stack         SSM parameters below /ems/dev/ in us-west-2",
        "sites         oregon (us-west-2)",
        "as described  yes",
        "vCPUs of G and VT instances, on demand (L-DB2E81BA) in us-west-2",
        "vCPUs of standard instances, spot (L-34B43A08) in us-west-2",
        "nothing is broken",
    ):
        assert text in told.out, told.out
    found = call(tmp_path, "check", "-o", "json").json["stack"]
    assert list(found) == [
        "reference", "readable", "where", "environment", "account", "sites", "as_described",
        "notes",
    ]  # fmt: skip
    assert (found["sites"], found["as_described"]) == ({"oregon": "us-west-2"}, True)


def test_drift_is_a_problem(tmp_path: Path, sky: Sky) -> None:
    (tmp_path / "sky.json").write_text(encode(sky.outputs))
    sky.client("batch").update_job_queue(jobQueue="general", state="DISABLED")
    sky.client("s3").delete_bucket(Bucket="bucket-of-dev")
    told = call(tmp_path, "check", "--stack", "sky.json")
    assert told.code == 1 and "as described  no, see problems" in told.out
    assert told.lines[-2:] == [
        f"oregon storage: bucket bucket-of-dev is gone. {STEP}",
        f"oregon queue general: state DISABLED (in the outputs: ENABLED). {STEP}",
    ]


def test_a_sky_that_cannot_be_read(tmp_path: Path, aws: str) -> None:
    (tmp_path / ".ems.yaml").write_text("stack: ssm:us-west-2/dev\n")
    told = call(tmp_path, "check")
    assert told.code == 1
    assert "stack      ssm:us-west-2/dev, which can't be read" in told.out
    assert "ssm:us-west-2/dev: no parameters below /ems/dev/ in us-west-2" in told.lines[-1]
    (only,) = problems(tmp_path)
    assert only["where"] == "ssm:us-west-2/dev" and only["next"].startswith("emsctl stack use")
    assert call(tmp_path, "check", "-o", "json").json["stack"]["readable"] is False


def test_a_later_release(tmp_path: Path) -> None:
    (tmp_path / "sky.json").write_text(json.dumps({**plain(environment()), "schema": 2}))
    (only,) = problems(tmp_path, "--stack", "sky.json")
    assert only["next"] == "pip install --upgrade emsctl"


def test_wrong_words(tmp_path: Path) -> None:
    told = call(tmp_path, "check", "--stack", "a b")
    assert told.code == 2 and "'a b' names none (allowed: a Pulumi stack's name" in told.err


def test_another_account(tmp_path: Path, sky: Sky) -> None:
    other = msgspec.structs.replace(sky.outputs, account="999999999999")
    (tmp_path / "sky.json").write_text(encode(other))
    (only,) = problems(tmp_path, "--stack", "sky.json")
    assert only["what"] == "is in account 999999999999, these credentials are of 123456789012"


def test_no_credentials(tmp_path: Path, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "sky.json").write_text(encode(environment()))
    (only,) = problems(tmp_path, "--stack", "sky.json")
    assert only == {
        "where": "AWS account 123456789012",
        "what": "no AWS credentials were found",
        "next": "aws sso login, aws configure, or AWS_PROFILE=NAME",
    }


def test_without_boto3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    (tmp_path / "sky.json").write_text(encode(environment()))
    (only,) = problems(tmp_path, "--stack", "sky.json")
    assert only["next"] == "pip install 'emsctl[aws]'"


def test_a_quota_that_lets_nothing_start(tmp_path: Path, sky: Sky) -> None:
    """moto knows no quota of EC2, so AWS's answer is put in its place."""
    from botocore.stub import Stubber

    values = {"L-DB2E81BA": 0.0, "L-34B43A08": 32.0}

    def clients(service: str, region: str) -> Any:
        made = ems_aws.client(service, region)
        if service == "service-quotas":
            made = _Quotas(made, values)
        return made

    class _Quotas:
        """Answers by code, in whatever order they are asked for."""

        def __init__(self, client: Any, values: dict[str, float]) -> None:
            self.client = client
            self.values = values

        def get_service_quota(self, ServiceCode: str, QuotaCode: str) -> Any:
            with Stubber(self.client) as stub:
                answer = {"Quota": {"Value": self.values[QuotaCode]}}
                stub.add_response("get_service_quota", answer)
                return self.client.get_service_quota(ServiceCode=ServiceCode, QuotaCode=QuotaCode)

        get_aws_default_service_quota = get_service_quota

    (tmp_path / "sky.json").write_text(encode(sky.outputs))
    found = check_stack.look_over(str(tmp_path / "sky.json"), tmp_path, clients)
    ((where, what, step),) = found.problems
    assert (where, what) == (
        "vCPUs of G and VT instances, on demand (L-DB2E81BA)",
        "0 vCPUs for G and VT instances on demand in us-west-2, the queue g5 needs 8; jobs would "
        "wait for ever",
    )
    assert step.endswith("--quota-code L-DB2E81BA --desired-value 64 --region us-west-2")
    (note,) = found.notes
    assert note.startswith(
        "vCPUs of standard instances, spot (L-34B43A08): 32 vCPUs for standard (A, C, D, H, "
        "I, M, R, T, Z) instances"
    )


# -- before the first `up` ----------------------------------------------------------------------

PREFLIGHT = """\
import json, sys
assert sys.argv[1:] == ["--stack", "dev", "-o", "json"], sys.argv
problems = [
    {"where": "L-DB2E81BA", "what": "0 vCPUs", "next": "aws service-quotas …", "level": "error"},
    {"where": "sites.oregon", "what": "one zone only", "next": "", "level": "warning"},
]
print(json.dumps({"problems": problems}))
sys.exit(1)
"""


@pytest.fixture
def before(project: Path, pulumi: Give) -> Path:
    """A checkout whose stack has a file of settings and has never been brought up."""
    (project / "infra" / "preflight").mkdir()
    (project / "infra" / "preflight" / "__main__.py").write_text(PREFLIGHT)
    (project / "stacks" / "Pulumi.dev.yaml").write_text("config: {}\n")
    return project


@rig("pulumi")
def test_before_the_first_up_the_program_is_asked(before: Path, pulumi: Give) -> None:
    for said in ("there is none yet", "has no outputs yet"):
        told = call(before, "check", "--stack", "dev")
        assert told.code == 1
        assert told.lines[-1] == "L-DB2E81BA: 0 vCPUs. Try: aws service-quotas …"
        assert f"stack      settings of dev in {before}" in told.out
        assert f"stack dev: {said}; settings and account were looked at" in told.out
        assert "sites.oregon: one zone only" in told.out
        if said == "there is none yet":
            pulumi(before, "dev", None)


@rig("pulumi")
def test_warnings_alone_break_nothing(before: Path) -> None:
    file = before / "infra" / "preflight" / "__main__.py"
    file.write_text("print('{\"problems\": []}')\n")
    told = call(before, "check", "--stack", "dev")
    assert told.code == 0 and "nothing is broken" in told.out


@rig("pulumi")
def test_a_program_that_fails_is_a_problem(before: Path) -> None:
    file = before / "infra" / "preflight" / "__main__.py"
    file.write_text("import sys\nsys.exit('error: ems:sites: missing')\n")
    (only,) = problems(before, "--stack", "dev")
    assert only == {
        "where": "preflight",
        "what": "ems:sites: missing",
        "next": "python -m infra.preflight --stack dev",
    }


@rig("pulumi")
def test_after_the_first_up_the_settings_are_looked_at_too(
    before: Path, pulumi: Give, sky: Sky
) -> None:
    pulumi(before, "dev", {"stack": plain(sky.outputs)})
    told = call(before, "check", "--stack", "dev")
    assert told.code == 1 and "as described  yes" in told.out
    assert told.lines[-1] == "L-DB2E81BA: 0 vCPUs. Try: aws service-quotas …"
    assert "sites.oregon: one zone only" in told.out.split("problems")[0]


@rig("pulumi")
def test_the_projects_own_python_is_used(before: Path) -> None:
    python = before / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho \'{"problems": [{"where": "own", "what": "python"}]}\'\n')
    python.chmod(0o755)
    (only,) = problems(before, "--stack", "dev")
    assert (only["where"], only["what"]) == ("own", "python")


@rig("pulumi")
def test_a_stack_that_is_not_there_and_no_program(project: Path, pulumi: Give) -> None:
    told = call(project, "check", "--stack", "dev")
    assert told.code == 1 and "stack dev: there is none of this name" in told.lines[-1]


@rig("pulumi")
def test_a_stack_without_settings(before: Path) -> None:
    told = call(before, "check", "--stack", "dve")
    assert told.code == 1
    assert (
        "stack dve: there is none of this name, nor settings for one (did you mean 'dev'?)"
        in told.lines[-1]
    )
    assert told.lines[-1].endswith("Try: emsctl stack use dev")
