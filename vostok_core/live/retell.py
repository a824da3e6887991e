"""Bars told again: those of the lake that a run walked over, and those that it closed since.

The lake's are checked against the hash that the run wrote down, so that nothing is told of other
bars than it saw. Its own are made of its trades and cuts, a day in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from vostok_core.errors import DataError, StalePartition
from vostok_core.features.history import BarDays, days_before
from vostok_core.features.inputs import matrix
from vostok_core.hashing import hash_value
from vostok_core.labels.events import ANCHOR_DAYS
from vostok_core.lake.store import Lake
from vostok_core.live.cuts import ClosedBar, Cut, LiveBars, Ticks, newest_counted
from vostok_core.live.shipped import Beginning, Shipped
from vostok_core.market.bars import BAR_FIELDS
from vostok_core.market.instrument import Instrument
from vostok_core.market.ticks import LastTick
from vostok_core.times import DAY, day_of, day_start, days, parse_interval, utc

_DAY = timedelta(days=1)
_FARTHEST = 200
"""Days before a run that are looked through for those it walked over; a walk is of two months and
its warm-up."""


@dataclass(frozen=True)
class ToldBars:
    """Bars in order of time.

    Attributes:
        rows: float64, shape (bars, fields), `BAR_FIELDS`.
        ids: int64, shape (bars, 2): first and last trade; -1 where nothing traded.
        valid: Boolean, shape (bars,): nothing was wrong with the bar itself.
        broken: Why the bars after these can't be told; None where all could.
    """

    rows: np.ndarray
    ids: np.ndarray
    valid: np.ndarray
    broken: Broken | None = None

    @property
    def ends(self) -> np.ndarray:
        """Ends of the bars, int64 microseconds."""
        ends: np.ndarray = self.rows[:, 0].astype(np.int64)
        return ends


@dataclass(frozen=True)
class Broken:
    """Where cuts and trades of a journal stop fitting together, and why."""

    ts: int
    why: str


def walked_days(lake: Lake, instrument: str, beginning: Beginning, warmup: int) -> tuple[date, ...]:
    """The days of the lake whose bars a run walked over before its own.

    How far back it went is told by the hash that it wrote down.

    Args:
        lake: The lake.
        instrument: Name of the instrument.
        beginning: Where the run begins.
        warmup: Bars of the longest warm-up of its packs.

    Raises:
        StalePartition: The bars that are there now are not those, or reach farther back than those
            within the warm-up: features would be others.
    """
    day = day_of(beginning.begin_us)
    needed = max(warmup, ANCHOR_DAYS * DAY // parse_interval(beginning.interval))
    expected = days_before(lake, instrument, beginning.interval, day, warmup=needed)
    found = _days_of(lake, instrument, beginning, day)
    if found is not None and len(found) >= len(expected):
        return found
    what = (
        "they are not those that it walked over"
        if found is None
        else f"they reach back to {expected[0]}, and it walked over {len(found)} days"
    )
    raise StalePartition(
        f"the lake's bars before {utc(beginning.begin_us):%Y-%m-%d %H:%M} have changed since the "
        f"run began: {what}",
        where=lake.root,
        hint="bring the former partitions of bars back, or take this run as not proven",
    )


def _days_of(
    lake: Lake, instrument: str, beginning: Beginning, day: date
) -> tuple[date, ...] | None:
    """The days before `day` whose hash the run wrote down; None where there are none such."""
    keys = {"instrument": instrument, "interval": beginning.interval}
    found: list[date] = []
    hashes: list[str] = []
    if not beginning.history:
        return ()
    while len(found) < _FARTHEST:
        day -= _DAY
        if not lake.exists("bars", **keys, date=day):
            return None
        found.insert(0, day)
        hashes.insert(0, lake.info("bars", **keys, date=day).content_hash)
        if hash_value(hashes) == beginning.history:
            return tuple(found)
    return None


def lake_bars(lake: Lake, instrument: str, interval: str, walked: tuple[date, ...]) -> ToldBars:
    """The lake's bars of days."""
    keys = {"instrument": instrument, "interval": interval}
    columns = (*BAR_FIELDS, "valid")
    loaded = list(lake.load_days("bars", walked, columns=columns, **keys))
    if not loaded:
        nothing = np.empty((0, len(BAR_FIELDS)))
        return ToldBars(nothing, np.empty((0, 2), np.int64), np.empty(0, np.bool_))
    found = BarDays(walked, tuple(f for _, f in loaded), tuple(i.content_hash for i, _ in loaded))
    bars = found.bars
    unknown = np.full((bars.height, 2), -1, dtype=np.int64)
    return ToldBars(matrix(bars, BAR_FIELDS), unknown, bars["valid"].to_numpy())


