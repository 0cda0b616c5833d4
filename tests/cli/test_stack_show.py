from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.stack.outputs import ClusterOutputs
from ems.stack.reading import decode, encode, merge, plain
from tests.cli.conftest import call
from tests.rigs import rig
from tests.stack import conftest as fixtures
from tests.stack.conftest import Give
from tests.stack.making import environment, queue, site, with_cluster, workspace
from tests.stack.test_ssm import publish

shared_cloud, cloud, aws, pulumi, project = (
    fixtures.shared_cloud,
    fixtures.cloud,
    fixtures.aws,
    fixtures.pulumi,
    fixtures.project,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_what_a_stack_offers(home: Path) -> None:
    queues = {
        "g5-2xlarge-on-demand": queue("ems-dev-g5"),
        "general": queue(
            kind="general",
            instance_types=("c7i", "m7i"),
            market="spot",
            gpu=False,
            fair_share=False,
        ),
    }
    clusters = ClusterOutputs(environment="dev", workspaces={"oregon": workspace()})
    whole = merge(with_cluster(), clusters).sites["oregon"]
    batch = msgspec.structs.replace(site(queues=queues)).batch
    outputs = environment(sites={"oregon": msgspec.structs.replace(whole, batch=batch)})
    (home / "sky.json").write_text(encode(outputs))
    told = call(home, "stack", "show", "sky.json")
    assert told.code == 0 and told.err == ""
    assert told.out == (
        f"""\
stack        file {home}/sky.json
environment  dev
account      123456789012
sites        oregon
labs         robots
submit role  arn:aws:iam::123456789012:role/ems-dev-submit

oregon: us-west-2
network        10.16.0.0/16 in usw2-az1 (vpc-0a1b2c3d4e5f60718); jobs with public addresses
bucket         s3://ems-dev-123456789012-us-west-2-an
file system    fs-01234567 (data) at 10.16.0.9 in usw2-az1
registry       123456789012.dkr.ecr.us-west-2.amazonaws.com: worker
Batch          2 queues, logs in /ems/dev/oregon
Kubernetes     ems-dev-oregon, namespace ems, pools gpu
Ray            2.52.0, a cluster a job
SageMaker      none
submit policy  arn:aws:iam::123456789012:policy/ems-dev-oregon-submit

queue                 instances             market     CPU     max vCPUs  GPU  fair share
g5-2xlarge-on-demand  g5.2xlarge            on-demand  x86_64         64  yes  yes
general               c7i, m7i (AWS picks)  spot       x86_64         64

lab robots: 198.51.100.7
networks  192.168.10.0/24
routing   static

site    network       VPN connection         tunnel 1      tunnel 2
oregon  10.16.0.0/16  vpn-0123456789abcdef0  203.0.113.11  203.0.113.12
"""
    )


def test_json_is_the_outputs_and_may_be_used_as_a_file(home: Path) -> None:
    (home / "sky.json").write_text(encode(environment()))
    told = call(home, "stack", "show", "sky.json", "-o", "json")
    assert told.json == plain(environment()) and decode(told.out) == environment()
    (home / "copy.json").write_text(told.out)
    assert call(home, "stack", "show", "copy.json", "-o", "json").out == told.out


def test_a_small_site(home: Path) -> None:
    bare = msgspec.structs.replace(site(), batch=None)
    bare = msgspec.structs.replace(
        bare, storage=msgspec.structs.replace(bare.storage, file_system=None)
    )
    (home / "sky.json").write_text(encode(environment(sites={"a": bare}, labs={})))
    out = call(home, "stack", "show", "sky.json").out
    for text in (
        "file system  none",
        "Batch        none",
        "Kubernetes   none",
        "labs         none",
    ):
        assert text in out, out


def test_none_is_named(home: Path) -> None:
    told = call(home, "stack", "show")
    assert (told.code, told.err) == (
        2,
        "emsctl: stack: none is named, here or in .ems.yaml. "
        "Try: emsctl stack use NAME, where NAME is a Pulumi stack, ssm:REGION/NAME, or FILE.json\n",
    )


def test_wrong_words(home: Path) -> None:
    told = call(home, "stack", "shwo")
    assert told.code == 2 and "stack shwo: no such command (did you mean 'show'?)" in told.err
    assert call(home, "stack", "show", "a b").code == 2
    gone = call(home, "stack", "show", "gone.json")
    assert gone.code == 1 and "gone.json: can't be read: no such file or directory" in gone.err
    for words in (("--help",), ("show", "--help"), ("use", "--help"), ("vpn", "--help")):
        assert call(home, "stack", *words).code == 0


def test_unreadable_outputs(home: Path) -> None:
    document: Any = plain(environment())
    (home / "later.json").write_text(json.dumps({**document, "schema": 99}))
    told = call(home, "stack", "show", "later.json")
    assert told.code == 1
    assert told.err.endswith(
        "later.json: has schema 99, a later release's (readable: 1). "
        "Try: pip install --upgrade emsctl\n"
    )


# -- use ----------------------------------------------------------------------------------------


def test_use_writes_what_it_could_read(home: Path) -> None:
    (home / "sky.json").write_text(encode(environment()))
    told = call(home, "stack", "use", "sky.json")
    assert told.code == 0, told.err
    assert told.lines == [
        f"stack        file {home}/sky.json",
        "environment  dev, account 123456789012",
        "sites        oregon (us-west-2)",
        "written to   .ems.yaml (new)",
    ]
    assert (home / ".ems.yaml").read_text() == "stack: sky.json\n"
    assert "environment  dev" in call(home, "stack", "show").out


def test_use_leaves_the_rest_of_the_file_alone(home: Path) -> None:
    (home / "sky.json").write_text(encode(environment()))
    file = home / ".ems.yaml"
    file.write_text("# ours\nstack: old # the sky\nstore: ./s  # here\njobs: 2\n")
    file.chmod(0o640)
    inner = home / "deep" / "er"
    inner.mkdir(parents=True)
    assert call(inner, "stack", "use", "../../sky.json").code == 0
    assert file.read_text() == ("# ours\nstack: sky.json # the sky\nstore: ./s  # here\njobs: 2\n")
    assert file.stat().st_mode & 0o777 == 0o640
    assert call(inner, "stack", "show").code == 0


def test_use_does_not_write_what_cannot_be_read(home: Path) -> None:
    (home / ".ems.yaml").write_text("stack: dev\n")
    for reference in ("gone.json", "no such"):
        assert call(home, "stack", "use", reference).code in (1, 2)
    assert (home / ".ems.yaml").read_text() == "stack: dev\n"


def test_use_with_a_file_that_has_no_place(home: Path) -> None:
    (home / "sky.json").write_text(encode(environment()))
    (home / ".ems.yaml").write_text("{jobs: 2}\n")
    told = call(home, "stack", "use", "sky.json")
    assert told.code == 2 and "has no place for the key 'stack'. Try: write `stack:" in told.err
    assert (home / ".ems.yaml").read_text() == "{jobs: 2}\n"


# -- the other sources --------------------------------------------------------------------------


def test_parameters(home: Path, aws: str) -> None:
    publish(environment())
    told = call(home, "stack", "use", "ssm:us-west-2/dev")
    assert told.code == 0, told.err
    assert (home / ".ems.yaml").read_text() == "stack: ssm:us-west-2/dev\n"
    shown = call(home, "stack", "show")
    assert "stack        SSM parameters below /ems/dev/ in us-west-2" in shown.out
    gone = call(home, "stack", "use", "ssm:us-west-2/prod")
    assert gone.code == 1 and "in us-west-2 (there: dev); no other region" in gone.err


@rig("pulumi")
def test_a_pulumi_stack(project: Path, pulumi: Give) -> None:
    pulumi(project, "dev", {"stack": plain(with_cluster())})
    told = call(project, "stack", "use", "dev")
    assert told.code == 0 and (project / ".ems.yaml").read_text() == "stack: dev\n"
    assert told.err == ("emsctl: the clusters have no workspaces yet. Try: make up ENV=dev\n")
    deep = project / "examples"
    deep.mkdir()
    assert f"stack        Pulumi stack dev of {project}" in call(deep, "stack", "show").out
    gone = call(project, "stack", "use", "prod")
    assert gone.code == 1 and "stack prod: there is none of this name" in gone.err
