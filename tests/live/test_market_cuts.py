"""Bars that were closed live are told again from trades and cuts, with the same bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vostok_core.errors import DataError
from vostok_core.lake.tables import TIME
from vostok_core.live.cuts import ClosedBar, Cut, LiveBars, Ticks, bars_from_journal, newest_counted
from vostok_core.market.bars import BAR_FIELDS, day_bars
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.quality import inspect
from vostok_core.market.ticks import LastTick
from vostok_core.times import MINUTE, SECOND, day_start

DAY_ = date(2024, 3, 5)
START = day_start(DAY_)
SPOT = Instrument(
    InstrumentId.parse("x.spot.A-B"), "agg_trade", Decimal("0.01"), Decimal("0.001"), Decimal(0),
    10 * MINUTE,
)  # fmt: skip
BEFORE = LastTick(trade_id=99, ts=START - SECOND, price=10.0, side=1, last_id=499)


def table(
    ts: list[int], ids: list[int] | None = None, price: list[float] | None = None
) -> pl.DataFrame:
    """Trades of one unit each, each with the ids of five beneath."""
    n = len(ts)
    ids = list(range(100, 100 + n)) if ids is None else ids
    return pl.DataFrame(
        {
            "trade_id": ids,
            "ts": pl.Series(ts, dtype=pl.Int64).cast(TIME),
            "price": [10.0] * n if price is None else price,
            "qty": [1.0] * n,
            "buyer_maker": [k % 3 == 0 for k in range(n)],
            "first_id": [5 * i for i in ids],
            "last_id": [5 * i + 4 for i in ids],
        },
        schema_overrides={"price": pl.Float64, "qty": pl.Float64, "trade_id": pl.Int64},
    )


def random_trades(rng: np.random.Generator, n: int) -> pl.DataFrame:
    """Pauses of every length, some steps back in time, some ids missing, some prices absurd."""
    pauses = rng.choice([SECOND, 20 * SECOND, 2 * MINUTE, 11 * MINUTE], n, p=[0.6, 0.3, 0.08, 0.02])
    ts = START + np.cumsum(pauses * rng.random(n)).astype(np.int64)
    ts[rng.random(n) < 0.1] -= 15 * SECOND
    ids = 100 + np.cumsum(rng.choice([1, 1, 1, 1, 1, 1, 1, 1, 1, 3], n)) - 1
    price = rng.uniform(9, 11, n) * rng.choice([1.0, 0.4, 2.5], n, p=[0.98, 0.01, 0.01])
    frame = table(np.maximum(ts, START).tolist(), ids.tolist(), price.tolist())
    return frame.with_columns(
        qty=pl.Series(rng.uniform(0.001, 5, n)), buyer_maker=pl.Series(rng.random(n) < 0.5)
    )


def bits(bars: list[ClosedBar]) -> list[tuple[str, bytes, int, int, bool]]:
    return [(bar.interval, bar.row.tobytes(), bar.first_id, bar.last_id, bar.valid) for bar in bars]


@dataclass
class Ran:
    """What a live run wrote down and made."""

    cuts: list[Cut]
    bars: list[ClosedBar]


def run_live(bars: LiveBars, ticks: pl.DataFrame, rng: np.random.Generator, timers: float) -> Ran:
    """Push trades in pieces; now and then a timer closes the open bar, early or not."""
    ran = Ran([], [])
    pieces = np.sort(rng.integers(0, ticks.height + 1, rng.integers(0, 12)))
    columns = Ticks.of(ticks)
    for part in np.split(np.arange(ticks.height), pieces):
        for cut, closed in bars.push(
            columns[slice(part[0], part[-1] + 1)] if part.size else columns[:0]
        ):
            ran.cuts.append(cut)
            ran.bars += closed
        while bars.open_end is not None and rng.random() < timers:
            cut, closed = bars.close(bars.open_end)
            ran.cuts.append(cut)
            ran.bars += closed
    return ran


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), known=st.booleans(), timers=st.sampled_from([0.0, 0.3, 0.7]))
def test_trades_and_cuts_make_the_same_bars_again(seed: int, known: bool, timers: float) -> None:
    rng = np.random.default_rng(seed)
    ticks = random_trades(rng, int(rng.integers(1, 300)))
    intervals = [["1m"], ["1m", "5m"], ["3m", "2m", "15m"]][seed % 3]
    previous = BEFORE if known else None
    ran = run_live(LiveBars(SPOT, intervals, START, previous), ticks, rng, timers)
    again = bars_from_journal(ticks, ran.cuts, SPOT, intervals, START, previous)
    assert bits(again) == bits(ran.bars)
    assert {cut.by for cut in ran.cuts} <= ({"trade", "timer"} if timers else {"trade"})


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32))
def test_bars_that_no_timer_closed_are_those_of_the_batch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ticks = random_trades(rng, int(rng.integers(1, 300)))
    ran = run_live(LiveBars(SPOT, ["1m", "5m"], START, BEFORE), ticks, rng, 0.0)
    quality = inspect(ticks, DAY_, SPOT, previous=BEFORE)
    for interval in ("1m", "5m"):
        live = [bar for bar in ran.bars if bar.interval == interval]
        batch = day_bars(ticks, DAY_, interval, SPOT, (BEFORE.price, BEFORE.side), quality)
        same = batch.head(len(live))
        assert [bar.ts for bar in live] == same["ts"].to_physical().to_list()
        for k, name in enumerate(BAR_FIELDS[1:], start=1):
            assert [bar.row[k] for bar in live] == same[name].cast(pl.Float64).to_list()
        assert [bar.valid for bar in live] == same["valid"].to_list()
        for name in ("first", "last"):
            ids = same[f"{name}_trade_id"].fill_null(-1).to_list()
            assert [getattr(bar, f"{name}_id") for bar in live] == ids


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32))
@example(seed=989)  # a silence that begins after a late trade
def test_a_restart_at_any_cut_goes_on_with_the_same_bars(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ticks = random_trades(rng, int(rng.integers(2, 300)))
    ran = run_live(LiveBars(SPOT, ["1m"], START, BEFORE), ticks, rng, 0.3)
    if not ran.cuts:
        return
    at = int(rng.integers(0, len(ran.cuts)))
    cut = ran.cuts[at]
    counted = ticks.filter(pl.col("trade_id") <= cut.last_id)
    previous = newest_counted(counted, ran.cuts[: at + 1]) or BEFORE
    rest = ticks.filter(pl.col("trade_id") > cut.last_id)
    resumed = LiveBars(SPOT, ["1m"], cut.ts, previous)
    again = resumed.replay(Ticks.of(rest), ran.cuts[at + 1 :])
    closed_before = sum(bar.ts <= cut.ts for bar in ran.bars)
    assert bits(again) == bits(ran.bars[closed_before:])


def test_a_late_trade_counts_in_the_bar_that_is_open() -> None:
    bars = LiveBars(SPOT, ["1m"], START, BEFORE)
    first, late, last = table(
        [START + 10 * SECOND, START + 59 * SECOND, START + 130 * SECOND], price=[10.0, 12.0, 11.0]
    ).iter_slices(1)
    assert list(bars.push(Ticks.of(first))) == []
    cut, (bar,) = bars.close(START + MINUTE)
    assert cut == Cut(START + MINUTE, 100, "timer")
    assert (bar.ts, bar.row[4], bar.row[7], bar.last_id) == (START + MINUTE, 10.0, 1, 100)
    assert list(bars.push(Ticks.of(late))) == []
    ((cut, (bar,)),) = bars.push(Ticks.of(last))
    assert cut == Cut(START + 2 * MINUTE, 101, "trade")
    assert (bar.row[1], bar.row[4], bar.row[7], bar.first_id) == (12.0, 12.0, 1, 101)
    assert bar.valid


def test_a_hole_that_a_late_trade_shows_invalidates_the_bar_it_counts_in() -> None:
    """The bar before has closed; nobody knew of the hole then."""
    bars = LiveBars(SPOT, ["1m"], START, BEFORE)
    early, late, last = table(
        [START + 10 * SECOND, START + 59 * SECOND, START + 130 * SECOND], [100, 102, 103]
    ).iter_slices(1)
    list(bars.push(Ticks.of(early)))
    _, (closed,) = bars.close(START + MINUTE)
    list(bars.push(Ticks.of(late)))
    ((_, (bar,)),) = bars.push(Ticks.of(last))
    assert closed.valid
    assert not bar.valid


def test_a_late_trade_is_as_late_as_the_bar_it_counts_in() -> None:
    ticks = table([START + 10 * SECOND, START + 59 * SECOND])
    cuts = [Cut(START + MINUTE, 100, "timer"), Cut(START + 2 * MINUTE, 101, "timer")]
    assert newest_counted(ticks, cuts) == LastTick(101, START + MINUTE, 10.0, 1, 509)
    assert newest_counted(ticks.head(1), cuts[:1]) == LastTick(
        100, START + 10 * SECOND, 10.0, -1, 504
    )
    assert newest_counted(ticks.head(0), []) is None
    assert newest_counted(ticks.head(0), [], BEFORE) == BEFORE
    ahead = replace(BEFORE, ts=START + 3 * MINUTE)
    assert newest_counted(ticks, cuts, ahead) == LastTick(101, ahead.ts, 10.0, 1, 509)


def test_a_trade_closes_every_bar_that_ended_before_it() -> None:
    bars = LiveBars(SPOT, ["1m", "2m"], START, BEFORE)
    ticks = table([START + SECOND, START + 4 * MINUTE])
    cuts, closed = zip(*bars.push(Ticks.of(ticks)), strict=True)
    assert cuts == tuple(Cut(START + k * MINUTE, 100, "trade") for k in (1, 2, 3, 4))
    assert [[bar.interval for bar in each] for each in closed] == [
        ["1m"], ["1m", "2m"], ["1m"], ["1m", "2m"],
    ]  # fmt: skip


def test_there_is_no_bar_before_the_first_price() -> None:
    bars = LiveBars(SPOT, ["1m"], START, None)
    assert bars.open_end is None
    assert bars.last_id == -1
    ticks = table([START + 200 * SECOND, START + 250 * SECOND])
    ((cut, (bar,)),) = bars.push(Ticks.of(ticks))
    assert cut == Cut(START + 4 * MINUTE, 100, "trade")
    assert bar.row[7] == 1


@pytest.mark.parametrize(
    "cuts",
    [
        [Cut(START + MINUTE, 101, "trade")],  # that trade is not there
        [Cut(START + 2 * MINUTE, 100, "trade")],  # the bar before was never cut
        [Cut(START + MINUTE, 100, "trade"), Cut(START + MINUTE, 100, "timer")],
    ],
)
def test_a_journal_that_lacks_something_is_refused(cuts: list[Cut]) -> None:
    ticks = table([START + SECOND, START + 5 * MINUTE], [100, 102])
    with pytest.raises(DataError, match="can't be told again"):
        bars_from_journal(ticks, cuts, SPOT, ["1m"], START, BEFORE)
