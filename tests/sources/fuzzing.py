"""What the fuzz tests share: files of every format, ways to spoil them, and what may come of it."""

from __future__ import annotations

import io
import math
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from pyarrow import feather

from vostok_core.errors import VostokError
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import table
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import HOUR
from vostok_pipelines.sources.common import PLAIN, Kind, Notation, SourceFile
from vostok_pipelines.sources.formats import FORMATS
from vostok_pipelines.sources.reading import read_file

AGG = "7,100.5,0.25,11,12,1736121600000000,True,True\n8,100.5,0.5,13,13,1736121600000001,False,True"
TARDIS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
BYBIT = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
    "foreignNotional\n"
)
BAR = "1736121600000,10,12,9,11,7,1736121659999,77,5,3.5,38,0\n"
BULK = "1672531200,90.5,1.1\n1672531271,90.4,1.0\n1672531331,90.4,0.2\n1672617599,90.4,0.2"
CSV = "ts,price,qty,side,id\n1736121600,1.5,2,buy,1\n1736121600.25,1.25,3,sell,2"

SPOT, NONE = "binance.spot.BTC-USDT", "kraken.spot.BTC-USD"
TEXTS: dict[str, tuple[str, str]] = {
    "binance-aggtrades": (SPOT, AGG),
    "binance-trades": (SPOT, "7,100.5,0.25,25.125,1736121600000,True,True\n"),
    "binance-klines": (SPOT, BAR + BAR.replace("121600", "121660").replace("121659", "121719")),
    "kraken-trades": (NONE, "1525732094.0605,17.8,0.07,s,m,None\n1525732119.8463,17.8,10,s,l,\n"),
    "kraken-bulk": (NONE, BULK),
    "kraken-ohlcvt": (NONE, "1736121600,1,3,1,2,5,9\n1736121660,2,3,1,2,5,9\n"),
    "bybit-trades": (
        "bybit.linear.FXS-USDT",
        f"{BYBIT}1696982287.4922,FXSUSDT,Sell,0.86,5.2390,ZeroMinusTick,f7496ecb,4.5,0.86,4.5",
    ),
    "okx-trades": (
        "okx.spot.BTC-USDT",
        "trade_id/撮合id,side,size,price,created_time\n450372093,buy,0.00418,35910.6,1700239042832",
    ),
    "tardis-trades": (
        SPOT,
        f"{TARDIS}binance,BTCUSDT,1583020803145000,1583020803307160,7,sell,8531.5,2152\n",
    ),
    "bitcoincharts": (NONE, BULK),
    "csv": (SPOT, CSV),
}
"""A small file of each format that is text, and an instrument that it can be of."""

WORDS = [
    *(b"", b" ", b"\n", b"\r", b"\r\n", b"\t", b",", b";", b'"', b'""', b"'", b"\0", b"\xff", b"#"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"\x85", b"\x1c", b"\\", b"-", b"+", b"."),
    *(b"e", b"nan", b"inf", b"-0", b"1e400", b"1e-400", b"0x10", b"1_0", b"1230767999", b"True"),
    *(b"99999999999999999999", b"9223372036854775807", b"-9223372036854775808"),
    *(b"4102444800000000", b"1", b"<html>", b"{", b"[1]", b"PK\x03\x04", b"\x1f\x8b\x08", b"PAR1"),
    *(b"2025-01-06T00:00:00Z", "١".encode(), "１".encode(), "−".encode()),
]  # fmt: skip
"""What parsers stumble over."""

NOTATIONS = st.builds(
    Notation,
    separator=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from([None, "utf-8", "utf-16", "gbk", "latin-1"]),
    skip_lines=st.integers(0, 2),
    sides=st.sampled_from([None, ("buy", "sell"), ("1", "2")]),
)
TEXT = st.text(max_size=3).map(str.encode)
SPOILING = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 12),
        st.one_of(
            st.sampled_from(WORDS), st.binary(max_size=5), st.text(max_size=3).map(str.encode)
        ),
    ),
    min_size=1,
    max_size=4,
)
PACKINGS = st.sampled_from(["csv", "csv", "csv", "zip", "csv.gz", "csv.zst", "csv.bz2", "csv.xz"])


def spoilt(data: bytes, spoiling: list[tuple[float, int, bytes]]) -> bytes:
    for place, cut, junk in spoiling:
        at = int(place * len(data))
        data = data[:at] + junk + data[at + cut :]
    return data


COLUMNS = {"id": "id"}


def market(name: str, format_: str) -> Instrument:
    klines = FORMATS[format_].holds == "klines"
    return Instrument(
        id=InstrumentId.parse(name),
        tick="none" if klines else "trade",
        price_tick=Decimal("0.01"),
        quantity_step=Decimal(1),
        min_notional=Decimal(0),
        max_silence=HOUR,
    )


def columnar(container: str, compression: str) -> bytes:
    """A small Parquet or Feather file."""
    frame = pa.table(
        {
            "ts": [1736121600000 + k for k in range(40)],
            "price": [1.5 + k for k in range(40)],
            "qty": pa.array([Decimal(k + 1) for k in range(40)], pa.decimal128(20, 5)),
            "side": pa.array(["buy", "sell"] * 20).dictionary_encode(),
            "id": list(range(40)),
        }
    )
    buffer = io.BytesIO()
    if container == "parquet":
        named = compression.replace("uncompressed", "none").replace("lz4", "snappy")
        pq.write_table(frame, buffer, compression=named)
    else:
        feather.write_feather(frame, buffer, compression=compression)
    return buffer.getvalue()


def must_be_read_or_refused(
    data: bytes, format_: str, instrument: str, notation: Notation = PLAIN
) -> bool:
    """Read a file; whatever it holds, rows come out that a table takes, or an error with a hint.

    Returns:
        Whether it was read.
    """
    kind: Kind = FORMATS[format_].holds or "trades"
    columns = COLUMNS if FORMATS[format_].read is None else None
    source = SourceFile(Path("source"), data)
    refusal: VostokError | None = None
    try:
        read = read_file(source, market(instrument, format_), format_, kind, columns, notation)
    except VostokError as error:
        refusal = error
    if refusal is not None:
        assert refusal.hint
        assert str(refusal).isprintable(), str(refusal)
        assert len(str(refusal)) < 2000
        return False
    frame = read.frame
    assert frame.height > 0
    validate(table("raw_trades" if kind == "trades" else "raw_klines"), frame, "fuzz")
    times = frame["ts"].to_physical()
    assert times.is_between(1_230_768_000_000_000, 4_102_531_200_000_000).all()
    for name, dtype in frame.schema.items():
        if dtype == pl.Float64 and name in ("price", "open", "high", "low", "close"):
            assert all(math.isfinite(value) and value > 0 for value in frame[name])
    return True
