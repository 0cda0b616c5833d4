"""What AWS refuses, as a scheduler's errors; the same for all of its services.

A throttled call, a server's error and a network that fails are Unreachable: whoever asks comes
back. Knows boto3's exceptions by their names. Does not know any one service.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Mapping
from typing import Any, cast

from ems.compute.remote.order import PlaceError, Unreachable
from ems.errors import EmsError
from ems.stack import aws

_THROTTLED = {
    "TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded",
    "ThrottledException", "ServerException", "InternalError", "InternalFailure",
    "InternalServerError", "ServiceUnavailable",
}  # fmt: skip
_FAR = {
    "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError",
    "ProxyConnectionError", "SSLError", "ResponseStreamingError", "HTTPClientError",
}  # fmt: skip
_SAID = re.compile(r"An error occurred \(\w+\) when calling the \w+ operation(?: \([^)]*\))?: ")


def inner(told: Mapping[str, Any] | None, *keys: str) -> Mapping[str, Any]:
    """Return a mapping inside of an answer; an empty one where AWS left it out."""
    found: Mapping[str, Any] = told or {}
    for key in keys:
        found = found.get(key) or {}
    return found


@contextlib.contextmanager
def asked(subject: str, kinds: Mapping[str, type[PlaceError]]) -> Generator[None]:
    """Turn what boto3 raises inside into Unreachable, or a PlaceError: of `kinds`, by its code."""
    kind: type[EmsError] = PlaceError
    try:
        with aws.asking(subject):
            try:
                yield
            except Exception as error:
                kind = _kind(error, kinds)
                raise
    except EmsError as told:
        if isinstance(told, Unreachable | PlaceError):
            raise
        raise kind(told.subject, _SAID.sub("", told.problem), told.next_step) from None


def _kind(error: Exception, kinds: Mapping[str, type[PlaceError]]) -> type[EmsError]:
    # what has no answer has None there
    response = cast("Mapping[str, Mapping[str, Any]]", getattr(error, "response", None) or {})
    code = response.get("Error", {}).get("Code", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _THROTTLED or status >= 500 or type(error).__name__ in _FAR:
        return Unreachable
    return kinds.get(code, PlaceError)
