"""Clients of AWS, made when they are needed, and what AWS refuses in one sentence each.

The one place of the contract that imports boto3, and only when called. Endpoints, profiles and
credentials are boto3's business (AWS_PROFILE, AWS_ENDPOINT_URL, …). Does not know what is asked.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import threading
from collections.abc import Callable, Generator
from typing import Any, cast

from ems.errors import EmsError

Clients = Callable[[str, str], Any]
"""Service and region → client."""
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
_REFUSED = {
    "AuthFailure", "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId",
    "InvalidSignatureException", "SignatureDoesNotMatch", "UnrecognizedClientException",
}  # fmt: skip
_LOGIN = "aws sso login, aws configure, or AWS_PROFILE=NAME"
_WITHOUT = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}
_SIGNED_OUT = {"UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError"}
_FAR = {
    "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyConnectionError",
    "ConnectionClosedError", "SSLError",
}  # fmt: skip
_NEAR = {"EndpointConnectionError", "ConnectTimeoutError", "ConnectionClosedError"}
_LOCAL = re.compile(r"https?://(?:127\.[\d.]+|localhost|\[::1\])(?::\d+)?(?=[/\"'\s]|$)")
_STAND_IN = 'make sandbox, then eval "$(make -s sandbox-env)"'


_MAKING = threading.Lock()
"""boto3 makes clients one after the other; those it made may be used side by side."""


class Denied(EmsError):
    """These credentials may not ask this."""


class Missing(EmsError):
    """What was asked for is not there."""


def client(service: str, region: str) -> Any:
    """Return a client of a service in a region; EmsError where boto3 is not installed."""
    try:
        boto3: Any = importlib.import_module("boto3")
        config: Any = importlib.import_module("botocore.config")
    except ModuleNotFoundError:
        raise EmsError("boto3", "is not installed", "pip install 'emsctl[aws]'") from None
    patience = config.Config(
        connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 3}
    )
    with asking(f"{service} in {region}"), _MAKING:
        return boto3.client(service, region_name=region, config=patience)


@contextlib.contextmanager
def asking(subject: str) -> Generator[None]:
    """Turn what botocore raises inside into one EmsError about `subject`.

    Denied where the credentials may not ask, Missing where there is nothing by that name.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("botocore", "boto3"):
            raise
        raise _told(subject, error) from None


def _told(subject: str, error: Exception) -> EmsError:
    kind = type(error).__name__
    text = " ".join(str(error).split())
    response = cast("dict[str, dict[str, str]]", getattr(error, "response", None) or {})
    code = response.get("Error", {}).get("Code", "")
    if code in _DENIED:
        return Denied(subject, f"access denied ({text})", "another AWS_PROFILE, or ask for access")
    if code in _REFUSED:
        return EmsError(subject, f"AWS refuses these credentials ({code})", _LOGIN)
    if code == "404" or code.startswith("NoSuch") or "NotFound" in code:
        return Missing(subject, f"is not there ({code})")
    if kind in _WITHOUT:
        return EmsError(subject, "no AWS credentials were found", _LOGIN)
    if kind in _SIGNED_OUT:
        return EmsError(subject, "the sign-on has run out", "aws sso login")
    if kind in _NEAR and (address := _LOCAL.search(text)):
        problem = f"AWS can't be reached: nothing answers at the local endpoint {address[0]}"
        return EmsError(subject, problem, _STAND_IN)
    if kind in _FAR:
        return EmsError(subject, f"AWS can't be reached ({text})", "the region's name, the network")
    return EmsError(subject, text)