def tell_bars(
    shipped: Shipped, instrument: Instrument, beginning: Beginning, first: date, until: int
) -> ToldBars:
    """The bars that runs of a beginning closed, from a day on.

    Args:
        shipped: The journal.
        instrument: Its rules.
        beginning: Where the runs begin.
        first: The first day that is wanted; one before the beginning means the beginning.
        until: End of the last bar, microseconds.

    Returns:
        The bars. Where cuts and trades don't fit together they stop, and `broken` says why.

    Time is linear in trades, memory that of a day of them.
    """
    start, previous, next_id = beginning.begin_us, beginning.previous, beginning.next_id
    if day_start(first) > start:
        resumed = _resume(shipped, beginning, day_start(first))
        if resumed is not None:
            start, (previous, next_id) = day_start(first), resumed
    bars = LiveBars(instrument, [beginning.interval], start, previous)
    closed: list[ClosedBar] = []
    broken = None
    for cut, ticks in _between_cuts(shipped, start, until, next_id):
        end = bars.open_end
        try:
            if end is not None and len(ticks) and int(ticks.ts.max()) >= end:
                raise _uncut(end)
            closed += bars.replay(ticks, [cut])
        except DataError as error:
            broken = Broken(cut.ts if end is None else end, error.what)
            break
    if not closed:
        nothing = np.empty((0, len(BAR_FIELDS)))
        return ToldBars(nothing, np.empty((0, 2), np.int64), np.empty(0, np.bool_), broken)
    return ToldBars(
        np.stack([bar.row for bar in closed]),
        np.array([(bar.first_id, bar.last_id) for bar in closed], dtype=np.int64),
        np.array([bar.valid for bar in closed], dtype=np.bool_),
        broken,
    )


def _uncut(end: int) -> DataError:
    return DataError(
        f"trades at or after {utc(end):%Y-%m-%d %H:%M:%S} were counted, and no cut closed the bar "
        "that ends then",
        hint="ship the journal again",
    )


def _between_cuts(
    shipped: Shipped, start: int, until: int, next_id: int
) -> Iterator[tuple[Cut, Ticks]]:
    """Each cut after `start`, with the trades that count before it and after the one before."""
    waiting = shipped.read_days("live_ticks", [])
    # A trade stamped before midnight may have been counted after it.
    for day in days(day_of(start) - _DAY, day_of(until - 1)):
        came = shipped.read_days("live_ticks", [day]).filter(pl.col("trade_id") >= next_id)
        waiting = pl.concat([waiting, came]).sort("trade_id")
        cuts = [cut for cut in shipped.cuts(day) if start < cut.ts <= until]
        if not cuts:
            continue
        ticks = Ticks.of(waiting)
        begin = 0
        for cut in cuts:
            end = int(np.searchsorted(ticks.trade_id, cut.last_id, side="right"))
            yield cut, ticks[begin : max(begin, end)]
            begin = max(begin, end)
        waiting = waiting.slice(begin)


def _resume(shipped: Shipped, beginning: Beginning, at: int) -> tuple[LastTick | None, int] | None:
    """The newest trade that counts before a cut, and the id after it; None where no bar ended then.

    It says all that bars from there on depend on (`newest_counted`).
    """
    day = day_of(at - 1)
    ended = shipped.cuts(day)
    if not ended or ended[-1].ts != at or ended[-1].last_id < beginning.next_id - 1:
        return None
    newest = ended[-1].last_id
    if newest == beginning.next_id - 1:
        return beginning.previous, beginning.next_id
    held: list[pl.DataFrame] = []
    cuts: list[Cut] = []
    while day_start(day) + DAY > beginning.begin_us - DAY:
        held.insert(0, shipped.read_days("live_ticks", [day]))
        cuts = [*shipped.cuts(day), *cuts]
        ticks = (
            pl.concat(held)
            .filter(pl.col("trade_id").is_between(beginning.next_id, newest))
            .sort("trade_id")
        )
        # Times hardly run back: the day of the newest trade has the latest of any.
        if ticks.height and ticks["trade_id"][-1] == newest:
            return newest_counted(ticks, cuts, beginning.previous), newest + 1
        day -= _DAY
    return None
