"""The sky on this machine: begun, gone on with, changed, lost, ended; in clones of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import boto3
import pytest

from ems.stack import ssm
from tests.docs.pages import Command, matches, outputs, script, steps
from tests.rigs import rig
from tests.rigs.sandbox import parts
from tests.rigs.sandbox.place import Place
from tests.rigs.sandbox.surroundings import shell
from tests.rigs.sky.clients import KEYS
from tests.rigs.sky.project import ROOT

pytestmark = [rig("pulumi"), pytest.mark.timeout(900)]
_COPIED = ("Pulumi.yaml", "infra", "stacks", "tests", "examples")
_LINKED = (".venv", "sdk", ".rigs")
SMALL = """
config:
  ems:accounts: ["123456789012"]
  ems:home: us-west-2
  ems:sites:
    oregon:
      region: us-west-2
      cidr: 10.64.0.0/16
      zones: [usw2-az1]
      storage: {file_system: false}
      batch: {queues: [{type: c7i.xlarge, max_vcpus: 16}], general: null}
"""
"""As much as a test of the way needs; the real file has a test of its own."""


@dataclass
class Clone:
    """A clone of the repository, with its sandbox."""

    folder: Path

    @property
    def place(self) -> Place:
        """Where its sandbox lies."""
        return Place(self.folder / ".sandbox")

    @property
    def settings(self) -> Path:
        """The environment's file in the tree."""
        return self.folder / "stacks/Pulumi.sandbox.yaml"

    def start(self, word: str) -> subprocess.Popen[str]:
        """Start what `make sandbox…` starts."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.rigs.sandbox", word],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, word: str, code: int = 0) -> str:
        """Run it and return what it says."""
        running = self.start(word)
        said, _ = running.communicate(timeout=400)
        assert running.returncode == code, said
        return said

    def client(self, service: str, region: str = "us-west-2") -> Any:
        """Return a client of its cloud."""
        return boto3.client(
            service,  # pyright: ignore[reportCallIssue, reportArgumentType] - any service
            region_name=region,
            endpoint_url=parts.endpoint(self.place),
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def inside(self, *commands: str) -> str:
        """Run commands in a shell that is in the sandbox, as a person does."""
        return self.told("\n".join(["set -e; mkdir -p mine; cd mine", *commands]))

    def told(self, script: str) -> str:
        """Run a script in the clone, in a shell that is in the sandbox."""
        env = f"{sys.executable} -m tests.rigs.sandbox env"
        outside = {
            **os.environ,
            "AWS_PROFILE": "other",
            "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:9",
            "EMS_CACHE": str(self.folder / "cache"),
        }
        done = subprocess.run(
            ["bash", "-c", f'cd {self.folder}; eval "$({env})"\n{script}'],
            env=outside,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


def cloned(settings: str) -> Clone:
    """Make a clone whose path is short enough for a cluster's sockets."""
    folder = Path(mkdtemp(prefix="sb-"))
    for name in _COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored, symlinks=True)
        else:
            shutil.copy2(ROOT / name, folder / name)
    for name in _LINKED:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    made = Clone(folder)
    if settings:
        made.settings.write_text(settings)
    return made


def _end(clone: Clone) -> None:
    parts.end(clone.place)
    shutil.rmtree(clone.folder)


@pytest.fixture
def clones() -> Iterator[Callable[..., Clone]]:
    """Make clones."""
    made: list[Clone] = []

    def clone(settings: str = SMALL) -> Clone:
        made.append(cloned(settings))
        return made[-1]

    yield clone
    for each in made:
        _end(each)


@pytest.fixture(scope="module")
def sky() -> Iterator[tuple[Clone, str, float]]:
    """A clone with the whole sky, what `make sandbox` said, and how many seconds it took."""
    clone = cloned("")
    before = clone.settings.read_text()
    begun = time.monotonic()
    said = clone.run("up")
    yield clone, said, time.monotonic() - begun
    assert clone.settings.read_text() == before
    clone.run("down")
    left = clone.place.folder.exists(), parts.running(clone.place)
    _end(clone)
    assert left == (False, [])


