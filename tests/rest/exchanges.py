"""Exchanges behind real sockets, in threads of their own: one that speaks Kraken's protocol, with
faults, and the embedded one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Self

from aiohttp import web

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import HOUR, SECOND
from vostok_pipelines.rest.client import Patience
from vostok_pipelines.rest.trades import Trade

HURRY = Patience(
    tries=8, pause=0.001, longest_pause=0.01, held=0.02, longest_hold=5, timeout=2, pace=0
)
"""No test has time for more."""


def instrument(name: str, tick: Any = "trade") -> Instrument:
    return Instrument(
        InstrumentId.parse(name), tick, Decimal("0.0001"), Decimal("0.00000001"), Decimal(0), HOUR
    )


class InThread:
    """Something that serves, in a thread of its own.

    Args:
        serve: Serves; it calls the first argument with its address, and ends with the second.
    """

    def __init__(self, serve: Callable[[Callable[[str], None], asyncio.Event], Awaitable[None]]):
        self._serve = serve
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(self._at, self._stop))
        self._loop.close()

    def _at(self, url: str) -> None:
        self.url = url
        self._ready.set()


def serving(app: web.Application) -> InThread:
    """An application that answers."""

    async def serve(at: Callable[[str], None], stop: asyncio.Event) -> None:
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        at(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await stop.wait()
        await runner.cleanup()

    return InThread(serve)


PAIR = {
    "altname": "EOSUSD", "wsname": "EOS/USD", "aclass_base": "currency", "base": "EOS",
    "aclass_quote": "currency", "quote": "ZUSD", "lot": "unit", "pair_decimals": 4,
    "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [],
    "fees": [[0, 0.26]], "fees_maker": [[0, 0.16]], "fee_volume_currency": "ZUSD",
    "margin_call": 80, "margin_stop": 40, "ordermin": "1", "status": "online",
}  # fmt: skip


class Faulty:
    """Shows trades, and goes wrong where a test wants it.

    `fault` says for each question, by its number from 0, which way of going wrong it meets.
    """

    def __init__(self, trades: Sequence[Trade], page: int) -> None:
        self.trades = sorted(trades, key=lambda trade: (trade.ts, trade.id))
        self.page = page
        self.asked: list[int] = []
        self.fault: Callable[[int], str | None] = lambda _: None
        self.before = ""
        self.app = web.Application()

    def body(self, rows: Sequence[Trade]) -> str:
        """The answer that shows these trades."""
        raise NotImplementedError

    async def answer(
        self, about: int, rows: Sequence[Trade], request: web.Request
    ) -> web.StreamResponse:
        number = len(self.asked)
        self.asked.append(about)
        body = self.body(rows)
        fault = self.fault(number)
        if fault is not None:
            return await self._wrong(fault, body, request)
        self.before = body
        return web.Response(text=body, content_type="application/json")

    async def _wrong(self, fault: str, body: str, request: web.Request) -> web.StreamResponse:
        kind, _, value = fault.partition(" ")
        if kind in ("429", "418"):
            headers = {"Retry-After": value} if value else {}
            return web.Response(status=int(kind), text="Too many requests", headers=headers)
        if kind in ("500", "502", "503", "520", "401", "451"):
            page = "<html><body>Bad gateway</body></html>"
            return web.Response(status=int(kind), text=page, content_type="text/html")
        texts = {
            "limit": '{"error": ["EGeneral:Too many requests"]}',
            "half": body[: len(body) // 2],
            "nothing": "",
            "empty": self.body([]),
            "stale": self.before or body,
            "strange": '{"error": [], "result": {"EOSUSD": [["x", null, "y", "b", "l", "", 1]]}}',
        }
        if kind in texts:
            return web.Response(text=texts[kind], content_type="application/json")
        if kind == "html":
            return web.Response(text="<html>maintenance</html>", content_type="text/html")
        if kind == "cut":
            answer = web.StreamResponse(headers={"Content-Length": str(len(body))})
            answer.content_type = "application/json"
            await answer.prepare(request)
            await answer.write(body[: len(body) // 2].encode())
            assert request.transport is not None
            request.transport.abort()
            return answer
        assert kind == "hang"
        await asyncio.sleep(float(value))
        return web.Response(text=body, content_type="application/json")


class Kraken(Faulty):
    """Shows trades as Kraken does: those after a time in nanoseconds, a fixed number at once."""

    def __init__(self, trades: Sequence[Trade], page: int = 1_000) -> None:
        super().__init__(trades, page)
        self.app.router.add_get("/0/public/AssetPairs", self._pairs)
        self.app.router.add_get("/0/public/Trades", self._trades)

    def body(self, rows: Sequence[Trade]) -> str:
        """The answer that shows these trades."""
        shown = [
            [
                f"{row.price:.4f}", f"{row.qty:.8f}", row.ts / SECOND,
                "s" if row.buyer_maker else "b", "l", "", row.id,
            ]
            for row in rows
        ]  # fmt: skip
        last = str(rows[-1].ts * 1_000) if rows else "0"
        return json.dumps({"error": [], "result": {"EOSUSD": shown, "last": last}})

    async def _pairs(self, _: web.Request) -> web.Response:
        return web.json_response({"error": [], "result": {"EOSUSD": PAIR}})

    async def _trades(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["since"])
        rows = [row for row in self.trades if row.ts * 1_000 > since][: self.page]
        return await self.answer(since, rows, request)


class Binance(Faulty):
    """Shows aggregate trades as Binance does: from an id on, or the first from a time on."""

    def __init__(self, trades: Sequence[Trade], page: int = 1_000) -> None:
        super().__init__(trades, page)
        self.trades.sort(key=lambda trade: trade.id)
        self.unit = 1
        self.weight = 0
        self.app.router.add_get("/api/v3/aggTrades", self._trades)
        self.app.router.add_get("/fapi/v1/aggTrades", self._trades)
        self.app.router.add_get("/fapi/v1/historicalTrades", self._no_key)
        self.app.on_response_prepare.append(self._weigh)

    def body(self, rows: Sequence[Trade]) -> str:
        """The answer that shows these trades; the futures market has whole milliseconds."""
        shown = [
            {
                "a": row.id, "p": f"{row.price:.4f}", "q": f"{row.qty:.8f}", "f": row.first_id,
                "l": row.last_id, "T": row.ts // self.unit, "m": row.buyer_maker,
            }
            | ({"M": True} if self.unit == 1 else {})
            for row in rows
        ]  # fmt: skip
        return json.dumps(shown)

    async def _weigh(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-MBX-USED-WEIGHT-1M"] = str(self.weight)

    async def _no_key(self, _: web.Request) -> web.Response:
        text = '{"code": -2014, "msg": "API-key format invalid."}'
        return web.Response(status=401, text=text, content_type="application/json")

    async def _trades(self, request: web.Request) -> web.StreamResponse:
        self.unit = 1_000 if request.path.startswith("/fapi") else 1
        limit = min(int(request.query["limit"]), self.page)
        if "startTime" in request.query:
            start = int(request.query["startTime"]) * 1_000
            rows = [row for row in self.trades if row.ts >= start][:limit]
            return await self.answer(start, rows, request)
        first = int(request.query["fromId"])
        rows = [row for row in self.trades if row.id >= first][:limit]
        return await self.answer(first, rows, request)


def numbered(count: int, start: int, end: int, *, first: int = 1, seed: int = 1) -> list[Trade]:
    """Aggregate trades with unbroken ids, some of them at equal times, and ids beneath."""
    random = Random(seed)
    times = sorted(random.randrange(start, end) for _ in range(count))
    beneath = first * 2
    found = []
    for k, ts in enumerate(times):
        last = beneath + random.randrange(3)
        price, qty = 3.0 + random.randrange(100) / 10_000, random.randrange(1, 10**6) / 10**8
        side = random.random() < 0.5
        found.append(Trade(first + k, ts, price, qty, side, beneath, last, best_match=True))
        beneath = last + 1
    return found
