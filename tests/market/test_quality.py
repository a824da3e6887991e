"""Quality: what is found, where, and what it invalidates."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import TIME, table
from vostok_core.market.findings import Finding, findings_frame
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.klines import merge_klines
from vostok_core.market.quality import inspect, inspect_klines
from vostok_core.market.ticks import IDS_PER_DAY, LastTick
from vostok_core.times import DAY, HOUR, MINUTE, day_start

MONDAY = date(2024, 1, 1)
START = day_start(MONDAY)


def instrument(market: str = "spot", max_silence: int = 10 * DAY) -> Instrument:
    return Instrument(
        id=InstrumentId.parse(f"binance.{market}.BTC-USDT"),
        tick="agg_trade",
        price_tick=Decimal("0.01"),
        quantity_step=Decimal("0.00001"),
        min_notional=Decimal(5),
        max_silence=max_silence,
    )


def ticks_of(
    ids: list[int],
    times: list[int] | None = None,
    prices: list[float] | None = None,
    beneath: list[tuple[int, int] | None] | None = None,
) -> pl.DataFrame:
    n = len(ids)
    times = times or [k * 1000 for k in range(n)]
    beneath = beneath or [None] * n
    return pl.DataFrame(
        {
            "trade_id": pl.Series(ids, dtype=pl.Int64),
            "ts": pl.Series([START + t for t in times], dtype=pl.Int64).cast(TIME),
            "price": pl.Series(prices or [100.0] * n, dtype=pl.Float64),
            "qty": pl.Series([1.0] * n, dtype=pl.Float64),
            "buyer_maker": pl.Series([False] * n, dtype=pl.Boolean),
            "first_id": pl.Series([b and b[0] for b in beneath], dtype=pl.Int64),
            "last_id": pl.Series([b and b[1] for b in beneath], dtype=pl.Int64),
        }
    )


def found(ticks: pl.DataFrame, of: Instrument | None = None, **known: Any) -> list[Any]:
    """(kind, severity, start, end, count, invalidates), times after the day's start."""
    quality = inspect(ticks, MONDAY, of or instrument(), **known)
    validate(table("quality"), quality, "test")
    return quality.select(
        "kind",
        "severity",
        pl.col("ts").to_physical() - START,
        pl.col("end_ts").to_physical() - START,
        "count",
        "invalidates",
    ).rows()


@settings(max_examples=100, deadline=None)
@given(
    present=st.sets(st.integers(0, 60), min_size=1),
    before=st.one_of(st.none(), st.integers(-5, -1)),
)
def test_every_missing_id_is_counted_in_exactly_one_gap(present, before):
    ids = sorted(present)
    previous = None if before is None else LastTick(100 + before, START - 10, 100.0, 1)

    gaps = found(ticks_of([100 + i for i in ids], [i * 1000 for i in ids]), previous=previous)

    known = ([] if before is None else [(before, -10)]) + [(i, i * 1000) for i in ids]
    expected = [
        ("gap", "error", at, next_at, b - a - 1, True)
        for (a, at), (b, next_at) in pairwise(known)
        if b != a + 1
    ]
    assert gaps == expected


@pytest.mark.parametrize(
    ("market", "ids", "beneath", "expected"),
    [
        ("spot", [1, 2], [(10, 11), (12, 12)], []),
        ("spot", [1, 3], [(10, 11), (12, 12)], [("info", 0, False)]),
        ("spot", [1, 3], [(10, 11), (15, 15)], [("error", 3, True)]),
        ("spot", [1, 2], [(10, 11), (15, 15)], [("error", 3, True)]),
        ("usdm", [1, 2], [(10, 11), (15, 15)], [("info", 3, False)]),
        ("usdm", [1, 3], [(10, 11), (15, 15)], [("error", 3, True)]),
        ("spot", [1, 2], [(10, 11), (11, 12)], [("warn", 1, False)]),
        ("spot", [1, 3], [(10, 11), None], [("error", 1, True)]),
    ],
    ids=[
        "unbroken",
        "only the aggregate ids jump",
        "both jump",
        "only the trades beneath jump",
        "insurance fund trades of a derivative",
        "a real hole in a derivative",
        "trades counted twice",
        "nothing known beneath",
    ],
)
def test_the_trades_beneath_decide_whether_something_is_missing(market, ids, beneath, expected):
    rows = found(ticks_of(ids, beneath=beneath), instrument(market))
    assert [(row[1], *row[4:]) for row in rows if row[0] == "gap"] == expected


def test_an_id_repeated_across_midnight_is_no_gap_when_the_trades_beneath_go_on():
    previous = LastTick(12_027_555, START - 1, 100.0, 1, last_id=20_090_669)
    ticks = ticks_of(
        [12_027_555, 12_027_556], beneath=[(20_090_670, 20_090_670), (20_090_671, 20_090_681)]
    )
    assert [row[1] for row in found(ticks, previous=previous)] == ["info"]
    bare = ticks_of([12_027_555, 12_027_556])
    assert [(row[1], row[5]) for row in found(bare, previous=previous)] == [("error", True)]


