"""The store on S3: the same versions and results as in a folder, shared, resumed, cut off and back.

A real S3 server (moto's) in a process of its own, reached through a wire that can be cut.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.harm import (
    another_machine,
    begun,
    grid,
    grid_result,
    marked,
    names_of,
    nobody_left,
    start,
    wait_for,
)
from tests.e2e.lab import Lab
from tests.rigs import rig
from tests.rigs.s3 import KEYS, REGION, Link, served
from tests.rigs.s3 import client as client_at


@pytest.fixture
def wire() -> Iterator[Link]:
    """The way to the server."""
    made = Link(*served())
    yield made
    made.cut()


class Far:
    """A lab whose store is a bucket's prefix."""

    def __init__(self, lab: Lab, wire: Link, home: Path) -> None:
        self.lab = lab
        self.wire = wire
        self.url = f"s3://lab/{uuid4().hex[:12]}"
        self.variables = {
            **KEYS,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": wire.address,
            "EMS_STORE": self.url,
            "HOME": str(home),
        }

    def cache(self, name: str) -> Mapping[str, str]:
        """Return the variables of another machine: a cache of its own."""
        return {**self.variables, "EMS_CACHE": str(self.lab.cache.with_name(name))}

    def names(self) -> list[str]:
        """Return the names of all objects of the store."""
        client = self.client()
        found: list[str] = []
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket="lab", Prefix=self.url.rpartition("/")[2]
        ):
            found += [each["Key"].partition("/")[2] for each in page.get("Contents", ())]
        return found

    def committed(self) -> list[str]:
        """Return the names of GRID's calls that are recorded there."""
        client, prefix = self.client(), self.url.rpartition("/")[2]
        found: list[str] = []
        for name in self.names():
            if name.startswith("log/"):
                data = client.get_object(Bucket="lab", Key=f"{prefix}/{name}")["Body"].read()
                found += names_of(data)
        return found

    def client(self):
        """Return a plain client of the server."""
        return client_at(self.wire.address)


@pytest.fixture
def far(lab: Lab, wire: Link, tmp_path: Path) -> Far:
    """The pipeline GRID with its store on S3."""
    grid(lab)
    made = Far(lab, wire, tmp_path / "home")
    made.client().create_bucket(Bucket="lab")
    return made


def test_the_same_versions_and_results_as_in_a_folder(far: Far) -> None:
    lab = far.lab
    here = lab.emsctl("run", "pipeline.py", "-o", "json")
    there = lab.emsctl("run", "pipeline.py", "-o", "json", env=far.variables)
    assert here.json["result"] == there.json["result"] == grid_result(8)
    assert there.json["counts"] == {"ran": 9}
    assert begun(lab) == {**{f"a{i}": 2 for i in range(8)}, "gather-a": 2}

    def versions(env: Mapping[str, str]) -> dict[str, str]:
        shown = lab.emsctl("show", "last", "-o", "json", env=env).json
        return {row["label"]: row["version"] for row in shown["calls"]}

    assert versions({}) == versions(far.variables)
    assert {name.split("/")[0] for name in far.names()} >= {"format.json", "log", "objects"}
    assert not any(name.startswith("runners/") for name in far.names())


def test_another_machine_gets_results_and_files(far: Far) -> None:
    lab = far.lab
    lab.emsctl("run", "pipeline.py", env=far.variables)
    again = lab.emsctl("run", "pipeline.py", env=far.cache("other"))
    assert again.out.strip() == grid_result(8)
    assert sum(begun(lab).values()) == 9
    more = lab.emsctl("run", "pipeline.py", "-p", "n=9", env=far.cache("third"))
    assert more.out.strip() == grid_result(9), "eight files were fetched for one new task"
    assert begun(lab)["a0"] == 1


def test_a_file_as_the_result(far: Far) -> None:
    lab = far.lab
    text = (lab.root / "pipeline.py").read_text()
    text = text.replace("return gather([work", "return ([work").replace("], salt)", "])")
    lab.write("files.py", text)
    first = lab.emsctl("run", "files.py", "-o", "json", env=far.variables).json["result"]
    other = lab.emsctl("run", "files.py", "-o", "json", env=far.cache("other")).json["result"]
    for i in range(8):
        assert Path(first[i]).read_text() == Path(other[i]).read_text() == f"a{i}" * 1000
        assert first[i] != other[i]
    assert sum(begun(lab).values()) == 8


def test_two_runners_on_two_machines_do_common_work_once(far: Far) -> None:
    lab = far.lab
    words = ("run", "pipeline.py", "-p", "n=12", "-p", "seconds=0.1")
    runs = [start(lab, *words, env=far.cache(name)) for name in ("one", "two")]
    assert [run.done().out.strip() for run in runs] == [grid_result(12)] * 2
    assert set(begun(lab).values()) == {1}


