"""A feed hands on every trade once and in order, whatever happens to its connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import MINUTE, SECOND
from vostok_live.feed.connection import Allowance, Arrival, MarketStream, Patience
from vostok_live.feed.continuity import Continuity
from vostok_live.feed.http import Asker, FeedError
from vostok_live.feed.inbox import Inbox
from vostok_live.feed.rest import MarketRest
from vostok_live.feed.trades import Other, TradeFeed
from vostok_live.seams import Seams, real_seams

BTC = Instrument(
    InstrumentId.parse("binance.spot.BTC-USDT"), "agg_trade", Decimal("0.01"), Decimal("0.00001"),
    Decimal(5), 10 * MINUTE,
)  # fmt: skip
QUICK = Patience(connect=5.0, quiet=0.05, pong=1.0, steady=0.0, pause=0.001, longest_pause=0.01)


@dataclass
class Fed:
    """A feed, and what came of it."""

    feed: TradeFeed
    ids: list[int]
    others: list[Other]
    errors: list[FeedError]

    async def trades(self, count: int) -> list[int]:
        while len(self.ids) < count:
            self.ids += [tick.trade_id for tick in await self.feed.receive(60.0)]
        return self.ids


def feed(
    scenario: Callable[[Fed], Awaitable[None]],
    exchange: Any,
    *,
    next_id: int | None = 0,
    give_up_after: float = 30.0,
    room: int = 10_000,
    seed: int = 1,
) -> None:
    """Run a scenario with a feed that listens to a scripted exchange."""

    async def run() -> None:
        base = real_seams()
        seams = Seams(base.clock, random.Random(seed), base.connector, base.connect)
        async with exchange, aiohttp.ClientSession(connector=seams.connector()) as session:
            inbox: Inbox[Arrival] = Inbox(room)
            stream = MarketStream(
                exchange.ws_url,
                ["btcusdt@aggTrade", "btcusdt@bookTicker"],
                inbox,
                session=session,
                seams=seams,
                patience=QUICK,
                allowance=Allowance(),
                on_change=lambda _: None,
                on_flaw=lambda _: None,
            )
            asker = Asker(exchange.url, session=session, seams=seams, pause=0.001)
            others: list[Other] = []
            errors: list[FeedError] = []
            trades = TradeFeed(
                "BTCUSDT",
                stream,
                inbox,
                Continuity(next_id, patience=give_up_after),
                MarketRest(asker, BTC, seams.clock),
                clock=seams.clock,
                on_other=others.append,
                on_error=errors.append,
            )
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(trades.run())
                await scenario(Fed(trades, [], others, errors))
                running.cancel()

    asyncio.run(asyncio.wait_for(run(), 60))


def made(exchange: Any, agg_trade: Callable[..., dict[str, Any]], count: int) -> Any:
    """The exchange, on which so many trades have happened."""
    exchange.trades = [agg_trade(i) for i in range(count)]
    return exchange


def test_trades_before_the_stream_are_fetched_first(scripted: Any, agg_trade: Any) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.trade(2_500, 2_501)
        await link.gone()

    exchange = made(scripted(script), agg_trade, 2_502)

    async def scenario(fed: Fed) -> None:
        assert await fed.trades(2_502) == list(range(2_502))
        assert len(exchange.requests) == 3

    feed(scenario, exchange)


def test_what_is_lost_between_two_connections_is_fetched(scripted: Any, agg_trade: Any) -> None:
    async def first(link: Any) -> None:
        await link.subscribed()
        await link.trade(0, 1)
        link.reset()

    async def second(link: Any) -> None:
        await link.subscribed()
        await link.trade(7, 8)
        await link.gone()

    async def scenario(fed: Fed) -> None:
        assert await fed.trades(9) == list(range(9))

    feed(scenario, made(scripted(first, second), agg_trade, 9))


def test_a_break_is_caught_up_with_though_no_further_trade_comes(
    scripted: Any, agg_trade: Any
) -> None:
    async def first(link: Any) -> None:
        await link.subscribed()
        await link.trade(0, 1)
        link.reset()

    async def second(link: Any) -> None:
        await link.subscribed()
        await link.gone()

    async def scenario(fed: Fed) -> None:
        assert await fed.trades(5) == list(range(5))

    feed(scenario, made(scripted(first, second), agg_trade, 5))


def test_a_hole_in_the_stream_is_filled(scripted: Any, agg_trade: Any) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.trade(0, 1, 2, 5, 4, 7, 7, 9)
        await link.send("garbage")
        await link.trade(10)
        await link.gone()

    async def scenario(fed: Fed) -> None:
        assert await fed.trades(11) == list(range(11))

    feed(scenario, made(scripted(script), agg_trade, 11))


def test_a_hole_that_cannot_be_filled_is_handed_on(scripted: Any, agg_trade: Any) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.trade(0, 1, 4, 5)
        await link.gone()

    exchange = scripted(script)
    exchange.rest = lambda _: web.Response(status=503)

    async def scenario(fed: Fed) -> None:
        assert await fed.trades(4) == [0, 1, 4, 5]
        assert fed.feed.continuity.counts["lost"] == 2
        assert fed.errors

    feed(scenario, exchange, give_up_after=0.2)


def test_a_question_without_result_is_repeated_until_the_exchange_knows(
    scripted: Any, agg_trade: Any
) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.trade(0, 3)
        await link.gone()

    exchange = made(scripted(script), agg_trade, 4)

    def late(request: web.Request) -> web.Response | None:
        return web.json_response([]) if len(exchange.requests) < 4 else None

    exchange.rest = late

    async def scenario(fed: Fed) -> None:
        assert await fed.trades(4) == [0, 1, 2, 3]

    feed(scenario, exchange)


def test_what_could_not_be_fetched_is_asked_for_again(scripted: Any, agg_trade: Any) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.trade(0, 3)
        await link.gone()

    exchange = made(scripted(script), agg_trade, 4)
    exchange.rest = lambda _: web.Response(status=503) if len(exchange.requests) < 7 else None

    async def scenario(fed: Fed) -> None:
        assert await fed.trades(4) == [0, 1, 2, 3]
        assert len(fed.errors) == 1

    feed(scenario, exchange)


def test_an_inbox_that_overflows_loses_no_trade(scripted: Any, agg_trade: Any) -> None:
    async def flood(link: Any) -> None:
        await link.subscribed()
        await link.trade(*range(400 * (link.number - 1), 400 * link.number))
        await link.gone()

    exchange = made(scripted(flood), agg_trade, 1_200)

    async def scenario(fed: Fed) -> None:
        while fed.feed.stream.ended["overflow"] < 2:
            await asyncio.sleep(0.001)  # a consumer that is busy with something else
        assert await fed.trades(1_200) == list(range(1_200))

    feed(scenario, exchange, room=50)


def test_it_is_complete_once_the_stream_was_heard_after_that_time(
    scripted: Any, agg_trade: Any
) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.gone()

    exchange = scripted(script)

    async def scenario(fed: Fed) -> None:
        clock = real_seams().clock
        trades = fed.feed
        assert not trades.complete(0)  # it has no connection
        while not trades.complete(0):
            await trades.receive(5.0)
        soon = clock.market() + SECOND // 10
        assert not trades.complete(soon)  # nothing that was sent then can have come
        while not trades.complete(soon):
            await trades.receive(0.01)  # pongs come
        await exchange.links[0].trade(0, 2)
        assert await fed.trades(1) == [0]
        assert not trades.complete(0)  # trade 1 is missing
        exchange.trades = [agg_trade(i) for i in range(3)]
        assert await fed.trades(3) == [0, 1, 2]
        assert trades.complete(0)
        exchange.refuse = lambda _: web.Response(status=503)
        exchange.links[0].reset()
        while trades.stream.up:
            await trades.receive(0.01)
        assert not trades.complete(0)

    feed(scenario, exchange)


def test_other_symbols_and_events_are_kept_apart(scripted: Any, agg_trade: Any) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.send(
            '{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"9.9","B":"1",'
            '"a":"10.1","A":"2"}}'
        )
        await link.send(
            '{"e":"aggTrade","E":1709596800000,"s":"ETHUSDT","a":0,"p":"1","q":"1","f":1,"l":1,'
            '"T":1709596800000,"m":true}'
        )
        await link.trade(0)
        await link.gone()

    async def scenario(fed: Fed) -> None:
        assert await fed.trades(1) == [0]
        assert [type(other).__name__ for other in fed.others] == ["BookTop"]
        assert fed.feed.continuity.counts["other_symbol"] == 1

    feed(scenario, made(scripted(script), agg_trade, 1))


@pytest.mark.parametrize("seed", range(6))
def test_every_trade_is_handed_on_whatever_connections_do(
    scripted: Any, agg_trade: Any, seed: int
) -> None:
    """Each connection says some of what happens, badly, and ends in some way."""
    chance = random.Random(seed)
    count = 600
    exchange = scripted()
    happened = 0

    async def script(link: Any) -> None:
        nonlocal happened
        if chance.random() < 0.1:
            link.reset()
            return
        await link.subscribed()
        for _ in range(chance.randrange(60)):
            new = chance.randrange(4)
            exchange.trades += [agg_trade(i) for i in range(happened, min(happened + new, count))]
            batch = [*range(happened, min(happened + new, count))]
            happened += len(batch)
            batch = [i for i in batch for _ in range(chance.choice([0, 1, 1, 1, 2]))]
            if chance.random() < 0.2:
                chance.shuffle(batch)
            await link.trade(*batch)
            if chance.random() < 0.1:
                await link.send(chance.choice(["", "[]", '{"e":"trade"}', "9" * 70_000]))
        if happened >= count:
            await link.trade(count - 1)  # else nobody could know that it was missing
            await link.gone()
        end = chance.choice(["reset", "close", "shutdown"])
        if end == "close":
            await link.ws.close(code=1012)
        elif end == "shutdown":
            await link.send('{"e":"serverShutdown","E":1709596800000}')
            await link.gone()
        else:
            link.reset()

    def flaky(request: web.Request) -> web.Response | None:
        return web.Response(status=503) if chance.random() < 0.2 else None

    exchange.scripts = [script]
    exchange.rest = flaky

    async def scenario(fed: Fed) -> None:
        assert await fed.trades(count) == list(range(count))

    feed(scenario, exchange, room=40, seed=seed)
