"""What became known during each bar, told while news come in, with the bits that partitions have.

`rows_for` sums scores onto bars as `sentiment` and the sentiment pack do, by the same functions.
`LiveSentiment` says the same as bars close: an item counts in no bar whose row was handed out, so
that no row ever changes, and from the scores that were counted `rows_for` tells all rows again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from vostok_core.features.frames import sum_onto_bars
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.sentiment.aggregate import counted_scores, minute_sums, minutes_of
from vostok_core.sentiment.items import MAX_SKEW
from vostok_core.sentiment.scorer import Scorer

_SEEN = ("item_id", "source", "published_at")


def rows_for(
    ends: np.ndarray, interval_us: int, scores: pl.DataFrame, asset: str, scorer: Scorer
) -> np.ndarray:
    """What became known during bars.

    Args:
        ends: Ends of the bars, int64 microseconds, increasing.
        interval_us: Length of a bar.
        scores: Rows of `sentiment_scores`, in any order; others than those of the bars are ignored.
        asset: Base code.
        scorer: Only its scores, of its present version, count.

    Returns:
        float64, shape (bars, 4), columns `features.inputs.SENTIMENT_FIELDS`: bit for bit what the
        sentiment pack sees of partitions of `sentiment` that are made of the same scores.
    """
    minutes = minute_sums(counted_scores(scores, asset, scorer))
    return sum_onto_bars(ends, interval_us, minutes)


@dataclass(frozen=True)
class LakeNews:
    """What the lake knows of news up to a day.

    Attributes:
        seen: Every item of the days before: `item_id`, `source`, `published_at`.
        news: Rows of `news`: items seen before the day that become available on it, since their
            publisher's clock runs ahead.
        scores: Rows of `sentiment_scores` about those.
    """

    seen: pl.DataFrame
    news: pl.DataFrame
    scores: pl.DataFrame


def lake_news(lake: Lake, day: date) -> LakeNews:
    """What the lake knows of news up to the start of a day; it reads every day of `news` before."""
    days = [each for each in lake.days("news") if each < day]
    held = [lake.read("news", columns=list(_SEEN), date=each) for each in days]
    seen = pl.concat([table("news").empty().select(_SEEN), *held])
    # A publisher's clock that is taken for one runs ahead by less than a day.
    last = max((each for each in lake.days("sentiment_scores") if each < day), default=None)
    if last is None or not lake.exists("news", date=last):
        return LakeNews(seen, table("news").empty(), table("sentiment_scores").empty())
    ahead = pl.col("available_at").dt.date() >= day
    news = lake.read("news", date=last).filter(ahead)
    scores = lake.read("sentiment_scores", date=last).filter(ahead)
    return LakeNews(seen, news, scores)


class LiveSentiment:
    """The sentiment of the bars of one instrument, as they close.

    Nothing is known at first: `seed` it, ask for the rows of the bars that closed in the past
    (`rows`), and then for each as it closes (`row`).

    A feed's items are looked through with `fresh`, and what it returns is scored, dated (`place`),
    written down and counted (`count`); then the look itself is remembered (`looked`). Whatever
    fails on the way, nothing is remembered, and the next look finds the same items.

    Args:
        asset: Base code.
        interval_us: Length of a bar.
        scorer: Only its scores, of its present version, count.
        begin: Start of the first bar whose row will be asked for, microseconds.
        used: End of the newest bar whose row any run has used, microseconds; `begin` for none.
            Rows up to there are made of what is seeded, and news that come later leave them as
            they are.
        lag_us: Assumed delay of an item whose first sight is lost, microseconds.

    Attributes:
        begin: See above.

    Memory is that of the scores whose bars are open, and of the ids of all items ever seen, some
    150 bytes each.
    """

    def __init__(
        self,
        asset: str,
        interval_us: int,
        scorer: Scorer,
        *,
        begin: int,
        used: int,
        lag_us: int,
    ) -> None:
        self._asset = asset
        self._interval = interval_us
        self._scorer = scorer
        self._lag = lag_us
        self.begin = begin
        self._told = begin
        self._watermark = max(begin, used)
        self._known: set[str] = set()
        self._since: dict[str, int] = {}
        self._looked: set[str] = set()
        self._scores = table("sentiment_scores").empty()
        self._count(self._scores)

    @property
    def watermark(self) -> int:
        """End of the newest bar whose row is fixed, microseconds."""
        return self._watermark

    # Bars

    def row(self, end: int) -> np.ndarray:
        """The row of the bar that closes; from here on it is fixed.

        Args:
            end: Its end, microseconds.

        Returns:
            float64, shape (4,), `features.inputs.SENTIMENT_FIELDS`.
        """
        row: np.ndarray = self.rows(np.array([end], dtype=np.int64))[0]
        return row

    def rows(self, ends: np.ndarray) -> np.ndarray:
        """The rows of bars that have closed, as by `row`; shape (bars, 4).

        Args:
            ends: Their ends, int64 microseconds, increasing, after all that were asked for before.
        """
        if not len(ends):
            return np.empty((0, 4))
        assert ends[0] > self._told, "the row of a bar is told once"
        self._told = int(ends[-1])
        self._watermark = max(self._watermark, self._told)
        # All minutes that were not told when news came last: no more than lately came.
        return sum_onto_bars(ends, self._interval, self._minutes)

    # News

    def seed(self, scores: pl.DataFrame, seen: pl.DataFrame) -> None:
        """Begin with what is known already.

        Args:
            scores: Rows of `sentiment_scores` that count, whenever they became available.
            seen: Items that are not news any more, however they come: `item_id`, `source`,
                `published_at`.
        """
        self.count(scores)
        self._known.update(seen["item_id"])
        earliest = seen.group_by("source").agg(pl.col("published_at").to_physical().min())
        self._since = dict(earliest.iter_rows())

    def fresh(self, found: pl.DataFrame, source: str, now: int) -> pl.DataFrame:
        """The items of a look that are news, dated.

        An item is first seen now, unless its first sight is lost: by the stated lag it should have
        been there before, and this run has not looked since before it was published. One whose
        first sight is lost counts as of the stated lag where the bar of that time is not told yet.
        Where it is, the item counts now if the feed was followed then, by any run or the lake, and
        never if it wasn't: what a feed held before anybody looked at it is history.

        Args:
            found: Rows of `news` of one feed, whose `first_seen_at` are by the stated lag
                (`parse_feed` without `first_seen_at`).
            source: The feed.
            now: Market time of the look, microseconds.

        Returns:
            Rows of `news`. Left out are also items dated more than a day after now; they are looked
            at again.
        """
        published, assumed = _us("published_at"), _us("first_seen_at")
        since = self._since.get(source)
        followed = pl.lit(value=False) if since is None else published >= since
        lost = (assumed <= now) & ~(followed & (source in self._looked))
        told = assumed <= self._watermark
        seen = pl.when(lost & ~told).then(pl.col("first_seen_at")).otherwise(_at(now))
        return (
            found.filter(
                self._unknown(found),
                published <= now + MAX_SKEW,
                ~(lost & told & ~followed),
            )
            .with_columns(first_seen_at=seen, backfilled=lost & ~told)
            .with_columns(available_at=pl.max_horizontal("published_at", "first_seen_at"))
        )

    def place(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Scores as they can count now: available after the newest bar whose row is fixed.

        Nothing may wait between this and `count`.
        """
        return scores.with_columns(
            available_at=pl.max_horizontal("available_at", _at(self._watermark + 1))
        )

    def count(self, scores: pl.DataFrame) -> None:
        """Let scores count; their items are known from here on.

        Args:
            scores: Rows of `sentiment_scores` of items that were not known, of `place`.
        """
        self._known.update(scores["item_id"])
        self._count(pl.concat([self._scores, scores]))

    def looked(self, found: pl.DataFrame, source: str, now: int) -> None:
        """Remember a look at a feed: what it showed is known, whether it counts or not.

        Args:
            found: As in `fresh`.
            source: The feed.
            now: As in `fresh`.
        """
        shown = found.filter(_us("published_at") <= now + MAX_SKEW)
        self._known.update(shown["item_id"])
        published = shown["published_at"].to_physical().to_list()
        if source not in self._looked:
            self._looked.add(source)
            # An item of the lag before is still on its way, and no history when it comes.
            published.append(now - self._lag)
        if published:
            earliest = min(published)
            self._since[source] = min(earliest, self._since.get(source, earliest))

    def _unknown(self, items: pl.DataFrame) -> pl.Series:
        """Which rows are of items that are not known."""
        unknown = [item not in self._known for item in items["item_id"]]
        return pl.Series(unknown, dtype=pl.Boolean)

    def _count(self, scores: pl.DataFrame) -> None:
        """Keep the scores that count and whose minutes are still to be told, and sum them."""
        counted = counted_scores(scores, self._asset, self._scorer)
        minutes = minutes_of(counted["available_at"].to_physical().to_numpy())
        self._scores = counted.filter(pl.Series(minutes > self._told))
        self._minutes = minute_sums(self._scores)


def _us(name: str) -> pl.Expr:
    """A column of times as microseconds."""
    return pl.col(name).to_physical()


def _at(ts: int) -> pl.Expr:
    """A time as a column of times."""
    return pl.lit(ts).cast(table("news").schema["available_at"])
