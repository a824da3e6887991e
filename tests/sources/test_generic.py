"""Files with a declared map of columns: whatever notation is declared, the same values come out."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import table
from vostok_pipelines.sources import generic
from vostok_pipelines.sources.common import Notation, SourceFile

NOW = 1_736_121_600_000_000  # 2025-01-06 in microseconds
DIGITS = st.text("0123456789", min_size=1, max_size=20)
PRICE = st.tuples(DIGITS, DIGITS).map(".".join).filter(lambda text: 1e-9 < float(text) < 1e18)
SIDES = st.sampled_from(
    [None, ("bid", "ask"), ("1", "-1"), ("Käufer", "Verkäufer"), ("true", "false")]
)
ROW = st.tuples(st.integers(0, 10**12), PRICE, PRICE, st.booleans(), st.integers(0, 86_399_999_999))
EXTRA = st.text("xyz é,;|\t'", max_size=5)


def opened(data: bytes) -> SourceFile:
    return SourceFile(Path("source"), data)


def rows_of(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.with_columns(pl.col("ts").to_physical()).rows()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(ROW, min_size=1, max_size=12),
    separator=st.sampled_from([",", ";", "\t", "|", ":", " "]),
    decimal=st.sampled_from([".", ","]),
    encoding=st.sampled_from([None, "utf-8-sig", "utf-16", "latin-1", "utf-16-le"]),
    skip_lines=st.integers(0, 3),
    sides=SIDES,
    names=st.permutations(["when", "Price paid", "id", "side", "Menge", "note"]),
    header=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    note=EXTRA,
    how=st.sampled_from(["csv", "zip", "csv.gz", "csv.zst"]),
)
def test_any_declared_notation_is_read_to_the_last_bit(
    packed, rows, separator, decimal, encoding, skip_lines, sides, names, header, quoting, note, how
):
    if decimal == separator:
        separator = ";"
    bought, sold = sides or ("buy", "sell")
    text = io.StringIO(newline="")
    text.write("written by a program; see, its manual|\n" * skip_lines)
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\r\n")  # type: ignore[arg-type]
    if header:
        writer.writerow(names)
    for trade_id, price, qty, sell, micros in rows:
        values = {
            "when": str((NOW + micros) * 1000),
            "Price paid": price.replace(".", decimal),
            "id": str(trade_id),
            "side": sold if sell else bought,
            "Menge": qty.replace(".", decimal),
            "note": note,
        }
        writer.writerow([values[name] for name in names])
    columns = {"ts": "when", "price": "Price paid", "qty": "Menge", "side": "side", "id": "id"}
    if not header:
        columns = {part: str(names.index(name) + 1) for part, name in columns.items()}
    notation = Notation(
        separator=separator,
        decimal=decimal,
        encoding=encoding if encoding in ("latin-1", "utf-16-le") else None,
        skip_lines=skip_lines,
        sides=sides,
    )
    data = packed(text.getvalue().encode(encoding or "utf-8"), how)

    read = generic.read(opened(data), "csv", "trades", columns, notation)

    assert rows_of(read.frame) == [
        (trade_id, NOW + micros, float(price), float(qty), sell, None, None, None)
        for trade_id, price, qty, sell, micros in rows
    ]
    validate(table("raw_trades"), read.frame, "test")


def _container(frame: pa.Table, name: str) -> bytes:
    buffer = io.BytesIO()
    if name == "parquet":
        pq.write_table(frame, buffer)
    elif name == "feather":
        feather.write_feather(frame, buffer, compression="zstd")
    else:
        with pa.ipc.new_stream(buffer, frame.schema) as stream:
            stream.write_table(frame)
    return buffer.getvalue()


CONTAINERS = ["parquet", "feather", "stream"]
NUMBERS = {
    "text": lambda texts: pa.array(texts, pa.string()),
    "bytes": lambda texts: pa.array([text.encode() for text in texts], pa.binary()),
    "double": lambda texts: pa.array([float(text) for text in texts]),
    "decimal": lambda texts: pa.array([Decimal(text) for text in texts], pa.decimal256(60, 20)),
    "dictionary": lambda texts: pa.array(texts).dictionary_encode(),
}
TIMES = {
    "s": lambda times: pa.array([t // 10**6 for t in times], pa.timestamp("s")),
    "ms": lambda times: pa.array([t // 1000 for t in times], pa.timestamp("ms", "UTC")),
    "us": lambda times: pa.array(times, pa.timestamp("us", "Europe/Berlin")),
    "ns": lambda times: pa.array([t * 1000 for t in times], pa.timestamp("ns")),
    "int us": lambda times: pa.array(times, pa.uint64()),
    "int s": lambda times: pa.array([t // 10**6 for t in times], pa.int32()),
    "double s": lambda times: pa.array([t / 1e6 for t in times]),
    "double ms": lambda times: pa.array([t / 1e3 for t in times]),
    "text": lambda times: pa.array(
        [datetime.fromtimestamp(t / 1e6, UTC).isoformat() for t in times]
    ),
}
MAKERS = {
    "bool": pa.array,
    "text": lambda sold: pa.array(["Sell" if each else "Buy" for each in sold], pa.large_string()),
    "dictionary": lambda sold: pa.array(["bs"[each] for each in sold]).dictionary_encode(),
}


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("number", NUMBERS)
@settings(max_examples=3, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 2**62),
            st.decimals("0.00000001", "100000", places=8).map("{:f}".format),
            st.integers(0, 86_399),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    ),
    container=st.sampled_from(CONTAINERS),
    makers=st.sampled_from(sorted(MAKERS)),
    how=st.sampled_from(["csv", "zip", "csv.gz"]),
)
def test_columnar_files_are_read_whatever_types_their_columns_have(
    packed, time, number, rows, container, makers, how
):
    ids, prices, seconds, sold = zip(*rows, strict=True)
    times = [NOW + 10**6 * second for second in seconds]
    frame = pa.table(
        {
            "a.b": NUMBERS[number](list(prices)),
            "t": TIMES[time](times),
            "m": MAKERS[makers](list(sold)),
            "n": pa.array(ids, pa.uint64()),
            "of no use": pa.array([[1]] * len(rows)),
        }
    )
    data = packed(_container(frame, container), how)
    columns = {"ts": "t", "price": "a.b", "qty": "a.b", "side": "m", "id": "n"}
    name = "parquet" if container == "parquet" else "feather"

    read = generic.read(opened(data), name, "trades", columns)

    assert rows_of(read.frame) == [
        (ids[row], times[row], float(price), float(price), sold[row], None, None, None)
        for row, price in enumerate(prices)
    ]
    validate(table("raw_trades"), read.frame, "test")


def test_single_precision_stands_for_its_shortest_decimal_and_is_told():
    frame = pa.table(
        {
            "ts": [NOW],
            "price": pa.array([0.1], pa.float32()),
            "qty": pa.array([16777216.0], pa.float32()),
            "side": ["buy"],
        }
    )
    read = generic.read(opened(_container(frame, "parquet")), "parquet", "trades", {})
    assert read.frame["price"].to_list() == [0.1]
    assert read.frame["qty"].to_list() == [16777216.0]
    assert "price is in single precision" in read.warnings[0]


def test_what_a_trade_is_worth_gives_its_quantity():
    data = b"ts,price,worth,side\n1736121600,8531.5,2152,sell\n"
    read = generic.read(opened(data), "csv", "trades", {"quote_qty": "worth"})
    assert read.frame["qty"].to_list() == [2152 / 8531.5]
    assert "worth of the trades" in read.warnings[0]
    with pytest.raises(SourceFormatError, match="line 2: quote_qty should be a finite"):
        generic.read(opened(data.replace(b"2152", b"0")), "csv", "trades", {"quote_qty": "worth"})
    with pytest.raises(UsageError, match="both qty and quote_qty"):
        generic.read(opened(data), "csv", "trades", {"quote_qty": "worth", "qty": "worth"})


@pytest.mark.parametrize(
    ("lines", "turned"),
    [
        (["12,1", "11,2", "11,3", "10,4"], True),
        (["12,1", "11,2", "10,4"], False),  # no two of one time, so order says nothing
        (["12,1", "11,2", "11,3", "13,4"], False),
        (["11,2", "11,3"], False),
        (["10,1", "10,2", "11,3"], False),
    ],
)
def test_a_file_that_runs_backwards_is_read_from_its_end(lines, turned):
    text = "ts,price,qty,side\n" + "\n".join(f"17361216{line},1,buy" for line in lines)
    read = generic.read(opened(text.encode()), "csv", "trades", {})
    prices = [float(line.partition(",")[2]) for line in lines]
    assert read.frame["price"].to_list() == (prices[::-1] if turned else prices)
    assert any("from the newest to the oldest" in said for said in read.warnings) == turned
    with_ids = generic.read(
        opened(text.encode()), "csv", "trades", {"id": "price"} | {"price": "ts"}
    )
    assert with_ids.frame["trade_id"].to_list() == prices


@pytest.mark.parametrize(
    ("text", "notation", "words"),
    [
        ("ts;price;qty;side\n", {}, 'add --separator ";"'),
        ("ts\tprice\tqty\tside\n", {}, "add --separator tab"),
        ("a,b,c\n1,2,3\n", {}, "no column called 'ts'; it has a, b, c. Hint: map its columns"),
        ("open,high,low,close\n", {}, "of --kind klines"),
        ("ts,ts,price,qty,side\n", {}, "has several columns called 'ts'"),
        ("ts;price;qty;side\n1736121600;1.500;2;buy\n", {"separator": ";", "decimal": ","},
         "line 2: price should be a number, found '1.500'"),
        ("ts;price;qty;side\n1736121600;1.500,5;2;buy\n", {"separator": ";", "decimal": ","},
         "line 2: price should be a number, found '1.500,5'"),
        ("ts,price,qty,side\n1736121600,1'500.5,2,buy\n", {},
         "line 2: price should be a number, found \"1'500.5\""),
        ("ts,price,qty,side\n1736121600,1,2,buy\n1736121600,1,2,ask\n", {"sides": ("bid", "ask")},
         "line 2: side should be bid or ask, found 'buy'"),
        ("# a\nts,price,qty,side\n1736121600,1,2,buy\n1736121600,1,x,buy\n", {"skip_lines": 1},
         "line 4: qty should be a number, found 'x'"),
        ('ts,price,qty,side\n1736121600,1,2,"buy\n1736121600,1,2,sell"\n', {},
         "line 2: a quotation mark is not closed"),
        ("ts,price,qty,side\n1736121600,1,2\n", {}, "line 2: found 3 columns, expected 4"),
        ("ts,price,qty,side\n1736121600,1,2,buy,\n", {}, "line 2: found 5 columns, expected 4"),
        ("ts,price,qty,side\n\n1736121600,1,2,buy\n", {}, "line 2: found 1 columns, expected 4"),
        ("ts,price,qty,side\n", {}, "a header and no rows"),
        ("ts,price,qty,side\n1736121600,1,2,\n", {}, "line 2: side should be"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_by_its_line(text, notation, words):
    with pytest.raises(SourceFormatError) as caught:
        generic.read(opened(text.encode()), "csv", "trades", {}, Notation(**notation))
    assert words in str(caught.value)


def test_a_columnar_file_has_no_separators():
    with pytest.raises(UsageError, match="a parquet file has no separators"):
        generic.read(opened(b"PAR1"), "parquet", "trades", {}, Notation(separator=";"))


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (
            b"ts,price\n",
            "feather",
            "this is not a Feather file (Arrow IPC). Hint: try --format csv",
        ),
        (b"PAR1", "feather", "and looks like a Parquet file. Hint: try --format parquet"),
        (b"ARROW1\0\0", "parquet", "and looks like a Feather file (Arrow IPC)"),
        (b"ARROW1\0\0" + b"x" * 90, "feather", "truncated or damaged"),
        (b"\xff\xff\xff\xff" + b"x" * 90, "feather", "truncated or damaged"),
        (b"PAR1" + b"x" * 90 + b"PAR1", "parquet", "truncated or damaged"),
    ],
)
def test_a_columnar_file_that_is_another_or_damaged_is_refused(data, name, words):
    with pytest.raises(SourceFormatError) as caught:
        generic.read(opened(data), name, "trades", {})
    assert words in str(caught.value)


def test_a_parquet_file_that_claims_to_hold_more_rows_than_it_can_is_refused():
    rows = 3_000_000
    frame = pa.table({name: pa.array([1.0] * rows) for name in ("ts", "price", "qty", "side")})
    data = _container(frame, "parquet")
    assert len(data) < rows / 8
    with pytest.raises(SourceFormatError, match="claims to hold 3000000 rows"):
        generic.read(opened(data), "parquet", "trades", {})
