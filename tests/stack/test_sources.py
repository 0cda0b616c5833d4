from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ems.errors import EmsError, UsageError
from ems.stack.outputs import ClusterOutputs
from ems.stack.pulumi_cli import NotYet
from ems.stack.reading import encode, merge, plain
from ems.stack.sources import (
    OutputsFile,
    PulumiStack,
    Reference,
    SsmEnvironment,
    read,
    reference,
)
from tests.rigs import rig
from tests.stack.conftest import Give
from tests.stack.making import environment, with_cluster, workspace


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("dev", PulumiStack("dev")),
        ("lab/dev", PulumiStack("lab/dev")),
        ("lab/ems/dev_2.x", PulumiStack("lab/ems/dev_2.x")),
        ("ssm:us-west-2/dev", SsmEnvironment("us-west-2", "dev")),
        ("ssm:us-gov-east-1/dev", SsmEnvironment("us-gov-east-1", "dev")),
        ("sky.json", OutputsFile(Path("sky.json"))),
        ("../a b/sky.json", OutputsFile(Path("../a b/sky.json"))),
    ],
)
def test_three_forms(said: str, meant: Reference) -> None:
    assert reference(said) == meant


@pytest.mark.parametrize(
    "said", ["a b", "ssm:dev", "ssm:us-west-2", "ssm:oregon/dev", "a/b/c/d", ""]
)
def test_no_other_form(said: str) -> None:
    with pytest.raises(UsageError, match=r"names none .allowed: a Pulumi stack's name, ssm:REGION"):
        reference(said)


# -- files --------------------------------------------------------------------------------------


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "sky.json").write_text(encode(environment()))
    found = read(reference("sky.json"), tmp_path)
    assert (found.outputs, found.where) == (environment(), f"file {tmp_path / 'sky.json'}")
    with pytest.raises(EmsError, match=r"none.json: can't be read: no such file.* Try: emsctl"):
        read(reference("none.json"), tmp_path)


# -- the Pulumi engine --------------------------------------------------------------------------


@rig("pulumi")
def test_a_stack_by_name(project: Path, pulumi: Give) -> None:
    pulumi(project, "dev", {"stack": plain(environment()), "note": "x"})
    inside = project / "examples" / "deep"
    inside.mkdir(parents=True)
    for folder in (project, inside, project / "infra" / "kubernetes"):
        found = read(reference("dev"), folder)
        assert (found.outputs, found.notes) == (environment(), ())
        assert found.where == f"Pulumi stack dev of {project}"


@rig("pulumi")
def test_the_clusters_outputs_are_put_in(project: Path, pulumi: Give) -> None:
    pulumi(project, "dev", {"stack": plain(with_cluster())})
    before = read(reference("dev"), project)
    assert before.outputs == with_cluster()
    assert before.notes == ("the clusters have no workspaces yet. Try: make up ENV=dev",)
    clusters = ClusterOutputs(
        environment="dev", workspaces={"oregon": workspace(), "gone": workspace()}
    )
    pulumi(project / "infra" / "kubernetes", "dev", {"workspaces": plain(clusters)})
    after = read(reference("dev"), project)
    assert after.outputs == merge(with_cluster(), clusters)
    assert after.notes == ("the workspace of gone outlived its cluster",)


@rig("pulumi")
def test_no_such_stack_and_no_outputs_yet(project: Path, pulumi: Give) -> None:
    (project / "stacks" / "Pulumi.dev.yaml").write_text("config: {}\n")
    with pytest.raises(NotYet) as caught:
        read(reference("prod"), project)
    assert str(caught.value) == (
        "stack prod: there is none of this name, nor settings for one (there are: dev). "
        "Try: emsctl stack use NAME"
    )
    with pytest.raises(NotYet) as caught:
        read(reference("dve"), project)
    assert str(caught.value) == (
        "stack dve: there is none of this name, nor settings for one (did you mean 'dev'?) "
        "(there are: dev). Try: emsctl stack use dev"
    )
    with pytest.raises(NotYet) as caught:
        read(reference("dev"), project)
    assert str(caught.value) == (
        "stack dev: there is none yet. Try: emsctl check --stack dev, then make up ENV=dev"
    )
    pulumi(project, "dev", None)
    with pytest.raises(
        NotYet, match=r"stack dev: has no outputs yet. Try: emsctl check --stack dev"
    ):
        read(reference("dev"), project)


@rig("pulumi")
def test_a_stack_of_another_program(project: Path, pulumi: Give) -> None:
    pulumi(project, "dev", {"bucket": "x"})
    with pytest.raises(EmsError, match=r"has no output 'stack' \(there: bucket\)"):
        read(reference("dev"), project)


@rig("pulumi")
def test_a_missing_passphrase(project: Path, pulumi: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi(project, "dev", {"stack": plain(environment())})
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    with pytest.raises(EmsError) as caught:
        read(reference("dev"), project)
    assert str(caught.value) == (
        "stack dev: its state is encrypted, and the passphrase is missing or wrong. "
        "Try: export PULUMI_CONFIG_PASSPHRASE_FILE=…"
    )


@rig("pulumi")
def test_not_logged_in(project: Path, pulumi: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    monkeypatch.delenv("PULUMI_ACCESS_TOKEN", raising=False)
    with pytest.raises(EmsError) as caught:
        read(reference("dev"), project)
    assert str(caught.value) == (
        "stack dev: Pulumi is not logged in to where the state lies. Try: pulumi login s3://BUCKET,"
        " or emsctl stack use ssm:REGION/dev, which needs no Pulumi"
    )


@rig("pulumi")
def test_a_state_that_is_not_there(
    project: Path, pulumi: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{project / 'nowhere'}")
    with pytest.raises(EmsError, match="stack dev: Pulumi says: unable to open bucket file://"):
        read(reference("dev"), project)


def test_no_pulumi_on_the_path(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(EmsError) as caught:
        read(reference("dev"), project)
    assert str(caught.value) == (
        "pulumi: is not on the PATH. Try: emsctl stack use ssm:REGION/dev, which needs no Pulumi"
    )


def test_no_project_around(tmp_path: Path) -> None:
    with pytest.raises(
        EmsError, match=r"dev: is a Pulumi stack's name, and there is no Pulumi.yaml"
    ):
        read(reference("dev"), tmp_path)


def test_a_file_that_pulumi_wrote(tmp_path: Path) -> None:
    (tmp_path / "sky.json").write_text(json.dumps({"stack": plain(environment())}))
    assert read(reference("sky.json"), tmp_path).outputs == environment()
