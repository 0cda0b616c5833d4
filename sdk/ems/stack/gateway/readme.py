"""The README of a lab gateway's folder: five steps to install, and how to see that it works.

Knows the commands of a Debian or Ubuntu gateway. Does not know what stands in the files.
"""

from __future__ import annotations

from ems.stack.gateway.plan import Gateway, Mode

PACKAGES = "charon-systemd strongswan-swanctl libstrongswan-standard-plugins nftables"


def readme(gateway: Gateway, mode: Mode, with_keys: bool) -> str:
    """Return the README."""
    bgp = gateway.routing == "bgp"
    steps = [
        _packages(bgp),
        _copy(gateway, with_keys),
        _open(gateway),
        _start(bgp),
        _hosts(gateway),
    ]
    numbered = "\n\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
    return "\n\n".join(
        [_head(gateway, mode, with_keys), numbered, _check(gateway, mode), _notes(mode)]
    )


def _head(gateway: Gateway, mode: Mode, with_keys: bool) -> str:
    rows = "\n".join(
        f"| {t.site} | {t.number} | {t.remote} | {t.inside.ip} | {t.neighbor} | "
        f"{t.interface if mode == 'route' else '-'} | {t.site_cidr} |"
        for t in gateway.tunnels
    )
    keys = (
        "\n\nThis folder holds the tunnels' keys (`etc/swanctl/conf.d/ems-vpn-keys.conf`,\n"
        "readable by its owner alone). Keep it off repositories and shared disks, and remove it\n"
        "when it is installed."
        if with_keys
        else ""
    )
    return f"""# Gateway of lab {gateway.lab}, environment {gateway.environment}

Written by `emsctl stack vpn {gateway.lab}`. For a Linux machine that has the public address
{gateway.address}, or stands behind NAT that has it, and that routes for {_words(gateway)}.

| site | tunnel | AWS's address | inside, lab | inside, AWS | interface | network |
|---|---|---|---|---|---|---|
{rows}{keys}

## Install"""


def _words(gateway: Gateway) -> str:
    return ", ".join(gateway.networks)


def _packages(bgp: bool) -> str:
    more = " frr" if bgp else ""
    return f"""Packages (Debian 12, Ubuntu 24.04 or later):

   ```
   sudo apt install {PACKAGES}{more}
   ```"""


def _copy(gateway: Gateway, with_keys: bool) -> str:
    keys = (
        ""
        if with_keys
        else "\n\n   Put the keys into `etc/swanctl/conf.d/ems-vpn-keys.conf` first; it says which "
        "secret has\n   them. Or write the folder again without `--no-keys`."
    )
    return f"""Copy the files, as root and from this folder:{keys}

   ```
   sudo cp -r etc/. /etc/
   sudo sysctl --system
   ```"""


def _open(gateway: Gateway) -> str:
    ends = ", ".join(tunnel.remote for tunnel in gateway.tunnels)
    return f"""In the firewall before the gateway, let UDP 500, UDP 4500 and ESP (IP protocol 50)
   through, both ways, for {ends}."""


def _start(bgp: bool) -> str:
    frr = (
        """
   sudo sed -i 's/^bgpd=no/bgpd=yes/' /etc/frr/daemons
   sudo vtysh -C -f frr.conf && sudo install -o frr -g frr -m 640 frr.conf /etc/frr/frr.conf
   sudo systemctl restart frr"""
        if bgp
        else ""
    )
    warning = (
        "\n\n   This replaces `/etc/frr/frr.conf`: on a router that has one, merge the two instead."
        if bgp
        else ""
    )
    return f"""Start, now and at each boot:

   ```
   sudo systemctl daemon-reload
   sudo systemctl enable ems-vpn strongswan
   sudo systemctl restart ems-vpn strongswan{frr}
   ```{warning}"""


def _hosts(gateway: Gateway) -> str:
    sites = ", ".join(dict.fromkeys(tunnel.site_cidr for tunnel in gateway.tunnels))
    return f"""Where this machine is not the lab's default router, tell that router that {sites}
   is reached by this machine."""


def _check(gateway: Gateway, mode: Mode) -> str:
    first = gateway.tunnels[0]
    both = (
        "Each tunnel shows `ESTABLISHED` and its child `INSTALLED`."
        if mode == "route"
        else "The first tunnel of each site shows `ESTABLISHED` and its child `INSTALLED`; the\n"
        "second comes up within half a minute after the first is gone, and goes when it is back."
    )
    lines = [f"sudo swanctl --list-sas            # {len(gateway.tunnels)} tunnels"]
    if mode == "route":
        lines.append(f"ip route show {first.site_cidr}")
        lines.append(f"ping -c 3 -I {first.interface} {first.neighbor}")
    if gateway.routing == "bgp":
        lines.append("sudo vtysh -c 'show bgp summary'   # each neighbor: 1 prefix received")
    shown = "\n".join(lines)
    return f"""## See that it works

```
{shown}
```

{both}

What went wrong is in `journalctl -u strongswan`. AWS's view: `aws ec2 describe-vpn-connections`,
under `VgwTelemetry`."""


def _notes(mode: Mode) -> str:
    policy = """
- Written with `--mode policy`: packets are chosen by their addresses, without interfaces. One
  tunnel of a site is up at a time, so the environment's alarm for a down tunnel stays on."""
    return f"""## Good to know

- `etc/strongswan.d/ems-vpn.conf` holds for all connections of this machine's charon.
- The gateway's own packets to a site leave from an address that the site may not know; test from a
  machine behind it, or give `ping -I` an address of the lab.
- `ems-vpn.service` starts a tunnel that is not up, for ever; stop it before you stop strongSwan.
- No site reaches another through this machine.{policy if mode == "policy" else ""}
"""
