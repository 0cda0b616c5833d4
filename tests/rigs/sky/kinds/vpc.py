"""VPCs, subnets, internet gateways, route tables and routes, NAT gateways and their addresses.

moto takes routes to what is not there: here a route's target must be fit to use, as on AWS.
"""

from __future__ import annotations

import zlib

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.described import arn, find, given, made, retag, tags, told

_TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
    "transitGatewayId": "TransitGatewayId",
}


# --------------------------------------------------------------------------------------------- VPCs
def _vpc_create(call: Call, props: Props) -> str:
    id_ = call.ec2.create_vpc(CidrBlock=props["cidrBlock"])["Vpc"]["VpcId"]
    made(call, id_, props)
    _vpc_names(call, id_, props)
    return id_


def _vpc_names(call: Call, id_: str, props: Props) -> None:
    # one attribute a call: AWS takes no two at once
    for ours in ("enableDnsSupport", "enableDnsHostnames"):
        if ours in props:
            value = {ours[0].upper() + ours[1:]: {"Value": props[ours]}}
            call.ec2.modify_vpc_attribute(VpcId=id_, **value)


def _vpc_read(call: Call, id_: str, props: Props) -> Props | None:
    vpc = find(call, "describe_vpcs", "VpcIds", "Vpcs", id_)
    if vpc is None:
        return None

    def attribute(name: str) -> bool:
        answer = call.ec2.describe_vpc_attribute(VpcId=id_, Attribute=name)
        return answer[name[0].upper() + name[1:]]["Value"]

    inside = [{"Name": "vpc-id", "Values": [id_]}]
    main = [*inside, {"Name": "association.main", "Values": ["true"]}]
    table = call.ec2.describe_route_tables(Filters=main)["RouteTables"][0]["RouteTableId"]
    default = [*inside, {"Name": "group-name", "Values": ["default"]}]
    group = call.ec2.describe_security_groups(Filters=default)["SecurityGroups"][0]["GroupId"]
    return {
        "cidrBlock": vpc["CidrBlock"],
        "enableDnsSupport": attribute("enableDnsSupport"),
        "enableDnsHostnames": attribute("enableDnsHostnames"),
        "arn": arn(call, "vpc", id_),
        "ownerId": call.account,
        "mainRouteTableId": table,
        "defaultRouteTableId": table,
        "defaultSecurityGroupId": group,
        **tags(vpc),
    }


def _vpc_update(call: Call, id_: str, old: Props, new: Props) -> None:
    retag(call, id_, old, new)
    _vpc_names(call, id_, new)


# ------------------------------------------------------------------------------------------ subnets
def _subnet_create(call: Call, props: Props) -> str:
    asked = given(
        props,
        vpcId="VpcId",
        cidrBlock="CidrBlock",
        availabilityZoneId="AvailabilityZoneId",
        availabilityZone="AvailabilityZone",
    )
    id_ = made(call, call.ec2.create_subnet(**asked)["Subnet"]["SubnetId"], props)
    _subnet_addresses(call, id_, props)
    return id_


def _subnet_addresses(call: Call, id_: str, props: Props) -> None:
    value = {"Value": bool(props.get("mapPublicIpOnLaunch"))}
    call.ec2.modify_subnet_attribute(SubnetId=id_, MapPublicIpOnLaunch=value)


def _subnet_read(call: Call, id_: str, props: Props) -> Props | None:
    subnet = find(call, "describe_subnets", "SubnetIds", "Subnets", id_)
    if subnet is None:
        return None
    return {
        **told(
            subnet,
            vpcId="VpcId",
            cidrBlock="CidrBlock",
            availabilityZone="AvailabilityZone",
            availabilityZoneId="AvailabilityZoneId",
            mapPublicIpOnLaunch="MapPublicIpOnLaunch",
            arn="SubnetArn",
            ownerId="OwnerId",
        ),
        **tags(subnet),
    }


def _subnet_update(call: Call, id_: str, old: Props, new: Props) -> None:
    retag(call, id_, old, new)
    _subnet_addresses(call, id_, new)


# ------------------------------------------------------------------------------- internet gateways
def _internet_create(call: Call, props: Props) -> str:
    gateway = call.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    made(call, gateway, props)
    if props.get("vpcId"):
        call.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=props["vpcId"])
    return gateway


def _internet_read(call: Call, id_: str, props: Props) -> Props | None:
    key = "InternetGateways"
    gateway = find(call, "describe_internet_gateways", "InternetGatewayIds", key, id_)
    if gateway is None:
        return None
    attached = gateway.get("Attachments") or [{}]
    return {
        "vpcId": attached[0].get("VpcId", ""),
        "arn": arn(call, "internet-gateway", id_),
        "ownerId": call.account,
        **tags(gateway),
    }


def _internet_update(call: Call, id_: str, old: Props, new: Props) -> None:
    retag(call, id_, old, new)
    if old.get("vpcId") != new.get("vpcId"):
        if old.get("vpcId"):
            _internet_detach(call, id_, old["vpcId"])
        if new.get("vpcId"):
            call.ec2.attach_internet_gateway(InternetGatewayId=id_, VpcId=new["vpcId"])


