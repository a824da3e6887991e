"""Whether market data are what would be made now of what has landed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from vostok_core.errors import StalePartition
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.store import Lake
from vostok_core.market.currency import MarketCurrency, require_current_bars, stale_bars
from vostok_core.market.days import CODE_VERSION, bars_day, rules_of, ticks_day
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import HOUR, day_start
from vostok_pipelines.landing import land

ITEM = Instrument(
    InstrumentId.parse("binance.spot.A-B"),
    "trade",
    Decimal("0.01"),
    Decimal("0.1"),
    Decimal(0),
    HOUR,
)
NAME = str(ITEM.id)
FIRST = date(2024, 1, 1)
SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


def land_day(lake: Lake, folder: Path, day: date, ids: range) -> None:
    """Land a trade a minute."""
    path = folder / f"{day}-{ids.start}.csv"
    start = day_start(day) // 1000
    path.write_text("".join(f"{k},10,1,10,{start + 60_000 * (k % 1440)},True,True\n" for k in ids))
    land(lake, path, ITEM, "binance-trades")


def make(lake: Lake, day: date, of: Instrument = ITEM) -> None:
    keys = {"instrument": NAME, "date": day}
    ticks, quality, inputs = ticks_day(lake, of, day)
    lake.write("ticks", ticks, code_version=CODE_VERSION, inputs=inputs, **keys)
    lake.write("quality", quality, code_version=CODE_VERSION, inputs=inputs, **keys)
    bars, inputs = bars_day(lake, of, ["1h"], day)
    lake.write("bars", bars["1h"], code_version=CODE_VERSION, inputs=inputs, interval="1h", **keys)


def reasons(lake: Lake, rules: str | None = None) -> dict[date, str]:
    days = lake.days("bars", instrument=NAME, interval="1h")
    return {d: found.why for d, found in stale_bars(lake, NAME, "1h", days, rules).items()}


def test_a_file_that_lands_makes_its_day_and_the_day_after_stale(lake, tmp_path):
    for number, day in enumerate((FIRST, SECOND, THIRD)):
        land_day(lake, tmp_path, day, range(1440 * number, 1440 * number + 1000))
        make(lake, day)
    assert reasons(lake) == {}
    land_day(lake, tmp_path, FIRST, range(1000, 1100))
    why = f"other files have landed on {FIRST} than its ticks were merged from"
    assert reasons(lake) == {FIRST: why, SECOND: why}
    with pytest.raises(StalePartition) as caught:
        require_current_bars(lake, NAME, "1h", [SECOND])
    # Though the first day was not asked for, it has to be made again before the second.
    chain = f"materialize ticks,quality,bars --instrument {NAME} --from {FIRST} --to {SECOND}"
    assert chain in caught.value.hint
    make(lake, FIRST)
    assert set(reasons(lake)) == {SECOND}
    make(lake, SECOND)
    assert reasons(lake) == {}


def test_commands_step_over_days_that_are_not_there(lake, tmp_path):
    landed = [FIRST, SECOND, SECOND + timedelta(days=2), SECOND + timedelta(days=3)]
    for number, day in enumerate(landed):
        land_day(lake, tmp_path, day, range(1440 * number, 1440 * number + 1000))
        make(lake, day)
    for number in (0, 3):
        land_day(lake, tmp_path, landed[number], range(1440 * number + 1000, 1440 * number + 1001))
    with pytest.raises(StalePartition) as caught:
        require_current_bars(lake, NAME, "1h", landed)
    said = [
        f"`vostok materialize ticks,quality,bars --instrument {NAME} --from {first} --to {last}`"
        for first, last in ((landed[0], landed[1]), (landed[2], landed[3]))
    ]
    assert f"run {', then '.join(said)}, then their features" in str(caught.value)


def test_a_day_before_that_comes_late_makes_the_day_after_stale(lake, tmp_path):
    land_day(lake, tmp_path, SECOND, range(1440, 2440))
    make(lake, SECOND)
    assert reasons(lake) == {}
    land_day(lake, tmp_path, FIRST, range(1440))
    assert reasons(lake) == {}  # it has landed, and nothing of it is made yet
    make(lake, FIRST)
    assert reasons(lake) == {SECOND: f"ticks/{FIRST} has changed since they were made"}
    make(lake, SECOND)
    assert reasons(lake) == {}


def test_what_other_readers_read_is_stale_until_the_file_is_ingested_again(lake, tmp_path):
    land_day(lake, tmp_path, FIRST, range(1440))
    make(lake, FIRST)
    [(info, rows)] = lake.read_parts("raw_trades", instrument=NAME, date=FIRST)
    lake.write(
        "raw_trades",
        rows,
        code_version="0",
        inputs=info.inputs,
        part=info.path.stem.removeprefix("part-"),
        instrument=NAME,
        date=FIRST,
    )
    with pytest.raises(StalePartition, match=f"vostok ingest PATH --instrument {NAME}") as caught:
        require_current_bars(lake, NAME, "1h", [FIRST])
    assert "materialize landed,ticks,quality,bars" in caught.value.hint
    land_day(lake, tmp_path, FIRST, range(1440))
    assert reasons(lake) == {}


def test_a_replaced_file_makes_its_day_stale(lake, tmp_path):
    land_day(lake, tmp_path, FIRST, range(1440))
    make(lake, FIRST)
    land(lake, tmp_path / f"{FIRST}-0.csv", ITEM, "binance-trades", replace=True)
    assert reasons(lake) == {}  # it is the only one
    mended = tmp_path / "mended.csv"
    lines = (tmp_path / f"{FIRST}-0.csv").read_text().splitlines(keepends=True)
    mended.write_text("".join(lines[:1000]))
    land(lake, mended, ITEM, "binance-trades", replace=True)
    assert list(reasons(lake)) == [FIRST]
    make(lake, FIRST)
    assert reasons(lake) == {}
    assert lake.read("ticks", instrument=NAME, date=FIRST).height == 1000


def test_quality_is_stale_with_the_ticks_that_it_inspected(lake, tmp_path):
    for number, day in enumerate((FIRST, SECOND)):
        land_day(lake, tmp_path, day, range(1440 * number, 1440 * number + 1440))
        make(lake, day)
    market = MarketCurrency(lake, NAME)
    assert [market.inspected(day) for day in (FIRST, SECOND)] == [None, None]
    quality = lake.read("quality", instrument=NAME, date=SECOND)
    inputs = dict(lake.info("quality", instrument=NAME, date=SECOND).inputs)
    inputs[f"ticks/{FIRST}"] = "another"
    lake.write(
        "quality", quality, code_version=CODE_VERSION, inputs=inputs, instrument=NAME, date=SECOND
    )
    # Its content is what the bars were made from, and yet it is not to be trusted.
    assert reasons(lake) == {SECOND: f"ticks/{FIRST} has changed since they were made"}


def test_other_rules_of_the_exchange_make_all_stale_where_they_are_asked_for(lake, tmp_path):
    land_day(lake, tmp_path, FIRST, range(1440))
    make(lake, FIRST)
    assert reasons(lake, rules_of(ITEM)) == {}
    other = replace(ITEM, max_silence=2 * HOUR)
    assert "by other rules of" in reasons(lake, rules_of(other))[FIRST]
    assert reasons(lake) == {}
    assert rules_of(replace(ITEM, quantity_step=Decimal("0.10"))) == rules_of(ITEM)
    for changed in (
        replace(ITEM, tick="agg_trade"),
        replace(ITEM, price_tick=Decimal("0.1")),
        replace(ITEM, quantity_step=Decimal(1)),
        other,
    ):
        assert rules_of(changed) != rules_of(ITEM)


def test_a_remembering_lake_sees_what_it_saw_first(lake, tmp_path):
    land_day(lake, tmp_path, FIRST, range(1440))
    make(lake, FIRST)
    looked = RememberingLake.of(lake)
    assert RememberingLake.of(looked) is looked
    before = looked.info("ticks", instrument=NAME, date=FIRST)
    assert not looked.exists("ticks", instrument=NAME, date=SECOND)
    land_day(lake, tmp_path, SECOND, range(1440, 2880))
    make(lake, SECOND)
    land_day(lake, tmp_path, FIRST, range(5000, 5001))
    make(lake, FIRST)
    assert looked.info("ticks", instrument=NAME, date=FIRST) == before
    assert not looked.exists("ticks", instrument=NAME, date=SECOND)
    assert lake.info("ticks", instrument=NAME, date=FIRST) != before
