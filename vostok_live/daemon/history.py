"""What there was before: bars of the lake, then the journal's trades, up to where the feed goes on.

A run begins at a midnight: bars up to it are those of the lake, bars after it are made of trades as
this journal saw them. Where that is, and which trade is the first, is written down with the run, so
that a batch can make the same bars again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.features.frames import pack_rows
from vostok_core.features.history import BarDays, days_before
from vostok_core.features.inputs import matrix
from vostok_core.features.registry import pack
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME
from vostok_core.live.chain import DecisionChain, first_day
from vostok_core.live.cuts import ClosedBar, Cut, LiveBars, Ticks, newest_counted
from vostok_core.market.bars import BAR_FIELDS
from vostok_core.market.days import rules_of
from vostok_core.market.instrument import Instrument
from vostok_core.market.ticks import LastTick
from vostok_core.strategy import Strategy
from vostok_core.times import DAY, day_start, parse_interval, utc
from vostok_live.feed.rest import MarketRest
from vostok_live.journal.rows import Begins
from vostok_live.journal.view import View

_PORTION = 100_000  # trades that are held at once
_LATELY = 1_000  # trades whose times are compared: times hardly run back, ids never
_TRADE = {
    "ts": pl.Int64, "price": pl.Float64, "qty": pl.Float64, "buyer_maker": pl.Int64,
    "trade_id": pl.Int64, "first_id": pl.Int64, "last_id": pl.Int64,
}  # fmt: skip
"""What `View.trades_between` says of a trade."""


@dataclass(frozen=True)
class Past:
    """The bars of the lake that everything before a run is walked over.

    Attributes:
        begin_us: Their end, the midnight at which the journal's bars begin; microseconds.
        rows: float64, shape (bars, fields), `BAR_FIELDS`.
        sentiment: float64, shape (bars, 4), `SENTIMENT_FIELDS`; None where no pack reads it.
        valid: Boolean, shape (bars,).
        content: Hash of the days they are from.
    """

    begin_us: int
    rows: np.ndarray
    sentiment: np.ndarray | None
    valid: np.ndarray
    content: str


def lake_past(
    lake: Lake, strategy: Strategy, instrument: Instrument, now: int, max_gap: int
) -> Past:
    """The newest bars of the lake, from where the walk over the day after them begins.

    Args:
        lake: The lake.
        strategy: Its packs and interval.
        instrument: What is traded.
        now: Market time, microseconds.
        max_gap: How far back the newest of them may lie.

    Raises:
        MissingPartition: There are none, they end too long ago, or one on the way is missing.
        StalePartition: As in `market.currency.require_current_bars`.
    """
    name, interval = str(instrument.id), strategy.file.interval
    days = lake.days("bars", instrument=name, interval=interval)
    newest = next((day for day in reversed(days) if day_start(day) + DAY <= now), None)
    if newest is None:
        raise MissingPartition(
            f"the lake has no {interval} bars of {name}",
            where=lake.root,
            hint=f"run `vostok ingest PATH --instrument {name} --format FORMAT` with some weeks of "
            "its trades",
        )
    begin_us = day_start(newest) + DAY
    if now - begin_us > max_gap:
        raise MissingPartition(
            f"the newest bars of {name} in the lake are of {newest}, and it is {utc(now):%F %T}",
            where=lake.root,
            hint=f"run `vostok ingest PATH --instrument {name} --format FORMAT` with the days "
            "since, or raise [live] max_gap in vostok.toml to fetch them from the exchange",
        )
    packs = [pack(each) for each in strategy.file.features.packs]
    day = newest + timedelta(days=1)
    month = day.replace(day=1)
    warmup = (month - first_day(strategy, month)).days * DAY // strategy.interval_us
    walked = days_before(lake, name, interval, day, warmup=warmup)
    fields, rules = (*BAR_FIELDS, "valid"), rules_of(instrument)
    found = BarDays.read(lake, name, interval, walked, fields, rules=rules)
    bars = found.bars
    reads = next((each for each in packs if each.inputs == "sentiment"), None)
    return Past(
        begin_us=begin_us,
        rows=matrix(bars, BAR_FIELDS),
        sentiment=None if reads is None else pack_rows(lake, reads, name, interval, found, bars)[0],
        valid=bars["valid"].to_numpy(),
        content=found.hash_through(newest),
    )


async def find_beginning(
    past: Past, interval: str, instrument: Instrument, view: View, rest: MarketRest
) -> Begins:
    """Where the journal's bars begin: as the journal counted, else as the exchange says.

    Args:
        past: The bars before.
        interval: Length of a bar.
        instrument: What is traded.
        view: The journal.
        rest: The exchange.

    Raises:
        FeedError: The exchange does not say.
    """
    name = str(instrument.id)
    for run in reversed(view.runs()):
        begins = run.start.begins
        same = (begins.interval, begins.begin_us) == (interval, past.begin_us)
        if same and run.start.instrument == name:
            return Begins(interval, past.begin_us, begins.next_id, begins.previous, past.content)
    # A trade stamped before midnight that was counted after it stays where it was counted.
    cut = next((c for c in view.cuts_after(name, past.begin_us - 1) if c.ts == past.begin_us), None)
    previous = None if cut is None else _counted(view, name, cut)
    if previous is not None:
        next_id = previous.trade_id + 1
        return Begins(interval, past.begin_us, next_id, previous, past.content)
    found = await rest.beginning(past.begin_us)
    return Begins(interval, past.begin_us, found.next_id, found.previous, past.content)


def _counted(view: View, name: str, cut: Cut) -> LastTick | None:
    """The newest trade that counts before a cut, as a daemon that goes on knows it; None where the
    journal lacks it."""
    begun = [
        run.start.begins.previous
        for run in view.runs()
        if run.start.instrument == name and run.start.begins.begin_us < cut.ts
    ]
    before = begun[-1] if begun else None
    rows = view.trades_between(name, cut.last_id + 1 - _LATELY, cut.last_id + 1)
    cuts = view.cuts_after(name, rows[-1][0]) if rows else []
    newest = newest_counted(_frame(rows), cuts, before)
    return newest if newest is not None and newest.trade_id == cut.last_id else None


class Retold:
    """The bars of the journal's trades, as they were cut then; afterwards they go on.

    Args:
        instrument: What is traded.
        begins: Where they begin.
        view: The journal.
    """

    def __init__(self, instrument: Instrument, begins: Begins, view: View) -> None:
        self.bars = LiveBars(instrument, [begins.interval], begins.begin_us, begins.previous)
        self._name = str(instrument.id)
        self._next = begins.next_id
        self._view = view
        # Where bars were shorter then, every cut at which one of these ends stands for it too.
        length = parse_interval(begins.interval)
        cuts = view.cuts_after(self._name, begins.begin_us)
        self._cuts = [cut for cut in cuts if cut.ts % length == 0]

    @property
    def next_id(self) -> int:
        """Id of the first trade that was not told again."""
        return self._next

    def closed(self) -> Iterator[ClosedBar]:
        """Every bar that a cut closed, in order; `bars` counts as this goes on.

        Raises:
            DataError: Cuts and trades of the journal don't fit together.
        """
        for cut in self._cuts:
            for ticks in self._ticks(cut.last_id + 1):
                self.bars.replay(ticks, [])
            yield from self.bars.replay(_NONE, [cut])

    def rest(self) -> Iterator[Ticks]:
        """Trades that were written down and not cut yet, in portions; nobody has counted them."""
        newest = self._view.newest_trade_id(self._name)
        if newest is not None:
            yield from self._ticks(newest + 1)

    def _ticks(self, end_id: int) -> Iterator[Ticks]:
        while self._next < end_id:
            until = min(end_id, self._next + _PORTION)
            rows = self._view.trades_between(self._name, self._next, until)
            self._next = until
            if rows:
                yield _columns(rows)


def _frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Trades of the journal as rows of a table of ticks."""
    return pl.DataFrame(rows, schema=_TRADE, orient="row").with_columns(
        pl.col("ts").cast(TIME),
        pl.col("buyer_maker").cast(pl.Boolean),
        pl.col("first_id", "last_id").replace(-1, None),
    )


def _columns(rows: list[tuple[Any, ...]]) -> Ticks:
    ts, price, qty, buyer_maker, trade_id, first_id, last_id = zip(*rows, strict=True)
    return Ticks(
        np.array(ts, dtype=np.int64),
        np.array(price),
        np.array(qty),
        np.array(buyer_maker, dtype=np.bool_),
        np.array(trade_id, dtype=np.int64),
        np.array(first_id, dtype=np.int64),
        np.array(last_id, dtype=np.int64),
    )


_NONE = Ticks(
    *(
        np.empty(0, dtype=kind)
        for kind in (np.int64, np.float64, np.float64, np.bool_, np.int64, np.int64, np.int64)
    )
)


def caught_up(chain: DecisionChain, past: Past) -> DecisionChain:
    """The chain, once it has walked over the lake's bars."""
    if past.valid.size:
        chain.catch_up(past.rows, past.sentiment, past.valid)
    return chain
