"""The account's own stream: what happens to its orders, as it happens.

One WebSocket to the exchange's WebSocket API carries the subscription, which is signed anew each
time. The connection is given up when nothing is heard for too long, a ping included, when the
server closes it, ends the subscription or announces its shutdown, and before it grows too old.
Whatever happened in between was not heard, so every subscription is followed by a catch-up: only
when that has brought all that REST knows is the stream `synced`. A frame that can't be read may
have been about an order, so it asks for one too.

Source: binance-spot-api-docs, web-socket-api.md ("User Data Stream requests").
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import aiohttp
import msgspec
from aiohttp import WSMsgType

from vostok_live.feed.connection import Allowance, Change, Patience
from vostok_live.feed.events import Malformed, Shutdown
from vostok_live.feed.http import retry_after
from vostok_live.gateway.frames import Ended, Execution, Reply, decode
from vostok_live.gateway.port import GatewayError
from vostok_live.seams import Seams

_WebSocket = aiohttp.ClientWebSocketResponse[Literal[False]]
_LARGEST = 1024 * 1024  # bytes of a message; a larger one ends the connection
_METHOD = "userDataStream.subscribe.signature"
_CLOCK = -1021


class Signer(Protocol):
    """What signs for an account."""

    def timestamp(self) -> int:
        """The time to sign with, milliseconds."""
        ...

    def sign(self, payload: str) -> str:
        """The signature of a request."""
        ...

    async def server_time(self) -> int:
        """Read the exchange's clock, to sign by it."""
        ...


