"""A lab gateway's files for Linux: interfaces, routes, clamping, forwarding, systemd units.

Knows `ip`, `nft`, `sysctl` and systemd. Does not know IKE, keys, or BGP. The scripts are for a
plain `sh` and may be run again at any time.
"""

from __future__ import annotations

from ems.stack.gateway.plan import Gateway, Mode, Tunnel
from ems.stack.gateway.proposals import MSS, MTU

TABLE = "ems_vpn"
"""The nftables table: made anew as a whole, so it never touches another's rules."""
LOOK_EVERY_S = 5
START_WITHIN_S = 30
"""Longer than charon tries, so that a tunnel is never being started twice."""


_INTERFACE = f"""\
interface() {{ # name, if_id, inside address, alias
    ip link show "$1" >/dev/null 2>&1 || ip link add "$1" type xfrm if_id "$2"
    ip link set "$1" mtu {MTU} alias "$4"
    ip address replace "$3" dev "$1"
    # Answers may come back over the other tunnel.
    sysctl -q -w "net.ipv4.conf.$1.rp_filter=2"
    ip link set "$1" up
}}

gone() {{ # name, connection: with its interface a tunnel goes too, and so comes back with its route
    swanctl --terminate --ike "$2" --timeout 5 >/dev/null 2>&1 || true
    ip link del "$1" || true
}}
"""


def tunnels(gateway: Gateway) -> str:
    """Return the script that makes the tunnels' interfaces (`up`) and removes them (`down`)."""
    up = "\n".join(_interface(tunnel) for tunnel in gateway.tunnels)
    down = "\n".join(f"    gone {t.interface} {t.name}" for t in gateway.tunnels)
    return f"""#!/bin/sh
# The interfaces of the tunnels of lab {gateway.lab}. An XFRM interface encrypts nothing by itself:
# what is routed into it is taken by the SAs with the same if_id.
set -eu

{_INTERFACE}
case "$1" in
up)
{up}
    nft -f /etc/ems-vpn/firewall.nft
    ;;
down)
{down}
    nft delete table inet {TABLE} || true
    ;;
esac
"""


def routes(gateway: Gateway) -> str:
    """Return the script that charon calls: a tunnel that is up has its route, one down has none."""
    cases = "\n".join(
        f"{tunnel.name}) route={tunnel.site_cidr} interface={tunnel.interface} "
        f"metric={tunnel.metric} ;;"
        for tunnel in gateway.tunnels
    )
    return f"""#!/bin/sh
# Called by charon as a tunnel comes up or goes down. The first tunnel's route has the lower metric,
# and the second's takes over when it is gone.
set -eu

case "$PLUTO_CONNECTION" in
{cases}
*) exit 0 ;;
esac

case "$PLUTO_VERB" in
up-client) ip route replace "$route" dev "$interface" metric "$metric" ;;
down-client) ip route del "$route" dev "$interface" metric "$metric" || true ;;
esac
"""


def firewall(gateway: Gateway, routed: bool) -> str:
    """Return the nftables rules: clamp TCP's segments, and let no site reach another by the lab."""
    if routed:
        mine = 'oifname "ems*"'
        back = 'iifname "ems*"'
        transit = '        iifname "ems*" oifname "ems*" drop\n'
    else:
        sites = ", ".join(dict.fromkeys(tunnel.site_cidr for tunnel in gateway.tunnels))
        mine = f"ip daddr {{ {sites} }}"
        back = f"ip saddr {{ {sites} }}"
        transit = f"        ip saddr {{ {sites} }} ip daddr {{ {sites} }} drop\n"
    clamp = f"tcp flags & (syn | rst) == syn tcp option maxseg size > {MSS} tcp option maxseg"
    return (
        "# AWS's VPN does not tell senders that a packet is too big, so TCP must know beforehand.\n"
        # Declared before it is deleted: so it may be there or not.
        f"table inet {TABLE}\n"
        f"delete table inet {TABLE}\n"
        f"table inet {TABLE} {{\n"
        "    chain forward {\n"
        "        type filter hook forward priority mangle; policy accept;\n"
        f"{transit}"
        f"        {mine} {clamp} size set {MSS}\n"
        f"        {back} {clamp} size set {MSS}\n"
        "    }\n"
        "}\n"
    )


def sysctl() -> str:
    """Return the settings that hold for the whole machine."""
    return "net.ipv4.ip_forward = 1\n"


def keep(gateway: Gateway, mode: Mode) -> str:
    """Return the loop that starts what is not up: both tunnels of a site, or one of the two."""
    routed = mode == "route"
    what = [tunnel.name for tunnel in gateway.tunnels] if routed else gateway.sites
    return f"""#!/bin/sh
{_look_each(gateway.routing == "static") if routed else _LOOK_ONE}
for each in {" ".join(what)}; do
    while true; do
        look "$each"
        sleep {LOOK_EVERY_S}
    done &
done
wait
"""


_START = f"""\
set -u

is_up() {{ swanctl --list-sas --ike "$1" --noblock 2>/dev/null | grep -q INSTALLED; }}

start() {{
    is_up "$1" || swanctl --initiate --child "$1" --timeout {START_WITHIN_S} >/dev/null 2>&1
}}
"""
_LOOK_ONE = f"""\
# Keeps one tunnel of each site up, the first if it can be. Two with the same policies would not do:
# Linux refuses what comes in by the one that its policies do not name.
{_START}
look() {{
    if start "$1-1"; then
        ! is_up "$1-2" || swanctl --terminate --ike "$1-2" --timeout 5 >/dev/null
    else
        start "$1-2"
    fi
}}
"""


def _look_each(static: bool) -> str:
    if not static:
        return f'# Starts each tunnel that is not up.\n{_START}\nlook() {{ start "$1"; }}\n'
    return f"""\
# Starts each tunnel that is not up. One that is up has its route, whoever took that away.
{_START}
look() {{
    start "$1" && PLUTO_VERB=up-client PLUTO_CONNECTION="$1" /etc/ems-vpn/routes.sh
}}
"""


def unit(gateway: Gateway, mode: Mode) -> str:
    """Return the systemd unit: interfaces and rules first, then the loop."""
    name = f"{gateway.lab} ({gateway.environment})"
    if mode == "route":
        before = "\nBefore=strongswan.service frr.service"
        up = "/etc/ems-vpn/tunnels.sh up"
        down = "/etc/ems-vpn/tunnels.sh down"
    else:
        before = ""
        up = "/usr/sbin/nft -f /etc/ems-vpn/firewall.nft"
        down = f"/usr/sbin/nft delete table inet {TABLE}"
    return f"""[Unit]
Description=VPN tunnels of lab {name}
Wants=network-online.target strongswan.service
After=network-online.target{before}

[Service]
ExecStartPre={up}
ExecStart=/etc/ems-vpn/keep.sh
ExecStopPost=-{down}
Restart=always

[Install]
WantedBy=multi-user.target
"""


def _interface(tunnel: Tunnel) -> str:
    words = (tunnel.interface, str(tunnel.if_id), str(tunnel.inside))
    return f'    interface {" ".join(words)} "{tunnel.site} tunnel {tunnel.number}"'
