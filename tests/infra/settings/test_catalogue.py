from __future__ import annotations

from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

from infra.settings import catalogue


def test_zone_ids_begin_as_aws_has_them() -> None:
    known = RegionsAndZonesBackend.zones
    checked = [region for region in catalogue.regions() if region in known]
    assert len(checked) > 30
    for region in checked:
        for zone in known[region]:
            assert zone.zone_id.startswith(f"{catalogue.zone_prefix(region)}-az")
            assert catalogue.region_of(zone.zone_id) == region


def test_no_two_regions_share_a_prefix() -> None:
    prefixes = [catalogue.zone_prefix(region) for region in catalogue.regions()]
    assert len(set(prefixes)) == len(prefixes)


def test_names_are_there() -> None:
    assert {"us-west-2", "eu-west-1"} <= set(catalogue.regions())
    assert not {"cn-north-1", "us-gov-west-1"} & set(catalogue.regions())
    assert {"g5.12xlarge", "c7i.xlarge"} <= set(catalogue.instance_types())
    assert {"g5", "c7i", "p6-b200"} <= set(catalogue.families())
