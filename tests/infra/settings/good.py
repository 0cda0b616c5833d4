"""A good environment as plain values, for tests that vary one thing of it."""

from __future__ import annotations

import copy
from typing import Any

VALUES: dict[str, Any] = {
    "accounts": ["111122223333"],
    "home": "us-west-2",
    "sites": {
        "oregon": {
            "region": "us-west-2",
            "cidr": "10.16.0.0/16",
            "zones": ["usw2-az1", "usw2-az2"],
            "nat": "one",
            "batch": {
                "queues": [
                    {"type": "c7i.4xlarge", "markets": ["spot", "on-demand"]},
                    {"type": "g5.2xlarge", "max_vcpus": 32},
                ],
                "general": {"families": ["c7i", "m7i"]},
            },
            "kubernetes": {
                "pools": {
                    "cpu": {"families": ["m7i"]},
                    "gpu": {"families": ["g5"], "gpu": True, "max_gpus": 4},
                },
                "ray": {"cluster": True, "groups": {"gpu": {"gpus": 1}}},
            },
        },
        "ireland": {"region": "eu-west-1", "cidr": "10.17.0.0/16", "zones": ["euw1-az1"]},
    },
    "labs": {
        "berlin": {
            "address": "203.0.113.10",
            "networks": ["192.168.10.0/24"],
            "sites": ["oregon", "ireland"],
            "routing": "bgp",
            "asn": 65010,
        },
        "kyoto": {
            "address": "198.51.100.7",
            "networks": ["192.168.20.0/24", "192.168.21.0/24"],
            "sites": ["oregon"],
        },
    },
    "budget": {"monthly_usd": 100, "emails": ["lab@example.org"]},
    "tags": {"group": "robots"},
}

VPC: dict[str, Any] = {
    "id": "vpc-0123456789abcdef0",
    "private_subnets": {
        "usw2-az1": "subnet-0123456789abcdef0",
        "usw2-az2": "subnet-0123456789abcdef1",
    },
    "route_tables": ["rtb-0123456789abcdef0"],
}
"""A VPC that oregon could lie in."""


def varied(*changes: tuple[str, Any]) -> dict[str, Any]:
    """Return the good values with others in their place; a path is as `sites.oregon.zones.1`."""
    values = copy.deepcopy(VALUES)
    for path, value in changes:
        *steps, last = path.split(".")
        inner: Any = values
        for step in steps:
            inner = inner[int(step)] if isinstance(inner, list) else inner.setdefault(step, {})
        if isinstance(inner, list):
            inner[int(last)] = value
        else:
            inner[last] = value
    return values
