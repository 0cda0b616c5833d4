"""Labs for tests: any number of sites, static or BGP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hypothesis import strategies as st

from ems.stack.gateway.plan import Gateway, gateway_of
from ems.stack.outputs import Lab, StackOutputs, Tunnel, Vpn

ADDRESS = "198.51.100.1"
NETWORKS = ("10.10.0.0/24", "10.11.0.0/16")
KEY_ONE, KEY_TWO = "first.Key_of_tunnel_1", "second.Key_of_tunnel_2"


def arn(site: str) -> str:
    return f"arn:aws:secretsmanager:us-west-2:123456789012:secret:s2svpn!{site}-AbCdEf"


def vpn(place: int, site: str = "oregon") -> Vpn:
    """The connection of a site; `place` (1 to 120) sets addresses and networks apart."""
    one, two = (
        Tunnel(address=f"203.0.{place}.{n}", inside_cidr=f"169.254.{place + 9}.{4 * n}/30")
        for n in (1, 2)
    )
    return Vpn(
        connection=f"vpn-{place}",
        site_cidr=f"10.{100 + place}.0.0/16",
        site_asn=64600 + place,
        tunnels=(one, two),
        keys=arn(site),
    )


def outputs(
    places: Mapping[str, int] | None = None, routing: Literal["static", "bgp"] = "static"
) -> StackOutputs:
    """An environment with lab `robots`, joined to the sites named."""
    sites = {site: vpn(place, site) for site, place in (places or {"oregon": 1}).items()}
    lab = Lab(address=ADDRESS, networks=NETWORKS, routing=routing, asn=65000, sites=sites)
    return StackOutputs(environment="dev", account="1" * 12, sites={}, labs={"robots": lab})


def gateway(
    places: Mapping[str, int] | None = None, routing: Literal["static", "bgp"] = "static"
) -> Gateway:
    return gateway_of(outputs(places, routing), "robots")


names = st.from_regex(r"[a-z]([a-z0-9-]{0,14}[a-z0-9])?", fullmatch=True)


@st.composite
def places(draw: st.DrawFn, least: int = 1) -> dict[str, int]:
    """Names of sites, each at a place of its own."""
    sites = draw(st.lists(names, min_size=least, max_size=8, unique=True))
    taken = draw(
        st.lists(st.integers(1, 120), min_size=len(sites), max_size=len(sites), unique=True)
    )
    return dict(zip(sites, taken, strict=True))
