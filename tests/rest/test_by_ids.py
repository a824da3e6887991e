"""Days of trades by ids: real ccxt against the embedded exchange, over real sockets."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from tests.rest.exchanges import HURRY, instrument, numbered
from vostok_core.errors import UsageError
from vostok_core.hashing import hash_frame
from vostok_core.project import find_project
from vostok_core.times import DAY, HOUR, SECOND, day_start
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


FAULTS = (
    "429 0", "418 0", "500", "502", "503", "520", "html", "half", "nothing", "empty", "stale",
    "strange", "cut",
)  # fmt: skip


def whole(fetcher: RestFetcher, of: Any, day: date) -> list[tuple[Any, ...]]:
    columns = ["trade_id", "ts", "price", "qty", "buyer_maker", "first_id", "last_id"]
    (read,) = fetcher.source(of).read(of, [day], nothing_known)
    assert not isinstance(read, BadDay)
    assert read.content is not None
    return read.content.frame.with_columns(pl.col("ts").to_physical()).select(columns).rows()


def test_a_day_comes_whole_through_every_fault(binance: Any, project_at: Any) -> None:
    start = day_start(DAYS[0])
    trades = numbered(1_000, start - HOUR, start + DAY + HOUR)
    random, faults, met = Random(3), itertools.cycle(FAULTS), set()

    def fault(number: int) -> str | None:
        if number < 1 or random.random() < 0.3:
            return None
        met.add(found := next(faults))
        return found

    with binance(trades, 20) as (exchange, url):
        exchange.fault = fault
        fetcher = RestFetcher(project_at(demo=url), patience=HURRY)
        (fetched,) = fetcher.fetch({ABC: DAYS[:1]})
    assert fetched.days == (DAYS[0],), fetched
    assert met == set(FAULTS)
    expected = [tuple(row)[:7] for row in trades if start <= row.ts < start + DAY]
    assert whole(fetcher, ABC, DAYS[0]) == expected


def test_holes_of_the_exchange_are_kept_as_they_are(binance: Any, project_at: Any) -> None:
    start = day_start(DAYS[0])
    trades = numbered(300, start - HOUR, start + DAY + HOUR)
    shown = [row for row in trades if row.id % 50 not in (7, 8)]
    with binance(shown, 20) as (_, url):
        fetcher = RestFetcher(project_at(demo=url), patience=HURRY)
        fetcher.fetch({ABC: DAYS[:1]})
    expected = [tuple(row)[:7] for row in shown if start <= row.ts < start + DAY]
    assert whole(fetcher, ABC, DAYS[0]) == expected


def test_trades_that_are_stamped_a_little_late_belong_to_their_own_days(
    binance: Any, project_at: Any
) -> None:
    start = day_start(DAYS[0])
    trades = numbered(300, start - HOUR, start + DAY + HOUR)
    for border in (start, start + DAY):  # the last of a day and the first of the next, swapped
        k = next(k for k, row in enumerate(trades) if row.ts >= border)
        late, early = border - SECOND, border + SECOND
        trades[k - 1], trades[k] = trades[k - 1]._replace(ts=early), trades[k]._replace(ts=late)
    with binance(trades, 20) as (_, url):
        fetcher = RestFetcher(project_at(demo=url), patience=HURRY)
        fetcher.fetch({ABC: DAYS[:1]})
    expected = [tuple(row)[:7] for row in trades if start <= row.ts < start + DAY]
    assert whole(fetcher, ABC, DAYS[0]) == expected


def test_the_futures_market_is_asked_at_its_own_address(binance: Any, project_at: Any) -> None:
    start = day_start(DAYS[0])
    usdm = instrument("demo.usdm.ABC-USDT", "agg_trade")
    trades = [
        row._replace(ts=row.ts // 1_000 * 1_000)
        for row in numbered(300, start - HOUR, start + DAY + HOUR)
    ]
    with binance(trades) as (_, url):
        fetcher = RestFetcher(project_at(demo=url), patience=HURRY)
        (fetched,) = fetcher.fetch({usdm: DAYS[:1]})
        assert fetched.days == (DAYS[0],), fetched
        expected = [tuple(row)[:7] for row in trades if start <= row.ts < start + DAY]
        assert whole(fetcher, usdm, DAYS[0]) == expected
        single = instrument("demo.usdm.ABC-USDT", "trade")
        (fetched,) = fetcher.fetch({single: DAYS[1:]})
        assert "the exchange refuses" in fetched.failed[DAYS[1]].what


def test_the_next_minute_is_waited_for_once_most_of_the_weight_is_used(
    binance: Any, project_at: Any
) -> None:
    start = day_start(DAYS[0])
    with binance(numbered(50, start - HOUR, start + DAY + HOUR)) as (exchange, url):
        exchange.weight = 5_000
        patience = replace(HURRY, longest_hold=0.0)
        (fetched,) = RestFetcher(project_at(demo=url), patience=patience).fetch({ABC: DAYS[:1]})
        assert len(exchange.asked) == 1
    assert "wants no question for another" in fetched.failed[DAYS[0]].what


def test_the_embedded_exchange_of_the_lake_is_found_by_itself(
    embedded: tuple[Path, str], project_at: Any
) -> None:
    project = project_at()
    folder = project.lake_root / "exchange"
    folder.mkdir(parents=True)
    text = (project.root / "vostok.toml").read_text()
    (project.root / "vostok.toml").write_text(text.replace('"binance"', '"embedded"'))
    project = find_project(project.root, {})
    with pytest.raises(UsageError, match="no embedded exchange runs"):
        RestFetcher(project, patience=HURRY).fetch({ABC: DAYS[:1]})
    (folder / "setup.json").write_text("{}")
    (folder / "address.json").write_text(json.dumps({"url": embedded[1]}))
    (fetched,) = RestFetcher(project, patience=HURRY).fetch({ABC: DAYS[:1]})
    assert fetched.days == (DAYS[0],)
