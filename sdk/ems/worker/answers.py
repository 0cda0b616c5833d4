"""What is sent to S3 and what S3 says: bodies with their digests, answers, errors.

Knows bytes and headers. Does not send anything.
"""

from __future__ import annotations

import base64
import hashlib
from email.utils import parsedate_to_datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Mapping

_BLOCK_BYTES = 1024 * 1024


class S3Error(Exception):
    """S3 answered, and does not do what it was asked; the text says what and why."""


class Missing(S3Error):
    """There is no such object."""


class Taken(S3Error):
    """A conditional write came second."""


class Away(S3Error):
    """S3 could not be reached, or was too busy, for as long as was waited."""


class NoRoom(S3Error):
    """What comes from S3 can't be kept here."""


class Stopped(Exception):
    """Whoever asked does not want it any more."""


class Answer:
    """What S3 said; names of headers are lower case."""

    def __init__(self, status: int, headers: Dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def between(self, name: str) -> str:
        """Return what the first element `name` of an XML body holds, or nothing."""
        text = self.body.decode("utf-8", "replace")
        return text.split("<%s>" % name, 1)[-1].split("</%s>" % name, 1)[0] if name in text else ""


class Found:
    """What S3 tells of an object: its SHA-256 checksum is "" where none is kept."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.size = int(headers["content-length"])
        self.checksum = headers.get("x-amz-checksum-sha256", "")
        self.age_s = _moment(headers, "date") - _moment(headers, "last-modified")

    def is_content(self, digest: str, size: int) -> bool:
        """Whether S3 vouches that this is the content with that digest."""
        raw = base64.b64encode(bytes.fromhex(digest.partition("-")[0])).decode("ascii")
        # of how many parts it is made, not every server adds; the hash is of theirs in any case
        return self.size == size and self.checksum.partition("-")[0] == raw


def _moment(headers: Mapping[str, str], name: str) -> float:
    return parsedate_to_datetime(headers[name]).timestamp()


class Body:
    """What is sent: bytes, or a stretch of a file; with its SHA-256."""

    def __init__(self, data: bytes = b"", path: str = "", start: int = 0, length: int = 0) -> None:
        self._data, self._path, self._start = data, path, start
        self.length = length if path else len(data)
        found = hashlib.sha256()
        for block in self.blocks():
            found.update(block)
        self.sha256 = found.digest()

    def blocks(self) -> Iterator[bytes]:
        """Yield it piece by piece; an empty one yields nothing."""
        if not self._path:
            if self._data:
                yield self._data
            return
        left = self.length
        with open(self._path, "rb") as stream:
            stream.seek(self._start)
            while left:
                block = stream.read(min(left, _BLOCK_BYTES))
                if not block:
                    raise S3Error("%s became shorter while it was read" % self._path)
                left -= len(block)
                yield block

    def checksum(self) -> Dict[str, str]:
        """Return the headers by which S3 verifies what arrives, and keeps the checksum."""
        found = base64.b64encode(self.sha256).decode("ascii")
        return {"x-amz-checksum-sha256": found, "x-amz-sdk-checksum-algorithm": "SHA256"}
