"""Market streams: what is said, when, in which form, and to whom no more."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from vostok_core.times import HOUR, MILLISECOND, MINUTE, SECOND
from vostok_exchange.protocol.sockets import Patience


class Line:
    """A connection to the market streams."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def next(self) -> Any:
        message = await asyncio.wait_for(self.ws.receive(), 10)
        assert message.type is WSMsgType.TEXT, message
        return json.loads(message.data)

    async def ask(self, method: str, *params: Any, key: Any = 1) -> Any:
        await self.ws.send_json({"method": method, "params": params, "id": key})
        while "id" not in (answer := await self.next()):
            pass
        return answer

    async def until(self, wanted: Any) -> list[Any]:
        """What is said until something is as wanted, that included."""
        said = []
        while not said or not wanted(said[-1]):
            said.append(await self.next())
        return said


async def line(visitor: Any, path: str, **options: Any) -> Line:
    ws = await visitor.session.ws_connect(visitor.server.url + path, **options)
    return Line(ws)


async def rest(visitor: Any, path: str, **params: Any) -> Any:
    reply = await visitor.get(f"/api/v3/{path}", symbol="ABCUSDT", **params)
    assert reply.status == 200, reply.body
    return reply.body


def test_trades_are_told_as_they_happen_and_as_rest_tells_them(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        one = await line(visitor, "/ws/abcusdt@trade")
        many = await line(visitor, "/stream?streams=abcusdt@aggTrade/xyzusdt@trade")
        micro = await line(visitor, "/ws/abcusdt@aggTrade?timeUnit=microsecond")
        visitor.step(2 * MINUTE)
        tape = await rest(visitor, "trades", limit=1000)
        since = [row for row in tape if row["time"] >= visitor.now // 1_000 - 120_000]
        assert len(since) > 10
        told = [await one.next() for _ in since]
        assert [(row["t"], row["p"], row["q"], row["T"], row["m"]) for row in told] == [
            (row["id"], row["price"], row["qty"], row["time"], row["isBuyerMaker"]) for row in since
        ]
        assert all(row["E"] == row["T"] and row["e"] == "trade" for row in told)
        wrapped = await many.until(
            lambda row: row["stream"] == "abcusdt@aggTrade" and row["data"]["l"] == told[-1]["t"]
        )
        assert {row["stream"] for row in wrapped} == {"abcusdt@aggTrade", "xyzusdt@trade"}
        aggregates = [row["data"] for row in wrapped if row["stream"] == "abcusdt@aggTrade"]
        assert [row["T"] for row in aggregates] == [row["T"] for row in told]
        fine = [await micro.next() for _ in since]
        assert [row["T"] // 1_000 for row in fine] == [row["T"] for row in told]
        assert any(row["T"] % 1_000 for row in fine)

    play(scenario)


def test_a_fill_across_levels_is_several_aggregates_of_several_trades(play: Any, keys: Any) -> None:
    async def scenario(visitor: Any) -> None:
        trades = await line(visitor, "/ws/abcusdt@trade")
        aggregates = await line(visitor, "/ws/abcusdt@aggTrade")
        asks = (await rest(visitor, "depth"))["asks"]
        quantity = Decimal(asks[0][1]) + 1
        for own in ("1", "2"):  # two more orders at the second level, behind the house's
            reply = await visitor.order("SELL", "LIMIT", quantity=own, price=asks[1][0])
            assert reply.status == 200, reply.body
        quantity += Decimal(asks[1][1])
        reply = await visitor.order("BUY", "MARKET", keys[2], quantity=quantity)
        assert reply.status == 200, reply.body
        told = [await trades.next() for _ in reply.body["fills"]]
        first, second = await aggregates.next(), await aggregates.next()
        assert [first["p"], second["p"]] == [asks[0][0], asks[1][0]]
        assert (first["f"], first["l"]) == (told[0]["t"], told[0]["t"])
        assert (second["f"], second["l"]) == (told[1]["t"], told[-1]["t"])
        assert len(told) == 3
        assert second["a"] == first["a"] + 1

    play(scenario)


def test_depth_changes_keep_a_book_as_documented(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        changes = await line(visitor, "/ws/abcusdt@depth@100ms")
        slow = await line(visitor, "/ws/abcusdt@depth")
        visitor.step(30 * SECOND)
        snapshot = await rest(visitor, "depth", limit=5000)
        for _ in range(3):
            visitor.step(30 * SECOND)
            price = await visitor.price(0.99)
            await visitor.order("BUY", "LIMIT", quantity="1", price=price)
        visitor.step(SECOND)
        wanted = await rest(visitor, "depth", limit=5000)

        def kept(said: list[Any]) -> tuple[dict[str, str], dict[str, str]]:
            bids, asks = dict(snapshot["bids"]), dict(snapshot["asks"])
            last = snapshot["lastUpdateId"]
            for change in said:
                if change["u"] <= snapshot["lastUpdateId"]:
                    continue
                assert change["U"] <= last + 1 <= change["u"], "nothing was missed"
                for side, levels in ((bids, change["b"]), (asks, change["a"])):
                    for price, quantity in levels:
                        side[price] = quantity
                        if not Decimal(quantity):
                            del side[price]
                last = change["u"]
            return bids, asks

        def done(change: Any) -> bool:
            return bool(change["u"] == wanted["lastUpdateId"])

        said = await changes.until(done)
        assert kept(said) == (dict(wanted["bids"]), dict(wanted["asks"]))
        assert {change["E"] % 100 for change in said} == {0}
        said = await slow.until(done)
        assert kept(said) == (dict(wanted["bids"]), dict(wanted["asks"]))
        assert {change["E"] % 1_000 for change in said} == {0}

    play(scenario)


def test_best_prices_and_best_levels_are_those_of_the_book(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        top = await line(visitor, "/ws/abcusdt@bookTicker")
        five = await line(visitor, "/ws/abcusdt@depth5@100ms")
        price = await visitor.price(0.9999)
        visitor.step(SECOND)
        await visitor.order("BUY", "LIMIT", quantity="3", price=price)
        visitor.step(SECOND)
        depth = await rest(visitor, "depth", limit=5)
        update = depth["lastUpdateId"]
        told = (await top.until(lambda row: row["u"] == update))[-1]
        assert [told["b"], told["B"]] == depth["bids"][0]
        assert [told["a"], told["A"]] == depth["asks"][0]
        assert told.keys() == {"u", "s", "b", "B", "a", "A"}
        assert (await five.until(lambda row: row["lastUpdateId"] == update))[-1] == depth

    play(scenario)


def test_a_kline_is_told_while_it_is_open_and_once_when_it_closes(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        klines = await line(visitor, "/ws/abcusdt@kline_1m")
        start = visitor.now // MINUTE * MINUTE
        visitor.step(30 * SECOND)
        visitor.step(3 * MINUTE)
        end = visitor.now // MINUTE * MINUTE
        closed = []
        while len(closed) < 3:
            said = await klines.next()
            bar = said["k"]
            assert said["E"] % 2_000 == 0
            assert (bar["i"], bar["T"] - bar["t"]) == ("1m", 59_999)
            if bar["x"]:
                assert said["E"] == bar["T"] + 1
                closed.append(bar)
            else:
                assert bar["t"] < said["E"] <= bar["T"]
        rows = await rest(
            visitor, "klines", interval="1m", startTime=start // 1_000, endTime=end // 1_000 - 1
        )
        assert [
            [bar["t"], bar["o"], bar["h"], bar["l"], bar["c"], bar["v"], bar["T"], bar["q"],
             bar["n"], bar["V"], bar["Q"], bar["B"]]
            for bar in closed
        ] == rows  # fmt: skip
        assert [bar["L"] - bar["f"] + 1 for bar in closed] == [bar["n"] for bar in closed]

    play(scenario)


def test_a_minute_without_a_trade_closes_too(play: Any, setup_of: Any) -> None:
    async def scenario(visitor: Any) -> None:
        klines = await line(visitor, "/ws/abcusdt@kline_1m")
        visitor.step(HOUR)
        closed = []
        while len(closed) < 60:
            bar = (await klines.next())["k"]
            if bar["x"]:
                closed.append(bar)
        assert [bar["t"] for bar in closed] == [closed[0]["t"] + n * 60_000 for n in range(60)]
        empty = [bar for bar in closed if not bar["n"]]
        assert empty
        assert all((bar["f"], bar["L"], Decimal(bar["v"])) == (-1, -1, 0) for bar in empty)

    play(scenario, setup=setup_of(rate=0.5))


def test_tickers_are_those_of_rest(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        full = await line(visitor, "/ws/abcusdt@ticker")
        mini = await line(visitor, "/ws/abcusdt@miniTicker")
        visitor.step(20 * SECOND)
        said, short = await full.next(), await mini.next()
        while True:  # the one of the second in which nothing has happened since
            day = await rest(visitor, "ticker/24hr")
            if said["L"] == day["lastId"]:
                break
            said, short = await full.next(), await mini.next()
        names = {
            "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice",
            "x": "prevClosePrice", "c": "lastPrice", "Q": "lastQty", "o": "openPrice",
            "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume", "F": "firstId",
            "L": "lastId", "n": "count", "b": "bidPrice", "B": "bidQty", "a": "askPrice",
            "A": "askQty",
        }  # fmt: skip
        assert {key: said[key] for key in names} == {key: day[name] for key, name in names.items()}
        assert said["E"] == said["C"] == said["O"] + 86_400_000
        assert {key: short[key] for key in "cohlvq"} == {key: said[key] for key in "cohlvq"}
        assert short["e"] == "24hrMiniTicker"

    play(scenario)


def test_streams_are_chosen_and_left_by_message(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        one = await line(visitor, "/ws")
        assert await one.ask("LIST_SUBSCRIPTIONS") == {"result": [], "id": 1}
        answer = await one.ask("SUBSCRIBE", "abcusdt@trade", "nope@trade", "abcusdt@x", key="a")
        assert answer == {"result": None, "id": "a"}
        names = ["abcusdt@trade", "nope@trade", "abcusdt@x"]
        assert (await one.ask("LIST_SUBSCRIPTIONS"))["result"] == names
        visitor.step(MINUTE)
        assert (await one.next())["e"] == "trade"
        assert (await one.ask("UNSUBSCRIBE", "abcusdt@trade", key=None))["id"] is None
        assert (await one.ask("GET_PROPERTY", "combined"))["result"] is False
        assert (await one.ask("SET_PROPERTY", "combined", True))["result"] is None
        await one.ask("SUBSCRIBE", "xyzusdt@trade")
        visitor.step(MINUTE)
        assert (await one.next())["stream"] == "xyzusdt@trade"

        old = await line(visitor, "/stream/ws/7")
        await old.ask("SUBSCRIBE", "abcusdt@trade")
        visitor.step(MINUTE)
        assert (await old.next())["e"] == "trade"

    play(scenario, streams=Patience(messages=None))


MISUNDERSTOOD = [
        ("{", 3, "Invalid JSON: expected value at line 1 column 2"),
        ("[" * 50_000, 3, "Invalid JSON"),
        (r'{"id": "\ud800", "method": "LIST_SUBSCRIPTIONS"}', 3, "Invalid JSON"),
        ("[]", 2, "Invalid request: request must be an object"),
        ('{"method": "SUBSCRIBE", "params": []}', 2, "request ID must be an unsigned integer"),
        ('{"method": "SUBSCRIBE", "params": [], "id": 1.5}', 2, "request ID must be"),
        ('{"id": 1}', 2, "missing field `method`"),
        ('{"id": 1, "method": "BUY"}', 2, "unknown variant `BUY`, expected one of `SUBSCRIBE`"),
        ('{"id": 1, "method": "SUBSCRIBE", "params": [1]}', 2, "stream name must be a string"),
        ('{"id": 1, "method": "GET_PROPERTY", "params": []}', 2, "property name must be a string"),
        ('{"id": 1, "method": "GET_PROPERTY", "params": ["a"]}', 0, "Unknown property"),
        (
            '{"id": 1, "method": "GET_PROPERTY", "params": ["combined", 1]}', 2,
            "too many parameters",
        ),
        ('{"id": 1, "method": "SET_PROPERTY", "params": ["combined", 1]}', 1, "expected Boolean"),
]  # fmt: skip


def test_a_request_that_cant_be_understood_is_answered(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        one = await line(visitor, "/ws")
        for sent, code, text in MISUNDERSTOOD:
            await one.ws.send_str(sent)
            answer = await one.next()
            assert answer["code"] == code, sent
            assert text in answer["msg"]
            assert answer["id"] == (1 if '"id": 1,' in sent or '"id": 1}' in sent else None)
        assert (await one.ask("LIST_SUBSCRIPTIONS"))["result"] == []

    play(scenario, streams=Patience(messages=None))


async def ended(ws: Any) -> Any:
    """How a connection ended; what it said before is passed over."""
    while True:
        message = await asyncio.wait_for(ws.receive(), 20)
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR}:
            return message


def test_who_does_not_read_is_dropped_and_not_waited_for(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        streams = "/".join(f"abcusdt@{kind}" for kind in ("trade", "aggTrade", "depth20@100ms"))
        slow = await line(visitor, f"/stream?streams={streams}")
        slow.ws._response.connection.transport.pause_reading()
        quick = await line(visitor, "/ws/xyzusdt@trade")
        here = visitor.server._streams.connections
        assert len(here) == 2
        while len(here) == 2:
            visitor.step(10 * MINUTE)
            await asyncio.sleep(0)
        (left,) = here
        assert list(left.names) == ["xyzusdt@trade"]
        assert (await quick.next())["e"] == "trade"

    play(scenario, streams=Patience(backlog=200_000))


def test_who_sends_too_much_is_dropped(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        one = await line(visitor, "/ws")
        for number in range(6):
            await one.ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        message = await ended(one.ws)
        assert message.type is not WSMsgType.CLOSE, "without a word"

    play(scenario)


def test_the_server_pings_and_drops_who_does_not_answer(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        answers = await line(visitor, "/ws", autoping=False)
        silent = await line(visitor, "/ws", autoping=False)
        for _ in range(10):
            message = await asyncio.wait_for(answers.ws.receive(), 10)
            assert message.type is WSMsgType.PING
            await answers.ws.pong(message.data)
        message = await ended(silent.ws)
        assert message.type is not WSMsgType.CLOSE
        await answers.ws.ping(b"hello")
        while True:
            message = await asyncio.wait_for(answers.ws.receive(), 10)
            if message.type is WSMsgType.PONG:
                break
        assert message.data == b"hello"

    play(scenario, streams=Patience(ping=0.05, pong=0.2, messages=None))


def test_an_old_connection_is_closed_after_notice(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        raw = await line(visitor, "/ws/abcusdt@trade")
        combined = await line(visitor, "/stream")
        assert await raw.next() == {"e": "serverShutdown", "E": visitor.now // 1_000}
        assert await combined.next() == {
            "stream": "!serverShutdown",
            "data": {"e": "serverShutdown", "E": visitor.now // 1_000},
        }
        visitor.step(MINUTE)
        assert (await raw.next())["e"] == "trade", "it still works meanwhile"
        for one in (raw, combined):
            message = await ended(one.ws)
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)

    play(scenario, streams=Patience(age=0.8, notice=0.5))


def test_a_server_that_stops_says_so(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        one = await line(visitor, "/ws/abcusdt@trade")
        api = await line(visitor, "/ws-api/v3")
        stop = asyncio.ensure_future(visitor.server.stop())
        assert (await one.next())["e"] == "serverShutdown"
        assert (await api.next())["event"]["e"] == "serverShutdown"
        for each in (one, api):
            message = await ended(each.ws)
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
        await stop

    play(scenario)


def test_one_connection_listens_to_so_many_streams_and_no_more(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        one = await line(visitor, "/ws")
        names = [f"s{number}@trade" for number in range(1_024)]
        assert (await one.ask("SUBSCRIBE", *names))["result"] is None
        assert (await one.ask("SUBSCRIBE", "abcusdt@trade"))["code"] == 2
        reply = await visitor.get("/ws/" + "/".join(f"s{number}" for number in range(1_025)))
        assert reply.status == 400

    play(scenario)


def test_market_time_wakes_streams_that_an_order_made_due(play: Any) -> None:
    """The exchange sleeps until its next print; an order before that is told within 100 ms."""

    async def scenario(visitor: Any) -> None:
        changes = await line(visitor, "/ws/abcusdt@depth@100ms")
        price = await visitor.price(0.5)
        await visitor.order("BUY", "LIMIT", quantity="1", price=price)
        visitor.step(100 * MILLISECOND)
        assert [price + "000000", "1.00000000"] in (await changes.next())["b"]

    play(scenario)
