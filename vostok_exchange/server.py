"""The exchange as a process part: one event loop, one folder, one address on loopback.

async with Server(folder, setup=setup, speed=60.0) as server:
    print(server.url)
    await server.wait()
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from vostok_core.errors import UsageError
from vostok_core.lake.atomic import replacing
from vostok_core.lake.exchanges import ADDRESS_FILE
from vostok_exchange.clock import Clock, MarketClock
from vostok_exchange.protocol.exchange import Exchange, Hold, Wall, at_once
from vostok_exchange.protocol.files import Files
from vostok_exchange.protocol.limits import Policy
from vostok_exchange.protocol.rest import Rest
from vostok_exchange.protocol.sockets import Patience
from vostok_exchange.protocol.streams import Streams
from vostok_exchange.protocol.ws_api import WebSocketApi
from vostok_exchange.settings import Setup
from vostok_exchange.state import State

_FAREWELL = 2.0  # seconds that requests in progress are waited for


class Server:
    """An exchange that is running while it is open.

    Args:
        folder: Where it remembers everything; a new exchange is made where there is none.
        setup: How a new one is set up; None to go on with the one that is there.
        archive: The archive's folder; by default inside `folder`.
        host: A loopback address.
        port: Its port; 0 for any that is free.
        speed: Seconds of market time in a second.
        clock: Makes the market's clock, given the time at which it begins; by default it runs.
        wall: The wall's time, nanoseconds since 1970 UTC.
        policy: How much may be asked.
        streams: How long connections to the market streams last.
        api: How long connections to the WebSocket API last.
        hold: What a request to place or cancel waits for before it reaches the matching engine.

    Attributes:
        app: The application, for who serves it otherwise than `start` does.
        exchange: The desk behind it.

    Raises:
        UsageError: The host is not a loopback address or the speed not a positive number, another
            exchange runs on the folder, or it was set up otherwise.
        CorruptPartition: What the folder holds doesn't read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        setup: Setup | None = None,
        archive: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        clock: Callable[[int], Clock] | None = None,
        wall: Wall = time.time_ns,
        policy: Policy | None = None,
        streams: Patience | None = None,
        api: Patience | None = None,
        hold: Hold = at_once,
    ) -> None:
        if not 0 < speed < math.inf:
            raise UsageError(
                f"market time can't run at a speed of {speed}", hint="name a positive number"
            )
        self._folder = folder
        self._host = _loopback(host)
        self._port = port
        archive = archive or folder / "archive"
        state = State(folder, archive, setup)
        market = clock(state.resumes) if clock else MarketClock(state.resumes, speed)
        self.exchange = Exchange(state, market, speed=speed, wall=wall, policy=policy, hold=hold)
        self.app = web.Application()
        self._streams = Streams(self.exchange, streams or Patience())
        self._api = WebSocketApi(self.exchange, api or Patience(messages=None))
        for part in (
            Rest(self.exchange),
            self._streams,
            self._api,
            Files(self.exchange, archive),
        ):
            part.add_routes(self.app)
        self._runner: web.AppRunner | None = None
        self._pump: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def url(self) -> str:
        """Where it is, such as `http://127.0.0.1:8731`."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Begin to serve, and write the address into the folder.

        Raises:
            UsageError: The port is taken.
        """
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=_FAREWELL)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise UsageError(
                f"the exchange can't listen on {self.url} ({error.strerror})",
                hint="name another port with --port, or 0 for any that is free",
            ) from None
        self._port = self._runner.addresses[0][1]
        self.run()
        with replacing(self._folder / ADDRESS_FILE) as temporary:
            content = {"url": self.url, "pid": os.getpid(), "speed": self.exchange.speed}
            temporary.write_text(json.dumps(content) + "\n")

    def run(self) -> None:
        """Let market time go on; `start` does this too."""
        self._pump = asyncio.ensure_future(self._go_on())

    async def wait(self) -> None:
        """Wait until it fails; it doesn't end by itself."""
        assert self._pump is not None, "it has not been started"
        await self._pump

    async def stop(self) -> None:
        """Say goodbye to who is connected, remember everything, and let go of the folder.

        Raises:
            Exception: What made market time stop, where something did; nothing is written then, and
                what was asked is asked again by the next start.
        """
        if self._stopped:
            return
        self._stopped = True
        failure: Exception | None = None
        if self._pump is not None:
            self._pump.cancel()
            (ended,) = await asyncio.gather(self._pump, return_exceptions=True)
            failure = ended if isinstance(ended, Exception) else None
        sockets = [one.socket for one in self._streams.connections]
        sockets += [one.socket for one in self._api.connections]
        state = self.exchange.state
        try:
            for socket in sockets:
                socket.announce_end()
            await asyncio.gather(*(socket.close() for socket in sockets))
            if self._runner is not None:
                await self._runner.cleanup()
            if self._pump is not None and failure is None:  # else it is broken off where it failed
                self.exchange.now()
                state.save()
        finally:
            state.close()
            (self._folder / ADDRESS_FILE).unlink(missing_ok=True)
        if failure is not None:
            raise failure

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _go_on(self) -> None:
        """Let happen what is due, when it is."""
        exchange, stirred = self.exchange, self.exchange.stirred
        while True:
            exchange.now()
            stirred.clear()
            sleep = asyncio.ensure_future(exchange.clock.sleep_until(exchange.desk.due))
            stir = asyncio.ensure_future(stirred.wait())
            try:
                await asyncio.wait({sleep, stir}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                stir.cancel()


def _loopback(host: str) -> str:
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise UsageError(
        f"{host!r} is not a loopback address, and whoever reaches the exchange could trade on it",
        hint="use 127.0.0.1",
    )
