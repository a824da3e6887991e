"""Bars against the exchange's own klines, and against another venue's bars."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.lake.tables import TIME, table
from vostok_core.market.agreement import UNIT, trades_beneath, with_klines, with_reference
from vostok_core.market.bars import day_bars
from vostok_core.market.findings import Finding, findings_frame
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import HOUR, MINUTE, day_start

MONDAY = date(2024, 1, 1)
START = day_start(MONDAY)
ITEM = Instrument(
    InstrumentId.parse("x.spot.A-B"),
    "agg_trade",
    Decimal("0.01"),
    Decimal("0.00001"),
    Decimal(0),
    HOUR,
)
FINE = table("quality").empty()


def market(seed: int = 1, trades: int = 4_000) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ticks of a day, and the exchange's klines of them by exact decimals; quiet minutes told."""
    rng = np.random.default_rng(seed)
    ts = START + np.sort(rng.integers(0, 24 * HOUR, trades))
    cents = 10_000 + np.cumsum(rng.integers(-3, 4, trades))
    steps = rng.integers(1, 500_000, trades)
    sizes = rng.integers(1, 4, trades)
    last = np.cumsum(sizes)
    ticks = pl.DataFrame(
        {
            "trade_id": np.arange(trades),
            "ts": pl.Series(ts).cast(TIME),
            "price": [float(Decimal(int(c)) / 100) for c in cents],
            "qty": [float(Decimal(int(s)) / 100_000) for s in steps],
            "buyer_maker": rng.random(trades) < 0.5,
            "first_id": last - sizes,
            "last_id": last - 1,
        }
    )
    exact = ticks.with_columns(
        cents=cents, steps=steps, minute=(pl.col("ts").to_physical() - START)
    )
    exact = exact.with_columns(pl.col("minute") // MINUTE)
    rows, close = [], None
    for minute in range(1440):
        rows_of = exact.filter(pl.col("minute") == minute)
        if rows_of.is_empty():
            if close is not None:
                rows.append((minute, close, close, close, close, 0.0, 0.0, 0))
            continue
        price = rows_of["price"]
        close = price[-1]
        bought = rows_of.filter(~pl.col("buyer_maker"))["steps"].sum()
        rows.append(
            (
                minute,
                price[0],
                price.max(),
                price.min(),
                close,
                float(Decimal(rows_of["steps"].sum()) / 100_000),
                float(Decimal(bought) / 100_000),
                int((rows_of["last_id"] - rows_of["first_id"] + 1).sum()),
            )
        )
    klines = pl.DataFrame(
        rows,
        schema=["minute", "open", "high", "low", "close", "volume", "buy_volume", "trades"],
        orient="row",
    ).select(
        ts=pl.Series([START + (row[0] + 1) * MINUTE for row in rows]).cast(TIME),
        **{n: pl.col(n) for n in ("open", "high", "low", "close", "volume")},
        quote_volume=pl.lit(None, pl.Float64),
        trades=pl.col("trades"),
        buy_volume=pl.col("buy_volume"),
    )
    return ticks, klines


def bars_of(ticks: pl.DataFrame) -> pl.DataFrame:
    return day_bars(ticks, MONDAY, "1m", ITEM, None, FINE)


def end_of(minute: int) -> int:
    return START + (minute + 1) * MINUTE


def at(minute: int) -> pl.Expr:
    return pl.col("ts").to_physical() == end_of(minute)


@pytest.fixture(scope="module")
def day() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    ticks, klines = market()
    return ticks, bars_of(ticks), klines


def test_the_exchanges_klines_agree_to_the_last_digit(day):
    ticks, bars, klines = day
    found = with_klines(bars, klines, FINE, trades_beneath(ticks))
    assert found.minutes == klines.height > 1_300
    assert found.differing.is_empty()
    assert not found.poisons
    # Where quiet minutes are left out, those are compared that somebody traded in.
    traded = klines.filter(pl.col("volume") > 0)
    found = with_klines(bars, traded, FINE, trades_beneath(ticks))
    assert (found.minutes, found.differing.height) == (traded.height, 0)
    # Not every volume is the same double: sums in binary are not decimal ones.
    both = bars.join(klines, on="ts", suffix="_theirs")
    assert (both["volume"] != both["volume_theirs"]).any()


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        ("open", 0.01, "open"),
        ("high", 1e-9, "high"),
        ("low", -0.01, "low"),
        ("close", 0.01, "close"),
        ("volume", 0.00001, "volume"),
        ("buy_volume", 0.00001, "buy_volume"),
        ("trades", 1, "trades"),
    ],
)
def test_a_difference_planted_in_one_minute_is_found_and_named(day, column, change, words):
    ticks, bars, klines = day
    kind = klines.schema[column]
    planted = klines.with_columns(
        pl.when(at(777)).then(pl.col(column) + change).otherwise(column).cast(kind).alias(column)
    )
    found = with_klines(bars, planted, FINE, trades_beneath(ticks))
    [row] = found.differing.iter_rows(named=True)
    assert row["differs"] == words
    assert found.differing["ts"].to_physical().to_list() == [end_of(777)]
    own = bars.filter(at(777)).row(0, named=True)
    shown = " ".join(str(own[name]) for name in ("open", "high", "low", "close", "volume"))
    assert row["ours"] == shown
    assert (row["theirs"] != shown) == (column not in ("buy_volume", "trades"))
    assert found.unexplained.height == 1
    assert not found.poisons


