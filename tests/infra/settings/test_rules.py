"""Each setting that is off is named, with what is wrong and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from infra.plan.routes import JOB_ENDPOINTS
from infra.settings import catalogue, rules
from infra.settings.fault import SettingsError
from infra.settings.reading import read
from tests.infra.settings.good import VPC, varied

OREGON = "ems:sites.oregon"


def faults_of(*changes: tuple[str, Any], environment: str = "dev") -> dict[str, str]:
    """Return what is said of each path."""
    said: dict[str, str] = {}
    try:
        read(varied(*changes), environment)
    except SettingsError as error:
        for fault in error.faults:
            said[fault.where] = f"{said.get(fault.where, '')} {fault.what}".strip()
    return said


def test_the_good_environment_is_good() -> None:
    assert faults_of() == {}
    assert rules.warnings(read(varied(), "dev")) == []


@pytest.mark.parametrize(
    ("path", "value", "where", "words"),
    [
        # networks
        ("sites.oregon.cidr", "10.17.128.0/17", "ems:sites.ireland.cidr",
         "site oregon (10.17.128.0/17) and site ireland (10.17.0.0/16) overlap"),
        ("labs.kyoto.networks.1", "10.16.3.0/24", "ems:labs.kyoto.networks[1]",
         "site oregon (10.16.0.0/16) and lab kyoto networks[1] (10.16.3.0/24) overlap"),
        ("labs.kyoto.networks.1", "192.168.10.0/25", "ems:labs.kyoto.networks[1]",
         "lab berlin (192.168.10.0/24) and lab kyoto"),
        ("labs.kyoto.networks.1", "192.168.20.0/23", "ems:labs.kyoto.networks[1]", "overlap"),
        ("sites.oregon.cidr", "10.16.0.0/24", f"{OREGON}.cidr", "too small (allowed: /16 to /20"),
        ("sites.oregon.cidr", "10.0.0.0/12", f"{OREGON}.cidr", "too large (allowed: /16 to /20"),
        ("sites.oregon.cidr", "10.16.1.0/16", f"{OREGON}.cidr", "allowed: 10.16.0.0/16"),
        ("sites.oregon.cidr", "10.300.0.0/16", f"{OREGON}.cidr", "is no network"),
        ("sites.oregon.cidr", "10.16.0.0/40", f"{OREGON}.cidr", "is no network"),
        ("sites.oregon.cidr", "54.10.0.0/16", f"{OREGON}.cidr", "no private network"),
        ("sites.oregon.cidr", "100.64.0.0/16", f"{OREGON}.cidr", "no private network"),
        ("sites.oregon.cidr", "172.17.0.0/16", f"{OREGON}.cidr", "Docker"),
        ("labs.kyoto.networks.0", "0.0.0.0/0", "ems:labs.kyoto.networks[0]", "too large"),
        ("labs.kyoto.networks.0", "172.17.4.0/24", "ems:labs.kyoto.networks[0]", "Docker"),
        # places
        ("sites.oregon.region", "us-wset-2", f"{OREGON}.region", "did you mean 'us-west-2'?"),
        ("sites.oregon.region", "us-esat-1", f"{OREGON}.region", "did you mean 'us-east-1'?"),
        ("sites.oregon.region", "cn-north-1", f"{OREGON}.region", "unknown region"),
        ("sites.oregon.zones.1", "use1-az1", f"{OREGON}.zones[1]", "is a zone of us-east-1"),
        ("sites.oregon.zones.1", "xyz1-az1", f"{OREGON}.zones[1]", "no region's zone"),
        ("sites.oregon.zones.1", "us-west-2b", f"{OREGON}.zones[1]", "a zone's id such as"),
        ("sites.oregon.zones.1", "usw2-az1", f"{OREGON}.zones[1]", "stands there twice"),
        ("sites.oregon.zones", [], f"{OREGON}.zones", "is empty (allowed: 1 to 3)"),
        ("sites.oregon.endpoints", ["ecr.apo"], f"{OREGON}.endpoints[0]", "mean 'ecr.api'?"),
        ("sites.oregon.endpoints", ["ecs", "ecs"], f"{OREGON}.endpoints[1]", "twice"),
        ("sites.oregon.endpoints", ["s3"], f"{OREGON}.endpoints[0]", "by the gateway endpoint"),
        ("sites.oregon.endpoints", ["dynamodb"], f"{OREGON}.endpoints[0]", "no private DNS"),
        ("home", "eu-west-2", "ems:home", "no site's region (did you mean"),
        ("home", "", "ems:home", "sites lie in 2 regions"),
        # labs
        ("labs.kyoto.address", "192.168.1.1", "ems:labs.kyoto.address", "a private address"),
        ("labs.kyoto.address", "127.0.0.1", "ems:labs.kyoto.address", "AWS can't reach"),
        ("labs.kyoto.address", "169.254.1.1", "ems:labs.kyoto.address", "AWS can't reach"),
        ("labs.kyoto.address", "100.64.1.1", "ems:labs.kyoto.address", "AWS can't reach"),
        ("labs.kyoto.address", "224.0.0.5", "ems:labs.kyoto.address", "no single host"),
        ("labs.kyoto.address", "300.1.1.1", "ems:labs.kyoto.address", "no IPv4 address"),
        ("labs.kyoto.address", "203.0.113.10", "ems:labs.kyoto.address", "lab berlin too"),
        ("labs.kyoto.asn", 64512, "ems:labs.kyoto.asn", "AWS's own"),
        ("labs.kyoto.asn", 7224, "ems:labs.kyoto.asn", "AWS's own"),
        ("labs.kyoto.asn", 9059, "ems:labs.kyoto.asn", "AWS's own"),
        ("labs.kyoto.asn", 16509, "ems:labs.kyoto.asn", "Amazon's"),
        ("sites.oregon.asn", 65010, f"{OREGON}.asn", "65010 is lab berlin's too"),
        ("sites.oregon.asn", 64512, f"{OREGON}.asn", "AWS's own"),
        ("labs.kyoto.sites.0", "oregn", "ems:labs.kyoto.sites[0]", "did you mean 'oregon'?"),
        ("labs.berlin.sites.1", "oregon", "ems:labs.berlin.sites[1]", "twice"),
        ("labs.oregon", {"address": "203.0.113.9", "networks": ["192.168.9.0/24"],
                         "sites": ["oregon"]}, "ems:labs.oregon", "a site is named 'oregon' too"),
        # queues
        ("sites.oregon.batch.queues.1.type", "g5.3xlarge", f"{OREGON}.batch.queues[1].type",
         "unknown instance type 'g5.3xlarge' (did you mean 'g5"),
        ("sites.oregon.batch.queues.1.type", "p3.8xlarge", f"{OREGON}.batch.queues[1].type",
         "no job runs on p3.8xlarge"),
        ("sites.oregon.batch.queues.1.type", "c7i.4xlarge", f"{OREGON}.batch.queues[1]",
         "stands at queues[0] already"),
        ("sites.oregon.batch.queues.1.markets", [], f"{OREGON}.batch.queues[1].markets", "empty"),
        ("sites.oregon.batch.general.families.0", "c77i",
         f"{OREGON}.batch.general.families[0]", "unknown instance family 'c77i' (did you mean"),
        ("sites.oregon.batch.general.families.0", "c7i.large",
         f"{OREGON}.batch.general.families[0]", "without a size"),
        ("sites.oregon.batch.general.families.0", "c7g",
         f"{OREGON}.batch.general.families", "c7g is arm64"),
        ("sites.oregon.batch.general.families.0", "g5",
         f"{OREGON}.batch.general.families", "has a GPU"),
        ("sites.oregon.batch", {"queues": [], "general": None}, f"{OREGON}.batch.queues",
         "no general queue"),
        # clusters
        ("sites.ireland.kubernetes", {}, "ems:sites.ireland.kubernetes", "subnets in two zones"),
        ("sites.oregon.kubernetes.pools.gpu.families.0", "m7i",
         f"{OREGON}.kubernetes.pools.gpu.families[0]", "has no GPU"),
        ("sites.oregon.kubernetes.pools.cpu.families.0", "g5",
         f"{OREGON}.kubernetes.pools.cpu.families[0]", "the pool is not for them"),
        ("sites.oregon.kubernetes.pools.cpu.families.0", "m7g",
         f"{OREGON}.kubernetes.pools.cpu.families[0]", "one architecture"),
        ("sites.oregon.kubernetes.pools.cpu.families.0", "m77",
         f"{OREGON}.kubernetes.pools.cpu.families[0]", "unknown instance family"),
        ("sites.oregon.kubernetes.pools.gpu.max_gpus", 0,
         f"{OREGON}.kubernetes.pools.gpu.max_gpus", "would start none"),
        ("sites.oregon.kubernetes.public_access_from", ["0.0.0.0/0"],
         f"{OREGON}.kubernetes.public_access_from[0]", "everybody"),
        ("sites.oregon.kubernetes.public_access_from", ["10.0.0.0/8"],
         f"{OREGON}.kubernetes.public_access_from[0]", "no public network"),
        ("sites.oregon.kubernetes.ray.version", "2.51.9",
         f"{OREGON}.kubernetes.ray.version", "2.52.0 or newer"),
        ("sites.oregon.kubernetes.ray.groups.gpu.gpus", 5,
         f"{OREGON}.kubernetes.ray.groups.gpu.gpus", "no pool may have more than 4"),
        ("sites.oregon.kubernetes.ray.groups.gpu.cpus", 300,
         f"{OREGON}.kubernetes.ray.groups.gpu.cpus", "256 at most"),
        ("labs.kyoto.networks.0", "172.20.5.0/24", f"{OREGON}.kubernetes", "lab kyoto"),
        ("sites.oregon.kubernetes.admins", ["arn:aws:sts::111122223333:assumed-role/a/b"],
         f"{OREGON}.kubernetes.admins[0]", "ARN of an IAM user or role"),
        *[("sites.oregon.kubernetes.namespace", name, f"{OREGON}.kubernetes.namespace",
           f"'{name}' is a namespace of Kubernetes or KubeRay")
          for name in ("default", "kube-system", "kube-public", "kube-node-lease", "kuberay")],
        *[("sites.oregon.kubernetes.pools", {name: {"families": ["c7i"]}},
           f"{OREGON}.kubernetes.pools.{name}", "one of Auto Mode's own pools")
          for name in ("general-purpose", "system")],
        # the whole
        ("tags", {"aws:x": "y"}, "ems:tags['aws:x']", "AWS's own"),
        ("tags", {"ems-site": "y"}, "ems:tags.ems-site", "EMS's own"),
        ("tags", {f"k{n}": "v" for n in range(41)}, "ems:tags", "40 at most"),
        ("accounts", ["111122223333", "111122223333"], "ems:accounts[1]", "twice"),
        ("boundary", "arn:aws:iam::999922223333:policy/x", "ems:boundary", "of account 9999"),
        ("sites.oregon.images", ["a", "a"], f"{OREGON}.images[1]", "twice"),
        ("sites.oregon.storage", {"file_system": False, "backup": True},
         f"{OREGON}.storage.backup", "no file system"),
        ("budget.emails", [f"p{n}@example.org" for n in range(11)], "ems:budget.emails",
         "allowed: 0 to 10"),
        # a VPC that is there
        ("sites.oregon.vpc", {"id": "vpc-0123456789abcdef0"}, f"{OREGON}.vpc", "RUNNABLE"),
    ],
)  # fmt: skip
def test_one_thing_off(path: str, value: Any, where: str, words: str) -> None:
    found = faults_of((path, value))
    assert words in found.get(where, f"nothing; others: {found}")
    assert (
        "(allowed: " in found[where]
        or "did you mean" in found[where]
        or "already" in found[where]
        or "no job" in found[where]
        or ("arm64" in found[where])
    )


def test_more_queues_than_there_may_be() -> None:
    types = [
        name for name in catalogue.instance_types() if name.startswith(("c7i.", "m7i.", "r7i."))
    ]
    queues = [{"type": name} for name in types if "metal" not in name][:20]
    assert faults_of(("sites.ireland.batch", {"queues": queues, "general": None})) == {}
    assert (
        "21 pairs"
        in faults_of(("sites.ireland.batch", {"queues": queues}))["ems:sites.ireland.batch.queues"]
    )


def test_sites_of_a_region_share_its_quota_of_queues() -> None:
    types = [
        name for name in catalogue.instance_types() if name.startswith(("c7i.", "m7i.", "r7i."))
    ]
    queues = [{"type": name} for name in types if "metal" not in name][:18]
    sites = {
        f"site{n}": {
            "region": "eu-west-1",
            "cidr": f"10.{n}.0.0/16",
            "zones": ["euw1-az1"],
            "batch": {"queues": queues},
        }
        for n in range(3)
    }
    changes = (("sites", sites), ("home", "eu-west-1"), ("labs", {}))
    assert "AWS's quota" in faults_of(*changes)["ems:sites.site0.batch.queues"]


@pytest.mark.parametrize("bad", ["use1-az3", "usw1-az2", "cac1-az3"])
def test_zones_without_control_planes_do_not_count(bad: str) -> None:
    region = catalogue.region_of(bad)
    site = {"region": region, "cidr": "10.20.0.0/16", "kubernetes": {}}
    two = {**site, "zones": [bad, f"{bad[:-1]}1"]}
    found = faults_of(("sites.other", two))["ems:sites.other.kubernetes"]
    assert f"{bad} can hold no control plane" in found
    three = {**site, "zones": [bad, f"{bad[:-1]}1", f"{bad[:-1]}4"]}
    assert faults_of(("sites.other", three)) == {}


def _isolated(*more: str) -> list[tuple[str, Any]]:
    return [
        ("sites.oregon.nat", "none"),
        ("sites.oregon.endpoints", [*JOB_ENDPOINTS, *more]),
    ]


NODES_MORE = ("ec2", "eks", "eks-auth", "elasticloadbalancing", "sts")
"""What nodes need beside what jobs of Batch need."""


@pytest.mark.parametrize("there", [(), (("sites.oregon.vpc", VPC),)], ids=["own", "existing"])
def test_nodes_that_would_never_join_are_refused(there: tuple[tuple[str, Any], ...]) -> None:
    """Batch's endpoints make the subnets private; nodes call other services."""
    without_ray = ("sites.oregon.kubernetes.ray", None)
    found = faults_of(*there, *_isolated(), without_ray)
    assert set(found) == {f"{OREGON}.endpoints"}
    assert f"without {', '.join(NODES_MORE)} they never join" in found[f"{OREGON}.endpoints"]
    one_less = _isolated(*(each for each in NODES_MORE if each != "eks-auth"))
    found = faults_of(*there, *one_less, without_ray)
    assert "without eks-auth they never join" in found[f"{OREGON}.endpoints"]
    assert faults_of(*there, *_isolated(*NODES_MORE), without_ray) == {}
    # and pull Ray from where they don't reach
    found = faults_of(*there, *_isolated(*NODES_MORE))
    assert set(found) == {f"{OREGON}.kubernetes.ray"}
    assert "registries on the internet" in found[f"{OREGON}.kubernetes.ray"]


