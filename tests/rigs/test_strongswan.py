"""The written gateway on real strongSwan and FRR, against ends made as AWS's are.

The machines: robot - gw - internet - (end1, end2) - cloud. ESP is real and in user space, so what
carries packets is by policy. XFRM interfaces are not to be had in every kernel: what uses them
(routes, BGP) is tried over cables with their names.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.stack.gateway import folder as gateway_folder
from ems.stack.gateway.plan import Gateway, Mode, gateway_of
from ems.stack.gateway.proposals import MSS, MTU, STRONG
from ems.stack.outputs import Lab, StackOutputs, Tunnel, Vpn
from tests.rigs import rig
from tests.rigs.namespaces import Machine, Machines
from tests.rigs.strongswan import associations, load, start_charon, until

pytestmark = rig("strongswan")

ADDRESS = "198.51.100.1"
ENDS = ("203.0.113.11", "203.0.113.12")
KEYS = {ENDS[0]: "first.Key_of_tunnel_1", ENDS[1]: "second.Key_of_tunnel_2"}
LAB, CLOUD = "10.10.0.0/24", "10.20.0.0/16"
CLOUD_HOST = "10.20.0.2"


def outputs(routing: str = "static") -> StackOutputs:
    """An environment with one lab and one site, as exported."""
    tunnels = (Tunnel(address=ENDS[0], inside_cidr="169.254.10.0/30"),
               Tunnel(address=ENDS[1], inside_cidr="169.254.10.4/30"))  # fmt: skip
    vpn = Vpn(connection="vpn-1", site_cidr=CLOUD, site_asn=64900, tunnels=tunnels, keys="arn:x")
    lab = Lab(address=ADDRESS, networks=(LAB,), routing=routing, asn=65000, sites={"oregon": vpn})  # type: ignore[arg-type]
    return StackOutputs(environment="dev", account="1" * 12, sites={}, labs={"robots": lab})


def install(gw: Machine, gateway: Gateway, mode: Mode, where: Path, keys: dict[str, str]) -> None:
    """Write the folder and copy it as its README says."""
    gateway_folder.write(where, gateway_folder.files(gateway, mode, keys))
    gw.run("cp", "-r", f"{where}/etc/.", "/etc/")
    gw.run("sysctl", "-q", "-p", "/etc/sysctl.d/90-ems-vpn.conf")


def start_end(end: Machine, own: str, told: Path, ike: str, esp: str, key: str) -> None:
    """Start an end as AWS makes it: it only answers, for its network, and takes any of the lab's.

    As the cloud's fabric does, it leads answers to the tunnel that came up last.
    """
    via = own.replace("203.0.113.1", "10.20.0.1")
    config = f"""
