"""The worker's client of S3: signatures, large objects both ways, faults of the network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from ems.hashing import digest_bytes, digest_file, join_parts
from ems.worker.answers import Away, Missing, S3Error, Stopped, Taken
from ems.worker.credentials import Credentials, Keys
from ems.worker.s3 import S3
from ems.worker.signing import EMPTY, address_of, query_of, signed
from tests.rigs.s3 import Link, served
from tests.worker.cloud import Cloud

MIB = 2**20


@pytest.fixture(scope="module")
def server() -> tuple[str, int]:
    return served()


@pytest.fixture
def cloud(server: tuple[str, int], tmp_path: Path) -> Iterator[Cloud]:
    link = Link(*server)
    made = Cloud(link, tmp_path)
    yield made
    made.close()
    link.cut()


def client(cloud: Cloud, patience_s: float = 10.0) -> S3:
    return S3(cloud.url, patience_s, environ=cloud.variables)


# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, "Examples:
# Signature Calculations", read 2025-11
_HOST = "examplebucket.s3.amazonaws.com"
_KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
_WELCOME = b"Welcome to Amazon S3."
_PUT = {
    "Date": "Fri, 24 May 2013 00:00:00 GMT",
    "x-amz-storage-class": "REDUCED_REDUNDANCY",
}


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "signature"),
    [
        ("GET", "/test.txt", {}, {"Range": "bytes=0-9"}, b"",
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("PUT", "/test%24file.text", {}, _PUT, _WELCOME,
         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        ("GET", "/", {"lifecycle": ""}, {}, b"",
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET", "/", {"max-keys": "2", "prefix": "J"}, {}, b"",
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
    ids=["range", "put", "lifecycle", "list"],
)  # fmt: skip
def test_the_signatures_of_awss_examples(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes,
    signature: str,
) -> None:  # fmt: skip
    at = 1369353600.0  # 20130524T000000Z
    digest = hashlib.sha256(body).hexdigest()
    made = signed(method, _HOST, path, query_of(query), headers, digest, _KEYS, "us-east-1", at)
    assert made["authorization"].endswith(f"Signature={signature}")
    assert (digest == EMPTY) == (not body)


@pytest.mark.parametrize(
    ("bucket", "region", "environ", "address"),
    [
        ("lab", "eu-west-1", {}, "https://lab.s3.eu-west-1.amazonaws.com /a%20b/c%2Bd"),
        ("lab", "cn-north-1", {}, "https://lab.s3.cn-north-1.amazonaws.com.cn /a%20b/c%2Bd"),
        ("lab", "us-gov-west-1", {}, "https://lab.s3.us-gov-west-1.amazonaws.com /a%20b/c%2Bd"),
        ("la.b", "eu-west-1", {}, "https://s3.eu-west-1.amazonaws.com /la.b/a%20b/c%2Bd"),
        ("lab", "x", {"AWS_ENDPOINT_URL": "http://h:1/"}, "http://h:1 /lab/a%20b/c%2Bd"),
        ("lab", "x", {"AWS_ENDPOINT_URL": "http://h", "AWS_ENDPOINT_URL_S3": "http://s3"},
         "http://s3 /lab/a%20b/c%2Bd"),
    ],
)  # fmt: skip
def test_addresses(bucket: str, region: str, environ: dict[str, str], address: str) -> None:
    assert " ".join(address_of(bucket, "a b/c+d", region, environ)) == address


def test_objects_are_written_read_and_listed(cloud: Cloud) -> None:
    s3 = client(cloud)
    for name in ("a/1", "a/2 é+", "b"):
        s3.put(name, name.encode())
    assert s3.get("a/2 é+") == "a/2 é+".encode()
    assert list(s3.list("a/")) == [("a/1", 3), ("a/2 é+", 7)]
    found = s3.stat("b")
    assert found is not None
    assert found.is_content(digest_bytes(b"b"), 1)
    assert not found.is_content(digest_bytes(b"c"), 1)
    assert not found.is_content(digest_bytes(b"b"), 2)
    assert found.age_s < 60
    assert s3.stat("c") is s3.head("c") is None
    with pytest.raises(Missing, match="c in s3://lab/"):
        s3.get("c")
    s3.delete("b")
    s3.delete("b")
    assert s3.head("b") is None


def test_conditional_writes(cloud: Cloud) -> None:
    s3 = client(cloud)
    new = {"if-none-match": "*"}
    etag = s3.put("k", b"1", new)
    with pytest.raises(Taken):
        s3.put("k", b"2", new)
    second = s3.put("k", b"12", {"if-match": etag})
    with pytest.raises(Taken):
        s3.put("k", b"3", {"if-match": etag})
    assert (s3.get("k"), second != etag) == (b"12", True)


def _fetched(s3: S3, key: str, path: Path, range_bytes: int = 8 * MIB) -> int:
    with path.open("w+b") as file:
        size = s3.fetch_range(key, file.fileno(), 0, range_bytes)
        for start in range(range_bytes, size, range_bytes):
            s3.fetch_range(key, file.fileno(), start, range_bytes)
    return size


def test_twenty_mib_in_parts_both_ways(cloud: Cloud, tmp_path: Path) -> None:
    data = os.urandom(20 * MIB + 7)
    (tmp_path / "given").write_bytes(data)
    s3 = client(cloud)
    s3.put_file("large", str(tmp_path / "given"), part_bytes=5 * MIB)
    assert cloud.read("large") == data
    parts = [
        hashlib.sha256(data[at : at + 5 * MIB]).digest() for at in range(0, len(data), 5 * MIB)
    ]
    found = s3.stat("large")
    assert found is not None
    assert found.is_content(join_parts(parts), len(data)), "S3 verified each of five parts"
    assert _fetched(s3, "large", tmp_path / "got") == len(data)
    assert digest_file(tmp_path / "got") == digest_file(tmp_path / "given")


@pytest.mark.parametrize("part_bytes", [5 * MIB, 64 * MIB])
def test_s3_itself_copies_and_renews(cloud: Cloud, tmp_path: Path, part_bytes: int) -> None:
    data = os.urandom(12 * MIB)
    (tmp_path / "given").write_bytes(data)
    s3 = client(cloud)
    other = s3.at(f"{cloud.url}/other é")
    other.put_file("x", str(tmp_path / "given"), part_bytes)
    before = cloud.link.passed
    for source in (other, s3):
        s3.copy("x", source, len(data), part_bytes)
        assert cloud.read("x") == data
        size = min(part_bytes, len(data))
        parts = [hashlib.sha256(data[at : at + size]).digest() for at in range(0, 12 * MIB, size)]
        found = s3.stat("x")
        assert found is not None
        assert found.is_content(join_parts(parts), len(data))
    assert cloud.link.passed - before < 32 * 1024, "nothing of it came here"


def test_an_empty_object(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "given").touch()
    s3 = client(cloud)
    s3.put_file("empty", str(tmp_path / "given"))
    assert _fetched(s3, "empty", tmp_path / "got") == 0
    assert s3.get("empty") == b""


def test_a_cut_download_is_gone_on_with(cloud: Cloud, tmp_path: Path) -> None:
    data = os.urandom(12 * MIB)
    cloud.write("large", data)
    cloud.link.after = [3 * MIB, 2 * MIB, MIB]
    sent = _Counted(cloud)
    _fetched(sent, "large", tmp_path / "got", 16 * MIB)
    assert (tmp_path / "got").read_bytes() == data
    assert cloud.link.after == []
    starts = [int(each.partition("=")[2].partition("-")[0]) for each in sent.ranges]
    assert len(starts) >= 4
    assert starts == sorted(set(starts)), "each request goes on where the last one was cut"


class _Counted(S3):
    """Notes what is asked for."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud.url, 10.0, environ=cloud.variables)
        self.ranges: list[str] = []

    def _once(self, method, key, query, headers, body, take=None):
        self.ranges.append(headers.get("range", ""))
        return super()._once(method, key, query, headers, body, take)


