from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.errors import EmsError, UsageError
from ems.stack.gateway.plan import check_mode, gateway_of
from ems.stack.outputs import Lab, StackOutputs, Tunnel
from tests.stack.gateway.labs import ADDRESS, gateway, outputs, places, vpn


def test_both_tunnels_of_each_site() -> None:
    planned = gateway({"oregon": 1, "ohio": 2})
    assert [tunnel.name for tunnel in planned.tunnels] == [
        "ohio-1", "ohio-2", "oregon-1", "oregon-2",
    ]  # fmt: skip
    last = planned.tunnels[-1]
    assert (last.remote, last.neighbor, str(last.inside)) == (
        "203.0.1.2", "169.254.10.9", "169.254.10.10/30",
    )  # fmt: skip
    assert (last.if_id, last.interface, last.metric) == (643, "ems643", 200)
    assert planned.sites == ("ohio", "oregon")


@given(places())
def test_no_two_tunnels_share_anything_that_tells_them_apart(sites: dict[str, int]) -> None:
    tunnels = gateway(sites).tunnels
    for what in ("name", "remote", "if_id", "interface", "neighbor", "inside"):
        assert len({getattr(tunnel, what) for tunnel in tunnels}) == len(tunnels) == 2 * len(sites)
    for tunnel in tunnels:
        assert len(tunnel.interface) < 16 and tunnel.interface.isalnum()
        assert 1 <= tunnel.if_id <= 16_384
        assert tunnel.inside.ip != tunnel.inside.network.network_address


@given(places(least=2), st.data())
def test_a_site_that_goes_changes_no_other(sites: dict[str, int], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(sites)))
    before = gateway(sites).tunnels
    after = gateway({site: place for site, place in sites.items() if site != gone}).tunnels
    assert after == tuple(tunnel for tunnel in before if tunnel.site != gone)


def test_an_unknown_lab_says_what_was_meant() -> None:
    with pytest.raises(UsageError) as found:
        gateway_of(outputs(), "robot")
    assert str(found.value) == (
        "robot: no such lab (did you mean 'robots'?) (allowed: robots). "
        "Try: emsctl stack vpn robots"
    )


def test_an_environment_without_labs() -> None:
    bare = StackOutputs(environment="dev", account="1" * 12, sites={})
    with pytest.raises(UsageError, match="environment dev joins no lab"):
        gateway_of(bare, "robots")


def test_a_lab_without_a_connection_yet() -> None:
    lab = Lab(address=ADDRESS, networks=("10.10.0.0/24",), routing="static", asn=65000, sites={})
    found = msgspec.structs.replace(outputs(), labs={"robots": lab})
    with pytest.raises(EmsError, match="has no VPN connection yet in environment dev"):
        gateway_of(found, "robots")


def test_tunnels_that_could_not_be_told_apart() -> None:
    lab = outputs().labs["robots"]
    twice = msgspec.structs.replace(lab, sites={"ohio": vpn(1), "oregon": vpn(1)})
    found = msgspec.structs.replace(outputs(), labs={"robots": twice})
    with pytest.raises(EmsError, match=r"ohio-1 and oregon-1 have the same inside network"):
        gateway_of(found, "robots")


ODD = [
    ("address", "198.51.100.1; reboot", "198.51.100.1; reboot"),
    ("networks", ("10.10.0.0/24\nreboot",), "is not a valid netmask"),
    ("networks", ("10.10.0.1/24",), "host bits set"),
    ("sites", {"ore gon": vpn(1)}, "'ore gon' is no name"),
    ("sites", {"oregon": msgspec.structs.replace(vpn(1), site_cidr="$(reboot)")}, "reboot"),
]


@pytest.mark.parametrize(("field", "value", "said"), ODD)
def test_no_odd_text_gets_into_a_script(field: str, value: object, said: str) -> None:
    lab = msgspec.structs.replace(outputs().labs["robots"], **{field: value})
    found = msgspec.structs.replace(outputs(), labs={"robots": lab})
    with pytest.raises(EmsError, match="the outputs are off") as error:
        gateway_of(found, "robots")
    assert said in str(error.value)


@pytest.mark.parametrize("cidr", ["169.254.10.0/29", "10.0.0.0/30", "x", "169.254.10.1/30"])
def test_inside_networks_are_what_aws_gives(cidr: str) -> None:
    ends = (Tunnel(address="203.0.113.1", inside_cidr=cidr), vpn(1).tunnels[1])
    lab = outputs().labs["robots"]
    odd = msgspec.structs.replace(
        lab, sites={"oregon": msgspec.structs.replace(vpn(1), tunnels=ends)}
    )
    found = msgspec.structs.replace(outputs(), labs={"robots": odd})
    with pytest.raises(EmsError, match=r"tunnel 1 to oregon is no /30 of 169\.254\.0\.0/16"):
        gateway_of(found, "robots")


def test_bgp_needs_interfaces() -> None:
    check_mode(gateway(), "policy")
    check_mode(gateway(routing="bgp"), "route")
    with pytest.raises(UsageError, match="--mode route"):
        check_mode(gateway(routing="bgp"), "policy")