connections {{ lab {{
  version = 2
  local_addrs = {own}
  remote_addrs = %any
  proposals = {ike}
  dpd_delay = 2s
  unique = replace
  local {{ auth = psk
    id = {own} }}
  remote {{ auth = psk
    id = {ADDRESS} }}
  children {{ lab {{
    local_ts = {CLOUD}
    remote_ts = 0.0.0.0/0
    esp_proposals = {esp}
    dpd_action = clear
    updown = /etc/told.sh
  }} }}
}} }}
secrets {{ ike-lab {{
  id-1 = {ADDRESS}
  id-2 = {own}
  secret = "{key}"
}} }}
"""
    script = f'#!/bin/sh\n[ "$PLUTO_VERB" != up-client ] || echo {via} > {told}\n'
    end.sh(f"cat > /etc/swanctl/conf.d/end.conf <<'END'\n{config}END")
    end.sh(f"cat > /etc/told.sh <<'END'\n{script}END\nchmod +x /etc/told.sh")
    end.sh("printf 'charon {\n retransmit_tries = 2\n retransmit_timeout = 1\n}\n' "
           "> /etc/strongswan.d/end.conf")  # fmt: skip
    start_charon(end)
    load(end)


class Ground:
    """The machines, joined, with the cloud's ends waiting."""

    def __init__(self, machines: Machines) -> None:
        make = machines.make
        self.robot = make("robot")
        self.gw = make("gw", forward=True, own_etc=True)
        self.internet = make("internet", forward=True)
        self.ends = [make(name, forward=True, own_etc=True) for name in ("end1", "end2")]
        self.cloud = make("cloud")
        self.told = machines.folder / "via"
        self.folder = machines.folder
        self.cables(machines)

    def cables(self, machines: Machines) -> None:
        machines.link(self.robot, self.gw, ("10.10.0.2/24", "10.10.0.1/24"))
        self.robot.sh("ip route add default via 10.10.0.1")
        machines.link(self.gw, self.internet, (f"{ADDRESS}/24", "198.51.100.254/24"))
        self.gw.sh("ip route add default via 198.51.100.254")
        self.cloud.sh("ip link add lan type bridge; ip link set lan up")
        self.cloud.sh(f"ip address add {CLOUD_HOST}/24 dev lan")
        for end, address in zip(self.ends, ENDS, strict=True):
            machines.link(end, self.internet, (f"{address}/32", "203.0.113.254/32"))
            end.sh("ip route add 203.0.113.254 dev to-internet")
            end.sh("ip route add default via 203.0.113.254")
            self.internet.sh(f"ip route add {address} dev to-{end.name}")
            machines.cable(end, "lan", self.cloud, f"to-{end.name}")
            self.cloud.sh(f"ip link set to-{end.name} master lan")
            inside = address.replace("203.0.113.1", "10.20.0.1")
            end.sh(f"ip address add {inside}/24 dev lan")
        loop = f"while sleep 0.1; do ip route replace {LAB} via $(cat {self.told}); done"
        self.cloud.start("sh", "-c", loop)

    def start_ends(self, ike: str = "", esp: str = "", keys: dict[str, str] = KEYS) -> None:
        ike, esp = ike or ",".join(STRONG.ike()), esp or ",".join(STRONG.esp())
        for end, address in zip(self.ends, ENDS, strict=True):
            start_end(end, address, self.told, ike, esp, keys[address])

    def start_gateway(self, mode: Mode = "policy") -> None:
        install(self.gw, gateway_of(outputs(), "robots"), mode, self.folder / "gw", KEYS)
        # The one change to what was written: silence is noticed four times sooner.
        self.gw.sh("sed -i 's/retransmit_timeout = 2.0/retransmit_timeout = 0.5/' "
                   "/etc/strongswan.d/ems-vpn.conf")  # fmt: skip
        self.gw.sh("sed -i 's/dpd_delay = 10s/dpd_delay = 2s/' /etc/swanctl/conf.d/ems-vpn.conf")
        start_charon(self.gw)
        load(self.gw)

    def keep_up(self) -> None:
        """As the unit does, but for the interfaces."""
        self.gw.run("nft", "-f", "/etc/ems-vpn/firewall.nft")
        self.gw.start("/etc/ems-vpn/keep.sh")

    def up(self) -> list[str]:
        """The tunnels that are up, seen from the lab."""
        return sorted(associations(self.gw))

    def reaches(self) -> bool:
        words = ("ping", "-c", "1", "-W", "1", CLOUD_HOST)
        return ", 0% packet loss" in self.robot.run(*words, check=False)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Machines(tmp_path) as machines:
        yield Ground(machines)