def without_cluster(clone: Clone) -> Clone:
    """Return a clone for which no Kubernetes rig is installed: no test of its own needs one."""
    rigs = clone.folder / ".rigs"
    rigs.unlink()
    rigs.mkdir()
    if (ROOT / ".rigs/pulumi").exists():
        (rigs / "pulumi").symlink_to(ROOT / ".rigs/pulumi")
    return clone


def _until(done: Callable[[], bool], within_s: float = 120) -> None:
    end = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


@rig("kubernetes")
@pytest.mark.xdist_group("kubernetes")
def test_the_whole_sky_stands_within_two_minutes(sky: tuple[Clone, str, float]) -> None:
    clone, said, took_s = sky
    print(f"make sandbox: {took_s:.0f} s")
    assert took_s < 120
    assert "oregon    us-west-2   queues: c7i-xlarge-on-demand, c7i-xlarge-spot," in said
    assert "cluster sandbox-oregon" in said
    assert 'eval "$(make -s sandbox-env)"' in said

    out = clone.inside(
        "emsctl stack use ssm:us-west-2/sandbox",
        "emsctl stack show",
        "emsctl check",
        "emsctl stack vpn lab",
        "pulumi -C ../.sandbox/project stack",
        "cd ../.sandbox/project && emsctl stack show sandbox",
        "pulumi -C infra/kubernetes preview --stack sandbox",
    )
    assert "nothing is broken" in out
    assert "wrote 11 files for 2 tunnels to lab-gateway" in out
    assert "Current stack is sandbox" in out
    assert "namespace ems, pools cpu, gpu" in out
    assert "unchanged" in out


@rig("kubernetes")
@pytest.mark.xdist_group("kubernetes")
def test_a_pipeline_on_batch_as_its_page_says(sky: tuple[Clone, str, float]) -> None:
    clone = sky[0]
    page = (ROOT / "docs/how-to/pipeline-on-batch.md").read_text(encoding="utf-8")
    todo = steps(page.replace("norun=needs-a-sandbox", ""))
    page_ends = len(todo)
    here = 'export EMS_STORE="$PWD/local"'
    run = "emsctl run examples/four_rooms/pipeline.py $small -q"
    shown = "emsctl show last -o json"
    todo += [Command(0, each, None) for each in (shown, here, run, shown)]
    found = outputs(clone.told(script(todo)))
    asked = [(at, step) for at, step in enumerate(todo) if isinstance(step, Command)]
    wrong = {
        step.text: (status, "\n".join(real))
        for at, step in asked
        for status, real in [found.get(at, (-1, ["was not reached"]))]
        if status or not (step.shown is None or matches(step.shown, real))
    }
    assert wrong == {}
    there, local = (json.loads("\n".join(found[at][1])) for at in (page_ends, len(todo) - 1))
    assert there["counts"] == {"cached": 7}
    assert _versions(there) == _versions(local)
    assert there["result"]["success"] == local["result"]["success"]

    messages = found[page_ends - 1][1]
    assert sum(each.count("of 5 goals") for each in messages) == 2, "CloudWatch has what jobs wrote"
    site = ssm.read(clone.client("ssm"), "us-west-2", "sandbox").outputs.sites["oregon"]
    kept = clone.client("s3").list_objects_v2(Bucket=site.storage.bucket, Prefix="scratch/")
    objects = [each["Key"] for each in kept["Contents"] if "/objects/" in each["Key"]]
    assert len(objects) == 1, "but for the worker, objects are in the store and nowhere else"


def _versions(run: Any) -> dict[str, str]:
    return {each["label"]: each["version"] for each in run["calls"]}


