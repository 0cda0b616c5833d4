"""A lab gateway's files for strongSwan: connections, keys, and the daemon's own settings.

Knows the syntax of swanctl.conf (5.9 and later) and strongswan.conf. Does not know interfaces,
routes, or where keys come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ems.stack.gateway.plan import Gateway, Mode, Tunnel
from ems.stack.gateway.proposals import PHASE1_LIFETIME_S, PHASE2_LIFETIME_S, STRONG

UPDOWN = "/etc/ems-vpn/routes.sh"
"""What charon calls when a tunnel comes up or goes down (static routing, route mode)."""
DPD_DELAY_S = 10
REKEY_PHASE1_S = 25_200
REKEY_PHASE2_S = 2_400
REKEY_SPREAD_S = 300
"""Rekeyed up to this much earlier, by chance, so that tunnels don't do it all at once."""

RETRANSMIT_TRIES = 3
RETRANSMIT_TIMEOUT_S = 2.0
RETRANSMIT_BASE = 1.8
"""With these a peer that says nothing is given up 24 s after the first unanswered message; by
strongSwan's defaults it is 165 s. IKEv2 has no other timeout for dead peers."""


def given_up_after_s() -> float:
    """Return how long a message waits for its answer, all its repetitions included."""
    return sum(RETRANSMIT_TIMEOUT_S * RETRANSMIT_BASE**n for n in range(RETRANSMIT_TRIES + 1))


def connections(gateway: Gateway, mode: Mode) -> str:
    """Return `connections { … }`, one for each tunnel."""
    blocks = [_connection(gateway, tunnel, mode) for tunnel in gateway.tunnels]
    return "\n".join(["connections {", *blocks, "}", ""])


def secrets(gateway: Gateway, keys: Mapping[str, str]) -> str:
    """Return `secrets { … }`: the key of each tunnel by the address of AWS's end.

    Where there is no key, its place is a comment that says where the key lies: no word that can be
    guessed ever stands for one.
    """
    blocks = [_secret(gateway, tunnel, keys.get(tunnel.remote)) for tunnel in gateway.tunnels]
    return "\n".join(["secrets {", *blocks, "}", ""])


def daemon(mode: Mode) -> str:
    """Return the daemon's settings, which hold for all of the machine's connections."""
    routes = (
        "    # Routes go to the tunnels' interfaces; charon must add none of its own.\n"
        "    install_routes = no\n"
        if mode == "route"
        else ""
    )
    return (
        "charon {\n"
        f"{routes}"
        f"    # A silent peer is given up after {given_up_after_s():.0f} s, not after 165 s.\n"
        f"    retransmit_tries = {RETRANSMIT_TRIES}\n"
        f"    retransmit_timeout = {RETRANSMIT_TIMEOUT_S}\n"
        f"    retransmit_base = {RETRANSMIT_BASE}\n"
        "}\n"
    )


def _connection(gateway: Gateway, tunnel: Tunnel, mode: Mode) -> str:
    lines = [
        f"# {tunnel.site}, tunnel {tunnel.number}",
        f"{tunnel.name} {{",
        "    version = 2",
        # Behind NAT the gateway has a private address, and still the public one as identity.
        "    local_addrs = %any",
        f"    remote_addrs = {tunnel.remote}",
        f"    proposals = {','.join(STRONG.ike())}",
        "    mobike = no",
        "    unique = no",
        f"    dpd_delay = {DPD_DELAY_S}s",
        f"    rekey_time = {REKEY_PHASE1_S}s",
        f"    rand_time = {REKEY_SPREAD_S}s",
        f"    over_time = {PHASE1_LIFETIME_S - REKEY_PHASE1_S}s",
        *_indented(_end("local", gateway.address), 1),
        *_indented(_end("remote", tunnel.remote), 1),
        "    children {",
        *_indented(_child(gateway, tunnel, mode), 2),
        "    }",
        "}",
    ]
    return "\n".join(_indented(lines, 1))


def _end(which: str, identity: str) -> list[str]:
    return [f"{which} {{", "    auth = psk", f"    id = {identity}", "}"]


def _child(gateway: Gateway, tunnel: Tunnel, mode: Mode) -> list[str]:
    return [
        f"{tunnel.name} {{",
        *_indented(_selectors(gateway, tunnel, mode), 1),
        f"    esp_proposals = {','.join(STRONG.esp())}",
        f"    rekey_time = {REKEY_PHASE2_S}s",
        f"    rand_time = {REKEY_SPREAD_S}s",
        f"    life_time = {PHASE2_LIFETIME_S}s",
        # Nothing is started here: keep.sh does it, one at a time, so that no tunnel is there twice.
        "    start_action = none",
        "    close_action = none",
        "    dpd_action = clear",
        "}",
    ]


def _selectors(gateway: Gateway, tunnel: Tunnel, mode: Mode) -> list[str]:
    """Return which packets a tunnel takes: what its interface gets, or those of two networks.

    With static routes AWS's end has the site's network alone on its side, and with BGP everything.
    All of a lab's networks stand in one child: AWS takes a single pair of SAs for a tunnel.
    """
    if mode == "policy":
        return [f"local_ts = {','.join(gateway.networks)}", f"remote_ts = {tunnel.site_cidr}"]
    lines = [
        "local_ts = 0.0.0.0/0",
        f"remote_ts = {tunnel.site_cidr if gateway.routing == 'static' else '0.0.0.0/0'}",
        f"if_id_in = {tunnel.if_id}",
        f"if_id_out = {tunnel.if_id}",
    ]
    return [*lines, f"updown = {UPDOWN}"] if gateway.routing == "static" else lines


def _secret(gateway: Gateway, tunnel: Tunnel, key: str | None) -> str:
    lines = [
        f"ike-{tunnel.name} {{",
        f"    id-lab = {gateway.address}",
        f"    id-aws = {tunnel.remote}",
        f'    secret = "{key or ""}"',
        "}",
    ]
    if not key:
        where = f"# Put the key that stands under {tunnel.remote} in the secret"
        lines = [where, f"# {gateway.keys[tunnel.site]}", *(f"# {line}" for line in lines)]
    return "\n".join(_indented(lines, 1))


def _indented(lines: Iterable[str], steps: int) -> list[str]:
    return [f"{'    ' * steps}{line}" for line in lines]
