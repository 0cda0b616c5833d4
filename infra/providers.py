"""One AWS provider for each region: which accounts it may touch, and the tags on all it makes.

Knows tags and regions. Does not know what is made through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pulumi
import pulumi_aws as aws

from infra.plan.tags import ENVIRONMENT_TAG
from infra.settings.types import Environment


def tags_of(environment: str, settings: Environment) -> dict[str, str]:
    """Return the tags of everything in an environment."""
    return {**settings.tags, "ems-project": pulumi.get_project(), ENVIRONMENT_TAG: environment}


def providers_for(
    regions: Iterable[str], environment: str, settings: Environment
) -> Mapping[str, aws.Provider]:
    """Return a provider by region. Any account but the allowed ones is refused by the provider."""
    tags = aws.ProviderDefaultTagsArgs(tags=tags_of(environment, settings))
    return {
        region: aws.Provider(
            f"{environment}-{region}",
            region=region,
            allowed_account_ids=list(settings.accounts),
            default_tags=tags,
        )
        for region in sorted(set(regions))
    }
