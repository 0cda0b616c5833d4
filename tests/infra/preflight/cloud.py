"""Clients of AWS as moto has it, made as a person's program makes them."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from ems.stack.aws import Clients


def clients_at(address: str) -> Clients:
    """Return what makes clients of that server."""

    def client(service: str, region: str) -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=address,
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
        )

    return client
