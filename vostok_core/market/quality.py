"""What is wrong with a day of ticks or klines.

A gap is known from broken ids, a silence only suspected from the clock, and a jump is a price that
no market moves to in one trade. All invalidate bars, so that no model trains and no trade opens on
them; what is merely odd (`oddities`) doesn't. A row holds the whole span, as the end of the day
knows it; which bars it invalidates is decided by what was known when each of them closed (`valid`).
The day before may be looked at, the day after may not.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

import numpy as np
import polars as pl

from vostok_core.market.findings import Finding, findings_frame
from vostok_core.market.instrument import Instrument
from vostok_core.market.oddities import FEW, clocks, crossed, off_grid, outliers, reversals
from vostok_core.market.ticks import LastTick, assigned
from vostok_core.times import DAY, MINUTE, day_start, utc

JUMP = 2.0
"""Factor beyond which, up or down, the price of a trade is no move from that of the trade before.
In the real markets of the tests the greatest is 1.02 from trade to trade, 1.26 over an outage of 58
hours, and 1.64 within a minute."""

JUMPS_POISON = 0.001
"""Share of a day's trades; where more (and more than 20) jump, two markets are mixed."""

TORN_POISON = 0.01
"""Share of a day's minutes; files that contradict one another in more are not of one market."""

_KLINE_JUMP = "after {:g} a kline opens at {:g} and has prices from {:g} to {:g}"
_WAITED = ("silence", "missing_minutes")  # found by waiting, not by a trade that comes
_BY_A_TRADE = ("gap", "jump")  # shown by the trade at the end of the span