def test_it_is_gone_on_with_changed_and_begun_anew(clones: Callable[..., Clone]) -> None:
    clone = without_cluster(clones())
    said = clone.run("up")
    assert "left out, what goes through the Kubernetes API: the Kubernetes rig is not" in said
    endpoint, processes = parts.endpoint(clone.place), parts.running(clone.place)
    clone.client("sqs").create_queue(QueueName="mine")

    clone.settings.write_text(SMALL.replace("16}", "16}, {type: m7i.xlarge, max_vcpus: 16}"))
    tags = clone.folder / "infra/providers.py"
    changed = tags.read_text().replace('"ems-project":', '"changed": "yes", "ems-project":')
    assert changed != tags.read_text()
    tags.write_text(changed)
    said = clone.run("up")
    assert f"moto runs at {endpoint}" in said
    assert "queues: c7i-xlarge-spot, m7i-xlarge-spot" in said
    assert parts.running(clone.place) == processes
    assert clone.client("sqs").list_queues()["QueueUrls"]
    vpcs = clone.client("ec2").describe_vpcs()["Vpcs"]
    assert any({"Key": "changed", "Value": "yes"} in each.get("Tags", ()) for each in vpcs)
    assert "moto at" in clone.run("status")
    _begins_anew_without_moto(clone)


def _begins_anew_without_moto(clone: Clone) -> None:
    (pid,) = parts.running(clone.place, "moto")
    os.kill(pid, signal.SIGKILL)
    assert "it does not run. Try: make sandbox" in clone.run("status", 1)
    assert "it does not run. Try: make sandbox" in clone.run("env", 1)
    said = clone.run("up")
    assert "the moto server is gone, and with it all that was made: beginning anew" in said
    assert "oregon" in clone.run("status")


def test_ctrl_c_and_kill_in_the_middle(clones: Callable[..., Clone]) -> None:
    clone = without_cluster(clones())
    running = clone.start("up")
    _until(lambda: _locked(clone))
    os.killpg(running.pid, signal.SIGINT)
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 130, said
    assert "interrupted. Try: make sandbox, which goes on from there" in said
    assert not _locked(clone)
    (moto,) = parts.running(clone.place, "moto")

    running = clone.start("up")  # goes on
    _until(lambda: _locked(clone))
    os.killpg(running.pid, signal.SIGKILL)  # all of it, the engine too, but not moto
    running.wait()
    said = clone.run("up")
    assert "an engine was killed at its work" in said
    assert moto not in parts.running(clone.place)
    assert "oregon" in clone.run("status")


def test_a_killed_command_leaves_an_engine_that_is_waited_for(clones: Callable[..., Clone]) -> None:
    clone = without_cluster(clones())
    running = clone.start("up")
    _until(lambda: _locked(clone))
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    said = clone.run("up")
    assert "an earlier `up` is still at work" in said
    assert "anew" not in said


def _locked(clone: Clone) -> bool:
    return any((clone.place.state / ".pulumi/locks").rglob("*.json"))


def test_two_clones_have_two_skies(clones: Callable[..., Clone]) -> None:
    one, two = without_cluster(clones()), without_cluster(clones())
    for each in (one, two):
        each.run("up")
    assert parts.endpoint(one.place) != parts.endpoint(two.place)
    one.run("down")
    assert parts.running(one.place) == []
    assert "oregon" in two.run("status")
    shutil.rmtree(two.place.folder)  # by hand: the server goes with it
    _until(lambda: not parts.running(two.place), 20)
    assert "there is none" in two.run("down")


def test_a_fault_in_the_settings_is_told(clones: Callable[..., Clone]) -> None:
    clone = without_cluster(clones(SMALL.replace("us-west-2\n      cidr", "us-wst-2\n      cidr")))
    said = clone.run("up", 1)
    assert "the environment was not deployed" in said
    assert "did you mean 'us-west-2'?" in said


def test_a_folder_that_can_not_be_is_told_in_a_line(clones: Callable[..., Clone]) -> None:
    clone = without_cluster(clones())
    clone.place.folder.write_text("")
    for word in ("up", "down"):
        assert clone.run(word, 1) == "sandbox: .sandbox: is not a folder\n"


