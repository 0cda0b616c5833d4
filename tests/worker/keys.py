"""A small server that gives keys as a container's agent, EKS's agent, a machine and STS do."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qs

SECRET = "top-secret"


class _Place(http.server.BaseHTTPRequestHandler):
    """A container's agent, EKS's agent, a machine's metadata and STS, by path."""

    asked: list[tuple[str, str, dict[str, str], str]]
    expires: list[float]
    down: list[int]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.asked.append((self.command, self.path, dict(self.headers), body))
        status, text = self._answer(body)
        if self.down:
            status, text = self.down.pop(), ""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_PUT = do_POST = do_GET

    def _answer(self, body: str) -> tuple[int, str]:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.expires[0]))
        keys = {"AccessKeyId": f"key-{len(self.asked)}", "SecretAccessKey": SECRET}
        if self.path in ("/v2/role", "/pod"):
            return 200, json.dumps({**keys, "Token": "token", "Expiration": at})
        if self.path == "/latest/api/token" and self.command == "PUT":
            return 200, "session"
        if self.path.startswith("/latest/") and self.headers["X-aws-ec2-metadata-token"]:
            if self.path.endswith("/security-credentials/"):
                return 200, "lab-role"
            if self.path.endswith("/lab-role"):
                return 200, json.dumps({**keys, "Token": "token", "Expiration": at})
        if parse_qs(body).get("Action") == ["AssumeRoleWithWebIdentity"]:
            if parse_qs(body)["WebIdentityToken"] != ["identity"]:
                return 400, "<ErrorResponse><Code>InvalidIdentityToken</Code></ErrorResponse>"
            rows = {**keys, "SessionToken": "token", "Expiration": at}
            inner = "".join(f"<{name}>{value}</{name}>" for name, value in rows.items())
            return 200, f"<R><Credentials>{inner}</Credentials></R>"
        return 404, ""

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server:
    """Where they are, and what was asked."""

    def __init__(self, handler: type[_Place], url: str) -> None:
        self.handler, self.url = handler, url

    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.handler.asked]


def serving() -> Iterator[Server]:
    """Serve keys in this process."""
    members = {"asked": [], "expires": [3600.0], "down": []}
    handler = type("Handler", (_Place,), members)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield Server(handler, f"http://127.0.0.1:{running.server_address[1]}")
    running.shutdown()
    running.server_close()
