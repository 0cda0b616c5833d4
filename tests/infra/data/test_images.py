"""A region's repositories on the real engine."""

from __future__ import annotations

import json

import pytest

from infra.data.images import lifecycle_policy, repository_name
from tests.rigs import rig
from tests.rigs.sky.cloud import ACCOUNT, Cloud
from tests.rigs.sky.engine import EngineError
from tests.rigs.sky.fixtures import Start, cloud, engine, shared_cloud

__all__ = ["cloud", "engine", "shared_cloud"]

REGION = "us-west-2"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": 1,
        "digest": "sha256:" + "a" * 64,
    },
    "layers": [],
}


def test_names_stay() -> None:
    """Another name is another, empty repository."""
    assert repository_name("dev", "worker") == "dev/worker"


def test_only_images_without_a_tag_go_by_themselves() -> None:
    (rule,) = lifecycle_policy()["rules"]
    assert rule["selection"]["tagStatus"] == "untagged"
    assert rule["selection"]["countNumber"] == 14


def program() -> None:
    import pulumi
    import pulumi_aws as aws

    from infra.data.images import Images, ImagesArgs

    config = pulumi.Config()
    provider = aws.Provider("us-west-2", region="us-west-2")
    args = ImagesArgs(
        names=config.require_object("names"),
        environment="dev",
        protect=config.get_bool("protect") or False,
    )
    images = Images("dev-us-west-2-images", args, pulumi.ResourceOptions(provider=provider))
    pulumi.export("registry", images.registry)
    pulumi.export("repositories", images.repositories)


def push(cloud: Cloud) -> None:
    cloud.client("ecr", REGION).put_image(
        repositoryName="dev/worker", imageManifest=json.dumps(MANIFEST), imageTag="v1"
    )


def there(cloud: Cloud) -> list[str]:
    found = cloud.client("ecr", REGION).describe_repositories()["repositories"]
    return sorted(each["repositoryName"] for each in found)


@rig("pulumi")
def test_repositories_are_made_as_asked_grow_and_go(engine: Start, cloud: Cloud) -> None:
    dev = engine(program, config={"names": ["worker"]})
    dev.up()
    assert dev.outputs() == {
        "registry": HOST,
        "repositories": {"worker": f"{HOST}/dev/worker"},
    }
    ecr = cloud.client("ecr", REGION)
    (made,) = ecr.describe_repositories()["repositories"]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert made["encryptionConfiguration"]["encryptionType"] == "AES256"
    said = ecr.get_lifecycle_policy(repositoryName="dev/worker")["lifecyclePolicyText"]
    assert json.loads(said) == lifecycle_policy()
    dev.nothing_to_do()
    dev.configure({"names": ["sim", "worker"]})
    grown = dev.up()
    assert grown.names("create") == [
        "dev-us-west-2-images-sim",
        "dev-us-west-2-images-sim-lifecycle",
    ]
    assert len(grown.changes) == 2
    push(cloud)
    dev.destroy()
    assert there(cloud) == []


@rig("pulumi")
def test_a_protected_one_is_not_removed_and_outlives_its_stack(engine: Start, cloud: Cloud) -> None:
    prod = engine(program, config={"names": ["worker"], "protect": True})
    prod.up()
    push(cloud)
    prod.configure({"names": []})
    with pytest.raises(EngineError, match="protect"):
        prod.up()
    prod.run("state", "unprotect", "--all", "--yes")
    prod.destroy()
    assert there(cloud) == ["dev/worker"]
    ecr = cloud.client("ecr", REGION)
    assert ecr.describe_images(repositoryName="dev/worker")["imageDetails"][0]["imageTags"] == [
        "v1"
    ]


@rig("pulumi")
def test_no_repository_is_no_error(engine: Start, cloud: Cloud) -> None:
    dev = engine(program, config={"names": []})
    dev.up()
    assert dev.outputs() == {"registry": "", "repositories": {}}
