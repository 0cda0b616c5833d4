"""A target's keys, and what `emsctl check` is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest

from ems.compute.batch.kind import KIND, BatchKind, BatchSettings
from ems.compute.kinds import Finding, Kind, Setting
from ems.errors import EmsError, UsageError
from ems.stack import outputs as o
from tests.compute.batch.cloud import BUCKET, IMAGE, REGION, Cloud
from tests.contract.place import Kept


def settings(**keys: Any) -> BatchSettings:
    plain = {"batch": "oregon/cpus", "image": IMAGE, "stack": "dev"}
    return msgspec.convert(plain | keys, BatchSettings)


def setting(folder: Path) -> Setting:
    return Setting(Kept(folder / "objects"), folder / "cache", print, folder)


def kind(outputs: o.StackOutputs) -> BatchKind:
    return BatchKind(read=lambda *_: outputs)


def checked(cloud: Cloud, at: Path, **keys: Any) -> Sequence[Finding]:
    return kind(cloud.outputs).check("sky", settings(**keys), setting(at))


def test_it_is_a_kind() -> None:
    made: Kind = KIND
    assert made.word == "batch" and made.settings is BatchSettings


def test_unknown_keys_and_words_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="queue"):
        settings(queue="x")
    with pytest.raises(msgspec.ValidationError, match="sometimes"):
        settings(spot="sometimes")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"stack": ""}, "target sky: no stack says"),
        ({"batch": "oregon/none"}, "no queue 'none'"),
        ({"batch": "ohio"}, "no site 'ohio'"),
        ({"folder": "/shared"}, "is not in S3"),
        ({"folder": f"s3://{BUCKET}/flow-logs/x"}, f"allowed: s3://{BUCKET}/scratch/…"),
        ({"attempts": 0}, "allowed: 1 to 10"),
        ({"priority": 10_000}, "allowed: 0 to 9999"),
    ],
)
def test_what_cant_be_is_told_before_anything_is_asked(
    cloud: Cloud, tmp_path: Path, keys: dict[str, Any], said: str
) -> None:
    before = len(cloud.calls())
    with pytest.raises(UsageError) as told:
        kind(cloud.outputs).open("sky", settings(**keys), setting(tmp_path))
    assert said in str(told.value)
    (finding,) = checked(cloud, tmp_path, **keys)
    assert not finding.ready and finding.place == "sky"
    assert len(cloud.calls()) == before


def test_jobs_may_write_where_they_are_let_by_the_stack() -> None:
    from ems.compute.batch.kind import PREFIXES
    from infra.plan.iam import jobs

    assert set(PREFIXES) <= set(jobs.PREFIXES)


def test_a_place_that_is_ready(cloud: Cloud, tmp_path: Path) -> None:
    found = checked(cloud, tmp_path)
    queue = cloud.ground().batch.queues["cpus"].name
    what = f"AWS Batch, queue {queue} of oregon ({REGION}), 0 of 64 vCPUs wanted"
    assert found == [Finding("sky", True, what)]
    (every,) = checked(cloud, tmp_path, batch="oregon")
    assert every.ready and "4 queues of oregon" in every.what


def test_all_that_is_not_ready_is_told(cloud: Cloud, tmp_path: Path) -> None:
    batch = boto3.client("batch", region_name=REGION)
    logs = boto3.client("logs", region_name=REGION)
    queue = cloud.ground().batch.queues["cpus"].name
    batch.update_job_queue(jobQueue=queue, state="DISABLED")
    logs.delete_log_group(logGroupName="/ems/dev/oregon")
    try:
        found = checked(cloud, tmp_path, folder="s3://no-such-bucket-here/x", image="worker:none")
    finally:
        batch.update_job_queue(jobQueue=queue, state="ENABLED")
        logs.create_log_group(logGroupName="/ems/dev/oregon")
    assert not any(each.ready for each in found)
    said = [each.what for each in found]
    assert said[0] == f"queue {queue} is disabled"
    assert said[1].startswith("log group /ems/dev/oregon is not there")
    assert said[2].startswith("bucket no-such-bucket-here: is not there")
    assert said[3].startswith("image worker:none: is not there")
    assert len(said) == 4


def test_a_stack_that_cant_be_read_is_a_finding(tmp_path: Path) -> None:
    def read(*_: object) -> o.StackOutputs:
        raise EmsError("stack dev", "has no outputs yet", "make up")

    (found,) = BatchKind(read=read).check("sky", settings(), setting(tmp_path))
    assert found == Finding("sky", False, "stack dev: has no outputs yet", "make up")


def test_outputs_are_read_from_a_file_as_the_project_names_it(cloud: Cloud, tmp_path: Path) -> None:
    from ems.stack.reading import plain

    (tmp_path / "sky.json").write_bytes(msgspec.json.encode(plain(cloud.outputs)))
    (found,) = KIND.check("sky", settings(stack="sky.json"), setting(tmp_path))
    assert found.ready, found


def test_importing_the_kind_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, ems.compute.batch.kind; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"boto3", "botocore", "obstore", "yaml"} & set(loaded)
