"""What a lab's gateway has to have: a tunnel for each end that AWS offers, with names that stay.

Pure: an environment's outputs in, tunnels out. Knows addresses and order. Does not know keys, nor
how strongSwan or FRR write any of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal

from ems.errors import EmsError, UsageError, did_you_mean
from ems.stack.outputs import Lab, StackOutputs

Mode = Literal["route", "policy"]
MODES: tuple[Mode, ...] = ("route", "policy")
INSIDE = IPv4Network("169.254.0.0/16")
"""Where AWS takes the inside addresses of tunnels from, a /30 each."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


@dataclass(frozen=True)
class Tunnel:
    """One tunnel, seen from the lab."""

    site: str
    number: int
    """1 or 2; the first is used while it is up."""
    remote: str
    """The public address of AWS's end, which is its identity too."""
    site_cidr: str
    site_asn: int
    inside: IPv4Interface
    """The lab's address inside the tunnel."""
    neighbor: str
    """AWS's address inside the tunnel."""

    @property
    def name(self) -> str:
        """Return the name of the connection and its child: `<site>-1`."""
        return f"{self.site}-{self.number}"

    @property
    def if_id(self) -> int:
        """Return the number that ties XFRM interface and SAs together.

        It is the place of the /30 among all that AWS has (1 to 16384): a site that comes or goes
        changes no other's number.
        """
        offset = int(self.inside.network.network_address) - int(INSIDE.network_address)
        return offset // 4 + 1

    @property
    def interface(self) -> str:
        """Return the XFRM interface's name. Linux takes 15 characters, less than a site's name."""
        return f"ems{self.if_id}"

    @property
    def metric(self) -> int:
        """Return the metric of its routes, and its MED: the first tunnel wins."""
        return 100 * self.number


@dataclass(frozen=True)
class Gateway:
    """A lab's gateway."""

    lab: str
    environment: str
    address: str
    networks: tuple[str, ...]
    routing: Literal["static", "bgp"]
    asn: int
    tunnels: tuple[Tunnel, ...]
    """By site, in the order of names, the first tunnel first."""
    keys: Mapping[str, str]
    """Site → the ARN of the secret with both keys."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Return the sites' names, in order."""
        return tuple(dict.fromkeys(tunnel.site for tunnel in self.tunnels))


def gateway_of(outputs: StackOutputs, lab: str) -> Gateway:
    """Return what the gateway of `lab` has to have; UsageError for a lab that is not there."""
    found = _lab(outputs, lab)
    if not found.sites:
        problem = f"has no VPN connection yet in environment {outputs.environment}"
        raise EmsError(lab, problem, f"pulumi up --stack {outputs.environment}")
    _refuse_odd(lab, outputs.environment, found)
    tunnels = tuple(
        _tunnel(lab, site, number, end.address, end.inside_cidr, vpn.site_cidr, vpn.site_asn)
        for site, vpn in sorted(found.sites.items())
        for number, end in enumerate(vpn.tunnels, start=1)
    )
    _refuse_same_inside(lab, tunnels)
    return Gateway(
        lab=lab,
        environment=outputs.environment,
        address=found.address,
        networks=found.networks,
        routing=found.routing,
        asn=found.asn,
        tunnels=tunnels,
        keys={site: vpn.keys for site, vpn in sorted(found.sites.items())},
    )


def check_mode(gateway: Gateway, mode: Mode) -> None:
    """Refuse what a mode can't do: policies have no interface that BGP could run over."""
    if mode == "policy" and gateway.routing == "bgp":
        problem = "routing by BGP needs tunnels with interfaces (allowed: --mode route)"
        raise UsageError(gateway.lab, problem, f"emsctl stack vpn {gateway.lab} --mode route")


def _lab(outputs: StackOutputs, lab: str) -> Lab:
    if not outputs.labs:
        problem = f"environment {outputs.environment} joins no lab"
        raise UsageError(lab, problem, f"`labs:` in stacks/Pulumi.{outputs.environment}.yaml")
    if lab not in outputs.labs:
        known = sorted(outputs.labs)
        problem = f"no such lab{did_you_mean(lab, known)} (allowed: {', '.join(known)})"
        raise UsageError(lab, problem, f"emsctl stack vpn {known[0]}")
    return outputs.labs[lab]


def _refuse_odd(name: str, environment: str, lab: Lab) -> None:
    """Names and addresses go into scripts that root runs: outputs from a file may hold anything."""
    try:
        for word in (name, environment, *lab.sites):
            if not _NAME.fullmatch(word):
                raise ValueError(f"{word!r} is no name")
        for network in (*lab.networks, *(vpn.site_cidr for vpn in lab.sites.values())):
            IPv4Network(network)
        ends = [end.address for vpn in lab.sites.values() for end in vpn.tunnels]
        for address in (lab.address, *ends):
            IPv4Address(address)
    except ValueError as error:
        raise EmsError(name, f"the outputs are off: {error}", "pulumi refresh") from None


def _tunnel(
    lab: str, site: str, number: int, remote: str, cidr: str, site_cidr: str, site_asn: int
) -> Tunnel:
    """Return a tunnel: of the /30, AWS has the first address and the lab the second."""
    try:
        inside = IPv4Network(cidr)
    except ValueError:
        inside = INSIDE
    if inside.prefixlen != 30 or not inside.subnet_of(INSIDE):
        problem = f"inside network {cidr!r} of tunnel {number} to {site} is no /30 of {INSIDE}"
        raise EmsError(lab, f"the outputs are off: {problem}", "pulumi refresh")
    first, second = inside.hosts()
    return Tunnel(
        site=site,
        number=number,
        remote=remote,
        site_cidr=site_cidr,
        site_asn=site_asn,
        inside=IPv4Interface(f"{second}/30"),
        neighbor=str(first),
    )


def _refuse_same_inside(lab: str, tunnels: tuple[Tunnel, ...]) -> None:
    """AWS keeps inside networks apart within one gateway of its own; a lab sees several."""
    seen: dict[int, Tunnel] = {}
    for tunnel in tunnels:
        other = seen.setdefault(tunnel.if_id, tunnel)
        if other is not tunnel:
            problem = (
                f"tunnels {other.name} and {tunnel.name} have the same inside network "
                f"{tunnel.inside.network}, so this gateway could not tell them apart"
            )
            step = f"replace one of the VPN connections: pulumi up --target-replace … ({lab})"
            raise EmsError(lab, problem, step)
