"""News, scores and sentiment of whole days of the lake."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, timedelta

import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.hashing import hash_frame
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.instrument import Instrument
from vostok_core.sentiment.aggregate import score_day, sentiment_day
from vostok_core.sentiment.items import NewsBatch, merge_items, news_version
from vostok_core.sentiment.redating import redate
from vostok_core.sentiment.scorer import Scorer
from vostok_core.times import day_of, day_start

ABSENT = "absent"
"""Stands in a partition's inputs for a neighbour that did not exist."""


def news_day(items: pl.DataFrame, day: date) -> pl.DataFrame:
    """The rows of `news` that were first seen on a day."""
    seen = pl.col("first_seen_at").to_physical()
    start, end = day_start(day), day_start(day + timedelta(days=1))
    return items.filter(seen >= start, seen < end).sort(table("news").sort_by)


def feed_key(source: str) -> str:
    """What the inputs of a `news` partition call a feed that was read for it.

    They then say `HASH since MICROSECONDS`: a hash of what the feed held, and the earliest time of
    publication that it has reached back to in any reading. Before that nobody looked.
    """
    return f"feeds/{source}"


def news_days(
    lake: Lake, batch: NewsBatch, days: Collection[date], now: int
) -> Iterator[tuple[date, pl.DataFrame, dict[str, str]]]:
    """What `news` should hold once a batch is in, and the hashes of the feeds that it was read of.

    What the lake holds stays as it is: an item seen again keeps its first text and its first sight,
    whichever day that was on. Days without news get an empty frame, so that "no news" differs from
    "not looked". Merging the same batch again changes nothing.

    The footer of a day that was over says which feeds were read for it, and how far back they went:
    a feed that held nothing, or only what was published later, looked at nothing. An item that
    would count as known on such a day, and was not in that feed then though it went back so far, is
    late: the stated lag is refuted, and its first sight is `now`.

    Args:
        lake: The lake.
        batch: What was read.
        days: The days to make.
        now: When it was read, microseconds of wall time.

    Yields:
        Each of the days; and before them the day of `now`, if it is none of them and something was
        first seen on it: feeds drop their oldest items, and what was read once is not lost. Its
        footer keeps saying which feeds were read for it as a whole, none as a rule.
    """
    today = day_of(now)
    known = _Known(lake)
    new = batch.items.filter(~pl.col("item_id").is_in(known.ids))
    late = pl.Series(
        [
            backfilled and known.looked(day_of(seen), source, published)
            for seen, published, source, backfilled in zip(
                new["first_seen_at"].to_physical().to_list(),
                new["published_at"].to_physical().to_list(),
                new["source"].to_list(),
                new["backfilled"].to_list(),
                strict=True,
            )
        ],
        dtype=pl.Boolean,
    )
    sight = pl.lit(now).cast(new.schema["first_seen_at"])
    new = pl.concat(
        [
            new.filter(~late),
            new.filter(late).with_columns(
                first_seen_at=sight,
                available_at=pl.max_horizontal("published_at", sight),
                backfilled=pl.lit(value=False),
            ),
        ]
    )
    read = _Reading(batch)
    if today not in days and news_day(new, today).height:
        yield today, known.with_rows(today, new), known.feeds(today)
    for day in days:
        over = read.looks_at(day, known) if day < today else {}
        yield day, known.with_rows(day, new), {**known.feeds(day), **over}


def write_news(
    lake: Lake, batch: NewsBatch, days: Collection[date], now: int, lag_us: int
) -> dict[date, PartitionInfo]:
    """Write what `news_days` says, with nobody else writing news meanwhile.

    Items of all days whose first sight is lost are dated by the lag, also those that the lake has
    from before it changed. Two runs may keep what they read of the present day at once; both of it
    stays.

    Args:
        lake: The lake.
        batch: What was read.
        days: The days to make.
        now: When it was read, microseconds of wall time.
        lag_us: The lag that the batch was dated by, microseconds.

    Returns:
        What was written of the days and of that of `now`.

    Raises:
        Conflict: Somebody else wrote news meanwhile all the same.
    """
    with lake.sole_writer("news"):
        redate(lake, lag_us)
        version = news_version(lag_us)
        seen = {day: lake.seen("news", date=day) for day in {*days, day_of(now)}}
        return {
            day: lake.write(
                "news", frame, code_version=version, inputs=inputs, over=seen[day], date=day
            )
            for day, frame, inputs in news_days(lake, batch, days, now)
        }


