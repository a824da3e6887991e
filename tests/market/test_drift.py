"""A source that comes to write its files otherwise is noticed on the day that it does."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from vostok_core.lake.store import Lake
from vostok_core.market.currency import MarketCurrency
from vostok_core.market.days import (
    ALSO,
    ARCHIVE,
    CODE_VERSION,
    FETCHED,
    REPAIR,
    parts_in_use,
)
from vostok_core.market.drift import WRITTEN
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.merging import merge_day
from vostok_core.market.parts import write_part
from vostok_core.times import DAY, MILLISECOND, MINUTE, day_start, utc
from vostok_pipelines.landing import land
from vostok_pipelines.sources import binance, by_day
from vostok_pipelines.sources.common import Notation, SourceFile
from vostok_pipelines.sources.style import style

ITEM = Instrument(
    InstrumentId.parse("binance.spot.A-B"),
    "trade",
    Decimal("0.01"),
    Decimal("0.1"),
    Decimal(0),
    DAY,
)
FIRST = date(2024, 12, 31)
SECOND = FIRST + timedelta(days=1)
HEADER = "trade_id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n"


def file_of(
    folder: Path, day: date, *, unit: int = MILLISECOND, header: str = "", flag: str = "True"
) -> Path:
    first = (day - FIRST).days * 1440
    lines = [
        f"{first + k},10,1,10,{(day_start(day) + k * MINUTE) // unit},{flag},{flag}\n"
        for k in range(1440)
    ]
    path = folder / f"{day}-{unit}-{len(header)}-{flag}.csv"
    path.write_text(header + "".join(lines))
    return path


def drifts(lake: Lake, day: date) -> list[tuple[str, str, bool]]:
    quality = lake.read("quality", instrument=str(ITEM.id), date=day)
    found = quality.filter(pl.col("kind") == "schema_drift")
    assert found.height == quality.height
    return found.select("severity", "detail", "invalidates").rows()


def make(lake: Lake, *days: date) -> None:
    for day in days:
        merge_day(lake, ITEM, day)


@pytest.mark.parametrize(
    ("change", "now"),
    [
        ({"unit": 1}, "7 columns without a header, time in microseconds, True/False, True/False"),
        (
            {"header": HEADER},
            f"columns {HEADER.strip()}, time in milliseconds, True/False, True/False",
        ),
        (
            {"flag": "false"},
            "7 columns without a header, time in milliseconds, true/false, true/false",
        ),
    ],
    ids=["unit", "header", "notation"],
)
def test_another_unit_header_or_notation_is_a_finding(lake, tmp_path, change, now):
    land(lake, file_of(tmp_path, FIRST), ITEM, "binance-trades")
    land(lake, file_of(tmp_path, SECOND, **change), ITEM, "binance-trades")
    make(lake, FIRST, SECOND)
    before = "7 columns without a header, time in milliseconds, True/False, True/False"
    assert drifts(lake, FIRST) == []
    assert drifts(lake, SECOND) == [
        (
            "warn",
            f"the source writes its files otherwise than on {FIRST}: {now}; until then {before}",
            False,
        )
    ]


def test_the_same_way_of_writing_is_none_however_it_is_packed(lake, tmp_path):
    land(lake, file_of(tmp_path, FIRST), ITEM, "binance-trades")
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(file_of(tmp_path, SECOND).read_bytes()))
    land(lake, packed, ITEM, "binance-trades")
    make(lake, FIRST, SECOND)
    assert drifts(lake, SECOND) == []


def test_nothing_is_said_where_one_of_the_days_came_from_no_file(lake, tmp_path):
    land(lake, file_of(tmp_path, FIRST), ITEM, "binance-trades")
    land(lake, file_of(tmp_path, SECOND, unit=1), ITEM, "binance-trades")
    place = {"instrument": str(ITEM.id), "date": FIRST}
    [part] = lake.parts("raw_trades", **place)
    rows = lake.read_part("raw_trades", part.name, **place)
    inputs = {key: value for key, value in part.inputs.items() if key != WRITTEN}
    lake.write(
        "raw_trades", rows, code_version=part.code_version, inputs=inputs, part=part.name, **place
    )
    make(lake, FIRST, SECOND)
    assert drifts(lake, SECOND) == []


def test_quality_is_stale_when_the_day_before_lands_written_otherwise(lake, tmp_path):
    for day in (FIRST, SECOND):
        land(lake, file_of(tmp_path, day), ITEM, "binance-trades")
    make(lake, FIRST, SECOND)
    assert MarketCurrency(lake, str(ITEM.id)).inspected(SECOND) is None
    # The same rows in microseconds: the ticks of the day before stay what they are.
    land(lake, file_of(tmp_path, FIRST, unit=1), ITEM, "binance-trades", replace=True)
    make(lake, FIRST)
    stale = MarketCurrency(lake, str(ITEM.id)).inspected(SECOND)
    assert stale is not None
    assert f"other files have landed on {FIRST}" in stale.why
    make(lake, SECOND)
    assert MarketCurrency(lake, str(ITEM.id)).inspected(SECOND) is None
    assert "time in milliseconds" in drifts(lake, SECOND)[0][1]


def test_klines_of_an_instrument_without_ticks_are_looked_at_too(lake, tmp_path):
    item = replace(ITEM, tick="none")
    for day, unit in ((FIRST, MILLISECOND), (SECOND, 1)):
        opens = range(day_start(day), day_start(day) + DAY, MINUTE)
        path = tmp_path / f"{day}.csv"
        path.write_text(
            "".join(
                f"{ts // unit},10,12,9,11,5,{(ts + MINUTE) // unit - 1},55,3,2,22,0\n"
                for ts in opens
            )
        )
        land(lake, path, item, "binance-klines")
        merge_day(lake, item, day)
    assert drifts(lake, FIRST) == []
    assert "12 columns without a header, time in microseconds" in drifts(lake, SECOND)[0][1]


@pytest.mark.parametrize(
    ("text", "format_", "columns", "told"),
    [
        ("1525721451.76,8514.3,0.1,b,l,\n", "kraken-trades", None,
         "6 columns without a header, time in decimal seconds, b/s"),
        ("time,price,amount,type\n2025-01-31T00:00:00Z,1,1,sell\n", "csv", {"ts": "time"},
         "columns time,price,amount,type, time in text, buy/sell"),
        ("9,Sell,1,2,1700000000000\n", "csv", {"ts": "5"},
         "5 columns without a header, time in milliseconds, Buy/Sell"),
        ("trade_id,side,size,price,created_time\n7,buy,0.1,35910.6,1700239042832\n", "okx-trades",
         None, "columns trade_id,side,size,price,created_time, time in milliseconds, buy/sell"),
        ("timestamp,symbol,side,size,price,a,b,c,d,e\n1696982287.49,FXSUSDT,Sell,1,5,,,,,\n",
         "bybit-trades", None,
         "columns timestamp,symbol,side,size,price,a,b,c,d,e, time in decimal seconds, Buy/Sell"),
        # An id that looks like a time is none.
        ("1525721451,1,1,1,1525721451000,true,true\n", "binance-trades", None,
         "7 columns without a header, time in milliseconds, true/false, true/false"),
    ],
)  # fmt: skip
def test_how_a_file_is_written_is_told_from_its_head(tmp_path, text, format_, columns, told):
    path = tmp_path / "file.csv"
    path.write_text(text)
    assert style(SourceFile.open(path), format_, columns) == told


def test_what_was_declared_of_a_file_is_heeded(tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes("report\n1525721451,5;8514,3;0,1;Kauf\n".encode("utf-16-le"))
    notation = Notation(";", ",", "utf-16-le", 1, ("Kauf", "Verkauf"))
    told = style(SourceFile.open(path), "csv", {"ts": "1"}, notation)
    assert told == "4 columns without a header, time in decimal seconds, Kauf/Verkauf"


def test_a_parquet_file_is_told_by_its_columns_and_types(tmp_path):
    path = tmp_path / "file.parquet"
    pl.DataFrame({"ts_ms": [1_700_000_000_000], "open": [1.0]}).write_parquet(path)
    told = style(SourceFile.open(path), "parquet", {"ts": "ts_ms"})
    assert told == "columns ts_ms:int64,open:double, time in milliseconds"
    pl.DataFrame({"ts_ms": [1_700_000_000_000], "open": [1.0]}).write_ipc(path)
    assert style(SourceFile.open(path), "feather", {"ts": "ts_ms"}) == told
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert style(SourceFile.open(path), "feather", {"ts": "ts_ms"}) == told
    pl.DataFrame({"ts": [utc(0)], "open": [1.0]}).write_ipc_stream(path)
    assert style(SourceFile.open(path), "feather") == "columns ts:timestamp[us, tz=UTC],open:double"
    pl.DataFrame({"ts": [1.0], "open": [1.0]}).write_parquet(path)
    assert style(SourceFile.open(path), "parquet") == (
        "columns ts:double,open:double, time in decimal an unknown unit"
    )


def test_the_footer_of_a_landed_part_says_how_its_file_was_written(lake, tmp_path):
    land(lake, file_of(tmp_path, FIRST), ITEM, "binance-trades")
    make(lake, FIRST)
    place = {"instrument": str(ITEM.id), "date": FIRST}
    [part] = parts_in_use(lake.parts("raw_trades", **place))
    assert part.kept_in == "ticks"  # a stub keeps its footer
    assert part.inputs[WRITTEN].startswith("7 columns without a header")
    assert lake.info("quality", **place).code_version == CODE_VERSION


def parts_of(lake: Lake, day: date) -> list[tuple[str, str]]:
    """How the files of each part in use are written, and what it stands for beside its own."""
    parts = parts_in_use(lake.parts("raw_trades", instrument=str(ITEM.id), date=day))
    return [(part.inputs.get(WRITTEN, ""), part.inputs.get(ALSO, "")) for part in parts]


IN_MS = "7 columns without a header, time in milliseconds, True/False, True/False"
IN_US = IN_MS.replace("milli", "micro")


def test_a_large_file_is_told_by_its_first_block(lake, tmp_path, monkeypatch):
    monkeypatch.setattr(by_day, "LARGE", 0)
    monkeypatch.setattr(by_day, "BLOCK", 1_000)
    both = file_of(tmp_path, FIRST, header=HEADER)
    both.write_text(both.read_text() + file_of(tmp_path, SECOND).read_text())
    land(lake, both, ITEM, "binance-trades")
    told = f"columns {HEADER.strip()}, time in milliseconds, True/False, True/False"
    assert parts_of(lake, FIRST) == parts_of(lake, SECOND) == [(told, "")]
    # So it is where all of a file is of one day.
    land(lake, file_of(tmp_path, FIRST, header=HEADER), ITEM, "binance-trades", replace=True)
    assert parts_of(lake, FIRST)[0][0] == told


def test_one_part_of_two_files_tells_how_both_are_written(lake, tmp_path):
    first, other = file_of(tmp_path, FIRST), file_of(tmp_path, FIRST, unit=1)
    for path in (first, other, first):  # the last time, nothing is new
        land(lake, path, ITEM, "binance-trades")
    [(told, also)] = parts_of(lake, FIRST)
    assert also
    assert told == f"{IN_US}; {IN_MS}"
    land(lake, file_of(tmp_path, SECOND, unit=1), ITEM, "binance-trades")
    make(lake, FIRST, SECOND)
    assert drifts(lake, SECOND) == []


def test_the_archives_file_speaks_for_the_others(lake, tmp_path):
    land(lake, file_of(tmp_path, FIRST, unit=1), ITEM, "binance-trades")
    place = {"instrument": str(ITEM.id), "date": FIRST}
    [part] = lake.parts("raw_trades", **place)
    rows = lake.read_part("raw_trades", part.name, **place)
    for name, provenance, told in (
        ("a" * 64, {ARCHIVE: "day.zip"}, IN_MS),
        ("b" * 64, {}, IN_US),  # who says the same by hand changes nothing
        ("c" * 64, {FETCHED: "rest binance"}, ""),
    ):
        write_part(lake, ITEM, "trades", FIRST, rows, name, provenance, written=told)
        assert [way for way, _ in parts_of(lake, FIRST)] == [IN_MS]


def test_a_day_that_is_repaired_and_written_otherwise_says_both(lake, tmp_path):
    land(lake, file_of(tmp_path, FIRST), ITEM, "binance-trades")
    path = file_of(tmp_path, SECOND, unit=1)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:100] + lines[150:]))
    land(lake, path, ITEM, "binance-trades")
    make(lake, FIRST, SECOND)
    place = {"instrument": str(ITEM.id), "date": SECOND}
    assert lake.read("quality", **place)["kind"].to_list() == ["schema_drift", "gap"]

    path.write_text("".join(lines[100:150]))
    missing = binance.read_trades(SourceFile.open(path)).frame
    write_part(lake, ITEM, "trades", SECOND, missing, "d" * 64, {REPAIR: "rest binance"})
    make(lake, SECOND)
    said = lake.read("quality", **place).select("kind", "repaired").rows()
    assert said == [
        ("schema_drift", None),
        ("gap", "50 trades of rest binance (part dddddddddddddddd)"),
    ]
    assert MarketCurrency(lake, str(ITEM.id)).inspected(SECOND) is None
