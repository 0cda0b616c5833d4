"""Fixtures of the store's tests: a real S3 server, roots of both kinds, stores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ems.store.store import Store
from tests.store.making import opened

_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A server that speaks S3, in this process, with a bucket `lab`; its address."""
    import logging

    import moto.server as moto

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    before = {name: os.environ.get(name) for name in (*_CREDENTIALS, "AWS_ENDPOINT_URL")}
    os.environ.update(_CREDENTIALS, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    import boto3
    from obstore.store import S3Store  # noqa: F401

    boto3.client("s3").create_bucket(Bucket="lab")
    yield f"http://{host}:{port}"
    server.stop()
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@pytest.fixture
def s3_url(s3_server: str) -> str:
    """A prefix of its own."""
    return f"s3://lab/{uuid4().hex[:12]}"


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a store of each kind, with nothing there yet."""
    if request.param == "folder":
        return str(tmp_path / "root")
    return request.getfixturevalue("s3_url")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of its own."""
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path: Path, cache: Path) -> Iterator[Store]:
    """A store in a folder, that must not warn."""
    made, warnings = opened(tmp_path / "root", cache)
    yield made
    made.close()
    assert warnings == []


@pytest.fixture
def any_store(url: str, cache: Path) -> Iterator[Store]:
    """A store of each kind, that must not warn."""
    made, warnings = opened(url, cache)
    yield made
    made.close()
    assert warnings == []
