"""Targets by name: those of `.ems.yaml`, and those that a stack's sites run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ems.compute.broker import choices
from ems.compute.derived import derive
from ems.compute.joined import Joined
from ems.compute.targets import Target, Targets, read
from ems.errors import UsageError
from ems.session import Session
from ems.settings import Settings
from ems.stack import outputs as o
from ems.stack.reading import encode
from tests.stack.making import cluster, environment, site, workspace

IMAGE = {"image": "worker:1"}
FULL: dict[str, Any] = {"batch": IMAGE, "kubernetes": {**IMAGE, "folder": "/mnt/ems"}}


def sky(address: str = "") -> o.StackOutputs:
    """Two sites with Batch, of which one has a cluster, and a third with nothing."""
    ray = o.Ray(version="2.52.0", image="rayproject/ray:2.52.0", address=address)
    inside = msgspec.structs.replace(workspace(), ray=ray)
    whole = msgspec.structs.replace(cluster(), workspace=inside)
    ireland = msgspec.structs.replace(site("eu-west-1"), kubernetes=whole)
    bare = msgspec.structs.replace(site("us-east-2"), batch=None)
    return environment(sites={"oregon": site(), "ireland": ireland, "ohio": bare})


def targets(written: dict[str, Any] | None = None, defaults: Any = None, **keys: str) -> Targets:
    made = derive(sky(**keys), "dev", FULL if defaults is None else defaults)
    return Targets(read(written or {}), lambda: made)


def test_one_name_for_a_kind_and_one_for_each_site() -> None:
    found = targets(address="http://head:8265", defaults={**FULL, "ray": {"folder": "/mnt/ems"}})
    assert list(found) == ["batch", "batch-oregon", "kubernetes", "ray"]
    assert found["batch"] is found["batch-ireland"] and found["batch"].name == "batch-ireland"
    assert found["batch-oregon"].settings.batch == "oregon"
    inside = found["kubernetes-ireland"].settings
    assert (inside.kubernetes, inside.namespace) == (cluster().arn, "ems")
    assert (inside.volume.claim, inside.folder, inside.image) == ("data", "/mnt/ems", "worker:1")
    assert found["ray"].settings.ray == "http://head:8265"
    assert "batch-ohio" not in found and {each.stack for each in found.values()} == {"dev"}


def test_the_kind_alone_is_a_site_that_takes_any_job() -> None:
    whole = sky()
    ireland = whole.sites["ireland"]
    assert ireland.batch is not None
    spot = {
        name: msgspec.structs.replace(each, market="spot")
        for name, each in ireland.batch.queues.items()
    }
    batch = msgspec.structs.replace(ireland.batch, queues=spot)
    sites = {**whole.sites, "ireland": msgspec.structs.replace(ireland, batch=batch)}
    found = derive(msgspec.structs.replace(whole, sites=sites), "dev", FULL)
    assert found["batch"].name == "batch-oregon"


def test_what_is_written_goes_before() -> None:
    found = targets({"batch": {"ssh": "here"}, "sky": {"batch": "oregon/general"}})
    assert found["batch"].kind.word == "ssh"
    assert list(found) == ["batch", "sky", "batch-ireland", "kubernetes"]
    assert found["batch-oregon"].settings.batch == "oregon"  # no second time in `auto`


def test_what_lacks_something_is_known_by_name_alone() -> None:
    found = targets(defaults={})
    assert list(found) == [] and list(found.listed()) == ["batch", "batch-oregon", "kubernetes"]
    assert choices(("batch",), found) == ("batch",)
    assert found["batch"].settings.image == ""  # jobs may name their own
    with pytest.raises(UsageError) as told:
        found["kubernetes"].open(None)  # type: ignore[arg-type]
    assert str(told.value) == (
        "target kubernetes-ireland: nothing says its `folder`, at site ireland of stack dev "
        "(`defaults: {kubernetes: {folder: /mnt/ems}}` in .ems.yaml says it). Try: set folder: "
        "under `defaults: kubernetes:` in .ems.yaml"
    )


@pytest.mark.parametrize(
    ("defaults", "said"),
    [
        ({"bach": IMAGE}, "defaults: 'bach' is no kind of place (did you mean 'batch'?)"),
        ({"batch": {"imgae": "x"}}, "defaults: batch: unknown key 'imgae' (did you mean 'image'?)"),
        ({"batch": "worker:1"}, "defaults: batch: is no mapping of keys"),
    ],
)
def test_defaults_that_cant_be(defaults: Any, said: str) -> None:
    with pytest.raises(UsageError) as told:
        derive(sky(), "dev", defaults)
    assert said in str(told.value)


def test_the_stack_is_read_when_it_must_be() -> None:
    reads: list[int] = []

    def read_now() -> dict[str, Target]:
        reads.append(1)
        return derive(sky(), "dev", FULL)

    found = Targets(read({"desk": {"ssh": "here"}}), read_now)
    known = Joined({"local": "here"}, lambda: found, lambda each: each.name)
    assert choices(("local",), known) == ("local",)
    assert choices(("desk",), known) == ("desk",) and known["desk"] == "desk"
    assert reads == []
    assert choices(("auto",), known)[:3] == ("local", "desk", "batch") and reads == [1]
    with pytest.raises(UsageError, match=r"mean 'batch'.*'desk', 'batch', 'batch-oregon', 'kub"):
        choices(("bacth",), known)
    assert reads == [1]


def session(folder: Path, said: list[str]) -> Session:
    return Session(folder, Settings.load(folder), said.append)


def test_a_project_has_the_places_of_its_stack(tmp_path: Path) -> None:
    (tmp_path / "sky.json").write_text(encode(sky()))
    (tmp_path / ".ems.yaml").write_text("stack: sky.json\ndefaults: {batch: {image: 'worker:1'}}\n")
    said: list[str] = []
    found = session(tmp_path, said)
    assert list(found.targets) == ["batch", "batch-oregon"] and said == []
    assert found.broker().choices(("auto",)) == ("local", "batch", "batch-oregon")
    found.close()


def test_a_stack_that_cant_be_read_is_left_out_with_a_word(tmp_path: Path) -> None:
    (tmp_path / ".ems.yaml").write_text("stack: none.json\ntargets: {desk: {ssh: here}}\n")
    said: list[str] = []
    found = session(tmp_path, said)
    broker = found.broker()
    assert broker.choices(("local",)) == ("local",) and broker.choices(("desk",)) and said == []
    assert broker.choices(("batch", "desk")) == ("desk",)
    assert broker.choices(("auto",)) == ("local", "desk")
    (told,) = said
    assert told.startswith("the places of stack ") and "none.json: can't be read" in told
    found.close()


def test_a_run_here_imports_nothing_of_places(tmp_path: Path) -> None:
    """The words of a stack cost nothing where no task asks for them."""
    import subprocess

    (tmp_path / ".ems.yaml").write_text("stack: none.json\ntargets: {desk: {ssh: here}}\n")
    code = (
        "import sys\nfrom ems.session import Session\nb = Session.open().broker()\n"
        "assert b.choices(('local',)) == ('local',)\n"
        "print([m for m in sys.modules if m in ('ems.compute.targets', 'ems.stack.sources')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
