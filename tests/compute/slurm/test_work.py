"""What jobs do on a real Slurm: arrays, variables, secrets, modules, GPUs, inputs, outputs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ems.compute.job import Handle, Job, JobState, Reason, Resources
from tests.compute.slurm.conftest import Cluster
from tests.rigs import rig

pytestmark = rig("slurm")


def test_success_and_its_output(place: Cluster) -> None:
    handle = place.submit(
        place.parcel(
            "def add(x, y):\n    print('hello')\n    return x + y", [("add", {"x": 1, "y": 2})]
        )
    )
    assert place.finish(handle).state is JobState.SUCCEEDED
    assert [(e["ok"], e["out"]) for e in place.ends(handle)] == [(True, 3)]
    assert place.log(handle) == b"hello\n"
    left = place.root.joinpath("jobs", handle.native, "ems-exit")
    place.until(left.exists)  # the script's own word comes after the worker's
    assert left.read_text() == "0\n"


def test_sixty_jobs_are_one_array_with_a_result_and_a_log_each(place: Cluster) -> None:
    source = "def f(n):\n    print('n is', n)\n    if n == 7: raise ValueError(n)\n    return n * n"
    code = place.code(source)
    jobs = [Job(f"work-{n}", place.parcel(code, [("f", {"n": n})])) for n in range(60)]
    handles = place.backend.submit(jobs)
    place.until(lambda: all(s.state.ended for s in place.backend.poll(handles)), 90)
    statuses = place.backend.poll(handles)
    for n, (handle, status) in enumerate(zip(handles, statuses, strict=True)):
        (end,) = place.ends(handle)
        assert place.log(handle).decode().startswith(f"n is {n}\n")
        if n == 7:
            assert (status.state, status.reason) == (JobState.FAILED, Reason.EXCEPTION)
        else:
            assert (status.state, end["out"]) == (JobState.SUCCEEDED, n * n)
    arrays = {place.job_of(handle.native).partition("_")[0] for handle in handles}
    assert len(arrays) == 1
    assert {place.job_of(h.native).partition("_")[2] for h in handles} == {
        str(n) for n in range(60)
    }


def test_variables_and_secrets_without_their_values_anywhere(
    place: Cluster, tmp_path: Path
) -> None:
    kept, filed = "value-of-the-variable-93b1", "value-in-the-file-77f0"
    place.variables["LAB_TOKEN"] = kept
    place.variables["UNASKED"] = "not-for-jobs"
    (tmp_path / "key").write_text(filed + "\n")
    source = """
        import hashlib, os
        def f():
            def shown(n): return hashlib.sha256(os.environ[n].encode()).hexdigest()
            others = [n in os.environ for n in ("LAB_TOKEN", "UNASKED")]
            told = {n: shown(n) for n in ("TOKEN", "KEY")}
            return {**told, "A": os.environ["A"], "others": others, "home": os.environ["HOME"]}
    """
    place.backend = place.open()
    handle = place.submit(
        place.parcel(source, [("f", {})]),
        variables={"A": 'it\'s "$HOME" `x`\nand more'},
        secrets={"TOKEN": "env:LAB_TOKEN", "KEY": f"file:{tmp_path}/key"},
    )
    assert place.finish(handle).state is JobState.SUCCEEDED, place.log(handle)
    (end,) = place.ends(handle)
    expected = [hashlib.sha256(each.encode()).hexdigest() for each in (kept, filed)]
    assert [end["out"]["TOKEN"], end["out"]["KEY"]] == expected
    assert end["out"]["A"] == 'it\'s "$HOME" `x`\nand more'
    assert end["out"]["others"] == [False, False]
    job = place.job_of(handle.native)
    told = place.slurm.run("scontrol", "show", "job", "-d", job)
    script = place.slurm.run("scontrol", "write", "batch_script", job, "-")
    assert "env:LAB_TOKEN" in script
    texts = [path.read_bytes() for path in place.root.rglob("*") if path.is_file()]
    for value in (kept, filed):
        assert value not in told + script
        assert not any(value.encode() in text for text in texts)


@pytest.mark.parametrize(
    ("reference", "reason", "said"),
    [
        ("vault:x", Reason.IMPOSSIBLE, "'vault:x' is no reference (allowed: env:NAME, file:PATH)"),
        ("env:NO_SUCH_THING", Reason.ENVIRONMENT, "'env:NO_SUCH_THING' is not set"),
        ("file:/no/such", Reason.ENVIRONMENT, "'file:/no/such' can't be read"),
    ],
)
def test_a_secret_that_is_not_there(
    place: Cluster, reference: str, reason: Reason, said: str
) -> None:
    job = place.job(["true"], secrets={"TOKEN": reference})
    status = place.finish(place.backend.submit([job])[0])
    assert (status.state, status.reason) == (JobState.FAILED, reason)
    assert f"secret TOKEN: {said}" in status.detail


def test_environment_modules(place: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "modulefiles" / "solver"
    folder.mkdir(parents=True)
    (folder / "2.1").write_text("#%Module\nsetenv SOLVER two-one\n")
    variables = {"MODULEPATH": str(folder.parent)}
    source = "import os\ndef f(): return os.environ['SOLVER']"
    place.backend = place.open(site=(f"--export=ALL,MODULEPATH={folder.parent}",))
    env = {"module:solver": "2.1"}
    handle = place.submit(place.parcel(source, [("f", {})], env=env), variables=variables)
    assert place.finish(handle, 60).state is JobState.SUCCEEDED, place.status(handle).detail
    assert place.ends(handle)[0]["out"] == "two-one"
    missing = place.submit(place.parcel(source, [("f", {})], env={"module:solver": "3"}))
    status = place.finish(missing, 60)
    assert (status.state, status.reason) == (JobState.FAILED, Reason.ENVIRONMENT)
    assert "module load solver/3" in status.detail


def test_gpus_are_asked_for_by_kind(place: Cluster) -> None:
    names = "'CUDA_VISIBLE_DEVICES', 'SLURM_CPUS_PER_TASK'"
    source = f"import os\ndef f(): return [os.environ[n] for n in ({names})]"
    place.backend = place.open(partition="big", site=("--partition=big",))
    resources = Resources.of(cpus=3, gpus=2, gpu_kind="t4")
    handle = place.submit(place.parcel(source, [("f", {})]), resources=resources)
    assert place.finish(handle).state is JobState.SUCCEEDED, place.status(handle).detail
    assert place.ends(handle)[0]["out"] == ["0,1", "3"]


def test_inputs_and_outputs_by_digest(place: Cluster) -> None:
    digest = place.put(b"12 34\n")
    job = place.job(
        ["sh", "-c", "sed s/1/9/ in/data > out.txt"],
        inputs={"in/data": digest}, outputs={"result": "out.txt"},
    )  # fmt: skip
    handle = place.backend.submit([job])[0]
    assert place.finish(handle).state is JobState.SUCCEEDED, place.log(handle)
    (end,) = place.ends(handle)
    assert place.read(end["out"]["result"]["$file"][0]) == b"92 34\n"


def test_another_process_goes_on_by_the_handle(place: Cluster) -> None:
    source = "import time\ndef f():\n    print('on', flush=True)\n    time.sleep(1.5)\n    return 5"
    handle = place.submit(place.parcel(source, [("f", {})]))
    place.until(lambda: b"on" in place.log(handle))
    place.leave()
    place.backend = place.open()
    again = Handle.from_json(json.loads(json.dumps(handle.to_json())))
    assert place.finish(again).state is JobState.SUCCEEDED
    assert (place.ends(again)[0]["out"], place.log(again)) == (5, b"on\n")
