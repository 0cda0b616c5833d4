"""Every pair of sites and labs, both ways, ports included, through the networks that were made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from infra.plan.routes import LabLinks, Topology, reaches
from tests.infra.network.walk import Host, Lab, World, read
from tests.rigs import rig
from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.project import Project

pytestmark = rig("pulumi")

PROGRAM = "from tests.infra.network.program import deploy\n\ndeploy()\n"
SITES: dict[str, Any] = {
    "east": {"region": "us-east-1", "cidr": "10.17.0.0/16", "zones": ["use1-az1"], "nat": "one"},
    "near": {"region": "us-west-2", "cidr": "10.18.0.0/20", "zones": ["usw2-az2"]},
    "west": {
        "region": "us-west-2",
        "cidr": "10.16.0.0/16",
        "zones": ["usw2-az1", "usw2-az2"],
        "endpoints": ["logs"],
    },
}
LABS: dict[str, Any] = {
    "alpha": {
        "address": "192.0.2.1",
        "networks": ["10.1.0.0/16", "10.2.0.0/24"],
        "sites": ["west"],
    },
    "beta": {
        "address": "192.0.2.2",
        "networks": ["10.3.0.0/16"],
        "sites": ["east", "west"],
        "routing": "bgp",
        "asn": 65010,
    },
    "gamma": {"address": "192.0.2.3", "networks": ["10.4.0.0/24"], "sites": ["west"]},
    "delta": {
        "address": "192.0.2.4",
        "networks": ["10.5.0.0/24"],
        "sites": ["west"],
        "routing": "bgp",
        "asn": 65011,
    },
}
TOPOLOGY = Topology(
    {name: site["cidr"] for name, site in SITES.items()},
    {name: LabLinks(tuple(lab["networks"]), tuple(lab["sites"])) for name, lab in LABS.items()},
)
FILES, SSH, HTTPS = 2049, 22, 443


@dataclass(frozen=True)
class Made:
    """What was made: the world as read back, and a host of each kind at each place."""

    world: World
    jobs: dict[str, Host]
    files: dict[str, Host]
    labs: dict[str, Host]
    endpoint: Host


def device(name: str, *, sends: tuple[str, ...] | None = None) -> Lab:
    """A lab's device that does what the file says which EMS writes for it, or `sends` otherwise."""
    lab = LABS[name]
    sites = tuple(SITES[site]["cidr"] for site in lab["sites"])
    networks, announces = tuple(lab["networks"]), lab.get("routing") == "bgp"
    return Lab(name, lab["address"], networks, sends or sites, announces)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Three sites, two of them in one region, and four labs, two by BGP."""
    config = {"sites": SITES, "labs": LABS, "files": True}
    folder: Path = tmp_path_factory.mktemp("reach") / "engine"
    project = Project.inline(PROGRAM, name="net")
    with Cloud() as cloud, Engine(folder, cloud, project, config=config) as engine:
        engine.up()
        outputs, state = engine.outputs(), engine.resources()
        regions = sorted({site["region"] for site in SITES.values()})
        yield _made(read(cloud, regions, state, [device(name) for name in LABS]), outputs, state)


def _made(world: World, outputs: dict[str, Any], state: list[dict[str, Any]]) -> Made:
    def host(site: str, kind: str, group: str) -> Host:
        subnet = next(iter(outputs[site]["subnets"][kind].values()))
        return Host(_in(world, subnet, 10), subnet, (outputs[site]["groups"][group],))

    names = {resource["urn"].split("::")[-1]: resource for resource in state}
    group = names["dev-west-endpoints-group"]["id"]
    place = next(iter(outputs["west"]["subnets"]["private"].values()))
    return Made(
        world,
        {site: host(site, "jobs", "jobs") for site in SITES},
        {site: host(site, "private", "files") for site in SITES},
        {lab: Host(str(IPv4Network(LABS[lab]["networks"][0])[9]), lab) for lab in LABS},
        Host(_in(world, place, 11), place, (group,)),
    )


def _in(world: World, subnet: str, number: int) -> str:
    # where in its network a subnet lies doesn't matter to the walk, as long as it is inside
    return str(world.networks[world.subnets[subnet][0]][number])


def test_files_are_reached_by_exactly_those_who_may(made: Made):
    callers = {**made.jobs, **made.labs}
    for one, caller in callers.items():
        for site, files in made.files.items():
            wanted = reaches(TOPOLOGY, one, site)
            assert made.world.talks(caller, files, FILES) == wanted, (
                f"{one} to files of {site}: {made.world.hindrance(caller, files, FILES)}"
            )
            assert not made.world.talks(caller, files, SSH), f"{one} to ssh of {site}"


def test_a_lab_is_reached_from_exactly_the_sites_that_it_uses(made: Made):
    for site, job in made.jobs.items():
        for lab, machine in made.labs.items():
            wanted = reaches(TOPOLOGY, site, lab)
            assert made.world.talks(job, machine, SSH) == wanted, (
                f"{site} to {lab}: {made.world.hindrance(job, machine, SSH)}"
            )


def test_nothing_but_a_job_of_the_same_site_gets_into_a_job(made: Made):
    callers = {**made.jobs, **made.labs}
    for one, caller in callers.items():
        for site, job in made.jobs.items():
            for port in (SSH, FILES, HTTPS, 8265):
                assert made.world.talks(caller, job, port) == (one == site), f"{one} to {site}"


def test_labs_do_not_reach_each_other(made: Made):
    for one, other in permutations(made.labs.values(), 2):
        assert not made.world.talks(one, other, SSH), f"{one.place} to {other.place}"


def test_endpoints_serve_their_own_site_alone(made: Made):
    for site, job in made.jobs.items():
        assert made.world.talks(job, made.endpoint, HTTPS) == (site == "west")
        assert not made.world.talks(job, made.endpoint, SSH)
    assert not made.world.talks(made.labs["alpha"], made.endpoint, HTTPS)


def greedy(made: Made) -> World:
    """The same world with devices that send everything into every tunnel."""
    labs = {name: device(name, sends=("0.0.0.0/0",)) for name in LABS}
    return replace(made.world, labs=labs)


def test_a_lab_that_sends_everything_gets_no_further_than_its_sites(made: Made):
    world = greedy(made)
    for lab, machine in made.labs.items():
        for site, files in made.files.items():
            assert world.talks(machine, files, FILES) == (site in LABS[lab]["sites"])


def test_labs_with_static_routes_are_kept_apart_by_aws_whatever_they_send(made: Made):
    world = greedy(made)
    for one, other in permutations(made.labs.values(), 2):
        if "bgp" not in (LABS[one.place].get("routing"), LABS[other.place].get("routing")):
            assert not world.talks(one, other, SSH), f"{one.place} to {other.place}"


def test_labs_by_bgp_at_one_site_are_kept_apart_by_their_own_devices_alone(made: Made):
    """A gateway passes on between BGP connections: the lab's filter is what holds them apart."""
    assert greedy(made).talks(made.labs["beta"], made.labs["delta"], SSH)
    assert not made.world.talks(made.labs["beta"], made.labs["delta"], SSH)
    # one device that keeps to its sites is enough
    mixed = replace(
        made.world, labs={**made.world.labs, "beta": device("beta", sends=("0.0.0.0/0",))}
    )
    assert not mixed.talks(made.labs["beta"], made.labs["delta"], SSH)


