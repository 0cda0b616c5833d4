"""What the first hour chooses, counts and tells; and that its page lists what was never made."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ems.errors import EmsError
from ems.stack.outputs import Queue
from infra.first_hour import cost, job
from infra.settings.reading import read_file
from tests.rigs.sky import kinds, kubernetes_provider_rules
from tests.stack import making

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/how-to/first-hour-on-aws.md"


def test_the_page_lists_every_type_that_is_remembered_and_no_other() -> None:
    rows = re.findall(r"^\| `([\w:./]+)` \| (.+) \|$", PAGE.read_text(), re.M)
    there = {token: call for token, call in rows if ":" in token}
    known = {token: f"`{call}`" for token, call in kinds.collect().remembered.items()}
    of_clusters = set(kubernetes_provider_rules.REMEMBERED)
    assert set(there) == set(known) | of_clusters
    assert {token: call for token, call in there.items() if token in known} == known


def test_the_job_goes_where_any_instance_will_do() -> None:
    def chosen(**queues: Queue) -> str:
        return job.choose(making.environment(sites={"oregon": making.site(queues=queues)})).key

    one, general = making.queue(gpu=False), making.queue(kind="general", gpu=False)
    gpu = making.queue(kind="general")
    assert chosen(a=gpu, b=one, c=general) == "c"
    assert chosen(a=gpu, b=one) == "b"
    with pytest.raises(EmsError, match="has no queue without GPUs"):
        chosen(a=gpu)


class _Ec2:
    """As EC2 tells of an instance that has ended; moto forgets when."""

    def get_paginator(self, _: str) -> _Ec2:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        ended = {
            "InstanceType": "c7i.large",
            "InstanceLifecycle": "spot",
            "LaunchTime": datetime(2026, 1, 1, 12, tzinfo=UTC),
            "StateTransitionReason": "User initiated (2026-01-01 12:30:00 GMT)",
            "Placement": {"AvailabilityZone": "us-west-2a"},
        }
        runs = {**ended, "InstanceLifecycle": "", "StateTransitionReason": ""}
        return [{"Reservations": [{"Instances": [ended, runs]}]}]

    def describe_spot_price_history(self, **_: Any) -> dict[str, Any]:
        return {"SpotPriceHistory": [{"SpotPrice": "0.04"}]}


def test_what_ran_is_counted_from_its_start_to_its_end() -> None:
    now = datetime(2026, 1, 1, 13, tzinfo=UTC)
    spot, other = cost.instances("dev", ["us-west-2"], lambda service, region: _Ec2(), now)
    assert spot.what == "c7i.large, spot, 30 min, with its address"
    assert spot.usd == pytest.approx(0.02 + 0.0025)
    assert other == cost.Line("c7i.large, on demand, 60 min, with its address", None)


def test_the_bill_adds_up_and_says_what_it_lacks() -> None:
    dev = read_file(ROOT / "stacks/Pulumi.dev.yaml")
    line = cost.idle(dev, 730)
    assert line.usd == pytest.approx(1)  # a key, for a month
    *_, last = cost.text([line, cost.Line("x", 0.5)])
    assert last.split() == ["1.5000", "US", "dollars", "in", "all"]
    told = list(cost.text([line, cost.Line("an instance", None)]))
    assert told[1].split() == ["?", "an", "instance"]
    assert told[-1].endswith("US dollars in all, without what has no price here")
