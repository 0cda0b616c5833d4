"""What a parcel needs of S3, brought to a disk: what is wrong with an object, and what with S3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.worker.answers import Away
from ems.worker.fetching import Disk, Fetching
from ems.worker.s3 import S3
from tests.rigs.s3 import Link, served
from tests.worker.cloud import Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    link = Link(*served())
    made = Cloud(link, tmp_path)
    yield made
    made.close()
    link.cut()


def fetching(cloud: Cloud) -> Fetching:
    s3 = S3(cloud.url, 0.3, environ=cloud.variables)
    return Fetching([s3], Disk(cloud.url, cloud.variables))


def parcel(digests: list[str]) -> dict[str, object]:
    args = {"f": [{"$file": [digest, 1, "f"]} for digest in digests]}
    return {"tasks": [], "versions": [{"args": args}]}


def test_an_object_that_is_not_there_is_a_trouble_of_its_own(cloud: Cloud) -> None:
    there, lost = cloud.put(b"there"), "ab" * 32
    made = fetching(cloud)
    made.bring(parcel([there, lost]))
    assert list(made.troubles) == [lost]
    assert "404 NoSuchKey" in made.troubles[lost]


def test_s3_that_is_away_is_no_trouble_of_an_object(cloud: Cloud) -> None:
    digests = ["%064x" % n for n in range(1500)]
    made = fetching(cloud)
    cloud.link.cut()
    began = time.monotonic()
    with pytest.raises(Away, match="can't be reached"):
        made.bring(parcel(digests))
    assert made.troubles == {}
    assert time.monotonic() - began < 30, "the others are not tried one after the other"
