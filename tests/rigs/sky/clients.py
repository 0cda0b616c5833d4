"""boto3 clients of the moto server that stands for AWS.

Its address is AWS_ENDPOINT_URL, which boto3 itself reads too. Nothing here ever talks to AWS: an
address that is not this machine's is refused.
"""

from __future__ import annotations

import os
import threading
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
_HERE = ("127.0.0.1", "localhost", "::1")


class Clients:
    """Clients by service and region, made once: boto3 takes tenths of seconds for one."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL", "")
        if urlsplit(self.endpoint).hostname not in _HERE:
            raise RuntimeError(
                f"stand-in: AWS_ENDPOINT_URL is {self.endpoint or 'not set'}"
                " (allowed: a moto server on this machine)"
            )
        self._made: dict[tuple[str, str], Any] = {}
        # making a client is not safe in threads; using one is
        self._lock = threading.Lock()
        self._session: boto3.Session | None = None

    def __call__(self, service: str, region: str) -> Any:
        """Return the client of a service in a region."""
        with self._lock:
            if (service, region) not in self._made:
                self._made[service, region] = self._make(service, region)
            return self._made[service, region]

    def account(self) -> str:
        """Return the account that the keys belong to."""
        return self("sts", "us-east-1").get_caller_identity()["Account"]

    def _make(self, service: str, region: str) -> Any:
        self._session = self._session or boto3.Session(
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        return self._session.client(
            service,  # pyright: ignore[reportCallIssue, reportArgumentType] - any service
            region_name=region,
            endpoint_url=self.endpoint,
            config=Config(
                retries={"max_attempts": 0},
                s3={"addressing_style": "path"},
                max_pool_connections=32,
                # moto lets what a real region would refuse through, and the other way round
                parameter_validation=True,
            ),
        )
