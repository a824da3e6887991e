"""What belongs to the demo in a lake, and removing what an earlier demo left of it.

The demo shares the lake with its user's own data: it writes the trades of its two symbols and a
feed of its own, and removes nothing else.
"""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import polars as pl

from vostok.demo import world
from vostok_core.errors import SettingsError
from vostok_core.lake.exchanges import demo_exchange
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TABLES
from vostok_core.models.registry import pointer_path
from vostok_core.project import Project
from vostok_core.sentiment.days import feed_key
from vostok_core.settings import FILE_NAME

FEED = VENUE = "demo"


def feed_path(project: Project) -> Path:
    """The demo's own feed file.

    Raises:
        SettingsError: `vostok.toml` has no feed called demo, or it is not inside the lake.
    """
    feeds = project.settings.sources.feeds
    if FEED not in feeds:
        raise SettingsError(
            "there is no feed called demo",
            where=project.root / FILE_NAME,
            hint='add demo = "feeds/demo.xml" to [sources.feeds]',
        )
    return _inside(project, feeds[FEED], "[sources.feeds] demo")


def archive_root(project: Project) -> Path:
    """The archive folder that the demo writes its trades to.

    Raises:
        SettingsError: `vostok.toml` has no archive of the venue demo, or it is not inside the lake.
    """
    archives = project.settings.sources.archives
    if VENUE not in archives:
        raise SettingsError(
            "there is no archive of the venue demo",
            where=project.root / FILE_NAME,
            hint='add demo = "archive/demo" to [sources.archives]',
        )
    return _inside(project, archives[VENUE], "[sources.archives] demo")


def forget(project: Project, lake: Lake) -> None:
    """Remove what an earlier demo left, and nothing else: its instruments' market data, what its
    strategy made of them, its trades, its news; its exchange and its daemon's journal."""
    lead = {"strategy": f"strategy={world.STRATEGY}/", "pack": "pack=*/", "instrument": ""}
    folders = []
    for market in (world.EDGE, world.NULL):
        for name, declared in TABLES.items():
            if "instrument" in declared.keys:
                pattern = f"{lead[declared.keys[0]]}instrument={market}"
                folders += (lake.root / name).glob(pattern)
        pointer_path(lake, world.STRATEGY, market).unlink(missing_ok=True)
    trades = archive_root(project) / "data" / "spot" / "daily" / "aggTrades"
    folders += [trades / market.instrument.id.symbol for market in world.markets(project.settings)]
    folders.append(demo_exchange(project.lake_root))
    folders += (lake.root / project.settings.live.state).glob(f"{world.STRATEGY}/demo.spot.*")
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
    _forget_news(lake)


def _forget_news(lake: Lake) -> None:
    days = set(lake.days("news"))
    for day in world.history_days():
        if day not in days:
            continue
        news = lake.read("news", date=day)
        ours = pl.col("source") == FEED
        ids = news.filter(ours)["item_id"].implode()
        _keep(lake, "news", day, news.filter(~ours))
        if lake.exists("sentiment_scores", date=day):
            scores = lake.read("sentiment_scores", date=day)
            _keep(lake, "sentiment_scores", day, scores.filter(~pl.col("item_id").is_in(ids)))


def _keep(lake: Lake, name: str, day: date, rows: pl.DataFrame) -> None:
    """Write back the rows that stay, and which other feeds were read; a day that held nothing else
    is removed."""
    info = lake.info(name, date=day)
    others = {
        key: value
        for key, value in info.inputs.items()
        if key.startswith(feed_key("")) and key != feed_key(FEED)
    }
    if rows.is_empty() and not others:
        shutil.rmtree(lake.partition(name, date=day))
    else:
        lake.write(name, rows, code_version=info.code_version, inputs=others, date=day)


def _inside(project: Project, path: str, setting: str) -> Path:
    full = (project.lake_root / path).resolve()
    if not full.is_relative_to(project.lake_root.resolve()):
        raise SettingsError(
            f"{setting} = {path!r} is not inside the lake, and the demo writes nowhere else",
            where=project.root / FILE_NAME,
            hint="give the demo a project of its own, or a path inside the lake",
        )
    return full
