"""What facts mean for settings: pure, for what moto can't be made to say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from infra.preflight.demands import demands
from infra.preflight.facts import Facts, InstanceType, Region
from infra.preflight.faults import faults
from infra.preflight.standing import Standing
from infra.settings.reading import read
from tests.infra.settings.good import varied

BOTH = ("on-demand", "spot")
ZONES = ("usw2-az1", "usw2-az2")
GOOD = Region(
    zones=ZONES,
    types={
        "c7i.large": InstanceType(2, 0, BOTH, ZONES),
        "c7i.4xlarge": InstanceType(16, 0, BOTH, ZONES),
        "m7i.large": InstanceType(2, 0, BOTH, ZONES),
        "g5.xlarge": InstanceType(4, 1, BOTH, ZONES),
        "g5.2xlarge": InstanceType(8, 1, BOTH, ZONES),
    },
    clusters={"1.35": "STANDARD_SUPPORT", "1.36": "STANDARD_SUPPORT", "1.30": "EXTENDED_SUPPORT"},
)
ONE_SITE = (("sites.ireland", None),)


def found(
    region: Region = GOOD,
    quotas: dict[tuple[str, str], float | None] | None = None,
    spot: bool = True,
    **more: Any,
) -> dict[str, tuple[str, str]]:
    values = varied(*((path.replace("__", "."), each) for path, each in more.items()))
    del values["sites"]["ireland"]
    values["labs"] = {}
    settings = read(values, "dev")
    asked = Facts({"us-west-2": region}, quotas or {}, spot=spot)
    return {each.where: (each.level, each.what) for each in faults(settings, asked)}


def test_nothing_is_off() -> None:
    assert found() == {}


def test_a_type_that_some_zones_lack_is_a_warning() -> None:
    types = {**(GOOD.types or {}), "g5.2xlarge": InstanceType(8, 1, BOTH, ("usw2-az2",))}
    level, what = found(replace(GOOD, types=types))["ems:sites.oregon.batch.queues[1].type"]
    assert level == "warning"
    assert "not offered in usw2-az1, so it starts in usw2-az2 alone" in what


def test_a_type_that_the_region_lacks() -> None:
    types = {name: each for name, each in (GOOD.types or {}).items() if name != "g5.2xlarge"}
    level, what = found(replace(GOOD, types=types))["ems:sites.oregon.batch.queues[1].type"]
    assert (level, what) == ("error", "us-west-2 has no g5.2xlarge (there: g5.xlarge)")


def test_a_type_that_is_not_sold_as_spot() -> None:
    types = {**(GOOD.types or {}), "g5.2xlarge": InstanceType(8, 1, ("on-demand",), ZONES)}
    level, what = found(replace(GOOD, types=types))["ems:sites.oregon.batch.queues[1].markets"]
    assert (level, what) == (
        "error",
        "g5.2xlarge is not sold as spot in us-west-2 (allowed: on-demand)",
    )


def test_a_release_past_its_support() -> None:
    where = "ems:sites.oregon.kubernetes.version"
    old = found(sites__oregon__kubernetes__version="1.30")[where]
    assert old == (
        "error",
        "Kubernetes 1.30 is past its standard support in us-west-2 (allowed: 1.35, 1.36)",
    )
    assert "is not offered" in found(sites__oregon__kubernetes__version="1.99")[where][1]
    stands = replace(GOOD, standing=Standing(clusters=frozenset({"oregon"})))
    assert found(stands, sites__oregon__kubernetes__version="1.30")[where][0] == "warning"
    assert found(stands, sites__oregon__kubernetes__version="1.99")[where][0] == "error"


def test_a_log_group_that_outlived_its_cluster() -> None:
    left = replace(GOOD, standing=Standing(late_logs=frozenset({"oregon"})))
    level, what = found(left)["ems:sites.oregon.kubernetes"]
    assert (level, "EKS wrote after its end" in what) == ("error", True)


def test_a_general_queue_below_its_smallest_instance() -> None:
    where = "ems:sites.oregon.batch.general.max_vcpus"
    assert "(allowed: 2 or more)" in found(sites__oregon__batch__general__max_vcpus=1)[where][1]


def test_what_could_not_be_asked_is_not_judged() -> None:
    assert found(Region()) == {}


def test_quotas() -> None:
    spot_gpu = ("us-west-2", "L-3819A6DF")
    level, what = found(quotas={spot_gpu: 0.0})[
        "quota of vCPUs of G and VT instances, spot (L-3819A6DF)"
    ]
    assert level == "error"
    assert "the queue g5-2xlarge-spot of oregon needs 8" in what
    assert "the node pool gpu of oregon needs 4" in what
    level, what = found(quotas={spot_gpu: 8.0})[
        "quota of vCPUs of G and VT instances, spot (L-3819A6DF)"
    ]
    assert level == "warning"
    assert found(quotas={spot_gpu: 1000.0}) == {}
    level, what = found(quotas={spot_gpu: None})["quotas"]
    assert (level, "L-3819A6DF" in what) == ("warning", True)


def test_no_role_for_spot() -> None:
    settings = read(
        varied(("sites.ireland.region", "us-west-2"), ("sites.ireland.zones", ZONES)), "dev"
    )
    asked = Facts({"us-west-2": GOOD}, spot=False)
    (fault,) = [each for each in faults(settings, asked) if "Spot" in each.where]
    assert fault.level == "warning"
    assert "infra/account" in fault.next
    bought = replace(GOOD)
    only = {"queues": [{"type": "c7i.4xlarge", "markets": ["on-demand"]}], "general": None}
    on_demand = {"cpu": {"families": ["m7i"], "market": "on-demand"}}
    plain: dict[str, Any] = {"sites__oregon__batch": only, "sites__oregon__kubernetes__ray": None}

    def pooled(pools: dict[str, Any]) -> dict[str, tuple[str, str]]:
        return found(bought, spot=False, sites__oregon__kubernetes__pools=pools, **plain)

    assert "role AWSServiceRoleForEC2Spot" not in pooled(on_demand)
    # a node pool buys spot unless told otherwise
    assert "role AWSServiceRoleForEC2Spot" in pooled({"cpu": {"families": ["m7i"]}})


def test_disks_with_a_key_of_ones_own() -> None:
    where = "ems:sites.oregon.batch.disk_gib"
    key = "arn:aws:kms:us-west-2:111122223333:key/0123"
    level, what = found(replace(GOOD, disk_key=key))[where]
    assert (level, key in what) == ("warning", True)
    aws_own = "arn:aws:kms:us-west-2:111122223333:alias/aws/ebs"
    assert where not in found(replace(GOOD, disk_key=aws_own))


def test_demands_of_settings() -> None:
    needed = demands(read(varied(), "dev"), {"us-west-2": {"g5.2xlarge": 8, "g5.xlarge": 4}})
    by_who = {each.who: each for each in needed}
    assert by_who["the queue g5-2xlarge-spot of oregon"].least_vcpus == 8
    assert by_who["the queue g5-2xlarge-spot of oregon"].most_vcpus == 32
    assert by_who["the node pool gpu of oregon"].least_vcpus == 4
    assert by_who["the queue general of ireland"].region == "eu-west-1"
