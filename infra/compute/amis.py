"""Which machine image new instances get: the one that AWS recommends today, or one by id.

Batch never refreshes the image of a compute environment by itself. So AWS's public parameter is
read at each `up`, and the id is written into the environment: when AWS has a newer image, the next
`up` shows it as a change and makes it in place; jobs that run are let finish. Between two `up`s
nothing moves. Knows parameters. Does not know queues.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from infra.plan.queues import ImageType
from infra.settings.types import Architecture

_ROOT = "/aws/service/ecs/optimized-ami/amazon-linux-2023"

PARAMETERS: Mapping[tuple[ImageType, Architecture], str] = {
    ("ECS_AL2023", "x86_64"): f"{_ROOT}/recommended/image_id",
    ("ECS_AL2023", "arm64"): f"{_ROOT}/arm64/recommended/image_id",
    ("ECS_AL2023_NVIDIA", "x86_64"): f"{_ROOT}/gpu/recommended/image_id",
}
"""Where AWS publishes the id of its newest image, in each region. There is none with NVIDIA's
driver for Graviton."""


def image_for(
    version: str,
    image_type: ImageType,
    architecture: Architecture,
    opts: pulumi.InvokeOutputOptions,
) -> pulumi.Output[str]:
    """Return the id of the image: `version` itself, or what AWS recommends now for `latest`."""
    if version != "latest":
        return pulumi.Output.from_input(version)
    name = PARAMETERS[image_type, architecture]
    # the id is public: `value` would make a secret of it, and of all that holds it
    return aws.ssm.get_parameter_output(name=name, opts=opts).insecure_value
