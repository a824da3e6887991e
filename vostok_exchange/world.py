"""Which synthetic markets there are, and writing their history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl

from vostok_core.hashing import hash_value
from vostok_core.market.instrument import Instrument
from vostok_core.market.synthetic import MarketSpec, MarketState, advance
from vostok_core.times import day_start, days
from vostok_exchange.archive import write_day
from vostok_exchange.feed import headlines

_MINUTES = 1440


@dataclass(frozen=True)
class Market:
    """A synthetic market: the instrument it trades and the truth it is made by."""

    instrument: Instrument
    spec: MarketSpec

    def seed(self, seed: int) -> int:
        """The market's own seed: markets of one world are independent."""
        return int(hash_value([seed, str(self.instrument.id)])[:15], 16)

    def beginning(self, first: date, seed: int) -> MarketState:
        """The state before the first minute of the first day, in a world of a seed."""
        return MarketState.start(self.spec, self.seed(seed), day_start(first))


@dataclass(frozen=True)
class History:
    """What was written: the state that a live market continues from, and the truth."""

    state: MarketState
    trades: int
    news: list[tuple[datetime, str]]
    truth: pl.DataFrame


def write_history(
    market: Market,
    root: Path,
    first: date,
    last: date,
    seed: int,
    progress: Callable[[date, int], None] = lambda _day, _trades: None,
) -> History:
    """Write one market's trades from `first` through `last` as daily archive files under `root`.

    Args:
        market: The market.
        root: The archive's folder.
        first: First day.
        last: Last day.
        seed: Seed of the world; another market of the same world gets another sequence.
        progress: Called after every day with the number of its trades.
    """
    state = market.beginning(first, seed)
    symbol = market.instrument.id.symbol
    trades = 0
    news = []
    truth = []
    for day in days(first, last):
        span, state = advance(market.spec, state, _MINUTES)
        write_day(root, symbol, day, span.ticks)
        trades += span.ticks.height
        news.append(span.news)
        truth.append(span.truth)
        progress(day, span.ticks.height)
    items = headlines(market.instrument.id.base, pl.concat(news), market.seed(seed))
    return History(state, trades, items, pl.concat(truth))
