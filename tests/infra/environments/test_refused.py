"""Bad input to the whole program on the real engine: said at once, as a list, and nothing is made.

Each rule by itself is tested with the settings and the preflight. Here is shown that they are asked
before anything is made, that all that is off is said together, and how it ends for the user.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.infra.environments.sky import REGIONS, SMALL, small
from tests.rigs import rig
from tests.rigs.sky import install
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud
from tests.rigs.sky.left import left

__all__ = ["cloud", "engine", "shared_cloud"]
pytestmark = [rig("pulumi"), pytest.mark.timeout(300)]

BOTH = ["spot", "on-demand"]
SIZES = ("large", *(f"{n}xlarge" for n in (2, 4, 8, 12, 16, 24)))
MANY = [{"type": f"{f}.{size}", "markets": BOTH} for f in ("c7i", "m7i") for size in SIZES]
SITES: Mapping[str, Any] = {
    "oregon": {
        "region": "us-west-2",
        "cidr": "10.16.0.0/16",
        "zones": ["usw2-az1"],
        "kubernetes": {"pools": {"cpu": {"families": ["c7i"]}}},
        "batch": {"queues": MANY},
    },
    "virginia": {"region": "us-esat-1", "cidr": "10.16.128.0/20", "zones": ["use1-az1"]},
    "ohio": {
        "region": "us-east-2",
        "cidr": "10.18.0.0/24",
        "zones": ["use2-az1", "usw2-az1"],
        "batch": {
            "general": {"families": ["c7ii"]},
            "queues": [{"type": "c7i.xlarg"}, {"type": "c7i.xlarge", "max_vcpu": 4}],
        },
    },
}
LAB = {"address": "192.168.1.1", "networks": ["10.16.4.0/24"], "sites": ["oregno"], "asn": 64512}
SAID = (
    "sites.oregon.kubernetes: EKS needs subnets in two zones",
    "sites.oregon.batch.queues: 29 pairs of queue and compute environment (allowed: 20)",
    "sites.virginia.region: unknown region 'us-esat-1' (did you mean 'us-",
    "sites.virginia.cidr: site oregon (10.16.0.0/16) and site virginia (10.16.128.0/20) overlap",
    "sites.ohio.cidr: '10.18.0.0/24' is too small",
    "sites.ohio.zones[1]: 'usw2-az1' is a zone of us-west-2",
    "sites.ohio.batch.general.families[0]: unknown instance family 'c7ii' (did you mean 'c7i'?)",
    "sites.ohio.batch.queues[0].type: unknown instance type 'c7i.xlarg' (did you mean 'c7i.xlarge'",
    "sites.ohio.batch.queues[1].max_vcpu: unknown key (did you mean 'max_vcpus'?)",
    "labs.usc.address: '192.168.1.1' is a private address",
    "labs.usc.networks[0]: site oregon (10.16.0.0/16) and lab usc (10.16.4.0/24) overlap",
    "labs.usc.sites[0]: unknown site 'oregno' (did you mean 'oregon'?)",
    "labs.usc.asn: 64512 is AWS's own number",
)


@pytest.fixture
def sky(engine: Start, cloud: Cloud) -> Engine:
    """A stack that nothing was made in yet."""
    return small(engine)


def test_all_that_is_off_with_the_settings_is_said_at_once(sky: Engine, cloud: Cloud) -> None:
    with sky.settings() as settings:
        settings.update({"ems:sites": SITES, "ems:labs": {"usc": LAB}})
    text = _refused(sky, cloud)
    for said in SAID:
        assert f"ems:{said}" in text
    faults = [line for line in text.splitlines() if "stacks/Pulumi.small.yaml:" in line]
    assert len(faults) == len(SAID), "each with its file and line"
    assert f"{len(SAID)} faults, and nothing was changed" in text
    _nothing_made(sky, cloud)


def test_all_that_aws_has_against_them_is_said_at_once(sky: Engine, cloud: Cloud) -> None:
    queues = [{"type": "p5e.48xlarge", "max_vcpus": 192}, {"type": "c7i.4xlarge", "max_vcpus": 8}]
    site = {
        **SMALL["ems:sites"]["oregon"],
        "zones": ["usw2-az1", "usw2-az9"],
        "batch": {"queues": queues, "general": None},
    }
    with sky.settings() as settings:
        settings["ems:sites"] = {"oregon": site}
    text = _refused(sky, cloud)
    assert "us-west-2 has no zone 'usw2-az9' for this account (did you mean 'usw2-az" in text
    assert "GPU type p5e.48xlarge is not offered in usw2-az1" in text
    assert "queues[1].max_vcpus: 8 is less than one c7i.4xlarge has" in text
    assert "3 faults, and nothing was changed" in text
    _nothing_made(sky, cloud)


def test_another_account_and_no_credentials(sky: Engine, cloud: Cloud) -> None:
    with sky.settings() as settings:
        settings["ems:accounts"] = ["999999999999"]
    text = _refused(sky, cloud)
    assert "these credentials are of account 123456789012 (allowed: 999999999999)" in text
    with sky.settings() as settings:
        settings["ems:accounts"] = ["123456789012"]
    nobody = _up_without(sky, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HOME")
    assert nobody.returncode
    assert "no AWS credentials were found. Try: aws sso login" in nobody.stdout
    assert "Traceback" not in nobody.stdout + nobody.stderr
    _nothing_made(sky, cloud)


def test_no_passphrase_and_a_cli_that_is_too_old(sky: Engine, cloud: Cloud) -> None:
    done = _up_without(sky, "PULUMI_CONFIG_PASSPHRASE")
    assert done.returncode
    assert "passphrase must be set with PULUMI_CONFIG_PASSPHRASE" in done.stderr
    asked = sky.project_folder / "Pulumi.yaml"
    text = asked.read_text()
    assert 'requiredPulumiVersion: ">=3.246.0"' in text
    asked.write_text(text.replace(">=3.246.0", ">=99.0.0"))
    old = sky.up(check=False)
    assert old.code
    assert 'does not satisfy the version range ">=99.0.0"' in old.stderr
    asked.write_text(text)
    _nothing_made(sky, cloud)


def _refused(sky: Engine, cloud: Cloud) -> str:
    """Return what an `up` says that is refused: one list, and no traceback."""
    result = sky.up(check=False)
    assert result.code
    assert not result.changes
    shown = result.stdout + result.stderr
    assert "Traceback" not in shown and 'File "' not in shown
    said = [message for _, message in result.errors if "program ended" not in message]
    assert len(said) == 1, said
    return said[0]


def _nothing_made(sky: Engine, cloud: Cloud) -> None:
    assert left(cloud, REGIONS) == []
    assert [each["type"] for each in sky.resources() if each["custom"]] == []


def _up_without(sky: Engine, *variables: str) -> subprocess.CompletedProcess[str]:
    """Run `up` as the engine does, without some variables."""
    found = install.folder()
    assert found
    command = [str(found / "pulumi"), "up", "--yes", "--skip-preview", "--stack", sky.stack]
    kept = {key: value for key, value in sky.environment().items() if key not in variables}
    return subprocess.run(
        [*command, "--non-interactive", "--color", "never"],
        cwd=sky.project_folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
