"""A small client of S3: objects read, written, copied and listed, in parts where they are large.

Asks again after faults of the server and of the network, for as long as its patience lasts. Knows
bytes and keys below one root, `s3://bucket/prefix`. Does not know jobs. Any thread may use it.
"""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from urllib.parse import quote, urlsplit

from ..hashing import PART_BYTES
from .answers import Answer, Away, Body, Found, Missing, NoRoom, S3Error, Stopped, Taken
from .credentials import Credentials, NoCredentials, connect
from .signing import address_of, query_of, region_of, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterator, Mapping, Optional, Tuple, TypeVar

    T = TypeVar("T")

_BLOCK_BYTES = 1024 * 1024
_LONGEST_PAUSE_S = 5.0
_SILENCE_S = 60.0
"""A connection that says nothing for so long is given up and made anew."""
_BUSY = frozenset((
    "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling",
    "ThrottlingException", "ConditionalRequestConflict", "OperationAborted",
))  # fmt: skip
_KEYS_REFUSED = frozenset(("ExpiredToken", "TokenRefreshRequired", "InvalidToken"))


class _Again(Exception):
    """Worth another try."""


class S3:
    """Objects below one root.

    `patience_s` is how long something is tried without getting anywhere. As soon as `wanted` says
    no, whatever is under way ends with Stopped.
    """

    def __init__(
        self,
        url: str,
        patience_s: float = 120.0,
        wanted: Callable[[], bool] = lambda: True,
        environ: Optional[Mapping[str, str]] = None,
        credentials: Optional[Credentials] = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._environ = os.environ if environ is None else environ
        bucket, _, prefix = self.url[len("s3://") :].partition("/")
        if not self.url.startswith("s3://") or not bucket:
            raise S3Error("%r is no s3://bucket/prefix" % url)
        self._bucket, self._prefix = bucket, prefix + "/" if prefix else ""
        self._region = region_of(self._environ)
        self._credentials = credentials or Credentials(self._environ)
        self._patience_s = patience_s
        self._wanted = wanted
        self._links = _Links()

    def patient(self, patience_s: float, wanted: Callable[[], bool] = lambda: True) -> S3:
        """Return the same root with another patience."""
        return S3(self.url, patience_s, wanted, self._environ, self._credentials)

    def at(self, url: str) -> S3:
        """Return another root, with the same keys and the same patience."""
        if url.rstrip("/") == self.url:
            return self
        return S3(url, self._patience_s, self._wanted, self._environ, self._credentials)

    # -- reading ----------------------------------------------------------------------------------

    def get(self, key: str) -> bytes:
        """Return an object; raises Missing."""
        return self.ask("GET", key).body

    def stat(self, key: str) -> Optional[Found]:
        """Return what is known of an object without reading it; None if there is none."""
        try:
            return Found(self.ask("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"}).headers)
        except Missing:
            return None

    def head(self, key: str) -> Optional[Tuple[int, str]]:
        """Return (size, SHA-256 checksum as S3 tells it or "") of an object; None if missing."""
        found = self.stat(key)
        return None if found is None else (found.size, found.checksum)

    def fetch_range(self, key: str, fd: int, start: int, length: int) -> int:
        """Write a stretch of an object into a file at its place; return the object's size.

        Goes on where a broken connection left off. What lies behind the object's end is left out.
        """
        place = [start]

        def take(answer: http.client.HTTPResponse) -> None:
            while True:
                block = answer.read(_BLOCK_BYTES)
                if not block:
                    break
                _write(fd, block, place[0])
                place[0] += len(block)
                self._check()
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)

        def once() -> int:
            ranged = {"range": "bytes=%d-%d" % (place[0], start + length - 1)}
            answer = self._once("GET", key, {}, ranged, Body(), take)
            if answer.status == 416:  # an empty object has no first byte
                return place[0]
            if "content-range" not in answer.headers:
                raise S3Error("%s does not answer for a part of an object" % self.url)
            return int(answer.headers["content-range"].rpartition("/")[2])

        return self._trying("GET " + key, once, lambda: place[0])

    def list(self, prefix: str) -> Iterator[Tuple[str, int]]:
        """Yield (key, size) of all objects below a prefix, in order."""
        from xml.etree import ElementTree

        query = {"list-type": "2", "prefix": self._prefix + prefix}
        while True:
            root = ElementTree.fromstring(self.ask("GET", "", query).body)
            space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
            for each in root.iter(space + "Contents"):
                key = each.findtext(space + "Key") or ""
                yield key[len(self._prefix) :], int(each.findtext(space + "Size") or 0)
            token = root.findtext(space + "NextContinuationToken")
            if not token:
                return
            query["continuation-token"] = token

    # -- writing ----------------------------------------------------------------------------------

    def put(self, key: str, data: bytes, condition: Optional[Dict[str, str]] = None) -> str:
        """Write an object; return its ETag.

        With `{"if-none-match": "*"}` or `{"if-match": etag}` as `condition`, it raises Taken where
        somebody else was first.
        """
        body = Body(data)
        headers = {**body.checksum(), **(condition or {})}
        return self.ask("PUT", key, headers=headers, body=body).headers.get("etag", "")

    def put_file(self, key: str, path: str, part_bytes: int = PART_BYTES, at_once: int = 4) -> None:
        """Write a file as an object: one above `part_bytes` in parts, several at a time.

        S3 verifies each part, and keeps a checksum that is the content digest of the file if parts
        are as large as that takes them.
        """
        size = os.stat(path).st_size
        if size > part_bytes:
            self._put_parts(key, path, size, part_bytes, at_once)
            return
        body = Body(path=path, length=size)
        self.ask("PUT", key, headers=body.checksum(), body=body)

    def _put_parts(self, key: str, path: str, size: int, part_bytes: int, at_once: int) -> None:
        def put(query: Dict[str, str], start: int, length: int) -> Tuple[str, str]:
            body = Body(path=path, start=start, length=length)
            answer = self.ask("PUT", key, query, body.checksum(), body)
            return answer.headers["etag"], body.checksum()["x-amz-checksum-sha256"]

        self._joined(key, size, part_bytes, at_once, put)

    def copy(self, key: str, source: S3, size: int, part_bytes: int = PART_BYTES) -> None:
        """Have S3 itself copy the object of this name from another root, or renew it in place.

        In the parts that a content digest takes, so that the checksum that S3 makes is the digest.
        """
        headers = {"x-amz-copy-source": "/%s/%s" % (source._bucket, quote(source._prefix + key))}
        if size <= part_bytes:
            headers["x-amz-checksum-algorithm"] = "SHA256"
            # S3 copies nothing onto itself unless something is to change
            headers["x-amz-metadata-directive"] = "REPLACE"
            self.ask("PUT", key, headers=headers)
            return

        def put(query: Dict[str, str], start: int, length: int) -> Tuple[str, str]:
            ranged = "bytes=%d-%d" % (start, start + length - 1)
            answer = self.ask("PUT", key, query, {**headers, "x-amz-copy-source-range": ranged})
            etag = answer.between("ETag").replace("&quot;", '"').replace("&#34;", '"')
            return etag, answer.between("ChecksumSHA256")

        self._joined(key, size, part_bytes, 16, put)

    def _joined(
        self,
        key: str,
        size: int,
        part_bytes: int,
        at_once: int,
        put: Callable[[Dict[str, str], int, int], Tuple[str, str]],
    ) -> None:
        """Make an object of parts; `put` sends one and returns its ETag and its checksum."""
        from concurrent.futures import ThreadPoolExecutor

        begun = self.ask("POST", key, {"uploads": ""}, {"x-amz-checksum-algorithm": "SHA256"})
        upload = begun.between("UploadId")

        def one(number: int) -> str:
            start = (number - 1) * part_bytes
            query = {"partNumber": str(number), "uploadId": upload}
            etag, checksum = put(query, start, min(part_bytes, size - start))
            return "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag>%s</Part>" % (
                number,
                etag.replace('"', "&quot;"),
                checksum and "<ChecksumSHA256>%s</ChecksumSHA256>" % checksum,
            )

        try:
            with ThreadPoolExecutor(at_once) as pool:
                rows = list(pool.map(one, range(1, -(-size // part_bytes) + 1)))
            text = "<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % "".join(rows)
            self.ask("POST", key, {"uploadId": upload}, body=Body(text.encode("ascii")))
        except BaseException:
            try:  # parts that are left cost money; a bucket's lifecycle rule removes the rest
                self.patient(0.0).ask("DELETE", key, {"uploadId": upload})
            except (S3Error, NoCredentials):
                pass
            raise

    def delete(self, key: str) -> None:
        """Remove an object; one that isn't there is no error."""
        self.ask("DELETE", key)

    # -- asking -----------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        key: str,
        query: Optional[Dict[str, str]] = None,
        headers: Optional[Dict[str, str]] = None,
        body: Optional[Body] = None,
    ) -> Answer:
        """Send a request until it is answered; raises S3Error or NoCredentials."""
        sent = body or Body()
        what = "%s %s" % (method, key or self.url)
        return self._trying(what, lambda: self._once(method, key, query or {}, headers or {}, sent))

    def _trying(self, what: str, once: Callable[[], T], place: Callable[[], int] = int) -> T:
        """Do something until it is done, with growing pauses while it does not get on."""
        began, tries, at = time.monotonic(), 0, place()
        while True:
            self._check()
            try:
                return once()
            except (_Again, OSError, http.client.HTTPException) as error:
                self._drop()
                if getattr(error, "filename", None):
                    raise  # a file here, and no network
                if type(error).__name__ == "SSLCertVerificationError":
                    raise S3Error("%s: %s" % (self.url, error)) from None
                if place() > at:
                    began, tries, at = time.monotonic(), 0, place()
                if time.monotonic() - began > self._patience_s:
                    text = str(error) or type(error).__name__
                    raise Away("%s: %s can't be reached (%s)" % (what, self.url, text)) from None
            pause = min(_LONGEST_PAUSE_S, 0.1 * 2.0**tries) * (0.5 + random.random() / 2)
            tries, until = tries + 1, time.monotonic() + pause
            while time.monotonic() < until:
                self._check()
                time.sleep(min(0.1, pause))

    def _check(self) -> None:
        if not self._wanted():
            raise Stopped()

    def _once(
        self,
        method: str,
        key: str,
        query: Dict[str, str],
        headers: Dict[str, str],
        body: Body,
        take: Optional[Callable[[http.client.HTTPResponse], None]] = None,
    ) -> Answer:
        """Send a request once; raises _Again where the same one may be answered better."""
        keys = self._credentials.keys()
        whole = self._prefix + key if key else ""
        server, path = address_of(self._bucket, whole, self._region, self._environ)
        parts, text = urlsplit(server), query_of(query)
        path = parts.path + path
        made = signed(
            method, parts.netloc, path, text, headers, body.sha256.hex(), keys, self._region,
            time.time(),
        )  # fmt: skip
        if body.length or method in ("PUT", "POST"):
            made["content-length"] = str(body.length)
        link = self._link(server)
        blocks = body.blocks() if body.length else None
        try:
            link.request(method, path + ("?" + text if text else ""), blocks, made)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a refusal may have come before all was sent
        answer = link.getresponse()
        said = {name.lower(): value for name, value in answer.getheaders()}
        if take is not None and answer.status == 206:
            take(answer)
            return Answer(answer.status, said, b"")
        found = Answer(answer.status, said, answer.read())
        if answer.will_close:
            self._drop()
        slow = method == "POST" or "x-amz-copy-source" in headers
        late = slow and b"<Error>" in found.body  # S3 may find out after its 200
        if (found.status < 300 and not late) or (found.status == 416 and take is not None):
            return found
        refusal = self._refusal(found, "%s %s" % (method, key or self.url))
        # an answer to HEAD has no body that would say so
        silent = method == "HEAD" and found.status == 400 and not isinstance(refusal, _Again)
        if found.between("Code") in _KEYS_REFUSED or silent:
            self._credentials.distrust(keys)
            raise _Again(found.between("Code") or "400 to HEAD, as where keys have expired")
        raise refusal

    def _refusal(self, found: Answer, what: str) -> Exception:
        code = found.between("Code") or http.client.responses.get(found.status, "")
        region = found.headers.get("x-amz-bucket-region") or found.between("Region")
        if region and region != self._region and found.status in (301, 307, 400):
            self._region = region
            return _Again("the bucket lies in %s" % region)
        if (
            found.status >= 500
            or found.status in (408, 429)
            or code in _BUSY
            or found.status == 200
        ):
            return _Again("%d %s" % (found.status, code))
        said = found.between("Message")
        text = "%s in %s: %d %s%s" % (what, self.url, found.status, code, said and ": " + said)
        if found.status == 404 and code != "NoSuchBucket":
            return Missing(text)
        return Taken(text) if found.status == 412 else S3Error(text)

    # -- connections ------------------------------------------------------------------------------

    def _link(self, server: str) -> http.client.HTTPConnection:
        """Return this thread's connection to a server, made if need be."""
        links = self._links.made
        if server not in links:
            self._drop()
            links[server] = connect(server, self._environ, _SILENCE_S)
        return links[server]

    def _drop(self) -> None:
        while self._links.made:
            self._links.made.popitem()[1].close()


class _Links(threading.local):
    def __init__(self) -> None:
        self.made: Dict[str, http.client.HTTPConnection] = {}


def _write(fd: int, block: bytes, place: int) -> None:
    try:
        while block:
            written = os.pwrite(fd, block, place)
            block, place = block[written:], place + written
    except OSError as error:
        raise NoRoom("can't be written here: %s" % error.strerror) from None
