"""Outputs from the parameters of SSM: for whoever has AWS credentials and no Pulumi.

Knows how parameters are listed. Does not know how outputs are split among them (`parameters.py`).
"""

from __future__ import annotations

import contextlib
from typing import Any

from ems.errors import EmsError, nearest
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
        raise _nothing(environment, region, _others(client, region))
    return from_parameters(texts, environment, where)


def _below(client: Any, path: str) -> dict[str, str]:
    pages = client.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
    return {each["Name"]: each["Value"] for page in pages for each in page["Parameters"]}


def _nothing(environment: str, region: str, others: list[str]) -> EmsError:
    near = nearest(environment, others)
    meant = f" (did you mean '{near}'?)" if near else ""
    there = f" (there: {', '.join(others)})" if others else ""
    return EmsError(
        f"ssm:{region}/{environment}",
        f"no parameters below {prefix(environment)} in {region}{meant}{there}; "
        "no other region was looked at",
        f"emsctl stack use ssm:{region}/{near}"
        if near
        else "emsctl stack use ssm:REGION/NAME, as whoever runs the environment names them",
    )


def _others(client: Any, region: str) -> list[str]:
    """Return the environments of a region, as far as they may be seen."""
    names: set[str] = set()
    with contextlib.suppress(Denied), asking(f"ssm in {region}"):
        names = {path.split("/")[2] for path in _below(client, "/ems/") if path.endswith("/stack")}
    return sorted(names)