class _Reading:
    """What the feeds of a batch held, and how far back they went."""

    def __init__(self, batch: NewsBatch) -> None:
        held = {source: batch.items.filter(pl.col("source") == source) for source in batch.sources}
        self._feeds = {
            source: (hash_frame(items), int(items["published_at"].to_physical().min()))  # type: ignore[arg-type]
            for source, items in held.items()
            if items.height
        }

    def looks_at(self, day: date, known: _Known) -> dict[str, str]:
        """What the footer of a day is to say of the feeds that went back to it."""
        end = day_start(day + timedelta(days=1))
        found = {}
        for source, (content, since) in self._feeds.items():
            if since < end:
                before = known.since(day, source)
                reach = since if before is None else min(before, since)
                found[feed_key(source)] = f"{content} since {reach}"
        return found


class _Known:
    """What the lake holds of news."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        # Of every day: an edited item may be dated anew, however long ago it was first seen.
        self.ids = [
            item
            for _, items in lake.load_days("news", lake.days("news"), columns=["item_id"])
            for item in items["item_id"].to_list()
        ]
        self._feeds: dict[date, dict[str, str]] = {}

    def feeds(self, day: date) -> dict[str, str]:
        """The feeds that were read for a day after it was over."""
        if day not in self._feeds:
            there = self._lake.exists("news", date=day)
            self._feeds[day] = dict(self._lake.info("news", date=day).inputs) if there else {}
        return self._feeds[day]

    def since(self, day: date, source: str) -> int | None:
        """The time that a feed was read back to for a day, none if it wasn't."""
        since = self.feeds(day).get(feed_key(source), "").partition(" since ")[2]
        return int(since) if since else None

    def looked(self, day: date, source: str, published: int) -> bool:
        """Whether a feed was read for a day, back to when an item was published."""
        since = self.since(day, source)
        return since is not None and since <= published

    def with_rows(self, day: date, new: pl.DataFrame) -> pl.DataFrame:
        """What the lake holds of a day, with the new items of it."""
        rows = news_day(new, day)
        if not self._lake.exists("news", date=day):
            return rows
        return merge_items(self._lake.read("news", date=day), rows)


def scores_day(
    lake: Lake, day: date, scorer: Scorer, assets: Collection[str]
) -> tuple[pl.DataFrame, dict[str, str]]:
    """The `sentiment_scores` of a day, and the hashes of what they were made from.

    Scores that the partition holds are never changed: see `score_day`.

    Raises:
        MissingPartition: The day's news has not been written.
        ScorerError: The scorer failed.
    """
    info, news = lake.load("news", date=day)
    inputs = {"news": info.content_hash}
    held = lake.exists("sentiment_scores", date=day)
    known = lake.read("sentiment_scores", date=day) if held else None
    return score_day(news, scorer, assets, known), inputs


def sentiment_minutes(
    lake: Lake, instrument: Instrument, day: date, scorer: Scorer
) -> tuple[pl.DataFrame, dict[str, str]]:
    """The `sentiment` of an instrument's day, and the hashes of what it was made from.

    The day before is read too, for items whose publisher's clock ran ahead across midnight; where
    it was never written, the inputs say `absent`.

    Raises:
        MissingPartition: The day's scores have not been written.
    """
    frames = []
    inputs = {}
    for source in (day - timedelta(days=1), day):
        name = f"sentiment_scores/{source}"
        try:
            info, scores = lake.load("sentiment_scores", date=source)
        except MissingPartition:
            if source == day:
                raise
            inputs[name] = ABSENT
        else:
            frames.append(scores)
            inputs[name] = info.content_hash
    return sentiment_day(pl.concat(frames), instrument.id.base, day, scorer), inputs
