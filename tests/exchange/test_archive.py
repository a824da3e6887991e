"""The embedded world's files: Binance's layout, checksums, RSS; same seed, same bytes."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import feedparser
import pytest

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.synthetic import MarketSpec, MarketState, advance
from vostok_core.times import day_start
from vostok_exchange.archive import archive_path
from vostok_exchange.feed import write_feed
from vostok_exchange.world import Market, write_history

DAY = date(2025, 1, 6)


@pytest.fixture
def market() -> Market:
    instrument = Instrument(
        InstrumentId.parse("demo.spot.EDGE-USDT"),
        "agg_trade",
        Decimal("0.01"),
        Decimal("0.00001"),
        Decimal(5),
        3_600_000_000,
    )
    return Market(instrument, MarketSpec(trades_per_minute=3.0, start_price=100.0, news_per_day=50))


def test_a_day_reads_back_as_the_trades_that_were_made(market: Market, tmp_path: Path) -> None:
    history = write_history(market, tmp_path, DAY, DAY + timedelta(days=1), seed=4)
    state = MarketState.start(market.spec, market.seed(4), day_start(DAY))
    span, state = advance(market.spec, state, 1440)
    path = archive_path(tmp_path, "EDGEUSDT", DAY)
    assert path == (
        tmp_path / "data/spot/daily/aggTrades/EDGEUSDT/EDGEUSDT-aggTrades-2025-01-06.zip"
    )
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["EDGEUSDT-aggTrades-2025-01-06.csv"]
        rows = list(csv.reader(io.StringIO(archive.read(archive.namelist()[0]).decode())))
    assert len(rows) == span.ticks.height
    for row, tick in zip(rows, span.ticks.iter_rows(named=True), strict=True):
        assert (int(row[0]), float(row[1]), float(row[2])) == (
            tick["trade_id"],
            tick["price"],
            tick["qty"],
        )
        assert int(row[5]) == round(tick["ts"].timestamp() * 1e6)
        assert row[6] == str(tick["buyer_maker"])
    assert history.state.counters[1] == history.trades + 1


def test_the_checksum_fits_and_the_bytes_repeat(market: Market, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_history(market, tmp_path / folder, DAY, DAY, seed=9)
    path = archive_path(tmp_path / "a", "EDGEUSDT", DAY)
    again = archive_path(tmp_path / "b", "EDGEUSDT", DAY)
    assert path.read_bytes() == again.read_bytes()
    digest, name = path.with_name(path.name + ".CHECKSUM").read_text().split()
    assert (digest, name) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


def test_headlines_are_a_feed_that_feedparser_reads(market: Market, tmp_path: Path) -> None:
    history = write_history(market, tmp_path, DAY, DAY, seed=2)
    assert history.news
    feed = feedparser.parse(write_feed(tmp_path / "news.xml", history.news).read_bytes())
    assert not feed.bozo
    assert [entry.title for entry in feed.entries] == [title for _, title in history.news]
    assert all("EDGE" in entry.title for entry in feed.entries)
    assert len({entry.id for entry in feed.entries}) == len(feed.entries)
