"""An archive on loopback: a real HTTP server in a thread of its own, whose faults are scripted.

A file is what was `put` at its path. What is wrong with an answer is a `Fault`: the next that is
scripted for the path, or for every path.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
import zipfile
from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

Fault = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


class ArchiveServer:
    """Serves files as a bucket does: ETags, ranges, and 404 for what it doesn't have."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.ranges = True
        self.tags = True
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.times: list[float] = []
        self.at_once = 0
        self.most_at_once = 0
        self.sent = 0
        self.pause = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def put(self, path: str, content: bytes, *, checksum: str | None = "") -> None:
        """Publish a file, with its checksum, another one, or (None) none."""
        self.files[path] = content
        if checksum is not None:
            found = checksum or hashlib.sha256(content).hexdigest()
            self.files[f"{path}.CHECKSUM"] = f"{found}  {path.rsplit('/', 1)[-1]}\n".encode()

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of each request for a path."""
        return [headers for asked, headers in self.requests if asked == path]

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.requests.append((path, dict(request.headers)))
        self.times.append(self._loop.time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.pause)
            content = self.files.get(path, b"")
            faults = self.faults.get(path) or self.faults.get("*")
            if faults:
                return await faults.pop(0)(request, content)
            if path not in self.files:
                return web.Response(status=404, text="no such key")
            return await self._serve(request, content)
        finally:
            self.at_once -= 1

    async def _serve(self, request: web.Request, content: bytes) -> web.StreamResponse:
        headers, status = self.headers(content), 200
        start = self.start_of(request, content)
        if start:
            if start >= len(content):
                return web.Response(
                    status=416, headers={"Content-Range": f"bytes */{len(content)}"}
                )
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.sent += len(content) - start
        return web.Response(status=status, headers=headers, body=content[start:])

    def headers(self, content: bytes) -> dict[str, str]:
        """What comes with a file."""
        tag = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'} if self.tags else {}
        return {**tag, "Content-Type": "application/zip"}

    def start_of(self, request: web.Request, content: bytes) -> int:
        """Where an answer begins: at 0 where the range is not for this version, or ignored."""
        asked = request.headers.get("Range", "")
        if not (self.ranges and asked):
            return 0
        wanted = request.headers.get("If-Range")
        if wanted is not None and wanted != self.headers(content).get("ETag"):
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))


def status(code: int, **headers: str) -> Fault:
    """Answer with a status; `_` in the name of a header stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(request: web.Request, content: bytes) -> web.Response:
        return web.Response(status=code, headers=named, text="no")

    return fault


def page(kind: str = "text/html") -> Fault:
    """Answer with a web page and status 200, as some networks do."""

    async def fault(request: web.Request, content: bytes) -> web.Response:
        return web.Response(text="<html>please log in</html>", content_type=kind)

    return fault


def cut(server: ArchiveServer, after: int) -> Fault:
    """Promise the file and break the connection after some bytes of the answer."""

    async def fault(request: web.Request, content: bytes) -> web.StreamResponse:
        start = server.start_of(request, content)
        response = web.StreamResponse(status=206 if start else 200, headers=server.headers(content))
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        response.content_length = len(content) - start
        await response.prepare(request)
        await response.write(content[start : start + after])
        server.sent += after
        await asyncio.sleep(0.05)  # so that what was written leaves
        assert request.transport is not None
        request.transport.abort()
        return response

    return fault


def trickle(server: ArchiveServer, chunk: int, pause: float) -> Fault:
    """Send the file slowly."""

    async def fault(request: web.Request, content: bytes) -> web.StreamResponse:
        start = server.start_of(request, content)
        response = web.StreamResponse(status=206 if start else 200, headers=server.headers(content))
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        response.content_length = len(content) - start
        await response.prepare(request)
        for place in range(start, len(content), chunk):
            await response.write(content[place : place + chunk])
            server.sent += len(content[place : place + chunk])
            await asyncio.sleep(pause)
        return response

    return fault


def stall(server: ArchiveServer, after: int, seconds: float) -> Fault:
    """Send some bytes, and then nothing for a long time."""

    async def fault(request: web.Request, content: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers=server.headers(content))
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[:after])
        await asyncio.sleep(seconds)
        return response

    return fault


def content(other: bytes) -> Fault:
    """Answer with other bytes than the file's."""

    async def fault(request: web.Request, content: bytes) -> web.Response:
        return web.Response(body=other, content_type="application/zip")

    return fault


def zipped(text: str, name: str = "source.csv") -> bytes:
    """A zip of one file; the same text gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()
