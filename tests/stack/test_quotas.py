from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.stack.looking import quota_values
from ems.stack.quotas import (
    ADDRESSES,
    VPCS,
    Demand,
    demands,
    demands_of,
    service,
    shortages,
    vcpus_of,
    wanted,
)
from tests.stack.making import environment, queue, site

WEST = "us-west-2"


@pytest.mark.parametrize(
    ("type_", "on_demand", "spot"),
    [
        ("c7i.4xlarge", "L-1216C47A", "L-34B43A08"),
        ("m7g", "L-1216C47A", "L-34B43A08"),
        ("im4gn.large", "L-1216C47A", "L-34B43A08"),
        ("t3.micro", "L-1216C47A", "L-34B43A08"),
        ("g5.2xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("g4dn.xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("vt1.3xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("p3.2xlarge", "L-417A185B", "L-7212CCBC"),
        ("p4d.24xlarge", "L-417A185B", "L-7212CCBC"),
        ("p5.48xlarge", "L-417A185B", "L-C4BD4855"),
        ("p6-b200.48xlarge", "L-417A185B", None),
        ("inf2.xlarge", "L-1945791B", "L-B5D1601B"),
        ("trn1.2xlarge", "L-2C3B7624", "L-6B0D517C"),
        ("dl1.24xlarge", "L-6E869C2A", "L-85EED4F7"),
        ("f1.2xlarge", "L-74FC7D96", "L-88CF9481"),
        ("x2idn.16xlarge", "L-7295265B", "L-E3A00192"),
        ("hpc7a.12xlarge", "L-F7808C92", None),
        ("u-6tb1.56xlarge", "L-43DA4232", None),
        ("mac2.metal", None, None),
        ("optimal", None, None),
    ],
)
def test_the_quota_of_each_family(type_: str, on_demand: str | None, spot: str | None) -> None:
    for market, code in (("on-demand", on_demand), ("spot", spot)):
        found = demands(WEST, [type_], market, 64, "the queue q")  # type: ignore[arg-type]
        assert [each.code for each in found] == ([code] if code else [])


@pytest.mark.parametrize(
    ("type_", "vcpus"),
    [
        ("g5.2xlarge", 8),
        ("p5.48xlarge", 192),
        ("c7i.large", 2),
        ("c7i.xlarge", 4),
        ("c7g.medium", 1),
        ("m5.metal", None),
        ("c7i.metal-24xl", None),
        ("hpc7a.12xlarge", None),
        ("g5", None),
    ],
)
def test_vcpus_by_size(type_: str, vcpus: int | None) -> None:
    assert vcpus_of(type_) == vcpus


def test_sizes_are_those_of_aws() -> None:
    """Held against moto's copy of AWS's own list: no estimate says more than an instance has."""
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    exact = 0
    for name, row in INSTANCE_TYPES.items():
        if name.startswith("m2."):  # of 2009: Batch does not start them
            continue
        real = row["VCpuInfo"]["DefaultVCpus"]
        for each in demands(WEST, [name.partition(".")[0]], "on-demand", 1, "the queue q"):
            assert each.least_vcpus <= real, (name, each, real)
        said = vcpus_of(name)
        assert said is None or said <= real, (name, said, real)
        exact += said == real
    assert exact > 0.85 * len(INSTANCE_TYPES)


def test_a_queue_that_could_never_start() -> None:
    found = demands_of(
        environment(sites={"oregon": site(queues={"g5-2xlarge-on-demand": queue()})})
    )
    (short,) = shortages(found, {(WEST, "L-DB2E81BA"): 0.0})
    assert short.level == "error"
    assert f"{short.where}: {short.what}. Try: {short.next_step}" == (
        "vCPUs of G and VT instances, on demand (L-DB2E81BA): 0 vCPUs for G and VT instances on "
        "demand in us-west-2, the queue g5-2xlarge-on-demand needs 8; jobs would wait for "
        "ever. Try: aws service-quotas request-service-quota-increase --service-code ec2 "
        "--quota-code L-DB2E81BA --desired-value 64 --region us-west-2"
    )


def test_queues_that_could_only_start_in_part() -> None:
    queues = {name: queue(name, max_vcpus=32) for name in ("a", "b", "c", "d")}
    found = demands_of(environment(sites={"oregon": site(queues=queues)}))
    (short,) = shortages(found, {(WEST, "L-DB2E81BA"): 64.0})
    assert (short.level, short.what) == (
        "warning",
        "64 vCPUs for G and VT instances on demand in us-west-2, of which the queue a, the queue b,"
        " the queue c and 1 more may take 128; jobs would wait",
    )
    assert shortages(found, {(WEST, "L-DB2E81BA"): 128.0}) == ()


def test_what_is_not_known_is_no_shortage() -> None:
    found = demands_of(environment())
    assert shortages(found, {}) == shortages(found, {(WEST, "L-DB2E81BA"): None}) == ()


def test_a_queue_of_families_needs_the_smallest_of_a_class_and_all_classes() -> None:
    found = demands(WEST, ["g5", "c7i", "m7i", "g5.48xlarge"], "spot", 256, "the queue general")
    assert [(each.code, each.least_vcpus, each.most_vcpus) for each in found] == [
        ("L-3819A6DF", 2, 256),
        ("L-34B43A08", 1, 256),
    ]
    (pool,) = demands(WEST, ["g6"], "on-demand", 32, "the node pool gpu", least_vcpus=8)
    assert pool.least_vcpus == 8


demand_lists = st.lists(
    st.builds(
        Demand,
        region=st.sampled_from((WEST, "eu-west-1")),
        code=st.sampled_from(("L-DB2E81BA", "L-1216C47A")),
        kind=st.just("G"),
        least_vcpus=st.integers(1, 96),
        most_vcpus=st.integers(96, 500),
        who=st.sampled_from(("the queue a", "the queue b")),
    ),
    max_size=8,
)


@given(demand_lists, st.integers(0, 4000))
def test_a_shortage_is_told_exactly_where_there_is_one(found: list[Demand], value: int) -> None:
    values: dict[tuple[str, str], float | None] = {key: float(value) for key in wanted(found)}
    told = shortages(found, values)
    stuck = {(each.region, each.code) for each in found if each.least_vcpus > value}
    assert len([each for each in told if each.level == "error"]) == len(stuck)
    for key in set(wanted(found)) - stuck:
        total = sum(each.most_vcpus for each in found if (each.region, each.code) == key)
        assert any(key[0] in each.next_step and key[1] in each.where for each in told) == (
            total > value
        )


# -- asking AWS: moto knows the quotas of VPCs alone, so answers are put in its place -----------


def test_the_value_that_applies_or_the_default(aws: str) -> None:
    from botocore.stub import Stubber

    from ems.stack import aws as ems_aws

    keys = [(WEST, "L-1"), (WEST, "L-2"), (WEST, "L-3"), (WEST, "L-4")]
    clients: list[Any] = []

    def answers(client: Any) -> Any:
        stub = Stubber(client)
        stub.add_response("get_service_quota", {"Quota": {"Value": 32.0}})
        stub.add_client_error("get_service_quota", "NoSuchResourceException")
        stub.add_response("get_aws_default_service_quota", {"Quota": {"Value": 5.0}})
        stub.add_client_error("get_service_quota", "NoSuchResourceException")
        stub.add_client_error("get_aws_default_service_quota", "NoSuchResourceException")
        stub.add_client_error("get_service_quota", "AccessDeniedException")
        stub.activate()
        return client

    client = answers(ems_aws.client("service-quotas", WEST))
    clients.append(client)
    found = {}
    for key in keys:  # one after the other, since a stub's answers stand in order
        found |= quota_values([key], lambda service, region: client)
    assert list(found.values()) == [32.0, 5.0, None, None]


def test_a_quota_is_asked_of_the_service_whose_it_is(aws: str) -> None:
    """moto has the list of VPC's quotas, which AWS keeps under a service of its own."""
    from ems.stack import aws as ems_aws

    assert quota_values([(WEST, VPCS)], ems_aws.client) == {(WEST, VPCS): 5.0}
    assert (service(VPCS), service(ADDRESSES), service("L-DB2E81BA")) == ("vpc", "ec2", "ec2")


def test_quotas_that_aws_does_not_tell_are_unknown(aws: str) -> None:
    from ems.stack import aws as ems_aws

    keys = wanted(demands_of(environment()))
    assert quota_values(keys, ems_aws.client) == dict.fromkeys(keys)