def test_nodes_in_public_subnets_or_behind_nat_join() -> None:
    assert faults_of(("sites.oregon.nat", "none")) == {}
    assert faults_of(("sites.oregon.nat", "none"), ("sites.oregon.endpoints", ["ecr.api"])) == {}
    assert faults_of(("sites.oregon.endpoints", [*JOB_ENDPOINTS])) == {}
    assert faults_of(("sites.oregon.kubernetes", None), *_isolated()) == {}
    # of a lab's own VPC nobody knows but AWS, unless the endpoints tell
    assert faults_of(("sites.oregon.vpc", VPC), ("sites.oregon.nat", "none")) == {}


def test_ray_with_gpus_needs_a_pool_with_gpus() -> None:
    found = faults_of(("sites.oregon.kubernetes.pools", {}))
    assert "Pending for ever" in found["ems:sites.oregon.kubernetes.ray.groups.gpu.gpus"]


@pytest.mark.parametrize("name", ["Dev", "1dev", "a" * 17, "dev-", "a_b", "", "dév", "dev\n"])
def test_names_of_environments(name: str) -> None:
    assert "the environment's name" in faults_of(environment=name)


def test_the_sandbox_is_in_no_account() -> None:
    assert "123456789012" in faults_of(environment="sandbox")["ems:accounts"]
    assert faults_of(("accounts", ["123456789012"]), environment="sandbox") == {}


