"""A project that names its stack and no target: its tasks go to what the sites run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.stack.reading import plain
from tests.compute.batch.cloud import IMAGE, REGION, Cloud, cloud_of_its_own, towards
from tests.e2e.lab import Lab
from tests.rigs import rig
from tests.stack import conftest as fixtures
from tests.stack.conftest import Give

pulumi = fixtures.pulumi
PIPELINE = """
    import ems

    @ems.task
    def here(n: int) -> int:
        return n + 1

    @ems.task(on="batch")
    def there(n: int) -> int:
        return n * n

    @ems.pipeline
    def main(n: int = 6):
        return there(here(n))
    """


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    folder = tmp_path / "cloud"
    folder.mkdir()
    with cloud_of_its_own(folder) as made:
        towards(made.address, monkeypatch)
        monkeypatch.setenv("AWS_REGION", REGION)
        yield made


@pytest.fixture
def lab(tmp_path: Path, cloud: Cloud, pulumi: Give) -> Lab:
    """A checkout whose stack `dev` has what the cloud has, as the engine keeps it."""
    lab = Lab(tmp_path)
    lab.write("Pulumi.yaml", "name: ems\nruntime: python\n")
    pulumi(lab.root, "dev", {"stack": plain(cloud.outputs)})
    lab.write("pipeline.py", PIPELINE)
    lab.write(
        ".ems.yaml",
        f"""
        stack: dev
        defaults: {{batch: {{image: "{IMAGE}", python: {sys.executable}}}}}
        """,
    )
    return lab


@rig("pulumi")
def test_tasks_and_the_runner_go_to_batch_and_no_target_is_written(lab: Lab, cloud: Cloud) -> None:
    """Nothing of it is on the laptop: driver, task, project and store are at Batch and in S3."""
    store = ("--store", f"s3://{cloud.outputs.sites['oregon'].storage.bucket}/store")
    words = ("run", "pipeline.py", "--driver", "batch", "-o", "json")
    done = lab.emsctl(*store, *words)
    assert done.json["result"] == 49 and "is handed over to batch" in done.err
    (run,) = lab.emsctl(*store, "runs", "-o", "json").json
    assert (run["state"], run["host"].partition("/")[0]) == ("done", "batch")
    again = lab.emsctl(*store, "run", "pipeline.py", "-o", "json").json
    assert again["counts"] == {"cached": 2}
    assert "do not see the store" in lab.bad(*words)

    found = lab.emsctl("check", "-o", "json", code=None).json["places"]
    assert [(each["place"], each["from"], each["ready"]) for each in found] == [
        ("batch-oregon", "stack dev", True)
    ]
    said = lab.bad("run", "pipeline.py", "--on", "bacth", "-p", "n=7")
    assert "on='bacth' names no place that is there (did you mean 'batch'?)" in said
    assert "(allowed here: 'local', 'batch', 'auto')" in said
