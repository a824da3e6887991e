"""Feeds that are looked at again and again, and what is new in them, scored and counted.

An item counts once it is in the journal, and what it does to bars is `LiveSentiment`'s to say. A
feed or a scorer that fails is counted, retried ever more rarely, and told to a person when nothing
was heard for too long; until it is back there is no news, which is what a quiet feed says as well.
Only a journal that can't be written ends it.

Documents are parsed and scored in a thread of their own: half a millisecond an item would keep bars
from closing in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import aiohttp
import polars as pl

from vostok_core.errors import VostokError
from vostok_core.live.sentiment import LiveSentiment
from vostok_core.sentiment.aggregate import score_day
from vostok_core.sentiment.feeds import parse_feed
from vostok_core.sentiment.scorer import Scorer
from vostok_core.trading.commands import Level
from vostok_live.journal.rows import ScoredItem
from vostok_live.news.fetch import Document, Fetcher, NoDocument
from vostok_live.news.rows import (
    KnownNews,
    lake_items,
    rescored,
    scored_items,
    scores_frame,
    seen_frame,
)
from vostok_live.seams import Seams

Result = TypeVar("Result")

_LONGEST_WAIT = 3_600.0  # seconds; whatever a server asks for


class _Unusable(Exception):
    """A document that can't be read or scored, in words."""


@dataclass(frozen=True, slots=True)
class NewsPatience:
    """How long feeds are waited for, in seconds of the wall.

    Attributes:
        every: Between two looks at a feed.
        timeout: For a document.
        work: For reading and scoring it.
        longest_pause: Between two looks at a feed that fails.
        stale: Without a look that succeeded, after which a person is told.
        largest: Bytes of a document.
    """

    every: float = 30.0
    timeout: float = 10.0
    work: float = 120.0
    longest_pause: float = 600.0
    stale: float = 300.0
    largest: int = 4 * 1024 * 1024


@dataclass(slots=True)
class FeedState:
    """How a feed is doing.

    Attributes:
        name: Its name.
        since_ns: When it was first to be looked at, by the wall.
        last_ok_ns: When a look last succeeded, by the wall; 0 if none has.
        failures: Looks that failed in a row.
        failed: Looks that failed.
        items: Items that were scored.
        refused: Entries of its newest document that are no items: without a title, a date …
        why: What was the matter with the look that failed last; empty if none did.
        told: Whether a person was told that it is stale.
    """

    name: str
    since_ns: int
    last_ok_ns: int = 0
    failures: int = 0
    failed: int = 0
    items: int = 0
    refused: int = 0
    why: str = ""
    told: bool = False


