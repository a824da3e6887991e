"""Merging the parts of a day: order, identity, and what is reported."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import DataError
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import TIME, table
from vostok_core.market.ticks import IDS_PER_DAY, assigned, last_tick, merge
from vostok_core.times import DAY, MINUTE

NUMBER = 19_723
START = NUMBER * DAY
Row = tuple[int | None, int, float, float, bool]


def part(rows: list[Row]) -> pl.DataFrame:
    """Rows of `raw_trades` from (id, time after the day's start, price, quantity, buyer_maker)."""
    ids = [row[0] for row in rows]
    return pl.DataFrame(
        {
            "trade_id": pl.Series(ids, dtype=pl.Int64),
            "ts": pl.Series([START + row[1] for row in rows], dtype=pl.Int64).cast(TIME),
            "price": pl.Series([row[2] for row in rows], dtype=pl.Float64),
            "qty": pl.Series([row[3] for row in rows], dtype=pl.Float64),
            "buyer_maker": pl.Series([row[4] for row in rows], dtype=pl.Boolean),
            "first_id": pl.Series(ids, dtype=pl.Int64),
            "last_id": pl.Series(ids, dtype=pl.Int64),
            "best_match": pl.Series([None] * len(rows), dtype=pl.Boolean),
        }
    )


def content(ticks: pl.DataFrame) -> list[tuple[object, ...]]:
    picked = ticks.select(
        "trade_id", pl.col("ts").to_physical() - START, "price", "qty", "buyer_maker"
    )
    return picked.rows()


CONTENT = st.tuples(
    st.integers(0, 5),
    st.sampled_from([1.0, 2.0]),
    st.sampled_from([1.0, 2.0]),
    st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.lists(st.tuples(st.integers(0, 8), CONTENT), max_size=8), min_size=1))
def test_with_ids_every_id_occurs_once_and_the_first_landed_wins(parts):
    frames = [part([(i, *trade) for i, trade in rows]) for rows in parts]

    ticks, quality = merge(frames, "agg_trade")

    first: dict[int, tuple[object, ...]] = {}
    contents: dict[int, set[tuple[object, ...]]] = {}
    back = 0
    for rows in parts:
        newest = -1
        for i, trade in rows:
            first.setdefault(i, trade)
            contents.setdefault(i, set()).add(trade)
            back += i < newest
            newest = max(newest, i)
    assert content(ticks) == [(i, *first[i]) for i in sorted(first)]
    counts = {(row["kind"], row["severity"]): row["count"] for row in quality.to_dicts()}
    rows_in = sum(len(rows) for rows in parts)
    kinds = sum(len(c) for c in contents.values())
    expected = {
        ("out_of_order", "info"): back,
        ("duplicate", "info"): rows_in - kinds,
        ("duplicate", "error"): sum(len(c) > 1 for c in contents.values()),
    }
    assert counts == {key: count for key, count in expected.items() if count}
    assert quality["invalidates"].to_list() == (quality["severity"] == "error").to_list()
    validate(table("ticks"), ticks, "test")
    validate(table("quality"), quality, "test")


def test_every_minute_in_which_files_contradict_one_another_is_found():
    # Trade 2 has another price, 3 another time, and 4 is stamped late: it counts in minute 5.
    first = [(1, 0, 10.0), (2, MINUTE, 10.0), (3, 5 * MINUTE, 10.0), (4, 3 * MINUTE, 10.0)]
    second = [(1, 0, 10.0), (2, MINUTE, 99.0), (3, 8 * MINUTE, 10.0), (4, 3 * MINUTE, 99.0)]
    _, quality = merge(
        [part([(i, ts, price, 1.0, True) for i, ts, price in f]) for f in (first, second)], "trade"
    )
    torn = quality.filter("invalidates")
    minutes = (torn["ts"].to_physical() - START) // MINUTE
    assert list(zip(minutes, torn["count"], strict=True)) == [(1, 1), (3, 1), (5, 2), (8, 1)]
    assert torn["ts"].equals(torn["end_ts"].rename("ts"))
    assert "`vostok ingest --replace`" in torn["detail"][0]


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.lists(CONTENT, max_size=8), min_size=1, max_size=4))
def test_without_ids_a_trade_occurs_as_often_as_in_the_file_that_has_it_most(parts):
    frames = [part([(None, *trade) for trade in rows]) for rows in parts]

    ticks, quality = merge(frames, "trade")

    most: Counter[tuple[object, ...]] = Counter()
    for rows in parts:
        most |= Counter(rows)
    assert Counter(row[1:] for row in content(ticks)) == most
    assert ticks["ts"].is_sorted()
    first = NUMBER * IDS_PER_DAY
    assert ticks["trade_id"].to_list() == list(range(first, first + ticks.height))
    counts = {row["kind"]: row["count"] for row in quality.to_dicts()}
    dropped = sum(map(len, parts)) - most.total()
    assert counts.get("duplicate", 0) == dropped
    assert counts.get("ids_assigned", 0) == ticks.height
    validate(table("ticks"), ticks, "test")


def test_without_ids_equal_times_keep_the_order_of_the_file():
    rows: list[Row] = [
        (None, 5, 3.0, 1.0, True),
        (None, 5, 1.0, 1.0, True),
        (None, 1, 2.0, 1, False),
    ]
    ticks, quality = merge([part(rows)], "trade")
    assert ticks["price"].to_list() == [2.0, 3.0, 1.0]
    assert quality["kind"].to_list() == ["ids_assigned", "out_of_order"]


def test_equal_trades_of_one_file_are_two_trades_but_an_overlapping_file_adds_none():
    twice: list[Row] = [(None, 1, 2.0, 1.0, True)] * 2
    assert merge([part(twice)], "trade")[0].height == 2
    assert merge([part(twice), part(twice[:1])], "trade")[0].height == 2
    assert merge([part(twice), part([*twice, *twice[:1]])], "trade")[0].height == 3


def test_assigned_ids_are_told_from_those_of_an_exchange():
    ticks, _ = merge([part([(None, 1, 2.0, 1.0, True)])], "trade")
    newest = last_tick(ticks)
    assert newest is not None
    assert newest.id_assigned
    assert (newest.price, newest.side, newest.ts) == (2.0, -1, START + 1)
    assert not assigned(13_519_807, START)
    assert last_tick(ticks.clear()) is None


def test_a_day_without_trades_merges_to_nothing():
    ticks, quality = merge([part([])], "trade")
    assert ticks.is_empty()
    assert quality.is_empty()
    validate(table("ticks"), ticks, "test")


def test_trades_that_cannot_be_ordered_are_refused():
    bare = part([(None, 1, 2.0, 1.0, True)])
    with pytest.raises(DataError, match="1 of the day's 2 trades have no id"):
        merge([bare, part([(7, 1, 2.0, 1.0, True)])], "trade")
    with pytest.raises(DataError, match="aggregate trades without ids"):
        merge([bare], "agg_trade")
    with pytest.raises(DataError, match="merged as one day"):
        merge([part([(None, 1, 2.0, 1.0, True), (None, DAY, 2.0, 1.0, True)])], "trade")
