"""Real files, each under every format: read rightly by the right one, refused by all others.

A refusal says what was expected and what was found, and what else the file may be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.market.instrument import Instrument
from vostok_pipelines.landing import check_request
from vostok_pipelines.sources.common import PLAIN, Notation, Source, SourceFile
from vostok_pipelines.sources.formats import FORMATS
from vostok_pipelines.sources.generic import parse_columns
from vostok_pipelines.sources.reading import read_file

FOLDERS = ("ticks", "book", "bars")
SAYS = ("expected", "should", "has no column", "this is not", "no taker side")


@dataclass(frozen=True)
class Right:
    """How a file is read rightly: rows, interval, and its first and last price."""

    format: str
    instrument: str
    rows: int
    first: float
    last: float
    columns: str = ""
    kind: str = "trades"
    notation: Notation = field(default=PLAIN)
    interval: str | None = None


def bars(name: str, rows: int, first: float, last: float, columns: str, **more: Any) -> Right:
    format_ = more.pop("format", "csv")
    return Right(format_, name, rows, first, last, columns, "klines", **more)


DATE = "ts=date"
RIGHT: dict[str, Right] = {
    "ticks/binance_aggtrades/XRPETH-aggTrades-2019-10-11.zip": Right(
        "binance-aggtrades", "binance.spot.XRP-ETH", 5929, 0.00141342, 0.00147991
    ),
    "ticks/bitcoincharts/bitstampUSD.csv": Right(
        "bitcoincharts", "bitstamp.spot.BTC-USD", 3744, 5.95, 5.14, kind="klines", interval="1m"
    ),
    "ticks/bitcoincharts/trades-mtgox-usd-2013-01-01.csv": Right(
        "csv", "mtgox.spot.BTC-USD", 2331, 13.51001, 13.30413,
        "ts=id,qty=amount,side=type", notation=Notation(sides=("bid", "ask")),
    ),
    "ticks/freqtrade/kraken/trades_csv/BCHEUR.csv": Right(
        "kraken-bulk", "kraken.spot.BCH-EUR", 76, 90.45, 90.52, kind="klines", interval="1m"
    ),
    "ticks/freqtrade/orderflow/public_trades_list.csv": Right(
        "csv", "binance.usdm.ETH-USDT", 1000, 1666.8, 1667.3, "id=id,ts=timestamp,qty=amount"
    ),
    "ticks/kraken_2018/USDTUSD-trades.csv": Right(
        "kraken-trades", "kraken.spot.USDT-USD", 41133, 0.9999, 1.0025
    ),
    "ticks/misc/bbgo-FXSUSDT-2023-11-17.csv": Right(
        "csv", "max.spot.FXS-USDT", 3600, 7.503, 7.577, "id=1,side=2,qty=3,price=4,ts=5"
    ),
    "ticks/misc/bybit-FXSUSDT-ticks-2023-10-10.csv": Right(
        "bybit-trades", "bybit.linear.FXS-USDT", 15, 5.239, 5.2495
    ),
    "ticks/misc/nautilus-binance-btcusdt-trades.parquet": Right(
        "parquet", "binance.spot.BTC-USDT", 2001, 39432.48, 39491.76,
        "id=trade_id,ts=timestamp,qty=quantity,side=buyer_maker",
    ),
    "ticks/misc/okex-BTC-USDT-aggtrades-2023-11-18.csv": Right(
        "okx-trades", "okx.spot.BTC-USDT", 15, 35914.3, 35914.4
    ),
    "ticks/misc/tardis-bitmex_trades_XBTUSD.csv": Right(
        "tardis-trades", "bitmex.swap.BTC-USD", 10, 8531.5, 8531.5
    ),
    "bars/bitfinex_1m/BTCUSD/2016.parquet": bars(
        "bitfinex.spot.BTC-USD", 293_230, 429.17, 966.58, "ts=ts_ms",
        format="parquet", interval="1m",
    ),
    "bars/basana_bitstamp_btcusd_min_2020_01_01.csv": bars(
        "bitstamp.spot.BTC-USD", 1440, 7160.69, 7178.68, "ts=datetime", interval="1m"
    ),
    "bars/basana_binance_btcusdt_day_2020.csv": bars(
        "binance.spot.BTC-USDT", 366, 7195.24, 28875.55, "ts=datetime", interval="1d"
    ),
    "bars/freqtrade/XRP_ETH-1m-first-two-days.csv": bars(
        "binance.spot.XRP-ETH", 1995, 0.00141342, 0.00151451, "ts=open_time_ms", interval="1m"
    ),
    "bars/freqtrade/UNITTEST_BTC-1m.feather": bars(
        "binance.spot.XRP-BTC", 13681, 0.00162008, 0.00270001, DATE, format="feather", interval="1m"
    ),
    "bars/freqtrade/XRP_USDT_USDT-5m-futures.feather": bars(
        "binance.usdm.XRP-USDT", 1999, 1.1893, 1.0733, DATE, format="feather", interval="5m"
    ),
    "bars/nautilus_btc-perp-20211231-20220201_1m.csv.zst": bars(
        "ftx.perp.BTC-USD", 45031, 46319.0, 38525.0, "ts=timestamp", interval="1m"
    ),
}  # fmt: skip

LOOKS_LIKE = {
    "ticks/misc/bybit-FXSUSDT-ticks-2023-10-10.csv": "name --format bybit-trades",
    "ticks/misc/okex-BTC-USDT-aggtrades-2023-11-18.csv": "name --format okx-trades",
    "ticks/misc/tardis-bitmex_trades_XBTUSD.csv": "name --format tardis-trades",
    "ticks/binance_aggtrades/XRPETH-aggTrades-2019-10-11.zip": "name --format binance-aggtrades",
    "ticks/freqtrade/kraken/trades_csv/BCHEUR.csv": "name --format kraken-bulk",
    "ticks/kraken_2018/USDTUSD-trades.csv": "name --format kraken-trades",
    "book/binance_ws_hftbacktest/spot_btcusdt_20240808.gz": "a capture of WebSocket messages",
    "book/cryptofeed_raw/BINANCE.0": "a capture of answers and messages",
    "book/cryptofeed_raw/BINANCE.http.0.0": "a capture of answers and messages",
    "book/cryptofeed_raw/BINANCE.ws.1.0": "a capture of answers and messages",
    "book/cryptofeed_raw/KRAKEN.0": "a capture of answers and messages",
    "book/kraken_2018_spreads/XBTUSD-spreads.seg2.csv": "looks like Kraken's spreads",
    "book/nautilus/binance-futures_book_snapshot_25_BTCUSDT.csv": "Tardis's book_snapshot",
    "book/nautilus/binance-futures_book_snapshot_5_BTCUSDT.csv": "Tardis's book_snapshot",
    "book/nautilus/btcusdt-depth-snap.csv": "changes of Binance's order book",
    "book/nautilus/btcusdt-depth-update.csv": "changes of Binance's order book",
    "book/nautilus/deribit_incremental_book_L2_BTC-PERPETUAL.csv": "Tardis's incremental_book_L2",
}
"""What the hint says of a file that is fed under another format than its own."""


def prices(read: Source) -> pl.Series:
    """Of trades; of klines what they opened at first."""
    return read.frame["price" if "price" in read.frame.columns else "open"]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", RIGHT)
def test_a_real_file_is_read_by_its_format(shared: Path, instrument, name: str) -> None:
    right = RIGHT[name]
    read = read_file(
        SourceFile.open(shared / name),
        instrument(right.instrument),
        right.format,
        right.kind,  # type: ignore[arg-type]
        parse_columns(right.columns),
        right.notation,
    )
    found = prices(read)
    assert (read.frame.height, read.interval) == (right.rows, right.interval)
    assert (found[0], found[-1]) == (right.first, right.last)


@pytest.mark.shared_data
@pytest.mark.parametrize("format_", FORMATS)
def test_every_real_file_is_refused_by_the_formats_that_are_not_its_own(
    shared: Path, instrument: Callable[..., Instrument], format_: str
) -> None:
    files = [
        path
        for folder in FOLDERS
        for path in sorted((shared / folder).rglob("*"))
        if path.is_file() and path.stat().st_size < 2_000_000
    ]
    assert len(files) > 25
    right_for = {str(shared / name): right for name, right in RIGHT.items()}
    for path in files:
        market = instrument("kraken.spot.BTC-USD")
        right = right_for.get(str(path))
        if right is not None:
            market = instrument(right.instrument)
        kind = FORMATS[format_].holds or "trades"
        if format_ == "okx-trades":  # which holds spot alone, and says so before it looks
            market = instrument("okx.spot.BTC-USDT")
        try:
            read = read_file(SourceFile.open(path), market, format_, kind)
        except SourceFormatError as error:
            _check(error, path, str(path.relative_to(shared)), format_)
        else:
            # Under its own format, or the other name of one layout.
            own = {"kraken-bulk", "bitcoincharts"} if format_ in SAME else {format_}
            name = str(path.relative_to(shared))
            assert name not in RIGHT or RIGHT[name].format in own, (format_, name)
            assert name.startswith("ticks/")
            assert read.frame.height > 0


SAME = ("kraken-bulk", "bitcoincharts")


def _check(error: SourceFormatError, path: Path, name: str, format_: str) -> None:
    assert error.where == str(path)
    assert error.hint
    text = str(error)
    assert len(text) < 1500, text
    assert text.isprintable(), text
    assert any(word in error.what for word in SAYS), text
    own = RIGHT[name].format if name in RIGHT else None
    if name in LOOKS_LIKE and format_ != own:
        assert LOOKS_LIKE[name] in error.hint, (format_, text)


@pytest.mark.shared_data
def test_a_file_is_not_ingested_for_an_instrument_of_another_exchange(instrument) -> None:
    for format_ in ("bybit-trades", "okx-trades"):
        with pytest.raises(UsageError, match="of another exchange than kraken"):
            check_request(instrument("kraken.spot.BTC-USD"), format_, None, None)
    check_request(instrument("okx.spot.BTC-USDT"), "okx-trades", None, None)


@pytest.mark.shared_data
def test_a_contract_of_bitmex_is_worth_a_dollar(shared: Path, instrument) -> None:
    path = shared / "ticks/misc/tardis-bitmex_trades_XBTUSD.csv"
    built_in = read_file(
        SourceFile.open(path), instrument("bitmex.swap.BTC-USD"), "tardis-trades", "trades"
    )
    mapped = read_file(
        SourceFile.open(path),
        instrument("bitmex.swap.BTC-USD"),
        "csv",
        "trades",
        parse_columns("ts=timestamp,quote_qty=amount"),
    )
    assert built_in.frame["qty"][0] == 2152 / 8531.5
    assert built_in.frame.equals(mapped.frame)
    assert "a contract is worth 1 USD" in built_in.warnings[0]
    assert "the worth of the trades by their price" in mapped.warnings[0]


@pytest.mark.shared_data
def test_files_without_a_taker_side_are_refused_as_ticks_with_the_reason(shared, instrument):
    for file in ("freqtrade/kraken/trades_csv/BCHEUR.csv", "bitcoincharts/bitstampUSD.csv"):
        source = SourceFile.open(shared / "ticks" / file)
        with pytest.raises(SourceFormatError, match="no taker side") as caught:
            read_file(source, instrument("kraken.spot.BTC-USD"), "kraken-trades", "trades")
        assert "kraken-bulk" in caught.value.hint
