"""VPN gateways, customer gateways and VPN connections.

moto keeps of a connection its two gateways and its tags, and knows no other option. The addresses
inside its tunnels are kept in a tag that is not told, since AWS lets a gateway have each of them
once; the tunnels' public ones are made up here, since moto has one for all. Keys are put into
Secrets Manager, as AWS does where `presharedKeyStorage` says so. Route propagation and a
connection's static routes are remembered, not made; what AWS wants of their gateways is checked.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Mapping
from ipaddress import IPv4Network

from tests.rigs.sky.kind import Call, Kind, Props
from tests.rigs.sky.kinds.described import arn, find, given, made, retag, tags, told
from tests.rigs.sky.kinds.forms import tag_map


# ----------------------------------------------------------------------------------------- gateways
def _gateway(call: Call, id_: str) -> Props | None:
    return find(call, "describe_vpn_gateways", "VpnGatewayIds", "VpnGateways", id_)


def _gateway_create(call: Call, props: Props) -> str:
    asn = {"AmazonSideAsn": int(props["amazonSideAsn"])} if props.get("amazonSideAsn") else {}
    gateway = call.ec2.create_vpn_gateway(Type="ipsec.1", **asn)["VpnGateway"]["VpnGatewayId"]
    made(call, gateway, props)
    if props.get("vpcId"):
        call.ec2.attach_vpn_gateway(VpnGatewayId=gateway, VpcId=props["vpcId"])
    return gateway


def _gateway_read(call: Call, id_: str, props: Props) -> Props | None:
    gateway = _gateway(call, id_)
    if gateway is None:
        return None
    # an attachment may be a resource of its own: told only to whom it was given
    attached = {"vpcId": _attached(gateway)} if props.get("vpcId") else {}
    return {
        "amazonSideAsn": str(gateway.get("AmazonSideAsn", 64512)),
        "arn": arn(call, "vpn-gateway", id_),
        **attached,
        **tags(gateway),
    }


def _attached(gateway: Props) -> str:
    ties = gateway.get("VpcAttachments", ())
    return next((tie["VpcId"] for tie in ties if tie["State"] == "attached"), "")


def _attach(call: Call, props: Props) -> str:
    gateway, vpc = props["vpnGatewayId"], props["vpcId"]
    now = _gateway(call, gateway)
    if now and _attached(now):
        # moto moves it silently
        raise RuntimeError(f"InvalidParameterValue: {gateway} is attached to {_attached(now)}")
    call.ec2.attach_vpn_gateway(VpnGatewayId=gateway, VpcId=vpc)
    return f"vpn-attachment-{zlib.crc32(f'{vpc}-{gateway}'.encode()):x}"


def _attachment_read(call: Call, id_: str, props: Props) -> Props | None:
    gateway = _gateway(call, props["vpnGatewayId"])
    if gateway is None or _attached(gateway) != props["vpcId"]:
        return None
    return {"vpnGatewayId": props["vpnGatewayId"], "vpcId": props["vpcId"]}


def _detach(call: Call, id_: str, props: Props) -> None:
    call.ec2.detach_vpn_gateway(VpnGatewayId=props["vpnGatewayId"], VpcId=props["vpcId"])


def _propagate(call: Call, props: Props) -> str:
    """Remember the propagation, once the gateway is attached to the table's VPC."""
    table, gateway = props["routeTableId"], props["vpnGatewayId"]
    vpc = call.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["VpcId"]
    found = _gateway(call, gateway)
    if found is None or _attached(found) != vpc:
        raise RuntimeError(f"Gateway.NotAttached: {gateway} is not attached to {vpc}")
    return f"{gateway}_{table}"


def _remembered(call: Call, id_: str, props: Props) -> Props | None:
    return props


# ----------------------------------------------------------------------------------------- devices
def _device_create(call: Call, props: Props) -> str:
    asked = given(props, ipAddress="IpAddress", deviceName="DeviceName", type="Type")
    if props.get("bgpAsn"):
        asked["BgpAsn"] = int(props["bgpAsn"])
    if props.get("bgpAsnExtended"):
        asked["BgpAsnExtended"] = int(props["bgpAsnExtended"])
    device = call.ec2.create_customer_gateway(**asked)["CustomerGateway"]["CustomerGatewayId"]
    return made(call, device, props)


def _device_read(call: Call, id_: str, props: Props) -> Props | None:
    # moto forgets the device's name and a large number
    key = "CustomerGateways"
    device = find(call, "describe_customer_gateways", "CustomerGatewayIds", key, id_)
    if device is None:
        return None
    number = {"bgpAsn": str(device["BgpAsn"])} if device.get("BgpAsn") else {}
    return {
        **told(device, ipAddress="IpAddress", type="Type"),
        **number,
        "arn": arn(call, "customer-gateway", id_),
        **tags(device),
    }


