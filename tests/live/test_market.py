"""Bars close on a trade or a timer, are written down before they are used, and are those of the
batch.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import pytest
from aiohttp import web
from msgspec import structs

from vostok_core.lake.tables import TIME
from vostok_core.live.cuts import ClosedBar, Cut, LiveBars, bars_from_journal
from vostok_core.market.bars import BAR_FIELDS, day_bars
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.quality import inspect
from vostok_core.market.ticks import LastTick, last_tick
from vostok_core.times import DAY, HOUR, MINUTE, SECOND, day_start
from vostok_live.feed.connection import Allowance, Arrival, MarketStream, Patience
from vostok_live.feed.continuity import Continuity, Missing
from vostok_live.feed.events import Tick
from vostok_live.feed.http import Asker
from vostok_live.feed.inbox import Inbox
from vostok_live.feed.parse import decode
from vostok_live.feed.rest import MarketRest
from vostok_live.feed.trades import TradeFeed
from vostok_live.market import Market
from vostok_live.seams import Clock, MarketTime, Seams, real_seams

START = day_start(date(2024, 3, 5))
GRACE = 2 * SECOND


def instrument(tick: Any = "agg_trade") -> Instrument:
    return Instrument(
        InstrumentId.parse("binance.spot.BTC-USDT"), tick, Decimal("0.01"), Decimal("0.00001"),
        Decimal(5), 10 * MINUTE,
    )  # fmt: skip


class HandClock:
    """Shows what it is set to."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.market_time = MarketTime()

    def follow(self, market_time: MarketTime) -> None:
        self.market_time = market_time

    def wall_ns(self) -> int:
        return self.now * 1_000

    def market(self) -> int:
        return self.market_time.at(self.wall_ns())


@dataclass
class Journal:
    """What a market wrote down and handed on, in the order in which it did."""

    log: list[tuple[str, Any]] = field(default_factory=list)
    written: Callable[[], None] = lambda: None

    def market(self, bars: LiveBars, clock: Any, grace: int = GRACE) -> Market:
        return Market(
            bars,
            clock,
            grace=grace,
            ahead=10 * SECOND,
            on_ticks=lambda ticks: self.add("ticks", list(ticks)),
            on_cut=lambda cut: self.add("cut", cut),
            on_bar=lambda bar: self.add("bar", bar),
            on_refused=lambda tick: self.add("refused", tick),
            on_held=lambda tick: self.add("held", tick),
        )

    def add(self, what: str, value: Any) -> None:
        self.log.append((what, value))
        self.written()

    def of(self, what: str) -> list[Any]:
        return [value for kind, value in self.log if kind == what]

    @property
    def ticks(self) -> list[Tick]:
        return [tick for batch in self.of("ticks") for tick in batch]


def trade(trade_id: int, seconds: float, price: float = 10.0) -> Tick:
    ts = START + int(seconds * SECOND)
    return Tick("BTCUSDT", trade_id, ts, price, 1.0, False, trade_id, trade_id, ts, ts)


def frame(ticks: Sequence[Tick]) -> pl.DataFrame:
    """Rows of the table of ticks."""
    columns = ("trade_id", "ts", "price", "qty", "buyer_maker", "first_id", "last_id")
    rows = pl.DataFrame(
        {name: [getattr(tick, name) for tick in ticks] for name in columns},
        schema_overrides={"first_id": pl.Int64, "last_id": pl.Int64},
    )
    beneath = pl.col("first_id", "last_id").replace(-1, None)
    return rows.with_columns(beneath, ts=pl.col("ts").cast(TIME))


def bits(bars: Sequence[ClosedBar]) -> list[tuple[str, bytes, int, int, bool]]:
    return [(bar.interval, bar.row.tobytes(), bar.first_id, bar.last_id, bar.valid) for bar in bars]


def open_bars(intervals: Sequence[str] = ("1m",)) -> LiveBars:
    return LiveBars(instrument(), intervals, START, LastTick(0, START - SECOND, 10.0, 1, 0))


def always(ts: int) -> bool:
    return True


def never(ts: int) -> bool:
    return False


def test_trades_are_written_before_they_count_and_cuts_before_bars_are_used() -> None:
    journal = Journal()
    market = journal.market(open_bars(["1m", "2m"]), HandClock(START + HOUR))
    market.push([trade(1, 10), trade(2, 70), trade(3, 130)])
    assert [kind for kind, _ in journal.log] == ["ticks", "cut", "bar", "cut", "bar", "bar"]
    assert journal.of("cut") == [
        Cut(START + MINUTE, 1, "trade"),
        Cut(START + 2 * MINUTE, 2, "trade"),
    ]
    assert [bar.interval for bar in journal.of("bar")] == ["1m", "1m", "2m"]


