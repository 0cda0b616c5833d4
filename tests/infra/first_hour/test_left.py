"""What counts as gone, over moto, which keeps what has ended listed as AWS does for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ems.stack.aws import Clients
from infra.first_hour.left import goes, things, wait_until_gone
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.fixtures import cloud, shared_cloud

__all__ = ["cloud", "shared_cloud"]
REGION = "us-west-2"


@pytest.fixture
def clients(cloud: Cloud) -> Clients:
    return cloud.client


def _tag(environment: str) -> dict[str, str]:
    return {"Key": "ems-environment", "Value": environment}


def _tagged(kind: str, environment: str = "dev") -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [_tag(environment)]}]


def _customer_gateway(ec2: Any) -> Callable[[], Any]:
    made = ec2.create_customer_gateway(
        Type="ipsec.1",
        PublicIp="198.51.100.7",
        BgpAsn=65010,
        TagSpecifications=_tagged("customer-gateway"),
    )["CustomerGateway"]["CustomerGatewayId"]
    return lambda: ec2.delete_customer_gateway(CustomerGatewayId=made)


def _peering(ec2: Any) -> Callable[[], Any]:
    one, two = (
        ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")["Vpc"]["VpcId"] for number in (16, 17)
    )
    made = ec2.create_vpc_peering_connection(
        VpcId=one, PeerVpcId=two, TagSpecifications=_tagged("vpc-peering-connection")
    )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=made)
    return lambda: ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=made)


@pytest.mark.parametrize("make", [_customer_gateway, _peering])
def test_what_is_listed_as_deleted_is_gone(
    clients: Clients, make: Callable[[Any], Callable[[], Any]]
) -> None:
    delete = make(clients("ec2", REGION))
    (there,) = things("dev", [REGION], clients)
    assert not there.goes
    delete()
    assert list(things("dev", [REGION], clients)) == []


def test_so_is_a_gateway_that_moto_does_not_list_by_its_tag(clients: Clients) -> None:
    ec2 = clients("ec2", REGION)
    made = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    arn = f"arn:aws:ec2:{REGION}:123456789012:vpn-gateway/{made}"
    assert goes(arn, REGION, clients) == ""
    ec2.delete_vpn_gateway(VpnGatewayId=made)
    assert goes(arn, REGION, clients) is None


def test_a_bucket_that_two_regions_list_is_told_once(clients: Clients) -> None:
    s3 = clients("s3", REGION)
    s3.create_bucket(Bucket="mine", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_tagging(Bucket="mine", Tagging={"TagSet": [_tag("twice")]})
    found = [thing.arn for thing in things("twice", [REGION], clients)]
    assert found == ["arn:aws:s3:::mine"]


def test_waiting_says_for_what(clients: Clients) -> None:
    ec2, told = clients("ec2", REGION), list[str]()
    made = [
        ec2.create_vpc(CidrBlock="10.16.0.0/16", TagSpecifications=_tagged("vpc", "waits"))
        for _ in range(5)
    ]

    def tell(text: str) -> None:
        told.append(text)
        for _ in range(3 if len(told) == 1 else 2):
            ec2.delete_vpc(VpcId=made.pop()["Vpc"]["VpcId"])

    assert len(wait_until_gone("waits", [REGION], clients, -1, tell, 0.1)) == 5
    assert wait_until_gone("waits", [REGION], clients, 60, tell, 0.1) == []
    first, second = told
    assert first.startswith("waiting for 5: arn:aws:ec2:us-west-2:")
    assert first.count("arn:aws:ec2:") == 3 and first.endswith(" and 2 more")
    assert second.startswith("waiting for 2: arn:aws:") and second.count("arn:aws:") == 2