def test_numbers_that_fall_on_each_other_are_named() -> None:
    # 64513 + 8187 // 16 … : two networks outside of 10.0.0.0/8 may get the same number
    first, second = "10.16.0.0/20", "10.46.112.0/20"
    found = faults_of(("sites.oregon.cidr", first), ("sites.ireland.cidr", second))
    assert "chosen from its network, is site oregon's too" in found["ems:sites.ireland.asn"]
    mended = (("sites.oregon.cidr", first), ("sites.ireland.cidr", second))
    assert faults_of(*mended, ("sites.ireland.asn", 64999)) == {}


def test_names_that_would_be_one() -> None:
    site = {"region": "us-west-2", "zones": ["usw2-az1"]}
    sites = {"a": {**site, "cidr": "10.1.0.0/16"}, "a-b": {**site, "cidr": "10.2.0.0/16"}}
    lab = {"networks": ["192.168.1.0/24"], "address": "203.0.113.1", "sites": ["a"]}
    labs = {
        "b-c": lab,
        "c": {"networks": ["192.168.2.0/24"], "address": "203.0.113.2", "sites": ["a-b"]},
    }
    found = faults_of(("sites", sites), ("labs", labs))
    assert "'a-b-c'" in found["ems:labs.c"]


def test_a_vpc_that_is_there() -> None:
    change = [("sites.oregon.vpc", VPC), ("sites.oregon.nat", "none")]
    assert faults_of(*change) == {}
    assert faults_of(*change, ("sites.oregon.cidr", "10.16.0.0/24")) == {}  # its own size
    found = faults_of(*change, ("sites.oregon.nat", "one"), ("sites.oregon.flow_logs", True))
    assert set(found) == {f"{OREGON}.nat", f"{OREGON}.flow_logs"}
    other = {**VPC, "private_subnets": {"usw2-az3": "subnet-0123456789abcdef0"}}
    found = faults_of(("sites.oregon.vpc", other), change[1])
    assert "not one of the site's zones" in found[f"{OREGON}.vpc.private_subnets.usw2-az3"]
    assert "no subnet in usw2-az" in found[f"{OREGON}.vpc.private_subnets"]
    found = faults_of(("sites.oregon.vpc", {**VPC, "route_tables": []}), change[1])
    assert "find its way" in found[f"{OREGON}.vpc.route_tables"]
    public = {
        "id": VPC["id"],
        "public_subnets": VPC["private_subnets"],
        "route_tables": ["rtb-" + "0" * 8],
    }
    found = faults_of(("sites.oregon.vpc", public), change[1], ("sites.oregon.endpoints", ["ecs"]))
    assert "lie in private subnets" in found[f"{OREGON}.endpoints"]


