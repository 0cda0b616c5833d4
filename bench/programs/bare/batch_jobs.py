"""Runs N empty jobs of AWS Batch by boto3, and asks until all have ended: REGION QUEUE COMMAND
each|array N."""

import os
import sys
import time
from typing import Any

import boto3

_LOOK_S = 0.2
_MOST = 100
"""DescribeJobs takes so many ids."""


def main() -> None:
    region, queue, command, way, number = sys.argv[1:]
    batch: Any = boto3.client("batch", region_name=region)  # pyright: ignore[reportUnknownMemberType]
    properties = {
        "image": "none", "command": [command],
        "resourceRequirements": [
            {"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "1792"},
        ],
    }  # fmt: skip
    name = f"bare-{os.getpid()}"
    batch.register_job_definition(
        jobDefinitionName=name, type="container", containerProperties=properties
    )
    n = int(number)
    array = {"arrayProperties": {"size": n}} if way == "array" and n > 1 else {}
    ids = [
        batch.submit_job(jobName=name, jobQueue=queue, jobDefinition=name, **array)["jobId"]
        for _ in range(1 if array else n)
    ]
    while ids:
        time.sleep(_LOOK_S)
        said = batch.describe_jobs(jobs=ids[:_MOST])["jobs"]
        assert not any(each["status"] == "FAILED" for each in said), "a job failed"
        over = {each["jobId"] for each in said if each["status"] == "SUCCEEDED"}
        ids = [each for each in ids if each not in over]


if __name__ == "__main__":
    main()