def test_trades_that_are_missing_on_either_side_are_named(day):
    ticks, _, klines = day
    minute = (pl.col("ts").to_physical() - START) // MINUTE
    traded = klines.filter(pl.col("volume") > 0)
    lost = (int(traded["ts"].to_physical()[100]) - START) // MINUTE - 1
    holed = ticks.filter(minute != lost)
    found = with_klines(bars_of(holed), klines, FINE, trades_beneath(holed))
    # The lost minute, and perhaps quiet ones after it whose price is now an older one.
    [first, *others] = found.differing.iter_rows(named=True)
    assert found.differing["ts"].to_physical()[0] == end_of(lost)
    assert first["differs"].endswith("trades, volume, buy_volume")
    assert len(others) < 10
    sparse = traded.filter(~at(lost))
    found = with_klines(bars_of(ticks), sparse, FINE, trades_beneath(ticks))
    [row] = found.differing.iter_rows(named=True)
    assert (row["differs"], row["theirs"], row["distance"]) == ("no kline", "nothing", 1.0)
    late = bars_of(ticks.filter(minute >= 300))  # the price before is not known: there is no bar
    found = with_klines(late, klines, FINE, trades_beneath(ticks.filter(minute >= 300)))
    words = found.differing["differs"].unique().to_list()
    assert words == ["no trades of ours"]
    assert found.poisons


def test_what_a_finding_says_already_is_no_news(day):
    ticks, _, klines = day
    minute = (pl.col("ts").to_physical() - START) // MINUTE
    kept = ticks.filter(~minute.is_between(600, 699))
    before, after = (
        kept.filter(minute < 600)["ts"].to_physical().max(),
        kept.filter(minute > 699)["ts"].to_physical().min(),
    )
    gap = findings_frame([Finding("gap", "error", before, after, 9, "9 trades are missing", True)])
    bars = bars_of(kept)
    found = with_klines(bars, klines, gap, trades_beneath(kept))
    assert found.differing.height >= 90
    assert found.unexplained.is_empty()
    assert not found.poisons  # an outage: bars know of it
    unknown = with_klines(bars, klines, FINE, trades_beneath(kept))
    assert unknown.unexplained.height == found.differing.height
    assert unknown.poisons


def test_klines_of_another_market_and_of_shifted_clocks_poison_the_day(day):
    ticks, bars, klines = day
    _, other = market(seed=2)
    assert with_klines(bars, other, FINE, trades_beneath(ticks)).poisons
    shifted = klines.with_columns(pl.col("ts") + pl.duration(minutes=1)).head(1000)
    assert with_klines(bars, shifted, FINE, trades_beneath(ticks)).poisons
    # Klines of half the day say nothing against the other half.
    half = klines.filter(pl.col("ts").to_physical() <= START + 12 * HOUR)
    found = with_klines(bars, half, FINE, trades_beneath(ticks))
    assert found.unexplained["differs"].unique().to_list() == ["no kline"]
    assert not found.poisons


