"""Parsers on texts in the forms that Slurm 22.05.8 writes, and of other releases and sites."""

from __future__ import annotations

import pytest

from ems.compute.backend import Room
from ems.compute.job import JobState, Reason
from ems.compute.remote.order import Native
from ems.compute.slurm import answers, states
from ems.compute.slurm.answers import Queue, Record

RECORDED = """\
train.5f|1|4|PENDING|0||None|
train.5f|1|0|RUNNING|0|n1|None|
train.5f|1|1|FAILED|768|n2|NonZeroExitCode|
train.5f|1|2|FAILED|11|n2|JobLaunchFailure|
train.5f|1|N/A|CANCELLED|0||Resources|
one.aa|2|N/A|OUT_OF_MEMORY|253|n1|OutOfMemory|
two.bb|3|N/A|PENDING|0||PartitionConfig|
wide.cc|4|N/A|PENDING|0||ReqNodeNotAvail, UnavailableNodes:n[1-4]|
gone.dd|5|7|PENDING|0||Priority|
"""


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("train.5f", 4, Native(JobState.SUBMITTED)),
        ("train.5f", 0, Native(JobState.RUNNING, place="n1")),
        (
            "train.5f", 1,
            Native(JobState.FAILED, Reason.EXIT, "ended with a failure", 3, place="n2"),
        ),
        (
            "train.5f", 2,
            Native(
                JobState.FAILED, Reason.SIGNAL, "ended with a failure (JobLaunchFailure)",
                signal=11, place="n2",
            ),
        ),
        ("train.5f", 9, Native(JobState.CANCELED, Reason.CANCELED, "was canceled in Slurm")),
        (
            "one.aa", 0,
            Native(
                JobState.FAILED, Reason.OUT_OF_MEMORY, "used more memory than Slurm gave it",
                place="n1",
            ),
        ),
        (
            "two.bb", 0,
            Native(
                JobState.FAILED, Reason.IMPOSSIBLE,
                "can never start here: asks for more than its partition has or allows "
                "(PartitionConfig)",
            ),
        ),
        (
            "wide.cc", 0,
            Native(
                JobState.SUBMITTED,
                waiting="nodes that it could run on are down, drained or reserved "
                "(ReqNodeNotAvail, UnavailableNodes:n[1-4])",
            ),
        ),
        ("gone.dd", 3, Native(JobState.CANCELED, Reason.CANCELED, "was canceled in Slurm")),
    ],
)  # fmt: skip
def test_the_queue(name: str, at: int, expected: Native) -> None:
    found = Queue(RECORDED).find(Record(name, at))
    assert found is not None and found.native == expected


def test_what_is_in_no_queue() -> None:
    assert Queue(RECORDED).find(Record("other.ee", 0)) is None
    assert Queue(RECORDED).find(Record("one.aa", 0, "77")) is None
    assert Queue("").find(Record("one.aa", 0)) is None
    found = Queue(RECORDED).find(Record("train.5f", 0, "1"))
    assert found is not None and found.word == "1_0"


@pytest.mark.parametrize(
    ("state", "reason", "ended", "why"),
    [
        ("TIMEOUT", "TimeLimit", JobState.FAILED, Reason.TIMED_OUT),
        ("NODE_FAIL", "NodeDown", JobState.FAILED, Reason.LOST),
        ("PREEMPTED", "None", JobState.FAILED, Reason.PREEMPTED),
        ("BOOT_FAIL", "None", JobState.FAILED, Reason.NO_CAPACITY),
        ("DEADLINE", "DeadLine", JobState.FAILED, Reason.TIMED_OUT),
        ("FAILED", "BadConstraints", JobState.FAILED, Reason.IMPOSSIBLE),
        ("REVOKED", "None", JobState.CANCELED, Reason.CANCELED),
        ("CANCELLED by 1000", "None", JobState.CANCELED, Reason.CANCELED),
        ("PENDING", "DependencyNeverSatisfied", JobState.FAILED, Reason.IMPOSSIBLE),
        ("PENDING", "QOSMaxCpuPerJobLimit", JobState.FAILED, Reason.IMPOSSIBLE),
        ("PENDING", "AssocMaxWallDurationPerJobLimit", JobState.FAILED, Reason.IMPOSSIBLE),
        ("PENDING", "QOSMaxJobsPerUserLimit", JobState.SUBMITTED, None),
        ("PENDING", "AssocGrpCpuLimit", JobState.SUBMITTED, None),
        ("PENDING", "JobHeldUser", JobState.SUBMITTED, None),
        ("CONFIGURING", "None", JobState.SUBMITTED, None),
        ("REQUEUE_HOLD", "JobHoldMaxRequeue", JobState.SUBMITTED, None),
        ("COMPLETING", "TimeLimit", JobState.RUNNING, None),
        ("SUSPENDED", "None", JobState.RUNNING, None),
        ("STAGE_OUT", "None", JobState.RUNNING, None),
        ("A_STATE_OF_2031", "None", JobState.RUNNING, None),
    ],
)
def test_states(state: str, reason: str, ended: JobState, why: Reason | None) -> None:
    found = states.native(state, reason)
    assert (found.state, found.reason) == (ended, why)
    assert bool(found.waiting) == (ended is JobState.SUBMITTED)


