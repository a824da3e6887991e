"""What is odd about trades: steps, clocks, and how much of it poisons a day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_core.lake.tables import TIME
from vostok_core.market.findings import contradictions, findings_frame
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.klines import merge_klines
from vostok_core.market.oddities import clocks, off_grid, reversals
from vostok_core.market.quality import inspect, inspect_klines, poison
from vostok_core.market.ticks import IDS_PER_DAY, LastTick
from vostok_core.times import DAY, MILLISECOND, MINUTE, SECOND, day_start

MONDAY = date(2024, 1, 1)
START = day_start(MONDAY)
SPOT = Instrument(
    InstrumentId.parse("x.spot.A-B"), "trade", Decimal("0.01"), Decimal("0.001"), Decimal(0), DAY
)


def ticks_of(price: list[float], qty: list[float] | None = None) -> pl.DataFrame:
    n = len(price)
    return pl.DataFrame(
        {
            "trade_id": np.arange(n),
            "ts": pl.Series(START + SECOND * np.arange(n)).cast(TIME),
            "price": price,
            "qty": qty or [1.0] * n,
            "buyer_maker": [False] * n,
            "first_id": pl.Series([None] * n, dtype=pl.Int64),
            "last_id": pl.Series([None] * n, dtype=pl.Int64),
        }
    )


# --- steps --------------------------------------------------------------------------------------


@given(
    step=st.sampled_from(["0.01", "0.00000001", "0.5", "0.25", "1", "10", "0.0005", "0.1"]),
    numbers=st.lists(st.integers(1, 10**12), min_size=1, max_size=30),
    offsets=st.lists(st.sampled_from(["0", "0.1", "0.5", "0.999"]), min_size=30, max_size=30),
)
def test_a_print_is_on_the_grid_exactly_if_its_decimal_is(step, numbers, offsets):
    size = Decimal(step)
    printed = [(n + Decimal(o)) * size for n, o in zip(numbers, offsets, strict=False)]
    price = [float(p) for p in printed]
    of = off_grid(ticks_of(price), START + SECOND * np.arange(len(price)), size, Decimal("1e-9"))
    off = sum(1 for p in printed if p % size)
    assert sum(finding.count for finding in of if finding.kind == "off_tick") == off


def test_a_few_odd_prints_are_damage_and_many_another_step():
    price = [100.01] * 1000
    price[500] = 100.0123
    ts = START + SECOND * np.arange(1000)
    [few] = off_grid(ticks_of(price), ts, SPOT.price_tick, SPOT.quantity_step)
    assert (few.kind, few.severity, few.count) == ("off_tick", "warn", 1)
    assert (few.ts, few.end_ts) == (ts[500], ts[500])
    assert few.detail == "1 price is no multiple of 0.01, such as 100.0123"
    assert not few.invalidates

    qty = [0.0005] * 400 + [1.0] * 600
    [many] = off_grid(ticks_of([100.0] * 1000, qty), ts, SPOT.price_tick, SPOT.quantity_step)
    assert (many.kind, many.severity, many.count) == ("off_step", "info", 400)
    assert "40.0% of the day's, so qty moved by another step then" in many.detail


def test_the_noise_of_a_source_that_summed_doubles_is_none():
    noisy = [0.1 + 0.2, 3.9952057500000004, 1.1 * 3]
    assert [f"{value:.15g}" for value in noisy] == ["0.3", "3.99520575", "3.3"]
    of = off_grid(ticks_of(noisy), np.arange(3), Decimal("1e-8"), Decimal(1))
    assert of == []


def test_where_doubles_are_farther_apart_than_the_step_nothing_is_said():
    huge = [98_765_432_101.0, 2.0**60]
    assert off_grid(ticks_of([1.0, 1.0], huge), np.array([0, 1]), Decimal(1), Decimal("1e-8")) == []


# --- sides --------------------------------------------------------------------------------------


def bounces(n: int, *, wrong: float, seed: int = 1) -> pl.DataFrame:
    """Trades at the bid and the ask of a book that stands, some of them told of the other side."""
    rng = np.random.default_rng(seed)
    sold = rng.random(n) < 0.5
    price = np.where(sold, 100.0, 100.01)
    told = sold ^ (rng.random(n) < wrong)
    return ticks_of(price.tolist()).with_columns(buyer_maker=pl.Series(told))


def test_sides_that_are_the_wrong_way_round_poison_the_day():
    turned = bounces(1_000, wrong=1.0)
    [found] = inspect(turned, MONDAY, SPOT).iter_rows(named=True)
    sides = turned["buyer_maker"].to_numpy()
    changes = int(np.count_nonzero(sides[1:] != sides[:-1]))
    assert (found["kind"], found["severity"], found["count"]) == ("crossed", "error", changes)
    assert not found["invalidates"]
    assert f"in {changes} of {changes} changes of side" in found["detail"]
    assert poison(inspect(turned, MONDAY, SPOT)).height == 1


@pytest.mark.parametrize("wrong", [0.0, 0.3, 0.5])
def test_sides_of_which_some_or_half_are_wrong_are_not(wrong):
    assert inspect(bounces(10_000, wrong=wrong), MONDAY, SPOT).is_empty()


def test_too_few_changes_of_side_say_nothing():
    assert inspect(bounces(300, wrong=1.0), MONDAY, SPOT).is_empty()
    assert inspect(ticks_of([100.0, 100.01] * 500), MONDAY, SPOT).is_empty()


# --- clocks -------------------------------------------------------------------------------------


def steady(n: int, every: int = 100 * MILLISECOND, begin: int = START) -> np.ndarray:
    return begin + every * np.arange(n, dtype=np.int64)


def test_a_clock_that_stood_still_is_told_from_a_sweep():
    # Ten trades a second; for two minutes the clock shows one time.
    ts = steady(5_000)
    frozen = ts.copy()
    frozen[2_000:3_200] = ts[2_000]
    [found] = clocks(frozen, np.arange(5_000))
    assert (found.kind, found.severity, found.count) == ("clock_still", "warn", 1_200)
    assert (found.ts, found.end_ts) == (ts[2_000], ts[3_200])
    assert "1200 trades are all stamped 2024-01-01 00:03:20" in found.detail
    assert not found.invalidates
    # A source without ids shows it as well.
    assert clocks(frozen, None) == [found]
    # As many trades in one sweep of the book, after which time goes on as ever.
    sweep = np.concatenate((ts[:2_000], np.full(1_200, ts[2_000]), ts[2_000:4_000]))
    assert clocks(sweep, np.arange(sweep.size)) == []


def test_a_clock_that_leaps_is_told_from_a_lull_and_from_a_gap():
    leapt = steady(5_000)
    leapt[2_500:] += 5 * MINUTE
    ids = np.arange(5_000)
    [found] = clocks(leapt, ids)
    assert (found.kind, found.severity, found.count) == ("clock_leap", "warn", 1)
    assert (found.ts, found.end_ts) == (leapt[2_499], leapt[2_500])
    assert "the clock leaps 5 min 0 s from 2024-01-01 00:04:09 with no id missing" in found.detail
    # Trades that are missing are a gap, and without ids nobody knows.
    assert clocks(leapt, np.where(ids < 2_500, ids, ids + 3_000)) == []
    assert clocks(leapt, None) == []
    # At a trade every five seconds, five minutes are a lull.
    slow = steady(5_000, 5 * SECOND)
    slow[2_500:] += 5 * MINUTE
    assert clocks(slow, ids) == []
    # So they are where the market was busy before and is not any more, or the other way round.
    tired = np.concatenate((steady(2_500), steady(2_500, 5 * SECOND, leapt[2_500])))
    assert clocks(tired, ids) == []


def test_many_leaps_become_one_row():
    ts = steady(20_000)
    for at in range(500, 20_000, 500):
        ts[at:] += 2 * MINUTE
    [found] = clocks(ts, np.arange(20_000))
    assert found.count == 39
    assert found.detail.startswith("39 times in the day, first: the clock leaps 2 min")


def test_ids_of_our_own_say_nothing_of_leaps():
    ts = steady(2_000)
    ts[1_000:] += 5 * MINUTE
    ticks = ticks_of([1.0] * 2_000).with_columns(ts=pl.Series(ts).cast(TIME))
    assert inspect(ticks, MONDAY, SPOT)["kind"].to_list() == ["clock_leap"]
    ours = ticks.with_columns(trade_id=pl.col("trade_id") + START // DAY * IDS_PER_DAY)
    assert inspect(ours, MONDAY, SPOT).is_empty()


# --- jumps --------------------------------------------------------------------------------------


def test_a_price_that_doubles_in_one_trade_is_a_jump_and_a_walk_that_far_is_none():
    walk = [100 * 1.9**k for k in range(8)]
    fine = inspect(ticks_of([round(p, 2) for p in walk]), MONDAY, SPOT)
    assert "jump" not in fine["kind"]
    quality = inspect(ticks_of([100.0, 200.0, 200.01, 100.0]), MONDAY, SPOT)
    jumps = quality.filter(pl.col("kind") == "jump")
    assert jumps["detail"].to_list() == ["the price goes from 200.01 to 100 in one trade"]
    assert jumps["invalidates"].to_list() == [True]
    assert jumps["end_ts"].to_physical().to_list() == [START + 3 * SECOND]


def test_the_first_trade_of_a_day_is_held_against_the_last_of_the_day_before():
    of = LastTick(-1, START - SECOND, 0.001, 1)  # quoted by the thousand, until midnight
    [jump] = inspect(ticks_of([1.0, 1.0]), MONDAY, SPOT, previous=of).iter_rows(named=True)
    assert (jump["kind"], jump["detail"]) == ("jump", "the price goes from 0.001 to 1 in one trade")


def test_klines_jump_from_one_to_the_next_and_inside():
    ends = START + MINUTE * np.arange(1, 6)
    klines = pl.DataFrame(
        {
            "ts": pl.Series(ends).cast(TIME),
            "open": [1.0, 1.0, 1.0, 1.0, 3.0],
            "high": [1.0, 1.0, 2.5, 1.0, 3.0],
            "low": [1.0, 0.4, 1.0, 1.0, 3.0],
            "close": [1.0, 1.0, 1.0, 1.0, 3.0],
        }
    )
    quality = inspect_klines(klines, MONDAY, SPOT, previous_close=2.1)
    jumps = quality.filter(pl.col("kind") == "jump")
    minutes = [(end - START) // MINUTE for end in jumps["end_ts"].to_physical() + 1]
    assert minutes == [1, 2, 3, 5]
    assert jumps["invalidates"].all()


# --- poison -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("odd", "severity"), [(21, "warn"), (40, "error")])
def test_outliers_poison_a_day_from_a_thousandth_of_its_trades_on(odd, severity):
    price = np.full(30_000, 100.0)
    price[50 :: 30_000 // (odd + 1)][:odd] = 130.0
    quality = inspect(ticks_of(price.tolist()), MONDAY, SPOT)
    assert quality.select("kind", "severity").rows() == [("outlier", severity)]
    assert poison(quality).height == (severity == "error")


def test_trades_of_two_markets_in_one_file_poison_the_day():
    price = [100.0, 3.0] * 100
    bad = poison(inspect(ticks_of(price), MONDAY, SPOT))
    jumps = bad.filter(pl.col("kind") == "jump")
    assert jumps["count"].to_list() == [199]


@pytest.mark.parametrize(
    ("late", "by", "severity"),
    [(20, 2 * MINUTE, "warn"), (21, 30 * SECOND, "warn"), (21, 2 * MINUTE, "error")],
)
def test_times_that_run_back_poison_a_day_if_they_are_many_and_far(late, by, severity):
    ts = steady(1_000, SECOND)
    ts[500 : 500 + late] -= by
    [found] = reversals(ts)
    assert (found.severity, found.count) == (severity, late)


@pytest.mark.parametrize("minutes", [14, 15])
def test_files_that_contradict_one_another_almost_everywhere_poison_the_day(minutes):
    at = pl.Series(START + MINUTE * np.arange(minutes))
    merged = findings_frame(contradictions(at, at, "ids stand for more than one trade"))
    bad = poison(inspect(ticks_of([1.0]), MONDAY, SPOT, findings=merged))
    assert bad["kind"].to_list() == ["duplicate"] * (minutes > 14)

    kline = {"ts": pl.Series(START + MINUTE * np.arange(1, minutes + 1)).cast(TIME)}
    unknown = {name: pl.lit(None, pl.Float64) for name in ("quote_volume", "trades", "buy_volume")}
    one, other = (
        pl.DataFrame(
            kline | dict.fromkeys(("open", "high", "low", "close", "volume"), [p] * minutes)
        ).with_columns(**unknown)
        for p in (1.0, 1.5)
    )
    klines, merged = merge_klines([one, other])
    bad = poison(inspect_klines(klines, MONDAY, SPOT, findings=merged))
    assert bad.height == (minutes > 14)


def test_an_outage_poisons_nothing():
    quality = inspect(ticks_of([1.0]).clear(), MONDAY, SPOT)
    assert poison(quality).is_empty()
    gap = ticks_of([1.0, 1.0]).with_columns(trade_id=pl.Series([1, 10**6]))
    quality = inspect(gap, MONDAY, SPOT)
    assert quality["severity"].to_list() == ["error"]
    assert poison(quality).is_empty()
