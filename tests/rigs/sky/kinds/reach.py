"""VPC endpoints, flow logs and peering connections.

moto takes an S3 destination of flow logs only without a path: they are made with the bucket alone.
"""

from __future__ import annotations

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.described import arn, find, given, made, retag, tags, told


# ---------------------------------------------------------------------------------------- endpoints
def _endpoint_create(call: Call, props: Props) -> str:
    asked = given(
        props,
        vpcId="VpcId",
        serviceName="ServiceName",
        vpcEndpointType="VpcEndpointType",
        routeTableIds="RouteTableIds",
        subnetIds="SubnetIds",
        securityGroupIds="SecurityGroupIds",
        privateDnsEnabled="PrivateDnsEnabled",
        policy="PolicyDocument",
    )
    endpoint = call.ec2.create_vpc_endpoint(**asked)["VpcEndpoint"]
    return made(call, endpoint["VpcEndpointId"], props)


def _endpoint_read(call: Call, id_: str, props: Props) -> Props | None:
    endpoint = find(call, "describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints", id_)
    if endpoint is None:
        return None
    found = {
        **told(
            endpoint,
            vpcId="VpcId",
            serviceName="ServiceName",
            vpcEndpointType="VpcEndpointType",
            state="State",
            ownerId="OwnerId",
        ),
        "arn": arn(call, "vpc-endpoint", id_),
        **tags(endpoint),
    }
    if endpoint["VpcEndpointType"] == "Gateway":
        return {**found, "routeTableIds": sorted(endpoint["RouteTableIds"])}
    return {**found, **_interface(endpoint)}


def _interface(endpoint: Props) -> Props:
    entries = [
        told(entry, dnsName="DnsName", hostedZoneId="HostedZoneId")
        for entry in endpoint["DnsEntries"]
    ]
    return {
        "subnetIds": sorted(endpoint["SubnetIds"]),
        "securityGroupIds": sorted(group["GroupId"] for group in endpoint["Groups"]),
        "privateDnsEnabled": endpoint["PrivateDnsEnabled"],
        "networkInterfaceIds": sorted(endpoint["NetworkInterfaceIds"]),
        "dnsEntries": entries,
    }


def _endpoint_update(call: Call, id_: str, old: Props, new: Props) -> None:
    retag(call, id_, old, new)
    change: Props = {}
    for ours, word in (
        ("routeTableIds", "RouteTableIds"),
        ("subnetIds", "SubnetIds"),
        ("securityGroupIds", "SecurityGroupIds"),
    ):
        before, after = set(old.get(ours) or ()), set(new.get(ours) or ())
        if ours in new and after - before:
            change[f"Add{word}"] = sorted(after - before)
        if ours in new and before - after:
            change[f"Remove{word}"] = sorted(before - after)
    if new.get("privateDnsEnabled", old.get("privateDnsEnabled")) != old.get("privateDnsEnabled"):
        change["PrivateDnsEnabled"] = new["privateDnsEnabled"]
    if change:
        call.ec2.modify_vpc_endpoint(VpcEndpointId=id_, **change)


# ---------------------------------------------------------------------------------------- flow logs
def _flow_create(call: Call, props: Props) -> str:
    options = props.get("destinationOptions") or {}
    asked = given(
        props,
        trafficType="TrafficType",
        logDestinationType="LogDestinationType",
        maxAggregationInterval="MaxAggregationInterval",
        logFormat="LogFormat",
    )
    bucket = props["logDestination"].split("/", 1)[0]
    answer = call.ec2.create_flow_logs(
        ResourceIds=[props["vpcId"]],
        ResourceType="VPC",
        LogDestination=bucket,
        DestinationOptions=given(
            options,
            fileFormat="FileFormat",
            hiveCompatiblePartitions="HiveCompatiblePartitions",
            perHourPartition="PerHourPartition",
        ),
        **asked,
    )
    if answer["Unsuccessful"]:
        raise RuntimeError(answer["Unsuccessful"][0]["Error"]["Message"])
    return made(call, answer["FlowLogIds"][0], props)


def _flow_read(call: Call, id_: str, props: Props) -> Props | None:
    found = call.ec2.describe_flow_logs(FlowLogIds=[id_])["FlowLogs"]
    if not found:
        return None
    log = found[0]
    return {
        "vpcId": log["ResourceId"],
        "arn": arn(call, "vpc-flow-log", id_),
        **told(
            log,
            trafficType="TrafficType",
            logDestinationType="LogDestinationType",
            maxAggregationInterval="MaxAggregationInterval",
        ),
        **tags(log),
    }


# ------------------------------------------------------------------------------------------ peering
def _peering(call: Call, id_: str) -> Props | None:
    key = "VpcPeeringConnections"
    return find(call, "describe_vpc_peering_connections", "VpcPeeringConnectionIds", key, id_)


def _peering_create(call: Call, props: Props) -> str:
    if props.get("autoAccept") and props.get("peerRegion"):
        raise RuntimeError("`peer_region` cannot be set whilst `auto_accept` is `true`")
    asked = given(props, vpcId="VpcId", peerVpcId="PeerVpcId", peerRegion="PeerRegion")
    connection = call.ec2.create_vpc_peering_connection(**asked)["VpcPeeringConnection"]
    return made(call, connection["VpcPeeringConnectionId"], props)


