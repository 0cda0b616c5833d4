"""Parameters in SSM, by boto3 against moto's server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ems.errors import EmsError
from ems.stack import aws as ems_aws
from ems.stack.outputs import StackOutputs
from ems.stack.parameters import to_parameters
from ems.stack.sources import read, reference
from tests.stack.making import environment, site
from tests.stack.test_parameters import LARGEST, large

HERE = Path()


def publish(outputs: StackOutputs, region: str = "us-west-2") -> Any:
    import boto3

    client = boto3.client("ssm", region_name=region)
    for path, text in to_parameters(outputs).items():
        client.put_parameter(Name=path, Value=text, Type="String", Tier="Standard", Overwrite=True)
    return client


def test_written_and_read_back(aws: str) -> None:
    publish(environment())
    found = read(reference("ssm:us-west-2/dev"), HERE)
    assert (found.outputs, found.notes) == (environment(), ())
    assert found.where == "SSM parameters below /ems/dev/ in us-west-2"


def test_many_pages(aws: str) -> None:
    outputs = large(LARGEST)
    publish(outputs)
    assert read(reference(f"ssm:us-west-2/{outputs.environment}"), HERE).outputs == outputs


def test_environments_side_by_side_do_not_mix(aws: str) -> None:
    publish(environment())
    publish(environment(environment="dev-2", labs={}))
    assert read(reference("ssm:us-west-2/dev"), HERE).outputs == environment()
    assert read(reference("ssm:us-west-2/dev-2"), HERE).outputs.labs == {}


def test_nothing_there_says_what_is(aws: str) -> None:
    with pytest.raises(EmsError) as caught:
        read(reference("ssm:eu-west-1/dev"), HERE)
    assert str(caught.value) == (
        "ssm:eu-west-1/dev: no parameters below /ems/dev/ in eu-west-1; no other region was looked "
        "at. Try: emsctl stack use ssm:REGION/NAME, as whoever runs the environment names them"
    )
    publish(environment())
    publish(environment(environment="prod"))
    with pytest.raises(EmsError, match=r"in us-west-2 \(there: dev, prod\); no other region"):
        read(reference("ssm:us-west-2/staging"), HERE)
    with pytest.raises(EmsError) as caught:
        read(reference("ssm:us-west-2/prdo"), HERE)
    assert "in us-west-2 (did you mean 'prod'?) (there: dev, prod)" in caught.value.problem
    assert caught.value.next_step == "emsctl stack use ssm:us-west-2/prod"


def test_an_interrupted_up_is_noticed(aws: str) -> None:
    client = publish(environment())
    client.delete_parameter(Name="/ems/dev/sites/oregon/batch")
    with pytest.raises(EmsError) as caught:
        read(reference("ssm:us-west-2/dev"), HERE)
    assert str(caught.value) == (
        "ssm:us-west-2/dev: /ems/dev/sites/oregon/batch not there, so an `up` or a `destroy` was "
        "interrupted. Try: make up ENV=dev"
    )


def test_what_an_earlier_up_left_is_noticed(aws: str) -> None:
    publish(environment(sites={"oregon": site(), "ohio": site("us-east-2")}))
    publish(environment())
    found = read(reference("ssm:us-west-2/dev"), HERE)
    assert found.outputs == environment()
    assert "/ems/dev/sites/ohio/batch is left over from an earlier `up`" in found.notes


def test_no_credentials(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(EmsError) as caught:
        read(reference("ssm:us-west-2/dev"), HERE)
    assert str(caught.value) == (
        "ssm:us-west-2/dev: no AWS credentials were found. "
        "Try: aws sso login, aws configure, or AWS_PROFILE=NAME"
    )


def test_a_profile_that_is_not_there(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(
        EmsError, match=r"ssm in us-west-2: The config profile \(nobody\) could not"
    ):
        read(reference("ssm:us-west-2/dev"), HERE)


def test_nobody_answers(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(EmsError) as caught:
        read(reference("ssm:us-west-2/dev"), HERE)
    assert str(caught.value) == (
        "ssm:us-west-2/dev: AWS can't be reached: nothing answers at the local endpoint "
        'http://127.0.0.1:9. Try: make sandbox, then eval "$(make -s sandbox-env)"'
    )


def test_a_proxy_that_does_not_answer_is_no_stand_in(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(EmsError) as caught:
        read(reference("ssm:us-west-2/dev"), HERE)
    assert caught.value.next_step == "the region's name, the network"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("AccessDeniedException", "access denied (An error occurred"),
        ("ExpiredTokenException", "AWS refuses these credentials (ExpiredTokenException)"),
        ("UnrecognizedClientException", "AWS refuses these credentials"),
        ("InternalServerError", "An error occurred (InternalServerError)"),
    ],
)
def test_what_aws_refuses(aws: str, code: str, problem: str) -> None:
    """moto asks for no permissions and takes any credentials, so the answer is put in its place."""
    from botocore.stub import Stubber

    client = ems_aws.client("ssm", "us-west-2")
    with Stubber(client) as stub:
        stub.add_client_error("get_parameters_by_path", code, "no")
        with pytest.raises(EmsError) as caught:
            read(reference("ssm:us-west-2/dev"), HERE, lambda service, region: client)
    assert str(caught.value).startswith(f"ssm:us-west-2/dev: {problem}")


def test_without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(EmsError) as caught:
        read(reference("ssm:us-west-2/dev"), HERE)
    assert str(caught.value) == "boto3: is not installed. Try: pip install 'emsctl[aws]'"
