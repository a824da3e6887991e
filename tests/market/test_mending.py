"""A day with repair parts: what they add, what they settle, and what the findings then say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import UnfitDay
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.market.currency import MarketCurrency
from vostok_core.market.days import (
    ABSENT,
    ARCHIVE,
    CODE_VERSION,
    LANDING_VERSION,
    ORDER,
    REPAIR,
    bars_day,
    ticks_day,
)
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.mending import Hole, holes, settled
from vostok_core.market.ticks import last_tick
from vostok_core.times import HOUR, MINUTE, day_start

DAY = date(2024, 1, 2)
BEFORE = DAY - timedelta(days=1)
START = day_start(DAY)
ITEM = Instrument(
    InstrumentId.parse("binance.spot.A-B"),
    "trade",
    Decimal("0.01"),
    Decimal("0.1"),
    Decimal(0),
    HOUR,
)
NAME = str(ITEM.id)

Row = tuple[int | None, int, float]


def raw(rows: Iterable[Row]) -> pl.DataFrame:
    """Rows of `raw_trades`: id, time, price."""
    listed = list(rows)
    frame = pl.DataFrame(
        {
            "trade_id": pl.Series([row[0] for row in listed], dtype=pl.Int64),
            "ts": pl.Series([row[1] for row in listed], dtype=pl.Int64).cast(TIME),
            "price": pl.Series([row[2] for row in listed], dtype=pl.Float64),
        }
    ).with_columns(
        qty=pl.lit(1.0), buyer_maker=pl.lit(value=False), row=pl.int_range(pl.len(), dtype=pl.Int64)
    )
    return frame.select(
        pl.col(name) if name in frame.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in table("raw_trades").schema.items()
    )


def minutely(ids: Iterable[int], start: int = START, first: int = 1) -> list[Row]:
    """A trade a minute: trade `first` is at `start`."""
    return [(key, start + (key - first) * MINUTE, 10.0) for key in ids]


def land(lake: Lake, rows: Iterable[Row], part: str, day: date = DAY, **marks: str) -> None:
    keys = {"instrument": NAME, "date": day}
    inputs = {ORDER: str(len(lake.parts("raw_trades", **keys))), **marks}
    lake.write(
        "raw_trades", raw(rows), code_version=LANDING_VERSION, inputs=inputs, part=part, **keys
    )


def make(lake: Lake, day: date = DAY) -> pl.DataFrame:
    """Make a day; its rows of `quality`."""
    keys = {"instrument": NAME, "date": day}
    ticks, quality, inputs = ticks_day(lake, ITEM, day)
    lake.write("ticks", ticks, code_version=CODE_VERSION, inputs=inputs, **keys)
    lake.write("quality", quality, code_version=CODE_VERSION, inputs=inputs, **keys)
    bars, inputs = bars_day(lake, ITEM, ["1m"], day)
    lake.write("bars", bars["1m"], code_version=CODE_VERSION, inputs=inputs, interval="1m", **keys)
    return lake.read("quality", instrument=NAME, date=day)


def ids(lake: Lake, day: date = DAY) -> list[int]:
    return lake.read("ticks", instrument=NAME, date=day)["trade_id"].to_list()


def invalid(lake: Lake, day: date = DAY) -> int:
    bars = lake.read("bars", instrument=NAME, interval="1m", date=day)
    return int((~bars["valid"]).sum())


def without(ids: Iterable[int], away: Iterable[int]) -> list[int]:
    gone = set(away)
    return [key for key in ids if key not in gone]


DAILY = range(1, 1441)


def test_a_gap_that_is_mended_stays_as_a_row_that_says_what_repaired_it(lake: Lake) -> None:
    land(lake, minutely(without(DAILY, range(100, 151))), "a")
    (gap,) = make(lake).iter_rows(named=True)
    assert (gap["kind"], gap["count"], gap["invalidates"], gap["repaired"]) == (
        "gap",
        51,
        True,
        None,
    )
    assert invalid(lake) > 0
    land(lake, minutely(range(100, 151)), "b", **{REPAIR: "rest binance"})
    (mended,) = make(lake).iter_rows(named=True)
    assert ids(lake) == list(DAILY)
    assert mended == gap | {
        "severity": "info",
        "invalidates": False,
        "repaired": "51 trades of rest binance (part b)",
    }
    assert invalid(lake) == 0


def test_a_gap_of_which_something_is_left_is_told_by_what_is_left(lake: Lake) -> None:
    land(lake, minutely(without(DAILY, range(100, 151))), "a")
    land(lake, minutely(range(100, 120)), "b", **{REPAIR: "rest binance"})
    (left,) = make(lake).iter_rows(named=True)
    assert (left["count"], left["invalidates"], left["repaired"]) == (31, True, None)
    land(lake, minutely(range(120, 151)), "c", **{REPAIR: "rest binance"})
    (mended,) = make(lake).iter_rows(named=True)
    assert mended["count"] == 51
    assert mended["repaired"] == (
        "20 trades of rest binance (part b), 31 trades of rest binance (part c)"
    )


def test_of_two_gaps_the_one_that_is_mended_says_so_and_the_other_stays(lake: Lake) -> None:
    # They share the trade between them, and so a moment.
    land(lake, minutely(without(DAILY, [*range(100, 110), *range(111, 120)])), "a")
    land(lake, minutely(range(100, 110)), "b", **{REPAIR: "rest binance"})
    rows = {row["count"]: row for row in make(lake).iter_rows(named=True)}
    assert (rows[10]["invalidates"], rows[9]["invalidates"]) == (False, True)
    assert rows[10]["repaired"] == "10 trades of rest binance (part b)"
    assert rows[9]["repaired"] is None


def test_what_blocked_a_day_and_is_mended_says_what_repaired_it(lake: Lake) -> None:
    land(lake, minutely(DAILY), "a")
    land(lake, [(key, ts, 10.5) for key, ts, _ in minutely(range(100, 120))], "b")
    with pytest.raises(UnfitDay, match="files contradict one another in 20 minutes"):
        make(lake)
    land(lake, minutely(range(100, 120)), "c", **{REPAIR: "rest binance"})
    [blocked] = (
        make(lake).filter(pl.col("detail").str.contains("not of one market")).rows(named=True)
    )
    assert (blocked["severity"], blocked["count"]) == ("info", 20)
    assert blocked["repaired"] == "20 trades of rest binance (part c)"
    assert invalid(lake) == 0


def test_a_silence_that_trades_break_is_repaired(lake: Lake) -> None:
    rows = [(None, ts, price) for _, ts, price in minutely(without(DAILY, range(200, 400)))]
    land(lake, rows, "a")
    assert make(lake)["kind"].to_list().count("silence") == 1
    found = [(None, ts, 11.0) for _, ts, _ in minutely(range(200, 400))]
    land(lake, found, "b", **{REPAIR: "rest kraken"})
    rows = {row["kind"]: row for row in make(lake).iter_rows(named=True)}
    assert set(rows) == {"silence", "ids_assigned"}
    assert rows["silence"]["repaired"] == "200 trades of rest kraken (part b)"
    assert invalid(lake) == 0


def test_a_gap_over_midnight_is_repaired_by_trades_of_the_day_before(lake: Lake) -> None:
    early = minutely(range(1, 1401), day_start(BEFORE))
    land(lake, early, "a", BEFORE)
    land(lake, minutely(range(1441, 2000), START, 1441), "a")
    make(lake, BEFORE)
    (gap,) = make(lake).filter(pl.col("kind") == "gap").iter_rows(named=True)
    assert (gap["count"], gap["invalidates"]) == (40, True)
    lost = minutely(range(1401, 1441), day_start(BEFORE))
    land(lake, lost, "b", BEFORE, **{REPAIR: "rest binance"})
    make(lake, BEFORE)
    (mended,) = make(lake).filter(pl.col("kind") == "gap").iter_rows(named=True)
    assert mended["repaired"] == "40 trades of rest binance (part b)"
    assert not mended["invalidates"]


def test_quality_is_stale_once_the_repair_of_the_day_before_has_given_way(lake: Lake) -> None:
    early, lost = (minutely(ids, day_start(BEFORE)) for ids in (range(1, 1401), range(1401, 1441)))
    land(lake, early, "a", BEFORE, **{ARCHIVE: "day.zip"})
    land(lake, lost, "b", BEFORE, **{REPAIR: "rest binance"})
    land(lake, minutely(range(1441, 2000), START, 1441), "a")
    make(lake, BEFORE)
    assert make(lake)["repaired"].drop_nulls().len() == 1
    assert MarketCurrency(lake, NAME).inspected(DAY) is None
    land(lake, early + lost, "c", BEFORE, **{ARCHIVE: "day.zip"})
    make(lake, BEFORE)  # the ticks of that day are the same as before
    stale = MarketCurrency(lake, NAME).inspected(DAY)
    assert stale is not None
    assert make(lake)["repaired"].drop_nulls().len() == 0
    assert MarketCurrency(lake, NAME).inspected(DAY) is None


def test_a_repair_part_decides_between_two_contents_and_replaces_no_sole_one(lake: Lake) -> None:
    rows = minutely(DAILY)
    other = [(key, ts, 10.5 if key == 50 else price) for key, ts, price in rows]
    land(lake, other, "a")
    land(lake, rows, "b")
    first = make(lake)
    assert first.filter("invalidates")["kind"].to_list() == ["duplicate"]
    price = pl.col("trade_id") == 50
    ticks = lake.read("ticks", instrument=NAME, date=DAY)
    assert ticks.filter(price)["price"].item() == 10.5, "the first landed was kept"
    land(lake, [rows[49]], "c", **{REPAIR: "rest binance"})
    quality = make(lake)
    ticks = lake.read("ticks", instrument=NAME, date=DAY)
    assert ticks.filter(price)["price"].item() == 10.0
    assert quality.filter("invalidates").is_empty()
    (mended,) = quality.filter(pl.col("repaired").is_not_null()).iter_rows(named=True)
    assert mended["kind"] == "duplicate"
    # One that is another than the only one there is replaces nothing.
    land(lake, [(60, rows[59][1], 77.0)], "d", **{REPAIR: "rest binance"})
    (torn,) = make(lake).filter("invalidates").iter_rows(named=True)
    assert torn["kind"] == "duplicate"
    ticks = lake.read("ticks", instrument=NAME, date=DAY)
    assert ticks.filter(pl.col("trade_id") == 60)["price"].item() == 10.0


def test_a_third_content_decides_nothing() -> None:
    parts = [raw([(1, START, 10.0)]), raw([(1, START, 11.0)]), raw([(1, START, 12.0)])]
    same = settled(parts, [False, False, True])
    assert all(a.equals(b) for a, b in zip(parts, same, strict=True))


def test_repair_parts_that_contradict_each_other_decide_nothing() -> None:
    parts = [raw([(1, START, price)]) for price in (10.0, 11.0, 10.0, 11.0)]
    same = settled(parts, [False, False, True, True])
    assert all(a.equals(b) for a, b in zip(parts, same, strict=True))


def test_holes_are_found_beneath_aggregate_trades_and_over_midnight() -> None:
    ticks = raw([(5, START + MINUTE, 1.0), (6, START + 2 * MINUTE, 1.0), (9, START + HOUR, 1.0)])
    ticks = ticks.with_columns(
        first_id=pl.Series([50, 55, 58], dtype=pl.Int64),
        last_id=pl.Series([51, 55, 60], dtype=pl.Int64),
    )
    before = last_tick(raw([(2, START - MINUTE, 1.0)]).with_columns(last_id=pl.lit(40, pl.Int64)))
    assert holes(ticks, before) == [
        Hole(2, 5, START - MINUTE, START + MINUTE),
        Hole(5, 6, START + MINUTE, START + 2 * MINUTE, beneath=True),
        Hole(6, 9, START + 2 * MINUTE, START + HOUR),
    ]
    assert [hole.before for hole in holes(ticks, None)] == [5, 6]
    unbroken = ticks.with_columns(first_id=pl.Series([50, 52, 56], dtype=pl.Int64))
    assert holes(unbroken, None) == [], "ids that jump while those beneath don't leave no hole"


@settings(max_examples=40)
@given(st.sets(st.integers(2, 199), max_size=40), st.data())
def test_whatever_is_mended_the_rest_is_as_if_it_had_landed_so(
    tmp_path_factory: pytest.TempPathFactory, away: set[int], data: Any
) -> None:
    back = data.draw(st.sets(st.sampled_from(sorted(away)), max_size=40)) if away else set()
    mended, direct = (
        Lake.open(tmp_path_factory.mktemp(name) / "lake") for name in ("mended", "direct")
    )
    day = range(1, 201)
    land(mended, minutely(without(day, away)), "a")
    if back:
        land(mended, minutely(sorted(back)), "b", **{REPAIR: "rest binance"})
    land(direct, minutely(without(day, away - back)), "a")
    quality, plain = make(mended), make(direct)
    assert ids(mended) == ids(direct)
    assert quality.filter(pl.col("repaired").is_null()).equals(plain)
    repaired = quality.filter(pl.col("repaired").is_not_null())
    assert not repaired["invalidates"].any()
    lost = sum(repaired["count"]) + sum(plain.filter(pl.col("kind") == "gap")["count"])
    assert lost <= len(away)
    keys = {"instrument": NAME, "interval": "1m", "date": DAY}
    assert mended.read("bars", **keys).equals(direct.read("bars", **keys))


def test_a_day_that_was_declared_absent_is_repaired_by_its_trades(lake: Lake) -> None:
    first, absent = BEFORE - timedelta(days=1), BEFORE
    land(lake, minutely(range(1, 1441), day_start(first)), "a", first)
    land(lake, [], ABSENT, absent)
    land(lake, minutely(range(2881, 4321), START, 2881), "a")
    for day in (first, absent):
        make(lake, day)
    assert make(lake).filter("invalidates").height > 0
    lost = minutely(range(1441, 2881), day_start(absent), 1441)
    land(lake, lost, "b", absent, **{REPAIR: "rest binance"})
    quality = make(lake, absent)
    assert not quality["invalidates"].any()
    assert quality.filter(pl.col("kind") == "silence")["repaired"].to_list() == [
        "1440 trades of rest binance (part b)"
    ]
    (gap,) = make(lake).filter(pl.col("kind") == "gap").iter_rows(named=True)
    assert (gap["count"], gap["invalidates"]) == (1440, False)
    assert gap["repaired"] == "1440 trades of rest binance (part b)"
    assert invalid(lake) == 0
