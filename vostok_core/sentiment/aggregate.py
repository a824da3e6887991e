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
    counted = counted_scores(scores, asset, scorer)
    sums = minute_sums(counted.filter(available >= start, available < start + DAY))
    rows = np.zeros((MINUTES, sums.shape[1]))
    rows[:, 0] = start + MINUTE * np.arange(1, MINUTES + 1, dtype=np.int64)
    rows[(sums[:, 0].astype(np.int64) - start) // MINUTE - 1] = sums
    frame = pl.DataFrame(dict(zip(table("sentiment").schema, rows.T, strict=True)))
    schema = pl.Schema(table("sentiment").schema)
    return frame.with_columns(pl.col("ts").cast(pl.Int64)).cast(schema)


def counted_scores(scores: pl.DataFrame, asset: str, scorer: Scorer) -> pl.DataFrame:
    """The scores that count for an asset, in the order in which they are summed.

    Args:
        scores: Rows of `sentiment_scores`.
        asset: Base code.
        scorer: Only its scores, of its present version, count.

    Returns:
        One row of each item that is about the asset or the whole market, by availability and then
        by item.
    """
    return (
        _of(scores, scorer)
        .filter(pl.col("asset").is_in([asset, MARKET]))
        .sort("available_at", "item_id", "asset")
        .unique("item_id", keep="first", maintain_order=True)
    )


def minutes_of(available_at: np.ndarray) -> np.ndarray:
    """Ends of the minutes whose rows count what became available then; int64 microseconds.

    That is (ts - 1m, ts], and a day's first minute has its midnight as well.
    """
    within = available_at % DAY
    ends: np.ndarray = available_at - within + MINUTE * (1 + np.maximum((within - 1) // MINUTE, 0))
    return ends


def minute_sums(counted: pl.DataFrame) -> np.ndarray:
    """Sum scores into the minutes that have any.

    Args:
        counted: Rows of `sentiment_scores`, as `counted_scores` gives them.

    Returns:
        float64, shape (minutes, 4), in order of time: the columns of the table `sentiment`. All
        other minutes are zeros.
    """
    available, score = counted["available_at"].to_physical().to_numpy(), counted["score"].to_numpy()
    ends, minute = np.unique(minutes_of(available), return_inverse=True)
    # bincount adds in the order given, which is that of availability.
    items = np.bincount(minute, minlength=ends.size)
    total = np.bincount(minute, weights=score, minlength=ends.size)
    absolute = np.bincount(minute, weights=np.abs(score), minlength=ends.size)
    return np.column_stack((ends, items, total, absolute)).astype(np.float64)


def _is_by(scorer: Scorer) -> pl.Expr:
    return (pl.col("scorer") == scorer.name) & (pl.col("scorer_version") == scorer.version)


def _of(scores: pl.DataFrame, scorer: Scorer) -> pl.DataFrame:
    return scores.filter(_is_by(scorer))
