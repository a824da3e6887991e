"""Fills on a price path, against a twin that reads the prints one by one."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.lake.tables import TIME
from vostok_core.market.paths import Exit, PricePath, bar_path, tick_path

MINUTE = 60_000_000


def ticks(*prints: tuple[int, float, str]) -> PricePath:
    """A path of (ts, price, taker), the taker being `b` or `s`."""
    frame = pl.DataFrame(
        {
            "ts": [p[0] for p in prints],
            "price": [p[1] for p in prints],
            "buyer_maker": [p[2] == "s" for p in prints],
        },
        schema={"ts": pl.Int64, "price": pl.Float64, "buyer_maker": pl.Boolean},
    )
    return tick_path(frame.with_columns(pl.col("ts").cast(TIME)))


def bars(*rows: tuple[float, ...]) -> PricePath:
    """A path of one-minute bars (minute that it starts at, open, high, low, close), volume 1;
    one of a minute and a price alone is a bar in which nobody traded."""
    names = ("ts", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame(
        [
            ((r[0] + 1) * MINUTE, *(r[1:] if len(r) == 5 else r[1:] * 4), float(len(r) == 5))
            for r in rows
        ],
        schema={name: pl.Int64 if name == "ts" else pl.Float64 for name in names},
        orient="row",
    )
    return bar_path(frame.with_columns(pl.col("ts").cast(TIME)), MINUTE)


def test_a_buy_pays_what_the_next_buyer_paid_and_never_a_print_of_its_own_instant() -> None:
    path = ticks((10, 100.0, "b"), (10, 101.0, "b"), (11, 99.0, "s"), (12, 102.0, "b"))
    assert path.taker_fill(9, 1) == (0, 10, 100.0)
    assert path.taker_fill(10, 1) == (3, 12, 102.0)
    assert path.taker_fill(9, -1) == (2, 11, 99.0)
    assert path.taker_fill(12, 1) is None


def test_a_print_of_unknown_side_serves_buyers_and_sellers() -> None:
    path = PricePath(
        np.array([5, 6]), np.array([10.0, 11.0]), np.array([-1, 0], np.int8), bars=False
    )
    assert path.taker_fill(0, 1) == (1, 6, 11.0)
    assert path.taker_fill(5, -1) == (1, 6, 11.0)


def test_take_profit_that_is_touched_but_not_traded_through_does_not_fill() -> None:
    path = ticks((1, 100.0, "b"), (2, 105.0, "b"), (3, 104.0, "s"), (4, 105.01, "b"))
    assert path.first_exit(0, 4, 105.0, 90.0).kind == "open"
    assert path.first_exit(0, 9, 105.0, 90.0) == Exit("take_profit", 3, 3, 4, 105.0, False)


def test_stop_fills_at_the_next_seller_however_low_after_a_gap() -> None:
    path = ticks((1, 100.0, "b"), (2, 94.0, "b"), (3, 95.0, "b"), (4, 88.0, "s"), (5, 99.0, "s"))
    assert path.first_exit(0, 9, 105.0, 95.0) == Exit("stop_loss", 1, 3, 4, 88.0, False)


def test_stop_triggers_at_the_stop_price_itself() -> None:
    path = ticks((1, 100.0, "b"), (2, 95.0, "s"), (3, 96.0, "s"))
    assert path.first_exit(0, 9, 105.0, 95.0) == Exit("stop_loss", 1, 2, 3, 96.0, False)


def test_time_exit_sells_to_the_next_buyer_strictly_after_the_end() -> None:
    path = ticks((1, 100.0, "b"), (5, 101.0, "s"), (6, 102.0, "b"), (7, 103.0, "s"))
    assert path.first_exit(0, 5, 200.0, 1.0) == Exit("time", 1, 3, 7, 103.0, False)


def test_stop_that_triggers_on_the_last_print_stays_open_with_its_trigger() -> None:
    path = ticks((1, 100.0, "b"), (2, 90.0, "s"))
    end = path.first_exit(0, 9, 105.0, 95.0)
    assert (end.kind, end.trigger, end.index, end.ts) == ("open", 1, -1, 2)
    assert math.isnan(end.price)


def test_prints_stamped_earlier_than_their_predecessor_count_as_of_the_later_time() -> None:
    path = ticks((10, 100.0, "b"), (8, 101.0, "b"), (12, 102.0, "b"))
    assert path.ts.tolist() == [10, 10, 12]
    assert path.taker_fill(9, 1) == (0, 10, 100.0)
    assert path.taker_fill(10, 1) == (2, 12, 102.0)


def test_an_empty_path_answers_that_nothing_happened() -> None:
    path = ticks()
    assert path.taker_fill(0, 1) is None
    assert path.first_exit(-1, 7, 2.0, 1.0).kind == "open"


def test_on_bars_an_order_meets_the_first_bar_that_starts_after_it_arrived() -> None:
    path = bars((0, 100, 101, 99, 100), (1, 102, 103, 98, 100), (4, 90, 91, 89, 90))
    assert path.taker_fill(0, 1) == (0, 0, 100.0)
    assert path.taker_fill(1, 1) == (1, MINUTE, 102.0)
    assert path.taker_fill(MINUTE, -1) == (1, MINUTE, 102.0)
    assert path.taker_fill(MINUTE + 1, -1) == (2, 4 * MINUTE, 90.0)
    assert path.taker_fill(4 * MINUTE + 1, -1) is None


def test_on_bars_stop_and_take_profit_in_one_bar_are_settled_against_us() -> None:
    path = bars((0, 100, 101, 99, 100), (1, 100, 110, 90, 100))
    assert path.first_exit(0, 9 * MINUTE, 105.0, 95.0) == Exit(
        "stop_loss", 1, 1, 2 * MINUTE, 95.0, True
    )


def test_on_bars_a_gap_below_the_stop_fills_at_the_open() -> None:
    path = bars((0, 100, 101, 99, 100), (1, 80, 82, 79, 81))
    assert path.first_exit(0, 9 * MINUTE, 105.0, 95.0) == Exit(
        "stop_loss", 1, 1, 2 * MINUTE, 80.0, False
    )


def test_on_bars_the_entry_bar_itself_can_hit_an_exit() -> None:
    path = bars((0, 100, 106, 99, 100))
    assert path.first_exit(0, 9 * MINUTE, 105.0, 95.0) == Exit(
        "take_profit", 0, 0, MINUTE, 105.0, False
    )


def test_on_bars_a_high_at_the_take_profit_does_not_fill_it() -> None:
    path = bars((0, 100, 105, 99, 100), (1, 101, 102, 100, 101))
    assert path.first_exit(0, MINUTE, 105.0, 95.0) == Exit("time", 1, 1, MINUTE, 101.0, False)


def test_on_bars_nothing_fills_in_a_bar_in_which_nobody_traded() -> None:
    # Nobody trades from minute 2 to 5; the price comes back 30 % lower.
    outage = [(minute, 100.0) for minute in range(2, 6)]
    path = bars((0, 100, 101, 99, 100), (1, 100, 101, 99, 100), *outage, (6, 70, 72, 69, 71))
    assert path.ts.tolist() == [MINUTE, 2 * MINUTE, 7 * MINUTE]
    assert path.taker_fill(2 * MINUTE, 1) == (2, 6 * MINUTE, 70.0)
    assert path.first_exit(0, 4 * MINUTE, 120.0, 60.0) == Exit(
        "time", 2, 2, 6 * MINUTE, 70.0, False
    )
    assert path.first_exit(0, 9 * MINUTE, 120.0, 95.0) == Exit(
        "stop_loss", 2, 2, 7 * MINUTE, 70.0, False
    )
    unended = bars((0, 100, 101, 99, 100), *outage)
    assert unended.taker_fill(MINUTE, 1) is None
    assert unended.first_exit(0, MINUTE, 120.0, 95.0).kind == "open"


def test_on_bars_a_bar_that_began_before_the_end_is_still_walked() -> None:
    path = bars((0, 100, 101, 99, 100), (1, 100, 101, 90, 100), (2, 97, 98, 96, 97))
    assert path.first_exit(0, MINUTE, 105.0, 95.0).kind == "time"
    assert path.first_exit(0, MINUTE + 1, 105.0, 95.0).kind == "stop_loss"


def slow_exit(rows: list[tuple[int, float, str]], index: int, end: int, tp: float, sl: float):
    """What becomes of resting exits, in so many words."""
    triggered = None
    for i in range(index + 1, len(rows)):
        ts, price, taker = rows[i]
        if triggered is None:
            if ts >= end:
                triggered = ("time", i)
            elif price <= sl:
                triggered = ("stop_loss", i)
                continue
            elif price > tp:
                return ("take_profit", i, i, ts, tp)
        if triggered is not None and taker == "s" and not (triggered[0] == "time" and ts <= end):
            return (triggered[0], triggered[1], i, ts, price)
    return None


@st.composite
def walks(draw: st.DrawFn) -> list[tuple[int, float, str]]:
    steps = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(-4, 4), st.sampled_from("bs")),
            min_size=1,
            max_size=40,
        )
    )
    rows, ts, price = [], 0, 100
    for wait, change, taker in steps:
        ts, price = ts + wait, price + change
        rows.append((ts, float(price), taker))
    return rows


@settings(deadline=None)
@given(
    walks(),
    st.integers(-1, 10),
    st.integers(0, 60),
    st.integers(101, 110),
    st.integers(90, 99),
)
def test_exits_agree_with_the_twin_on_any_walk(
    rows: list[tuple[int, float, str]], index: int, end: int, tp: int, sl: int
) -> None:
    found = ticks(*rows).first_exit(index, end, float(tp), float(sl))
    expected = slow_exit(rows, index, end, float(tp), float(sl))
    if expected is None:
        assert found.kind == "open"
    else:
        assert (found.kind, found.trigger, found.index, found.ts, found.price) == expected


@settings(deadline=None)
@given(walks(), st.integers(-1, 60), st.sampled_from([1, -1]))
def test_entries_agree_with_the_twin_on_any_walk(
    rows: list[tuple[int, float, str]], after: int, side: int
) -> None:
    taker = "b" if side == 1 else "s"
    expected = next(
        ((i, ts, price) for i, (ts, price, t) in enumerate(rows) if ts > after and t == taker), None
    )
    assert ticks(*rows).taker_fill(after, side) == expected


@pytest.mark.parametrize("cut", range(1, 6))
def test_what_happens_before_a_cut_does_not_depend_on_what_comes_after(cut: int) -> None:
    rows = [(1, 100.0, "b"), (2, 94.0, "b"), (3, 95.0, "b"), (4, 88.0, "s"), (5, 99.0, "s")]
    whole = ticks(*rows).first_exit(0, 9, 105.0, 95.0)
    part = ticks(*rows[:cut]).first_exit(0, 9, 105.0, 95.0)
    assert part == whole if cut > whole.index else part.kind == "open"