def test_ids_of_our_own_are_not_searched_for_gaps():
    first = START // DAY * IDS_PER_DAY
    ours = ticks_of([first, first + 1])
    theirs = LastTick(5, START - 1, 100.0, 1)
    assert found(ours, previous=theirs) == []
    assert (
        found(ticks_of([6, 7]), previous=LastTick(first - IDS_PER_DAY, START - 1, 100.0, 1)) == []
    )


def test_silence_is_measured_to_both_ends_of_the_day_and_across_midnight():
    of = instrument(max_silence=HOUR)
    times = [2 * HOUR, 3 * HOUR, 4 * HOUR + 1, *(h * HOUR for h in range(5, 23))]
    ticks = ticks_of(list(range(len(times))), times)
    near = LastTick(-1, START - MINUTE, 100.0, 1)

    alone = found(ticks, of)
    known = found(ticks, of, previous=near)

    tail = [
        ("silence", "warn", 3 * HOUR, 4 * HOUR + 1, 60, True),
        ("silence", "warn", 22 * HOUR, DAY - 1, 120, True),
    ]
    assert alone == [("silence", "warn", 0, 2 * HOUR, 120, True), *tail]
    assert known == [("silence", "warn", -MINUTE, 2 * HOUR, 121, True), *tail]


def test_a_day_without_a_trade_is_one_silence():
    of = instrument(max_silence=HOUR)
    assert found(ticks_of([]), of) == [("silence", "warn", 0, DAY - 1, 1440, True)]
    previous = LastTick(1, START - DAY, 100.0, 1)
    assert found(ticks_of([]), of, previous=previous)[0][2] == -DAY


def test_an_outlier_is_far_from_both_sides_while_a_move_is_far_from_one():
    steady = [100.0] * 20
    spike = [*steady, 121.0, *steady]
    move = [*steady, *([130.0] * 20)]
    at = 20 * 1000
    assert found(ticks_of(list(range(41)), prices=spike)) == [("outlier", "warn", at, at, 1, False)]
    assert found(ticks_of(list(range(40)), prices=move)) == []
    assert found(ticks_of(list(range(41)), prices=[*steady, 119.0, *steady])) == []
    many = [100.0, 100.0, 50.0, 100.0] * 30
    ((_, _, _, _, count, _),) = found(ticks_of(list(range(120)), prices=many))
    assert count == 30


def test_times_that_run_backwards_are_reported_once_with_their_number():
    rows = found(ticks_of([1, 2, 3, 4, 5], [10, 30, 20, 25, 40]))
    assert rows == [("time_reversal", "warn", 20, 30, 2, False)]


def test_findings_of_the_merge_are_part_of_the_result():
    merged = findings_frame([Finding("duplicate", "info", START + 5, START + 9, 2, "twice")])
    rows = found(ticks_of([1, 3]), findings=merged)
    assert [row[0] for row in rows] == ["gap", "duplicate"]


def klines_of(minutes: list[int], close: float = 1.0) -> pl.DataFrame:
    ends = [START + (m + 1) * MINUTE for m in minutes]
    return pl.DataFrame(
        {"ts": pl.Series(ends, dtype=pl.Int64).cast(TIME)}
        | {name: [close] * len(minutes) for name in ("open", "high", "low", "close", "volume")},
    ).with_columns(
        quote_volume=pl.lit(None, pl.Float64),
        trades=pl.lit(None, pl.Int64),
        buy_volume=pl.lit(None, pl.Float64),
    )


@settings(max_examples=60, deadline=None)
@given(absent=st.sets(st.integers(0, 1439), max_size=30), run=st.integers(0, 1200))
def test_every_minute_without_a_kline_is_counted_once(absent, run):
    absent = absent | set(range(run, run + 90))
    minutes = [m for m in range(1440) if m not in absent]
    quality = inspect_klines(
        klines_of(minutes), MONDAY, instrument(max_silence=HOUR), previous_ts=START
    )
    validate(table("quality"), quality, "test")
    assert quality["count"].sum() == len(absent)
    long = quality.filter(pl.col("invalidates"))
    assert long.height == 1
    assert long["count"][0] >= 90
    assert (long["end_ts"] - long["ts"]).to_physical()[0] == long["count"][0] * MINUTE - 1


def test_an_outage_of_klines_across_midnight_is_seen_from_the_day_after():
    of = instrument(max_silence=HOUR)
    late = klines_of(list(range(40, 1440)))
    seen = inspect_klines(late, MONDAY, of, previous_ts=START - 30 * MINUTE)
    assert seen.select("count", "invalidates").rows() == [(70, True)]
    unseen = inspect_klines(late, MONDAY, of)
    assert unseen.select("count", "invalidates").rows() == [(40, False)]
    assert inspect_klines(klines_of([]), MONDAY, of)["count"].to_list() == [1440]


def test_klines_of_several_files_are_merged_and_the_first_landed_wins():
    first, second = klines_of([3, 1]), klines_of([1, 2], close=2.0)
    klines, quality = merge_klines([first, second, first])
    assert klines["ts"].to_physical().to_list() == [START + m * MINUTE for m in (2, 3, 4)]
    assert klines["close"].to_list() == [1.0, 2.0, 1.0]
    assert quality.select("kind", "severity", "count").rows() == [
        ("duplicate", "error", 1),
        ("duplicate", "info", 2),
    ]
    validate(table("klines"), klines, "test")