class NewsFeed:
    """The feeds of a daemon.

    `begin` and then `look` come before the bars that closed in the past are asked for, so that
    these have the news of their time; `run` goes on from there.

    Args:
        feeds: Name -> address. The lake knows a feed's items again by its name.
        session: Opens the connections; one of its own (`Fetcher`).
        seams: Clock and chance.
        sentiment: Counts what is new.
        scorer: Scores it.
        bases: Base codes of the universe, which items are searched for.
        lag_us: Assumed delay of an item whose first sight is lost, microseconds of market time.
        record: Writes down scored items, before they count. What it raises ends `run`.
        on_alert: Called with level, code and message of what a person should know.
        patience: How long to wait for what.

    Attributes:
        states: How each feed is doing.
    """

    def __init__(
        self,
        feeds: Mapping[str, str],
        *,
        session: aiohttp.ClientSession,
        seams: Seams,
        sentiment: LiveSentiment,
        scorer: Scorer,
        bases: Collection[str],
        lag_us: int,
        record: Callable[[Sequence[ScoredItem]], object],
        on_alert: Callable[[Level, str, str], None],
        patience: NewsPatience,
    ) -> None:
        now = seams.clock.wall_ns()
        self.states = tuple(FeedState(name, now) for name in feeds)
        self._fetchers = [
            Fetcher(url, session=session, timeout=patience.timeout, largest=patience.largest)
            for url in feeds.values()
        ]
        self._clock = seams.clock
        self._random = seams.random
        self._sentiment = sentiment
        self._scorer = scorer
        self._bases = tuple(bases)
        self._lag = lag_us
        self._record = record
        self._on_alert = on_alert
        self._patience = patience
        # Not the loop's threads: they look up names of hosts, and a scorer that hangs holds one.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="news")

    @property
    def last_ok_ns(self) -> int:
        """When every feed had last been looked at with success, by the wall; 0 if one never was."""
        return min((state.last_ok_ns for state in self.states), default=0)

    @property
    def items(self) -> int:
        """Items that were scored in this run."""
        return sum(state.items for state in self.states)

    @property
    def failures(self) -> int:
        """Looks that failed."""
        return sum(state.failed for state in self.states)

    def stale(self, wall_ns: int) -> tuple[str, ...]:
        """The feeds of which nothing was heard for too long."""
        longest = round(self._patience.stale * 1e9)
        return tuple(
            state.name
            for state in self.states
            if wall_ns - max(state.last_ok_ns, state.since_ns) > longest
        )

    async def begin(self, known: KnownNews) -> None:
        """Count what is known when the run begins.

        From here on the journal holds every score that counts in a bar of the run: what the lake
        adds is written down as well, and what another version scored is scored anew.
        """
        items = list(known.journaled)
        new: list[ScoredItem] = []
        try:
            new += await self._in_thread(
                partial(rescored, items, self._scorer, self._sentiment.begin)
            )
        except _Unusable as error:
            self._on_alert(
                "warning", "news_not_scored", f"today's news don't count: not scored anew: {error}"
            )
        new += lake_items(known.lake, {item.item_id for item in items}, self._scorer)
        self._write(new)
        items += new
        seen = pl.concat([seen_frame(items), known.lake.seen])
        self._sentiment.seed(scores_frame(items), seen)

    async def look(self) -> None:
        """Look at every feed once, now; what takes too long is given up (`NewsPatience`).

        It may be cancelled: nothing is half remembered.
        """
        await asyncio.gather(*map(self._look, self.states, self._fetchers))

    async def run(self) -> None:
        """Look at the feeds again and again, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for state, fetcher in zip(self.states, self._fetchers, strict=True):
                    tasks.create_task(self._follow(state, fetcher))
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _follow(self, state: FeedState, fetcher: Fetcher) -> None:
        wait = 0.0
        if state.last_ok_ns or state.failed:
            wait = self._pause(state)
        while True:
            await asyncio.sleep(wait)
            asked = await self._look(state, fetcher)
            wait = max(self._pause(state), min(asked, _LONGEST_WAIT))

    def _pause(self, state: FeedState) -> float:
        """Seconds until the next look, as far as it is for us to say."""
        patience = self._patience
        if not state.failures:
            return patience.every * self._random.uniform(0.9, 1.1)
        doubled = patience.every * 2.0 ** min(state.failures - 1, 30)
        return min(doubled, patience.longest_pause) * self._random.uniform(0.5, 1.0)

    async def _look(self, state: FeedState, fetcher: Fetcher) -> float:
        """Look at a feed once; returns the seconds that its server asks to wait."""
        try:
            document = await fetcher.get()
            if document is not None:
                await self._take(state, document, self._clock.market())
                fetcher.keep(document)
        except (NoDocument, _Unusable) as error:
            self._has_failed(state, str(error))
            return error.wait if isinstance(error, NoDocument) else 0.0
        self._has_succeeded(state)
        return 0.0

    async def _take(self, state: FeedState, document: Document, now: int) -> None:
        """Count what is new in a document."""
        batch = await self._in_thread(
            partial(parse_feed, document.content, state.name, lag_us=self._lag)
        )
        state.refused = len(batch.refused)
        news = self._sentiment.fresh(batch.items, state.name, now)
        if news.height:
            scores = await self._in_thread(partial(score_day, news, self._scorer, self._bases))
            # From here to the end nothing waits: a bar that closed in between would be changed.
            scores = self._sentiment.place(scores)
            self._write(scored_items(news, scores))
            self._sentiment.count(scores)
            state.items += news.height
        self._sentiment.looked(batch.items, state.name, now)

    def _write(self, items: Sequence[ScoredItem]) -> None:
        if items:
            self._record(items)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        """Do what takes long, or fails in ways that nobody foresaw.

        Raises:
            _Unusable: Whatever was the matter.
        """
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(self._patience.work)
        try:
            async with limit:
                return await loop.run_in_executor(self._thread, work)
        except VostokError as error:
            raise _Unusable(str(error)) from error
        except Exception as error:  # a stranger's text and anybody's scorer
            if limit.expired():
                raise _Unusable(f"not done within {self._patience.work:g} s") from None
            raise _Unusable(f"{type(error).__name__}: {error}") from error

    def _has_succeeded(self, state: FeedState) -> None:
        state.last_ok_ns = self._clock.wall_ns()
        state.failures = 0
        if state.told:
            state.told = False
            self._on_alert("info", "news_back", f"the feed {state.name} is heard again")

    def _has_failed(self, state: FeedState, why: str) -> None:
        state.failures += 1
        state.failed += 1
        state.why = why
        if not state.told and state.name in self.stale(self._clock.wall_ns()):
            state.told = True
            self._on_alert(
                "warning",
                "news_stale",
                f"no news of the feed {state.name} for more than {self._patience.stale:g} s, and "
                f"decisions are made without: {why}",
            )
