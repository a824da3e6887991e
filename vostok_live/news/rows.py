"""Scored news as rows of the journal, as frames of the library, and as what a run begins with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from vostok_core.lake.tables import table
from vostok_core.live.sentiment import LakeNews
from vostok_core.sentiment.scorer import Scorer, score_texts
from vostok_live.journal.reader import Reader
from vostok_live.journal.rows import ScoredItem

_SEEN = ("item_id", "source", "published_at")
_TIMES = ("published_at", "first_seen_at", "available_at")


def scored_items(news: pl.DataFrame, scores: pl.DataFrame) -> list[ScoredItem]:
    """The journal's rows of scores.

    Args:
        news: Rows of `news`.
        scores: Rows of `sentiment_scores` about them; their `available_at` is the one that counts.
    """
    both = scores.join(
        news.select("item_id", "source", "published_at", "first_seen_at", "title"),
        on="item_id",
        how="inner",
        maintain_order="left",
    )
    columns = both.select(ScoredItem._fields).with_columns(pl.col(_TIMES).to_physical())
    return [ScoredItem(*row) for row in columns.iter_rows()]


def scores_frame(items: Iterable[ScoredItem]) -> pl.DataFrame:
    """Rows of `sentiment_scores` that the journal's rows say."""
    return _frame(items, tuple(table("sentiment_scores").schema))


def seen_frame(items: Iterable[ScoredItem]) -> pl.DataFrame:
    """Item, source and time of publication of the journal's rows."""
    return _frame(items, _SEEN).unique("item_id", maintain_order=True)


def _frame(items: Iterable[ScoredItem], names: Sequence[str]) -> pl.DataFrame:
    types = {**table("news").schema, **table("sentiment_scores").schema}
    places = [ScoredItem._fields.index(name) for name in names]
    rows = [tuple(item[place] for place in places) for item in items]
    return pl.DataFrame(rows, schema={name: types[name] for name in names}, orient="row")


def journaled_news(reader: Reader, days: Iterable[date]) -> list[ScoredItem]:
    """The scored items of a journal that became available on some days."""
    items: list[ScoredItem] = []
    for day in days:
        columns = reader.read_news(day)
        items += map(ScoredItem, *(columns[name] for name in ScoredItem._fields))
    return items


@dataclass(frozen=True)
class KnownNews:
    """What a run knows of news when it begins.

    Attributes:
        journaled: Scored items of the journal, oldest first; as far back as feeds may go.
        lake: What the lake knows of the days before the run's first bar.
    """

    journaled: Sequence[ScoredItem]
    lake: LakeNews


def rescored(items: Sequence[ScoredItem], scorer: Scorer, begin: int) -> list[ScoredItem]:
    """Scores by a scorer of the journal's items that it, in its present version, has not scored.

    They keep their tags and the time from which they counted.

    Args:
        items: The journal's.
        scorer: The scorer.
        begin: Market time; what became available before is left out.

    Raises:
        ScorerError: The scorer failed.
    """
    mine = {item.item_id for item in items if _by(item, scorer)}
    others = {
        (item.item_id, item.asset): item
        for item in items
        if item.item_id not in mine and item.available_at >= begin
    }
    titles = {item.item_id: item.title for item in others.values()}
    scores = dict(zip(titles, score_texts(scorer, list(titles.values())).tolist(), strict=True))
    return [
        item._replace(score=scores[item.item_id], scorer=scorer.name, scorer_version=scorer.version)
        for item in others.values()
    ]


def lake_items(lake: LakeNews, known: Collection[str], scorer: Scorer) -> list[ScoredItem]:
    """The lake's items that become available after the run's first bar begins, but for `known`."""
    rows = scored_items(lake.news, lake.scores)
    return [item for item in rows if item.item_id not in known and _by(item, scorer)]


def _by(item: ScoredItem, scorer: Scorer) -> bool:
    return (item.scorer, item.scorer_version) == (scorer.name, scorer.version)