def _internet_detach(call: Call, id_: str, vpc: str) -> None:
    """Detach, unless the VPC still has public addresses: AWS refuses it then, moto does not."""
    inside = [{"Name": "vpc-id", "Values": [vpc]}]
    nats = call.ec2.describe_nat_gateways(Filters=inside)["NatGateways"]
    if any(nat["State"] != "deleted" for nat in nats):
        raise RuntimeError(f"DependencyViolation: {vpc} has mapped public addresses")
    call.ec2.detach_internet_gateway(InternetGatewayId=id_, VpcId=vpc)


def _internet_delete(call: Call, id_: str, props: Props) -> None:
    now = _internet_read(call, id_, props)
    if now and now["vpcId"]:
        _internet_detach(call, id_, now["vpcId"])
    call.ec2.delete_internet_gateway(InternetGatewayId=id_)


# ------------------------------------------------------------------------------------ route tables
def _table_create(call: Call, props: Props) -> str:
    table = call.ec2.create_route_table(VpcId=props["vpcId"])["RouteTable"]["RouteTableId"]
    return made(call, table, props)


def _table(call: Call, id_: str) -> Props | None:
    return find(call, "describe_route_tables", "RouteTableIds", "RouteTables", id_)


def _table_read(call: Call, id_: str, props: Props) -> Props | None:
    table = _table(call, id_)
    if table is None:
        return None
    return {
        "vpcId": table["VpcId"],
        "arn": arn(call, "route-table", id_),
        "ownerId": call.account,
        **tags(table),
    }


def _association_create(call: Call, props: Props) -> str:
    asked = given(props, routeTableId="RouteTableId", subnetId="SubnetId", gatewayId="GatewayId")
    return call.ec2.associate_route_table(**asked)["AssociationId"]


def _association_read(call: Call, id_: str, props: Props) -> Props | None:
    by_id = [{"Name": "association.route-table-association-id", "Values": [id_]}]
    for table in call.ec2.describe_route_tables(Filters=by_id)["RouteTables"]:
        for tie in table["Associations"]:
            if tie["RouteTableAssociationId"] == id_:
                return told(tie, routeTableId="RouteTableId", subnetId="SubnetId")
    return None


def _association_update(call: Call, id_: str, old: Props, new: Props) -> None:
    raise RuntimeError("moto gives a moved association another id: not tried by any program")


# ------------------------------------------------------------------------------------------- routes
def _route_create(call: Call, props: Props) -> str:
    table, to = props["routeTableId"], props["destinationCidrBlock"]
    _fit(call, props)
    call.ec2.create_route(RouteTableId=table, DestinationCidrBlock=to, **given(props, **_TARGETS))
    return f"r-{table}{zlib.crc32(to.encode())}"


def _fit(call: Call, props: Props) -> None:
    """Refuse a target that AWS would refuse: a peering not accepted, a gateway not attached."""
    peering, gateway = props.get("vpcPeeringConnectionId"), props.get("gatewayId", "")
    if peering:
        ids = {"VpcPeeringConnectionIds": [peering]}
        found = call.ec2.describe_vpc_peering_connections(**ids)["VpcPeeringConnections"]
        code = found[0]["Status"]["Code"]
        if code != "active":
            raise RuntimeError(f"InvalidStateTransition: {peering} is {code}, not active")
    if gateway.startswith("igw-"):
        table, internet = _table(call, props["routeTableId"]), _internet_read(call, gateway, {})
        if not table or not internet or internet["vpcId"] != table["VpcId"]:
            raise RuntimeError(f"InvalidParameterValue: {gateway} is not in the table's network")


def _route_read(call: Call, id_: str, props: Props) -> Props | None:
    table = _table(call, props["routeTableId"])
    for route in (table or {}).get("Routes", []):
        if route.get("DestinationCidrBlock") == props["destinationCidrBlock"]:
            return {
                "routeTableId": props["routeTableId"],
                "destinationCidrBlock": props["destinationCidrBlock"],
                **told(route, state="State", origin="Origin", **_TARGETS),
            }
    return None


def _route_update(call: Call, id_: str, old: Props, new: Props) -> None:
    _fit(call, new)
    call.ec2.replace_route(
        RouteTableId=new["routeTableId"],
        DestinationCidrBlock=new["destinationCidrBlock"],
        **given(new, **_TARGETS),
    )


def _route_delete(call: Call, id_: str, props: Props) -> None:
    call.ec2.delete_route(
        RouteTableId=props["routeTableId"], DestinationCidrBlock=props["destinationCidrBlock"]
    )


# ------------------------------------------------------------------------------- addresses and NAT
def _address_create(call: Call, props: Props) -> str:
    address = call.ec2.allocate_address(Domain=props.get("domain", "vpc"))
    return made(call, address["AllocationId"], props)


