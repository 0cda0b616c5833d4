"""Environments for tests: small ones, large ones, and those of a moto server."""

from __future__ import annotations

from ems.stack import outputs as o

ACCOUNT = "123456789012"


def queue(name: str = "ems-dev-general", **changes: object) -> o.Queue:
    values: dict[str, object] = {
        "name": name,
        "kind": "type",
        "instance_types": ("g5.2xlarge",),
        "market": "on-demand",
        "architecture": "x86_64",
        "max_vcpus": 64,
        "fair_share": True,
        "gpu": True,
    }
    return o.Queue(**(values | changes))  # type: ignore[arg-type]


def site(region: str = "us-west-2", queues: dict[str, o.Queue] | None = None) -> o.Site:
    zone = "usw2-az1"
    return o.Site(
        region=region,
        network=o.Network(
            vpc="vpc-0a1b2c3d4e5f60718",
            cidr="10.16.0.0/16",
            zones=(zone,),
            jobs=o.JobNetwork(subnets=("subnet-1",), security_groups=("sg-1",), public=True),
        ),
        storage=o.Storage(
            bucket=f"ems-dev-{ACCOUNT}-{region}-an",
            file_system=o.FileSystem(
                id="fs-01234567", access_points={"data": "fsap-1"}, addresses={zone: "10.16.0.9"}
            ),
        ),
        images=o.Images(
            registry=f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com",
            repositories={"worker": f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/ems-dev/worker"},
        ),
        batch=o.Batch(
            queues=queues if queues is not None else {"general": queue()},
            log_group="/ems/dev/oregon",
            job_role=f"arn:aws:iam::{ACCOUNT}:role/job",
            execution_role=f"arn:aws:iam::{ACCOUNT}:role/execution",
        ),
        alarms=f"arn:aws:sns:{region}:{ACCOUNT}:alarms",
    )


def cluster() -> o.Kubernetes:
    return o.Kubernetes(
        cluster="ems-dev-oregon",
        arn=f"arn:aws:eks:us-west-2:{ACCOUNT}:cluster/ems-dev-oregon",
        endpoint="https://0123456789ABCDEF.gr7.us-west-2.eks.amazonaws.com",
        certificate="LS0tLS1CRUdJTi" * 100,
        job_role=f"arn:aws:iam::{ACCOUNT}:role/pods",
    )


def workspace() -> o.Workspace:
    return o.Workspace(
        namespace="ems",
        service_account="jobs",
        claim="data",
        pools=("gpu",),
        ray=o.Ray(version="2.52.0", image="rayproject/ray:2.52.0"),
    )


def lab() -> o.Lab:
    tunnels = (
        o.Tunnel(address="203.0.113.11", inside_cidr="169.254.10.0/30"),
        o.Tunnel(address="203.0.113.12", inside_cidr="169.254.10.4/30"),
    )
    return o.Lab(
        address="198.51.100.7",
        networks=("192.168.10.0/24",),
        routing="static",
        asn=65000,
        sites={
            "oregon": o.Vpn(
                connection="vpn-0123456789abcdef0",
                site_cidr="10.16.0.0/16",
                site_asn=64600,
                tunnels=tunnels,
                keys=f"arn:aws:secretsmanager:us-west-2:{ACCOUNT}:secret:s2svpn!vpn-0123-abc",
            )
        },
    )


def environment(**changes: object) -> o.StackOutputs:
    values: dict[str, object] = {
        "environment": "dev",
        "account": ACCOUNT,
        "sites": {"oregon": site()},
        "labs": {"robots": lab()},
        "submit_policies": {"oregon": f"arn:aws:iam::{ACCOUNT}:policy/ems-dev-oregon-submit"},
        "submit_role": f"arn:aws:iam::{ACCOUNT}:role/ems-dev-submit",
    }
    return o.StackOutputs(**(values | changes))  # type: ignore[arg-type]


def with_cluster() -> o.StackOutputs:
    import msgspec

    return environment(sites={"oregon": msgspec.structs.replace(site(), kubernetes=cluster())})