def test_a_cluster_that_does_not_start_says_why(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.log("cluster").write_text("etcd runs\nError: no more ports\n\n")
    with pytest.raises(parts.Failure) as caught:
        parts.finish_cluster(place, subprocess.Popen(["false"]))
    assert str(caught.value).splitlines() == [
        f"the cluster does not start (all of it: {tmp_path}/cluster.log)",
        "  Error: no more ports",
    ]


def test_jobs_run_as_processes(clones: Callable[..., Clone]) -> None:
    clone = clones()
    clone.place.folder.mkdir()
    parts.start_cloud(clone.place)
    batch, logs = clone.client("batch"), clone.client("logs")
    role = "arn:aws:iam::123456789012:role/batch"
    clone.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument="{}")
    made = batch.create_compute_environment(
        computeEnvironmentName="any", type="UNMANAGED", serviceRole=role
    )
    place = {"order": 1, "computeEnvironment": made["computeEnvironmentArn"]}
    batch.create_job_queue(
        jobQueueName="queue", state="ENABLED", priority=1, computeEnvironmentOrder=[place]
    )

    def run(script: str, **more: Any) -> dict[str, Any]:
        batch.register_job_definition(
            jobDefinitionName="one",
            type="container",
            retryStrategy={"attempts": more.pop("attempts", 1)},
            containerProperties={
                "image": "busybox",
                "command": ["sh", "-c", script],
                "resourceRequirements": [
                    {"type": "VCPU", "value": "1"},
                    {"type": "MEMORY", "value": "64"},
                ],
                "environment": [{"name": "WHO", "value": "Ada"}],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": "jobs"},
                },
            },
        )
        job = batch.submit_job(jobName="one", jobQueue="queue", jobDefinition="one", **more)[
            "jobId"
        ]
        _until(lambda: _status(batch, job) in ("SUCCEEDED", "FAILED"), 30)
        return batch.describe_jobs(jobs=[job])["jobs"][0]

    ended = run("echo hello $WHO $AWS_BATCH_JQ_NAME; exit 3", attempts=2)
    assert (ended["status"], ended["container"]["exitCode"]) == ("FAILED", 3)
    assert [each["container"]["exitCode"] for each in ended["attempts"]] == [3, 3]
    stream = ended["container"]["logStreamName"]
    told = logs.get_log_events(logGroupName="jobs", logStreamName=stream)["events"]
    assert [each["message"] for each in told] == ["hello Ada queue"]

    assert run("test -n $AWS_ENDPOINT_URL")["status"] == "SUCCEEDED"
    limit = {"attemptDurationSeconds": 1}
    assert run("sleep 60", timeout=limit)["container"]["exitCode"] == 143
    obeys = "trap 'exit 9' TERM; while :; do sleep 0.1; done"  # it has its seconds to end
    assert run(obeys, timeout=limit)["container"]["exitCode"] == 9
    many = run("exit $AWS_BATCH_JOB_ARRAY_INDEX", arrayProperties={"size": 2})
    assert many["arrayProperties"]["statusSummary"]["FAILED"] == 1


def _status(batch: Any, job: str) -> str:
    seen = batch.describe_jobs(jobs=[job])["jobs"][0]
    summary = seen.get("arrayProperties", {}).get("statusSummary")
    if summary:
        over = summary["SUCCEEDED"] + summary["FAILED"] == seen["arrayProperties"]["size"]
        return "SUCCEEDED" if over else "RUNNING"
    return seen["status"]


def test_a_shell_gets_what_it_needs_and_loses_what_leads_elsewhere(tmp_path: Path) -> None:
    lines = shell(
        Place(tmp_path / "it's"),
        "http://127.0.0.1:1",
        {"AWS_PROFILE": "work", "AWS_REGION": "x", "PULUMI_ACCESS_TOKEN": "x", "PATH": "/bin"},
    )
    assert lines[:2] == ["unset AWS_PROFILE", "unset PULUMI_ACCESS_TOKEN"]
    assert "export AWS_REGION=us-west-2" in lines
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:1" in lines
    done = subprocess.run(
        ["bash", "-ec", "\n".join([*lines, 'echo "$PULUMI_HOME"'])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path / "it's" / "home")