def test_a_file_comes_through_and_a_cut_tunnel_is_replaced(ground: Ground) -> None:
    ground.start_ends()
    ground.start_gateway()
    ground.keep_up()
    until(lambda: ground.up() == ["oregon-1"], 15, "the first tunnel")
    until(ground.reaches, 10, "the cloud")
    fetch(ground)
    assert ground.up() == ["oregon-1"], "the second waits"

    ground.internet.run("ip", "link", "set", "to-end1", "down")
    until(lambda: ground.up() == ["oregon-2"], 60, "the second tunnel")
    until(ground.reaches, 15, "the cloud by the second tunnel")
    fetch(ground)

    ground.internet.run("ip", "link", "set", "to-end1", "up")
    ground.internet.run("ip", "route", "replace", ENDS[0], "dev", "to-end1")
    until(lambda: ground.up() == ["oregon-1"], 60, "the first tunnel, back")
    until(ground.reaches, 15, "the cloud by the first tunnel again")


def test_an_end_that_dies_is_replaced(ground: Ground) -> None:
    ground.start_ends()
    ground.start_gateway()
    ground.keep_up()
    until(lambda: ground.up() == ["oregon-1"], 15, "the first tunnel")
    ground.ends[0].sh("kill -9 $(cat /run/charon.pid)")
    until(lambda: ground.up() == ["oregon-2"], 60, "the second tunnel")
    until(ground.reaches, 15, "the cloud by the second tunnel")


def test_without_keys_all_is_loaded_but_nothing_comes_up(ground: Ground) -> None:
    ground.start_ends()
    install(ground.gw, gateway_of(outputs(), "robots"), "policy", ground.folder / "gw", {})
    start_charon(ground.gw)
    assert "loaded connection 'oregon-2'" in load(ground.gw)
    said = ground.gw.run("swanctl", "--initiate", "--child", "oregon-1", check=False)
    assert "no shared key found" in said and ground.up() == []


def test_a_wrong_key_is_refused(ground: Ground) -> None:
    ground.start_ends(keys=dict.fromkeys(ENDS, "not.The_key_of_it"))
    ground.start_gateway()
    said = ground.gw.run("swanctl", "--initiate", "--child", "oregon-1", check=False)
    assert "AUTHENTICATION_FAILED" in said and ground.up() == []


WEAK = [
    ("aes128-sha1-modp1024", "aes128-sha1"),
    ("aes256-sha256-modp2048", "aes256-sha256"),
    ("aes256-sha384-ecp384", "aes128-sha1"),
]


@pytest.mark.parametrize(("ike", "esp"), WEAK)
def test_weak_proposals_are_refused(ground: Ground, ike: str, esp: str) -> None:
    ground.start_ends(ike, esp)
    ground.start_gateway()
    said = ground.gw.run("swanctl", "--initiate", "--child", "oregon-1", check=False)
    assert "NO_PROPOSAL_CHOSEN" in said or "no acceptable" in said
    assert ground.up() == []


@pytest.mark.parametrize("ike", STRONG.ike())
@pytest.mark.parametrize("esp", STRONG.esp())
def test_each_strong_proposal_is_taken_and_keys_are_renewed(
    ground: Ground, ike: str, esp: str
) -> None:
    ground.start_ends(ike, esp)
    ground.start_gateway()
    ground.gw.run("swanctl", "--initiate", "--child", "oregon-1")
    ground.gw.run("swanctl", "--rekey", "--child", "oregon-1")
    until(lambda: "#2" in associations(ground.gw)["oregon-1"], 10, "new keys")
    assert "ECP_384" in associations(ground.gw)["oregon-1"], "with a new exchange"


def test_route_mode_brings_both_tunnels_up_with_their_routes(ground: Ground) -> None:
    ground.start_ends()
    for interface in ("ems641", "ems642"):
        ground.gw.sh(f"ip link add {interface} type veth; ip link set {interface} up")
    ground.start_gateway("route")
    ground.keep_up()
    until(lambda: ground.up() == ["oregon-1", "oregon-2"], 20, "both tunnels")
    sas = ground.gw.run("swanctl", "--list-sas", "--raw")
    for if_id in ("281", "282"):
        assert f"if-id-in=00000{if_id} if-id-out=00000{if_id}" in sas
    assert routes(ground) == ["ems641 metric 100", "ems642 metric 200"]

    ground.gw.run("ip", "route", "del", CLOUD, "dev", "ems641")
    until(lambda: len(routes(ground)) == 2, 15, "a route that somebody took away, back")

    ground.internet.run("ip", "link", "set", "to-end1", "down")
    until(lambda: routes(ground) == ["ems642 metric 200"], 60, "the second tunnel's route")
    ground.internet.sh(f"ip link set to-end1 up; ip route replace {ENDS[0]} dev to-end1")
    until(lambda: len(routes(ground)) == 2, 60, "the first tunnel's route, back")


