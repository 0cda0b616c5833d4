"""What joins an environment's places: peering between sites, VPN between labs and sites.

Knows places and the topology. Which pairs are joined is planned in `infra/plan/routes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.network.peering import Peering, PeeringArgs, PeeringSide
from infra.network.vpn import Vpn, VpnArgs, VpnGateway, VpnGatewayArgs
from infra.place import Place, Setting
from infra.plan.routes import connections, peerings

Links = Mapping[tuple[str, str], Vpn]
"""Lab and site → the VPN connection between them."""


def join(places: Mapping[str, Place], setting: Setting) -> Links:
    """Join the sites with each other, and the labs with the sites that they use."""
    for one, other in peerings(setting.topology):
        _peer(places[one], places[other], setting)
    return _labs(places, setting)


def _peer(one: Place, other: Place, setting: Setting) -> None:
    sides = [
        PeeringSide(
            site=place.name,
            region=place.region.name,
            network=place.network,
            provider=place.region.provider,
        )
        for place in (one, other)
    ]
    Peering(
        f"{setting.environment}-{one.name}-{other.name}", PeeringArgs(setting.environment, *sides)
    )


@dataclass(frozen=True)
class _End:
    """A site's end of its VPN connections."""

    place: Place
    gateway: VpnGateway


def _labs(places: Mapping[str, Place], setting: Setting) -> Links:
    """Make a gateway at each site that a lab uses, and a connection from each lab to each."""
    wanted = connections(setting.topology)
    ends = {site: _end(places[site], setting) for site in sorted({site for site, _ in wanted})}
    return {(lab, site): _vpn(lab, ends[site], setting) for site, lab in wanted}


def _end(place: Place, setting: Setting) -> _End:
    gateway = VpnGateway(
        f"{setting.environment}-{place.name}-vpn",
        VpnGatewayArgs(network=place.network, asn=setting.asns[place.name]),
        pulumi.ResourceOptions(provider=place.region.provider),
    )
    return _End(place, gateway)


def _vpn(lab: str, end: _End, setting: Setting) -> Vpn:
    place = end.place
    return Vpn(
        f"{setting.environment}-{place.name}-{lab}",
        VpnArgs(
            environment=setting.environment,
            site=place.name,
            lab=lab,
            settings=setting.settings.labs[lab],
            network=place.network,
            gateway=end.gateway.id,
            site_asn=setting.asns[place.name],
            alarms_topic=place.region.topic,
        ),
        pulumi.ResourceOptions(provider=place.region.provider),
    )
