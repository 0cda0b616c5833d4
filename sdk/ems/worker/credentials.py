"""Whose name a worker in a cloud works in: keys from the machine, refreshed before they expire.

In this order: AWS_* variables, a web identity token (STS), a container's role (ECS, Batch,
SageMaker, EKS pod identity), the machine's role (IMDSv2). Nothing of it is ever logged. Sources and
their order: AWS SDKs and Tools Reference Guide, "Standardized credential providers", 2025.
"""

from __future__ import annotations

import base64
import calendar
import http.client
import json
import os
import threading
import time
from urllib.parse import unquote, urlencode, urlsplit

from .signing import region_of, suffix_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Optional

_EARLY_S = 300.0
"""Keys are replaced so long before they expire; where that fails, they serve to their end."""
_TRUSTED = ("127.0.0.1", "localhost", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")
"""Hosts that may hand out a container's keys without TLS."""


class NoCredentials(Exception):
    """No source gave keys; says what was tried."""


class _Silent(Exception):
    """One source that is set up and gives no keys; says why."""


class Keys:
    """Keys of one role; `expires` is 0 for those that don't."""

    def __init__(self, access: str, secret: str, token: str = "", expires: float = 0.0) -> None:
        self.access = access
        self.secret = secret
        self.token = token
        self.expires = expires


class Credentials:
    """Gives keys to any thread. `containers` is where relative addresses of containers lead."""

    containers = "http://169.254.170.2"
    machine = "http://169.254.169.254"

    def __init__(self, environ: Optional[Mapping[str, str]] = None) -> None:
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self._lock = threading.Lock()
        self._keys: Optional[Keys] = None

    def keys(self) -> Keys:
        """Return keys that hold for some minutes; raises NoCredentials."""
        with self._lock:
            had, now = self._keys, time.time()
            if had is None or (had.expires and had.expires - now < _EARLY_S):
                try:
                    self._keys = self._look()
                except NoCredentials:
                    if had is None or had.expires <= now:
                        raise
            assert self._keys is not None
            return self._keys

    def distrust(self, keys: Keys) -> None:
        """Keys were refused: look for new ones next time."""
        with self._lock:
            if self._keys is keys:
                self._keys = None

    def _look(self) -> Keys:
        tried: List[str] = []
        for name, source in (
            ("variables", self._variables),
            ("web identity", self._identity),
            ("the container's role", self._container),
            ("the machine's role", self._machine),
        ):
            try:
                return source()
            except _Silent as error:
                tried.append("%s (%s)" % (name, error))
            except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
                # the words of an error name addresses and missing fields, never a key
                tried.append("%s (%s: %s)" % (name, type(error).__name__, error))
        raise NoCredentials("no AWS credentials here; tried: " + "; ".join(tried))

    def _variables(self) -> Keys:
        env = self._environ
        if not env.get("AWS_ACCESS_KEY_ID") or not env.get("AWS_SECRET_ACCESS_KEY"):
            raise _Silent("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
        token = env.get("AWS_SESSION_TOKEN", "")
        return Keys(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], token)

    def _identity(self) -> Keys:
        env = self._environ
        role, path = env.get("AWS_ROLE_ARN"), env.get("AWS_WEB_IDENTITY_TOKEN_FILE")
        if not role or not path:
            raise _Silent("AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE are not set")
        region = region_of(env)
        server = env.get("AWS_ENDPOINT_URL_STS") or env.get("AWS_ENDPOINT_URL")
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": env.get("AWS_ROLE_SESSION_NAME") or "ems-%d" % time.time(),
            "WebIdentityToken": _read(path),
        }
        text = _ask(
            "POST",
            server or "https://sts.%s.%s" % (region, suffix_of(region)),
            {"Content-Type": "application/x-www-form-urlencoded"},
            urlencode(form),
            10,
        )
        return Keys(
            _between(text, "AccessKeyId"),
            _between(text, "SecretAccessKey"),
            _between(text, "SessionToken"),
            _moment(_between(text, "Expiration")),
        )

    def _container(self) -> Keys:
        env = self._environ
        relative = env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        whole = env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if not relative and not whole:
            raise _Silent("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and …_FULL_URI are not set")
        url = self.containers + relative if relative else whole or ""
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _TRUSTED:
            raise _Silent("AWS_CONTAINER_CREDENTIALS_FULL_URI names %s, no host of AWS's" % url)
        path = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        token = _read(path) if path else env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        return _of_json(_ask("GET", url, {"Authorization": token} if token else {}))

    def _machine(self) -> Keys:
        env = self._environ
        if env.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise _Silent("AWS_EC2_METADATA_DISABLED is set")
        base = env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or self.machine
        base = base.rstrip("/") + "/latest/"
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
        token = {"X-aws-ec2-metadata-token": _ask("PUT", base + "api/token", ttl)}
        base += "meta-data/iam/security-credentials/"
        return _of_json(_ask("GET", base + _ask("GET", base, token).split("\n")[0], token))


