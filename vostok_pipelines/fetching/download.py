"""One file from a server into a folder: whole and verified, or not at all.

What has come so far of `NAME` is kept beside its place as `.NAME.part`, which no reader of the
folder matches, with `.NAME.part.json` saying which version of the file it is the beginning of. A
download that broke off, or whose process was killed, goes on there if the server still has that
version. The file appears by a rename, once its SHA-256 is the one that the server publishes in
`NAME.CHECKSUM`.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp

from vostok_core.errors import FetchError
from vostok_core.hashing import hash_file
from vostok_core.lake.atomic import fsync_directory, replacing
from vostok_pipelines.fetching.polite import Asker, NoAnswer

SUFFIX = ".CHECKSUM"
"""What the name of a file's checksum ends in."""

_CHUNK = 1 << 18
_LOCKED_POLL = 0.5  # seconds between two looks at a part that another process is writing
_CHECKSUM = re.compile(r"\s*([0-9a-fA-F]{64})\b")
_CHECKSUM_SIZE = 4096  # bytes; no checksum is longer
_STRONG = re.compile(r'"[^"]*"')

Received = Callable[[int], None]
"""Is told of bytes as they come."""


@dataclass(frozen=True)
class Outcome:
    """What came of asking for a file.

    Attributes:
        there: Whether the folder has it now; otherwise the server doesn't.
        fetched: Whether it had to be fetched.
        verified: Whether the server publishes its checksum; otherwise only the zip's own checksums
            vouch for it.
    """

    there: bool
    fetched: bool = False
    verified: bool = True


async def download(asker: Asker, url: str, path: Path, received: Received) -> Outcome:
    """Bring a file, unless it is there with the checksum that the server publishes.

    Args:
        asker: Asks the server.
        url: Address of the file.
        path: Its place; folders are made.
        received: Is told of bytes as they come.

    Raises:
        FetchError: The server didn't give it, or not the one that its checksum is of.
        OSError: It can't be written.
    """
    for attempt in (1, 2):
        if path.exists():
            checksum = await _checksum(asker, url)
            if checksum in (None, await asyncio.to_thread(hash_file, path)):
                return Outcome(there=True, verified=checksum is not None)
        async with _part(path) as part:
            if part is None:  # it has come by another process
                continue
            if not await _bring(asker, url, part, received):
                part.discard()
                return Outcome(there=path.exists())
            checksum = await _checksum(asker, url)
            problem = await asyncio.to_thread(part.judge, checksum)
            if problem is None:
                part.finish(checksum)
                return Outcome(there=True, fetched=True, verified=checksum is not None)
            part.discard()
            if attempt == 2:
                raise FetchError(
                    f"the file came twice, and {problem}",
                    where=url,
                    hint="what came was deleted; the file or its checksum is broken at the source, "
                    "or something on the way alters it: try again later, or take it from elsewhere "
                    "and land it: `vostok ingest PATH --instrument ID --format FORMAT`",
                )
    return Outcome(there=path.exists())


