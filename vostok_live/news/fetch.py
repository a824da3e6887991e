"""One feed's document over HTTP, asked for so that an unchanged one costs nothing.

Whoever publishes a feed is a stranger: its answer may be late, huge, or something else.

Source: RFC 9110, conditional requests (13).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import aiohttp

from vostok_live.feed.http import retry_after

_CHUNK = 64 * 1024
_REDIRECTS = 5
_ACCEPT = "application/rss+xml, application/atom+xml, application/xml;q=0.9, */*;q=0.5"


class NoDocument(Exception):
    """There is none to be had now.

    Args:
        why: In words, without the address, which may hold a secret.
        wait: Seconds that the server asks to wait.
    """

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Document:
    """What a feed's address answered.

    Attributes:
        content: The document.
        etag, modified: What the server calls this version of it; empty where it says nothing.
        sha256: Of the content.
    """

    content: bytes
    etag: str
    modified: str
    sha256: bytes


class Fetcher:
    """Asks for one feed.

    Args:
        url: Its address.
        session: Opens the connections. One of its own, for a stranger's cookies and open
            connections are none of the exchange's.
        timeout: Seconds until the whole document must be there.
        largest: Bytes of a document; a larger one is not read to its end.
    """

    def __init__(
        self, url: str, *, session: aiohttp.ClientSession, timeout: float, largest: int
    ) -> None:
        self._url = url
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._largest = largest
        self._kept: Document | None = None

    def keep(self, document: Document) -> None:
        """Ask only for what differs from this from here on: it was used."""
        self._kept = Document(b"", document.etag, document.modified, document.sha256)

    async def get(self) -> Document | None:
        """The document; none where it is the one that was kept last.

        Raises:
            NoDocument: There is no answer that can be used.
        """
        try:
            return await self._get()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not in the error's words: those of some name the address.
            slow = isinstance(error, TimeoutError)
            why = "no answer in time" if slow else f"no answer ({type(error).__name__})"
            raise NoDocument(why) from None

    async def _get(self) -> Document | None:
        headers = {"Accept": _ACCEPT, "User-Agent": "vostok"}
        if self._kept is not None and self._kept.etag:
            headers["If-None-Match"] = self._kept.etag
        if self._kept is not None and self._kept.modified:
            headers["If-Modified-Since"] = self._kept.modified
        async with self._session.get(
            self._url, headers=headers, timeout=self._timeout, max_redirects=_REDIRECTS
        ) as response:
            if response.status == 304 and self._kept is not None:
                return None
            if response.status != 200:
                raise NoDocument(f"HTTP {response.status}", retry_after(response.headers))
            content = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                content += chunk
                if len(content) > self._largest:
                    raise NoDocument(f"more than {self._largest:,} bytes")
            etag = response.headers.get("ETag", "")
            modified = response.headers.get("Last-Modified", "")
        document = Document(bytes(content), etag, modified, hashlib.sha256(content).digest())
        same = self._kept is not None and self._kept.sha256 == document.sha256
        return None if same else document
