"""The cluster's API: plain objects by path, and errors in EMS's words.

The `kubernetes` client reads kubeconfigs and renews tokens here, and carries the requests; its
models stay out: a list of 1000 pods takes them ten times as long as plain JSON (1.9 s and 0.19 s),
and their signatures change between the releases that we allow (33 to 37), while the API's objects
don't. Importing the client takes 0.2 s, at the first request. Knows HTTP and how the API refuses.
Does not know jobs.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ems.compute.remote.order import PlaceError, Unreachable
from ems.errors import UsageError

Object = dict[str, Any]
"""An object of the API, as JSON has it."""

IN_CLUSTER = "in-cluster"
_PATIENCE_S = 20.0
_CONNECT_S = 5.0
_PAGE = 500
_LATER = frozenset({408, 429, 500, 502, 503, 504})
"""The server is busy, starting or broken: asked again, it may answer."""
_NO_RIGHT = re.compile(r'User "(?P<who>[^"]*)" cannot (?P<verb>\w+) resource "(?P<what>[^"]*)"')


class ApiError(Exception):
    """The API refused one request; `status` is HTTP's, `message` its own words."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(status, reason, message)
        self.status, self.reason, self.message = status, reason, message


class Api:
    """One cluster's API as one user. Opens nothing until it is asked; threads may share it."""

    def __init__(self, context: str, kubeconfig: str = "") -> None:
        self.context = context
        self._kubeconfig = kubeconfig
        self._lock = threading.Lock()
        self._client: Any = None
        self._namespace = ""

    # -- objects ----------------------------------------------------------------------------------

    def get(self, path: str) -> Object:
        """Return an object."""
        return self._ask("GET", path)

    def list(self, path: str, labels: str = "", fields: str = "") -> list[Object]:
        """Return all objects of a kind that the selectors choose, page by page."""
        query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        found: list[Object] = []
        while True:
            page = self._ask("GET", path, {key: value for key, value in query.items() if value})
            found += page["items"]
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return found

    def create(self, path: str, thing: Object) -> Object:
        """Make an object; raises ApiError 409 where one of that name is there."""
        return self._ask("POST", path, body=thing)

    def patch(self, path: str, change: Object) -> None:
        """Merge a change into an object; raises ApiError 404 where there is none."""
        self._ask("PATCH", path, body=change, form="application/merge-patch+json")

    def delete(self, path: str, options: Object) -> None:
        """Delete an object; one that is gone is no error."""
        try:
            self._ask("DELETE", path, body=options)
        except ApiError as error:
            if error.status != 404:
                raise

    # -- who and where ----------------------------------------------------------------------------

    def namespace(self) -> str:
        """Return the namespace that the context names; `default` where it names none."""
        self._opened()
        return self._namespace or "default"

    def problem(self, error: ApiError, namespace: str) -> PlaceError:
        """Return a refusal as a sentence for a person, with what to ask for."""
        subject = f"kubernetes {self.context}"
        if error.status == 401:
            problem = f"does not know you ({error.message or 'Unauthorized'})"
            return PlaceError(subject, problem, f"kubectl --context {self.context} auth whoami")
        if right := _NO_RIGHT.search(error.message):
            problem = f"{right['who']} may not {right['verb']} {right['what']} in {namespace}"
            step = f"ask for the right to {right['verb']} {right['what']} in namespace {namespace}"
            return PlaceError(subject, problem, step)
        if error.status == 404 and "namespaces" in error.message:
            step = f"kubectl create namespace {namespace}, or another namespace: in the settings"
            return PlaceError(subject, f"there is no namespace {namespace}", step)
        return PlaceError(subject, f"{error.status} {error.reason}: {error.message}")

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.rest_client.pool_manager.clear()

    # -- the wire ---------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        form: str = "application/json",
    ) -> Any:
        import urllib3

        client = self._opened()
        config = client.configuration
        headers = {"Accept": "application/json", "Content-Type": form}
        for auth in config.auth_settings().values():  # renews a token that is about to expire
            if auth["in"] == "header" and auth["value"]:
                headers[auth["key"]] = auth["value"]
        url = config.host + path + ("?" + urlencode(query) if query else "")
        data = None if body is None else json.dumps(body)
        patience = urllib3.Timeout(connect=_CONNECT_S, read=_PATIENCE_S)
        try:
            answer = client.rest_client.pool_manager.request(
                method, url, body=data, headers=headers, timeout=patience, retries=False
            )
        except urllib3.exceptions.SSLError as error:
            problem = f"its certificate is not trusted ({error})"
            raise PlaceError(f"kubernetes {self.context}", problem) from None
        except urllib3.exceptions.HTTPError as error:
            problem = f"{config.host} does not answer ({_short(error)})"
            raise Unreachable(f"kubernetes {self.context}", problem) from None
        return self._answered(answer.status, answer.data)

    def _answered(self, status: int, data: bytes) -> Any:
        try:
            said = json.loads(data)
        except ValueError:
            said = {"message": data[:200].decode("utf-8", "replace").strip()}
        if status < 400:
            return said
        if status in _LATER:
            problem = f"can't answer now ({status}: {said.get('message', '')})"
            raise Unreachable(f"kubernetes {self.context}", problem)
        raise ApiError(status, str(said.get("reason", "")), str(said.get("message", "")))

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _open(self) -> Any:
        try:
            from kubernetes import client, config  # pyright: ignore[reportMissingTypeStubs]
        except ImportError:
            step = "pip install 'emsctl[kubernetes]'"
            raise UsageError(f"kubernetes {self.context}", "its client is missing", step) from None
        made: Any = client.Configuration()
        try:
            if self.context == IN_CLUSTER:
                config.load_incluster_config(client_configuration=made)  # pyright: ignore[reportUnknownMemberType]
                self._namespace = _own_namespace()
            else:
                file = self._kubeconfig or None
                config.load_kube_config(file, self.context, made)  # pyright: ignore[reportUnknownMemberType]
                self._namespace = _namespace_of(config, self.context, file)
        except (config.ConfigException, OSError) as error:
            raise self._unread(error) from None
        return client.ApiClient(made)

    def _unread(self, error: Exception) -> UsageError:
        where = self._kubeconfig or "$KUBECONFIG or ~/.kube/config"
        step = f"kubectl config get-contexts{_flag(self._kubeconfig)}"
        return UsageError(f"kubernetes {self.context}", f"is not in {where} ({error})", step)


def path(kind: str, namespace: str, name: str = "") -> str:
    """Return where objects of a kind are (`jobs`, `pods`, …), or one of them."""
    root = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
    return f"{root}/namespaces/{quote(namespace)}/{kind}" + (f"/{quote(name)}" if name else "")


def _flag(kubeconfig: str) -> str:
    return f" --kubeconfig {kubeconfig}" if kubeconfig else ""


def _namespace_of(config: Any, context: str, file: str | None) -> str:
    contexts, _ = config.list_kube_config_contexts(file)
    named = {each["name"]: each["context"] for each in contexts}
    return str(named.get(context, {}).get("namespace", ""))


def _own_namespace() -> str:
    file = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return file.read_text().strip() if file.exists() else ""


def _short(error: BaseException) -> str:
    """Return what the system said, at the bottom of a chain of errors: `Connection refused`."""
    for below in (*error.args, error.__cause__):
        if isinstance(below, OSError) and below.strerror:
            return below.strerror
    return str(error).rpartition(": ")[2].rpartition("] ")[2].strip("()'\" ")