def test_a_timer_closes_a_bar_once_its_grace_is_over() -> None:
    journal = Journal()
    clock = HandClock(START + 30 * SECOND)
    market = journal.market(open_bars(), clock)
    market.push([trade(1, 10)])
    assert market.wait() == 1.0
    clock.now = START + MINUTE + GRACE - SECOND // 4
    market.pass_time(always)
    assert journal.of("cut") == []
    assert market.wait() == 0.25
    clock.now = START + MINUTE + GRACE
    market.pass_time(always)
    assert journal.of("cut") == [Cut(START + MINUTE, 1, "timer")]
    (bar,) = journal.of("bar")
    assert (bar.ts, bar.row[7], bar.valid) == (START + MINUTE, 1.0, True)


def test_market_time_that_runs_faster_is_waited_for_less() -> None:
    clock = HandClock(START)
    clock.follow(MarketTime(wall_ns=START * 1_000, market_us=START, speed=100.0))
    market = Journal().market(open_bars(), clock)
    market.push([trade(1, 0)])
    assert market.wait() == pytest.approx(0.62)


def test_no_timer_closes_a_bar_while_trades_may_be_missing() -> None:
    journal = Journal()
    clock = HandClock(START)
    market = journal.market(open_bars(), clock)
    market.push([trade(1, 0)])
    clock.now = START + 3 * MINUTE + GRACE
    market.pass_time(never)
    assert journal.of("cut") == []
    asked: list[int] = []

    def complete(ts: int) -> bool:
        asked.append(ts)
        return ts <= START + 2 * MINUTE

    market.pass_time(complete)
    assert asked == [START + MINUTE, START + 2 * MINUTE, START + 3 * MINUTE]
    assert [cut.ts for cut in journal.of("cut")] == asked[:2]
    # What was missing has come, with a trade that closes the bar which no timer might close.
    market.push([trade(2, 150), trade(3, 190)])
    assert journal.of("cut")[-1] == Cut(START + 3 * MINUTE, 2, "trade")


def test_a_trade_that_comes_after_its_bar_was_closed_counts_in_the_open_one() -> None:
    journal = Journal()
    clock = HandClock(START + MINUTE + GRACE)
    market = journal.market(open_bars(), clock)
    market.push([trade(1, 10)])
    market.pass_time(always)
    market.push([trade(2, 59.9, price=12.0)])
    clock.now += MINUTE
    market.pass_time(always)
    first, second = journal.of("bar")
    assert (first.last_id, second.first_id, second.row[4]) == (1, 2, 12.0)
    again = bars_from_journal(
        frame(journal.ticks), journal.of("cut"), instrument(), ["1m"], START,
        LastTick(0, START - SECOND, 10.0, 1, 0),
    )  # fmt: skip
    assert bits(again) == bits(journal.of("bar"))


# Trades ahead of the clock

BEFORE = LastTick(0, START - SECOND, 10.0, 1, 0)


def again(journal: Journal) -> list[ClosedBar]:
    """The bars that what was written down makes."""
    ticks, cuts = frame(journal.ticks), journal.of("cut")
    return bars_from_journal(ticks, cuts, instrument(), ["1m"], START, BEFORE)


def ids(ticks: Sequence[Tick]) -> list[int]:
    return [tick.trade_id for tick in ticks]


def came(tick: Tick, seconds: float) -> Tick:
    """A trade that arrived then."""
    return structs.replace(tick, seen=START + int(seconds * SECOND))


def test_a_trade_ahead_of_the_clock_and_all_after_it_wait_until_the_clock_has_reached_it() -> None:
    journal = Journal()
    clock = HandClock(START + 20 * SECOND)
    market = journal.market(open_bars(), clock)
    market.push([trade(1, 1), trade(2, 30.001), trade(3, 30)])
    market.push([trade(4, 25)])
    market.pass_time(always)
    assert ids(journal.ticks) == [1]
    assert ids(journal.of("held")) == [2]
    assert market.wait() == pytest.approx(0.001)
    clock.now += 1_000
    market.pass_time(always)
    assert ids(journal.ticks) == [1, 2, 3, 4]
    assert [value is None for value in journal.of("held")] == [False, True]
    assert journal.of("refused") == journal.of("cut") == []


