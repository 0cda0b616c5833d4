"""A lab gateway's FRR configuration: what it tells the sites, and what it believes of them.

Knows frr.conf (8 and later). Does not know tunnels' keys or interfaces' making.
"""

from __future__ import annotations

from ems.stack.gateway.plan import Gateway, Tunnel

KEEPALIVE_S = 10
HOLD_S = 30
"""AWS's own timers (its sample configurations): a silent peer is dropped after 30 seconds."""
MOST_PREFIXES = 10
"""A site tells its own network; a session that brings more than this is shut."""


def frr(gateway: Gateway) -> str:
    """Return frr.conf: one neighbor a tunnel, the lab's networks out, the site's own network in."""
    lines = [
        f"! Lab {gateway.lab}, environment {gateway.environment}",
        "frr defaults traditional",
        "log syslog informational",
        "!",
        *_filters(gateway),
        f"router bgp {gateway.asn}",
        f" bgp router-id {gateway.address}",
        " bgp log-neighbor-changes",
        " no bgp default ipv4-unicast",
        # A lab's network is told even where the gateway reaches it by narrower routes.
        " no bgp network import-check",
    ]
    for tunnel in gateway.tunnels:
        lines += _neighbor(tunnel)
    lines += [" !", " address-family ipv4 unicast"]
    lines += [f"  network {network}" for network in gateway.networks]
    for tunnel in gateway.tunnels:
        lines += _family(tunnel)
    return "\n".join([*lines, " exit-address-family", "exit", ""])


def _filters(gateway: Gateway) -> list[str]:
    """Return prefix lists and route maps. No list lets a site's network out: no transit."""
    lines = [
        f"ip prefix-list ems-lab seq {5 * number} permit {network}"
        for number, network in enumerate(gateway.networks, start=1)
    ]
    sites = {tunnel.site: tunnel.site_cidr for tunnel in gateway.tunnels}
    lines += [f"ip prefix-list ems-site-{site} seq 5 permit {cidr}" for site, cidr in sites.items()]
    lines.append("!")
    for tunnel in gateway.tunnels:
        # The first tunnel is preferred on both sides: by local preference here, by MED at AWS.
        lines += [
            f"route-map ems-{tunnel.name}-in permit 10",
            f" match ip address prefix-list ems-site-{tunnel.site}",
            f" set local-preference {300 - tunnel.metric}",
            "exit",
            f"route-map ems-{tunnel.name}-out permit 10",
            " match ip address prefix-list ems-lab",
            f" set metric {tunnel.metric}",
            "exit",
        ]
    return [*lines, "!"]


def _neighbor(tunnel: Tunnel) -> list[str]:
    neighbor = f" neighbor {tunnel.neighbor}"
    return [
        f"{neighbor} remote-as {tunnel.site_asn}",
        f"{neighbor} description {tunnel.site} tunnel {tunnel.number}",
        f"{neighbor} timers {KEEPALIVE_S} {HOLD_S}",
        f"{neighbor} timers connect {KEEPALIVE_S}",
    ]


def _family(tunnel: Tunnel) -> list[str]:
    neighbor = f"  neighbor {tunnel.neighbor}"
    return [
        f"{neighbor} activate",
        f"{neighbor} soft-reconfiguration inbound",
        f"{neighbor} maximum-prefix {MOST_PREFIXES}",
        f"{neighbor} route-map ems-{tunnel.name}-in in",
        f"{neighbor} route-map ems-{tunnel.name}-out out",
    ]