def inspect(
    ticks: pl.DataFrame,
    day: date,
    instrument: Instrument,
    *,
    previous: LastTick | None = None,
    findings: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Find gaps, silences, jumps, and what is odd about prices, quantities and times.

    Args:
        ticks: The day's rows of the table `ticks`, in id order.
        day: The UTC day.
        instrument: Its `max_silence` says how long no trade may happen.
        previous: The newest tick before the day, if known: ids and silence are then checked across
            midnight too.
        findings: What `ticks.merge` found; it is included in the result.

    Returns:
        Rows of the table `quality`.

    A gap lies where ids break. Aggregate trades carry the ids of the trades beneath, which decide
    when they are known: where those are unbroken nothing is missing, whatever the aggregate ids
    do. On derivatives markets holes beneath unbroken aggregate ids are normal (trades of the
    insurance fund and of deleveraging are never published), so there they don't invalidate.
    """
    ts = ticks["ts"].to_physical().to_numpy()
    found = [
        *_gaps(ticks, ts, instrument, previous),
        *_silences(ts, day, instrument.max_silence, previous),
        *_jumps(ticks, ts, previous),
        *outliers(ticks, ts),
        *crossed(ticks, ts),
        *off_grid(ticks, ts, instrument.price_tick, instrument.quantity_step),
        *reversals(ts),
        *clocks(ts, _own_ids(ticks, ts)),
        *_torn(findings),
    ]
    return _together(findings, found)


def _own_ids(ticks: pl.DataFrame, ts: np.ndarray) -> np.ndarray | None:
    """The ids, if the exchange gave them."""
    ids = ticks["trade_id"].to_numpy()
    return None if not ids.size or assigned(int(ids[0]), int(ts[0])) else ids


def _together(findings: pl.DataFrame | None, found: list[Finding]) -> pl.DataFrame:
    """What merging and inspecting found, in order."""
    own = findings_frame(found)
    if findings is None or findings.is_empty():
        return own
    return pl.concat([findings, own]).sort("ts", "kind", "end_ts", "detail", maintain_order=True)


def _gaps(
    ticks: pl.DataFrame, ts: np.ndarray, instrument: Instrument, previous: LastTick | None
) -> list[Finding]:
    if ticks.is_empty():
        return []
    ids = ticks["trade_id"].to_numpy()
    if assigned(int(ids[0]), int(ts[0])):
        return []  # ids of our own are unbroken by construction
    first = ticks["first_id"].fill_null(-1).to_numpy()
    last = ticks["last_id"].fill_null(-1).to_numpy()
    if previous is not None and not previous.id_assigned:
        ids = np.concatenate(([previous.trade_id], ids))
        ts = np.concatenate(([previous.ts], ts))
        first = np.concatenate(([-1], first))
        last = np.concatenate(([-1 if previous.last_id is None else previous.last_id], last))
    # A trade is seen when the stream is as late as any trade before it: the bars count it so too.
    newest = np.maximum.accumulate(ts)
    step = np.diff(ids)
    known = (last[:-1] >= 0) & (first[1:] >= 0)
    beneath = np.where(known, first[1:] - last[:-1], 1)
    spot = instrument.id.market == "spot"
    found = []
    for i in np.flatnonzero((step != 1) | (beneath != 1)):
        a, b = int(ids[i]), int(ids[i + 1])
        severity: Literal["info", "warn", "error"]
        if known[i] and beneath[i] == 1:
            severity, lost, invalidates = "info", 0, False
            detail = f"ids step from {a} to {b} while the trades beneath are unbroken"
        elif known[i] and beneath[i] < 1:
            severity, lost, invalidates = "warn", int(1 - beneath[i]), False
            detail = f"trades beneath ids {a} and {b} overlap by {lost}"
        elif step[i] == 1:
            severity, lost, invalidates = "error" if spot else "info", int(beneath[i]) - 1, spot
            detail = f"{lost} trades are missing beneath the unbroken ids {a} and {b}"
        elif step[i] < 1:
            severity, lost, invalidates = "error", 0, True
            detail = f"ids go back from {a} to {b}"
        else:
            lost = int(beneath[i] if known[i] else step[i]) - 1
            severity, invalidates = "error", True
            detail = f"{lost} trades are missing between ids {a} and {b}"
        span = min(int(ts[i]), int(ts[i + 1])), int(newest[i + 1])
        found.append(Finding("gap", severity, *span, lost, detail, invalidates))
    return found


def _silences(
    ts: np.ndarray, day: date, max_silence: int, previous: LastTick | None
) -> list[Finding]:
    start = day_start(day)
    before = start if previous is None else min(previous.ts, start)
    times = np.concatenate(([before], np.maximum.accumulate(ts), [start + DAY]))
    found = []
    for i in np.flatnonzero(np.diff(times) > max_silence):
        a, b = int(times[i]), int(times[i + 1])
        minutes = (b - a) // MINUTE
        detail = f"no trade for {minutes} minutes from {utc(a):%Y-%m-%d %H:%M:%S}"
        end = min(b, start + DAY - 1)
        found.append(Finding("silence", "warn", a, end, minutes, detail, invalidates=True))
    return found


def _jumps(ticks: pl.DataFrame, ts: np.ndarray, previous: LastTick | None) -> list[Finding]:
    """Prices that no market moves to from one trade to the next."""
    price = ticks["price"].to_numpy()
    if previous is not None:
        price = np.concatenate(([previous.price], price))
        ts = np.concatenate(([previous.ts], ts))
    if not price.size or price.max() <= price.min() * JUMP:
        return []
    at = np.flatnonzero(_jumped(price[:-1], price[1:]))
    newest = np.maximum.accumulate(ts)
    return _told_jumps(
        [
            (
                min(int(ts[i]), int(ts[i + 1])),
                int(newest[i + 1]),
                f"the price goes from {price[i]:g} to {price[i + 1]:g} in one trade",
            )
            for i in at
        ],
        price.size,
    )


def _kline_jumps(klines: pl.DataFrame, previous_close: float | None) -> list[Finding]:
    """Klines that open, or reach, where no market moves to in a minute."""
    first = np.nan if previous_close is None else previous_close
    level, high, low = (klines[name].to_numpy() for name in ("open", "high", "low"))
    before = np.concatenate(([first], klines["close"].to_numpy()))[:-1]
    odd = _jumped(before, level) | _jumped(level, high) | _jumped(level, low)
    ends = klines["ts"].to_physical().to_numpy()
    return _told_jumps(
        [
            (
                int(ends[i]) - MINUTE,
                int(ends[i]) - 1,
                _KLINE_JUMP.format(before[i], level[i], low[i], high[i]),
            )
            for i in np.flatnonzero(odd)
        ],
        klines.height,
    )


def _jumped(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    odd: np.ndarray = (after > before * JUMP) | (after * JUMP < before)
    return odd


def _told_jumps(jumps: list[tuple[int, int, str]], of: int) -> list[Finding]:
    """A finding for each span and its words; one more if that is too much of a day's rows."""
    found = [
        Finding("jump", "warn", start, end, 1, detail, invalidates=True)
        for start, end, detail in jumps
    ]
    if len(jumps) > max(FEW, JUMPS_POISON * of):
        detail = f"{len(jumps)} times the price more than doubles or halves at once"
        found.append(Finding("jump", "error", jumps[0][0], jumps[-1][1], len(jumps), detail))
    return found


def _torn(findings: pl.DataFrame | None) -> list[Finding]:
    """That files contradict one another almost everywhere, if they do."""
    if findings is None:
        return []
    torn = findings.filter("invalidates", pl.col("kind") == "duplicate")
    if torn.height <= TORN_POISON * (DAY // MINUTE):
        return []
    detail = f"files contradict one another in {torn.height} minutes: they are not of one market"
    span = torn["ts"].to_physical(), torn["end_ts"].to_physical()
    first, last = int(span[0].min()), int(span[1].max())  # type: ignore[arg-type]
    return [Finding("duplicate", "error", first, last, torn.height, detail)]


def inspect_klines(
    klines: pl.DataFrame,
    day: date,
    instrument: Instrument,
    *,
    previous_ts: int | None = None,
    previous_close: float | None = None,
    findings: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Find minutes that 1-minute klines lack, and prices that no market moves to in one.

    Args:
        klines: The day's rows of the table `klines`, interval 1m, sorted by time.
        day: The UTC day.
        instrument: A run of absent minutes longer than its `max_silence` is held for an outage.
        previous_ts: End of the newest kline before the day, microseconds, if known.
        previous_close: Its close.
        findings: What `klines.merge_klines` found; it is included in the result.

    Returns:
        Rows of the table `quality`, kinds `missing_minutes` (one that invalidates for each outage,
        and one for all shorter runs together, in which nothing traded) and `jump`.
    """
    start = day_start(day)
    ends = klines["ts"].to_physical().to_numpy()
    before = start if previous_ts is None else min(previous_ts, start)
    # A kline is missing wherever the start of the next one is later than the end of this one.
    stops = np.concatenate(([before], ends))
    starts = np.concatenate((ends - MINUTE, [start + DAY]))
    found = []
    absent = 0
    spans: list[int] = []
    for i in np.flatnonzero(starts > stops):
        a, b = int(stops[i]), int(starts[i])
        minutes = (b - a) // MINUTE
        if b - a > instrument.max_silence:
            detail = f"no kline for {minutes} minutes from {utc(a):%Y-%m-%d %H:%M}"
            found.append(
                Finding("missing_minutes", "warn", a, b - 1, minutes, detail, invalidates=True)
            )
        else:
            absent += (b - max(a, start)) // MINUTE
            spans += [max(a, start), b - 1]
    if absent:
        detail = f"{absent} single minutes or short runs without a kline: nothing traded in them"
        found.append(Finding("missing_minutes", "info", spans[0], spans[-1], absent, detail))
    return _together(findings, [*found, *_kline_jumps(klines, previous_close), *_torn(findings)])


def poison(quality: pl.DataFrame) -> pl.DataFrame:
    """The findings of a day that would be trained on: errors that make no bar invalid.

    Args:
        quality: The day's rows of the table `quality`.

    Returns:
        Those rows. If there are any, the day is not to be used: no bars are built of it.
    """
    return quality.filter(pl.col("severity") == "error", ~pl.col("invalidates"))


def valid(
    ends: np.ndarray, interval_us: int, quality: pl.DataFrame, max_silence: int
) -> np.ndarray:
    """Which bars nothing was wrong with, as far as anybody could know when they closed.

    A silence (or run of absent klines) shows once it has lasted longer than `max_silence`, and
    invalidates every bar that ends later than that, through the one that holds the print (or
    kline) that ends it. A gap shows with the trade after it, and a jump with the trade that jumps:
    they invalidate the bar that holds that trade. Where files contradict one another, the bars that
    the contradicting rows lie in are not valid. What happens after a bar's end never changes
    whether it is valid, so the rows found in the ticks so far give the same answer as those of the
    whole day.

    Args:
        ends: Ends of bars, int64 microseconds; a bar covers [end - interval, end).
        interval_us: Length of a bar, microseconds.
        quality: The day's rows of the table `quality`.
        max_silence: The one they were found with, microseconds.

    Returns:
        Boolean, shape of `ends`.
    """
    good = np.ones(ends.size, dtype=np.bool_)
    bad = quality.filter("invalidates")
    spans = bad["ts"].to_physical(), bad["end_ts"].to_physical()
    for kind, start, end in zip(bad["kind"], *spans, strict=True):
        # The kline that ends a run begins right after the run's last microsecond.
        last = end + 1 if kind == "missing_minutes" else end
        by_its_end = end if kind in _BY_A_TRADE else start
        shown = start + max_silence if kind in _WAITED else by_its_end
        good &= (ends <= shown) | (ends - interval_us > last)
    return good
