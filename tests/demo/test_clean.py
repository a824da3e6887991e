"""What the demo removes: its own leftovers, and nothing of anybody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from vostok.demo import world
from vostok.demo.clean import archive_root, feed_path, forget
from vostok_core.errors import SettingsError
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.models.registry import pointer_path
from vostok_core.project import Project, find_project
from vostok_core.sentiment.days import feed_key

ROOT = Path(__file__).resolve().parents[2]
SEEN = datetime(2025, 2, 1, 12, tzinfo=UTC)
DAY = SEEN.date()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return find_project(ROOT, {}, tmp_path / "lake")


def news(*items: tuple[str, str]) -> pl.DataFrame:
    rows = [
        {
            "item_id": item,
            "source": source,
            "published_at": SEEN,
            "first_seen_at": SEEN,
            "available_at": SEEN,
            "backfilled": False,
            "title": item,
            "summary": "",
            "link": "",
        }
        for source, item in items
    ]
    return pl.DataFrame(rows, schema=table("news").schema)


def scores(*items: str) -> pl.DataFrame:
    rows = [(item, "*", SEEN, 0.5, "lexicon", "1") for item in items]
    return pl.DataFrame(rows, schema=table("sentiment_scores").schema, orient="row")


def test_news_of_other_feeds_survives(project: Project) -> None:
    lake = project.open_lake()
    lake.write("news", news(("demo", "a"), ("wire", "b")), code_version="1", date=DAY)
    lake.write("sentiment_scores", scores("a", "b"), code_version="1", date=DAY)
    later = DAY + timedelta(days=1)
    lake.write("news", news(("demo", "c")), code_version="1", date=later)
    forget(project, lake)
    assert lake.read("news", date=DAY)["item_id"].to_list() == ["b"]
    assert lake.read("sentiment_scores", date=DAY)["item_id"].to_list() == ["b"]
    assert not lake.exists("news", date=later)


def test_which_other_feeds_were_read_for_a_day_survives(project: Project) -> None:
    lake = project.open_lake()
    both = {feed_key("demo"): "1", feed_key("wire"): "2"}
    lake.write("news", news(("demo", "a")), code_version="1", inputs=both, date=DAY)
    forget(project, lake)
    assert lake.read("news", date=DAY).is_empty()
    assert lake.info("news", date=DAY).inputs == {feed_key("wire"): "2"}


def bars(lake: Lake, instrument: str) -> bool:
    return lake.exists("quality", instrument=instrument, date=DAY)


def test_only_the_demos_instruments_are_removed(project: Project) -> None:
    lake = project.open_lake()
    other, mine = "binance.spot.BTC-USDT", "demo.spot.MINE-USDT"
    for instrument in (world.EDGE, world.NULL, other, mine):
        lake.write(
            "quality", table("quality").empty(), code_version="1", instrument=instrument, date=DAY
        )
    kept = archive_root(project) / "data/spot/daily/aggTrades/BTCUSDT/day.zip"
    gone = archive_root(project) / "data/spot/daily/aggTrades/EDGEUSDT/day.zip"
    for path in (kept, gone):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    strategies = (world.STRATEGY, "mine")
    for strategy in strategies:
        trial = {"strategy": strategy, "instrument": world.EDGE, "configuration": "c"}
        lake.write("trials", table("trials").empty(), code_version="1", **trial)
    pointers = {name: pointer_path(lake, name, world.EDGE) for name in strategies}
    for pointer in pointers.values():
        pointer.parent.mkdir(parents=True)
        pointer.write_text("{}")
    forget(project, lake)
    assert not pointers[world.STRATEGY].exists()
    assert pointers["mine"].exists()
    names = (world.EDGE, world.NULL, other, mine)
    assert [bars(lake, name) for name in names] == [False, False, True, True]
    # What another strategy has tried stays counted.
    left = [lake.exists("trials", **{**trial, "strategy": name}) for name in strategies]
    assert left == [False, True]
    assert kept.exists()
    assert not gone.exists()


def test_the_demo_writes_nowhere_but_in_the_lake(project: Project, tmp_path: Path) -> None:
    away = find_project(
        ROOT, {"VOSTOK_SOURCES__ARCHIVES": f'{{ demo = "{tmp_path}" }}'}, tmp_path / "l"
    )
    with pytest.raises(SettingsError, match="not inside the lake"):
        archive_root(away)
    assert feed_path(project).is_relative_to(project.lake_root)
