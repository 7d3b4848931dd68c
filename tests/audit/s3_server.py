"""As much of S3 as reading takes: ListObjectsV2, HEAD, and GET with ranges, from memory.

Source: Amazon S3's API reference; path-style addresses, as clients use with an IP address.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

WHEN = "2026-01-01T00:00:00.000Z"
WHEN_HTTP = "Thu, 01 Jan 2026 00:00:00 GMT"
REGION = "us-east-1"


@dataclass
class Bucket:
    """What lies in a bucket, and what was asked of it.

    Attributes:
        name: of the bucket.
        objects: by their keys.
        page: how many keys an answer lists.
        asked: method, key and range of every request for an object.
        forbidden: keys that may be listed but not read.
    """

    name: str
    objects: Mapping[str, bytes]
    page: int = 1000
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    forbidden: frozenset[str] = frozenset()

    def listed(self, prefix: str, delimiter: str, after: str) -> str:
        """The answer to ListObjectsV2, a page of it."""
        entries: dict[str, str] = {}
        for key in sorted(key for key in self.objects if key.startswith(prefix)):
            head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            entries.setdefault(prefix + head + cut if cut else key, "" if cut else key)
        left = [name for name in entries if name > after]
        shown = left[: self.page]
        more = len(left) > len(shown)
        token = _tag("NextContinuationToken", shown[-1]) if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            + _tag("Name", self.name)
            + _tag("Prefix", prefix)
            + _tag("KeyCount", str(len(shown)))
            + _tag("IsTruncated", str(more).lower())
            + token
            + "".join(self._entry(name, entries[name]) for name in shown)
            + "</ListBucketResult>"
        )

    def _entry(self, name: str, key: str) -> str:
        if not key:
            return f"<CommonPrefixes>{_tag('Prefix', name)}</CommonPrefixes>"
        content = self.objects[key]
        return (
            f"<Contents>{_tag('Key', key)}{_tag('LastModified', WHEN)}"
            f"{_tag('ETag', etag(content))}{_tag('Size', str(len(content)))}</Contents>"
        )


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


@contextmanager
def serving(bucket: Bucket) -> Iterator[str]:
    """Serve a bucket on this machine; give its address."""
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        name, _, key = unquote(url.path).lstrip("/").partition("/")
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if name != self.bucket.name:
            self._refuse(404, "NoSuchBucket")
        elif key:
            self._give(key, self.headers.get("Range", ""))
        else:
            after = asked.get("continuation-token", "")
            text = self.bucket.listed(asked.get("prefix", ""), asked.get("delimiter", ""), after)
            self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _give(self, key: str, wanted: str) -> None:
        self.bucket.asked.append((self.command, key, wanted))
        content = self.bucket.objects.get(key)
        if content is None or key in self.bucket.forbidden:
            return self._refuse(*((404, "NoSuchKey") if content is None else (403, "AccessDenied")))
        headers = {"ETag": etag(content), "Last-Modified": WHEN_HTTP, "Accept-Ranges": "bytes"}
        if not wanted:
            return self._answer(200, content, headers)
        first, last = wanted.removeprefix("bytes=").split("-")
        start = int(first) if first else len(content) - int(last)
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        return self._answer(206, content[start:end], headers)

    def _refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self._answer(status, text.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-amz-bucket-region", REGION)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""
