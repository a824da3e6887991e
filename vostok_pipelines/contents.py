"""Hashes of what news, labels, predictions and models would be made from.

A run that failed is asked for afresh when one of these has changed. They are cheap, not exact: they
may hold more than is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import date, timedelta

from vostok_core.hashing import hash_file, hash_value
from vostok_core.labels.triple_barrier import last_day_needed
from vostok_core.lake.store import Lake
from vostok_core.project import Project
from vostok_core.sentiment.currency import SentimentRules
from vostok_core.strategy import Strategy
from vostok_core.times import days as each_day
from vostok_pipelines.training.configuration import configuration_hash


def news_content(project: Project, rules: SentimentRules) -> str:
    """Of news and scores: the feeds' files as they are now, the lag and the scorer."""
    feeds: dict[str, str | None] = dict.fromkeys(project.settings.sources.feeds)
    for name, path in project.settings.sources.feeds.items():
        with suppress(OSError):  # what doesn't read is another content than what does
            feeds[name] = hash_file(project.lake_home / path)
    return hash_value([rules.news, rules.scores, feeds])


def labels_content(
    project: Project, lake: Lake, strategy: Strategy, instrument: str, first: date, last: date
) -> str:
    """Of the labels of some days: the bars and features from the first through the last that they
    reach."""
    return _content(project, lake, strategy, instrument, first, last_day_needed(strategy, last))


def model_content(
    project: Project, lake: Lake, strategy: Strategy, instrument: str, week: date
) -> str:
    """Of a week's model, its evidence and decision: bars, features and labels from its training
    window on, up to the day before the week, and the predictions of all weeks before it with their
    bars."""
    first = week - timedelta(weeks=strategy.file.model.train_weeks + 1)
    last = week - timedelta(days=1)
    place = {"strategy": strategy.name, "instrument": instrument}
    walk = [w for w in lake.keys("predictions", **place) if w < str(week)]
    predicted = [
        lake.info("predictions", **place, week=w).content_hash
        for w in walk
        if lake.exists("predictions", **place, week=w)
    ]
    path = each_day(date.fromisoformat(walk[0]), last) if walk else ()
    bars = _hashes(lake, "bars", path, instrument=instrument, interval=strategy.file.interval)
    own = _content(project, lake, strategy, instrument, first, last, labels=True)
    return hash_value([own, predicted, bars])


def predictions_content(
    project: Project, lake: Lake, strategy: Strategy, instrument: str, week: date
) -> str:
    """Of a week's predictions: that of its model, and the days of the week with it."""
    first = week - timedelta(weeks=strategy.file.model.train_weeks + 1)
    last = week + timedelta(days=6)
    return _content(project, lake, strategy, instrument, first, last, labels=True)


def _content(
    project: Project,
    lake: Lake,
    strategy: Strategy,
    instrument: str,
    first: date,
    last: date,
    *,
    labels: bool = False,
) -> str:
    place: dict[str, str] = {"instrument": instrument, "interval": strategy.file.interval}
    days = list(each_day(first, last))
    found = [_hashes(lake, "bars", days, **place)]
    found += [
        _hashes(lake, "features", days, pack=pack, **place) for pack in strategy.file.features.packs
    ]
    if labels:
        found.append(_hashes(lake, "labels", days, strategy=strategy.name, instrument=instrument))
    market = project.settings.universe[instrument]
    by = configuration_hash(strategy, market, project.settings)
    return hash_value([by, str(first), str(last), *found])


def _hashes(lake: Lake, name: str, days: Iterable[date], **keys: str) -> list[str | None]:
    return [
        lake.info(name, **keys, date=day).content_hash
        if lake.exists(name, **keys, date=day)
        else None
        for day in days
    ]
