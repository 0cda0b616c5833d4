"""Both programs read one file an environment: the real CLI lets them, secrets and all."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.rigs import rig
from tests.rigs.sky.cloud import ROOT
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.project import Project

HERE = ROOT / "infra/kubernetes/Pulumi.yaml"


def _stacks(file: Path) -> Path:
    return (file.parent / yaml.safe_load(file.read_text())["stackConfigDir"]).resolve()


def test_both_projects_have_the_same_folder_of_settings() -> None:
    assert _stacks(HERE) == _stacks(ROOT / "Pulumi.yaml") == ROOT / "stacks"


@rig("pulumi")
def test_a_second_project_takes_the_first_ones_file_as_it_is(tmp_path: Path) -> None:
    names = ("ems", "ems-kubernetes")
    places = [tmp_path / "project", tmp_path / "project/second"]
    for name, place in zip(names, places, strict=True):
        Project.inline("import pulumi", name=name).write(place)
        below = "stacks" if place == places[0] else "../stacks"
        text = (place / "Pulumi.yaml").read_text()
        (place / "Pulumi.yaml").write_text(f"{text}stackConfigDir: {below}\n")
    file = tmp_path / "project/stacks/Pulumi.dev.yaml"
    file.parent.mkdir()
    file.write_text("config:\n  ems:a: one\n")
    with Engine(tmp_path, None, Project("ems", place="."), stack="dev") as engine:
        engine.run("config", "set", "--secret", "ems:token", "kept", "--stack", "dev")
        before = file.read_text()
        there = ("--cwd", str(places[1]))
        engine.run("stack", "init", "dev", *there)
        assert file.read_text() == before
        said = engine.run("config", "get", "ems:token", "--stack", "dev", *there)
        assert said.stdout.strip() == "kept"
        # and a stack that is taken away takes the other's settings along, unless told not to
        engine.run("stack", "rm", "--yes", "--preserve-config", "dev", *there)
        assert file.read_text() == before