def _peering_read(call: Call, id_: str, props: Props) -> Props | None:
    # its status changes when the other side accepts, which is another resource: told there
    connection = _peering(call, id_)
    if connection is None:
        return None
    theirs, ours = connection["AccepterVpcInfo"], connection["RequesterVpcInfo"]
    return {
        "vpcId": ours["VpcId"],
        "peerVpcId": theirs["VpcId"],
        "peerRegion": theirs["Region"],
        "peerOwnerId": theirs["OwnerId"],
        **tags(connection),
    }


def _accept(call: Call, props: Props) -> str:
    id_ = props["vpcPeeringConnectionId"]
    connection = _peering(call, id_)
    if connection is None:
        raise RuntimeError(f"InvalidVpcPeeringConnectionID.NotFound: {id_}")
    if props.get("autoAccept") and connection["Status"]["Code"] != "active":
        call.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id_)
    return call.made(id_)


def _accepted(call: Call, id_: str, props: Props) -> Props | None:
    connection = _peering(call, id_)
    if connection is None:
        return None
    theirs, ours = connection["AccepterVpcInfo"], connection["RequesterVpcInfo"]
    return {
        "vpcPeeringConnectionId": id_,
        "acceptStatus": connection["Status"]["Code"],
        "vpcId": theirs["VpcId"],
        "peerVpcId": ours["VpcId"],
        "peerRegion": ours["Region"],
        "peerOwnerId": ours["OwnerId"],
    }


def _options_set(call: Call, id_: str, props: Props) -> None:
    connection = _peering(call, id_)
    if connection is None or connection["Status"]["Code"] != "active":
        raise RuntimeError(f"OperationNotPermitted: peering {id_} is not active")
    asked: Props = {}
    for side in ("requester", "accepter"):
        if side not in props:
            continue
        # across regions AWS takes each side's options in that side's own region
        if connection[f"{side.title()}VpcInfo"]["Region"] != call.region:
            raise RuntimeError(f"OperationNotPermitted: the {side}'s options belong to its region")
        value = bool(props[side].get("allowRemoteVpcDnsResolution"))
        asked[f"{side.title()}PeeringConnectionOptions"] = {
            "AllowDnsResolutionFromRemoteVpc": value
        }
    call.ec2.modify_vpc_peering_connection_options(VpcPeeringConnectionId=id_, **asked)


def _options_create(call: Call, props: Props) -> str:
    id_ = props["vpcPeeringConnectionId"]
    _options_set(call, id_, props)
    return id_


def _options_read(call: Call, id_: str, props: Props) -> Props | None:
    connection = _peering(call, id_)
    if connection is None:
        return None
    found: Props = {"vpcPeeringConnectionId": id_}
    for side in ("requester", "accepter"):
        if side in props:
            options = connection[f"{side.title()}VpcInfo"].get("PeeringOptions") or {}
            found[side] = told(
                options, allowRemoteVpcDnsResolution="AllowDnsResolutionFromRemoteVpc"
            )
    return found


_ENDPOINT, _PEERING = "ec2/vpc_endpoint.go", "ec2/vpc_peering_connection.go"
_FLOW = (
    "vpcId",
    "trafficType",
    "logDestination",
    "logDestinationType",
    "logFormat",
    "iamRoleArn",
    "maxAggregationInterval",
    "destinationOptions",
)

KINDS = [
    Kind(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        create=_endpoint_create,
        read=_endpoint_read,
        update=_endpoint_update,
        delete=lambda call, id_, props: call.ec2.delete_vpc_endpoints(VpcEndpointIds=[id_]),
        replaces=dict.fromkeys(
            ("vpcId", "serviceName", "vpcEndpointType", "serviceRegion"), _ENDPOINT
        ),
        defaults={"vpcEndpointType": "Gateway"},
        sets=("routeTableIds", "subnetIds", "securityGroupIds"),
        documents=("policy",),
        computed=("arn", "state", "dnsEntries", "networkInterfaceIds"),
    ),
    Kind(
        "aws:ec2/flowLog:FlowLog",
        create=_flow_create,
        read=_flow_read,
        update=retag,
        delete=lambda call, id_, props: call.ec2.delete_flow_logs(FlowLogIds=[id_]),
        replaces=dict.fromkeys(_FLOW, "ec2/vpc_flow_log.go"),
        computed=("arn",),
    ),
    Kind(
        "aws:ec2/vpcPeeringConnection:VpcPeeringConnection",
        create=_peering_create,
        read=_peering_read,
        update=retag,
        delete=lambda call, id_, props: call.ec2.delete_vpc_peering_connection(
            VpcPeeringConnectionId=id_
        ),
        replaces=dict.fromkeys(("vpcId", "peerVpcId", "peerRegion", "peerOwnerId"), _PEERING),
    ),
    Kind(
        "aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter",
        create=_accept,
        read=_accepted,
        update=lambda call, id_, old, new: None,
        # the connection itself goes with the requester's resource
        delete=lambda call, id_, props: None,
        replaces={"vpcPeeringConnectionId": "ec2/vpc_peering_connection_accepter.go"},
        computed=("acceptStatus", "vpcId", "peerVpcId", "peerRegion", "peerOwnerId"),
    ),
    Kind(
        "aws:ec2/peeringConnectionOptions:PeeringConnectionOptions",
        create=_options_create,
        read=_options_read,
        update=lambda call, id_, old, new: _options_set(call, id_, new),
        delete=lambda call, id_, props: None,
        replaces={"vpcPeeringConnectionId": "ec2/vpc_peering_connection_options.go"},
    ),
]
