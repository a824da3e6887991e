"""A backfill that is killed goes on by what came, and each trade is there once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.rest.exchanges import HURRY, instrument, numbered
from vostok_core.project import find_project
from vostok_core.times import DAY, HOUR, day_start
from vostok_pipelines.fetching.rest import RestFetcher
from vostok_pipelines.rest.trades import frame_of
from vostok_pipelines.sources.days import BadDay, nothing_known

DAYS = [date(2025, 1, 6), date(2025, 1, 7)]
START = day_start(DAYS[0])
ABC = instrument("demo.spot.ABC-USDT", "agg_trade")
EOS = instrument("kraken.spot.EOS-USD")


def _fetch(root: str, name: str) -> None:
    """What the child does: chunks are written with every page."""
    of = {"demo": ABC, "kraken": EOS}[name]
    fetcher = RestFetcher(find_project(Path(root), {}), patience=HURRY, seconds=0)
    (fetched,) = fetcher.fetch({of: DAYS})
    assert not fetched.failed, fetched


def _killed(fetcher: RestFetcher, of: Any, root: Path, kills: int, seed: int) -> int:
    """Fetch in processes that are killed, and at last in one that isn't; how many were killed."""
    random = Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vostok_pipelines.fetching.rest", "ccxt.async_support.binance"])
    killed = 0
    for _ in range(kills * 3):
        child = context.Process(target=_fetch, args=(str(root), of.id.venue))
        child.start()
        assert child.pid is not None
        child.join(0.25 + random.random() * 0.5)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.join()
        if killed >= kills or fetcher.source(of).days(of, DAYS[0], DAYS[-1]) == DAYS:
            break
    child = context.Process(target=_fetch, args=(str(root), of.id.venue))
    child.start()
    child.join()
    assert child.exitcode == 0
    return killed


@pytest.mark.parametrize("name", [pytest.param("demo", marks=pytest.mark.long), "kraken"])
@pytest.mark.parametrize(
    "kills", [20, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_a_backfill_killed_again_and_again_loses_and_doubles_nothing(
    kraken: Any, binance: Any, project_at: Any, tmp_path: Path, name: str, kills: int
) -> None:
    trades = numbered(kills * 100, START - HOUR, START + 2 * DAY + HOUR)
    run: Callable[..., Any] = {"demo": binance, "kraken": kraken}[name]
    of = {"demo": ABC, "kraken": EOS}[name]
    with run(trades, 25) as (exchange, url):
        exchange.fault = lambda number: "hang 0.02" if number % 2 else None
        project = project_at(**{name: url})
        fetcher = RestFetcher(project)
        killed = _killed(fetcher, of, tmp_path, kills, seed=kills)
        asked = len(exchange.asked)
    assert killed >= kills // 2, "most of them were killed on the way"
    source = fetcher.source(of)
    assert source.days(of, *DAYS) == DAYS
    for read in source.read(of, DAYS, nothing_known):
        assert not isinstance(read, BadDay)
        assert read.content is not None
        start = day_start(read.day)
        wanted = frame_of(row for row in trades if start <= row.ts < start + DAY)
        columns = ["ts", "price", "qty", "buyer_maker"]
        assert read.content.frame.select(columns).equals(wanted.select(columns))
    # A page was asked for anew by each that was killed, and not the whole day.
    assert asked < 4 * len(trades) / 25 + 10 * (killed + 1)
    assert not list((project.dagster_home / "rest").rglob("*.part"))
    assert not list((project.dagster_home / "rest").rglob("*.tmp"))


def test_chunks_that_do_not_read_are_fetched_again(
    binance: Any, project_at: Any, tmp_path: Path
) -> None:
    trades = numbered(600, START - HOUR, START + DAY + HOUR)
    late = [row for row in trades if row.ts >= START + DAY]
    with binance([row for row in trades if row not in late], 25) as (exchange, url):
        project = project_at(demo=url)
        fetcher = RestFetcher(project, patience=HURRY, seconds=0)
        (fetched,) = fetcher.fetch({ABC: DAYS[:1]})
        assert fetched.absent == (DAYS[0],)
        chunks = sorted((project.dagster_home / "rest").rglob("0*.parquet"))
        assert len(chunks) > 10
        chunks[5].write_bytes(chunks[5].read_bytes()[:100])
        exchange.trades += late
        (fetched,) = fetcher.fetch({ABC: DAYS[:1]})
        assert fetched.days == (DAYS[0],)
    (read,) = fetcher.source(ABC).read(ABC, DAYS[:1], nothing_known)
    assert not isinstance(read, BadDay)
    assert read.content is not None
    rows = frame_of(row for row in trades if START <= row.ts < START + DAY)
    assert read.content.frame["trade_id"].equals(rows["trade_id"])


def test_two_processes_do_not_fetch_the_same_days(
    binance: Any, project_at: Any, tmp_path: Path
) -> None:
    with binance(numbered(600, START - HOUR, START + DAY + HOUR)) as (_, url):
        fetcher = RestFetcher(project_at(demo=url), patience=HURRY)
        with fetcher.source(ABC).files.held(ABC.id):
            (fetched,) = fetcher.fetch({ABC: DAYS[:1]})
        assert "by another process" in fetched.failed[DAYS[0]].what
        (fetched,) = fetcher.fetch({ABC: DAYS[:1]})
        assert fetched.days == (DAYS[0],)
