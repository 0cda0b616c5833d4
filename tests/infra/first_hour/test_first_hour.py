"""The first hour, from nothing to nothing, in a moto that runs jobs; and one that goes wrong.

What can't be shown here: that an instance starts, and that an image is pulled.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import boto3
import pytest

from infra.first_hour.left import things
from tests.infra.checkout import NAME, Checkout, clone
from tests.infra.preflight.cloud import clients_at
from tests.rigs import rig
from tests.rigs.sandbox import parts
from tests.rigs.sandbox.place import Place
from tests.rigs.sky.cloud import ACCOUNT

pytestmark = [rig("pulumi"), pytest.mark.timeout(600)]
MODULE = "infra.first_hour"


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A moto that runs Batch jobs as processes."""
    place = Place(Path(mkdtemp(prefix="sb-")))
    try:
        yield parts.start_cloud(place)
    finally:
        parts.end(place)
        shutil.rmtree(place.folder)


@pytest.fixture
def checkout(tmp_path: Path, endpoint: str) -> Checkout:
    return clone(tmp_path, endpoint)


def hour(checkout: Checkout, *words: str) -> tuple[int, str, str]:
    """Run the first hour of the small environment."""
    said = ("--environment", NAME, "--left-minutes", "0.2", *words)
    return checkout.order(*said, module=MODULE)


def test_an_hour_that_goes_well(checkout: Checkout, endpoint: str) -> None:
    code, out, err = hour(checkout, "--account", ACCOUNT, "--yes")
    assert code == 0, f"{out}\n{err}"
    for words in (
        "in queue c7i-xlarge-spot of oregon",
        "SUCCEEDED",
        "hello from EMS",
        "as described  yes",
        "nothing is left that carries ems-environment=small",
        "US dollars in all",
        "all of it went well",
    ):
        assert words in out
    batch = boto3.client(
        "batch",
        region_name="us-west-2",
        endpoint_url=endpoint,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    definitions = batch.describe_job_definitions()["jobDefinitions"]
    assert {each["status"] for each in definitions} == {"INACTIVE"}
    kept = list(things(NAME, ["us-west-2"], clients_at(endpoint)))
    assert all(thing.goes for thing in kept), kept


def test_a_job_that_does_not_end_is_told_and_all_is_taken_down(
    checkout: Checkout, endpoint: str
) -> None:
    code, out, err = hour(checkout, "--account", ACCOUNT, "--yes", "--job-minutes", "0")
    assert code == 1
    assert "after 0 min" in err and "and was ended. Try: emsctl check" in err
    assert "── down" in out and "US dollars in all" in out and "it did not go well" in out
    assert all(each.goes for each in things(NAME, ["us-west-2"], clients_at(endpoint)))
    assert not checkout.stacks()[NAME]


def test_what_would_be_no_first_hour_is_refused(checkout: Checkout, endpoint: str) -> None:
    code, _, err = hour(checkout, "--account", "111122223333", "--yes")
    assert (code, f"is not in stacks/Pulumi.small.yaml (there: {ACCOUNT})" in err) == (2, True)
    checkout.write(accounts=["111122223333", ACCOUNT])
    code, _, err = hour(checkout, "--account", "111122223333", "--yes")
    assert (code, f"is not that of the AWS credentials ({ACCOUNT})" in err) == (2, True)
    checkout.write(protect=True)
    code, _, err = hour(checkout, "--account", ACCOUNT, "--yes")
    assert (code, "is protected, and this takes it down again" in err) == (2, True)
    checkout.write()
    code, out, err = hour(checkout, "--account", ACCOUNT)  # nobody agrees
    assert (code, "Go on?" in out) == (1, True)
    assert checkout.stacks() == {}
    assert not list(things(NAME, ["us-west-2"], clients_at(endpoint)))
