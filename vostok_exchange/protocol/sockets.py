"""A WebSocket that market streams or the WebSocket API go over.

What is to be sent waits in a queue; who doesn't read is dropped when it holds too much. The server
pings every 20 seconds and drops who doesn't answer within a minute; it says `serverShutdown` some
time before it closes a connection, which it does after 24 hours.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import WSCloseCode, WSMsgType, web

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a WebSocket lasts and what it may do. Seconds of the wall.

    Attributes:
        ping: Between two pings of the server.
        pong: For an answer to one.
        age: That a connection lasts.
        notice: Between `serverShutdown` and its end.
        farewell: For a connection to be closed in good order.
        backlog: Bytes that may wait to be sent.
        messages: Messages a second that may come in, pings and pongs included; None for any number.
        largest: Bytes of a message that may come in.
    """

    ping: float = 20.0
    pong: float = 60.0
    age: float = 86_400.0
    notice: float = 60.0
    farewell: float = 2.0
    backlog: int = 8 * 1024 * 1024
    messages: int | None = 5
    largest: int = 64 * 1024


class Socket:
    """One WebSocket, for as long as `serve` runs.

    Args:
        patience: How long it lasts.
        shutdown: Writes the notice of its end.
    """

    def __init__(self, patience: Patience, shutdown: Callable[[], bytes]) -> None:
        self._patience = patience
        self._shutdown = shutdown
        self._ws = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=patience.largest
        )
        self._queue: deque[tuple[WSMsgType, bytes]] = deque()
        self._waiting = 0
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._arrivals: deque[float] = deque()
        self._heard = asyncio.get_running_loop().time()
        self._transport: asyncio.BaseTransport | None = None
        self._dropped = False

    def send(self, message: bytes) -> None:
        """Send a text; a connection that has too much waiting is dropped instead."""
        self._put(WSMsgType.TEXT, message)

    def announce_end(self) -> None:
        """Say that the server is about to close it."""
        self.send(self._shutdown())

    async def close(self) -> None:
        """Close it once what waits has been sent, or when that takes too long."""
        try:
            async with asyncio.timeout(self._patience.farewell):
                await self._empty.wait()
                await self._ws.close(code=WSCloseCode.GOING_AWAY)
        except TimeoutError:
            self._drop("it doesn't read")

    async def serve(
        self, request: web.Request, hear: Callable[[bytes], Awaitable[None]]
    ) -> web.WebSocketResponse:
        """Keep it open until either side ends it; `hear` is given every text that comes."""
        await self._ws.prepare(request)
        self._transport = request.transport
        helpers = [asyncio.ensure_future(task) for task in (self._write(), self._keep())]
        try:
            await self._read(hear)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        return self._ws

    async def _read(self, hear: Callable[[bytes], Awaitable[None]]) -> None:
        async for message in self._ws:
            if not self._allowed():
                self._drop("it sends too much")
                return
            if message.type is WSMsgType.TEXT:
                await hear(message.data.encode())
            elif message.type is WSMsgType.PING:
                self._put(WSMsgType.PONG, message.data)
            elif message.type is WSMsgType.PONG:
                self._heard = asyncio.get_running_loop().time()

    async def _write(self) -> None:
        """Send what waits; nothing else writes, so that nobody waits for a peer that is stuck."""
        while True:
            if not self._queue:
                self._filled.clear()
                self._empty.set()
                await self._filled.wait()
                self._empty.clear()
            kind, message = self._queue[0]
            await self._ws.send_frame(message, kind)
            if self._queue:
                self._queue.popleft()
                self._waiting -= len(message)

    async def _keep(self) -> None:
        """Ping, and end the connection when it is old or dead."""
        loop, patience = asyncio.get_running_loop(), self._patience
        end = loop.time() + patience.age
        notice = end - patience.notice
        while True:
            now = loop.time()
            await asyncio.sleep(max(0.0, min(notice, end, now + patience.ping) - now))
            now = loop.time()
            if now >= end:
                await self.close()
                return
            if now >= notice:
                self.announce_end()
                notice = end
            elif now - self._heard > patience.pong:
                self._drop("it doesn't answer pings")
                return
            else:
                self._put(WSMsgType.PING, str(int(now * 1_000)).encode())

    def _put(self, kind: WSMsgType, message: bytes) -> None:
        if self._dropped:
            return
        self._waiting += len(message)
        if self._waiting > self._patience.backlog:
            self._drop("it doesn't read")
            return
        self._queue.append((kind, message))
        self._filled.set()

    def _allowed(self) -> bool:
        """Whether one more message may come in within this second."""
        most = self._patience.messages
        if most is None:
            return True
        now = asyncio.get_running_loop().time()
        arrivals = self._arrivals
        while arrivals and arrivals[0] <= now - 1.0:
            arrivals.popleft()
        arrivals.append(now)
        return len(arrivals) <= most

    def _drop(self, why: str) -> None:
        """End it at once, without a word; what it would still send is lost."""
        self._dropped = True
        self._queue.clear()
        if isinstance(self._transport, asyncio.Transport):
            _log.warning("a connection is dropped: %s", why)
            self._transport.abort()
