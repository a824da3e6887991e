"""At which bars a decision is made.

An event rule is a step kernel over rows of (ts, close, sigma, valid), so that a month of history
and the live bar go through the same code. A walk starts one day before the month of the day asked
for, so the flags of a day don't depend on how the days around it were made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl

from vostok_core.errors import MissingPartition, UnknownName
from vostok_core.features.currency import require_current
from vostok_core.features.registry import Feature, Kernel, pack, step_kernel
from vostok_core.features.walk import walk_kernel
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME
from vostok_core.strategy import Strategy
from vostok_core.times import days as each_day

CODE_VERSION = "1"

ANCHOR_DAYS = 1
"""Days before the first of a month at which the walk over that month begins."""

EVENT_FIELDS = ("ts", "close", "sigma", "valid")
TS, CLOSE, SIGMA, VALID = range(len(EVENT_FIELDS))

EVENTS_SCHEMA: dict[str, Any] = {
    "ts": TIME,
    "event": pl.Boolean,
    "sigma_bar": pl.Float64,
    "close": pl.Float64,
    "valid": pl.Boolean,
}


@step_kernel
def _every_bar(row, params, state, out):  # type: ignore[no-untyped-def]  # noqa: ARG001
    out[0] = 1.0 if row[VALID] > 0.5 and row[SIGMA] > 0.0 else 0.0


@step_kernel
def _cusum(row, params, state, out):  # type: ignore[no-untyped-def]
    # params: threshold in sigmas, interval in microseconds
    # state: 1 when a close is remembered, its ts, its close, positive sum, negative sum
    out[0] = 0.0
    if not (row[VALID] > 0.5 and row[SIGMA] > 0.0):
        state[:] = 0.0
        return
    if state[0] == 1.0 and row[TS] - state[1] == params[1]:
        change = math.log(row[CLOSE] / state[2])
        state[3] = max(0.0, state[3] + change)
        state[4] = min(0.0, state[4] + change)
        limit = params[0] * row[SIGMA]
        if state[4] < -limit:
            state[4] = 0.0
            out[0] = 1.0
        elif state[3] > limit:
            state[3] = 0.0
            out[0] = 1.0
    else:
        state[3] = 0.0
        state[4] = 0.0
    state[0] = 1.0
    state[1] = row[TS]
    state[2] = row[CLOSE]


_EVENT = Feature(
    "event",
    "0 or 1",
    "1 at bars where a decision is made",
    "Lopez de Prado, Advances in Financial Machine Learning, 2.5.2.1",
)


def event_kernel(strategy: Strategy) -> Kernel:
    """The strategy's event rule as a step kernel over rows of `EVENT_FIELDS`.

    `every_bar` flags every valid bar whose volatility is known. `cusum` is the symmetric filter
    `S+ = max(0, S+ + y)`, `S- = min(0, S- + y)` over one-bar log returns y; a bar is flagged when
    S- falls below -h or, failing that, S+ rises above h, and only that sum is reset. h is the
    threshold times the volatility of one bar known at the bar. A bar that is not valid, has no
    volatility, or does not follow the previous bar by one interval forgets both sums.
    """
    rule = strategy.file.events
    if rule.kind == "every_bar":
        return Kernel(_every_bar, (_EVENT,), (), 0, 0)
    return Kernel(_cusum, (_EVENT,), (rule.threshold, float(strategy.interval_us)), 5, 0)


class EventStream:
    """The event rule, fed one bar at a time from the anchor on."""

    def __init__(self, strategy: Strategy) -> None:
        kernel = event_kernel(strategy)
        self._step = kernel.step
        self._params = np.array(kernel.params, dtype=np.float64)
        self._state = np.zeros(kernel.state_size)
        self._row = np.empty(len(EVENT_FIELDS))
        self._out = np.empty(1)

    def update(self, ts: int, close: float, sigma_bar: float, *, valid: bool) -> bool:
        """Consume one bar and say whether it is an event."""
        self._row[:] = (ts, close, sigma_bar, valid)
        self._step(self._row, self._params, self._state, self._out)
        return bool(self._out[0])


def event_anchor(day: date) -> date:
    """The day that the walk for `day` begins at."""
    return day.replace(day=1) - timedelta(days=ANCHOR_DAYS)


def volatility_pack(strategy: Strategy) -> str:
    """The strategy's pack that holds its volatility feature.

    Raises:
        UnknownName: None of its packs does, or it names an unknown pack.
    """
    name = strategy.file.labels.volatility
    known: list[str] = []
    for candidate in strategy.file.features.packs:
        columns = pack(candidate).columns
        if name in columns:
            return candidate
        known += columns
    raise UnknownName.of(
        "feature", name, known, declared_in=f"the packs of strategy {strategy.name}"
    )


def flag_events(strategy: Strategy, bars: pl.DataFrame) -> pl.DataFrame:
    """Flag the events among bars.

    Args:
        strategy: The strategy.
        bars: `ts`, `close`, `sigma_bar`, `valid`, in time order, from the anchor on.

    Returns:
        The same rows with the Boolean column `event`; columns as in `EVENTS_SCHEMA`.
    """
    rows = np.empty((bars.height, len(EVENT_FIELDS)))
    rows[:, TS] = bars["ts"].to_physical().to_numpy()
    rows[:, CLOSE] = bars["close"].to_numpy()
    rows[:, SIGMA] = bars["sigma_bar"].to_numpy()
    rows[:, VALID] = bars["valid"].to_numpy()
    flags = walk_kernel(event_kernel(strategy), rows)[:, 0] == 1.0
    return bars.with_columns(event=pl.Series(flags, dtype=pl.Boolean)).select(*EVENTS_SCHEMA)


def event_days(lake: Lake, strategy: Strategy, instrument: str, day: date) -> list[date]:
    """The days that the flags of `day` are computed from: from its anchor on.

    Days before the first that was ever written are not there to be had and are left out, and so
    is a day without bars: the filter starts anew after it.

    Raises:
        MissingPartition: `day` has no bars, or a day with bars has no features.
    """
    keys = {"instrument": instrument, "interval": strategy.file.interval}
    source = volatility_pack(strategy)
    used = [
        d
        for d in each_day(event_anchor(day), day)
        if d == day or lake.exists("bars", **keys, date=d)
    ]
    for d in used:
        if not lake.exists("bars", **keys, date=d):
            raise _missing("bars", instrument, d)
        if not lake.exists("features", pack=source, **keys, date=d):
            raise _missing(f"features of pack {source}", instrument, d)
    return used


def _missing(what: str, instrument: str, day: date) -> MissingPartition:
    return MissingPartition(
        f"there are no {what} for {instrument} on {day}, which the events need",
        hint=f"run `vostok materialize bars,features --instrument {instrument} "
        f"--from {day} --to {day}` first",
    )


def event_flags(
    lake: Lake, strategy: Strategy, instrument: str, days: Iterable[date]
) -> pl.DataFrame:
    """Flag the events of some days.

    Args:
        lake: Holds `bars` and the pack with the strategy's volatility feature.
        strategy: The strategy.
        instrument: Name of the instrument.
        days: The days, each a partition of `bars`.

    Returns:
        One row per bar of those days, in time order: `ts`, `event`, `sigma_bar` (volatility of one
        bar, NaN in its warm-up), `close`, `valid`.

    Raises:
        MissingPartition: As in `event_days`.
        StalePartition: The features are not what the pack would compute now.
        UnknownName: No pack of the strategy has its volatility feature.
    """
    parts = list(flags_by_day(lake, strategy, instrument, days).values())
    return pl.concat(parts) if parts else pl.DataFrame(schema=EVENTS_SCHEMA)


def flags_by_day(
    lake: Lake, strategy: Strategy, instrument: str, days: Iterable[date]
) -> dict[date, pl.DataFrame]:
    """What `event_flags` says, by day; each month is walked once."""
    parts = {}
    for _, month in groupby(sorted(set(days)), key=lambda d: (d.year, d.month)):
        wanted = list(month)
        used = event_days(lake, strategy, instrument, wanted[-1])
        lacking = [d for d in wanted if d not in used]
        if lacking:
            raise _missing("bars", instrument, lacking[0])
        source = pack(volatility_pack(strategy))
        require_current(lake, source, instrument, strategy.file.interval, used)
        frames = [_inputs(lake, strategy, instrument, d) for d in used]
        flagged = flag_events(strategy, pl.concat(frames))
        offset = 0
        for d, frame in zip(used, frames, strict=True):
            if d in wanted:
                parts[d] = flagged.slice(offset, frame.height)
            offset += frame.height
    return parts


def _inputs(lake: Lake, strategy: Strategy, instrument: str, day: date) -> pl.DataFrame:
    keys: dict[str, Any] = {
        "instrument": instrument,
        "interval": strategy.file.interval,
        "date": day,
    }
    name = strategy.file.labels.volatility
    bars = lake.read("bars", columns=("ts", "close", "valid"), **keys)
    sigma = lake.read(
        "features", columns=("ts", name), pack=volatility_pack(strategy), **keys
    ).rename({name: "sigma_bar"})
    joined = bars.join(sigma, on="ts", how="left", maintain_order="left")
    return joined.select("ts", "close", pl.col("sigma_bar").fill_null(float("nan")), "valid")