def test_a_killed_run_is_gone_on_with(far: Far) -> None:
    lab = far.lab
    words = ("run", "pipeline.py", "-p", "n=30")
    for kept in (3, 8):
        run = start(lab, *words, env=far.variables)
        wait_for(lambda kept=kept: len(far.committed()) >= kept, "records")
        run.kill()
        run.process.wait()
        nobody_left(lab, 3)
        safe, counts = far.committed(), begun(lab)
    assert start(lab, *words, env=far.variables).done().out.strip() == grid_result(30)
    again = begun(lab)
    assert [name for name in safe if again[name] != counts[name]] == []


@rig("mounts")
def test_a_runner_of_another_machine_is_waited_for(far: Far) -> None:
    lab = far.lab
    words = ("run", "pipeline.py", "-p", "n=8", "-p", "seconds=0.3")
    one = start(lab, *words, env=far.cache("one"), before=tuple(another_machine(["env"])))
    marked(lab, "begin")
    two = start(lab, *words, env=far.cache("two"))
    assert one.done().out.strip() == two.done().out.strip() == grid_result(8)
    assert set(begun(lab).values()) == {1}


def test_the_server_is_away_for_some_seconds(far: Far) -> None:
    lab = far.lab
    run = start(lab, "run", "pipeline.py", "-p", "n=60", env=far.variables)
    marked(lab, "end", 8)
    far.wire.cut()
    time.sleep(5)
    assert run.process.poll() is None, run.err.read_text()
    far.wire.mend()
    assert run.done(0, 40).out.strip() == grid_result(60)
    assert set(begun(lab).values()) == {1}


def test_the_server_stays_away(far: Far) -> None:
    """One clear error within a time that a person waits, and nothing recorded is lost."""
    lab = far.lab
    lab.emsctl("run", "pipeline.py", env=far.variables)
    far.wire.cut()
    run = start(lab, "run", "pipeline.py", env=far.variables)
    ended = run.done(1, 60)
    assert _only_line(ended.err).startswith(f"emsctl: {far.url}")
    assert "Try: " in ended.err
    far.wire.mend()
    assert lab.emsctl("run", "pipeline.py", env=far.variables).out.strip() == grid_result(8)
    assert sum(begun(lab).values()) == 9


def test_a_deleted_object_is_computed_again(far: Far) -> None:
    lab = far.lab
    lab.emsctl("run", "pipeline.py", env=far.variables)
    client, prefix = far.client(), far.url.rpartition("/")[2]
    for key in far.names():
        if key.startswith("objects/"):
            client.delete_object(Bucket="lab", Key=f"{prefix}/{key}")
    done = lab.emsctl("run", "pipeline.py", "-p", "n=9", env=far.cache("other"))
    assert done.out.strip() == grid_result(9)


def test_a_damaged_object_is_computed_again(far: Far) -> None:
    lab = far.lab
    lab.emsctl("run", "pipeline.py", env=far.variables)
    client, prefix = far.client(), far.url.rpartition("/")[2]
    for key in far.names():
        if key.startswith("objects/"):
            data = client.get_object(Bucket="lab", Key=f"{prefix}/{key}")["Body"].read()
            if data == b"a3" * 1000:
                client.put_object(Bucket="lab", Key=f"{prefix}/{key}", Body=b"b3" * 1000)
    done = lab.emsctl("run", "pipeline.py", "-p", "n=9", env=far.cache("other"))
    assert done.out.strip() == grid_result(9)
    assert begun(lab)["a3"] == 2
    assert begun(lab)["a2"] == 1


def test_a_lost_cache_loses_nothing(far: Far) -> None:
    lab = far.lab
    lab.emsctl("run", "pipeline.py", env=far.variables)
    shutil.rmtree(lab.cache)
    assert lab.emsctl("run", "pipeline.py", env=far.variables).out.strip() == grid_result(8)
    assert sum(begun(lab).values()) == 9


def test_a_bucket_that_does_not_exist(far: Far) -> None:
    lab = far.lab
    env = {**far.variables, "EMS_STORE": "s3://nowhere/x"}
    said = _only_line(start(lab, "run", "pipeline.py", env=env).done(1).err)
    assert "s3://nowhere/x" in said
    assert "no such bucket" in said
    assert begun(lab) == {}


def test_no_credentials(far: Far) -> None:
    """Nothing hangs on a machine without a role: one error that says what is missing."""
    lab = far.lab
    env = {name: far.variables[name] for name in ("AWS_ENDPOINT_URL", "EMS_STORE", "HOME")}
    without = ("env", "-u", "AWS_ACCESS_KEY_ID", "-u", "AWS_SECRET_ACCESS_KEY")
    before = time.monotonic()
    said = _only_line(start(lab, "run", "pipeline.py", env=env, before=without).done(1, 60).err)
    assert time.monotonic() - before < 20
    assert far.url in said
    assert "credentials" in said.lower()


def test_a_store_url_without_a_bucket(far: Far) -> None:
    env = {**far.variables, "EMS_STORE": "s3://"}
    assert "bucket" in _only_line(start(far.lab, "run", "pipeline.py", env=env).done(2).err)


def _only_line(err: str) -> str:
    lines = [line for line in err.splitlines() if line.startswith("emsctl: ")]
    assert len(lines) == 1, err
    assert len(err.splitlines()) <= 2, err
    return lines[0]