def test_a_clock_that_is_set_right_lets_go_of_what_waits() -> None:
    journal = Journal()
    clock = HandClock(START + HOUR)
    clock.follow(MarketTime(0, -HOUR))
    market = journal.market(open_bars(), clock)
    market.push([trade(1, 1), trade(2, 3_595), trade(3, 3_599)])
    assert (ids(journal.ticks), market.wait()) == ([1], 1.0)
    clock.follow(MarketTime())
    market.pass_time(always)
    assert ids(journal.ticks) == [1, 2, 3]
    assert len(journal.of("bar")) == 59
    assert bits(again(journal)) == bits(journal.of("bar"))


def test_no_bar_closes_while_a_trade_is_held_back() -> None:
    journal = Journal()
    clock = HandClock(START + 50 * SECOND)
    market = journal.market(open_bars(), clock)
    market.push([trade(1, 1), trade(2, 80), trade(3, 50)])
    clock.now = START + 69 * SECOND
    market.pass_time(always)
    assert journal.of("cut") == []  # what waits may be of the bar
    clock.now = START + 70 * SECOND
    market.pass_time(always)
    assert journal.of("cut") == [Cut(START + MINUTE, 1, "trade")]
    clock.now += MINUTE
    market.pass_time(always)
    assert [(bar.row[7], bar.last_id, bar.valid) for bar in journal.of("bar")] == [
        (1.0, 1, True), (2.0, 3, True),
    ]  # fmt: skip
    assert bits(again(journal)) == bits(journal.of("bar"))


def test_a_stamp_that_can_not_be_meant_is_refused_after_patience_and_its_bar_is_invalid() -> None:
    journal = Journal()
    clock = HandClock(START + 20 * SECOND)
    market = journal.market(open_bars(), clock)
    absurd = came(trade(2, 7_200), 20)
    market.push([trade(1, 10), absurd, trade(3, 15), came(trade(4, 7_200), 500)])
    clock.now = START + 619 * SECOND
    market.push([trade(5, 610)])
    assert (journal.of("refused"), ids(journal.ticks)) == ([], [1])
    clock.now += SECOND
    market.pass_time(always)
    assert (ids(journal.of("refused")), ids(journal.ticks)) == ([2], [1, 3])
    assert journal.of("held") == [absurd]  # another one waits since then
    clock.now = START + 1_100 * SECOND
    market.pass_time(always)
    assert (ids(journal.of("refused")), ids(journal.ticks)) == ([2, 4], [1, 3, 5])
    assert journal.of("held") == [absurd, None]
    valid = {bar.last_id: bar.valid for bar in journal.of("bar") if bar.last_id > 0}
    assert valid == {3: False, 5: False}  # ids are broken in both
    assert bits(again(journal)) == bits(journal.of("bar"))


def test_a_stamp_is_not_refused_while_no_trade_after_it_says_otherwise() -> None:
    """It may be our clock that is wrong."""
    journal = Journal()
    clock = HandClock(START + 20 * SECOND)
    market = journal.market(open_bars(), clock)
    market.push([trade(1, 10), came(trade(2, 7_200), 20), came(trade(3, 7_201), 21)])
    clock.now = START + HOUR
    market.pass_time(always)
    assert journal.of("refused") == []
    market.push([trade(4, 3_599)])
    assert (ids(journal.of("refused")), ids(journal.ticks)) == ([2, 3], [1, 4])


# The real capture, across midnight.

FIRST_DAY, SECOND_DAY = date(2024, 8, 8), date(2024, 8, 9)
# A day without a trade is none of silence here: the capture begins at the end of one.
CAPTURED = replace(instrument("trade"), max_silence=DAY)


def recorded(shared: Path) -> Iterator[bytes]:
    for name in ("spot_btcusdt_20240808", "spot_btcusdt_20240809"):
        with gzip.open(shared / f"book/binance_ws_hftbacktest/{name}.gz") as lines:
            for line in lines:
                yield line.split(b" ", 1)[1]


@pytest.fixture(scope="module")
def capture(shared: Path) -> list[Tick]:
    """Every trade of it, as the parser reads them."""
    events = (decode(each) for each in recorded(shared))
    return [event for event in events if isinstance(event, Tick)]


