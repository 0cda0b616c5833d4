from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ems.errors import EmsError
from ems.stack import outputs as o
from ems.stack.parameters import (
    LIMIT_BYTES,
    clusters_to_parameters,
    from_parameters,
    parameter_paths,
    split,
    text,
    to_parameters,
)
from ems.stack.reading import merge, plain
from tests.stack.making import ACCOUNT, cluster, environment, lab, queue, site, workspace

REGIONS = ("us-west-2", "us-east-1", "eu-central-1", "ap-southeast-2")


# -- the largest realistic environment ----------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """How much of everything there is; the defaults are the most that settings and AWS allow."""

    sites: int = 4
    labs: int = 3
    queues: int = 20
    name: int = 16
    """Characters of names that people choose."""
    made: int = 64
    """Characters of names that Pulumi makes: of IAM roles AWS allows no more."""
    whole: bool = True
    """Cluster, Ray, file system and SageMaker too."""


LARGEST = Shape()
shapes = st.builds(
    Shape,
    sites=st.integers(0, 4),
    labs=st.integers(0, 3),
    queues=st.integers(0, 20),
    name=st.integers(3, 16),
    made=st.integers(20, 64),
    whole=st.booleans(),
)


def named(kind: str, at: int, length: int) -> str:
    return f"{kind[0]}{at}".ljust(length, "x")


def large_site(shape: Shape, at: int) -> o.Site:
    region = REGIONS[at]
    zones = ("usw2-az1", "usw2-az2", "usw2-az3")
    made = named("m", at, shape.made)
    role = f"arn:aws:iam::{ACCOUNT}:role/{made}"
    registry = f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com"
    queues = {
        f"{named('q', each, shape.name)}-24xlarge-on-demand": queue(made * 2, max_vcpus=100_000)
        for each in range(shape.queues)
    }
    images = [named("i", each, shape.name) for each in range(10)]
    bare = msgspec.structs.replace(
        site(region, queues),
        network=o.Network(
            vpc="vpc-0a1b2c3d4e5f60718",
            cidr="10.100.0.0/16",
            zones=zones,
            jobs=o.JobNetwork(
                subnets=("subnet-0a1b2c3d4e5f60718",) * 3,
                security_groups=("sg-0a1b2c3d4e5f60718",),
                public=False,
            ),
        ),
        storage=o.Storage(bucket=made),
        images=o.Images(
            registry=registry, repositories={each: f"{registry}/{made}/{each}" for each in images}
        ),
        batch=o.Batch(queues=queues, log_group=made, job_role=role, execution_role=role),
    )
    return whole(bare, shape, at) if shape.whole else bare


def whole(bare: o.Site, shape: Shape, at: int) -> o.Site:
    assert bare.batch is not None
    name, made = named("n", at, shape.name), named("m", at, shape.made)
    points = {"data": "fsap-0a1b2c3d4e5f60718", "scratch": "fsap-1b2c3d4e5f60718"}
    return msgspec.structs.replace(
        bare,
        storage=o.Storage(
            bucket=made,
            file_system=o.FileSystem(
                id="fs-0a1b2c3d4e5f60718",
                access_points=points,
                addresses=dict.fromkeys(bare.network.zones, "10.100.100.100"),
            ),
        ),
        kubernetes=o.Kubernetes(
            cluster=made,
            arn=f"arn:aws:eks:{bare.region}:{ACCOUNT}:cluster/{made}",
            endpoint=f"https://{'A' * 32}.gr7.{bare.region}.eks.amazonaws.com",
            certificate="LS0t" * 375,  # 1.5 KB, as EKS gives
            job_role=bare.batch.job_role,
            workspace=o.Workspace(
                namespace=name,
                service_account=name,
                claim=name,
                pools=tuple(named("p", each, shape.name) for each in range(8)),
                ray=o.Ray(
                    version="2.52.0",
                    image=f"{bare.images.registry}/{made}@sha256:{'0' * 64}",
                    address=f"http://internal-{made}.{bare.region}.elb.amazonaws.com:8265",
                    token=f"kubernetes:{name}/{name}/auth_token",
                ),
            ),
        ),
        sagemaker=o.SageMaker(role=bare.batch.job_role, output=f"s3://{made}/sagemaker"),
    )