def test_a_bucket_s_name_that_gets_too_long_is_told_with_the_rest() -> None:
    site = {"region": "ap-southeast-1", "cidr": "10.30.0.0/16", "zones": ["apse1-az1"]}
    change = ("sites.singapore-robots", site)
    assert faults_of(change) == {}
    found = faults_of(change, environment="environment-prod")
    assert set(found) == {"ems:sites.singapore-robots"}
    assert "68 characters (allowed: 63" in found["ems:sites.singapore-robots"]


def test_sites_of_researchers_are_as_many_as_a_role_has_policies() -> None:
    sites = {
        f"site{n}": {"region": "us-west-2", "cidr": f"10.{n}.0.0/16", "zones": ["usw2-az1"]}
        for n in range(11)
    }
    people = ("access.researchers", ["arn:aws:iam::111122223333:user/ada"])
    alone = (("labs", {}), ("join_sites", False))
    assert faults_of(("sites", sites), *alone) == {}
    found = faults_of(("sites", sites), *alone, people)
    assert "11 sites (allowed: 10" in found["ems:access.researchers"]
    del sites["site10"]
    assert faults_of(("sites", sites), *alone, people) == {}


def test_a_vpc_is_one_site_s() -> None:
    change = [("sites.oregon.vpc", VPC), ("sites.oregon.nat", "none")]
    other = {"region": "us-west-2", "cidr": "10.30.0.0/16", "zones": ["usw2-az1", "usw2-az2"]}
    found = faults_of(*change, ("sites.second", {**other, "vpc": VPC}))
    assert set(found) == {"ems:sites.second.vpc.id"}
    assert "site oregon's VPC too" in found["ems:sites.second.vpc.id"]


def test_warnings_stop_nothing() -> None:
    values = varied(
        ("labs.kyoto.networks.0", "172.16.0.0/15"),
        ("budget.emails", []),
        ("sites.ireland.endpoints", ["ecr.api", "ecr.dkr"]),
    )
    found = {fault.where: fault.what for fault in rules.warnings(read(values, "dev"))}
    assert set(found) == {
        "ems:labs.kyoto.networks[0]", "ems:budget.emails", "ems:sites.ireland.endpoints",
    }  # fmt: skip
    assert "ecs-agent, ecs-telemetry" in found["ems:sites.ireland.endpoints"]


def test_labs_whose_tunnels_would_share_addresses_are_named() -> None:
    # found by trying names: these two fall on the same pair of 2,048
    labs = {
        name: {
            "address": f"203.0.113.{number}",
            "networks": [f"192.168.{number}.0/24"],
            "sites": ["oregon"],
        }
        for number, name in ((52, "lab-52"), (64, "lab-64"))
    }
    said = faults_of(("labs", labs))["ems:labs"]
    assert "lab-52, lab-64" in said
    assert "the same tunnel addresses at oregon" in said