def test_s3_is_away_for_a_while(cloud: Cloud) -> None:
    s3 = client(cloud)
    s3.put("k", b"1")
    cloud.link.cut()
    threading.Timer(1.0, cloud.link.mend).start()
    assert s3.get("k") == b"1"


def test_s3_stays_away(cloud: Cloud) -> None:
    cloud.link.cut()
    with pytest.raises(Away, match=f"GET k: {cloud.url} can't be reached"):
        client(cloud, patience_s=0.3).get("k")


def test_who_asks_may_stop(cloud: Cloud) -> None:
    cloud.link.cut()
    began = time.monotonic()
    with pytest.raises(Stopped):
        S3(cloud.url, 60.0, lambda: time.monotonic() < began + 0.3, cloud.variables).get("k")
    assert time.monotonic() - began < 5


def test_a_bucket_that_is_not_there(cloud: Cloud) -> None:
    with pytest.raises(S3Error, match="NoSuchBucket") as caught:
        S3("s3://nowhere/x", 5.0, environ=cloud.variables).get("k")
    assert not isinstance(caught.value, Missing)


class _Server(http.server.BaseHTTPRequestHandler):
    """Answers with what a test lays down, in order: (status, headers, body)."""

    protocol_version = "HTTP/1.1"
    answers: list[tuple[int, dict[str, str], bytes]]
    asked: list[str]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(self.headers["Authorization"])
        status, headers, body = self.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def scripted() -> Iterator[tuple[S3, type[_Server]]]:
    handler = type("Handler", (_Server,), {"answers": [], "asked": []})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{running.server_address[1]}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    yield S3("s3://lab", 5.0, environ=variables), handler
    running.shutdown()
    running.server_close()