def batch_bars(ticks: pl.DataFrame, interval: str, previous: LastTick) -> pl.DataFrame:
    """The bars of the days that the trades lie in, each day on its own."""
    parts = []
    for day in (FIRST_DAY, SECOND_DAY):
        start = day_start(day)
        own = ticks.filter(pl.col("ts").to_physical().is_between(start, start + DAY - 1))
        quality = inspect(own, day, CAPTURED, previous=previous)
        side = previous.price, previous.side
        parts.append(day_bars(own, day, interval, CAPTURED, side, quality))
        previous = last_tick(own) or previous
    return pl.concat(parts)


def assert_same(live: Sequence[ClosedBar], batch: pl.DataFrame) -> None:
    same = batch.filter(pl.col("ts").to_physical().is_in([bar.ts for bar in live]))
    assert same.height == len(live)
    for k, name in enumerate(BAR_FIELDS[1:], start=1):
        assert [bar.row[k] for bar in live] == same[name].cast(pl.Float64).to_list()
    assert [bar.valid for bar in live] == same["valid"].to_list()
    for name in ("first", "last"):
        ids = same[f"{name}_trade_id"].fill_null(-1).to_list()
        assert [getattr(bar, f"{name}_id") for bar in live] == ids


def handed_on(
    capture: Sequence[Tick], lost: frozenset[int], chance: random.Random, *, disorder: bool
) -> Iterator[list[Tick]]:
    """The trades as a feed would hand them on; those that are lost nobody has."""
    order = Continuity(capture[0].trade_id, patience=10.0)
    archive = {tick.trade_id: tick for tick in capture if tick.trade_id not in lost}
    coming = list(archive.values())
    now = 0.0

    def fetched() -> Iterator[list[Tick]]:
        while (asked := order.wanted()) is not None:
            answer = [archive[i] for i in ids_of(asked) if i in archive]
            passed = order.answered(asked, answer, now)
            yield passed
            if not passed and order.deadline is not None:
                break

    while coming:
        size = chance.randrange(1, 400)
        batch, coming = coming[:size], coming[size:]
        now += 6.0
        if disorder:
            batch = [tick for tick in batch for _ in range(chance.choice([0, 1, 1, 1, 2]))]
            chance.shuffle(batch)
            if chance.random() < 0.1:
                order.resync()
        yield order.take(batch, now)
        yield from fetched()
        yield order.expire(now)
    order.resync()
    yield from fetched()


def ids_of(asked: Missing) -> range:
    return range(asked.from_id, asked.from_id + asked.limit)


@pytest.mark.shared_data
@pytest.mark.parametrize(("disorder", "losses"), [(False, 0), (True, 0), (False, 3), (True, 3)])
def test_a_recorded_stream_becomes_the_bars_of_its_trades(
    capture: list[Tick], disorder: bool, losses: int
) -> None:
    """In order, or shuffled, repeated and broken off, with what is missing fetched or given up."""
    first = capture[0]
    start = first.ts // (15 * MINUTE) * 15 * MINUTE
    previous = LastTick(first.trade_id - 1, start - SECOND, first.price, 1)
    journal = Journal()
    intervals = ["1m", "5m"]
    bars = LiveBars(CAPTURED, intervals, start, previous)
    market = journal.market(bars, HandClock(capture[-1].ts))
    chance = random.Random(losses)
    inner = [tick.trade_id for tick in capture[1_000:-5_000]]
    lost = frozenset(chance.sample(inner, losses))
    for ticks in handed_on(capture, lost, chance, disorder=disorder):
        market.push(ticks)
    assert [t.trade_id for t in journal.ticks] == [
        t.trade_id for t in capture if t.trade_id not in lost
    ]
    written = frame(journal.ticks)
    for interval in intervals:
        live = [bar for bar in journal.of("bar") if bar.interval == interval]
        assert_same(live, batch_bars(written, interval, previous))
        assert live[0].ts < day_start(SECOND_DAY) < live[-1].ts
        assert {bar.valid for bar in live} == ({True, False} if lost else {True})
    again = bars_from_journal(written, journal.of("cut"), CAPTURED, intervals, start, previous)
    assert bits(again) == bits(journal.of("bar"))


# Through real sockets, in a market whose minute takes a tenth of a second.


@dataclass
class Live:
    """A market on a scripted exchange."""

    journal: Journal
    feed: TradeFeed
    clock: Clock
    wrote: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, happened: Callable[[Journal], bool]) -> None:
        """Return once what was written makes it so."""
        self.journal.written = self.wrote.set
        while not happened(self.journal):
            self.wrote.clear()
            await self.wrote.wait()


