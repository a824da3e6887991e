"""What a well-formed file says is what is read, for every format."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import table
from vostok_core.times import MINUTE
from vostok_pipelines.sources import binance, generic, klines, kraken
from vostok_pipelines.sources.common import SourceFile

NOW = 1_736_121_600_000_000  # 2025-01-06 in microseconds
PACKINGS = st.sampled_from(["csv", "zip", "csv.gz", "csv.zst", "csv.bz2", "csv.xz", "zip of gz"])
PRICE = st.decimals("0.00000001", "100000", places=8).map(str)
TRADE = st.tuples(
    st.integers(0, 10**12),
    PRICE,
    PRICE,
    st.integers(0, 86_399_999),
    st.booleans(),
    st.integers(0, 10**10),
    st.integers(0, 5),
)

AGG_HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
TRADES_HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"


def opened(data: bytes) -> SourceFile:
    return SourceFile(Path("source"), data)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(TRADE, min_size=1, max_size=20),
    packing=PACKINGS,
    header=st.booleans(),
    spot=st.booleans(),
    unit=st.sampled_from([1, 1000]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_aggregate_trades_are_read_to_the_last_bit(packed, rows, packing, header, spot, unit, end):
    lines = [AGG_HEADER + (",is_best_match" if spot else "")] if header else []
    for trade_id, price, qty, ms, maker, first, more in rows:
        time = (NOW // 1000 + ms) * (1000 // unit)
        text = f"{trade_id},{price},{qty},{first},{first + more},{time},{str(maker).lower()}"
        lines.append(text + (",True" if spot else ""))

    read = binance.read_agg_trades(opened(packed(end.join(lines) + end, packing)))

    assert read.frame.with_columns(pl.col("ts").to_physical()).rows() == [
        (i, NOW + ms * 1000, float(price), float(qty), maker, first, first + more, spot or None)
        for i, price, qty, ms, maker, first, more in rows
    ]
    validate(table("raw_trades"), read.frame, "test")


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(TRADE, min_size=1, max_size=20),
    packing=PACKINGS,
    header=st.booleans(),
    spot=st.booleans(),
)
def test_single_trades_are_read_to_the_last_bit(packed, rows, packing, header, spot):
    lines = [TRADES_HEADER + (",is_best_match" if spot else "")] if header else []
    for trade_id, price, qty, ms, maker, _, _ in rows:
        quote = Decimal(price) * Decimal(qty)
        lines.append(f"{trade_id},{price},{qty},{quote:f},{NOW // 1000 + ms},{maker}")
        lines[-1] += ",False" if spot else ""

    read = binance.read_trades(opened(packed("\n".join(lines), packing)))

    assert read.frame.with_columns(pl.col("ts").to_physical()).rows() == [
        (i, NOW + ms * 1000, float(price), float(qty), maker, None, None, False if spot else None)
        for i, price, qty, ms, maker, _, _ in rows
    ]


def test_binary_noise_in_kraken_times_is_mended():
    read = kraken.read_trades(opened(b"1525721451.7629998,0.9999,34.0309,b,l,None\n"))
    assert read.frame["ts"].to_physical().to_list() == [1_525_721_451_763_000]


@pytest.mark.parametrize("unit", [1_000, 1_000_000], ids=["ms", "us"])
@pytest.mark.parametrize("header", [True, False], ids=["header", "bare"])
def test_binance_klines_give_bars_named_by_their_end(unit, header):
    open_ = NOW * unit // 1_000_000
    minute = 60 * unit
    names = [field.name for field in klines.BINANCE.fields]
    lines = [",".join(names)] if header else []
    for k in range(3):
        start = open_ + k * minute
        lines.append(f"{start},10,13.5,9,{11 + k},7,{start + minute - 1},77,5,3.5,38,0")

    read = klines.read_binance(opened("\n".join(lines).encode()))

    assert read.interval == "1m"
    assert read.frame["ts"].to_physical().to_list() == [NOW + (k + 1) * MINUTE for k in range(3)]
    assert read.frame.drop("ts").row(1) == (10.0, 13.5, 9.0, 12.0, 7.0, 77.0, 5, 3.5)
    validate(table("raw_klines"), read.frame, "test")


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("1736121600", NOW),
        ("1736121600123", NOW + 123_000),
        ("1736121600123456", NOW + 123_456),
        ("1736121600123456789", NOW + 123_456),
        ("1736121600.1234565", NOW + 123_457),
        ("1736121600123.4", NOW + 123_400),
        ("2025-01-06 00:00:00.123456", NOW + 123_456),
        ("2025-01-06T00:00:00Z", NOW),
        ("2025-01-06 00:00:00+00:00", NOW),
    ],
)
@pytest.mark.parametrize(
    ("side", "maker"),
    [("Buy", False), ("sell", True), ("b", False), ("S", True), ("True", True), ("false", False)],
)
def test_generic_csv_understands_every_notation_of_time_and_side(time, expected, side, maker):
    data = f"when,cost,price,amount,type\n{time},9,100.5,0.25,{side}\n".encode()
    columns = generic.parse_columns("ts=when, price=price, qty=amount, side=type")

    read = generic.read(opened(data), "csv", "trades", columns)

    assert read.frame.with_columns(pl.col("ts").to_physical()).rows() == [
        (None, expected, 100.5, 0.25, maker, None, None, None)
    ]


def test_generic_csv_without_header_is_mapped_by_position():
    data = b"7,sell,25.3,7.5,1700179210707\n8,buy,9.2,7.6,1700179210710\n"
    columns = generic.parse_columns("ts=5,price=4,qty=3,side=2,id=1")

    read = generic.read(opened(data), "csv", "trades", columns)

    assert read.frame["trade_id"].to_list() == [7, 8]
    assert read.frame["price"].to_list() == [7.5, 7.6]
    assert read.warnings == ()


def test_text_that_is_no_utf8_does_no_harm_in_columns_that_nobody_asked_for():
    header = "ts,price,qty,side,交易所,备注".encode("gbk")
    data = header + b"\n1736121600,1.5,2,buy," + "币安".encode("gbk") + b",\xff\n"
    read = generic.read(opened(data), "csv", "trades", {})
    assert read.frame["price"].to_list() == [1.5]


def test_generic_klines_leave_unmapped_columns_null(packed: Callable[..., bytes]):
    text = "t,open,high,low,close,volume,n\n" + "".join(
        f"{1_736_121_600 + k * 300},1,2,0.5,1.5,10,{k}\n" for k in range(3)
    )

    bare = generic.read(opened(packed(text, "zip")), "csv", "klines", {"ts": "t"})
    full = generic.read(opened(packed(text, "csv")), "csv", "klines", {"ts": "t", "trades": "n"})

    assert bare.interval == "5m"
    assert bare.frame["ts"].to_physical().to_list() == [
        NOW + (k + 1) * 5 * MINUTE for k in range(3)
    ]
    assert bare.frame["trades"].null_count() == bare.frame["quote_volume"].null_count() == 3
    assert full.frame["trades"].to_list() == [0, 1, 2]


@pytest.mark.parametrize(
    "times",
    [
        pl.Series([datetime(2025, 1, 6, tzinfo=UTC)] * 2),
        pl.Series([datetime(2025, 1, 6)] * 2).cast(pl.Datetime("ms")),  # noqa: DTZ001
        pl.Series([NOW // 1000] * 2),
        pl.Series([NOW / 1e6] * 2),
        pl.Series(["2025-01-06T00:00:00Z"] * 2),
    ],
    ids=["aware", "naive ms", "int ms", "float s", "text"],
)
@pytest.mark.parametrize("makers", [[True, False], ["True", "False"], ["sell", "buy"]])
def test_parquet_is_read_whatever_types_its_columns_have(times, makers):
    buffer = io.BytesIO()
    pl.DataFrame(
        {"timestamp": times, "price": [1.5, 2.5], "qty": [3, 4], "maker": makers, "n": [5, 6]}
    ).write_parquet(buffer)

    read = generic.read(
        opened(buffer.getvalue()),
        "parquet",
        "trades",
        {"ts": "timestamp", "side": "maker", "id": "n"},
    )

    assert read.frame.with_columns(pl.col("ts").to_physical()).rows() == [
        (5, NOW, 1.5, 3.0, True, None, None, None),
        (6, NOW, 2.5, 4.0, False, None, None, None),
    ]


def test_a_map_of_columns_that_makes_no_sense_is_a_usage_error():
    for text in ("ts", "ts=", "=a", "ts=a,ts=b"):
        with pytest.raises(UsageError, match="map of columns"):
            generic.parse_columns(text)
    with pytest.raises(UsageError, match="no part called 'cost'"):
        generic.read(opened(b"a\n1\n"), "csv", "trades", {"cost": "a"})


def test_a_column_that_is_not_there_is_named_together_with_those_that_are():
    with pytest.raises(SourceFormatError, match="no column called 'time'; it has when, price"):
        generic.read(opened(b"when,price\n1,2\n"), "csv", "trades", {"ts": "time"})


@pytest.mark.shared_data
def test_every_price_of_a_real_file_is_the_nearest_double(shared: Path):
    path = shared / "ticks" / "kraken_2018" / "USDTUSD-trades.csv"
    lines = path.read_text().splitlines()[1:]
    read = kraken.read_trades(SourceFile.open(path)).frame
    assert read["price"].to_list() == [float(line.split(",")[1]) for line in lines]
    assert read["qty"].to_list() == [float(line.split(",")[2]) for line in lines]
    assert read["ts"].to_physical().to_list() == [
        int(Decimal(line.split(",")[0]).scaleb(6).quantize(Decimal(1), ROUND_HALF_UP))
        for line in lines
    ]
