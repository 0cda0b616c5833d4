"""Each source of keys against a small server: what is asked, when again, what is said if not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from ems.worker.credentials import Credentials, NoCredentials
from tests.worker.keys import SECRET, Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serving()


def at(server: Server, environ: dict[str, str]) -> Credentials:
    """Return credentials whose container and machine are the server."""
    made = Credentials(environ)
    made.containers = made.machine = server.url
    return made


def test_variables_come_first(server: Server) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
    more = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/role"}
    keys = at(server, {**environ, **more}).keys()
    assert (keys.access, keys.secret, keys.token, keys.expires) == ("a", "b", "c", 0.0)
    assert server.paths() == []


def test_a_containers_role(server: Server) -> None:
    keys = at(server, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/role"}).keys()
    assert (keys.access, keys.secret, keys.token) == ("key-1", SECRET, "token")
    assert keys.expires == pytest.approx(time.time() + 3600, abs=5)


@pytest.mark.parametrize("way", ["file", "variable"])
def test_a_pods_identity(server: Server, tmp_path: Path, way: str) -> None:
    (tmp_path / "token").write_text("bearer\n")
    name = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
    token = {f"{name}_FILE": str(tmp_path / "token")} if way == "file" else {name: "bearer"}
    environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/pod", **token}
    assert at(server, environ).keys().access == "key-1"
    assert server.handler.asked[0][2]["Authorization"] == "bearer"


def test_a_host_that_is_not_awss_gets_no_token(server: Server) -> None:
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://somewhere.example/pod",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.raises(NoCredentials, match="no host of AWS's") as caught:
        at(server, environ).keys()
    assert SECRET not in str(caught.value)


def test_web_identity(server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("identity")
    environ = {
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/lab",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ENDPOINT_URL_STS": server.url,
    }
    keys = at(server, environ).keys()
    assert (keys.access, keys.token) == ("key-1", "token")
    assert parse_qs(server.handler.asked[0][3])["RoleArn"] == ["arn:aws:iam::1:role/lab"]
    (tmp_path / "token").write_text(SECRET)
    with pytest.raises(NoCredentials, match="answered 400 InvalidIdentityToken") as caught:
        at(server, {**environ, "AWS_EC2_METADATA_DISABLED": "true"}).keys()
    assert SECRET not in str(caught.value)


def test_a_machines_role(server: Server) -> None:
    assert at(server, {}).keys().access == "key-3"
    base = "/latest/meta-data/iam/security-credentials/"
    assert server.paths() == ["/latest/api/token", base, f"{base}lab-role"]


def test_a_server_that_stumbles_is_asked_again(server: Server) -> None:
    server.handler.down += [500, 503]
    keys = at(server, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/role"}).keys()
    assert keys.access == "key-3"


def test_keys_are_kept_and_replaced_before_they_expire(server: Server) -> None:
    credentials = at(server, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/role"})
    first = credentials.keys()
    assert credentials.keys() is first
    server.handler.expires[0] = 200.0  # soon
    credentials.distrust(first)
    soon = credentials.keys()
    assert (soon.access, credentials.keys().access) == ("key-2", "key-3")


def test_keys_serve_to_their_end_where_no_new_ones_come(server: Server) -> None:
    server.handler.expires[0] = 2.0
    environ = {
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/role",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    credentials = at(server, environ)
    first = credentials.keys()
    server.handler.down += [403] * 50
    assert credentials.keys() is first
    time.sleep(max(0.0, first.expires - time.time() + 0.05))
    with pytest.raises(NoCredentials, match="the container's role"):
        credentials.keys()


def test_what_was_tried_is_said(server: Server) -> None:
    with pytest.raises(NoCredentials) as caught:
        at(server, {"AWS_EC2_METADATA_DISABLED": "true"}).keys()
    for word in ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "RELATIVE_URI", "DISABLED"):
        assert word in str(caught.value)