class _Part:
    """The beginning of a file, open and locked by this process."""

    def __init__(self, path: Path, place: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self._place = place
        self._about = place.with_name(f"{place.name}.json")

    @property
    def size(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    def version(self, url: str) -> str | None:
        """What the server called the version that this is the beginning of; None to begin anew."""
        try:
            about = json.loads(self._about.read_bytes())
            return str(about["version"]) if about["url"] == url and about["version"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self, url: str, version: str | None) -> None:
        """Forget what there is, and begin with a version."""
        self.file.truncate(0)
        self.file.seek(0)
        with replacing(self._about) as temporary:
            temporary.write_text(json.dumps({"url": url, "version": version}))

    def judge(self, checksum: str | None) -> str | None:
        """What is wrong with the file, if anything, in words that go on from "and"."""
        self.file.flush()
        self.file.seek(0)
        if self.file.read(64).lstrip().startswith(b"<"):
            return "is a web page"
        if checksum is not None:
            found = hash_file(self._place)
            if found == checksum:
                return None
            return f"its SHA-256 is {found[:16]}… and not {checksum[:16]}… as its checksum says"
        if self.path.suffix != ".zip":
            return None
        try:
            with zipfile.ZipFile(self._place) as archive:
                bad = archive.testzip()
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as why:
            return f"is no whole zip archive ({why})"
        return None if bad is None else f"what it holds is damaged ({bad})"

    def finish(self, checksum: str | None) -> None:
        """Give the file its name."""
        os.fsync(self.file.fileno())
        if checksum is not None:
            with replacing(self.path.with_name(self.path.name + SUFFIX)) as temporary:
                temporary.write_text(f"{checksum}  {self.path.name}\n")
        self._place.replace(self.path)
        fsync_directory(self.path.parent)
        self._about.unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete it."""
        self.file.truncate(0)
        self._about.unlink(missing_ok=True)
        self._place.unlink(missing_ok=True)


@asynccontextmanager
async def _part(path: Path) -> AsyncIterator[_Part | None]:
    """The part of a file, once no other process writes it; None if the file has come meanwhile."""
    place = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    waited = False
    while True:
        with place.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waited = True
            else:
                if not _is(file, place):  # it was renamed or deleted since it was opened
                    continue
                part = _Part(path, place, file)
                try:
                    yield None if waited and path.exists() else part
                finally:
                    if _is(file, place) and not part.size:
                        part.discard()
                return
        await asyncio.sleep(_LOCKED_POLL)


def _is(file: BinaryIO, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), place.stat())
    except FileNotFoundError:
        return False


async def _bring(asker: Asker, url: str, part: _Part, received: Received) -> bool:
    """Fill a part to the end of the file, in as many tries as it takes; whether there is a file."""
    in_vain, farthest = 0, part.size
    while True:
        try:
            return await _try(asker, url, part, received)
        except NoAnswer as problem:
            size = part.size
            in_vain = 1 if size > farthest else in_vain + 1
            farthest = max(farthest, size)
            if in_vain >= asker.pace.tries:
                raise _given_up(url, in_vain, problem) from None
            await asker.rest(in_vain)


async def _try(asker: Asker, url: str, part: _Part, received: Received) -> bool:
    """Go on with a part to the end of the file; whether there is a file.

    Raises:
        NoAnswer: The end wasn't reached.
    """
    size, version = part.size, part.version(url)
    headers = {}
    if size and version is not None:
        headers = {"Range": f"bytes={size}-", "If-Range": version}
    async with asker.get(url, headers) as response:
        if response.status == 404:
            return False
        if response.status == 416:
            if response.headers.get("Content-Range") == f"bytes */{size}":
                return True  # all of it is there
            part.begin(url, None)
            raise NoAnswer("the server has a shorter file now")
        if response.status == 206:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {size}-"):
                part.begin(url, None)
                raise NoAnswer("the server gave another range than it was asked for")
        else:
            part.begin(url, _version(response))
        if response.content_type in ("text/html", "application/xhtml+xml"):
            part.begin(url, None)
            raise NoAnswer("the server answered with a web page instead of the file")
        async for data in response.content.iter_chunked(_CHUNK):
            part.file.write(data)
            received(len(data))
        part.file.flush()
    return True


def _version(response: aiohttp.ClientResponse) -> str | None:
    """What `If-Range` takes for this version of a file; None where the server has no word for it.

    A weak tag is none: it may stay the same while the bytes change.
    """
    tag = response.headers.get("ETag", "")
    if _STRONG.fullmatch(tag):
        return tag
    return response.headers.get("Last-Modified")


async def _checksum(asker: Asker, url: str) -> str | None:
    """The SHA-256 (hex) that the server publishes of a file; None if it publishes none."""
    in_vain = 0
    while True:
        try:
            async with asker.get(url + SUFFIX) as response:
                if response.status == 404:
                    return None
                text = (await response.content.read(_CHECKSUM_SIZE)).decode("utf-8", "replace")
        except NoAnswer as error:
            problem = error
        else:
            if (found := _CHECKSUM.match(text)) is not None:
                return found[1].lower()
            what = "a web page" if text.lstrip().startswith("<") else repr(text[:40])
            problem = NoAnswer(f"the server answered with {what} instead of a checksum")
        in_vain += 1
        if in_vain >= asker.pace.tries:
            raise _given_up(url + SUFFIX, in_vain, problem)
        await asker.rest(in_vain)


def _given_up(url: str, tries: int, problem: NoAnswer) -> FetchError:
    return FetchError(
        f"{problem.why}, {tries} times in a row",
        where=url,
        hint="see whether the address answers in a browser; asking again goes on where it stopped",
    )