def _address_read(call: Call, id_: str, props: Props) -> Props | None:
    # what it is tied to changes after it is made, by other resources: not told
    address = find(call, "describe_addresses", "AllocationIds", "Addresses", id_)
    if address is None:
        return None
    return {
        **told(address, domain="Domain", publicIp="PublicIp", allocationId="AllocationId"),
        "arn": arn(call, "elastic-ip", id_),
        **tags(address),
    }


def _nat_create(call: Call, props: Props) -> str:
    asked = given(
        props,
        allocationId="AllocationId",
        subnetId="SubnetId",
        connectivityType="ConnectivityType",
    )
    return made(call, call.ec2.create_nat_gateway(**asked)["NatGateway"]["NatGatewayId"], props)


def _nat_read(call: Call, id_: str, props: Props) -> Props | None:
    nat = find(call, "describe_nat_gateways", "NatGatewayIds", "NatGateways", id_)
    if nat is None:
        return None
    address = nat["NatGatewayAddresses"][0]
    return {
        "subnetId": nat["SubnetId"],
        **told(address, allocationId="AllocationId", publicIp="PublicIp", privateIp="PrivateIp"),
        **told(address, networkInterfaceId="NetworkInterfaceId"),
        **tags(nat),
    }


def _nat_delete(call: Call, id_: str, props: Props) -> None:
    (nat,) = call.ec2.describe_nat_gateways(NatGatewayIds=[id_])["NatGateways"]
    call.ec2.delete_nat_gateway(NatGatewayId=id_)
    for address in nat["NatGatewayAddresses"]:
        # AWS frees the address and the interface with the gateway, moto keeps both
        call.ec2.disassociate_address(AssociationId=address["AssociationId"])
        call.ec2.delete_network_interface(NetworkInterfaceId=address["NetworkInterfaceId"])


_VPC, _SUBNET, _NAT = "ec2/vpc_.go", "ec2/vpc_subnet.go", "ec2/vpc_nat_gateway.go"
_TABLE, _ROUTE = "ec2/vpc_route_table.go", "ec2/vpc_route.go"

KINDS = [
    Kind(
        "aws:ec2/vpc:Vpc",
        create=_vpc_create,
        read=_vpc_read,
        update=_vpc_update,
        delete=lambda call, id_, props: call.ec2.delete_vpc(VpcId=id_),
        replaces={"cidrBlock": _VPC, "ipv4IpamPoolId": _VPC, "ipv4NetmaskLength": _VPC},
        defaults={"enableDnsSupport": True},
        computed=("arn", "mainRouteTableId", "defaultRouteTableId", "defaultSecurityGroupId"),
    ),
    Kind(
        "aws:ec2/subnet:Subnet",
        create=_subnet_create,
        read=_subnet_read,
        update=_subnet_update,
        delete=lambda call, id_, props: call.ec2.delete_subnet(SubnetId=id_),
        replaces=dict.fromkeys(
            ("vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId", "outpostArn"), _SUBNET
        ),
        defaults={"mapPublicIpOnLaunch": False},
        computed=("arn", "ownerId"),
    ),
    Kind(
        "aws:ec2/internetGateway:InternetGateway",
        create=_internet_create,
        read=_internet_read,
        update=_internet_update,
        delete=_internet_delete,
        computed=("arn", "ownerId"),
    ),
    Kind(
        "aws:ec2/routeTable:RouteTable",
        create=_table_create,
        read=_table_read,
        update=retag,
        delete=lambda call, id_, props: call.ec2.delete_route_table(RouteTableId=id_),
        replaces={"vpcId": _TABLE},
        computed=("arn", "ownerId"),
    ),
    Kind(
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        create=_association_create,
        read=_association_read,
        update=_association_update,
        delete=lambda call, id_, props: call.ec2.disassociate_route_table(AssociationId=id_),
        replaces=dict.fromkeys(("subnetId", "gatewayId"), "ec2/vpc_route_table_association.go"),
    ),
    Kind(
        "aws:ec2/route:Route",
        create=_route_create,
        read=_route_read,
        update=_route_update,
        delete=_route_delete,
        replaces=dict.fromkeys(
            (
                "routeTableId",
                "destinationCidrBlock",
                "destinationIpv6CidrBlock",
                "destinationPrefixListId",
            ),
            _ROUTE,
        ),
        computed=("state", "origin"),
    ),
    Kind(
        "aws:ec2/eip:Eip",
        create=_address_create,
        read=_address_read,
        update=retag,
        delete=lambda call, id_, props: call.ec2.release_address(AllocationId=id_),
        replaces=dict.fromkeys(
            ("domain", "address", "networkBorderGroup", "publicIpv4Pool", "ipamPoolId"),
            "ec2/ec2_eip.go",
        ),
        computed=("arn", "publicIp", "allocationId"),
    ),
    Kind(
        "aws:ec2/natGateway:NatGateway",
        create=_nat_create,
        read=_nat_read,
        update=retag,
        delete=_nat_delete,
        replaces=dict.fromkeys(("allocationId", "subnetId", "connectivityType", "privateIp"), _NAT),
        computed=("publicIp", "privateIp", "networkInterfaceId"),
    ),
]
