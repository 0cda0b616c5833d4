"""Fixtures of the store's tests: a real S3 server, roots of both kinds, stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ems.store.store import Store
from tests.rigs import s3
from tests.store.making import opened


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that speaks S3, with a bucket `lab`; this test is pointed at it."""
    host, port = s3.served()
    for name, value in s3.KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", s3.REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    return f"http://{host}:{port}"


@pytest.fixture
def s3_url(s3_server: str) -> str:
    """A prefix of its own."""
    return f"s3://{s3.BUCKET}/{uuid4().hex[:12]}"


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
