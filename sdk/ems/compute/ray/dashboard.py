"""Calls to the dashboard of a Ray cluster: the Jobs API and what it tells of nodes.

Knows addresses, the token and what answers mean for whoever asked. Does not know jobs of EMS.
Paths and fields as on docs.ray.io: "Ray Jobs REST API specification" and "Token Authentication",
and as Ray 2.60 answers; read 2026-11-21. No proxy is used: a cluster is on the lab's network.
"""

# answers are JSON: their inside is Any
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from ems.compute.remote.order import PlaceError, Unreachable

PATIENCE_S = 5.0
_NOT_NOW = ("No available agent", "Failed to get head node agent", "Head node id has not yet")
_LIMIT = 10_000


class Dashboard:
    """The dashboard at `url`; `token` is asked for at each call, and is empty where none is."""

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def version(self) -> str:
        """Return Ray's version."""
        return str(self._json("GET", "/api/version")["ray_version"])

    def jobs(self) -> dict[str, Mapping[str, Any]]:
        """Return every job that was submitted to the cluster, by its submission id."""
        listed = self._json("GET", "/api/jobs/")
        return {each["submission_id"]: each for each in listed if each.get("submission_id")}

    def submit(self, job: Mapping[str, Any]) -> None:
        """Submit a job; one of the same submission id that is there already is no error."""
        try:
            self._json("POST", "/api/jobs/", job)
        except PlaceError as error:
            if f"{job['submission_id']} already exists" not in error.problem:
                raise

    def stop(self, submission: str) -> None:
        """Ask a job to end; one that is not there is no error."""
        self._there("POST", f"/api/jobs/{submission}/stop")

    def delete(self, submission: str) -> None:
        """Let go of an ended job; one that is not there, or has not ended, is left."""
        try:
            self._there("DELETE", f"/api/jobs/{submission}")
        except PlaceError as error:
            if "non-terminal state" not in error.problem:
                raise

    def nodes(self) -> list[Mapping[str, Any]]:
        """Return the nodes, the dead ones too."""
        answer = self._json("GET", f"/api/v0/nodes?limit={_LIMIT}")
        return list(answer["data"]["result"]["result"])

    def status(self) -> Mapping[str, Any]:
        """Return the autoscaler's report, empty until there is one; it stands in any cluster."""
        return self._json("GET", "/api/cluster_status?format=0")["data"].get("clusterStatus") or {}

    def _there(self, method: str, path: str) -> None:
        try:
            self._json(method, path)
        except _Absent:
            pass

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._open(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise self._wrong(error, bool(token)) from None
        except urllib.error.URLError as error:
            raise Unreachable(self.url, f"does not answer: {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(self.url, f"does not answer: {error}") from None
        except ValueError:
            problem = "answers, but not as the dashboard of a Ray cluster does"
            raise PlaceError(self.url, problem, "http://HEAD:8265, or your port of it") from None

    def _wrong(self, error: urllib.error.HTTPError, had_token: bool) -> Exception:
        with error:
            text = error.read(100_000).decode("utf-8", "replace").strip()
        if error.code in (401, 403):
            what = "does not take this token" if had_token else "asks for a token"
            step = "token: env:NAME or file:PATH at the target; `ray get-auth-token` on the head"
            return PlaceError(self.url, f"{what} ({error.code})", f"{step} shows it")
        if error.code == 404:
            return _Absent(self.url, f"has no {error.url} ({text[:200]})")
        if error.code in (502, 503, 504) or any(word in text for word in _NOT_NOW):
            return Unreachable(self.url, f"can't serve now ({error.code}): {_last(text)}")
        return PlaceError(self.url, f"answers {error.code}: {_last(text)}")


class _Absent(PlaceError):
    """What was asked for is not there."""


def _last(text: str) -> str:
    """Return what a traceback ends with; Ray answers with tracebacks inside tracebacks."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" .")]
    return lines[-1][:500] if lines else "no reason given"