def without(world: World, vpc: str, target: str) -> World:
    """The same world with no route in a VPC's tables to a target that begins so."""
    of_vpc = {table for place, table in world.subnets.values() if place == vpc}
    tables = {
        table: [r for r in routes if table not in of_vpc or not r[1].startswith(target)]
        for table, routes in world.tables.items()
    }
    return replace(world, tables=tables)


def test_the_walk_notices_routes_that_are_missing_on_either_side(made: Made):
    east, west = (made.world.subnets[made.jobs[site].place][0] for site in ("east", "west"))
    job, files = made.jobs["east"], made.files["west"]
    for vpc, says in ((east, "no way from"), (west, "no way back from")):
        assert without(made.world, vpc, "pcx-").hindrance(job, files, FILES).startswith(says)
    no_propagation = without(made.world, west, "vgw-")
    assert "no way back" in no_propagation.hindrance(made.labs["alpha"], files, FILES)
    assert "no way from" in no_propagation.hindrance(made.jobs["west"], made.labs["alpha"], SSH)


def test_the_walk_notices_rules_that_are_missing(made: Made):
    silent = {
        group: {**rules, "IpPermissionsEgress": []} for group, rules in made.world.rules.items()
    }
    deaf = {group: {**rules, "IpPermissions": []} for group, rules in made.world.rules.items()}
    job, files = made.jobs["east"], made.files["west"]
    mute = replace(made.world, rules=silent).hindrance(job, files, FILES)
    assert mute == f"no rule lets {job.address} out"
    assert "into" in replace(made.world, rules=deaf).hindrance(job, files, FILES)