class UserStream:
    """The stream, for as long as `run` runs.

    Args:
        url: Of the WebSocket API.
        api_key: Of the account.
        signer: Signs for it.
        session: Opens the connections.
        seams: Clock and chance.
        patience: How long to wait for what.
        allowance: Shared by all who open connections to this exchange.
        catch_up: Asks for all that may not have been heard; raises `GatewayError` where it can't.
        on_execution: Called with what happened to an order.
        on_change: Called with every change of the connection.
        recv_window_ms: How long a request is valid after its time.

    Attributes:
        synced: Whether everything that happens to the account is heard, and nothing is missing.
        flaws: Frames that could not be used, by kind.
        ended: Connections that ended, by reason.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        signer: Signer,
        *,
        session: aiohttp.ClientSession,
        seams: Seams,
        patience: Patience,
        allowance: Allowance,
        catch_up: Callable[[], Awaitable[None]],
        on_execution: Callable[[Execution], None],
        on_change: Callable[[Change], None],
        recv_window_ms: int = 5_000,
    ) -> None:
        self.synced = False
        self.flaws: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self._url = url
        self._api_key = api_key
        self._signer = signer
        self._session = session
        self._random = seams.random
        self._patience = patience
        self._allowance = allowance
        self._catch_up = catch_up
        self._on_execution = on_execution
        self._on_change = on_change
        self._recv_window_ms = recv_window_ms
        self._number = 0
        self._failures = 0
        self._heard = 0.0
        self._granted = False
        self._wanted = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether a subscription is granted."""
        return self._granted

    @property
    def silent(self) -> float | None:
        """Seconds since anything was heard, a ping included; None before the first time."""
        return asyncio.get_running_loop().time() - self._heard if self._heard else None

    async def run(self) -> None:
        """Keep the stream up and caught up, until cancelled."""
        loop = asyncio.get_running_loop()
        at_least = 0.0
        while True:
            await self._wait(at_least)
            at_least = 0.0
            self._number += 1
            self._on_change(Change("connecting", self._number))
            started = loop.time()
            try:
                reason = await self._connection()
            except aiohttp.WSServerHandshakeError as error:
                reason = f"refused with {error.status}"
                at_least = retry_after(error.headers)
            except (aiohttp.ClientError, GatewayError, OSError) as error:
                reason = f"broken: {type(error).__name__}"
            finally:
                self.synced = self._granted = False
            steady = loop.time() - started >= self._patience.steady
            self._failures = 0 if steady else self._failures + 1
            self.ended[reason.partition(":")[0]] += 1
            self._on_change(Change("down", self._number, reason))

    async def _wait(self, at_least: float) -> None:
        """Wait for as long as failures in a row, the exchange and its limit ask for."""
        loop = asyncio.get_running_loop()
        pause = at_least
        if self._failures > 1:
            doubled = self._patience.pause * 2.0 ** min(self._failures - 2, 30)
            random = self._random.uniform(0.5, 1.0)
            pause = max(pause, min(doubled, self._patience.longest_pause) * random)
        while (pause := max(pause, self._allowance.wait(loop.time()))) > 0.0:
            self._on_change(Change("waiting", self._number, seconds=pause))
            await asyncio.sleep(pause)
            pause = 0.0
        self._allowance.take(loop.time())

    async def _connection(self) -> str:
        """One connection, from its beginning to its end; returns why it ended."""
        connecting = self._session.ws_connect(
            self._url,
            params={"timeUnit": "MICROSECOND"},
            autoping=False,
            decode_text=False,
            max_msg_size=_LARGEST,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
        )
        try:
            ws = await asyncio.wait_for(connecting, self._patience.connect)
        except TimeoutError:
            return "no answer"
        try:
            self._wanted.clear()
            self._granted = False
            self._heard = asyncio.get_running_loop().time()
            await ws.send_str(self._subscription())
            tasks = [
                asyncio.create_task(self._listen(ws)),
                asyncio.create_task(self._watch(ws)),
                asyncio.create_task(self._keep_synced()),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                # An error goes before a reason, where both came at once.
                return max(done, key=lambda task: task.exception() is not None).result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await ws.close()

    def _subscription(self) -> str:
        """The request for the account's events, signed."""
        params = {
            "apiKey": self._api_key,
            "recvWindow": str(self._recv_window_ms),
            "timestamp": str(self._signer.timestamp()),
        }
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        signed = {
            **params,
            "recvWindow": self._recv_window_ms,
            "timestamp": int(params["timestamp"]),
            "signature": self._signer.sign(payload),
        }
        request = {"id": self._number, "method": _METHOD, "params": signed}
        return msgspec.json.encode(request).decode()

    async def _listen(self, ws: _WebSocket) -> str:
        """Hand on what comes; returns why no more does."""
        time = asyncio.get_running_loop().time
        while True:
            message = await ws.receive()
            self._heard = time()
            if message.type is WSMsgType.TEXT:
                reason = await self._take(message.data)
                if reason is not None:
                    return reason
            elif message.type is WSMsgType.PING:
                await ws.pong(message.data)
            elif message.type is WSMsgType.ERROR:
                return f"broken: {message.data}"
            elif message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
                return f"closed: {ws.close_code}"

    async def _take(self, data: bytes) -> str | None:
        """Hear one frame; returns why the connection is of no use any more, if it isn't."""
        match decode(data):
            case Execution() as execution:
                self._on_execution(execution)
            case Reply(id=number, status=200) if number == self._number:
                self._granted = True
                self._wanted.set()
            case Reply(code=code, text=text):
                if code == _CLOCK:
                    await self._signer.server_time()
                return f"refused: {text} ({code})"
            case Malformed(flaw=flaw):
                self.flaws[flaw] += 1
                self.synced = False
                self._wanted.set()
            case Ended():
                return "subscription ended"
            case Shutdown():
                return "shutdown"
            case _:
                pass
        return None

    async def _watch(self, ws: _WebSocket) -> str:
        """Ping a quiet connection; returns when it is dead, or too old."""
        loop = asyncio.get_running_loop()
        patience = self._patience
        begun = loop.time()
        old = begun + patience.age * self._random.uniform(0.95, 1.0)
        pinged = -1.0
        while (now := loop.time()) < old:
            if not self._granted and now >= begun + patience.connect:
                return "no answer"
            due = self._heard + patience.quiet
            if pinged > self._heard:
                due = pinged + patience.pong
                if now >= due:
                    return "dead"
            elif now >= due:
                pinged = now
                await ws.ping()
                continue
            due = min(due, old) if self._granted else min(due, begun + patience.connect)
            # A pong may come long before its due; the next ping is not to wait for that.
            await asyncio.sleep(min(due - now, patience.quiet))
        return "age"

    async def _keep_synced(self) -> str:
        """Catch up whenever something may have been missed."""
        failures = 0
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._catch_up()
            except GatewayError as error:
                self._on_change(Change("waiting", self._number, f"no catch-up: {error.what}"))
                pause = min(self._patience.pause * 2.0**failures, self._patience.longest_pause)
                failures = min(failures + 1, 30)
                self._wanted.set()
                await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))
                continue
            failures = 0
            if not self._wanted.is_set():
                self.synced = True
                self._on_change(Change("up", self._number))
