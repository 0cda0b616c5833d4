"""Rules for labs and for the numbers and names of what joins them to sites.

Knows which gateways can be told apart. Does not know networks, which `networks.py` compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from ems.errors import UsageError, did_you_mean
from infra.plan import asn, tunnels
from infra.settings.fault import Fault, Step, at
from infra.settings.rules.networks import parsed
from infra.settings.types import Environment, Lab

AMAZON = {**dict.fromkeys(asn.AWS_OWN, "AWS's own"), 16509: "Amazon's", 14618: "Amazon's"}
DOCUMENTATION = tuple(map(IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))
"""Addresses for examples: taken as public, so that the environments here can be read."""
MOST_LABS = 10
"""VPN connections of one virtual private gateway, by AWS's default quota."""


def faults(settings: Environment, hidden: frozenset[str] = frozenset()) -> Iterator[Fault]:
    """Return what is off with labs and gateways."""
    for name, lab in settings.labs.items():
        yield from _address(lab.address, ("labs", name, "address"))
        yield from _sites(lab, name, settings, hidden)
        if lab.asn in AMAZON:
            yield Fault(
                at("labs", name, "asn"),
                f"{lab.asn} is {AMAZON[lab.asn]} number (allowed: the lab's own, or a private one "
                "from 64513 to 65534)",
            )
        if name in settings.sites:
            yield Fault(at("labs", name), f"a site is named {name!r} too (allowed: another name)")
    yield from _same_address(settings)
    yield from _numbers(settings)
    yield from _names(settings)
    for site in settings.sites:
        using = [name for name, lab in settings.labs.items() if site in lab.sites]
        if len(using) > MOST_LABS:
            yield Fault(
                at("sites", site), f"{len(using)} labs use it (allowed: {MOST_LABS} by AWS's quota)"
            )
        try:
            tunnels.check({site: using})
        except UsageError as clash:
            yield Fault(at("labs"), f"{clash.subject}: {clash.problem}", clash.next_step)


def _address(text: str, steps: tuple[Step, ...]) -> Iterator[Fault]:
    wanted = "the public IPv4 address of the lab's gateway, as 203.0.113.10"
    try:
        address = IPv4Address(text)
    except AddressValueError:
        yield Fault(at(*steps), f"'{text}' is no IPv4 address (allowed: {wanted})")
        return
    if not address.is_global and not any(address in each for each in DOCUMENTATION):
        kind = "a private" if address.is_private else "a reserved"
        yield Fault(
            at(*steps),
            f"'{text}' is {kind} address, which AWS can't reach (allowed: {wanted})",
            "curl https://checkip.amazonaws.com in the lab",
        )
    elif address.is_multicast or address.is_reserved:
        yield Fault(at(*steps), f"'{text}' is no single host's address (allowed: {wanted})")


def _sites(lab: Lab, name: str, settings: Environment, hidden: frozenset[str]) -> Iterator[Fault]:
    for place, site in enumerate(lab.sites):
        where = at("labs", name, "sites", place)
        if site in lab.sites[:place]:
            yield Fault(where, f"'{site}' stands there twice (allowed: each site once)")
        if site not in settings.sites and site not in hidden:
            known = [*settings.sites, *sorted(hidden)]
            near = did_you_mean(site, known)
            yield Fault(where, f"unknown site '{site}'{near} (allowed: {', '.join(known)})")


def _same_address(settings: Environment) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, lab in settings.labs.items():
        if lab.address in seen:
            yield Fault(
                at("labs", name, "address"),
                f"'{lab.address}' is the gateway of lab {seen[lab.address]} too (allowed: one "
                "lab for each gateway; a lab can have several networks)",
            )
        seen.setdefault(lab.address, name)


def _numbers(settings: Environment) -> Iterator[Fault]:
    """A lab's router drops routes that carry its own number, and AWS's default is everybody's."""
    chosen: dict[int, str] = {}
    for name, site in settings.sites.items():
        found = parsed(site.cidr)
        if found is None:
            continue
        number = site.asn or asn.site_asn(str(found))
        where = at("sites", name, "asn")
        whose = "" if site.asn else ", chosen from its network,"
        allowed = "(allowed: from 64513 to 65534, each once)"
        if number in AMAZON:
            yield Fault(where, f"{number} is {AMAZON[number]} number {allowed}")
        elif number in chosen:
            yield Fault(where, f"{number}{whose} is site {chosen[number]}'s too {allowed}")
        chosen.setdefault(number, name)
        for lab, each in settings.labs.items():
            if each.asn == number:
                yield Fault(where, f"{number}{whose} is lab {lab}'s too {allowed}")


def _names(settings: Environment) -> Iterator[Fault]:
    """What joins two things is named by both, so that `a-b` and `c` could be `a` and `b-c`."""
    pairs = [
        (site, lab) for lab, each in settings.labs.items() for site in dict.fromkeys(each.sites)
    ]
    sites = sorted(settings.sites)
    peers = [(a, b) for a in sites for b in sites if a < b] if settings.join_sites else []
    for joined, kind in ((pairs, "labs"), (peers, "sites")):
        seen: dict[str, tuple[str, str]] = {}
        for pair in joined:
            text = "-".join(pair)
            if seen.setdefault(text, pair) != pair:
                other = " with ".join(seen[text])
                what = f"{' with '.join(pair)} would be named '{text}', as {other} is"
                yield Fault(at(kind, pair[1]), f"{what} (allowed: other names)")