# ------------------------------------------------------------------------------------- connections
_INSIDE = "stand-in:inside-cidrs"
_CIDRS = ("tunnel1InsideCidr", "tunnel2InsideCidr")


def _inside(props: Props) -> set[str]:
    return {props[key] for key in _CIDRS if props.get(key)}


def _note_inside(call: Call, id_: str, props: Props) -> None:
    if inside := _inside(props):
        tag = {"Key": _INSIDE, "Value": " ".join(sorted(inside))}
        call.ec2.create_tags(Resources=[id_], Tags=[tag])


def _refuse_used(call: Call, props: Props, own: str = "") -> None:
    """Refuse inside addresses that another connection of the same gateway has, as AWS does.

    It says so of `TunnelInsideCidr` (EC2's API reference, VpnTunnelOptionsSpecification).
    """
    for other in call.ec2.describe_vpn_connections()["VpnConnections"]:
        here = other.get("VpnGatewayId") and other["VpnGatewayId"] == props.get("vpnGatewayId")
        if not here or other["State"] == "deleted" or other["VpnConnectionId"] == own:
            continue
        theirs = tag_map(other.get("Tags") or []).get(_INSIDE, "").split()
        if used := _inside(props) & set(theirs):
            id_ = other["VpnConnectionId"]
            raise RuntimeError(f"InvalidParameterValue: {', '.join(sorted(used))} is {id_}'s")


def _connection_create(call: Call, props: Props) -> str:
    _refuse_used(call, props)
    asked = given(
        props,
        customerGatewayId="CustomerGatewayId",
        vpnGatewayId="VpnGatewayId",
        transitGatewayId="TransitGatewayId",
        type="Type",
    )
    connection = call.ec2.create_vpn_connection(**asked)["VpnConnection"]
    id_ = made(call, connection["VpnConnectionId"], props)
    _note_inside(call, id_, props)
    if props.get("presharedKeyStorage") == "SecretsManager":
        call.secretsmanager.create_secret(
            Name=_secret(id_), SecretString=json.dumps(_by_address(id_, _keys(connection)))
        )
    return id_


def _secret(id_: str) -> str:
    return f"s2svpn!{id_}"


def _keys(connection: Props) -> dict[str, str]:
    document = ElementTree.fromstring(connection["CustomerGatewayConfiguration"])
    tunnels = document.findall("ipsec_tunnel")
    # moto has one key for all; tunnels have one each
    return {
        f"tunnel{number}": f"{tunnel.findtext('ike/pre_shared_key')}{number}"
        for number, tunnel in enumerate(tunnels, 1)
    }


