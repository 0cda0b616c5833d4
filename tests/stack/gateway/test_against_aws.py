"""The written files against what AWS documents for a customer gateway.

Three sources, read on 2026-11-21 in public copies:
- sample: the configuration that AWS gives for download, vendor strongSwan ("Strongswan 5.5.1+",
  Ubuntu 16.04, route-based), with IKEv1 and the weakest proposals;
- cgw: User Guide of Site-to-Site VPN, "Your customer gateway device";
- options: the same, "Tunnel options for your Site-to-Site VPN connection".
"""

from __future__ import annotations

import re

import pytest

from ems.stack.gateway import folder
from tests.stack.gateway.labs import ADDRESS, KEY_ONE, KEY_TWO, gateway

KEYS = {"203.0.1.1": KEY_ONE, "203.0.1.2": KEY_TWO}
STATIC = {path: file.text for path, file in folder.files(gateway(), "route", KEYS).items()}
BGP = {p: f.text for p, f in folder.files(gateway(routing="bgp"), "route", KEYS).items()}

SAME: list[tuple[str, str, str, str]] = [
    # source, what it says, our file, our line
    ("sample", "leftid=<the gateway's public address>", folder.CONNECTIONS, f"id = {ADDRESS}"),
    ("sample", "left=%defaultroute", folder.CONNECTIONS, "local_addrs = %any"),
    ("sample", "right=<AWS's address>", folder.CONNECTIONS, "remote_addrs = 203.0.1.1"),
    ("sample", "leftauth=psk", folder.CONNECTIONS, "auth = psk"),
    ("sample", "uniqueids=no", folder.CONNECTIONS, "unique = no"),
    ("sample", "dpddelay=10s", folder.CONNECTIONS, "dpd_delay = 10s"),
    ("sample", "lifetime=1h", folder.CONNECTIONS, "life_time = 3600s"),
    ("sample", "mark=100 (a number of its own)", folder.CONNECTIONS, "if_id_out = 642"),
    ("sample", "install_routes=no", folder.DAEMON, "install_routes = no"),
    ("sample", "net.ipv4.ip_forward = 1", folder.SYSCTL, "net.ipv4.ip_forward = 1"),
    ("sample", "rp_filter=2 on the tunnel", folder.TUNNELS, 'conf.$1.rp_filter=2"'),
    ("sample", "ip addr add <lab's inside>/30", folder.TUNNELS, "169.254.10.6/30"),
    ("sample", "ip route add <VPC> dev Tunnel1 metric 100", folder.ROUTES, "metric=100"),
    ("sample", "ip route add <VPC> dev Tunnel2 metric 200", folder.ROUTES, "metric=200"),
    ("sample", "TCPMSS on what goes out by the tunnel", folder.FIREWALL, 'oifname "ems*" tcp'),
    ("cgw", "MSS 1359 with SHA2-384 or SHA2-512", folder.FIREWALL, "size set 1359"),
    ("cgw", "the interface's MTU is 1399", folder.TUNNELS, "mtu 1399"),
    ("cgw", "UDP 500, ESP, and UDP 4500 with NAT-T", folder.README, "UDP 500, UDP 4500 and ESP"),
    ("options", "IKEv2 is permitted", folder.CONNECTIONS, "version = 2"),
]


@pytest.mark.parametrize(("source", "says", "path", "line"), SAME)
def test_as_aws_says(source: str, says: str, path: str, line: str) -> None:
    assert line in STATIC[path], f"{source}: {says}"


def test_phase_1_lasts_as_long() -> None:
    """sample: ikelifetime=8h. Here: when rekeyed, and the rest on top of it."""
    text = STATIC[folder.CONNECTIONS]
    rekey, over = re.findall(r"(?:rekey|over)_time = (\d+)s", text)[:2]
    assert int(rekey) + int(over) == 8 * 3600


def test_selectors() -> None:
    """sample: leftsubnet=rightsubnet=0.0.0.0/0. Here only with BGP: with static routes AWS's end is
    told to have the site's network alone on its side, and both must name the same."""
    assert re.findall(r"_ts = (\S+)", BGP[folder.CONNECTIONS]) == ["0.0.0.0/0"] * 4
    assert re.findall(r"_ts = (\S+)", STATIC[folder.CONNECTIONS]) == [
        "0.0.0.0/0", "10.101.0.0/16",
    ] * 2  # fmt: skip


def test_one_pair_of_associations_a_tunnel() -> None:
    """cgw: a policy-based configuration must be limited to a single pair of SAs."""
    text = folder.files(gateway(), "policy", KEYS)[folder.CONNECTIONS].text
    assert text.count("local_ts = 10.10.0.0/24,10.11.0.0/16\n") == 2
    assert text.count("children {") == 2 and "if_id" not in text and "updown" not in text


def test_nothing_starts_twice() -> None:
    """sample: auto=start, dpdaction=restart, keyingtries=%forever. Here keep.sh does all three."""
    text = STATIC[folder.CONNECTIONS]
    assert text.count("start_action = none") == text.count("dpd_action = clear") == 2
    assert "for each in oregon-1 oregon-2; do" in STATIC[folder.KEEP]


def test_bgp_timers_and_numbers() -> None:
    """AWS's sample configurations for dynamic routing: hold time 30, keepalive 10."""
    text = BGP[folder.FRR]
    assert text.count(" timers 10 30\n") == 2 and "router bgp 65000\n" in text
    assert " neighbor 169.254.10.5 remote-as 64601\n" in text
