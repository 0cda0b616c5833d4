"""Requests to S3: where they go and how they are signed (Signature Version 4).

Knows bytes and text alone. Does not send anything, nor know where keys come from.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from urllib.parse import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Mapping, Tuple

    from .credentials import Keys

EMPTY = hashlib.sha256(b"").hexdigest()
"""The digest of a request without a body."""
_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}


def suffix_of(region: str) -> str:
    """Return what the names of AWS's hosts end with in the partition of a region."""
    for start, suffix in _SUFFIXES.items():
        if region.startswith(start):
            return suffix
    return "amazonaws.com"


def address_of(bucket: str, key: str, region: str, environ: Mapping[str, str]) -> Tuple[str, str]:
    """Return ("https://host", encoded path) of an object.

    AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL name a server of one's own, which finds the bucket in
    the path, and so does AWS for a name with dots, which its certificates don't cover.
    """
    path = "/" + quote(key, safe="/~")
    server = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    if server:
        return server.rstrip("/"), "/%s%s" % (bucket, path)
    host = "s3.%s.%s" % (region, suffix_of(region))
    if "." in bucket:
        return "https://" + host, "/%s%s" % (bucket, path)
    return "https://%s.%s" % (bucket, host), path


def region_of(environ: Mapping[str, str]) -> str:
    """Return the region that is set, or the one whose server knows the way to all others."""
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def query_of(query: Mapping[str, str]) -> str:
    """Return a query as it is sent and signed: encoded and sorted."""
    return "&".join(
        sorted("%s=%s" % (quote(k, safe="~"), quote(v, safe="~")) for k, v in query.items())
    )


def signed(
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    digest: str,
    keys: Keys,
    region: str,
    now: float,
) -> Dict[str, str]:
    """Return the headers of a request with its signature; `digest` is the body's SHA-256."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    made = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    made.update({"host": host, "x-amz-date": moment, "x-amz-content-sha256": digest})
    if keys.token:
        made["x-amz-security-token"] = keys.token
    names = ";".join(sorted(made))
    rows = "".join("%s:%s\n" % (name, made[name]) for name in sorted(made))
    request = "\n".join((method, path, query, rows, names, digest))
    scope = "%s/%s/s3/aws4_request" % (moment[:8], region)
    hashed = hashlib.sha256(request.encode("utf-8")).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashed))
    key = ("AWS4" + keys.secret).encode("utf-8")
    for word in scope.split("/"):
        key = hmac.new(key, word.encode("ascii"), "sha256").digest()
    made["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s" % (
        keys.access,
        scope,
        names,
        hmac.new(key, text.encode("utf-8"), "sha256").hexdigest(),
    )
    return made
