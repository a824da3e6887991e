"""The WebSocket API: the same answers as by REST, and what accounts are told as it happens."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType

from vostok_core.times import MINUTE
from vostok_exchange.commands import Deposit
from vostok_exchange.protocol.limits import Limit, Policy
from vostok_exchange.protocol.signing import signed_values


class Api:
    """A connection to the WebSocket API."""

    def __init__(self, ws: Any, sign: Any) -> None:
        self.ws = ws
        self.sign = sign
        self.events: list[Any] = []

    async def next(self) -> Any:
        message = await asyncio.wait_for(self.ws.receive(), 10)
        assert message.type is WSMsgType.TEXT, message
        return json.loads(message.data)

    async def send(self, method: str, params: dict[str, Any], key: Any = 1) -> Any:
        """Ask, keep the events that come first, and return the answer."""
        await self.ws.send_json({"id": key, "method": method, "params": params})
        while "id" not in (got := await self.next()):
            self.events.append(got)
        assert got["id"] == key
        return got

    async def ask(self, method: str, holder: Any = None, **params: Any) -> Any:
        """Ask as an account, if one is named."""
        if holder is not None:
            params |= {"apiKey": holder.key, "timestamp": time.time_ns() // 1_000_000}
            texts = {
                name: str(value).lower() if isinstance(value, bool) else str(value)
                for name, value in params.items()
            }
            params["signature"] = self.sign(holder, signed_values(texts))
        return await self.send(method, params)

    async def until(self, wanted: Any) -> list[Any]:
        """Events up to one that is as wanted."""
        while not self.events or not wanted(self.events[-1]["event"]):
            self.events.append(await self.next())
        said, self.events = self.events, []
        return [one["event"] for one in said]


async def api(visitor: Any, sign: Any, query: str = "") -> Api:
    ws = await visitor.session.ws_connect(f"{visitor.server.url}/ws-api/v3{query}")
    return Api(ws, sign)


def test_it_answers_as_rest_does(play: Any, keys: Any, sign: Any) -> None:
    key = keys[0]

    async def scenario(visitor: Any) -> None:
        one = await api(visitor, sign)
        visitor.step(MINUTE)
        for method, path, params in (
            ("depth", "depth", {"symbol": "ABCUSDT", "limit": 5}),
            ("klines", "klines", {"symbol": "ABCUSDT", "interval": "1m", "limit": 3}),
            ("trades.aggregate", "aggTrades", {"symbol": "ABCUSDT", "limit": 3}),
            ("ticker.24hr", "ticker/24hr", {"symbol": "ABCUSDT"}),
        ):
            answer = await one.ask(method, **params)
            assert answer["status"] == 200
            assert answer["result"] == (await visitor.get(f"/api/v3/{path}", **params)).body
        several = await one.ask("ticker.price", symbols=["XYZUSDT", "ABCUSDT"])
        assert [row["symbol"] for row in several["result"]] == ["XYZUSDT", "ABCUSDT"]

        low = await visitor.price(0.9)
        placed = await one.ask(
            "order.place", key, symbol="ABCUSDT", side="BUY", type="LIMIT", timeInForce="GTC",
            quantity="1.000", price=low, newClientOrderId="mine",
        )  # fmt: skip
        assert placed["result"]["status"] == "NEW"
        told = await one.ask("order.status", key, symbol="ABCUSDT", origClientOrderId="mine")
        by_rest = await visitor.signed(
            "GET", "/api/v3/order", symbol="ABCUSDT", origClientOrderId="mine"
        )
        assert told["result"] == by_rest.body
        account = await one.ask("account.status", key)
        assert account["result"] == (await visitor.signed("GET", "/api/v3/account")).body
        gone = await one.ask(
            "v3/order.cancel", key, symbol="ABCUSDT", orderId=told["result"]["orderId"]
        )
        assert gone["result"]["status"] == "CANCELED"

    play(scenario)


def test_faults_and_limits_are_told_in_its_own_form(play: Any, keys: Any, sign: Any) -> None:
    key, read_only, _ = keys

    async def scenario(visitor: Any) -> None:
        one = await api(visitor, sign)
        answer = await one.ask("time")
        assert answer["rateLimits"] == [
            {
                "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
                "limit": 40, "count": 3,
            }
        ]  # fmt: skip
        bare = await one.ask("ping", returnRateLimits=False)
        assert bare == {"id": 1, "status": 200, "result": {}}
        quiet = await api(visitor, sign, "?returnRateLimits=false&timeUnit=MICROSECOND")
        told = await quiet.ask("time")
        assert told.keys() == {"id", "status", "result"}
        assert told["result"]["serverTime"] > 10**15
        placed = await one.ask(
            "order.place", key, symbol="ABCUSDT", side="BUY", type="MARKET", quantity="1",
            returnRateLimits=True,
        )  # fmt: skip
        assert [row["rateLimitType"] for row in placed["rateLimits"]] == [
            "ORDERS", "ORDERS", "REQUEST_WEIGHT",
        ]  # fmt: skip

        for method, params, status, code in (
            ("depth", {"symbol": "NOPE"}, 400, -1121),
            ("order.place", {"symbol": "ABCUSDT"}, 400, -1102),
            ("buy", {}, 400, -1020),
            ("session.logon", {}, 400, -4056),
        ):
            answer = await one.send(method, params, key="x")
            assert (answer["status"], answer["error"]["code"]) == (status, code), method
        answer = await one.ask(
            "order.place", read_only, symbol="ABCUSDT", side="BUY", type="MARKET", quantity="1"
        )
        assert (answer["status"], answer["error"]["code"]) == (401, -2015)
        nested = f'{{"id": 1, "method": "ping", "params": {"[" * 30_000}{"]" * 30_000}}}'
        for sent in ("{", nested, r'{"id": "\ud800", "method": "ping"}'):
            await one.ws.send_str(sent)
            assert (await one.next())["error"] == {"code": -1135, "msg": "Invalid JSON Request"}
        answer = await one.ask("ticker.24hr")
        assert (answer["status"], answer["error"]["code"]) == (429, -1003)
        data = answer["error"]["data"]
        assert 0 < data["retryAfter"] - data["serverTime"] <= 60_000

    play(scenario, policy=Policy(weight=Limit("REQUEST_WEIGHT", "MINUTE", 1, 40)))


def test_a_signature_is_of_numbers_as_they_were_written(play: Any, keys: Any, sign: Any) -> None:
    key = keys[0]

    async def scenario(visitor: Any) -> None:
        one = await api(visitor, sign)
        stamp = time.time_ns() // 1_000_000
        texts = {
            "apiKey": key.key, "quantity": "1.50", "recvWindow": "5000.0", "side": "BUY",
            "symbol": "ABCUSDT", "timestamp": str(stamp), "type": "MARKET",
        }  # fmt: skip
        body = (
            f'{{"id": null, "method": "order.place", "params": {{"quantity": 1.50, '
            f'"recvWindow": 5000.0, "side": "BUY", "symbol": "ABCUSDT", "type": "MARKET", '
            f'"timestamp": {stamp}, "apiKey": "{key.key}", '
            f'"signature": "{sign(key, signed_values(texts))}"}}}}'
        )
        await one.ws.send_str(body)
        answer = await one.next()
        assert answer["id"] is None
        assert answer["result"]["executedQty"] == "1.50000000"
        await one.ws.send_str(body.replace("1.50,", "1.5,"))
        assert (await one.next())["error"]["code"] == -1022

    play(scenario)


def test_an_account_is_told_of_its_orders_and_balances(play: Any, keys: Any, sign: Any) -> None:
    key, _, other = keys

    async def scenario(visitor: Any) -> None:
        one, two = await api(visitor, sign), await api(visitor, sign)
        answer = await one.ask("userDataStream.subscribe.signature", key)
        assert answer["result"] == {"subscriptionId": 0}
        assert (await one.ask("session.subscriptions"))["result"] == [{"subscriptionId": 0}]
        assert (await two.ask("userDataStream.subscribe.signature", other))["status"] == 200
        again = await one.ask("userDataStream.subscribe.signature", key)
        assert again["error"]["code"] == -2035
        assert (await one.ask("session.status"))["result"]["userDataStream"] is True

        bought = (await visitor.order("BUY", "MARKET", quantity="1", newClientOrderId="b")).body
        told = await one.until(lambda event: event["e"] == "outboundAccountPosition")
        assert [(row["e"], row.get("x"), row.get("X")) for row in told] == [
            ("executionReport", "NEW", "NEW"),
            ("executionReport", "TRADE", "FILLED"),
            ("outboundAccountPosition", None, None),
        ]
        fill = told[1]
        assert (fill["c"], fill["i"], fill["t"]) == (
            "b", bought["orderId"], bought["fills"][0]["tradeId"],
        )  # fmt: skip
        assert (fill["L"], fill["l"], fill["n"], fill["N"]) == (
            bought["fills"][0]["price"], "1.00000000", bought["fills"][0]["commission"], "BNB",
        )  # fmt: skip
        assert fill["T"] == fill["E"] == bought["transactTime"]
        assert [row["a"] for row in told[2]["B"]] == ["USDT", "ABC", "BNB"]

        low = await visitor.price(0.9)
        resting = (await visitor.order("BUY", "LIMIT", quantity="1", price=low)).body
        told = await one.until(lambda event: event["e"] == "outboundAccountPosition")
        assert (told[0]["x"], told[0]["w"], told[0]["W"]) == ("NEW", True, resting["transactTime"])
        usdt = told[1]["B"][0]
        assert (usdt["a"], usdt["l"]) == ("USDT", f"{Decimal(low):.8f}")
        await visitor.signed(
            "DELETE", "/api/v3/order", symbol="ABCUSDT", orderId=resting["orderId"],
            newClientOrderId="bye",
        )  # fmt: skip
        told = await one.until(lambda event: event["e"] == "outboundAccountPosition")
        assert (told[0]["x"], told[0]["c"], told[0]["C"]) == (
            "CANCELED", "bye", resting["clientOrderId"],
        )  # fmt: skip

        visitor.server.exchange.do(Deposit(1, "USDT", Decimal("-12.5")))
        told = await one.until(lambda event: event["e"] == "outboundAccountPosition")
        assert told[0] == {
            "e": "balanceUpdate", "E": visitor.now // 1_000, "a": "USDT", "d": "-12.50000000",
            "T": visitor.now // 1_000,
        }  # fmt: skip

        refused = await visitor.order("BUY", "LIMIT", quantity="2000", price=await visitor.price())
        assert refused.code == -2010
        told = await one.until(lambda event: event["e"] == "executionReport")
        assert (told[-1]["x"], told[-1]["X"], told[-1]["r"]) == (
            "REJECTED", "REJECTED", "INSUFFICIENT_BALANCES",
        )  # fmt: skip

        ended = await one.ask("userDataStream.unsubscribe", subscriptionId=0)
        assert ended["result"] == {}
        assert one.events[-1]["event"]["e"] == "eventStreamTerminated"
        gone = await one.ask("userDataStream.unsubscribe", subscriptionId=0)
        assert gone["error"]["code"] == -2036
        assert (await one.ask("session.subscriptions"))["result"] == []
        assert two.events == []
        assert (await two.ask("ping"))["status"] == 200
        assert two.events == [], "nothing of another's account"

    play(scenario)


def test_a_list_tells_of_itself_and_of_its_orders(play: Any, keys: Any, sign: Any) -> None:
    async def scenario(visitor: Any) -> None:
        one = await api(visitor, sign)
        await one.ask("userDataStream.subscribe.signature", keys[0])
        low, high = await visitor.price(0.9), await visitor.price(1.1)
        placed = await one.ask(
            "orderList.place.oco", keys[0], symbol="ABCUSDT", side="SELL", quantity="1",
            aboveType="LIMIT_MAKER", abovePrice=high, belowType="STOP_LOSS", belowStopPrice=low,
        )  # fmt: skip
        told = await one.until(lambda event: event["e"] == "outboundAccountPosition")
        status = next(event for event in told if event["e"] == "listStatus")
        result = placed["result"]
        assert (status["g"], status["C"], status["L"]) == (
            result["orderListId"], result["listClientOrderId"], "EXECUTING",
        )  # fmt: skip
        assert [(row["i"], row["c"]) for row in status["O"]] == [
            (row["orderId"], row["clientOrderId"]) for row in result["orders"]
        ]
        await one.ask("openOrders.cancelAll", keys[0], symbol="ABCUSDT")
        told = await one.until(lambda event: event["e"] == "outboundAccountPosition")
        assert {event["x"] for event in told if event["e"] == "executionReport"} == {"CANCELED"}
        assert [event["l"] for event in told if event["e"] == "listStatus"] == ["ALL_DONE"]

    play(scenario)


def test_a_resting_order_that_the_market_fills_is_told_at_market_time(
    play: Any, keys: Any, sign: Any
) -> None:
    async def scenario(visitor: Any) -> None:
        one = await api(visitor, sign, "?timeUnit=MICROSECOND")
        await one.ask("userDataStream.subscribe.signature", keys[0])
        top = (await visitor.get("/api/v3/ticker/bookTicker", symbol="ABCUSDT")).body
        await visitor.order("BUY", "LIMIT", quantity="0.1", price=top["bidPrice"])
        before = visitor.now
        visitor.step(10 * MINUTE)
        told = await one.until(lambda event: event.get("X") == "FILLED")
        fill = told[-1]
        assert (fill["m"], fill["w"]) == (True, False)
        assert before < fill["T"] < visitor.now
        public = await visitor.ask(
            "GET", "/api/v3/historicalTrades", f"symbol=ABCUSDT&fromId={fill['t']}&limit=1",
            X_MBX_TIME_UNIT="MICROSECOND",
        )  # fmt: skip
        assert (public.body[0]["time"], public.body[0]["price"]) == (fill["T"], fill["L"])

    play(scenario)
