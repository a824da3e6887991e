"""Dating news anew when the lag is another that is assumed where their first sight is lost.

An item's first sight is then the later of its publication and last edit, plus the lag. So under
another lag it is that moment moved by the difference, exactly, and may belong to another day. Items
that were truly seen stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from vostok_core.lake.objects import UNWRITTEN
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.sentiment.items import lag_of, merge_items, news_version
from vostok_core.times import day_of


@dataclass(frozen=True)
class _Day:
    """What the lake holds of a day that was dated by another lag."""

    rows: pl.DataFrame
    lag: int
    tag: str


def redate(lake: Lake, lag_us: int) -> list[date]:
    """Date the items of every day by a lag, where they were dated by another before.

    Nobody else may write news meanwhile. Killed on the way it leaves items in two days at worst,
    never in none, and doing it again mends that.

    Args:
        lake: The lake.
        lag_us: The lag, microseconds.

    Returns:
        The days that were written.
    """
    lags = {each.lag for each in _others(lake, lag_us).values()}
    if lags and min(lags) < lag_us < max(lags):
        # To one lag first, so that all move the same way: see `_move`.
        return sorted({*_move(lake, max(lags)), *_move(lake, lag_us)})
    return _move(lake, lag_us)


def _move(lake: Lake, lag_us: int) -> list[date]:
    """Move all items later, or all earlier.

    The days that they move to are written before those that they come from: later days first where
    they move later. So an item that is gone from where it was is where it belongs.
    """
    others = _others(lake, lag_us)
    if not others:
        return []
    moved = pl.concat([_dated(each.rows, lag_us - each.lag) for each in others.values()])
    by_day = {
        day_of(int(key)): rows
        for (key,), rows in moved.group_by(pl.col("first_seen_at").dt.truncate("1d").to_physical())
    }
    later = any(each.lag < lag_us for each in others.values())
    written = sorted({*others, *by_day}, reverse=later)
    for day in written:
        seen = others[day].tag if day in others else lake.seen("news", date=day)
        there = seen != UNWRITTEN
        kept = table("news").empty()
        if there and day not in others:
            kept = lake.read("news", date=day)
        lake.write(
            "news",
            merge_items(kept, by_day.get(day, table("news").empty())),
            code_version=news_version(lag_us),
            inputs=lake.info("news", date=day).inputs if there else {},
            over=seen,
            date=day,
        )
    return written


def _others(lake: Lake, lag_us: int) -> dict[date, _Day]:
    """The days that were dated by another lag.

    A day that does not say by which tells it by its items: of most of them the date of the last
    edit is that of publication. One without such items says nothing.
    """
    found = {}
    days = lake.days("news")
    for day, (info, rows) in zip(days, lake.load_days("news", days), strict=True):
        lag = lag_of(info.code_version)
        if lag is None:
            lost = rows.filter("backfilled").select(pl.col("first_seen_at", "published_at"))
            delays = (lost["first_seen_at"] - lost["published_at"]).dt.total_microseconds()
            lag = min(delays, default=None)
        if lag is not None and lag != lag_us:
            found[day] = _Day(rows, lag, info.tag)
    return found


def _dated(rows: pl.DataFrame, by: int) -> pl.DataFrame:
    """Rows whose first sight is lost, seen later by so many microseconds."""
    seen = pl.when("backfilled").then(pl.col("first_seen_at") + pl.duration(microseconds=by))
    return rows.with_columns(first_seen_at=seen.otherwise("first_seen_at")).with_columns(
        available_at=pl.max_horizontal("published_at", "first_seen_at")
    )
