"""BGP numbers: of a site alone, all different, and nobody else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.errors import UsageError
from infra.plan.asn import AWS_OWN, site_asn, site_asns

sixteens = st.integers(0, 255).map(lambda second: f"10.{second}.0.0/16")


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), sixteens, min_size=1))
def test_a_site_that_is_added_changes_no_other(sites: dict[str, str]):
    if len(set(sites.values())) < len(sites):
        return
    alone = {name: site_asns({name: cidr})[name] for name, cidr in sites.items()}
    assert site_asns(sites) == alone


def test_all_16_of_10_8_get_different_numbers():
    assert len({site_asn(f"10.{second}.0.0/16") for second in range(256)}) == 256


@given(st.integers(0, 4095).map(lambda place: f"10.{place // 16}.{place % 16 * 16}.0/20"))
def test_numbers_are_private_and_neither_aws_s_nor_a_lab_s_default(cidr: str):
    number = site_asn(cidr)
    assert 64512 < number < 65000
    assert number not in AWS_OWN


def test_numbers_are_pinned():
    """A gateway's number can't be changed: another would cut every lab off."""
    assert [site_asn(f"10.{second}.0.0/16") for second in (16, 17, 32)] == [64821, 64837, 64590]


def test_a_number_that_is_given_holds():
    assert site_asns({"oregon": "10.16.0.0/16"}, {"oregon": 65100}) == {"oregon": 65100}


def test_two_sites_with_one_number_are_refused_by_name():
    with pytest.raises(UsageError) as refused:
        site_asns({"a": "10.16.0.0/16", "b": "10.17.0.0/16"}, {"b": 64821})
    assert str(refused.value) == (
        "site a, site b: both have the BGP number 64821 (allowed: a number of its own for each). "
        "Try: set `asn:` of site b, 64513 to 65534, before its gateway is made"
    )


def test_a_site_with_a_lab_s_number_is_refused_by_name():
    with pytest.raises(UsageError, match="site a, lab alpha: both have the BGP number 64821"):
        site_asns({"a": "10.16.0.0/16"}, labs={"alpha": 64821})


def test_aws_s_default_is_refused():
    with pytest.raises(UsageError, match=r"sites\.a\.asn: 64512 is AWS's own"):
        site_asns({"a": "10.16.0.0/16"}, {"a": 64512})
