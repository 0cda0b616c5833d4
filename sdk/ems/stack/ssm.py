"""Outputs from the parameters of SSM: for whoever has AWS credentials and no Pulumi.

Knows how parameters are listed. Does not know how outputs are split among them (`parameters.py`).
"""

from __future__ import annotations

import contextlib
from typing import Any

from ems.errors import EmsError
from ems.stack.aws import Denied, asking
from ems.stack.parameters import Gathered, from_parameters, prefix


def read(client: Any, region: str, environment: str) -> Gathered:
    """Return an environment's outputs, and parameters that no longer belong to them.

    `client` is boto3's for SSM. EmsError says which environments there are if it is none of them.
    """
    where = f"ssm:{region}/{environment}"
    with asking(where):
        texts = _below(client, prefix(environment))
    if not texts:
        raise EmsError(
            where,
            f"no parameters below {prefix(environment)} in {region}{_others(client, region)}; "
            "no other region was looked at",
            "emsctl stack use ssm:REGION/NAME, as whoever runs the environment names them",
        )
    return from_parameters(texts, environment, where)


def _below(client: Any, path: str) -> dict[str, str]:
    pages = client.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
    return {each["Name"]: each["Value"] for page in pages for each in page["Parameters"]}


def _others(client: Any, region: str) -> str:
    """Return ` (there: dev, prod)`: the environments of a region, as far as they may be seen."""
    names: set[str] = set()
    with contextlib.suppress(Denied), asking(f"ssm in {region}"):
        names = {path.split("/")[2] for path in _below(client, "/ems/") if path.endswith("/stack")}
    return f" (there: {', '.join(sorted(names))})" if names else ""
