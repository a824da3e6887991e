"""An exchange that plays a script: a real server, whose every word the test writes.

Each connection gets the next of `scripts` (the last one again and again), and a `Link` to speak
through. REST answers from `trades`, unless `rest` says otherwise.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import pytest
from aiohttp import WSMsgType, web

SECOND = 1_000_000
START = 1_709_596_800_000_000  # 2024-03-05 00:00 UTC


class Link:
    """One connection as its server sees it."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request, number: int) -> None:
        self.ws = ws
        self.number = number
        self.query = dict(request.query)
        self._transport = request.transport
        self.asked: dict[str, Any] = {}

    async def subscribed(self) -> None:
        """Wait for the subscription, and grant it."""
        await self.heard()
        await self.ws.send_str(json.dumps({"result": None, "id": self.asked["id"]}))

    async def heard(self) -> None:
        """Wait for the subscription."""
        self.asked = await self.ws.receive_json()

    async def trade(self, *ids: int, ts: int | None = None, price: str = "10.00") -> None:
        """Send aggregate trades; the one with id `i` happens `i` seconds after the start."""
        for i in ids:
            frame = make_trade(i, ts, price)
            data = {"e": "aggTrade", "E": frame["T"], "s": "BTCUSDT", **frame}
            await self.ws.send_str(json.dumps({"stream": "btcusdt@aggTrade", "data": data}))

    async def send(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            await self.ws.send_str(frame)
        else:
            await self.ws.send_bytes(frame)

    async def gone(self) -> None:
        """Answer pings until the client has gone."""
        async for message in self.ws:
            assert message.type is WSMsgType.TEXT

    async def silence(self) -> None:
        """Answer nothing, pings neither, as a peer that has vanished."""
        await asyncio.Event().wait()

    def reset(self) -> None:
        """Break the connection without a word."""
        assert self._transport is not None
        self._transport.abort()


def make_trade(trade_id: int, ts: int | None = None, price: str = "10.00") -> dict[str, Any]:
    """An aggregate trade as REST shows it."""
    at = START + trade_id * SECOND if ts is None else ts
    return {
        "a": trade_id, "p": price, "q": "1.00000000", "f": 5 * trade_id, "l": 5 * trade_id + 4,
        "T": at, "m": trade_id % 3 == 0, "M": True,
    }  # fmt: skip


Script = Callable[[Link], Awaitable[None]]


class ScriptedExchange:
    """The server."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts: Sequence[Script] = scripts
        self.links: list[Link] = []
        self.trades: list[dict[str, Any]] = []
        self.rest: Callable[[web.Request], web.Response | None] = lambda _: None
        self.requests: list[web.Request] = []
        self.refuse: Callable[[int], web.Response | None] = lambda _: None
        self._attempts = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/api/v3/aggTrades", self._agg_trades)
        app.router.add_get("/{path:.*}", self._other)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self.ws_url = f"ws://{host}:{port}/stream"
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in self.links:
            link.reset()
        await self._runner.cleanup()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self._attempts += 1
        refusal = self.refuse(self._attempts)
        if refusal is not None:
            return refusal
        ws = web.WebSocketResponse(timeout=0.1)
        await ws.prepare(request)
        link = Link(ws, request, len(self.links) + 1)
        self.links.append(link)
        with suppress(ConnectionResetError):  # the client may go while it is spoken to
            await self.scripts[min(link.number, len(self.scripts)) - 1](link)
        return ws

    async def _agg_trades(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        answer = self.rest(request)
        if answer is not None:
            return answer
        found = self.trades
        if "fromId" in request.query:
            found = [t for t in found if t["a"] >= int(request.query["fromId"])]
        elif "startTime" in request.query:
            found = [t for t in found if t["T"] >= 1_000 * int(request.query["startTime"])]
        else:
            found = found[-int(request.query["limit"]) :]
        return web.json_response(found[: int(request.query["limit"])])

    async def _other(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        return self.rest(request) or web.Response(status=404)


@pytest.fixture
def scripted() -> type[ScriptedExchange]:
    """Make it with a script for each connection: `scripted(first, second)`."""
    return ScriptedExchange


@pytest.fixture
def agg_trade() -> Callable[..., dict[str, Any]]:
    """Make an aggregate trade as REST shows it, of a given id."""
    return make_trade


@pytest.fixture(scope="session")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A journal of a day and two hours, and the lake it was shipped to: `parity_world.Traded`.

    Tests that write take a copy.
    """
    from tests.live.parity_world import make_traded

    return make_traded(tmp_path_factory.mktemp("traded"))
