"""Every built-in layout is read exactly: against Python's csv and decimal modules, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import table
from vostok_core.times import DAY, MINUTE
from vostok_pipelines.sources.common import SourceFile
from vostok_pipelines.sources.formats import FORMATS
from vostok_pipelines.sources.reading import read_file

SECOND = st.integers(1_300_000_000, 4_000_000_000)
DIGITS = st.text("0123456789", min_size=1, max_size=22)
ABOVE_0 = st.tuples(DIGITS, DIGITS).map(".".join).filter(lambda text: 1e-12 < float(text) < 1e21)
MILLIS = st.integers(1_300_000_000_000, 4_000_000_000_000).map(str)
MICROS = st.integers(1_300_000_000_000_000, 4_000_000_000_000_000).map(str)
FINE = st.one_of(SECOND.map(str), st.tuples(SECOND.map(str), DIGITS).map(".".join))
WORD = st.text("abcXYZ \"'価-", max_size=6)
ID = st.integers(0, 2**62).map(str)

Row = dict[str, str]
Trade = tuple[int | None, int, float, float, bool]


def micros(text: str, per_second: int) -> int:
    """A time as microseconds: cut if it is whole, else rounded half up."""
    exact = Decimal(text) * 10**6 / per_second
    if "." not in text:
        return int(exact)
    return int(Decimal(text).scaleb(6).quantize(Decimal(1), ROUND_HALF_UP))


@dataclass(frozen=True)
class Case:
    """A layout: what its files hold, and what of it is expected, by the words of its docs."""

    instrument: str
    columns: dict[str, st.SearchStrategy[str]]
    expected: Callable[[Row], Trade]
    header: bool = True
    names: dict[str, str] | None = None
    order: Callable[[list[Trade], list[Row]], Iterable[Trade]] = lambda trades, _: trades


def backwards(trades: list[Trade], _: list[Row]) -> list[Trade]:
    """Without ids, files that run from the newest to the oldest are read from their end."""
    times = [trade[1] for trade in trades]
    falls = all(a >= b for a, b in pairwise(times))
    tied = len(set(times)) < len(times)
    return trades[::-1] if falls and tied and len(set(times)) > 1 else trades


def by_time_and_id(trades: list[Trade], rows: list[Row]) -> list[Trade]:
    numbered = sorted(
        zip(trades, rows, strict=True), key=lambda pair: (pair[0][1], int(pair[1]["trade_id"]))
    )
    return [trade for trade, _ in numbered]


def tardis(exchange: str, symbol: str, ids: st.SearchStrategy[str]) -> dict[str, Any]:
    return {
        "exchange": st.just(exchange),
        "symbol": st.just(symbol),
        "timestamp": MICROS,
        "local_timestamp": MICROS,
        "id": ids,
        "side": st.sampled_from(["buy", "sell"]),
        "price": ABOVE_0,
        "amount": ABOVE_0,
    }


BYBIT = {
    "timestamp": FINE,
    "symbol": st.just("BTCUSDT"),
    "side": st.sampled_from(["Buy", "Sell"]),
    "size": ABOVE_0,
    "price": ABOVE_0,
    "tickDirection": WORD,
    "trdMatchID": WORD,
    "grossValue": ABOVE_0,
    "homeNotional": ABOVE_0,
    "foreignNotional": ABOVE_0,
}
OKX = {
    "trade_id": ID,
    "side": st.sampled_from(["buy", "sell"]),
    "size": ABOVE_0,
    "price": ABOVE_0,
    "created_time": MILLIS,
}
CASES: dict[str, tuple[str, Case]] = {
    "kraken": (
        "kraken-trades",
        Case(
            "kraken.spot.BTC-USD",
            {
                "time": FINE,
                "price": ABOVE_0,
                "volume": ABOVE_0,
                "buy_or_sell": st.sampled_from("bs"),
                "market_or_limit": st.sampled_from("ml"),
                "misc": WORD,
            },
            lambda row: (
                None,
                micros(row["time"], 1),
                float(row["price"]),
                float(row["volume"]),
                row["buy_or_sell"] == "s",
            ),
            order=backwards,
        ),
    ),
    "tardis with ids": (
        "tardis-trades",
        Case(
            "binance.spot.BTC-USDT",
            tardis("binance", "BTCUSDT", ID),
            lambda row: (
                int(row["id"]),
                int(row["timestamp"]),
                float(row["price"]),
                float(row["amount"]),
                row["side"] == "sell",
            ),
        ),
    ),
    "tardis without ids": (
        "tardis-trades",
        Case(
            "kraken.spot.BTC-USD",
            tardis("kraken", "XBT/USD", WORD),
            lambda row: (
                None,
                int(row["timestamp"]),
                float(row["price"]),
                float(row["amount"]),
                row["side"] == "sell",
            ),
            order=backwards,
        ),
    ),
    "tardis of contracts": (
        "tardis-trades",
        Case(
            "bitmex.swap.BTC-USD",
            tardis("bitmex", "XBTUSD", WORD),
            lambda row: (
                None,
                int(row["timestamp"]),
                float(row["price"]),
                float(row["amount"]) / float(row["price"]),
                row["side"] == "sell",
            ),
            order=backwards,
        ),
    ),
    "bybit": (
        "bybit-trades",
        Case(
            "bybit.linear.BTC-USDT",
            BYBIT,
            lambda row: (
                None,
                micros(row["timestamp"], 1),
                float(row["price"]),
                float(row["size"]),
                row["side"] == "Sell",
            ),
            order=backwards,
        ),
    ),
    "bybit inverse, newer": (
        "bybit-trades",
        Case(
            "bybit.inverse.BTC-USD",
            BYBIT | {"symbol": st.just("BTCUSD"), "RPI": st.sampled_from("01")},
            lambda row: (
                None,
                micros(row["timestamp"], 1),
                float(row["price"]),
                float(row["size"]) / float(row["price"]),
                row["side"] == "Sell",
            ),
            order=backwards,
        ),
    ),
    "bybit spot": (
        "bybit-trades",
        Case(
            "bybit.spot.BTC-USDT",
            {
                "id": ID,
                "timestamp": MILLIS,
                "price": ABOVE_0,
                "volume": ABOVE_0,
                "side": st.sampled_from(["buy", "sell"]),
                "rpi": st.sampled_from("01"),
            },
            lambda row: (
                None,
                int(row["timestamp"]) * 1000,
                float(row["price"]),
                float(row["volume"]),
                row["side"] == "sell",
            ),
            order=backwards,
        ),
    ),
    "okx": (
        "okx-trades",
        Case(
            "okx.spot.BTC-USDT",
            OKX,
            lambda row: (
                None,
                int(row["created_time"]) * 1000,
                float(row["price"]),
                float(row["size"]),
                row["side"] == "sell",
            ),
            names={"trade_id": "trade_id/撮合id", "side": "side/交易方向", "price": "price/价格"},
            order=by_time_and_id,
        ),
    ),
    "okx, newer": (
        "okx-trades",
        Case(
            "okx.spot.BTC-USDT",
            {
                "instrument_name": st.just("BTC-USDT"),
                **{name: OKX[name] for name in ("trade_id", "side", "price", "size")},
                "created_time": MILLIS,
                "source": WORD,
            },
            lambda row: (
                None,
                int(row["created_time"]) * 1000,
                float(row["price"]),
                float(row["size"]),
                row["side"] == "sell",
            ),
            order=by_time_and_id,
        ),
    ),
}


def written(case: Case, rows: list[Row], *, header: bool, end: str, quoting: int) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    if header:
        writer.writerow([(case.names or {}).get(name, name) for name in case.columns])
    writer.writerows([row[name] for name in case.columns] for row in rows)
    return text.getvalue()


def read_back(text: str, names: Iterable[str], *, header: bool) -> Iterator[Row]:
    lines = list(csv.reader(io.StringIO(text, newline="")))
    return (dict(zip(names, line, strict=True)) for line in lines[header:])


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_layout_of_trades_is_read_to_the_last_bit(packed, instrument, name, data):
    must_be_read_exactly(packed, instrument, name, data)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_many_files_of_a_layout_are_read_to_the_last_bit(packed, instrument, name, data):
    must_be_read_exactly(packed, instrument, name, data)


def must_be_read_exactly(packed, instrument, name, data):
    format_, case = CASES[name]
    rows = data.draw(st.lists(st.fixed_dictionaries(case.columns), min_size=1, max_size=15))
    header = FORMATS[format_].layouts[0].has_header or data.draw(st.booleans(), label="header")
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), label="quoting")
    end = data.draw(st.sampled_from(["\n", "\r\n"]), label="end of line")
    how = data.draw(st.sampled_from(["csv", "zip", "csv.gz", "csv.zst", "csv.xz"]), label="packing")
    text = written(case, rows, header=header, end=end, quoting=quoting)
    encoding = "gbk" if case.names and data.draw(st.booleans(), label="gbk") else "utf-8"
    source = SourceFile(Path("source"), packed(text.encode(encoding), how))

    read = read_file(source, instrument(case.instrument), format_, "trades")

    fields = list(read_back(text, case.columns, header=header))
    expected = list(case.order([case.expected(row) for row in fields], fields))
    found = read.frame.with_columns(pl.col("ts").to_physical())
    columns = ("trade_id", "ts", "price", "qty", "buyer_maker")
    assert found.select(columns).rows() == expected
    assert (expected[0][0] is None) == any("ids" in said for said in read.warnings)
    validate(table("raw_trades"), read.frame, "test")


@settings(max_examples=30, deadline=None)
@given(
    opens=st.lists(st.integers(0, 10_000), min_size=2, max_size=12, unique=True),
    data=st.data(),
    how=st.sampled_from(["csv", "zip", "csv.bz2"]),
    header=st.booleans(),
)
def test_krakens_klines_are_read_to_the_last_bit(packed, instrument, opens, data, how, header):
    opens = sorted({*opens, opens[0] + 1})  # two neighbours tell the interval
    start = 1_381_095_240
    lines = ["time,open,high,low,close,volume,count"] if header else []
    expected = []
    for minute in opens:
        low, open_, close, high = sorted(
            data.draw(st.lists(ABOVE_0, min_size=4, max_size=4)), key=float
        )
        volume, count = data.draw(ABOVE_0), data.draw(st.integers(0, 10**9))
        time = start + 60 * minute
        lines.append(f"{time},{open_},{high},{low},{close},{volume},{count}")
        prices = (float(each) for each in (open_, high, low, close, volume))
        expected.append(((time + 60) * 10**6, *prices, None, count, None))
    source = SourceFile(Path("XBTUSD_1.csv"), packed("\n".join(lines), how))

    read = read_file(source, instrument("kraken.spot.BTC-USD", "none"), "kraken-ohlcvt", "klines")

    assert read.interval == "1m"
    assert read.frame.with_columns(pl.col("ts").to_physical()).rows() == expected
    validate(table("raw_klines"), read.frame, "test")


BULK = st.lists(
    st.tuples(st.integers(0, 4_000), ABOVE_0, st.one_of(ABOVE_0, st.just("0.00000000"))),
    min_size=1,
    max_size=60,
)


def minutes_of(trades: list[tuple[int, str, str]], start: int) -> list[tuple[Any, ...]]:
    """Klines of trades by the words of docs/sources.md, without those on the edges of the file."""
    found: dict[int, list[float]] = {}
    for second, price_text, qty_text in sorted(trades, key=lambda trade: trade[0]):
        price, qty = float(price_text), float(qty_text)
        if qty == 0:
            continue
        end = (start + second) // 60 * 60 * 10**6 + MINUTE
        bar = found.setdefault(end, [price, price, price, price, 0.0, 0.0, 0])
        bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
        bar[4], bar[5], bar[6] = bar[4] + qty, bar[5] + price * qty, bar[6] + 1
    edges = []
    if found:
        first, last = min(found), max(found)
        edges = [first] * (first % DAY != MINUTE) + [last] * (last % DAY != 0)
    return [(end, *bar, None) for end, bar in sorted(found.items()) if end not in edges]


@pytest.mark.parametrize("format_", ["kraken-bulk", "bitcoincharts"])
@settings(max_examples=25, deadline=None)
@given(trades=BULK, hour=st.sampled_from([0, 12, 23]))
def test_trades_without_a_side_become_klines_by_the_sums_in_order(
    instrument, format_, trades, hour
):
    start = 1_672_531_200 + hour * 3600 - (600 if hour == 0 else 0)
    text = "\n".join(f"{start + second},{price},{qty}" for second, price, qty in trades)
    source = SourceFile(Path("XBTUSD.csv"), text.encode())
    expected = minutes_of(trades, start)
    market = instrument("kraken.spot.BTC-USD", "none")
    if not expected:
        with pytest.raises(SourceFormatError, match="no minute of which it is known"):
            read_file(source, market, format_, "klines")
        return
    read = read_file(source, market, format_, "klines")
    assert read.interval == "1m"
    assert read.frame.with_columns(pl.col("ts").to_physical()).rows() == expected
    said = " ".join(read.warnings)
    assert "buy_volume is not known" in said
    assert ("of quantity 0 were left out" in said) == any(float(qty) == 0 for *_, qty in trades)
    validate(table("raw_klines"), read.frame, "test")


TARDIS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
ETHER = "binance,ETHUSDT,1583020803145000,1583020803307160,2,sell,8531.5,2\n"
BYBIT_ROW = "1696982287.4922,FXSUSDT,Sell,0.86,5.2390,ZeroMinusTick,f7496ecb,4.5e+08,0.86,4.50554\n"


@pytest.mark.parametrize(
    ("format_", "name", "market", "text", "words"),
    [
        (
            "tardis-trades", "t.csv", "binance.spot.BTC-USDT",
            f"{TARDIS}binance,ETHUSDT,1583020803145000,1583020803307160,1,sell,8531.5,2\n",
            "line 2: symbol is 'ETHUSDT', which is not that of binance.spot.BTC-USDT",
        ),
        (
            "tardis-trades", "t.csv", "binance.spot.BTC-USDT",
            f"{TARDIS}binance,BTCUSDT,1583020803145000,1583020803307160,1,sell,8531.5,2\n{ETHER}",
            "line 3: symbol should be BTCUSDT like the first line's, found 'ETHUSDT'",
        ),
        (
            "tardis-trades", "t.csv", "binance.spot.BTC-USDT",
            f"{TARDIS}binance,BTCUSDT,1583020803145000,1583020803307160,1,unknown,8531.5,2\n",
            "line 2: side should be buy or sell: a tick needs its taker's side, found 'unknown'",
        ),
        (
            "tardis-trades", "t.csv", "okx.swap.BTC-USDT",
            f"{TARDIS}okex-swap,BTC-USDT-SWAP,1583020803145000,1583020803307160,1,sell,8531.5,2\n",
            "BTC-USDT-SWAP of okex-swap is not known to be traded in its base currency",
        ),
        (
            "tardis-trades", "t.csv", "binance.spot.BTC-USDT",
            f"{TARDIS}binance-futures,BTCUSDT,1583020803145000,1583020803307160,1,sell,8531.5,2\n",
            "the file is of Tardis's exchange binance-futures",
        ),
        (
            "tardis-trades", "binance_liquidations_2020-03-01_BTCUSDT.csv", "binance.spot.BTC-USDT",
            f"{TARDIS}binance,BTCUSDT,1583020803145000,1583020803307160,1,sell,8531.5,2\n",
            "named for Tardis's liquidations",
        ),
        (
            "bybit-trades", "t.csv", "bybit.spot.FXS-USDT",
            ",".join(BYBIT) + "\n" + BYBIT_ROW,
            "Bybit's trades of derivatives, and the market of bybit.spot.FXS-USDT is spot",
        ),
        (
            "bybit-trades", "t.csv", "bybit.linear.FXS-USDT",
            "id,timestamp,price,volume,side\n1,1696118403019,26965.24,0.000055,buy\n",
            "Bybit's trades of spot, and the market of bybit.linear.FXS-USDT is linear",
        ),
        (
            "bybit-trades", "t.csv", "bybit.linear.BTC-USDT",
            ",".join(BYBIT) + "\n" + BYBIT_ROW,
            "symbol is 'FXSUSDT', which is not that of bybit.linear.BTC-USDT",
        ),
        (
            "okx-trades", "BTC-USDT-SWAP-trades-2023-11-18.csv", "okx.spot.BTC-USDT",
            "trade_id,side,size,price,created_time\n1,buy,1,2,1700239042832\n",
            "named for BTC-USDT-SWAP",
        ),
        (
            "okx-trades", "t.csv", "okx.swap.BTC-USDT",
            "trade_id,side,size,price,created_time\n1,buy,1,2,1700239042832\n",
            "derivatives are in contracts",
        ),
    ],
)  # fmt: skip
def test_a_file_of_another_instrument_is_refused(instrument, format_, name, market, text, words):
    source = SourceFile(Path(name), text.encode())
    with pytest.raises((SourceFormatError, UsageError)) as caught:
        read_file(source, instrument(market), format_, "trades")
    assert words in str(caught.value)
    assert caught.value.hint
