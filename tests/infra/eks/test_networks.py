"""Which subnets hold a cluster, and which networks its pods could not reach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.errors import UsageError
from infra.eks.networks import (
    CANNOT_HOLD,
    SERVICE_NETWORK,
    check_service_network,
    control_plane_subnets,
)

ZONES = [*sorted(CANNOT_HOLD), "usw2-az1", "usw2-az2", "usw2-az3", "use1-az1"]


@given(st.sets(st.sampled_from(ZONES), min_size=1))
def test_a_cluster_gets_every_zone_that_can_hold_it_or_is_refused(zones: set[str]) -> None:
    subnets = {zone: f"subnet-{zone}" for zone in zones}
    usable = zones - CANNOT_HOLD
    if len(usable) >= 2:
        found = control_plane_subnets("dev-x", subnets)
        assert found == {zone: subnets[zone] for zone in usable}
        assert list(found) == sorted(found)
    else:
        with pytest.raises(UsageError) as refused:
            control_plane_subnets("dev-x", subnets)
        for zone in zones & CANNOT_HOLD:
            assert zone in str(refused.value)


@pytest.mark.parametrize("network", [SERVICE_NETWORK, "172.20.4.0/24", "172.16.0.0/12"])
def test_a_network_where_services_have_their_addresses_is_refused(network: str) -> None:
    with pytest.raises(UsageError, match="lab-usc-0 has"):
        check_service_network("dev-x", {"site": "10.16.0.0/16", "lab-usc-0": network})


def test_any_other_network_will_do() -> None:
    check_service_network("dev-x", {"site": "10.16.0.0/16", "lab": "172.21.0.0/16"})
