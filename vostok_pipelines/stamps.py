"""Which days of which tables have been swapped, told by the stat of their folders, or of their
objects."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

from vostok_core.lake.store import Lake
from vostok_core.market.days import KLINE_INTERVAL
from vostok_core.market.instrument import Instrument
from vostok_core.market.kept_once import LANDED
from vostok_core.project import Project
from vostok_pipelines.assets.features import intervals_of
from vostok_pipelines.file_hashes import SETTLED_SECONDS
from vostok_pipelines.jobs import needs_news, packs_of

Place = tuple[str, dict[str, str]]
"""A table, and its keys but for the date."""

Listing = list[tuple[str, int, list[str | int]]]
"""Of each day's folder: the day, when it was swapped (in nanoseconds), and what tells it apart."""


def merged_table(instrument: Instrument) -> str:
    """The table that what has landed of an instrument is merged into."""
    return "klines" if instrument.tick == "none" else "ticks"


def day_places(project: Project, instrument: Instrument) -> Iterator[Place]:
    """Every table that a day of an instrument is made of, from landed files to features."""
    name, main = str(instrument.id), merged_table(instrument)
    keys = {"instrument": name}
    lead = keys | {"interval": KLINE_INTERVAL} if main == "klines" else keys
    yield LANDED[main], lead
    yield main, lead
    if main == "ticks":  # klines that its bars are held against
        yield LANDED["klines"], keys | {"interval": KLINE_INTERVAL}
        yield "klines", keys | {"interval": KLINE_INTERVAL}
    yield "quality", keys
    for interval in project.settings.bars.intervals:
        yield "bars", keys | {"interval": interval}
    for pack in packs_of(project, name):
        for interval in intervals_of(project):
            yield "features", {"pack": pack} | keys | {"interval": interval}
    if needs_news(project, name):
        yield "sentiment", keys
        yield "sentiment_scores", {}
        yield "news", {}


def listing(lake: Lake, places: Iterable[Place]) -> Listing:
    """Inode and mtime of every day's folder, which each swap changes, in order of days; the tags of
    every day's objects where the lake is in an object store."""
    found: Listing = []
    for name, keys in places:
        folder = lake.partition(name, **keys, date=date.min).parent
        if isinstance(folder, Path):
            for entry, inode, mtime in _entries(folder):
                day = entry.removeprefix("date=")
                found.append((day, mtime, [name, *keys.values(), entry, inode, mtime]))
        else:
            for (day,), stat in lake.listed(name, **keys):
                found.append((day, 0, [name, *keys.values(), stat.key, stat.tag]))
    found.sort(key=str)
    return found


def is_settled(mtime: int) -> bool:
    """Whether a folder that was swapped then (nanoseconds) shows every further swap: two within a
    tick of the file system's clock look like one. Tags of objects always do, and have the time 0.
    """
    return mtime < (time.time() - SETTLED_SECONDS) * 1e9


def _entries(folder: Path) -> Iterator[tuple[str, int, int]]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("date="):
                seen = entry.stat()
                yield entry.name, seen.st_ino, seen.st_mtime_ns
