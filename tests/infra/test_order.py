"""`make up`, `make preview`, `make down`: the order of the programs, and what refuses to begin."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from ems.errors import CANCELED, FAULT, USAGE
from tests.infra.checkout import NAME, Checkout, clone
from tests.infra.environments.sky import REGIONS
from tests.rigs import rig
from tests.rigs.kubernetes.cluster import Cluster
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.engine import SKIPS
from tests.rigs.sky.fixtures import cloud, shared_cloud
from tests.rigs.sky.left import left
from tests.rigs.sky.project import ROOT

__all__ = ["cloud", "shared_cloud"]
pytestmark = [rig("pulumi"), pytest.mark.timeout(600)]


@pytest.fixture
def checkout(tmp_path: Path, cloud: Cloud) -> Checkout:
    return clone(tmp_path, cloud.endpoint)


def test_an_environment_is_previewed_comes_stays_and_goes(checkout: Checkout, cloud: Cloud) -> None:
    out = checkout.done("preview", NAME)
    assert "to create" in out
    assert checkout.stacks() == {NAME: 0}
    assert left(cloud, ["us-west-2"]) == []

    out = checkout.done("up", NAME, "--yes", "--skip-preview")
    assert out.splitlines()[-1] == "next: emsctl stack use ssm:us-west-2/small"
    assert "Outputs:" not in out
    assert list(checkout.stacks("infra/kubernetes")) == []
    out = checkout.done("up", NAME, "--yes", "--skip-preview")
    assert "unchanged" in out and "created" not in out

    out = checkout.done("down", NAME, "--yes")
    command = out.splitlines()[-1].split()
    assert left(cloud, ["us-west-2"]) == []
    assert "nothing is there to take down" in checkout.done("down", NAME, "--yes")
    assert command == ["pulumi", "-C", ".", "stack", "rm", NAME, "--preserve-config"]
    remove = [*command, "--yes"]
    subprocess.run(remove, cwd=checkout.folder, env=checkout.variables, check=True)
    assert checkout.stacks() == {} and checkout.file.exists()


def test_ctrl_c_ends_what_was_begun_and_the_next_up_goes_on(checkout: Checkout) -> None:
    for name in SKIPS:
        del checkout.variables[name]
    running = checkout.start("up", NAME, "--yes", "--skip-preview")
    _until(lambda: _resources(checkout) > 3)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: the engine gets it too
    _, err = running.communicate(timeout=120)
    assert running.returncode == CANCELED, err
    assert "was interrupted; the same command again goes on" in err
    assert not list((checkout.folder.parent / "state of it").rglob("locks/**/*.json"))
    checkout.done("up", NAME, "--yes", "--skip-preview")
    checkout.done("down", NAME, "--yes", "--skip-preview")


def _resources(checkout: Checkout) -> int:
    try:
        return checkout.stacks().get(NAME, 0)
    except subprocess.CalledProcessError:  # the state is just being written
        return 0


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


# ------------------------------------------------------------------------ what refuses to begin
def test_the_environment_must_be_one(checkout: Checkout) -> None:
    code, line = checkout.refused("up", "")
    assert (code, "make up ENV=dev" in line) == (USAGE, True)
    assert line.startswith("error: ENV: names no environment (allowed: dev, paper, prod,")
    for verb in ("preview", "down"):
        assert f"make {verb} ENV=dev" in checkout.refused(verb, "")[1]
    code, line = checkout.refused("up", "smal")
    assert code == USAGE
    assert "has no stacks/Pulumi.smal.yaml (did you mean 'small'?) (there are: dev," in line
    assert checkout.refused("down", "../x")[0] == USAGE
    code, line = checkout.refused("up", NAME)
    assert (code, line.startswith("error: no terminal: nobody can be asked")) == (USAGE, True)


def test_settings_that_are_off_are_all_told(checkout: Checkout) -> None:
    checkout.write(sites={"oregon": {"region": "us-west-2", "cidr": "10.0.0.0/30", "zones": []}})
    code, _, err = checkout.order("up", NAME, "--yes")
    assert code == USAGE
    assert "2 faults, and nothing was changed" in err
    assert "stacks/Pulumi.small.yaml:" in err
    assert checkout.stacks() == {}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PATH": "/nowhere"}, "pulumi: is not on the PATH (allowed: 3."),
        ({"PULUMI_BACKEND_URL": ""}, "pulumi: is not logged in to where state is kept"),
        ({"PULUMI_BACKEND_URL": "file:///nowhere"}, "pulumi whoami: unable to open bucket"),
        ({"PULUMI_CONFIG_PASSPHRASE": "-"}, "PULUMI_CONFIG_PASSPHRASE: is not set"),
        ({"AWS_ACCESS_KEY_ID": "-", "HOME": "/nowhere"}, "AWS credentials: no AWS credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "AWS credentials: AWS can't be reached"),
    ],
)
def test_a_machine_that_lacks_something(
    checkout: Checkout, variables: Mapping[str, str], words: str
) -> None:
    for name, value in variables.items():
        if value == "-":
            del checkout.variables[name]
        else:
            checkout.variables[name] = value
    code, line = checkout.refused("up", NAME, "--yes")
    assert (code, line.startswith(f"error: {words}")) == (FAULT, True), line
    assert "Try: " in line


def test_a_cli_that_is_too_old(checkout: Checkout, tmp_path: Path) -> None:
    old = tmp_path / "old" / "pulumi"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho v3.190.0\n")
    old.chmod(0o755)
    code, line = checkout.refused("up", NAME, "--yes", PATH=str(old.parent))
    assert (code, "the CLI is v3.190.0, which is too old" in line) == (FAULT, True)


def test_the_wrong_account(checkout: Checkout, cloud: Cloud) -> None:
    checkout.write(accounts=["111122223333"])
    code, line = checkout.refused("up", NAME, "--yes")
    assert (code, ACCOUNT in line and "111122223333" in line) == (FAULT, True), line
    assert "stacks/Pulumi.small.yaml:" in line
    assert checkout.stacks() == {}
    assert left(cloud, REGIONS) == []


def test_what_is_protected_is_not_taken_down(checkout: Checkout, cloud: Cloud) -> None:
    checkout.write(protect=True)
    checkout.done("up", NAME, "--yes", "--skip-preview")
    stands = left(cloud, REGIONS)
    code, line = checkout.refused("down", NAME, "--yes")
    assert (code, "is protected, so nothing was taken down. Try: " in line) == (USAGE, True)
    checkout.write(protect=False)  # the state still says otherwise
    code, line = checkout.refused("down", NAME, "--yes")
    assert (code, "as of its last `up`. Try: ems:protect: false" in line) == (USAGE, True)
    assert left(cloud, REGIONS) == stands
    checkout.done("up", NAME, "--yes", "--skip-preview")
    checkout.done("down", NAME, "--yes")


def test_a_key_of_kms_guards_the_secrets_of_both_programs(
    checkout: Checkout,
    cloud: Cloud,
) -> None:
    kms = cloud.client("kms", "us-west-2")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    del checkout.variables["PULUMI_CONFIG_PASSPHRASE"]
    url = f"awskms://{key}?region=us-west-2"
    checkout.done("preview", NAME, "--secrets-provider", url)
    told = yaml.safe_load(checkout.file.read_text())
    assert told["secretsprovider"] == url
    assert told["encryptedkey"]
    assert checkout.stacks() == {NAME: 0}
    # later commands know it by the file
    checkout.done("preview", NAME)


# ---------------------------------------------------------------------------------- its clusters
@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with (
        TemporaryDirectory(prefix="kube-") as folder,
        Cluster.start(Path(folder) / "c", upto="controllers") as started,
    ):
        started.define()
        yield started


def _sites(*with_cluster: str) -> dict[str, Any]:
    def site(name: str, region: str, zones: str, number: int) -> dict[str, Any]:
        ids = [f"{zones}-az1", f"{zones}-az2"]
        made = {"region": region, "cidr": f"10.{number}.0.0/16", "zones": ids, "batch": None}
        return {**made, **({"kubernetes": {}} if name in with_cluster else {})}

    return {
        "oregon": site("oregon", "us-west-2", "usw2", 16),
        "ireland": site("ireland", "eu-west-1", "euw1", 17),
    }


@rig("kubernetes")
@pytest.mark.xdist_group("kubernetes")
def test_what_a_cluster_holds_goes_before_it_does(
    checkout: Checkout,
    cloud: Cloud,
    cluster: Cluster,
) -> None:
    checkout.variables["EMS_KUBECONFIG"] = str(cluster.kubeconfig)
    checkout.write(sites=_sites("oregon"))
    out = checkout.done("up", NAME, "--yes", "--skip-preview", "--no-clusters")
    assert "left out: what runs in the clusters of oregon" in out
    assert checkout.stacks("infra/kubernetes") == {}
    checkout.done("up", NAME, "--yes", "--skip-preview")
    held = checkout.stacks("infra/kubernetes")[NAME]
    assert held > 5
    assert cluster.api.get("v1", "Namespace", "ems")

    checkout.write(sites=_sites("ireland"))  # one goes, another comes
    checkout.done("up", NAME, "--yes", "--skip-preview")
    assert checkout.stacks("infra/kubernetes")[NAME] == held
    eks = {region: cloud.client("eks", region) for region in ("us-west-2", "eu-west-1")}
    assert {at: one.list_clusters()["clusters"] for at, one in eks.items()} == {
        "us-west-2": [],
        "eu-west-1": [f"{NAME}-ireland"],
    }
    assert cluster.api.get("v1", "Namespace", "ems")

    checkout.write(sites=_sites())
    checkout.done("up", NAME, "--yes", "--skip-preview")
    assert not checkout.stacks("infra/kubernetes")[NAME]
    assert cluster.api.get("v1", "Namespace", "ems") is None
    checkout.done("down", NAME, "--yes", "--skip-preview")
    assert left(cloud, REGIONS) == []


def test_make_says_what_it_runs() -> None:
    # this may run below a make, which hands its own words down
    own = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ARGS", "ENV", "YES", "JOBS")
    alone = {name: value for name, value in os.environ.items() if name not in own}

    def dry(*words: str) -> str:
        done = subprocess.run(
            ["make", "-n", "--no-print-directory", *words],
            cwd=ROOT,
            env=alone,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[-1]

    done = subprocess.run(["make"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
    assert 'eval "$(make -s sandbox-env)"' in done.stdout
    assert dry("up", "ENV=dev", "YES=1").endswith('-m infra.order up "dev" --yes ')
    assert dry("up").endswith('-m infra.order up ""  ')
    assert dry("preview", "ENV=dev").endswith('-m infra.order preview "dev" ')
    assert dry("down", "ENV=dev").endswith('-m infra.order down "dev"  ')