def large(shape: Shape) -> o.StackOutputs:
    sites = [named("s", at, shape.name) for at in range(shape.sites)]
    tunnel = o.Tunnel(address="203.0.113.111", inside_cidr="169.254.100.100/30")
    key = f"arn:aws:secretsmanager:ap-southeast-2:{ACCOUNT}:secret:s2svpn!vpn-{'0' * 17}-{'a' * 16}"
    vpn = o.Vpn(
        connection="vpn-0a1b2c3d4e5f60718",
        site_cidr="10.100.0.0/16",
        site_asn=4294967294,
        tunnels=(tunnel, tunnel),
        keys=key,
    )
    joined = msgspec.structs.replace(
        lab(), networks=("192.168.100.0/24",) * 12, sites=dict.fromkeys(sites, vpn)
    )
    policy = f"arn:aws:iam::{ACCOUNT}:policy/{'p' * shape.made * 2}"
    return environment(
        environment=named("e", 0, shape.name),
        sites={name: large_site(shape, at) for at, name in enumerate(sites)},
        labs={named("l", at, shape.name): joined for at in range(shape.labs)},
        submit_policies=dict.fromkeys(sites, policy),
    )


@settings(max_examples=40, deadline=None)
@example(LARGEST)
@given(shapes)
def test_an_environment_fits_and_comes_back_as_it_was(shape: Shape) -> None:
    outputs = large(shape)
    parameters = to_parameters(outputs)
    assert max(len(each.encode()) for each in parameters.values()) <= LIMIT_BYTES
    # what AWS says of a name: 15 levels, and 1011 characters with the ARN before it
    assert all(path.count("/") <= 15 and len(path) < 900 for path in parameters)
    assert all(path.startswith(f"/ems/{outputs.environment}/") for path in parameters)
    found = from_parameters(parameters, outputs.environment)
    assert (found.outputs, found.left_over) == (outputs, ())


@settings(max_examples=40, deadline=None)
@given(shapes, st.data())
def test_no_parameter_can_be_missing_unnoticed(shape: Shape, data: st.DataObject) -> None:
    outputs = large(shape)
    parameters = to_parameters(outputs)
    # a workspace is published by another program, and may come later
    path = data.draw(st.sampled_from([each for each in parameters if "workspace" not in each]))
    del parameters[path]
    with pytest.raises(EmsError) as caught:
        from_parameters(parameters, outputs.environment, "ssm:us-west-2/dev")
    assert path in str(caught.value)
    assert f"Try: make up ENV={outputs.environment}" in str(caught.value)


# -- paths and parts ----------------------------------------------------------------------------


def test_a_parameter_for_each_site_component_and_queue() -> None:
    outputs = environment(sites={"oregon": msgspec.structs.replace(site(), kubernetes=cluster())})
    assert parameter_paths(plain(outputs)) == (
        "/ems/dev/stack",
        "/ems/dev/sites/oregon/site",
        "/ems/dev/sites/oregon/network",
        "/ems/dev/sites/oregon/storage",
        "/ems/dev/sites/oregon/images",
        "/ems/dev/sites/oregon/batch",
        "/ems/dev/sites/oregon/kubernetes",
        "/ems/dev/sites/oregon/queues/general",
        "/ems/dev/labs/robots",
    )


def test_each_says_its_schema() -> None:
    for each in to_parameters(environment()).values():
        assert json.loads(each)["schema"] == o.SCHEMA


class Later:
    """A value that is known only after an apply."""


def test_only_names_have_to_be_known_beforehand() -> None:
    """The tree of a program: its keys stand, its leaves are outputs."""
    later: Any = Later()
    tree = {
        "environment": "dev",
        "account": later,
        "submit_policies": later,
        "sites": {
            "oregon": {
                "region": "us-west-2",
                "network": later,
                "storage": {"bucket": later},
                "images": later,
                "kubernetes": later,
                "sagemaker": None,
                "batch": {"queues": {"general": later}, "log_group": later, "job_role": later},
            }
        },
        "labs": {"robots": later},
    }
    parts = split(tree)
    meant = environment(sites={"oregon": msgspec.structs.replace(site(), kubernetes=cluster())})
    assert set(parts) == set(parameter_paths(plain(meant)))
    assert parts["/ems/dev/sites/oregon/queues/general"] is later
    assert parts["/ems/dev/sites/oregon/batch"]["queues"] == ["general"]
    assert parts["/ems/dev/sites/oregon/batch"]["job_role"] is later
    assert parts["/ems/dev/stack"]["sites"] == ["oregon"]
    components = parts["/ems/dev/sites/oregon/site"]["components"]
    assert components == ["network", "storage", "images", "batch", "kubernetes"]


