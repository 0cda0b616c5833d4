"""The written frr.conf on real FRR: two sites of two tunnels each, a BGP speaker at every end.

Cables with the interfaces' names and inside addresses stand in for the tunnels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.stack.gateway.bgp import HOLD_S, KEEPALIVE_S, frr
from ems.stack.gateway.plan import Gateway, gateway_of
from ems.stack.gateway.plan import Tunnel as Planned
from ems.stack.outputs import Lab, StackOutputs, Tunnel, Vpn
from tests.rigs import rig
from tests.rigs.namespaces import Machine, Machines
from tests.rigs.strongswan import start_bgp, until

pytestmark = rig("strongswan")

LAB_NETWORKS = ("10.10.0.0/24", "10.11.0.0/16")
OREGON, OHIO = "10.20.0.0/16", "10.30.0.0/16"
FOREIGN = "10.99.0.0/16"


def vpn(cidr: str, asn: int, first: int) -> Vpn:
    one, two = (
        Tunnel(address=f"203.0.113.{first + n}", inside_cidr=f"169.254.{first}.{8 * n}/30")
        for n in range(2)
    )
    return Vpn(connection="vpn-1", site_cidr=cidr, site_asn=asn, tunnels=(one, two), keys="arn:x")


def planned() -> Gateway:
    sites = {"oregon": vpn(OREGON, 64900, 10), "ohio": vpn(OHIO, 64901, 20)}
    lab = Lab(address="198.51.100.1", networks=LAB_NETWORKS, routing="bgp", asn=65000, sites=sites)
    outputs = StackOutputs(environment="dev", account="1" * 12, sites={}, labs={"robots": lab})
    return gateway_of(outputs, "robots")


def end_config(tunnel: Planned, lab_asn: int) -> str:
    """A site's end: it tells its network, and also what the lab must not believe."""
    lab = str(tunnel.inside.ip)
    return f"""
router bgp {tunnel.site_asn}
 bgp router-id {tunnel.neighbor}
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor {lab} remote-as {lab_asn}
 neighbor {lab} timers {KEEPALIVE_S} {HOLD_S}
 neighbor {lab} timers connect 1
 address-family ipv4 unicast
  network {tunnel.site_cidr}
  network {FOREIGN}
  network 0.0.0.0/0
  network {LAB_NETWORKS[0]}
 exit-address-family
exit
"""


@pytest.fixture
def gw(tmp_path: Path) -> Iterator[tuple[Machine, dict[str, Machine]]]:
    gateway = planned()
    with Machines(tmp_path) as machines:
        gw = machines.make("gw", forward=True, own_etc=True)
        ends: dict[str, Machine] = {}
        for tunnel in gateway.tunnels:
            end = machines.make(tunnel.name, own_etc=True)
            ends[tunnel.name] = end
            machines.cable(gw, tunnel.interface, end, "tunnel")
            gw.sh(f"ip address add {tunnel.inside} dev {tunnel.interface}")
            end.sh(f"ip address add {tunnel.neighbor}/30 dev tunnel")
            start_bgp(end, end_config(tunnel, gateway.asn))
        start_bgp(gw, frr(gateway))
        yield gw, ends


def route(gw: Machine, cidr: str) -> str:
    return gw.run("ip", "route", "show", cidr).strip()


def told(end: Machine) -> dict[str, int]:
    """What an end heard of the lab: network → MED."""
    table = json.loads(end.run("vtysh", "-c", "show ip bgp json"))
    return {
        network: path["metric"]
        for network, paths in table["routes"].items()
        for path in paths
        if path["path"] == "65000"
    }


def test_sites_and_lab_learn_each_other_and_nothing_else(
    gw: tuple[Machine, dict[str, Machine]],
) -> None:
    lab, ends = gw
    until(lambda: "ems641 " in route(lab, OREGON), 30, "the route to oregon")
    until(lambda: "ems1281 " in route(lab, OHIO), 30, "the route to ohio")
    assert route(lab, FOREIGN) == "" and route(lab, "default") == ""
    assert "bgp" not in route(lab, LAB_NETWORKS[0])
    for name, end in ends.items():
        metric = 100 if name.endswith("1") else 200
        until(lambda end=end: len(told(end)) == 2, 30, "what the lab tells")
        assert told(end) == dict.fromkeys(LAB_NETWORKS, metric), "no transit to the other site"


def test_a_silent_tunnel_is_left_within_the_hold_time_and_taken_again(
    gw: tuple[Machine, dict[str, Machine]],
) -> None:
    lab, ends = gw
    until(lambda: "ems641 " in route(lab, OREGON), 30, "the first tunnel")
    until(lambda: len(told(ends["oregon-2"])) == 2, 30, "the second tunnel's session")
    # An XFRM interface stays up when its tunnel is gone: so nothing but silence is to be seen.
    ends["oregon-1"].sh("nft 'add table ip t; add chain ip t c { type filter hook input priority "
                        "0; policy drop; }; add chain ip t d { type filter hook output priority 0;"
                        " policy drop; }'")  # fmt: skip
    took = until(lambda: "ems643 " in route(lab, OREGON), HOLD_S + 10, "the second tunnel")
    assert took > KEEPALIVE_S
    ends["oregon-1"].sh("nft delete table ip t")
    until(lambda: "ems641 " in route(lab, OREGON), 60, "the first tunnel, back")