def _error(code: str, more: str = "") -> bytes:
    return f"<Error><Code>{code}</Code>{more}</Error>".encode()


def test_a_busy_server_is_asked_again(scripted: tuple[S3, type[_Server]]) -> None:
    s3, server = scripted
    server.answers += [
        (503, {}, _error("SlowDown")),
        (500, {}, _error("InternalError")),
        (429, {}, b""),
        (400, {}, _error("RequestTimeout")),
        (200, {}, b"well"),
    ]
    assert s3.get("k") == b"well"


def test_names_on_several_pages(scripted: tuple[S3, type[_Server]]) -> None:
    s3, server = scripted
    row = "<Contents><Key>{}</Key><Size>{}</Size></Contents>"
    page = '<R xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}</R>'
    more = "<NextContinuationToken>t/+=</NextContinuationToken>"
    server.answers += [
        (200, {}, page.format(row.format("a&amp;b", 1) + more).encode()),
        (200, {}, page.format(row.format("c", 22)).encode()),
    ]
    assert list(s3.list("")) == [("a&b", 1), ("c", 22)]


def test_the_buckets_region_is_learned(scripted: tuple[S3, type[_Server]]) -> None:
    s3, server = scripted
    server.answers += [
        (301, {"x-amz-bucket-region": "eu-west-1"}, _error("PermanentRedirect")),
        (200, {}, b"well"),
        (400, {}, _error("AuthorizationHeaderMalformed", "<Region>eu-west-2</Region>")),
        (200, {}, b"well"),
    ]
    assert s3.get("k") == s3.get("k") == b"well"
    regions = [each.split("/")[2] for each in server.asked]
    assert regions == ["us-east-1", "eu-west-1", "eu-west-1", "eu-west-2"]


def test_an_error_after_the_200_of_a_joined_upload(
    scripted: tuple[S3, type[_Server]], tmp_path: Path
) -> None:
    s3, server = scripted
    (tmp_path / "two").write_bytes(b"two parts.")
    begun = b"<R><UploadId>u</UploadId></R>"
    part = (200, {"ETag": '"e"'}, b"")
    server.answers += [(200, {}, begun), part, part, (200, {}, _error("InternalError")),
                       (200, {}, b"<R></R>")]  # fmt: skip
    s3.put_file("k", str(tmp_path / "two"), part_bytes=5)
    assert server.answers == []


class _Rotating(Credentials):
    """Has other keys each time it looks."""

    def __init__(self) -> None:
        super().__init__({})
        self.looked = 0

    def _look(self) -> Keys:
        self.looked += 1
        return Keys(f"key-{self.looked}", "secret", "token")


def _keys_of(server: type[_Server]) -> list[str]:
    return [each.split("/")[0].rpartition("=")[2] for each in server.asked]


