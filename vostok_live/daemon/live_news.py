"""The news of a session: what the model's sentiment is made of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Self

import aiohttp

from vostok_core.features.registry import pack
from vostok_core.live.sentiment import LiveSentiment, lake_news
from vostok_core.sentiment.scorer import scorer
from vostok_core.times import day_of, days
from vostok_core.trading.commands import Alert, Level
from vostok_live.daemon.history import Past
from vostok_live.daemon.model import Model
from vostok_live.daemon.plan import Plan
from vostok_live.journal.reader import Reader
from vostok_live.journal.writer import Journal
from vostok_live.news.feed import NewsFeed, NewsPatience
from vostok_live.news.rows import KnownNews, journaled_news
from vostok_live.seams import Seams

_AHEAD = timedelta(days=2)  # that a publisher's clock may be
_SHOWN = timedelta(days=30)  # that a feed goes on showing an item


class LiveNews:
    """Feeds, and the sentiment of bars that is made of them.

    Attributes:
        sentiment: Rows of bars.
        feed: Looks at the feeds.
    """

    def __init__(self, sentiment: LiveSentiment, tell: Callable[[Alert], None]) -> None:
        self.sentiment = sentiment
        self.feed: NewsFeed
        self._tell = tell

    @classmethod
    async def open(
        cls,
        stack: AsyncExitStack,
        plan: Plan,
        seams: Seams,
        model: Model,
        journal: Journal,
        past: Past,
        used: int,
        tell: Callable[[Alert], None],
    ) -> Self | None:
        """Begin with what is known, and look once; None where the model reads no news.

        Args:
            stack: Closes the connections.
            plan: Feeds and settings.
            seams: Clock, chance and connections.
            model: Its packs.
            journal: Its run has begun.
            past: The bars before the journal's.
            used: End of the newest bar that any run made something of.
            tell: Tells a person.
        """
        strategy, settings = model.strategy, plan.project.settings
        if not any(pack(name).inputs == "sentiment" for name in strategy.file.features.packs):
            return None
        chosen = scorer(settings.sentiment.scorer)
        lag = settings.sources.backfill_lag_us
        self = cls(
            LiveSentiment(
                plan.instrument.id.base,
                strategy.interval_us,
                chosen,
                begin=past.begin_us,
                used=used,
                lag_us=lag,
            ),
            tell,
        )
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=seams.connector())
        )
        self.feed = NewsFeed(
            {**plan.venue.feeds, **plan.live.feeds},
            session=session,
            seams=seams,
            sentiment=self.sentiment,
            scorer=chosen,
            bases=settings.bases,
            lag_us=lag,
            record=journal.record_news,
            on_alert=self._alert,
            patience=NewsPatience(every=plan.timing.poll / 1e6),
        )
        first = day_of(past.begin_us)
        with Reader.open(journal.path) as reader:
            span = days(first - _SHOWN, day_of(seams.clock.market()) + _AHEAD)
            known = KnownNews(journaled_news(reader, span), lake_news(plan.lake, first))
        await self.feed.begin(known)
        await self.feed.look()
        return self

    async def run(self) -> None:
        """Look at the feeds again and again, until cancelled."""
        await self.feed.run()

    def _alert(self, level: Level, code: str, message: str) -> None:
        self._tell(Alert(level, code, message))
