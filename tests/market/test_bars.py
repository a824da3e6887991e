"""Bars: the kernel against a slow twin, Polars and the exchange's own klines."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.features import inputs
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import TIME, table
from vostok_core.market.bars import BAR_FIELDS, BarBuilder, bars_from_klines, day_bars
from vostok_core.market.findings import Finding, findings_frame
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import DAY, HOUR, MINUTE, SECOND, day_start

MONDAY = date(2024, 1, 1)
START = day_start(MONDAY)
NOTHING_WRONG = findings_frame([])
INSTRUMENT = Instrument(
    id=InstrumentId.parse("binance.spot.BTC-USDT"),
    tick="agg_trade",
    price_tick=Decimal("0.01"),
    quantity_step=Decimal("0.00001"),
    min_notional=Decimal(5),
    max_silence=HOUR,
)


def ticks_of(rows: list[tuple[int, float, float, bool]], first_id: int = 1) -> pl.DataFrame:
    """Ticks from (time after the day's start, price, quantity, buyer_maker)."""
    ids = list(range(first_id, first_id + len(rows)))
    return pl.DataFrame(
        {
            "trade_id": pl.Series(ids, dtype=pl.Int64),
            "ts": pl.Series([START + r[0] for r in rows], dtype=pl.Int64).cast(TIME),
            "price": pl.Series([r[1] for r in rows], dtype=pl.Float64),
            "qty": pl.Series([r[2] for r in rows], dtype=pl.Float64),
            "buyer_maker": pl.Series([r[3] for r in rows], dtype=pl.Boolean),
            "first_id": pl.Series(ids, dtype=pl.Int64),
            "last_id": pl.Series(ids, dtype=pl.Int64),
        }
    )


def twin(
    ticks: pl.DataFrame,
    interval: int,
    step: Decimal,
    previous: tuple[float, int] | None,
) -> list[dict[str, float | int | None]]:
    """One bar after the other, each from the list of its trades."""
    rows = ticks.with_columns(pl.col("ts").to_physical()).to_dicts()
    newest = 0
    for row in rows:  # a tick stamped too early belongs to the bar that is open
        newest = max(newest, row["ts"])
        row["bar"] = newest // interval
        row["side"] = -1 if row["buyer_maker"] else 1
    last, side = previous or (None, 0)
    bars = []
    for bar in range(START // interval, (START + DAY) // interval):
        trades = [row for row in rows if row["bar"] == bar]
        if not trades and last is None:
            continue
        prices = [row["price"] for row in trades] or [last]
        volume = quote = bought = squares = returns = 0.0
        changes = 0
        classes: Counter[int] = Counter()
        for row in trades:
            volume += row["qty"]
            quote += row["price"] * row["qty"]
            bought += row["qty"] if row["side"] == 1 else 0.0
            squares += row["qty"] * row["qty"]
            if last is not None:
                returns += math.log(row["price"] / last) ** 2
            changes += side not in (0, row["side"])
            last, side = row["price"], row["side"]
            steps = Fraction(str(row["qty"])) / Fraction(step)
            size_class = 0
            while 2 ** (size_class + 1) <= steps:
                size_class += 1
            classes[size_class] += 1
        entropy = 0.0
        for size_class in sorted(classes):
            share = classes[size_class] / len(trades)
            entropy -= share * math.log2(share)
        vwap = min(max(quote / volume, min(prices)), max(prices)) if trades else last
        bars.append(
            {
                "ts": (bar + 1) * interval,
                "open": prices[0],
                "high": max(prices),
                "low": min(prices),
                "close": prices[-1],
                "volume": volume,
                "quote_volume": quote,
                "trades": float(len(trades)),
                "buy_volume": bought,
                "vwap": vwap,
                "max_qty": max((row["qty"] for row in trades), default=0.0),
                "qty_sq_sum": squares,
                "size_entropy": entropy,
                "return_sq_sum": returns,
                "side_changes": float(changes),
                "first_trade_id": trades[0]["trade_id"] if trades else None,
                "last_trade_id": trades[-1]["trade_id"] if trades else None,
            }
        )
    return bars


TICK = st.tuples(
    st.one_of(
        st.integers(0, DAY - 1),
        st.integers(0, 23).map(lambda hour: hour * HOUR),  # right on the edge of a bar
    ),
    st.integers(9_990, 10_010).map(lambda cents: cents / 100),
    st.one_of(st.integers(1, 10**7), st.integers(0, 20).map(lambda power: 2**power)).map(
        lambda steps: float(Decimal(steps) * Decimal("0.00001"))
    ),
    st.booleans(),
)
PREVIOUS = st.one_of(st.none(), st.tuples(st.just(100.0), st.sampled_from([-1, 0, 1])))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(TICK, max_size=40),
    in_order=st.booleans(),
    interval=st.sampled_from(["1h", "4h", "1d"]),
    previous=PREVIOUS,
)
def test_bars_are_those_of_a_slow_obvious_twin(rows, in_order, interval, previous):
    if in_order:
        rows = sorted(rows, key=lambda row: row[0])
    ticks = ticks_of(rows)

    bars = day_bars(ticks, MONDAY, interval, INSTRUMENT, previous, NOTHING_WRONG)

    hours = {"1h": 1, "4h": 4, "1d": 24}[interval]
    expected = twin(ticks, hours * HOUR, INSTRUMENT.quantity_step, previous)
    found = bars.with_columns(pl.col("ts").to_physical()).select(
        list(expected[0]) if expected else []
    )
    # return_sq_sum squares by multiplication in the kernel and by ** in the twin: same bits.
    assert found.to_dicts() == expected
    validate(table("bars"), bars, "test")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(TICK, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    timers=st.booleans(),
    previous=PREVIOUS,
)
def test_any_chunking_of_the_stream_gives_the_same_bits(rows, cuts, timers, previous):
    rows = sorted(rows, key=lambda row: row[0])
    arrays = _arrays(ticks_of(rows))
    whole = BarBuilder(HOUR, 0.00001, START, previous).push(*arrays, until=START + DAY)

    builder = BarBuilder(HOUR, 0.00001, START, previous)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    pieces = []
    for a, b in pairwise(edges):
        chunk = [array[a:b] for array in arrays]
        pieces.append(builder.push(*chunk))
        if timers and b < len(rows):  # a timer that fires just before the next trade
            pieces.append(builder.close(int(arrays[0][b])))
    pieces.append(builder.close(START + DAY))

    assert np.concatenate([p.rows for p in pieces]).tobytes() == whole.rows.tobytes()
    assert np.concatenate([p.ids for p in pieces]).tobytes() == whole.ids.tobytes()


def test_a_new_builder_with_the_last_trade_continues_where_the_old_one_stood():
    rows = [(k * 7 * MINUTE, 100 + math.sin(k), 0.001 * (k + 1), k % 3 == 0) for k in range(400)]
    arrays = _arrays(ticks_of(rows))
    midnight = START + DAY
    first = arrays[0] < midnight

    one = BarBuilder(MINUTE, 0.00001, START)
    running = np.concatenate(
        [
            one.push(*[a[first] for a in arrays], until=midnight).rows,
            one.push(*[a[~first] for a in arrays], until=midnight + DAY).rows,
        ]
    )
    price, side = float(arrays[1][first][-1]), -1 if arrays[3][first][-1] else 1
    fresh = [
        BarBuilder(MINUTE, 0.00001, START).push(*[a[first] for a in arrays], until=midnight).rows,
        BarBuilder(MINUTE, 0.00001, midnight, (price, side))
        .push(*[a[~first] for a in arrays], until=midnight + DAY)
        .rows,
    ]

    assert (~first).any()
    assert running.tobytes() == np.concatenate(fresh).tobytes()


def _arrays(ticks: pl.DataFrame) -> list[np.ndarray]:
    return [
        ticks["ts"].to_physical().to_numpy(),
        ticks["price"].to_numpy(),
        ticks["qty"].to_numpy(),
        ticks["buyer_maker"].to_numpy(),
        ticks["trade_id"].to_numpy(),
    ]


def test_minute_bars_agree_with_polars_group_by():
    generator = np.random.default_rng(7)
    n = 20_000
    ts = np.sort(generator.integers(0, DAY, n))
    price = np.round(100 * np.exp(np.cumsum(generator.normal(0, 1e-4, n))), 2)
    qty = np.round(generator.lognormal(-3, 1, n), 5) + 0.00001
    ticks = ticks_of(
        list(zip(ts.tolist(), price.tolist(), qty.tolist(), (qty > 0.05).tolist(), strict=True))
    )

    bars = day_bars(ticks, MONDAY, "1m", INSTRUMENT, None, NOTHING_WRONG)

    oracle = (
        ticks.group_by_dynamic("ts", every="1m", label="right")
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("qty").sum(),
            quote_volume=(pl.col("price") * pl.col("qty")).sum(),
            trades=pl.len().cast(pl.Float64),
            buy_volume=pl.col("qty").filter(~pl.col("buyer_maker")).sum(),
            max_qty=pl.col("qty").max(),
            qty_sq_sum=(pl.col("qty") ** 2).sum(),
            first_trade_id=pl.col("trade_id").first(),
            last_trade_id=pl.col("trade_id").last(),
        )
        .with_columns(vwap=pl.col("quote_volume") / pl.col("volume"))
    )
    traded = bars.filter(pl.col("trades") > 0)
    assert traded.height == oracle.height
    for name in oracle.columns:
        if name in ("volume", "quote_volume", "buy_volume", "qty_sq_sum", "vwap"):
            # Polars sums in another order.
            assert np.allclose(traded[name], oracle[name], rtol=1e-12, atol=0), name
        else:
            assert traded[name].equals(oracle[name]), name
    assert bars.height == 1440
    assert bars["ts"].diff().drop_nulls().unique().to_list() == [MINUTE_DELTA]