def test_a_part_gives_the_same_text_alone_as_with_the_rest() -> None:
    outputs = environment()
    alone = {path: text(path, part) for path, part in split(plain(outputs)).items()}
    assert alone == to_parameters(outputs)


def test_too_long_a_parameter_is_refused_by_name() -> None:
    registry = f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com"
    many = {f"image-{at}": f"{registry}/ems-dev/image-{at}" for at in range(60)}
    full = msgspec.structs.replace(site(), images=o.Images(registry=registry, repositories=many))
    with pytest.raises(EmsError) as caught:
        to_parameters(environment(sites={"oregon": full}))
    told = str(caught.value)
    assert told.startswith("/ems/dev/sites/oregon/images: would hold ")
    assert "(allowed: 4096, what a Standard parameter of SSM holds). Try: shorter" in told


def test_what_does_not_fit_its_place_is_not_written() -> None:
    with pytest.raises(EmsError, match=r"queues/general: \$.max_vcpus: expected 'int'"):
        text("/ems/dev/sites/oregon/queues/general", {**plain(queue()), "max_vcpus": "x"})
    with pytest.raises(EmsError, match="/ems/dev/other: is no parameter of EMS"):
        text("/ems/dev/other", {})


# -- sets that are not whole --------------------------------------------------------------------


def test_what_outlived_its_site_or_queue_is_noticed() -> None:
    two = environment(sites={"oregon": site(), "ohio": site("us-east-2")})
    parameters = {**to_parameters(two), **to_parameters(environment())}
    found = from_parameters(parameters, "dev")
    assert found.outputs == environment()
    assert found.left_over and all("/sites/ohio/" in path for path in found.left_over)


def test_parameters_of_two_releases_are_an_interrupted_up() -> None:
    parameters = to_parameters(environment())
    head = json.loads(parameters["/ems/dev/stack"])
    parameters["/ems/dev/stack"] = json.dumps({**head, "schema": o.SCHEMA + 1})
    with pytest.raises(EmsError, match="/ems/dev/stack: has schema 2, a later release's"):
        from_parameters(parameters, "dev")


def test_a_damaged_parameter_is_named() -> None:
    parameters = to_parameters(environment())
    for damaged, problem in (
        ("{", "is no JSON"),
        ("{}", "holds no outputs"),
        ('{"schema": 1}', ""),
    ):
        broken = {**parameters, "/ems/dev/sites/oregon/batch": damaged}
        with pytest.raises(EmsError, match=f"^/ems/dev/sites/oregon/batch: {problem}"):
            from_parameters(broken, "dev")
    document = json.loads(parameters["/ems/dev/stack"])
    broken = {**parameters, "/ems/dev/stack": json.dumps({**document, "sites": 3})}
    with pytest.raises(EmsError, match=r"^/ems/dev/stack: \$.sites: expected 'array'"):
        from_parameters(broken, "dev")


def test_the_clusters_program_publishes_its_part() -> None:
    outputs = environment(sites={"oregon": msgspec.structs.replace(site(), kubernetes=cluster())})
    clusters = o.ClusterOutputs(environment="dev", workspaces={"oregon": workspace()})
    published = clusters_to_parameters(clusters)
    assert list(published) == ["/ems/dev/sites/oregon/workspace"]
    found = from_parameters({**to_parameters(outputs), **published}, "dev")
    assert (found.outputs, found.left_over) == (merge(outputs, clusters), ())
    assert from_parameters(to_parameters(outputs), "dev").outputs == outputs
    stale = from_parameters({**to_parameters(environment()), **published}, "dev")
    assert (stale.outputs, stale.left_over) == (environment(), tuple(published))