def test_the_worst_minutes_come_first(day):
    ticks, bars, klines = day
    planted = klines.with_columns(
        close=pl.when(at(10)).then(pl.col("close") * 1.5).otherwise("close"),
        volume=pl.when(at(5)).then(pl.col("volume") + 0.001).otherwise("volume"),
    )
    found = with_klines(bars, planted, FINE, trades_beneath(ticks))
    assert found.differing["ts"].is_sorted()
    assert found.unexplained["ts"].to_physical().to_list() == [end_of(10), end_of(5)]


@settings(max_examples=200)
@given(
    steps=st.lists(st.integers(1, 10**14), min_size=1, max_size=60),
    scale=st.sampled_from([1, 10**3, 10**8]),
)
def test_no_sum_of_doubles_is_farther_from_the_decimal_than_the_bound(steps, scale):
    values = [float(Decimal(s) / scale) for s in steps]
    total = 0.0
    for value in values:
        total += value
    exact = Decimal(sum(steps)) / scale
    bound = Decimal((len(steps) + 2) * UNIT) * Decimal(float(exact))
    assert abs(Decimal(total) - Decimal(float(exact))) <= bound


def test_trades_beneath_are_counted_in_the_minute_that_bars_count_them_in():
    ticks, _ = market(trades=500)
    # One is stamped two minutes earlier than one before it.
    ts = ticks["ts"].to_physical().to_numpy().copy()
    ts[250] -= 2 * MINUTE
    ticks = ticks.with_columns(ts=pl.Series(ts).cast(TIME))
    counted = trades_beneath(ticks)
    bars = bars_of(ticks).filter(pl.col("trades") > 0)
    assert counted["ts"].to_list() == bars["ts"].to_list()
    expected = [
        (ticks["last_id"] - ticks["first_id"] + 1)
        .filter(ticks["trade_id"].is_between(first, last))
        .sum()
        for first, last in bars.select("first_trade_id", "last_trade_id").iter_rows()
    ]
    assert counted["trades"].to_list() == expected
    unknown = ticks.with_columns(
        last_id=pl.when(pl.col("trade_id") == 7).then(None).otherwise("last_id")
    )
    assert trades_beneath(unknown)["trades"].null_count() == 1


def reference(ticks: pl.DataFrame, bps: float, noise: float = 0.0) -> pl.DataFrame:
    bars = bars_of(ticks)
    rng = np.random.default_rng(3)
    factor = 1 - 1e-4 * (bps + noise * rng.standard_normal(bars.height))
    return bars.with_columns(close=pl.col("close") * pl.Series(factor))


def test_another_venue_is_near_or_not(day):
    ticks, bars, _ = day
    near = with_reference(bars, reference(ticks, 5.0))
    assert near.minutes == (bars["volume"] > 0).sum()
    assert near.median_bps == pytest.approx(5.0, abs=0.01)
    assert near.bias_bps == pytest.approx(5.0, abs=0.01)
    assert near.within(6, 6)
    assert not near.within(4, 6)
    noisy = with_reference(bars, reference(ticks, 0.0, noise=10.0))
    assert noisy.bias_bps == pytest.approx(0.0, abs=1.0)
    assert noisy.median_bps == pytest.approx(6.745, rel=0.1)
    assert noisy.p99_bps == pytest.approx(25.8, rel=0.1)
    assert noisy.within(8, 30)
    assert not noisy.within(8, 20)
    assert noisy.worst(3)["bps"].abs().is_sorted(descending=True)


def test_minutes_that_say_nothing_are_left_out_and_too_few_are_not_judged(day):
    ticks, bars, _ = day
    other = reference(ticks, 5.0)
    some = other.with_columns(valid=pl.col("ts").to_physical() <= START + HOUR)
    near = with_reference(bars, some)
    assert (
        near.minutes
        == bars.filter(pl.col("volume") > 0, pl.col("ts").to_physical() <= START + HOUR).height
    )
    few = with_reference(bars.head(20), other)
    assert few.minutes < 30
    assert few.within(0.1, 0.1)
    none = with_reference(bars.clear(), other)
    assert none.minutes == 0
    assert none.within(1, 1)
    assert none.worst(5).is_empty()