MINUTE_DELTA = datetime(2024, 1, 1, 0, 1, tzinfo=UTC) - datetime(2024, 1, 1, tzinfo=UTC)


def test_a_minute_without_trades_repeats_the_last_price_with_no_volume():
    ticks = ticks_of([(30 * SECOND, 10.0, 1.0, False), (150 * SECOND, 11.0, 2.0, True)])

    bars = day_bars(ticks, MONDAY, "1m", INSTRUMENT, None, NOTHING_WRONG)

    empty = bars.row(1, named=True)
    assert [empty[k] for k in ("open", "high", "low", "close", "vwap")] == [10.0] * 5
    assert [empty[k] for k in ("volume", "quote_volume", "trades", "max_qty")] == [0.0] * 4
    assert empty["size_entropy"] == empty["return_sq_sum"] == empty["side_changes"] == 0.0
    assert empty["first_trade_id"] is None
    third = bars.row(2, named=True)
    assert third["return_sq_sum"] == math.log(1.1) ** 2
    assert third["side_changes"] == 1.0


def test_there_is_no_bar_before_the_first_known_price():
    ticks = ticks_of([(10 * MINUTE, 10.0, 1.0, False)])
    alone = day_bars(ticks, MONDAY, "1m", INSTRUMENT, None, NOTHING_WRONG)
    known = day_bars(ticks, MONDAY, "1m", INSTRUMENT, (9.0, 1), NOTHING_WRONG)
    silent = day_bars(ticks.clear(), MONDAY, "1m", INSTRUMENT, None, NOTHING_WRONG)
    carried = day_bars(ticks.clear(), MONDAY, "1m", INSTRUMENT, (9.0, 1), NOTHING_WRONG)

    assert alone["ts"].to_physical()[0] == START + 11 * MINUTE
    assert alone["return_sq_sum"][0] == 0.0
    assert known.height == 1440
    assert known["close"][0] == 9.0
    assert silent.height == 0
    assert carried.height == 1440
    assert carried["volume"].sum() == 0.0


