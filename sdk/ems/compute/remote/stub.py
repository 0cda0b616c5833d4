"""What a container that holds nothing of EMS runs first: fetch the worker from S3, verify, run it.

Goes there as text (`ems.compute.remote.starter`), together with the worker's own signing, so it
imports nothing else of EMS, is Python 3.8 and short: for keys it asks the sources that
`ems.worker.credentials` knows, in the same order, with fewer words. The worker finds its job by
EMS_JOB or EMS_JOBS. Does not know what the job is.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import sys
import tempfile
import time
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener, getproxies

from ems.worker.signing import EMPTY, address_of, region_of, signed, suffix_of

_TRIES = 40


def start(root: str, digest: str) -> None:
    """Become the worker with this digest, which lies below `root` in S3; exit code 70 if not."""
    bucket, _, prefix = root[5:].partition("/")
    key = "%sobjects/%s/%s" % (prefix + "/" if prefix else "", digest[:2], digest)
    region, data, wrong = region_of(os.environ), b"", ""
    for tried in range(_TRIES):
        try:
            data = _get(bucket, key, region)
            break
        except HTTPError as error:
            # a refusal names the bucket's region; the address is without secrets
            wrong = "%s answered %d" % (error.url, error.code)
            lies_in = error.headers.get("x-amz-bucket-region") or region
            if lies_in == region and error.code < 500 and error.code != 429:
                break
            region = lies_in
        except (OSError, LookupError, ValueError) as error:
            wrong = str(error) or type(error).__name__
        time.sleep(min(3, tried / 4))
    if hashlib.sha256(data).hexdigest() != digest:
        wrong = "%s is damaged" % key if data else wrong
        sys.stderr.write("ems: no worker from %s (%s)\n" % (root, wrong))
        sys.exit(70)
    folder = os.environ.get("EMS_SCRATCH") or tempfile.gettempdir()
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "ems-worker-%d-%s.pyz" % (os.getuid(), digest[:16]))
    fd, made = tempfile.mkstemp(dir=folder)
    with open(fd, "wb") as stream:
        stream.write(data)
    os.replace(made, path)  # the next job on this disk replaces it by the same
    os.execv(sys.executable, [sys.executable, path, "at"])


def _get(bucket: str, key: str, region: str) -> bytes:
    server, path = address_of(bucket, key, region, os.environ)
    parts = urlsplit(server)
    path = parts.path + path
    headers: dict[str, str] = {}
    headers = signed("GET", parts.netloc, path, "", headers, EMPTY, _keys(), region, time.time())
    return _ask("%s://%s%s" % (parts.scheme, parts.netloc, path), headers)


def _keys() -> Any:
    env = os.environ.get
    if env("AWS_ACCESS_KEY_ID"):
        named = (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN"))
        return SimpleNamespace(access=named[0], secret=named[1], token=named[2])
    if env("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return _by_identity()
    url = env("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        url = "http://169.254.170.2" + os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
    headers: dict[str, str] = {}
    if url:
        path = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        token = _read(path) if path else env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if token:
            headers["Authorization"] = token
    else:
        url = (env("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254") + "/latest/"
        ttl, name = {"X-aws-ec2-metadata-token-ttl-seconds": "900"}, "X-aws-ec2-metadata-token"
        headers[name] = _ask(url + "api/token", ttl, "PUT").decode()
        url += "meta-data/iam/security-credentials/"
        url += _ask(url, headers).decode().split()[0]
    found = json.loads(_ask(url, headers))
    return SimpleNamespace(
        access=found["AccessKeyId"], secret=found["SecretAccessKey"], token=found["Token"]
    )


def _by_identity() -> Any:
    env, region = os.environ, region_of(os.environ)
    server = env.get("AWS_ENDPOINT_URL_STS") or env.get("AWS_ENDPOINT_URL")
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": env["AWS_ROLE_ARN"],
        "RoleSessionName": "ems",
        "WebIdentityToken": _read(env["AWS_WEB_IDENTITY_TOKEN_FILE"]),
    }
    server = server or "https://sts.%s.%s" % (region, suffix_of(region))
    text = _ask(server, {}, "POST", urlencode(form).encode()).decode()
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    found = [text.split("<%s>" % each)[1].split("<")[0] for each in names]
    return SimpleNamespace(access=found[0], secret=found[1], token=found[2])


def _ask(
    url: str, headers: dict[str, str], method: str = "GET", data: bytes | None = None
) -> bytes:
    trusted = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
    by = {name: each for name, each in getproxies().items() if name == "https"}
    opener = build_opener(ProxyHandler(by), HTTPSHandler(context=trusted))
    return opener.open(Request(url, data, headers, method=method), timeout=20).read()


def _read(path: str) -> str:
    with open(path) as stream:
        return stream.read().strip()


if __name__ == "__main__":
    start(*sys.argv[1:3])
