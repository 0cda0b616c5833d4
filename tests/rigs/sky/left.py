"""Everything that is left in a moto server: what a `destroy` should have taken away.

By describe calls, since moto's own dump of its data keeps what was deleted. What AWS itself has in
every account (default VPCs, its own roles, keys and parameters) is left out. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.rigs.sky.cloud import ACCOUNT, Cloud

Item = Mapping[str, Any]
_OVER = ("deleted", "deleting", "terminated", "cancelled", "expired", "rejected", "DELETED")


@dataclass(frozen=True)
class Listing:
    """One describe call, and which of what it tells counts."""

    service: str
    call: str
    key: str
    id: str
    counts: Callable[[Item], bool] = lambda item: True
    arguments: Item = field(default_factory=dict)


def _present(item: Item) -> bool:
    state = item.get("State", item.get("Status", item.get("status", "")))
    return (state.get("Code", "") if isinstance(state, dict) else state) not in _OVER


def _main(table: Item) -> bool:
    return any(link.get("Main") for link in table["Associations"])


def _of_aws(name: str) -> Callable[[Item], bool]:
    return lambda item: not str(item[name]).startswith(("/aws/", "aws/", "/aws-service-role/"))


def _own_alias(item: Item) -> bool:
    return not str(item["AliasName"]).startswith("alias/aws/")


_REGIONAL = (
    Listing("ec2", "describe_vpcs", "Vpcs", "VpcId", lambda i: not i["IsDefault"]),
    Listing("ec2", "describe_subnets", "Subnets", "SubnetId", lambda i: not i["DefaultForAz"]),
    Listing("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    Listing("ec2", "describe_nat_gateways", "NatGateways", "NatGatewayId", _present),
    Listing("ec2", "describe_addresses", "Addresses", "AllocationId"),
    Listing(
        "ec2",
        "describe_security_groups",
        "SecurityGroups",
        "GroupId",
        lambda i: i["GroupName"] != "default",
    ),
    Listing("ec2", "describe_route_tables", "RouteTables", "RouteTableId", lambda i: not _main(i)),
    Listing("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", _present),
    Listing("ec2", "describe_customer_gateways", "CustomerGateways", "CustomerGatewayId", _present),
    Listing("ec2", "describe_vpn_gateways", "VpnGateways", "VpnGatewayId", _present),
    Listing("ec2", "describe_vpn_connections", "VpnConnections", "VpnConnectionId", _present),
    Listing(
        "ec2",
        "describe_vpc_peering_connections",
        "VpcPeeringConnections",
        "VpcPeeringConnectionId",
        _present,
    ),
    Listing("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    Listing("ec2", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    Listing("ec2", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    Listing("ec2", "describe_volumes", "Volumes", "VolumeId"),
    Listing("efs", "describe_file_systems", "FileSystems", "FileSystemId"),
    Listing("efs", "describe_access_points", "AccessPoints", "AccessPointId"),
    Listing("ecr", "describe_repositories", "repositories", "repositoryName"),
    Listing(
        "batch", "describe_compute_environments", "computeEnvironments", "computeEnvironmentName"
    ),
    Listing("batch", "describe_job_queues", "jobQueues", "jobQueueName"),
    Listing("batch", "list_scheduling_policies", "schedulingPolicies", "arn"),
    Listing("logs", "describe_log_groups", "logGroups", "logGroupName"),
    Listing("sns", "list_topics", "Topics", "TopicArn"),
    Listing("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
    Listing("kms", "list_aliases", "Aliases", "AliasName", _own_alias),
    Listing("ssm", "describe_parameters", "Parameters", "Name", _of_aws("Name")),
    Listing("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    Listing("eks", "list_clusters", "clusters", ""),
    Listing("secretsmanager", "list_secrets", "SecretList", "Name"),
    Listing("sagemaker", "list_models", "Models", "ModelName"),
    Listing("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    Listing("sagemaker", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
)
_GLOBAL = (
    Listing("s3", "list_buckets", "Buckets", "Name"),
    Listing("iam", "list_roles", "Roles", "RoleName", _of_aws("Path")),
    Listing("iam", "list_policies", "Policies", "Arn", arguments={"Scope": "Local"}),
    Listing("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    Listing("iam", "list_open_id_connect_providers", "OpenIDConnectProviderList", "Arn"),
    Listing(
        "budgets", "describe_budgets", "Budgets", "BudgetName", arguments={"AccountId": ACCOUNT}
    ),
)


def left(cloud: Cloud, regions: Iterable[str]) -> list[str]:
    """Return what is left, as `region service id`, sorted; what has no region as `global …`."""
    work = [(listing, "us-east-1", "global") for listing in _GLOBAL]
    work += [(listing, region, region) for region in sorted(set(regions)) for listing in _REGIONAL]

    def one(task: tuple[Listing, str, str]) -> list[str]:
        listing, region, shown = task
        return [f"{shown} {listing.service} {id_}" for id_ in _ids(cloud, listing, region)]

    keys = [
        f"{region} kms {id_}" for region in sorted(set(regions)) for id_ in _keys(cloud, region)
    ]
    with ThreadPoolExecutor(8) as pool:
        return sorted([line for lines in pool.map(one, work) for line in lines] + keys)


def _ids(cloud: Cloud, listing: Listing, region: str) -> Iterator[str]:
    client = cloud.client(listing.service, region)
    if client.can_paginate(listing.call):
        pages = client.get_paginator(listing.call).paginate(**listing.arguments)
    else:
        pages = [getattr(client, listing.call)(**listing.arguments)]
    for page in pages:
        for item in page.get(listing.key) or ():
            if isinstance(item, str):
                yield item
            elif listing.counts(item):
                yield str(item[listing.id])


def _keys(cloud: Cloud, region: str) -> Iterator[str]:
    """Keys of the customer's that do not wait for their deletion."""
    client = cloud.client("kms", region)
    for key in client.list_keys()["Keys"]:
        data = client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if data["KeyManager"] == "CUSTOMER" and data["KeyState"] != "PendingDeletion":
            yield key["KeyId"]