def test_refused_keys_are_looked_for_again(scripted: tuple[S3, type[_Server]]) -> None:
    s3, server = scripted
    s3 = S3(s3.url, 5.0, environ=s3._environ, credentials=_Rotating())
    server.answers += [(400, {}, _error("ExpiredToken")), (200, {}, b"well")]
    assert s3.get("k") == b"well"
    assert _keys_of(server) == ["key-1", "key-2"]


def test_keys_that_are_refused_without_a_word(scripted: tuple[S3, type[_Server]]) -> None:
    """What answers HEAD has no body: 400 may be about the keys, unless it names a region."""
    s3, server = scripted
    s3 = S3(s3.url, 5.0, environ=s3._environ, credentials=_Rotating())
    server.answers += [
        (400, {"x-amz-bucket-region": "eu-west-1"}, b""),
        (400, {"x-amz-bucket-region": "eu-west-1"}, b""),
        (200, {"Last-Modified": "Sun, 22 Nov 2026 02:00:00 GMT"}, b""),
    ]
    found = s3.stat("k")
    assert found is not None and found.size == 0
    assert _keys_of(server) == ["key-1", "key-1", "key-2"]
    server.answers += [(400, {}, b"")] * 9
    with pytest.raises(Away, match="400 to HEAD, as where keys have expired"):
        s3.patient(0.0).stat("k")


def test_a_refusal_is_said_at_once(scripted: tuple[S3, type[_Server]]) -> None:
    s3, server = scripted
    server.answers += [(403, {}, _error("AccessDenied", "<Message>no s3:GetObject</Message>"))]
    with pytest.raises(S3Error, match="GET k in s3://lab: 403 AccessDenied: no s3:GetObject"):
        s3.get("k")


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables for a server that speaks TLS, whose certificate lies in the test's folder."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key),
         "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    handler = type("Handler", (_Server,), {"answers": [(200, {}, b"well")] * 2, "asked": []})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    running.socket = context.wrap_socket(running.socket, server_side=True)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield {
        "AWS_ENDPOINT_URL": f"https://localhost:{running.server_address[1]}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    running.shutdown()
    running.server_close()


def test_certificates_are_verified(secure: dict[str, str], tmp_path: Path) -> None:
    """A server that nobody vouches for is refused at once; AWS_CA_BUNDLE names who is trusted."""
    with pytest.raises(S3Error, match="certificate verify failed"):
        S3("s3://lab", 30.0, environ=secure).get("k")
    trusting = {**secure, "AWS_CA_BUNDLE": str(tmp_path / "certificate.pem")}
    assert S3("s3://lab", 5.0, environ=trusting).get("k") == b"well"


class _Proxy(socketserver.StreamRequestHandler):
    """Lets connections through to this machine, and notes who asked for what."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def handle(self) -> None:
        line, keys = self.rfile.readline().decode().split()[1], ""
        while (header := self.rfile.readline().decode().strip()) != "":
            if header.startswith("Proxy-Authorization: "):
                keys = header.rpartition(" ")[2]
        self.asked.append((line, keys))
        with socket.create_connection(("127.0.0.1", int(line.rpartition(":")[2]))) as far:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=_pass, args=(far, self.connection), daemon=True).start()
            _pass(self.connection, far)


def _pass(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)


def test_a_proxy_is_gone_through(secure: dict[str, str], tmp_path: Path) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Proxy) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        variables = {
            **secure,
            "AWS_CA_BUNDLE": str(tmp_path / "certificate.pem"),
            "HTTPS_PROXY": f"http://ada:l%40b@127.0.0.1:{proxy.server_address[1]}",
        }
        server = secure["AWS_ENDPOINT_URL"].removeprefix("https://")
        assert S3("s3://lab", 5.0, environ=variables).get("k") == b"well"
        assert _Proxy.asked == [(server, base64.b64encode(b"ada:l@b").decode())]
        nearby = {**variables, "NO_PROXY": "localhost"}
        assert S3("s3://lab", 5.0, environ=nearby).get("k") == b"well"
        assert len(_Proxy.asked) == 1
        proxy.shutdown()
