"""Scores of items, and their sums per minute: what was knowable, and nothing later.

A minute's row is a function of the scores that had become available by its end, in their order of
availability. Whatever becomes available later can't change it, by construction.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import numpy as np
import polars as pl

from vostok_core.lake.tables import table
from vostok_core.sentiment.items import MARKET, tags
from vostok_core.sentiment.scorer import Scorer, score_texts
from vostok_core.times import DAY, MINUTE, day_start

MINUTES = DAY // MINUTE


def score_day(
    news: pl.DataFrame,
    scorer: Scorer,
    assets: Collection[str],
    known: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Score the items of a day.

    Args:
        news: Rows of `news`.
        scorer: Scores headlines (titles; summaries are too often boilerplate).
        assets: Base codes of the universe, beside those every item is searched for anyway.
        known: Rows of `sentiment_scores` of the day. Those of other scorers or versions are kept;
            an item that this version has scored keeps its score, and is only tagged anew.

    Returns:
        Rows of `sentiment_scores`: one per item, asset it is about, scorer and version.

    Raises:
        ScorerError: The scorer failed.
    """
    known = table("sentiment_scores").empty() if known is None else known
    mine = _of(known, scorer)
    scored: dict[str, float] = dict(mine.select("item_id", "score").iter_rows())
    new = news.filter(~pl.col("item_id").is_in(list(scored)))
    scored |= dict(
        zip(
            new["item_id"].to_list(),
            score_texts(scorer, new["title"].to_list()).tolist(),
            strict=True,
        )
    )
    rows = [
        (item, asset, available, scored[item], scorer.name, scorer.version)
        for item, available, title, summary in zip(
            news["item_id"].to_list(),
            news["available_at"].to_physical().to_list(),
            news["title"].to_list(),
            news["summary"].to_list(),
            strict=True,
        )
        for asset in tags(title, summary, assets)
    ]
    schema = table("sentiment_scores").schema
    frame = pl.DataFrame(rows, schema=schema, orient="row") if rows else pl.DataFrame(schema=schema)
    others = known.filter(~_is_by(scorer))
    return pl.concat([others, frame]).sort(
        *table("sentiment_scores").sort_by, "scorer", "scorer_version"
    )


def sentiment_day(scores: pl.DataFrame, asset: str, day: date, scorer: Scorer) -> pl.DataFrame:
    """Sum the scores about an asset, or about the whole market, into the minutes of a day.

    Args:
        scores: Rows of `sentiment_scores`, of the day and of days before whose items became
            available during it; others are ignored.
        asset: Base code.
        day: UTC day.
        scorer: Only its scores, of its present version, count.

    Returns:
        Rows of `sentiment`: `ts` = the ends of the day's 1,440 minutes. A row sums the scores with
        `available_at` in (ts - 1m, ts]; one at midnight sharp, whose item belongs to the day that
        begins, is in that day's first row. An item counts once, however it is tagged.
    """
    start = day_start(day)
    available = pl.col("available_at").to_physical()
    chosen = (
        _of(scores, scorer)
        .filter(pl.col("asset").is_in([asset, MARKET]))
        .sort("available_at", "item_id", "asset")
        .unique("item_id", keep="first", maintain_order=True)
        .filter(available >= start, available < start + DAY)
    )
    offset = chosen["available_at"].to_physical().to_numpy() - start
    minute = np.maximum((offset - 1) // MINUTE, 0)
    score = chosen["score"].to_numpy()
    ends = start + MINUTE * np.arange(1, MINUTES + 1, dtype=np.int64)
    return pl.DataFrame(
        {
            "ts": ends,
            # bincount adds in the order given, which is that of availability.
            "items": np.bincount(minute, minlength=MINUTES),
            "score_sum": np.bincount(minute, weights=score, minlength=MINUTES),
            "score_abs_sum": np.bincount(minute, weights=np.abs(score), minlength=MINUTES),
        },
    ).cast(pl.Schema(table("sentiment").schema))


def _is_by(scorer: Scorer) -> pl.Expr:
    return (pl.col("scorer") == scorer.name) & (pl.col("scorer_version") == scorer.version)


def _of(scores: pl.DataFrame, scorer: Scorer) -> pl.DataFrame:
    return scores.filter(_is_by(scorer))
