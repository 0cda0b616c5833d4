"""Jobs in real pods: how they end, what they get and what they give."""

from __future__ import annotations

from ems.compute.job import JobState, Reason, Resources
from ems.compute.remote.spool import SpoolBackend
from tests.compute.kubernetes.lab import NAMESPACE, Lab, finish, sh
from tests.rigs import rig

pytestmark = rig("kubernetes")
SMALL = Resources.of(cpus=0.01)


def test_how_commands_end(lab: Lab) -> None:
    place = lab.place()
    jobs = [
        sh(place, "echo from the pod"),
        sh(place, "exit 3"),
        sh(place, "kill -9 $$"),
        sh(place, "sleep 60", timeout_s=1.0),
    ]
    good, bad, killed, slow = finish(place, handles := place.backend.submit(jobs))
    assert (good.state, good.exit_code) == (JobState.SUCCEEDED, 0)
    assert place.log(handles[0]) == b"from the pod\n"
    assert (bad.reason, bad.exit_code) == (Reason.EXIT, 3)
    assert (killed.reason, killed.signal) == (Reason.SIGNAL, 9)
    assert slow.reason is Reason.TIMED_OUT
    place.backend.forget(handles)
    place.until(lambda: not lab.jobs() and not any((lab.there / "jobs").iterdir()))


def test_a_python_task_with_inputs_and_outputs(lab: Lab) -> None:
    place = lab.place()
    source = """
        import os
        def double(n):
            print("doubling", os.environ["ROBOT"])
            return n * 2
    """
    parcel = place.parcel(source, [("double", {"n": 21}), ("double", {"n": 1})])
    handle = place.submit(parcel, variables={"ROBOT": "arm"})
    assert finish(place, [handle])[0].state is JobState.SUCCEEDED
    assert [each["out"] for each in place.ends(handle)] == [42, 2]
    assert place.log(handle) == b"doubling arm\ndoubling arm\n"

    data = place.put(b"one two three")
    job = place.job(
        ["sh", "-c", "wc -w <words >count"],
        inputs={"words": data},
        outputs={"count": "count"},
        objects=(str(place.objects),),
    )
    [handle] = place.backend.submit([job])
    assert finish(place, [handle])[0].state is JobState.SUCCEEDED
    [end] = place.ends(handle)
    [[digest, _]] = end["files"]
    assert place.read(digest).split() == [b"3"]


def test_variables_and_secrets(lab: Lab) -> None:
    key = ["--from-literal=token=s3cr3t", "-n", NAMESPACE]
    lab.cluster.ctl("create", "secret", "generic", "wandb", *key)
    place = lab.place()
    tricky = "$(HOME) $$(HOME) $HOME `x` 'y' $$"
    there = sh(
        place,
        'printf "%s\\n" "$TRICKY" "$TOKEN"',
        variables={"TRICKY": tricky},
        secrets={"TOKEN": "k8s:wandb/token"},
    )
    missing = sh(place, "true", secrets={"TOKEN": "k8s:nowhere/token"})
    foreign = sh(place, "true", secrets={"TOKEN": "env:TOKEN"})
    handles = place.backend.submit([there, missing, foreign])
    good, absent, refused = finish(place, handles, 15)
    assert good.state is JobState.SUCCEEDED
    assert place.log(handles[0]).decode() == f"{tricky}\ns3cr3t\n"
    assert absent.reason is Reason.IMPOSSIBLE
    assert 'secret "nowhere" not found' in absent.detail
    assert refused.reason is Reason.IMPOSSIBLE
    assert "k8s:NAME/KEY" in refused.detail


def test_an_image_that_is_not_there_is_told_at_once(lab: Lab) -> None:
    place = lab.place(pull_policy="")
    jobs = [sh(place, "true", image=name) for name in ("localhost/no:1", "NOT//A NAME")]
    for status in finish(place, handles := place.backend.submit(jobs), 10):
        assert (status.state, status.reason) == (JobState.FAILED, Reason.BAD_IMAGE)
    assert "localhost/no:1" in place.status(handles[0]).detail
    # nothing goes on trying
    place.until(lambda: not any(map(lab.pods, (handle.native for handle in handles))))


def test_what_fits_no_node_waits_with_the_schedulers_words(lab: Lab) -> None:
    place = lab.place()
    big = sh(place, "true", resources=Resources.of(cpus=500))
    gpu = sh(place, "true", resources=Resources.of(gpus=1, gpu_kind="A100"))
    handles = place.backend.submit([big, gpu])
    assert isinstance(place.backend, SpoolBackend)
    waiting = place.backend.waiting
    place.until(lambda: "Insufficient cpu" in waiting(handles[0]))
    place.until(lambda: "node affinity" in waiting(handles[1]) or "nvidia" in waiting(handles[1]))
    assert {each.state for each in place.backend.poll(handles)} == {JobState.SUBMITTED}
    place.backend.cancel(handles, 5)
    assert {each.state for each in finish(place, handles, 10)} == {JobState.CANCELED}
    assert not any(map(lab.pods, (handle.native for handle in handles)))


def test_thirty_alike_are_one_indexed_job_and_one_that_fails_ends_no_other(lab: Lab) -> None:
    place = lab.place()
    script = "echo ok; test ! -e fail"
    marker = place.put(b"")
    jobs = [
        sh(place, script, inputs={"fail": marker} if at == 7 else {}, resources=SMALL)
        for at in range(30)
    ]
    handles = place.backend.submit(jobs)
    statuses = finish(place, handles, 100)
    assert [each.state for each in statuses].count(JobState.SUCCEEDED) == 29
    assert (statuses[7].reason, statuses[7].exit_code) == (Reason.EXIT, 1)
    assert all(place.log(handle) == b"ok\n" for handle in handles)
    [job] = lab.jobs()
    assert job["spec"]["completions"] == 30
    place.backend.forget(handles[:29])
    place.until(lambda: len(list((lab.there / "jobs").iterdir())) == 1)
    assert len(lab.jobs()) == 1
    place.backend.forget(handles[29:])
    place.until(lambda: not lab.jobs())
