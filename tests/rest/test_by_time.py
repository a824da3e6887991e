"""Days of trades by time, from an exchange that ccxt knows, over real sockets and with faults."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from datetime import date
from email.utils import formatdate
from random import Random
from typing import Any

import polars as pl
import pytest

from tests.rest.exchanges import HURRY, instrument
from vostok_core.errors import FetchError
from vostok_core.times import DAY, HOUR, MINUTE, SECOND, day_start
from vostok_pipelines.fetching.rest import RestFetcher
from vostok_pipelines.rest.trades import Trade
from vostok_pipelines.sources.days import BadDay, nothing_known

EOS = instrument("kraken.spot.EOS-USD")
DAY_ONE = date(2025, 1, 6)
START = day_start(DAY_ONE)
FAULTS = (
    "429 0", "418 0", "429", "500", "502", "503", "520", "limit", "html", "half", "nothing",
    "empty", "stale", "strange", "cut",
)  # fmt: skip
"""The same odd page is never shown three times in a row: that would be believed."""


def trades_of_days(count: int, seed: int = 1, *, days: int = 1) -> list[Trade]:
    """Trades from an hour before to an hour after the days; ids jump, and some times are equal."""
    random = Random(seed)
    times = sorted(random.randrange(START - HOUR, START + days * DAY + HOUR) for _ in range(count))
    found, key = [], 61_044_952
    for k in range(3, count, 7):
        times[k] = times[k - 1]
    for ts in times:
        key += 1 + (random.random() < 0.1) * 2
        price, qty = 3.0 + random.randrange(100) / 10_000, random.randrange(1, 10**6) / 10**8
        found.append(Trade(key, ts, price, qty, random.random() < 0.5))
    return found


def expected(trades: list[Trade], day: date) -> list[tuple[Any, ...]]:
    start = day_start(day)
    rows = sorted(
        (row for row in trades if start <= row.ts < start + DAY), key=lambda row: (row.ts, row.id)
    )
    return [(None, row.ts, row.price, row.qty, row.buyer_maker) for row in rows]


def came(fetcher: RestFetcher, days: list[date]) -> dict[date, list[tuple[Any, ...]]]:
    """What the day source reads."""
    found = {}
    for read in fetcher.source(EOS).read(EOS, days, nothing_known):
        assert not isinstance(read, BadDay)
        assert read.content is not None
        frame = read.content.frame.with_columns(pl.col("ts").to_physical())
        columns = ["trade_id", "ts", "price", "qty", "buyer_maker"]
        found[read.day] = frame.select(columns).rows()
    return found


@pytest.mark.parametrize("page", [37, 1_000])
def test_two_days_come_whole_and_in_order(kraken: Any, project_at: Any, page: int) -> None:
    trades = trades_of_days(900, days=2)
    days = [DAY_ONE, date(2025, 1, 7)]
    with kraken(trades, page) as (_, url):
        fetcher = RestFetcher(project_at(kraken=url), patience=HURRY)
        (fetched,) = fetcher.fetch({EOS: days})
        assert (fetched.days, fetched.absent, fetched.failed) == (tuple(days), (), {})
        assert fetched.received > 0
    assert fetcher.source(EOS).days(EOS, days[0], days[-1]) == days
    assert came(fetcher, days) == {day: expected(trades, day) for day in days}


def test_a_day_comes_whole_through_every_fault(kraken: Any, project_at: Any) -> None:
    trades = trades_of_days(800)
    random = Random(4)
    met: set[str] = set()

    faults = itertools.cycle(FAULTS)

    def fault(number: int) -> str | None:
        if random.random() < 0.3:
            return None
        met.add(found := next(faults))
        return found

    with kraken(trades, 20) as (exchange, url):
        exchange.fault = fault
        fetcher = RestFetcher(project_at(kraken=url), patience=HURRY)
        (fetched,) = fetcher.fetch({EOS: [DAY_ONE]})
    assert fetched.days == (DAY_ONE,), fetched
    assert met == set(FAULTS)
    assert came(fetcher, [DAY_ONE]) == {DAY_ONE: expected(trades, DAY_ONE)}


def test_retry_after_is_waited_for(kraken: Any, project_at: Any) -> None:
    with kraken(trades_of_days(50)) as (exchange, url):
        exchange.fault = lambda number: "429 1" if number == 0 else None
        before = time.monotonic()
        (fetched,) = RestFetcher(project_at(kraken=url), patience=HURRY).fetch({EOS: [DAY_ONE]})
    assert fetched.days == (DAY_ONE,)
    assert time.monotonic() - before >= 1.0


def test_a_date_to_retry_after_is_waited_for(kraken: Any, project_at: Any) -> None:
    with kraken(trades_of_days(50)) as (exchange, url):
        then = formatdate(time.time() + 2.0, usegmt=True)
        exchange.fault = lambda number: f"429 {then}" if number == 0 else None
        before = time.monotonic()
        (fetched,) = RestFetcher(project_at(kraken=url), patience=HURRY).fetch({EOS: [DAY_ONE]})
    assert fetched.days == (DAY_ONE,)
    assert time.monotonic() - before >= 0.5


def test_an_exchange_that_wants_to_be_left_alone_for_long_is(kraken: Any, project_at: Any) -> None:
    with kraken(trades_of_days(50)) as (exchange, url):
        exchange.fault = lambda _: "418 7200"
        days = [DAY_ONE, date(2025, 1, 7)]
        (fetched,) = RestFetcher(project_at(kraken=url), patience=HURRY).fetch({EOS: days})
        assert len(exchange.asked) == 1, "nothing is asked before that time is over"
    assert list(fetched.failed) == days
    assert "wants no question for another" in fetched.failed[DAY_ONE].what


@pytest.mark.parametrize("fault", ["500", "half", "cut", "hang 3", "strange"])
def test_an_exchange_that_is_down_is_given_up(kraken: Any, project_at: Any, fault: str) -> None:
    patience = replace(HURRY, tries=3, timeout=0.3)
    with kraken(trades_of_days(50)) as (exchange, url):
        exchange.fault = lambda _: fault
        (fetched,) = RestFetcher(project_at(kraken=url), patience=patience).fetch({EOS: [DAY_ONE]})
        assert len(exchange.asked) == 3
    error = fetched.failed[DAY_ONE]
    assert isinstance(error, FetchError)
    assert "no answer after 3 tries" in error.what


@pytest.mark.parametrize("fault", ["401", "451"])
def test_a_refusal_ends_it_at_once(kraken: Any, project_at: Any, fault: str) -> None:
    with kraken(trades_of_days(50)) as (exchange, url):
        exchange.fault = lambda _: fault
        (fetched,) = RestFetcher(project_at(kraken=url), patience=HURRY).fetch({EOS: [DAY_ONE]})
        assert len(exchange.asked) == 1
    assert "the exchange refuses" in fetched.failed[DAY_ONE].what


def test_a_market_that_the_exchange_does_not_have_is_named(kraken: Any, project_at: Any) -> None:
    from vostok_core.errors import UsageError

    with kraken([]) as (_, url):
        fetcher = RestFetcher(project_at(kraken=url), patience=HURRY)
        with pytest.raises(UsageError, match="no market BTC/USD"):
            fetcher.fetch({instrument("kraken.spot.BTC-USD"): [DAY_ONE]})


def test_a_day_is_whole_once_a_trade_after_it_was_seen(kraken: Any, project_at: Any) -> None:
    trades = [row for row in trades_of_days(300) if row.ts < START + DAY]
    with kraken(trades) as (exchange, url):
        fetcher = RestFetcher(project_at(kraken=url), patience=HURRY)
        (fetched,) = fetcher.fetch({EOS: [DAY_ONE]})
        assert (fetched.days, fetched.absent) == ((), (DAY_ONE,))
        assert "no trade after 2025-01-06 yet" in fetched.notes[0]
        asked = len(exchange.asked)
        later = Trade(99_000_000, START + DAY + MINUTE, 3.0, 1.0, buyer_maker=True)
        exchange.trades.append(later)
        (fetched,) = fetcher.fetch({EOS: [DAY_ONE]})
        assert len(exchange.asked) == asked + 1, "what came before is not asked for again"
    assert came(fetcher, [DAY_ONE]) == {DAY_ONE: expected(trades, DAY_ONE)}


def test_a_day_without_trades_is_not_taken_for_one_that_came(kraken: Any, project_at: Any) -> None:
    trades = [row for row in trades_of_days(300) if not START <= row.ts < START + DAY]
    with kraken(trades) as (_, url):
        (fetched,) = RestFetcher(project_at(kraken=url), patience=HURRY).fetch({EOS: [DAY_ONE]})
    assert (fetched.days, fetched.absent) == ((), (DAY_ONE,))
    assert "--absent 2025-01-06" in fetched.notes[0]


def test_a_clock_that_is_set_back_stops_nothing(
    kraken: Any, project_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = iter(range(10**9, 0, -3_600))
    with kraken(trades_of_days(400), 20) as (exchange, url):
        monkeypatch.setattr(time, "time", lambda: float(next(shown)))
        exchange.fault = lambda number: "429" if number % 5 == 1 else None
        fetcher = RestFetcher(project_at(kraken=url), patience=HURRY)
        before = time.monotonic()
        (fetched,) = fetcher.fetch({EOS: [DAY_ONE]})
        assert time.monotonic() - before < 60
    assert fetched.days == (DAY_ONE,)


def test_trades_of_equal_times_at_the_border_of_a_page_are_all_there(
    kraken: Any, project_at: Any
) -> None:
    at = START + HOUR
    trades = [
        Trade(k, ts, 3.0, 0.5, buyer_maker=False)
        for k, ts in enumerate([START - SECOND, *[at] * 7, at + 1, START + DAY + SECOND], start=1)
    ]
    with kraken(trades, 8) as (_, url):
        fetcher = RestFetcher(project_at(kraken=url), patience=HURRY)
        fetcher.fetch({EOS: [DAY_ONE]})
    assert came(fetcher, [DAY_ONE]) == {DAY_ONE: expected(trades, DAY_ONE)}


def test_more_trades_of_one_time_than_a_page_holds_fail_the_day(
    kraken: Any, project_at: Any
) -> None:
    at = START + HOUR
    trades = [
        Trade(k, ts, 3.0, 0.5, buyer_maker=False)
        for k, ts in enumerate([START - SECOND, *[at] * 1_200, START + DAY + SECOND], start=1)
    ]
    with kraken(trades) as (_, url):
        (fetched,) = RestFetcher(project_at(kraken=url), patience=HURRY).fetch({EOS: [DAY_ONE]})
    assert "can't be gone through" in fetched.failed[DAY_ONE].what


def test_what_is_asked_next_is_told(kraken: Any, project_at: Any) -> None:
    told = []
    with kraken(trades_of_days(300), 50) as (_, url):
        fetcher = RestFetcher(project_at(kraken=url), patience=HURRY)
        (item,) = fetcher.plan(EOS, [DAY_ONE])
        assert item.days == (DAY_ONE,)
        assert item.place == url
        fetcher.fetch({EOS: [DAY_ONE]}, told.append)
    assert told[-1].instrument == str(EOS.id)
    assert told[-1].doing.startswith("2025-01-06: ")
