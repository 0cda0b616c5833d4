"""An AWS of one's own (moto over HTTP), and a Pulumi project whose stacks have given outputs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.sky import install
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.fixtures import cloud, shared_cloud
from tests.stack.sky import Sky, made_sky

__all__ = ["cloud", "shared_cloud"]


@pytest.fixture
def aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Point boto3 at an AWS that is empty."""
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it keeps credentials and endpoints
    return cloud.endpoint


@pytest.fixture
def sky(aws: str) -> Sky:
    """An environment of one site that is there."""
    return made_sky()


Give = Callable[[Path, str, dict[str, Any] | None], None]


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Give:
    """Return a function that makes a stack of a project's folder and gives it outputs.

    The engine is the real one; no program runs, since the state is brought in.
    """
    folder = install.folder()
    assert folder is not None
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi-home"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{state}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "open")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")

    def give(project: Path, stack: str, outputs: dict[str, Any] | None) -> None:
        def run(*words: str, text: str = "") -> str:
            command = ["pulumi", *words, "--stack", stack]
            done = subprocess.run(
                command, cwd=project, input=text, capture_output=True, text=True, check=True
            )
            return done.stdout

        name = (project / "Pulumi.yaml").read_text().split()[1]
        run("stack", "init", "--non-interactive")
        if outputs is None:
            return
        document = json.loads(run("stack", "export"))
        root = f"urn:pulumi:{stack}::{name}::pulumi:pulumi:Stack::{name}-{stack}"
        document["deployment"]["resources"] = [
            {"urn": root, "custom": False, "type": "pulumi:pulumi:Stack", "outputs": outputs}
        ]
        run("stack", "import", "--non-interactive", text=json.dumps(document))

    return give


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with the environment's program and the clusters' inside of it."""
    root = tmp_path / "checkout"
    clusters = root / "infra" / "kubernetes"
    clusters.mkdir(parents=True)
    (root / "stacks").mkdir()
    (root / "Pulumi.yaml").write_text("name: ems\nruntime: python\nstackConfigDir: stacks\n")
    (clusters / "Pulumi.yaml").write_text(
        "name: ems-kubernetes\nruntime: python\nstackConfigDir: ../../stacks\n"
    )
    return root
