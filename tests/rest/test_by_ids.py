"""Days of trades by ids: real ccxt against the embedded exchange, over real sockets."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.rest.exchanges import HURRY, instrument
from vostok_core.errors import UsageError
from vostok_core.hashing import hash_frame
from vostok_exchange.archive import archive_path
from vostok_pipelines.fetching.rest import RestFetcher
from vostok_pipelines.sources.binance import read_agg_trades
from vostok_pipelines.sources.common import SourceFile
from vostok_pipelines.sources.days import BadDay, nothing_known

ABC = instrument("demo.spot.ABC-USDT", "agg_trade")
SINGLE = instrument("demo.spot.ABC-USDT", "trade")
DAYS = [date(2025, 3, 29), date(2025, 3, 30)]


def frames(fetcher: RestFetcher, of: Any, days: list[date]) -> dict[date, pl.DataFrame]:
    found = {}
    for read in fetcher.source(of).read(of, days, nothing_known):
        assert not isinstance(read, BadDay)
        assert read.content is not None
        assert read.sha256 == hash_frame(read.content.frame)
        assert read.provenance == {"fetched": "rest binance"}
        found[read.day] = read.content.frame
    return found


def archived(archive: Path, day: date) -> pl.DataFrame:
    return read_agg_trades(SourceFile.open(archive_path(archive, "ABCUSDT", day))).frame


def test_aggregate_trades_are_those_of_the_archive_bit_for_bit(
    embedded: tuple[Path, str], project_at: Any
) -> None:
    archive, url = embedded
    fetcher = RestFetcher(project_at(demo=url), patience=HURRY)
    (fetched,) = fetcher.fetch({ABC: DAYS})
    assert fetched.days == tuple(DAYS)
    for day, frame in frames(fetcher, ABC, DAYS).items():
        assert frame.height > 2_000, "several pages"
        assert frame.equals(archived(archive, day))


def test_single_trades_come_by_their_own_ids(embedded: tuple[Path, str], project_at: Any) -> None:
    archive, url = embedded
    fetcher = RestFetcher(project_at("trade", demo=url), patience=HURRY)
    (fetched,) = fetcher.fetch({SINGLE: DAYS[1:]})
    assert fetched.days == (DAYS[1],)
    frame = frames(fetcher, SINGLE, DAYS[1:])[DAYS[1]]
    # Before the exchange opened each aggregate trade is of one trade.
    columns = ["ts", "price", "qty", "buyer_maker"]
    assert frame.select(columns).equals(archived(archive, DAYS[1]).select(columns))
    assert frame["trade_id"].equals(archived(archive, DAYS[1])["first_id"].alias("trade_id"))
    assert frame["first_id"].null_count() == frame.height


def test_the_first_day_that_there_is_comes_too(embedded: tuple[Path, str], project_at: Any) -> None:
    _, url = embedded
    fetcher = RestFetcher(project_at(demo=url), patience=HURRY)
    (fetched,) = fetcher.fetch({ABC: [date(2025, 3, 28), DAYS[0]]})
    assert (fetched.days, fetched.absent) == ((DAYS[0],), (date(2025, 3, 28),))


def test_a_day_that_is_not_over_is_none(embedded: tuple[Path, str], project_at: Any) -> None:
    _, url = embedded
    fetcher = RestFetcher(project_at(demo=url), patience=HURRY)
    (fetched,) = fetcher.fetch({ABC: [date(2025, 3, 31), date(2025, 4, 1)]})
    assert fetched.absent == (date(2025, 3, 31), date(2025, 4, 1))


def test_what_can_t_be_fetched_is_said_before_anything_is_asked(project_at: Any, lake: Any) -> None:
    fetcher = RestFetcher(project_at(demo="http://127.0.0.1:9"), patience=HURRY)
    with pytest.raises(UsageError, match="no exchange is named"):
        fetcher.missing(lake, instrument("max.spot.FXS-USDT"), DAYS)
    with pytest.raises(UsageError, match="has no ticks"):
        fetcher.missing(lake, instrument("demo.spot.ABC-USDT", "none"), DAYS)
    with pytest.raises(UsageError, match="shows single trades"):
        fetcher.missing(lake, instrument("kraken.spot.EOS-USD", "agg_trade"), DAYS)


def test_days_that_have_landed_are_not_missing_and_not_kept_twice(
    embedded: tuple[Path, str], project_at: Any
) -> None:
    _, url = embedded
    project = project_at(demo=url)
    lake = project.open_lake()
    fetcher = RestFetcher(project, patience=HURRY)
    assert fetcher.missing(lake, ABC, DAYS) == DAYS
    fetcher.fetch({ABC: DAYS[:1]})
    assert fetcher.missing(lake, ABC, DAYS) == DAYS[1:]
    rows = frames(fetcher, ABC, DAYS[:1])[DAYS[0]]
    keys = {"instrument": str(ABC.id), "date": DAYS[0]}
    lake.write("raw_trades", rows, code_version="1", part="x", **keys)
    assert fetcher.missing(lake, ABC, DAYS) == DAYS[1:]
    assert fetcher.source(ABC).days(ABC, *DAYS) == []