def test_who_canceled_is_told_where_accounting_tells() -> None:
    assert states.native("CANCELLED by 1000", "").detail == "was canceled in Slurm by 1000"


def test_accounting() -> None:
    text = (
        "12|COMPLETED|0:0|n1\n12.batch|COMPLETED|0:0|n1\n13_0|FAILED|3:0|n2\n"
        "13_1|CANCELLED by 0|0:15|None assigned\n14|FAILED|0:11|n1\n13_[2-9]|PENDING|0:0|\n"
    )
    found = answers.accounted(text)
    assert set(found) == {"12", "13_0", "13_1", "14"}
    assert found["12"].state is JobState.SUCCEEDED
    assert (found["13_0"].reason, found["13_0"].exit_code) == (Reason.EXIT, 3)
    assert found["13_1"].state is JobState.CANCELED
    assert (found["14"].reason, found["14"].signal) == (Reason.SIGNAL, 11)


def test_accounting_of_a_heterogeneous_job() -> None:
    text = "15+0|COMPLETED|0:0|n1\n15+0.batch|COMPLETED|0:0|n1\n15+1|TIMEOUT|0:0|n[2-3]\n"
    assert answers.accounted(text) == {
        "15": states.native("TIMEOUT", "", 0, "")._replace(place="n1,n[2-3]")
    }


def _line(job: int, state: str, reason: str = "None", name: str = "g.5f", status: int = 0) -> str:
    return f"{name}|{job}|N/A|{state}|{status}|n{job}|{reason}|"


@pytest.mark.parametrize(
    ("lines", "state", "reason", "said"),
    [
        ([_line(7, "RUNNING")], JobState.RUNNING, None, ""),
        ([_line(7, "PENDING"), _line(8, "PENDING", "Resources")], JobState.SUBMITTED, None, "free"),
        ([_line(7, "RUNNING"), _line(8, "COMPLETED")], JobState.RUNNING, None, ""),
        ([_line(7, "PENDING", "Resources"), _line(8, "PENDING", "PartitionConfig")],
         JobState.FAILED, Reason.IMPOSSIBLE, "more than its partition"),
        ([_line(7, "FAILED", status=256), _line(8, "NODE_FAIL")],
         JobState.FAILED, Reason.LOST, "node failed"),
        ([_line(7, "COMPLETED"), _line(8, "FAILED", status=768)],
         JobState.FAILED, Reason.EXIT, "failure"),
        ([_line(7, "CANCELLED"), _line(8, "CANCELLED")], JobState.CANCELED, Reason.CANCELED, ""),
        ([_line(7, "COMPLETED"), _line(8, "COMPLETED")], JobState.SUCCEEDED, None, ""),
    ],
)  # fmt: skip
def test_a_gang_is_as_its_parts_are(
    lines: list[str], state: JobState, reason: Reason | None, said: str
) -> None:
    before = [_line(5, "CANCELLED"), _line(9, "RUNNING", name="other")]
    queue = Queue("\n".join([*reversed(lines), *before]))
    found = queue.find(Record("g.5f", 1, "7", True))
    assert found is not None
    assert (found.native.state, found.native.reason, found.word) == (state, reason, "7")
    assert said in found.native.detail + found.native.waiting
    assert found.steps == " ".join(f"{7 + n}.0" for n in range(len(lines)))
    assert queue.find(Record("none", 0, "7", True)) is None