def _by_address(id_: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Return the keys as the secret of a connection holds them: by the address of AWS's end."""
    numbers = enumerate(keys.values(), 1)
    return {_tunnel(id_, number, {}, "")[f"tunnel{number}Address"]: key for number, key in numbers}


def _connection_read(call: Call, id_: str, props: Props) -> Props | None:
    key = "VpnConnections"
    connection = find(call, "describe_vpn_connections", "VpnConnectionIds", key, id_)
    if connection is None:
        return None
    found = told(connection, vpnGatewayId="VpnGatewayId", type="Type")
    device = connection["CustomerGatewayId"]
    # moto can't move a connection to another device: where that one is gone, the state is believed
    if _device_read(call, device, {}) is not None:
        found["customerGatewayId"] = device
    gateway = _gateway(call, connection.get("VpnGatewayId") or "vgw-none") or {}
    for number in (1, 2):
        found |= _tunnel(id_, number, props, str(gateway.get("AmazonSideAsn", "")))
    if props.get("presharedKeyStorage") == "SecretsManager":
        secret = call.secretsmanager.describe_secret(SecretId=_secret(id_))
        found["presharedKeyArn"] = secret["ARN"]
    else:
        keys = _keys(connection)
        found |= {f"{tunnel}PresharedKey": value for tunnel, value in keys.items()}
        found["customerGatewayConfiguration"] = connection["CustomerGatewayConfiguration"]
    known = tag_map(connection.get("Tags") or [])
    known.pop(_INSIDE, None)
    return {**found, "arn": arn(call, "vpn-connection", id_), "tags": known}


def _connection_update(call: Call, id_: str, old: Props, new: Props) -> None:
    _refuse_used(call, new, own=id_)
    retag(call, id_, old, new)
    _note_inside(call, id_, new)


def _tunnel(id_: str, number: int, props: Props, asn: str) -> Props:
    """A tunnel's outputs. Its public address is one of those that documents may use."""
    last = zlib.crc32(id_.encode()) % 250 + 2
    prefix = f"tunnel{number}"
    found = {
        f"{prefix}Address": f"{'203.0.113' if number == 1 else '198.51.100'}.{last}",
        f"{prefix}BgpAsn": asn,
        f"{prefix}BgpHoldtime": 30,
    }
    if props.get(f"{prefix}InsideCidr"):
        aws, lab = IPv4Network(props[f"{prefix}InsideCidr"]).hosts()
        found |= {f"{prefix}VgwInsideAddress": str(aws), f"{prefix}CgwInsideAddress": str(lab)}
    return found


def _connection_delete(call: Call, id_: str, props: Props) -> None:
    call.ec2.delete_vpn_connection(VpnConnectionId=id_)
    if props.get("presharedKeyStorage") == "SecretsManager":
        call.secretsmanager.delete_secret(SecretId=_secret(id_), ForceDeleteWithoutRecovery=True)


def _static_route(call: Call, props: Props) -> str:
    """Remember a static route; it works for connections of a virtual private gateway alone."""
    id_ = props["vpnConnectionId"]
    key = "VpnConnections"
    connection = find(call, "describe_vpn_connections", "VpnConnectionIds", key, id_)
    if connection is None or not connection.get("VpnGatewayId"):
        raise RuntimeError(f"InvalidVpnConnectionID: {id_} is on no virtual private gateway")
    return f"{props['destinationCidrBlock']}:{id_}"


_CONNECTION, _DEVICE = "ec2/vpnsite_connection.go", "ec2/vpnsite_customer_gateway.go"
_ATTACHMENT = "ec2/vpnsite_gateway_attachment.go"
_PROPAGATION = "ec2/vpnsite_gateway_route_propagation.go"
_STATIC = "ec2/vpnsite_connection_route.go"
_PROPOSALS = tuple(
    f"tunnel{number}{what}"
    for number in (1, 2)
    for what in (
        "IkeVersions",
        *(
            f"Phase{phase}{kind}"
            for phase in (1, 2)
            for kind in ("EncryptionAlgorithms", "IntegrityAlgorithms", "DhGroupNumbers")
        ),
    )
)

KINDS = [
    Kind(
        "aws:ec2/vpnGateway:VpnGateway",
        create=_gateway_create,
        read=_gateway_read,
        update=retag,
        delete=lambda call, id_, props: call.ec2.delete_vpn_gateway(VpnGatewayId=id_),
        replaces=dict.fromkeys(("amazonSideAsn", "availabilityZone"), "ec2/vpnsite_gateway.go"),
        computed=("arn",),
    ),
    Kind(
        "aws:ec2/vpnGatewayAttachment:VpnGatewayAttachment",
        create=_attach,
        read=_attachment_read,
        delete=_detach,
        replaces={"vpnGatewayId": _ATTACHMENT, "vpcId": _ATTACHMENT},
    ),
    Kind(
        "aws:ec2/vpnGatewayRoutePropagation:VpnGatewayRoutePropagation",
        create=_propagate,
        read=_remembered,
        delete=lambda call, id_, props: None,
        replaces={"routeTableId": _PROPAGATION, "vpnGatewayId": _PROPAGATION},
        remembered="ec2.EnableVgwRoutePropagation",
    ),
    Kind(
        "aws:ec2/customerGateway:CustomerGateway",
        create=_device_create,
        read=_device_read,
        update=retag,
        delete=lambda call, id_, props: call.ec2.delete_customer_gateway(CustomerGatewayId=id_),
        replaces=dict.fromkeys(
            ("bgpAsn", "certificateArn", "deviceName", "ipAddress", "type"), _DEVICE
        ),
        computed=("arn",),
    ),
    Kind(
        "aws:ec2/vpnConnection:VpnConnection",
        create=_connection_create,
        read=_connection_read,
        update=_connection_update,
        delete=_connection_delete,
        # the stored version of the file still says it of tunnel*InsideCidr: these change in place
        # since the provider's pull request 45781 (.changelog/45781.txt, of 2025-12-31)
        replaces=dict.fromkeys(("type", "staticRoutesOnly"), _CONNECTION),
        sets=_PROPOSALS,
        secrets=("customerGatewayConfiguration", "tunnel1PresharedKey", "tunnel2PresharedKey"),
        computed=("arn", "presharedKeyArn", "tunnel1Address", "tunnel2Address"),
    ),
    Kind(
        "aws:ec2/vpnConnectionRoute:VpnConnectionRoute",
        create=_static_route,
        read=_remembered,
        delete=lambda call, id_, props: None,
        replaces={"destinationCidrBlock": _STATIC, "vpnConnectionId": _STATIC},
        remembered="ec2.CreateVpnConnectionRoute",
    ),
]
