"""Weights, order counts, bans: counted as Binance counts them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from vostok_core.times import MINUTE, SECOND
from vostok_exchange.protocol.faults import Fault
from vostok_exchange.protocol.limits import Limit, Limits, Policy

SMALL = Policy(weight=Limit("REQUEST_WEIGHT", "MINUTE", 1, 50), patience=2)
NOW = 1_700_000_000_000_000 // MINUTE * MINUTE


class Wall:
    """The wall's clock, set by hand; it begins a window of every length up to an hour."""

    def __init__(self) -> None:
        self.us = time.time_ns() // 1_000 // (60 * MINUTE) * (60 * MINUTE)

    def __call__(self) -> int:
        return self.us * 1_000


def test_used_weight_is_told_and_begins_anew_every_minute(play: Any) -> None:
    wall = Wall()

    async def scenario(visitor: Any) -> None:
        async def used(path: str, **params: Any) -> int:
            reply = await visitor.get(path, **params)
            assert reply.headers["X-MBX-USED-WEIGHT"] == reply.headers["X-MBX-USED-WEIGHT-1M"]
            return int(reply.headers["X-MBX-USED-WEIGHT-1M"])

        assert await used("/api/v3/ping") == 1
        assert await used("/api/v3/depth", symbol="ABCUSDT", limit=1000) == 51
        assert await used("/api/v3/ticker/24hr") == 131
        assert await used("/api/v3/klines", symbol="NOPE", interval="1m") == 133, "failures count"
        wall.us += MINUTE
        assert await used("/api/v3/ping") == 1
        placed = await visitor.order("BUY", "MARKET", quantity="1", timestamp=wall.us // 1_000)
        assert placed.headers["X-MBX-USED-WEIGHT-1M"] == "1", "an order that succeeds is free"
        refused = await visitor.order("BUY", "MARKET", quantity="0.001", timestamp=wall.us // 1_000)
        assert refused.headers["X-MBX-USED-WEIGHT-1M"] == "2"

    play(scenario, wall=wall)


def test_who_asks_too_much_is_told_to_wait_and_then_banned(play: Any) -> None:
    wall = Wall()
    wall.us += 20 * SECOND

    async def scenario(visitor: Any) -> None:
        for _ in range(50):
            assert (await visitor.get("/api/v3/ping")).status == 200
        for _ in range(2):
            reply = await visitor.get("/api/v3/ping")
            assert (reply.status, reply.code) == (429, -1003)
            assert reply.headers["Retry-After"] == "40"
            assert "current limit is 50 request weight per 1 MINUTE" in reply.body["msg"]
        reply = await visitor.get("/api/v3/ping")
        assert (reply.status, reply.code) == (418, -1003)
        assert reply.headers["Retry-After"] == "120"
        until = wall.us // 1_000 + 120_000
        assert f"IP banned until {until}." in reply.body["msg"]
        wall.us += 119 * SECOND
        reply = await visitor.get("/api/v3/ping")
        assert (reply.status, reply.headers["Retry-After"]) == (418, "1")
        wall.us += SECOND
        assert (await visitor.get("/api/v3/ping")).status == 200

    play(scenario, wall=wall, policy=SMALL)


def test_every_ban_is_longer_than_the_one_before_up_to_three_days() -> None:
    limits = Limits(Policy(weight=Limit("REQUEST_WEIGHT", "MINUTE", 1, 1), patience=0))
    now, bans = NOW, []
    for _ in range(14):
        limits.ask("here", 1, now)
        with pytest.raises(Fault) as fault:
            limits.ask("here", 1, now)
        assert fault.value.status == 418
        assert fault.value.wait is not None
        bans.append(fault.value.wait)
        limits.ask("elsewhere", 1, now)
        now += fault.value.wait * SECOND
    assert bans[:3] == [120, 240, 480]
    assert bans[-1] == 3 * 86_400


def test_who_waits_as_told_is_not_banned() -> None:
    limits = Limits(SMALL)
    for minute in range(10):
        now = NOW + minute * MINUTE
        limits.ask("here", 50, now)
        for _ in range(2):
            with pytest.raises(Fault) as fault:
                limits.ask("here", 1, now)
            assert fault.value.status == 429


def test_unfilled_orders_count_and_filled_ones_do_not(play: Any) -> None:
    wall = Wall()
    orders = (Limit("ORDERS", "SECOND", 10, 4), Limit("ORDERS", "DAY", 1, 6))

    async def scenario(visitor: Any) -> None:
        low = await visitor.price(0.9)

        async def place(kind: str, **params: Any) -> Any:
            return await visitor.order("BUY", kind, timestamp=wall.us // 1_000, **params)

        def counts(reply: Any) -> tuple[str, str]:
            return (
                reply.headers["X-MBX-ORDER-COUNT-10S"], reply.headers["X-MBX-ORDER-COUNT-1D"]
            )  # fmt: skip

        for expected in "123":
            reply = await place("LIMIT", quantity="1", price=low)
            assert counts(reply) == (expected, expected)
        assert counts(await place("MARKET", quantity="1")) == ("3", "3"), "it filled at once"
        refused = await place("MARKET", quantity="0.001")
        assert refused.status == 400
        assert counts(await place("LIMIT", quantity="1", price=low)) == ("4", "4")
        reply = await place("LIMIT", quantity="1", price=low)
        assert (reply.status, reply.body) == (
            429,
            {"code": -1015, "msg": "Too many new orders; current limit is 4 orders per 10 SECOND."},
        )
        assert reply.headers["Retry-After"] == "10"
        wall.us += 10 * SECOND
        assert counts(await place("LIMIT", quantity="1", price=low)) == ("1", "5")
        reply = await visitor.signed(
            "POST", "/api/v3/orderList/oco", symbol="ABCUSDT", side="SELL", quantity="1",
            aboveType="LIMIT_MAKER", abovePrice="900", belowType="STOP_LOSS", belowStopPrice=low,
            timestamp=wall.us // 1_000,
        )  # fmt: skip
        assert reply.body["msg"] == "Too many new orders; current limit is 6 orders per 1 DAY."
        told = await visitor.signed("GET", "/api/v3/rateLimit/order", timestamp=wall.us // 1_000)
        assert [(row["limit"], row["count"]) for row in told.body] == [(4, 1), (6, 5)]

    play(scenario, wall=wall, policy=Policy(orders=orders))


def test_an_address_opens_only_so_many_connections(play: Any) -> None:
    wall = Wall()

    async def scenario(visitor: Any) -> None:
        for path in ("/ws", "/ws-api/v3", "/stream"):
            await (await visitor.session.ws_connect(visitor.server.url + path)).close()
        reply = await visitor.get("/ws")
        assert (reply.status, reply.code) == (429, -1034)
        wall.us += 5 * MINUTE
        await (await visitor.session.ws_connect(visitor.server.url + "/ws")).close()

    play(scenario, wall=wall, policy=Policy(connections=3))


def test_the_limits_are_listed(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        info = (await visitor.get("/api/v3/exchangeInfo")).body
        limits = [tuple(row.values()) for row in info["rateLimits"]]
        assert limits == [
            ("REQUEST_WEIGHT", "MINUTE", 1, 6000),
            ("ORDERS", "SECOND", 10, 100),
            ("ORDERS", "DAY", 1, 200000),
            ("RAW_REQUESTS", "MINUTE", 5, 300000),
        ]

    play(scenario)
