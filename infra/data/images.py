"""A region's ECR repositories: the images that jobs run, under the same names everywhere.

Knows repositories and when an image goes by itself. Does not push or build any, and makes no
replication: that is one setting for a whole account, copies no settings, and leaves out what was
pushed before. An image is pushed to each site that runs it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

UNTAGGED_DAYS = 14


@dataclass(frozen=True)
class ImagesArgs:
    """The repositories of one region of an environment.

    An environment with two sites in one region has one set of them there: their names are the same
    at every site, so that a reference differs in its registry only.
    """

    names: Sequence[str]
    environment: str
    protect: bool


def repository_name(environment: str, name: str) -> str:
    """Return a repository's name, `dev/worker`. Another name would be another, empty repository."""
    return f"{environment}/{name}"


def lifecycle_policy() -> dict[str, Any]:
    """Return what removes images: only those without a tag, which no job can name by one.

    A tag may be what a recorded run names, so tagged images stay until somebody deletes them.
    """
    return {
        "rules": [
            {
                "rulePriority": 1,
                "description": f"images without a tag, after {UNTAGGED_DAYS} days",
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": UNTAGGED_DAYS,
                },
                "action": {"type": "expire"},
            }
        ]
    }


class Images(pulumi.ComponentResource):
    """The repositories of a region."""

    registry: pulumi.Output[str]
    """The registry's host; empty where there is no repository."""
    repositories: dict[str, pulumi.Output[str]]
    """Name → address to push to and pull from."""

    def __init__(
        self, name: str, args: ImagesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ems:data:Images", name, None, opts)
        keep = pulumi.ResourceOptions(parent=self, retain_on_delete=args.protect)
        self.repositories = {each: _repository(name, each, args, keep) for each in args.names}
        first = next(iter(self.repositories.values()), pulumi.Output.from_input(""))
        self.registry = first.apply(lambda url: url.partition("/")[0])
        self.register_outputs({"registry": self.registry, "repositories": self.repositories})


def _repository(
    name: str, image: str, args: ImagesArgs, keep: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    repository = aws.ecr.Repository(
        f"{name}-{image}",
        name=repository_name(args.environment, image),
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration={"scan_on_push": True},
        encryption_configurations=[{"encryption_type": "AES256"}],
        # ECR deletes empty repositories only, and `destroy` reads this from the last `up`
        force_delete=not args.protect,
        opts=keep.merge(pulumi.ResourceOptions(protect=args.protect)),
    )
    aws.ecr.LifecyclePolicy(
        f"{name}-{image}-lifecycle",
        repository=repository.name,
        policy=json.dumps(lifecycle_policy()),
        # a change replaces it under the same name: made first, the old one's deletion would take it
        opts=keep.merge(pulumi.ResourceOptions(delete_before_replace=True)),
    )
    return repository.repository_url