def test_size_entropy_of_two_equal_classes_is_one_bit_and_of_one_class_none():
    step = 0.00001
    same = ticks_of([(k, 10.0, qty * step, False) for k, qty in enumerate((8, 9, 15))])
    two = ticks_of([(k, 10.0, qty * step, False) for k, qty in enumerate((7, 8, 15, 4))])

    def entropy(ticks: pl.DataFrame) -> float:
        return day_bars(ticks, MONDAY, "1d", INSTRUMENT, None, NOTHING_WRONG)["size_entropy"][0]

    assert entropy(same) == 0.0
    assert entropy(two) == 1.0


def invalid_minutes(kind: str, first: int, last: int) -> list[int]:
    """Minutes of the day whose bars one bad span leaves invalid."""
    ticks = ticks_of([(0, 10.0, 1.0, False)])
    span = Finding(kind, "error", START + first, START + last, 1, "", invalidates=True)
    harmless = Finding("outlier", "warn", START, START + DAY, 1, "")
    bars = day_bars(ticks, MONDAY, "1m", INSTRUMENT, None, findings_frame([span, harmless]))
    return [k for k, good in enumerate(bars["valid"]) if not good]


def test_a_gap_invalidates_the_bar_of_the_trade_that_shows_it():
    assert invalid_minutes("gap", 90 * SECOND, 100 * SECOND) == [1]
    assert invalid_minutes("gap", 60 * SECOND - 1, 120 * SECOND - 1) == [1]
    assert invalid_minutes("gap", 60 * SECOND - 1, 120 * SECOND) == [2]
    assert invalid_minutes("gap", -DAY, 0) == [0]


def test_a_silence_invalidates_bars_from_when_it_is_too_long_through_the_trade_that_ends_it():
    assert INSTRUMENT.max_silence == HOUR
    # From 00:01:30 on nobody trades; at the close of 01:31 it has lasted an hour less 30 seconds.
    assert invalid_minutes("silence", 90 * SECOND, 2 * HOUR) == list(range(61, 121))
    assert invalid_minutes("silence", 90 * SECOND, 2 * HOUR - 1) == list(range(61, 120))
    # An hour to the microsecond at a close is not yet too long.
    assert invalid_minutes("silence", 60 * SECOND, 2 * HOUR) == list(range(61, 121))
    assert invalid_minutes("silence", 60 * SECOND - 1, 2 * HOUR) == list(range(60, 121))
    assert invalid_minutes("silence", 23 * HOUR + 1, DAY - 1) == []
    assert invalid_minutes("silence", -DAY, DAY - 1) == list(range(1440))


