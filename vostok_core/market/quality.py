"""What is wrong with a day of ticks or klines.

A gap is known from broken ids, a silence only suspected from the clock. Both invalidate bars, so
that no model trains and no trade opens on them. A row holds the whole span, as the end of the day
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
from vostok_core.market.ticks import LastTick, assigned
from vostok_core.times import DAY, MINUTE, day_start, utc

OUTLIER = 0.2
"""Relative distance from the prices on both sides beyond which a print is called an outlier."""

_NEIGHBOURS = 11  # prints on each side whose median is the level that an outlier is far from
_WAITED = ("silence", "missing_minutes")  # found by waiting, not by a trade that comes
_MOST_ROWS = 20  # of one kind that invalidates nothing; more become one row


def inspect(
    ticks: pl.DataFrame,
    day: date,
    instrument: Instrument,
    *,
    previous: LastTick | None = None,
    findings: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Find gaps, silences, outliers and times that run backwards.

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
        *_outliers(ticks, ts),
        *_reversals(ts),
    ]
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


def _outliers(ticks: pl.DataFrame, ts: np.ndarray) -> list[Finding]:
    price = ticks["price"]
    if price.len() < 3:
        return []
    values = price.to_numpy()
    if values.max() <= values.min() * (1.0 + OUTLIER):
        return []  # no price can be that far from any median, which spares the medians
    behind = price.shift(1).rolling_median(_NEIGHBOURS, min_samples=1).to_numpy()
    ahead = price.reverse().shift(1).rolling_median(_NEIGHBOURS, min_samples=1).reverse().to_numpy()
    far = (np.abs(values / behind - 1.0) > OUTLIER) & (np.abs(values / ahead - 1.0) > OUTLIER)
    at = np.flatnonzero(far)
    if at.size > _MOST_ROWS:
        detail = f"{at.size} prices more than {OUTLIER:.0%} away from those around them"
        span = int(ts[at].min()), int(ts[at].max())
        return [Finding("outlier", "warn", *span, int(at.size), detail)]
    return [
        Finding(
            "outlier",
            "warn",
            int(ts[i]),
            int(ts[i]),
            1,
            f"price {values[i]:g} between levels of {behind[i]:g} and {ahead[i]:g}",
        )
        for i in at
    ]


def _reversals(ts: np.ndarray) -> list[Finding]:
    newest = np.maximum.accumulate(ts)
    at = np.flatnonzero(ts < newest)
    if not at.size:
        return []
    worst = int((newest - ts).max())
    detail = f"{at.size} trades are stamped earlier than one before them, by up to {worst} us"
    span = int(ts[at].min()), int(newest[at].max())
    return [Finding("time_reversal", "warn", *span, int(at.size), detail)]


def inspect_klines(
    klines: pl.DataFrame,
    day: date,
    instrument: Instrument,
    *,
    previous_ts: int | None = None,
    findings: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Find minutes that 1-minute klines lack.

    Args:
        klines: The day's rows of the table `klines`, interval 1m, sorted by time.
        day: The UTC day.
        instrument: A run of absent minutes longer than its `max_silence` is held for an outage.
        previous_ts: End of the newest kline before the day, microseconds, if known.
        findings: What `klines.merge_klines` found; it is included in the result.

    Returns:
        Rows of the table `quality`, kind `missing_minutes`: one that invalidates for each outage,
        and one for all shorter runs together, in which nothing traded.
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
    own = findings_frame(found)
    if findings is None or findings.is_empty():
        return own
    return pl.concat([findings, own]).sort("ts", "kind", "end_ts", "detail", maintain_order=True)


def valid(
    ends: np.ndarray, interval_us: int, quality: pl.DataFrame, max_silence: int
) -> np.ndarray:
    """Which bars nothing was wrong with, as far as anybody could know when they closed.

    A silence (or run of absent klines) shows once it has lasted longer than `max_silence`, and
    invalidates every bar that ends later than that, through the one that holds the print (or
    kline) that ends it. A gap shows with the trade after it and invalidates the bar that holds
    that trade. Where files contradict one another, the bars that the contradicting rows lie in are
    not valid. What happens after a bar's end never changes whether it is valid, so the rows found
    in the ticks so far give the same answer as those of the whole day.

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
        by_its_end = end if kind == "gap" else start
        shown = start + max_silence if kind in _WAITED else by_its_end
        good &= (ends <= shown) | (ends - interval_us > last)
    return good