def test_files_beside_jobs() -> None:
    text = (
        "a/ems-native:train.5f 3\na/ems-native:1234\na/ems-started:1234_3\n"
        "b/ems-native:train.5f 4\nc/ems-exit:1 environment module load x/1: not: found\n"
        "h/ems-native:train.5f 2 gang\nh/ems-native:1235\n"
        "d/ems-exit:137\nd/ems-native:\ne/ems-exit:0\nf/ems-exit:1 canceled before it started\n"
    )
    found = answers.left(text, "abcdefgh")
    assert found["h"].record == Record("train.5f", 2, "1235", True)
    assert Record("train.5f", 2, gang=True).first_line == "train.5f 2 gang"
    assert found["a"] == answers.Left(Record("train.5f", 3, "1234"), True, None)
    assert found["b"] == answers.Left(Record("train.5f", 4), False, None)
    assert found["c"].exit == Native(
        JobState.FAILED, Reason.ENVIRONMENT, "module load x/1: not: found", 1
    )
    killed = found["d"].exit
    assert killed is not None and (killed.reason, killed.signal) == (Reason.SIGNAL, 9)
    assert found["d"].record is None
    ended, canceled = found["e"].exit, found["f"].exit
    assert ended is not None and ended.state is JobState.SUCCEEDED
    assert canceled is not None and canceled.state is JobState.CANCELED
    assert found["g"] == answers.Left()


NODES = """\
main*|up|mixed|1|1/3/0/4|(null)|gpu:0|none|
main*|up|down*|2|0/0/8/8|(null)|gpu:0|Not responding|
gpu|up|mixed|2|10/54/0/64|gpu:a100:4(S:0-1),gpu:t4:1|gpu:a100:2(IDX:0-1),gpu:t4:0(IDX:N/A)|none|
gpu|up|idle~|3|0/96/0/96|gpu:a100:4|gpu:a100:0(IDX:N/A)|none|
old|down|idle|1|0/4/0/4|(null)|gpu:0|none|
"""


@pytest.mark.parametrize(
    ("partition", "expected"),
    [
        ("", Room(3, 12, 0)),
        ("main", Room(3, 12, 0)),
        ("gpu", Room(150, 160, 18)),
        ("main,gpu", Room(153, 172, 18)),
        ("old", Room(0, 4, 0, "no node takes jobs: 1 partition down")),
        ("none", Room(0, 0, 0, "no node takes jobs: there is none")),
    ],
)
def test_room(partition: str, expected: Room) -> None:
    there = answers.of_partition(answers.nodes(NODES), partition)
    assert answers.room(there) == expected


def test_configuration() -> None:
    text = (
        "AccountingStorageType   = accounting_storage/slurmdbd\nMaxArraySize            = 301\n"
        "SLURM_CONF              = /etc/slurm.conf\nSLURM_VERSION           = 23.11.4\n"
    )
    assert answers.config(text) == answers.Config("23.11.4", 301, True)
    assert not answers.config("AccountingStorageType = accounting_storage/none").accounting
    assert not answers.config("AccountingStorageType = (null)").accounting


@pytest.mark.parametrize(
    ("text", "reason", "sentence"),
    [
        (
            "sbatch: error: invalid partition specified: nosuch\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
            Reason.IMPOSSIBLE,
            "invalid partition specified: nosuch; Invalid partition name specified",
        ),
        (
            "sbatch: unrecognized option '--bogus'\nTry \"sbatch --help\" for more information\n",
            Reason.IMPOSSIBLE,
            "unrecognized option '--bogus'",
        ),
        (
            "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job "
            "submit limit, user's size and/or time limits)\n",
            Reason.NO_CAPACITY,
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        ),
        ("", Reason.IMPOSSIBLE, "sbatch said no"),
    ],
)
def test_refusals(text: str, reason: Reason, sentence: str) -> None:
    assert states.refusal(text) == (reason, sentence)
    assert not states.absent(text)


@pytest.mark.parametrize(
    "text",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        'squeue: error: Munge encode failed: Failed to access "/run/munge.socket"',
    ],
)
def test_slurm_that_does_not_answer(text: str) -> None:
    assert states.absent(text)