def play(scenario: Callable[[Live], Awaitable[None]], exchange: Any) -> Journal:
    """Run a scenario with a market whose time begins now, at `START`."""

    async def run() -> Journal:
        base = real_seams(MarketTime(time.time_ns(), START, speed=600.0))
        seams = Seams(base.clock, random.Random(1), base.connector, base.connect)
        async with exchange, aiohttp.ClientSession(connector=seams.connector()) as session:
            inbox: Inbox[Arrival] = Inbox(1_000)
            stream = MarketStream(
                exchange.ws_url,
                ["btcusdt@aggTrade"],
                inbox,
                session=session,
                seams=seams,
                patience=Patience(quiet=0.02, pong=2.0, pause=0.001, longest_pause=0.01),
                allowance=Allowance(),
                on_change=lambda _: None,
                on_flaw=lambda _: None,
            )
            asker = Asker(exchange.url, session=session, seams=seams, pause=0.001)
            feed = TradeFeed(
                "BTCUSDT",
                stream,
                inbox,
                Continuity(1, patience=30.0),
                MarketRest(asker, instrument(), seams.clock),
                clock=seams.clock,
                on_other=lambda _: None,
                on_error=lambda _: None,
            )
            journal = Journal()
            market = journal.market(open_bars(), seams.clock, grace=SECOND)
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(feed.run()), tasks.create_task(market.run(feed))]
                await scenario(Live(journal, feed, seams.clock))
                for task in running:
                    task.cancel()
        return journal

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_bars_close_by_the_clock_but_not_while_trades_may_be_missing(
    scripted: Any, agg_trade: Any
) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        if link.number == 1:
            await link.trade(1, 2)
        await link.gone()

    exchange = scripted(script)
    exchange.trades = [agg_trade(1), agg_trade(2)]
    ends: list[int] = []

    async def scenario(live: Live) -> None:
        await live.until(lambda journal: len(journal.of("bar")) >= 3)
        exchange.refuse = lambda _: web.Response(status=503)
        exchange.links[0].reset()
        while live.feed.stream.up:
            await asyncio.sleep(0)
        # While nobody listens somebody trades, and the ends of some bars go by.
        end = live.journal.of("bar")[-1].ts
        ends.append(end)
        exchange.trades.append(agg_trade(3, ts=end + 30 * SECOND))
        while live.clock.market() < end + 5 * MINUTE:
            await asyncio.sleep(0.01)
        exchange.refuse = lambda _: None
        await live.until(lambda journal: journal.of("bar")[-1].ts >= end + 3 * MINUTE)

    journal = play(scenario, exchange)
    bars = {bar.ts: bar for bar in journal.of("bar")}
    (end,) = ends
    assert bars[START + MINUTE].last_id == 2
    assert bars[end].row[7] == (2.0 if end == START + MINUTE else 0.0)
    assert (bars[end + MINUTE].row[7], bars[end + MINUTE].last_id) == (1.0, 3)
    assert {cut.by for cut in journal.of("cut")} == {"timer"}


def test_trades_ahead_of_the_clock_are_taken_from_the_feed_in_time_and_none_is_lost(
    scripted: Any, agg_trade: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than may be held back: the rest waits in the feed."""
    monkeypatch.setattr("vostok_live.market._HELD", 3)
    ahead = START + 5 * MINUTE

    async def script(link: Any) -> None:
        await link.subscribed()
        await link.trade(1, 2)
        for k in range(3, 20):
            await link.trade(k, ts=ahead + k * SECOND)
        await link.gone()

    exchange = scripted(script)
    exchange.trades = [agg_trade(1), agg_trade(2)]
    exchange.trades += [agg_trade(k, ts=ahead + k * SECOND) for k in range(3, 20)]

    async def scenario(live: Live) -> None:
        await live.until(lambda journal: journal.of("held"))
        assert live.clock.market() < ahead
        await live.until(lambda journal: len(journal.of("bar")) >= 7)

    journal = play(scenario, exchange)
    assert ids(journal.ticks) == list(range(1, 20))
    assert journal.of("refused") == []
    assert {bar.valid for bar in journal.of("bar")[1:]} == {True}
    assert journal.of("bar")[5].row[7] == 17.0
    assert bits(again(journal)) == bits(journal.of("bar"))
