"""What the environment's program hands to the clusters' own program, beside the contract.

Private to these two: nobody else reads it, so it may change with them. Travels as the stack output
`kubernetes_inputs`, site → fields. Knows names and ids, no client and no Pulumi.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

OUTPUT = "kubernetes_inputs"
"""The name of the stack output."""
SERVICE_ACCOUNT = "ems-job"
"""The Kubernetes service account that jobs run as; pod identity gives it the job role."""
RESEARCHERS = "ems-researchers"
"""The Kubernetes group of the submit role: a RoleBinding names it."""


class Handover(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cluster: what its objects must name."""

    cluster: str
    """Its name; AWS puts it on the cluster's own security group as a tag."""
    namespace: str
    service_account: str
    node_role: str
    """The name of the IAM role of nodes: a NodeClass names it."""
    subnets: tuple[str, ...]
    """Where nodes and internal load balancers go."""
    clients: Mapping[str, str]
    """Name → network of all that may reach Ray: the site itself, labs, joined sites."""
    file_system: str = ""
    access_point: str = ""
    """The access point that the claim mounts."""
    tags: Mapping[str, str] = {}
    """Tags for what the cluster starts: the provider's default tags don't reach it."""


def read(output: Any) -> dict[str, Handover]:
    """Return what the output says, by site."""
    return msgspec.convert(output, dict[str, Handover])