def connect(
    server: str, environ: Mapping[str, str], timeout_s: float
) -> http.client.HTTPConnection:
    """Return a connection to `http://…` or `https://…`, not opened yet.

    Whom to trust is up to the system, or to the file at AWS_CA_BUNDLE. TLS goes through the proxy
    at HTTPS_PROXY, unless NO_PROXY names the host.
    """
    parts = urlsplit(server)
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    import ssl

    trusted = ssl.create_default_context(cafile=environ.get("AWS_CA_BUNDLE") or None)
    proxy = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    if not proxy or _is_near(parts.hostname or "", environ):
        return http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=trusted)
    by = urlsplit(proxy if "://" in proxy else "http://" + proxy)
    name = "%s:%d" % (by.hostname, by.port or 80)
    link = http.client.HTTPSConnection(name, timeout=timeout_s, context=trusted)
    keys = base64.b64encode(unquote(by.netloc.rpartition("@")[0]).encode("utf-8")).decode("ascii")
    link.set_tunnel(parts.netloc, headers={"Proxy-Authorization": "Basic " + keys} if keys else {})
    return link


def _is_near(host: str, environ: Mapping[str, str]) -> bool:
    """Whether NO_PROXY names a host, or a domain that it is in."""
    listed = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(",")
    names = [each.strip().lstrip(".") for each in listed if each.strip()]
    return "*" in names or any(("." + host).endswith("." + each) for each in names)


def _ask(
    method: str, url: str, headers: Dict[str, str], body: str = "", timeout_s: float = 2
) -> str:
    """Return what a server answers; it is near, and gets three tries."""
    parts = urlsplit(url)
    for last in (False, False, True):
        link = connect(url, os.environ, timeout_s)
        try:
            path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
            link.request(method, path, body or None, headers)
            answer = link.getresponse()
            text = answer.read().decode("utf-8")
            if answer.status == 200:
                return text
            if last or answer.status < 500:
                code = " " + _between(text, "Code") if "<Code>" in text else ""
                raise _Silent("%s answered %d%s" % (url, answer.status, code))
        except OSError as error:
            if last or isinstance(error, ConnectionRefusedError):
                raise _Silent("%s: %s" % (url, error)) from None
        finally:
            link.close()
    raise AssertionError


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read().strip()


def _of_json(text: str) -> Keys:
    found = json.loads(text)
    expires = _moment(found.get("Expiration") or "")
    return Keys(found["AccessKeyId"], found["SecretAccessKey"], found.get("Token") or "", expires)


def _between(text: str, name: str) -> str:
    """Return what an element of a flat XML text holds."""
    return text.split("<%s>" % name, 1)[1].split("</%s>" % name, 1)[0]


def _moment(text: str) -> float:
    if not text:
        return 0.0
    return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))