def routes(ground: Ground) -> list[str]:
    """The routes to the cloud, the preferred one first."""
    lines = ground.gw.run("ip", "route", "show", CLOUD).splitlines()
    return [line.split("dev ")[1].replace("scope link ", "").split(" linkdown")[0].strip()
            for line in lines]  # fmt: skip


def test_route_modes_script_asks_for_interfaces_and_loads_the_firewall(ground: Ground) -> None:
    """The one thing that this kernel may refuse is the interface's type, so a cable stands in."""
    install(ground.gw, gateway_of(outputs(), "robots"), "route", ground.folder / "gw", KEYS)
    ground.gw.sh("for name in ems641 ems642; do ip link add $name type veth; done")
    for _ in range(2):  # as often as one likes
        ground.gw.run("/etc/ems-vpn/tunnels.sh", "up")
    asked = (ground.folder / "gw" / gateway_folder.TUNNELS).read_text()
    assert 'ip link add "$1" type xfrm if_id "$2"' in asked
    shown = ground.gw.run("ip", "-d", "address", "show", "dev", "ems641")
    assert f"mtu {MTU} " in shown and "inet 169.254.10.2/30 " in shown
    assert "alias oregon tunnel 1" in shown
    assert ground.gw.run("sysctl", "-n", "net.ipv4.conf.ems641.rp_filter").strip() == "2"
    assert 'oifname "ems*" drop' in ground.gw.run("nft", "list", "table", "inet", "ems_vpn")
    for _ in range(2):
        ground.gw.run("/etc/ems-vpn/tunnels.sh", "down")
    assert "ems641" not in ground.gw.run("ip", "link")
    assert "ems_vpn" not in ground.gw.run("nft", "list", "tables")


def fetch(ground: Ground) -> None:
    """Fetch a file from the cloud and see it travel as ESP, and only so."""
    content = "what a robot asked for\n" * 20_000
    (ground.folder / "data.txt").write_text(content)
    server = ground.cloud.start(
        shutil.which("python3") or "python3", "-m", "http.server", "8000", "-d", str(ground.folder)
    )
    pcap = ground.folder / "wire.pcap"
    wire = ground.internet.start(
        "tcpdump", "--immediate-mode", "-i", "to-gw", "-U", "-w", str(pcap)
    )
    syn = ground.folder / "syn.pcap"
    wanted = "tcp[tcpflags] & tcp-syn != 0"
    opened = ground.cloud.start(
        "tcpdump", "--immediate-mode", "-i", "lan", "-U", "-w", str(syn), wanted
    )
    until(lambda: pcap.exists() and syn.exists(), 10, "tcpdump")
    target = ground.folder / "fetched.txt"
    ground.robot.run("curl", "-s", "--retry", "5", "--retry-connrefused", "-o", str(target),
                     f"http://{CLOUD_HOST}:8000/data.txt")  # fmt: skip
    assert target.read_text() == content
    ground.internet.stop(wire)
    for each in (opened, server):
        ground.cloud.stop(each)
    seen = ground.internet.run("tcpdump", "-n", "-r", str(pcap))
    assert seen.count("ESP(spi=") > 20
    assert "10.20.0." not in seen and b"what a robot" not in pcap.read_bytes()
    assert f"mss {MSS}," in ground.cloud.run("tcpdump", "-n", "-r", str(syn))
    pcap.unlink()
    syn.unlink()
