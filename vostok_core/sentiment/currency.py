"""Whether scores and sentiment are what would be made now of the news."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.staleness import Stale
from vostok_core.lake.store import Lake
from vostok_core.sentiment.days import ABSENT
from vostok_core.sentiment.items import news_version
from vostok_core.sentiment.scorer import Scorer, scores_version, sentiment_version
from vostok_core.sentiment.scorer import scorer as find_scorer
from vostok_core.settings import Settings

_SCORES = ("sentiment_scores", "sentiment")


@dataclass(frozen=True)
class SentimentRules:
    """What news, scores and sentiment are made by: the code versions of their partitions."""

    news: str
    scores: str
    sentiment: str

    @classmethod
    def of(cls, scorer: Scorer, assets: Collection[str], lag_us: int) -> SentimentRules:
        """Those of a scorer, the base codes of a universe and the lag assumed of news."""
        return cls(news_version(lag_us), scores_version(scorer, assets), sentiment_version(scorer))

    @classmethod
    def in_force(cls, settings: Settings) -> SentimentRules:
        """Those of a project.

        Raises:
            UnknownName: The settings name an unknown scorer.
        """
        chosen = find_scorer(settings.sentiment.scorer)
        return cls.of(chosen, settings.bases, settings.sources.backfill_lag_us)


def stale_scores(lake: Lake, day: date, rules: SentimentRules | None = None) -> Stale | None:
    """What is the matter with the scores of a day, if they are there and anything is.

    Args:
        lake: The lake.
        day: The day.
        rules: What news and scores are made by now; left out, they may have been made by other
            rules.
    """
    if not lake.exists("sentiment_scores", date=day):
        return None  # what was made from them says so
    info = lake.info("sentiment_scores", date=day)
    found = lake.info("news", date=day) if lake.exists("news", date=day) else None
    if rules is not None and found is not None and found.code_version != rules.news:
        return Stale.of(day, "its news were read or dated by other rules", "news", *_SCORES)
    if rules is not None and info.code_version != rules.scores:
        return Stale.of(day, "its news were scored or tagged by other rules", *_SCORES)
    news = None if found is None else found.content_hash
    if info.inputs.get("news", news) != news:
        return Stale.of(day, "its news have changed since they were scored", *_SCORES)
    return None


def stale_sentiment(
    lake: Lake, instrument: str, days: Iterable[date], rules: SentimentRules | None = None
) -> dict[date, Stale]:
    """The days whose sentiment would be summed otherwise now, and why, in order.

    Args:
        lake: The lake.
        instrument: Name of the instrument.
        days: The days.
        rules: As in `stale_scores`.

    Raises:
        MissingPartition: A day has no sentiment.
    """
    lake = RememberingLake.of(lake)
    stale: dict[date, Stale] = {}
    for day in sorted(set(days)):
        info = lake.info("sentiment", instrument=instrument, date=day)
        if rules is not None and info.code_version != rules.sentiment:
            why = "its sentiment is that of another scorer, or of other code"
            stale[day] = Stale.of(day, why, *_SCORES)
            continue
        for key, then in sorted(info.inputs.items()):
            of = date.fromisoformat(key.removeprefix("sentiment_scores/"))
            there = lake.exists("sentiment_scores", date=of)
            now = lake.info("sentiment_scores", date=of).content_hash if there else ABSENT
            if beneath := stale_scores(lake, of, rules):
                stale[day] = beneath.beneath(day)
            elif now != then:
                stale[day] = Stale.of(day, f"{key} has changed since it was made", "sentiment")
            else:
                continue
            break
    return stale
