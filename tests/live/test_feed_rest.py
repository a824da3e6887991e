"""What is asked by REST is asked politely, and answers that can't be used are no answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from aiohttp import web

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.ticks import LastTick
from vostok_core.times import MINUTE
from vostok_live.feed.events import Kline, Tick
from vostok_live.feed.http import Asker, FeedError
from vostok_live.feed.rest import Beginning, MarketRest
from vostok_live.seams import MarketTime, Seams, WallClock, real_seams

START = 1_709_596_800_000_000  # 2024-03-05 00:00 UTC
Result = TypeVar("Result")


def instrument(tick: Any = "agg_trade") -> Instrument:
    return Instrument(
        InstrumentId.parse("binance.spot.BTC-USDT"), tick, Decimal("0.01"), Decimal("0.00001"),
        Decimal(5), 10 * MINUTE,
    )  # fmt: skip


class Noon(WallClock):
    """A wall that shows the beginning of a minute."""

    def wall_ns(self) -> int:
        return START * 1_000


def ask(
    exchange: Any,
    scenario: Callable[[MarketRest, Asker], Awaitable[Result]],
    tick: str = "agg_trade",
    **settings: Any,
) -> Result:
    async def run() -> Result:
        base = real_seams()
        seams = Seams(Noon(MarketTime()), random.Random(1), base.connector, base.connect)
        async with exchange, aiohttp.ClientSession(connector=seams.connector()) as session:
            asker = Asker(exchange.url, session=session, seams=seams, pause=0.001, **settings)
            return await scenario(MarketRest(asker, instrument(tick), seams.clock), asker)

    return asyncio.run(asyncio.wait_for(run(), 60))


def agg(trade_id: int, **changed: Any) -> dict[str, Any]:
    return {
        "a": trade_id, "p": "10.50000000", "q": "2.00000000", "f": 5 * trade_id,
        "l": 5 * trade_id + 4, "T": START + trade_id * 1_000_000, "m": True, "M": True, **changed,
    }  # fmt: skip


def test_aggregate_trades_are_asked_for_by_id(scripted: Any) -> None:
    exchange = scripted()
    exchange.trades = [agg(i) for i in range(20)]
    ticks = ask(exchange, lambda rest, _: rest.ticks(7, 3))
    assert [tick.trade_id for tick in ticks] == [7, 8, 9]
    assert ticks[0] == Tick(
        "BTCUSDT", 7, START + 7_000_000, 10.5, 2.0, True, 35, 39, sent=-1, seen=START
    )
    (request,) = exchange.requests
    assert dict(request.query) == {"symbol": "BTCUSDT", "fromId": "7", "limit": "3"}
    assert request.headers["X-MBX-TIME-UNIT"] == "MICROSECOND"


def test_single_trades_are_asked_for_where_they_are_the_ticks(scripted: Any) -> None:
    exchange = scripted()
    trade = {
        "id": 28457, "price": "4.00000100", "qty": "12.00000000", "quoteQty": "48.000012",
        "time": 1_709_596_800_123, "isBuyerMaker": False, "isBestMatch": True,
    }  # fmt: skip
    exchange.rest = lambda _: web.json_response([trade])
    (tick,) = ask(exchange, lambda rest, _: rest.ticks(28457, 1), "trade")
    assert tick == Tick(
        "BTCUSDT", 28457, START + 123_000, 4.000001, 12.0, False, -1, -1, sent=-1, seen=START
    )
    assert exchange.requests[0].path == "/api/v3/historicalTrades"


def test_a_failing_exchange_is_asked_again(scripted: Any) -> None:
    exchange = scripted()
    exchange.trades = [agg(1)]
    answers = [
        web.json_response({"code": -1008, "msg": "Server is currently overloaded."}, status=503),
        web.Response(text="not json"),
        web.json_response([agg(1, p="0.00000000")]),
        None,
    ]
    exchange.rest = lambda _: answers[len(exchange.requests) - 1]
    assert len(ask(exchange, lambda rest, _: rest.ticks(1))) == 1
    assert len(exchange.requests) == 4


@pytest.mark.parametrize("how", ["503", "garbage", "stall", "gone"])
def test_an_exchange_that_goes_on_failing_is_an_error(scripted: Any, how: str) -> None:
    exchange = scripted()

    def answer(request: web.Request) -> web.Response:
        if how == "gone":
            request.transport.abort()
        return web.Response(status=503 if how == "503" else 200, text="[{}]")

    exchange.rest = answer
    if how == "stall":

        async def never(request: web.Request) -> web.Response:
            await asyncio.Event().wait()
            raise AssertionError

        exchange._agg_trades = never
    with pytest.raises(FeedError, match="no answer to GET /api/v3/aggTrades after 2 tries"):
        ask(exchange, lambda rest, _: rest.ticks(1), tries=2, timeout=0.2 if how == "stall" else 9)


def test_a_question_that_is_refused_is_not_repeated(scripted: Any) -> None:
    exchange = scripted()
    refusal = {"code": -1121, "msg": "Invalid symbol."}
    exchange.rest = lambda _: web.json_response(refusal, status=400)
    with pytest.raises(FeedError, match=r"Invalid symbol\. \(-1121\)"):
        ask(exchange, lambda rest, _: rest.ticks(1))
    assert len(exchange.requests) == 1


@pytest.mark.parametrize("status", [429, 418])
def test_nothing_is_asked_before_the_exchange_wants_it(scripted: Any, status: int) -> None:
    exchange = scripted()
    exchange.trades = [agg(1)]
    times: list[float] = []

    def answer(request: web.Request) -> web.Response | None:
        times.append(asyncio.get_running_loop().time())
        first = len(times) == 1
        return web.Response(status=status, headers={"Retry-After": "1"}) if first else None

    exchange.rest = answer
    assert len(ask(exchange, lambda rest, _: rest.ticks(1))) == 1
    first, second = times
    assert second - first >= 1.0


def test_a_ban_that_is_too_long_is_an_error_at_once(scripted: Any) -> None:
    exchange = scripted()
    ban = {"Retry-After": "3600"}
    exchange.rest = lambda _: web.Response(status=418, headers=ban)

    async def scenario(rest: MarketRest, _: Asker) -> None:
        for _attempt in range(2):
            with pytest.raises(FeedError, match="wants no question for another 3600 s"):
                await rest.ticks(1)

    ask(exchange, scenario)
    assert len(exchange.requests) == 1


def test_weight_is_left_to_orders(scripted: Any) -> None:
    exchange = scripted()
    used = ["4799", "4800"]
    exchange.rest = lambda _: web.json_response(
        [], headers={"X-MBX-USED-WEIGHT-1M": used[len(exchange.requests) - 1]}
    )

    async def scenario(rest: MarketRest, asker: Asker) -> None:
        await rest.ticks(1)
        await rest.ticks(1)
        assert asker.weight_used == 4_800
        with pytest.raises(FeedError, match="wants no question for another 60 s"):
            await rest.ticks(1)

    ask(exchange, scenario, longest_wait=50.0)
    assert len(exchange.requests) == 2


@pytest.mark.parametrize(
    ("seconds", "beginning"),
    [
        (0, Beginning(100, None)),
        (103, Beginning(103, LastTick(102, START + 102_000_000, 10.5, -1, 514))),
        (105, Beginning(106, LastTick(105, START + 105_000_000, 10.5, -1, 529))),
        (999, Beginning(110, LastTick(109, START + 109_000_000, 10.5, -1, 549))),
    ],
)
def test_a_time_has_a_first_trade_and_one_before(
    scripted: Any, seconds: int, beginning: Beginning
) -> None:
    exchange = scripted()
    # Trade 105 happens just before second 105, and all others on theirs.
    exchange.trades = [
        agg(i) | ({"T": START + 105_000_000 - 1_000} if i == 105 else {}) for i in range(100, 110)
    ]
    found = ask(exchange, lambda rest, _: rest.beginning(START + seconds * 1_000_000))
    if seconds == 105:
        assert found.previous is not None
        assert (found.next_id, found.previous.trade_id) == (106, 105)
    else:
        assert found == beginning


def test_a_trade_that_happens_while_the_first_is_looked_for_is_found(scripted: Any) -> None:
    exchange = scripted()
    exchange.trades = [agg(100)]
    exchange.rest = lambda _: web.json_response([]) if len(exchange.requests) == 1 else None
    found = ask(exchange, lambda rest, _: rest.beginning(START + 100_000_000))
    assert found == Beginning(100, None)


def test_an_exchange_that_contradicts_itself_is_an_error(scripted: Any) -> None:
    exchange = scripted()
    exchange.trades = [agg(100)]
    exchange.rest = lambda request: web.json_response([]) if "startTime" in request.query else None
    with pytest.raises(FeedError, match="shows no trade of BTCUSDT since 2024-03-05 00:01"):
        ask(exchange, lambda rest, _: rest.beginning(START + 60_000_000))


def test_a_market_without_trades_has_no_beginning_yet(scripted: Any) -> None:
    with pytest.raises(FeedError, match="has never been traded"):
        ask(scripted(), lambda rest, _: rest.beginning(START))


def test_single_trades_begin_where_an_aggregate_does(scripted: Any) -> None:
    exchange = scripted()
    exchange.trades = [agg(i) for i in range(100, 110)]

    def answer(request: web.Request) -> web.Response | None:
        if request.path != "/api/v3/historicalTrades":
            return None
        trade = {
            "id": int(request.query["fromId"]), "price": "9.0", "qty": "1.0",
            "time": START, "isBuyerMaker": False,
        }  # fmt: skip
        return web.json_response([trade])

    exchange.rest = answer
    found = ask(exchange, lambda rest, _: rest.beginning(START + 103_000_000), "trade")
    assert found == Beginning(515, LastTick(514, START, 9.0, 1))


def row(k: int) -> list[Any]:
    opened = START + k * MINUTE
    return [
        opened, "1.5", "2.5", "0.5", "2.0", "10.0", opened + MINUTE - 1, "20.0", 7, "4.0", "8.0",
        "0",
    ]  # fmt: skip


def test_klines_of_a_long_span_are_fetched_in_pages(scripted: Any) -> None:
    exchange = scripted()

    def answer(request: web.Request) -> web.Response:
        query = request.query
        rows = [
            row(k)
            for k in range(5_000)
            if int(query["startTime"]) * 1_000 <= row(k)[0] <= int(query["endTime"]) * 1_000
        ]
        return web.json_response(rows[: int(query["limit"])])

    exchange.rest = answer
    end = START + 2_500 * MINUTE
    klines = ask(exchange, lambda rest, _: rest.klines("1m", START, end))
    assert [kline.ts for kline in klines] == [START + k * MINUTE for k in range(1, 2_501)]
    assert klines[0] == Kline(
        "BTCUSDT", "1m", START + MINUTE, 1.5, 2.5, 0.5, 2.0, 10.0, 20.0, 7, 4.0, closed=True
    )
    assert len(exchange.requests) == 3


INFO = {
    "timezone": "UTC",
    "rateLimits": [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}
    ],
    "symbols": [
        {
            "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
            "orderTypes": ["LIMIT", "MARKET"], "ocoAllowed": True, "otoAllowed": True,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00",
                 "tickSize": "0.01000000"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "stepSize": "0.00001000"},
                {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
            ],
        }
    ],
}  # fmt: skip


def test_the_rules_of_a_symbol_are_read(scripted: Any) -> None:
    exchange = scripted()
    exchange.rest = lambda _: web.json_response(INFO)

    async def scenario(rest: MarketRest, asker: Asker) -> None:
        rules = await rest.rules()
        assert (rules.status, rules.base, rules.quote) == ("TRADING", "BTC", "USDT")
        assert rules.price_tick == Decimal("0.01")
        assert rules.quantity_step == Decimal("0.00001")
        assert rules.min_notional == Decimal(5)
        assert rules.oco_allowed
        assert not rules.cancel_replace_allowed
        assert rules.filters["PRICE_FILTER"]["maxPrice"] == "1000000.00"
        assert asker.weight_limit == 1_200

    ask(exchange, scenario)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"symbols": []}, "no symbol BTCUSDT"),
        ({"symbols": [INFO["symbols"][0] | {"filters": []}]}, "can't be understood"),
    ],
)
def test_rules_that_lack_something_are_an_error(
    scripted: Any, changed: dict[str, Any], message: str
) -> None:
    exchange = scripted()
    exchange.rest = lambda _: web.json_response(INFO | changed)
    with pytest.raises(FeedError, match=message):
        ask(exchange, lambda rest, _: rest.rules())


@pytest.mark.shared_data
def test_answers_that_were_recorded_are_read(scripted: Any, shared: Path) -> None:
    routes = json.loads((shared / "fixtures/gocryptotrader/binance_http.json").read_bytes())
    recorded = {
        path: [entry["data"] for entry in routes["routes"][path]["GET"]]
        for path in (
            "/api/v3/aggTrades", "/api/v3/historicalTrades", "/api/v3/klines",
            "/api/v3/exchangeInfo",
        )
    }  # fmt: skip

    def answer(request: web.Request) -> web.Response:
        lists = [data for data in recorded[request.path] if isinstance(data, list)]
        return web.json_response(max(lists or recorded[request.path], key=len))

    exchange = scripted()
    exchange.rest = answer

    async def scenario(rest: MarketRest, _: Asker) -> None:
        longest = max((d for d in recorded["/api/v3/aggTrades"] if isinstance(d, list)), key=len)
        ticks = await rest.ticks(1)
        assert [(t.trade_id, t.price) for t in ticks] == [(t["a"], float(t["p"])) for t in longest]
        assert await rest.klines("5m", 0, 4_000_000_000_000_000)
        assert (await rest.rules()).symbol == "BTCUSDT"

    ask(exchange, scenario)
    single = ask(exchange, lambda rest, _: rest.ticks(1), "trade")
    assert single[0].first_id == -1
