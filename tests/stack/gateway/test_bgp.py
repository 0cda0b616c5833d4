from __future__ import annotations

import re

from hypothesis import given

from ems.stack.gateway.bgp import frr
from tests.stack.gateway.labs import NETWORKS, gateway, places


@given(places())
def test_each_neighbor_is_told_of_the_lab_and_believed_of_its_site_alone(
    sites: dict[str, int],
) -> None:
    planned = gateway(sites, "bgp")
    text = frr(planned)
    out = set(re.findall(r"^ip prefix-list ems-lab seq \d+ permit (\S+)$", text, re.MULTILINE))
    assert out == set(NETWORKS)
    for tunnel in planned.tunnels:
        assert f"ip prefix-list ems-site-{tunnel.site} seq 5 permit {tunnel.site_cidr}\n" in text
        assert (
            f"route-map ems-{tunnel.name}-in permit 10\n"
            f" match ip address prefix-list ems-site-{tunnel.site}\n"
            f" set local-preference {200 if tunnel.number == 1 else 100}\n"
        ) in text
        assert (
            f"route-map ems-{tunnel.name}-out permit 10\n"
            " match ip address prefix-list ems-lab\n"
            f" set metric {tunnel.metric}\n"
        ) in text
        for way in ("in", "out"):
            assert f"  neighbor {tunnel.neighbor} route-map ems-{tunnel.name}-{way} {way}\n" in text
    assert text.count(" permit 10\n") == 2 * len(planned.tunnels)