def test_absent_klines_invalidate_bars_through_the_first_kline_after_them():
    # A run ends with the microsecond before the kline that ends it begins.
    assert invalid_minutes("missing_minutes", 5 * MINUTE, 2 * HOUR - 1) == list(range(65, 121))
    assert invalid_minutes("missing_minutes", -HOUR, -1) == [0]
    assert invalid_minutes("missing_minutes", 22 * HOUR, DAY - 1) == list(range(1380, 1440))


def test_files_that_contradict_one_another_invalidate_the_bars_that_they_do_so_in():
    assert invalid_minutes("duplicate", 90 * SECOND, 200 * SECOND) == [1, 2, 3]
    assert invalid_minutes("duplicate", 60 * SECOND, 60 * SECOND) == [1]
    assert invalid_minutes("duplicate", 60 * SECOND - 1, 60 * SECOND - 1) == [0]


def test_ticks_of_another_day_are_a_defect_of_the_caller():
    ticks = ticks_of([(DAY, 10.0, 1.0, False)])
    with pytest.raises(AssertionError, match="another day"):
        day_bars(ticks, MONDAY, "1m", INSTRUMENT, None, NOTHING_WRONG)


def test_feature_kernels_read_every_field_of_a_bar_where_the_kernel_writes_it():
    places = {name: getattr(inputs, name.upper()) for name in BAR_FIELDS}
    assert places == {name: k for k, name in enumerate(BAR_FIELDS)}


def klines_of(minutes: dict[int, tuple[float, ...]], *, full: bool) -> pl.DataFrame:
    """1-minute klines: minute of the day -> open, high, low, close, volume."""
    n = len(minutes)
    columns = list(zip(*minutes.values(), strict=True)) if n else [[]] * 5
    ends = [START + (m + 1) * MINUTE for m in minutes]
    frame = {"ts": pl.Series(ends, dtype=pl.Int64).cast(TIME)}
    for k, name in enumerate(("open", "high", "low", "close", "volume")):
        frame[name] = pl.Series(columns[k], dtype=pl.Float64)
    frame["quote_volume"] = pl.Series(
        [row[3] * row[4] if full else None for row in minutes.values()], dtype=pl.Float64
    )
    frame["trades"] = pl.Series([3 if full else None] * n, dtype=pl.Int64)
    frame["buy_volume"] = pl.Series([0.5 if full else None] * n, dtype=pl.Float64)
    return pl.DataFrame(frame)


KLINE = st.tuples(st.integers(90, 110), st.integers(90, 110), st.integers(0, 1000)).map(
    lambda x: (float(x[0]), float(max(x[:2])), float(min(x[:2])), float(x[1]), x[2] / 8)
)


@settings(max_examples=40, deadline=None)
@given(
    minutes=st.dictionaries(st.integers(0, 1439), KLINE, max_size=30),
    interval=st.sampled_from([1, 5, 60, 1440]),
    previous=st.one_of(st.none(), st.just(99.0)),
    full=st.booleans(),
)
def test_bars_from_klines_are_those_of_a_slow_obvious_twin(minutes, interval, previous, full):
    minutes = dict(sorted(minutes.items()))
    name = {1: "1m", 5: "5m", 60: "1h", 1440: "1d"}[interval]

    bars = bars_from_klines(
        klines_of(minutes, full=full), MONDAY, name, INSTRUMENT, previous, NOTHING_WRONG
    )

    expected = []
    last = previous
    for bar in range(0, 1440, interval):
        inside = [minutes[m] for m in range(bar, bar + interval) if m in minutes]
        if not inside and last is None:
            continue
        carried = [] if last is None or bar in minutes else [(last, last, last, last, 0.0)]
        rows = carried + inside
        last = rows[-1][3]
        volume = 0.0
        for row in inside:
            volume += row[4]
        expected.append(
            (
                START + (bar + interval) * MINUTE,
                rows[0][0],
                max(row[1] for row in rows),
                min(row[2] for row in rows),
                last,
                volume,
                3.0 * len(inside) if full else None,
            )
        )
    unknown = bool(minutes) and full
    found = bars.select(
        pl.col("ts").to_physical(),
        "open",
        "high",
        "low",
        "close",
        "volume",
        pl.col("trades").fill_nan(None),
    )
    if not unknown:
        expected = [(*row[:6], None) for row in expected]
    assert found.rows() == expected
    assert bars["return_sq_sum"].is_nan().all()
    assert bars["source"].unique().to_list() in (["klines"], [])
    if not full:
        assert bars["vwap"].is_nan().all()
    validate(table("bars"), bars, "test")
