"""Ends that nobody wished for: canceled, killed, taken away, and a cluster that does not answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ems.compute.job import Handle, JobState, Reason, Resources
from ems.compute.kubernetes import manifests
from ems.compute.remote.order import Native, Unreachable
from tests.compute.kubernetes.lab import NAMESPACE, Lab, finish, running, sh, until
from tests.contract.place import Place
from tests.rigs import rig
from tests.rigs.kubernetes import parts
from tests.rigs.kubernetes.client import ApiError
from tests.rigs.kubernetes.cluster import Cluster

pytestmark = rig("kubernetes")
SMALL = Resources.of(cpus=0.01)


def ended(lab: Lab, *ids: str) -> list[Native]:
    """Return what a scheduler that never heard of them says, once all have ended."""
    scheduler = lab.scheduler()
    until(lambda: all(each.state.ended for each in scheduler.look(ids).values()), 40)
    said = scheduler.look(ids)
    return [said[each] for each in ids]


def test_out_of_memory_deadline_and_an_eviction_by_the_clusters_word(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "_PULL_S", 0)
    told = "trap 'ls events.jsonl.timeout; exit 100' TERM; sleep 60 & wait"
    fill = "exec python3 -c 'b = bytearray(400 << 20)'"
    small = Resources.of(cpus=0.01, memory="64MiB")
    lab.scheduler().start(
        [
            lab.order("ems-memory", fill, resources=small),
            # one that hears of its limit, and one that does not listen
            lab.order("ems-told", told, wall_s=1.0, grace_s=9),
            lab.order("ems-deaf", "exec sleep 60", wall_s=2.0, grace_s=1),
            lab.order("ems-away", "touch on; exec sleep 60", grace_s=1),
        ]
    )
    until((lab.there / "jobs/ems-away/on").exists)
    [pod] = lab.pods("ems-away")
    meta = {"name": pod["metadata"]["name"], "namespace": NAMESPACE}
    lab.cluster.api.request(
        "POST",
        f"/api/v1/namespaces/{NAMESPACE}/pods/{meta['name']}/eviction",
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta},
    )
    memory, told_so, deaf, away = ended(lab, "ems-memory", "ems-told", "ems-deaf", "ems-away")
    assert (memory.reason, memory.exit_code, memory.signal) == (Reason.OUT_OF_MEMORY, 137, 9)
    assert told_so.exit_code == 100
    assert lab.output("ems-told") == "events.jsonl.timeout\n"
    assert deaf.reason is Reason.TIMED_OUT
    assert away.reason is Reason.PREEMPTED
    assert "DisruptionTarget" in away.detail or "vict" in away.detail
    assert memory.place == parts.NODE


def test_a_running_job_ends_by_sigterm_when_it_is_canceled(lab: Lab) -> None:
    place = lab.place()
    handles = place.backend.submit([sh(place, "echo on; sleep 60")])
    place.until(lambda: place.log(handles[0]) == b"on\n")
    place.backend.cancel(handles, 5)
    [status] = finish(place, handles, 15)
    assert (status.state, status.reason) == (JobState.CANCELED, Reason.CANCELED)
    [end] = place.ends(handles[0])
    assert end["reason"] == "canceled"
    # and whoever asks later is told so, too
    assert ended(lab, handles[0].native)[0].state is JobState.CANCELED


def test_children_of_an_array_are_canceled_one_by_one(lab: Lab) -> None:
    place = lab.place()
    handles = place.backend.submit([sh(place, "echo on; sleep 60", resources=SMALL)] * 4)
    place.until(lambda: all(place.log(each) == b"on\n" for each in handles), 30)
    assert len(lab.jobs()) == 1
    place.backend.cancel(handles[:2], 2)
    assert {each.state for each in finish(place, handles[:2], 15)} == {JobState.CANCELED}
    assert {each.state for each in place.backend.poll(handles[2:])} == {JobState.RUNNING}
    place.backend.cancel(handles[2:], 2)
    assert {each.state for each in finish(place, handles[2:], 15)} == {JobState.CANCELED}


def test_a_pod_that_is_deleted_under_its_job_is_not_made_again(lab: Lab) -> None:
    place = lab.place()
    script = "echo on; sleep 60"
    jobs = [sh(place, script), sh(place, script, resources=SMALL)]
    asked, forced = handles = place.backend.submit(jobs)
    place.until(lambda: all(place.log(each) == b"on\n" for each in handles), 30)
    [gently], [hard] = lab.pods(asked.native), lab.pods(forced.native)
    words = ["delete", "pod", "-n", NAMESPACE, "--wait=false"]
    lab.cluster.ctl(*words, gently["metadata"]["name"], "--grace-period=5")
    lab.cluster.ctl(*words, hard["metadata"]["name"], "--grace-period=0", "--force")
    first, second = finish(place, handles)
    assert first.reason is Reason.PREEMPTED
    # the kubelet ends the process by SIGTERM even so, unless the node is gone
    assert second.reason in (Reason.PREEMPTED, Reason.LOST)
    for native in ended(lab, asked.native, forced.native):
        assert native.state is JobState.FAILED
    until(lambda: not any(map(lab.pods, (asked.native, forced.native))))
    assert [lab.output(each.native) for each in handles] == ["on\n", "on\n"]


def test_started_twice_is_started_once(lab: Lab) -> None:
    orders = [lab.order(f"ems-{at}", "echo once", resources=SMALL) for at in range(3)]
    assert lab.scheduler().start(orders) == [None] * 3
    again = lab.scheduler()
    assert again.start(orders) == [None] * 3
    assert again.start(orders[1:]) == [None] * 2
    assert again.start([orders[2], lab.order("ems-3", "echo once")]) == [None] * 2
    states = ended(lab, "ems-0", "ems-1", "ems-2", "ems-3")
    assert {each.state for each in states} == {JobState.SUCCEEDED}
    assert [lab.output(f"ems-{at}") for at in range(4)] == ["once\n"] * 4
    assert again.start(orders) == [None] * 3
    # what was forgotten may be started anew, beside what is left of its array
    again.forget(["ems-1"])
    assert list(lab.scheduler().look(["ems-0", "ems-1"])) == ["ems-0"]
    assert lab.scheduler().start(orders) == [None] * 3
    ended(lab, "ems-0", "ems-1")
    assert [lab.output(f"ems-{at}") for at in range(3)] == ["once\n", "once\nonce\n", "once\n"]


_SUBMITTER = """
import json, sys, time
from pathlib import Path
import msgspec
from ems.compute.job import Job
from ems.compute.kinds import Setting
from ems.compute.kubernetes.kind import KIND
from tests.contract.place import Kept
folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
setting = Setting(Kept(folder / "objects"), folder / "other-cache", print, folder)
[backend] = KIND.open("lab", msgspec.convert(settings, KIND.settings), setting)
script = "echo on; sleep 4; echo off; echo result >made"
[handle] = backend.submit([Job("plain", command=("sh", "-c", script), outputs={"made": "made"},
                               outbox=setting.objects.outbox, key="abc123")])
