"""A small client of the Kubernetes API: discovery, server-side apply, delete and wait.

Knows HTTP, kubeconfigs with a client certificate, and the API's conventions. Knows no kind by name.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import threading
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml

Object = dict[str, Any]


class ApiError(Exception):
    """The API server refused; `status` is HTTP's, `reason` Kubernetes' own word for it."""

    def __init__(self, status: int, body: bytes) -> None:
        try:
            said = json.loads(body)
        except ValueError:
            said = {"message": body.decode(errors="replace")}
        self.status = status
        self.reason: str = said.get("reason", "")
        self.message: str = said.get("message", "")
        super().__init__(f"{status} {self.reason}: {self.message}")


class UnknownKind(Exception):
    """No such kind on this server: its definition is not installed."""


@dataclass(frozen=True)
class Resource:
    """Where the objects of a kind are."""

    root: str
    plural: str
    namespaced: bool

    def path(self, name: str = "", namespace: str = "") -> str:
        """Return the path of one object, or of all."""
        inside = f"/namespaces/{quote(namespace or 'default')}" if self.namespaced else ""
        return f"{self.root}{inside}/{self.plural}" + (f"/{quote(name)}" if name else "")


class Api:
    """The API of one cluster. May be used by several threads at once."""

    def __init__(self, kubeconfig: str) -> None:
        """Take a kubeconfig's text, or the path of one."""
        text = kubeconfig if "\n" in kubeconfig else Path(kubeconfig).read_text()
        config = yaml.safe_load(text)
        cluster = config["clusters"][0]["cluster"]
        self.server = urlsplit(cluster["server"])
        self._tls = _context(cluster, config["users"][0]["user"])
        self._threads = threading.local()
        self._kinds: dict[tuple[str, str], Resource] = {}

    def resource(self, version: str, kind: str) -> Resource:
        """Return where a kind's objects are, as the server says (`apps/v1`, `Deployment`)."""
        if (version, kind) not in self._kinds:
            root = f"/apis/{version}" if "/" in version else f"/api/{version}"
            try:
                listed = self.request("GET", root)["resources"]
            except ApiError as error:
                if error.status == 404:
                    raise UnknownKind(f"no {kind} in {version} on this server") from None
                raise
            for one in listed:
                if "/" not in one["name"]:
                    found = Resource(root, one["name"], one["namespaced"])
                    self._kinds[version, one["kind"]] = found
        if (version, kind) not in self._kinds:
            raise UnknownKind(f"no {kind} in {version} on this server")
        return self._kinds[version, kind]

    def path_of(self, thing: Object) -> str:
        """Return the path of an object that says what and where it is."""
        meta = thing["metadata"]
        where = self.resource(thing["apiVersion"], thing["kind"])
        return where.path(meta["name"], meta.get("namespace", ""))

    def get(self, version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return an object, or None where there is none."""
        return self.read(self.resource(version, kind).path(name, namespace))

    def list(self, version: str, kind: str, namespace: str = "") -> list[Object]:
        """Return all objects of a kind (of a namespace, where it has one)."""
        return self.request("GET", self.resource(version, kind).path(namespace=namespace))["items"]

    def read(self, path: str) -> Object | None:
        """Return what is at a path, or None."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def apply(
        self, thing: Object, manager: str = "rig", *, dry_run: bool = False, force: bool = False
    ) -> Object:
        """Apply on the server's side: fields that another manager owns are a conflict (409)."""
        asked = {"fieldManager": manager, "fieldValidation": "Strict"}
        asked |= {"dryRun": "All"} if dry_run else {}
        asked |= {"force": "true"} if force else {}
        return self.request(
            "PATCH", self.path_of(thing), thing, asked, "application/apply-patch+yaml"
        )

    def status(self, thing: Object, status: Object) -> Object:
        """Set an object's status, as a controller would."""
        path = f"{self.path_of(thing)}/status"
        return self.request("PATCH", path, {"status": status}, {}, "application/merge-patch+json")

    def delete(self, path: str, *, within_s: float = 60) -> None:
        """Delete what is at a path, dependents first, and wait until it is gone."""
        try:
            self.request("DELETE", path, {"propagationPolicy": "Foreground"})
        except ApiError as error:
            if error.status == 404:
                return
            raise
        end = time.monotonic() + within_s
        while (left := self.read(path)) is not None:
            if time.monotonic() > end:
                held = left["metadata"].get("finalizers") or left.get("status", {})
                raise TimeoutError(f"{path} is still there after {within_s:g} s: {held}")
            time.sleep(0.05)

    def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: dict[str, str] | None = None,
        kind: str = "application/json",
    ) -> Any:
        """Send one request and return what came, parsed."""
        url = path + ("?" + urlencode(query) if query else "")
        payload = None if body is None else json.dumps(body)
        headers = {"Accept": "application/json", "Content-Type": kind}
        for last in (False, True):
            connection = self._connection(fresh=last)
            try:
                connection.request(method, url, payload, headers)
                answer = connection.getresponse()
                content = answer.read()
                break
            except (HTTPException, ConnectionError):
                if last:  # the first may have been one that the server closed meanwhile
                    raise
        if answer.status == 429:  # "storage is (re)initializing": a definition's first readers wait
            time.sleep(float(answer.headers.get("Retry-After") or 1))
            return self.request(method, path, body, query, kind)
        if answer.status >= 400:
            raise ApiError(answer.status, content)
        try:
            return json.loads(content)
        except ValueError:
            return content.decode()

    def _connection(self, *, fresh: bool) -> HTTPSConnection:
        one: HTTPSConnection | None = getattr(self._threads, "connection", None)
        if one is None or fresh:
            one = HTTPSConnection(
                self.server.hostname or "", self.server.port, context=self._tls, timeout=60
            )
            self._threads.connection = one
        return one


def _context(cluster: Object, user: Object) -> ssl.SSLContext:
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    # the ssl module reads a certificate of one's own from a file only
    with tempfile.NamedTemporaryFile("wb", suffix=".pem") as pair:
        for part in ("client-certificate-data", "client-key-data"):
            pair.write(base64.b64decode(user[part]))
        pair.flush()
        context.load_cert_chain(pair.name)
    return context