while not backend.logs(handle, 0)[0]:
    backend.wait(0.1)
print(json.dumps(handle.to_json()), flush=True)
time.sleep(60)
"""


def test_another_process_goes_on_where_one_was_killed(lab: Lab) -> None:
    import msgspec

    settings = json.dumps(msgspec.to_builtins(lab.settings()))
    words = [sys.executable, "-c", _SUBMITTER, str(lab.folder), settings]
    root = Path(__file__).resolve().parents[3]
    first = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert first.stdout is not None
        handle = Handle.from_json(json.loads(first.stdout.readline()))
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    place = lab.place()
    # it submits the same work again, as a runner does that takes over
    job = place.job(
        ["sh", "-c", "echo on; sleep 4; echo off; echo result >made"],
        outputs={"made": "made"}, key="abc123",
    )  # fmt: skip
    assert place.backend.submit([job])[0].native == handle.native
    other = Place(lab.open(), lab.folder)
    for one in (place, other):
        [status] = finish(one, [handle])
        assert status.state is JobState.SUCCEEDED
        assert one.log(handle) == b"on\noff\n"
        [end] = one.ends(handle)
        assert one.read(end["out"]["made"]["$file"][0]) == b"result\n"
    assert len(lab.jobs()) == 1


def _restart(cluster: Cluster) -> None:
    settled = json.loads((cluster.folder / "cluster.json").read_text())
    ports, net = parts.Ports(**settled["ports"]), parts.Net(settled["net"])
    cluster.processes.start("apiserver", parts.apiserver(cluster.folder, ports, net))

    def answers() -> bool:
        try:
            return cluster.api.request("GET", "/readyz") == "ok"
        except (OSError, ApiError):
            return False

    until(answers)


def test_an_api_server_that_is_away_decides_nothing(tmp_path: Path) -> None:
    with TemporaryDirectory(prefix="kube-") as made, running(Path(made) / "c") as cluster:
        lab = Lab(cluster, tmp_path)
        try:
            _stop_for_a_while(lab)
        finally:
            lab.close()


def _stop_for_a_while(lab: Lab) -> None:
    place = lab.place()
    handles = place.backend.submit([sh(place, "echo on; sleep 6; echo off")])
    place.until(lambda: place.log(handles[0]) == b"on\n")
    lab.cluster.processes.end("apiserver", signal.SIGKILL)
    try:
        with pytest.raises(Unreachable, match=r"does not answer \(Connection (refused|reset)"):
            lab.scheduler().look(["ems-x"])
        time.sleep(5)
        assert place.status(handles[0]).state is JobState.RUNNING
    finally:
        _restart(lab.cluster)
    [status] = finish(place, handles)
    assert status.state is JobState.SUCCEEDED
    assert place.log(handles[0]) == b"on\noff\n"
    place.until(lambda: len(lab.warnings) > 1)
    assert "does not answer" in lab.warnings[0]
    assert lab.warnings[1].endswith("answers again")
