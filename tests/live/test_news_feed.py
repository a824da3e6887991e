"""News over real sockets: each item once, journaled before it counts, whatever fails."""

from __future__ import annotations

import asyncio
import gzip
import random
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import aiohttp
import numpy as np
import polars as pl
import pytest
from aiohttp import web

from vostok_core.errors import ScorerError
from vostok_core.features.inputs import S_ITEMS
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.live.sentiment import LakeNews, LiveSentiment, lake_news, rows_for
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.synthetic import MarketSpec
from vostok_core.sentiment.aggregate import score_day, sentiment_day
from vostok_core.sentiment.feeds import parse_feed
from vostok_core.sentiment.items import RawItem, news_batch
from vostok_core.sentiment.lexicon import LEXICON
from vostok_core.times import HOUR, MINUTE, SECOND, day_start, utc
from vostok_exchange.clock import SteppedClock
from vostok_exchange.feed import feed_document
from vostok_exchange.server import Server
from vostok_exchange.settings import Setup
from vostok_exchange.world import Market
from vostok_live.errors import JournalError
from vostok_live.journal.reader import Reader
from vostok_live.journal.rows import ScoredItem
from vostok_live.journal.writer import Journal
from vostok_live.news.feed import NewsFeed, NewsPatience
from vostok_live.news.fetch import Fetcher, NoDocument
from vostok_live.news.rows import KnownNews, journaled_news
from vostok_live.seams import MarketTime, WallClock, real_seams

TODAY = date(2024, 3, 5)
START = day_start(TODAY)
LAG = 2 * MINUTE
PATIENCE = NewsPatience(every=0.02, timeout=20.0, work=40.0, longest_pause=0.3, largest=1 << 18)
NOTHING = LakeNews(
    table("news").empty().select("item_id", "source", "published_at"),
    table("news").empty(),
    table("sentiment_scores").empty(),
)


class HandClock(WallClock):
    """Shows what it is told to, in microseconds after START."""

    def __init__(self) -> None:
        super().__init__(MarketTime())
        self.now = 0

    def wall_ns(self) -> int:
        return (START + self.now) * 1_000

    def market(self) -> int:
        return START + self.now


class Shouting:
    """Scores by exclamation marks; does what a test wants of it first."""

    name = "shouting"

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.asked: list[str] = []
        self.first: Callable[[], object] = lambda: None

    def score(self, texts: Sequence[str]) -> np.ndarray:
        self.first()
        self.asked += texts
        return np.array([min(1.0, 0.1 * text.count("!")) for text in texts])


def rss(*items: tuple[str, int]) -> bytes:
    """A feed of titles and times, µs after START."""
    return feed_document([(utc(START + at), title) for title, at in items]).encode()


class FeedServer:
    """A server of feeds: a document by path, or whatever `answer` says."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {"/wire": rss()}
        self.etags = True
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse] | None] = lambda _: None
        self.requests: list[tuple[float, str, str]] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._get)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        named = request.headers.get("If-None-Match", "")
        self.requests.append((asyncio.get_running_loop().time(), request.path, named))
        answer = self.answer(request)
        if answer is not None:
            return await answer
        document = self.documents[request.path]
        if not self.etags:
            return web.Response(body=document)
        etag = f'"{len(document)}"'
        if named == etag:
            return web.Response(status=304)
        return web.Response(body=document, headers={"ETag": etag})


class World:
    """A daemon's part that hears news, its journal, and the feeds' server."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.sqlite"
        self.clock = HandClock()
        self.seams = replace(real_seams(), clock=self.clock, random=random.Random(1))
        self.server = FeedServer()
        self.scorer = Shouting()
        self.alerts: list[tuple[str, str, str]] = []
        self.patience = PATIENCE
        self.names = ("wire",)
        self.journal = Journal.open(self.path, self.seams)
        self.used = 0

    def start(self, session: aiohttp.ClientSession, record: Any = None) -> NewsFeed:
        """What a start of the daemon makes; the row of no bar is told yet."""
        self.live = LiveSentiment(
            "BTC", MINUTE, self.scorer, begin=START, used=START + self.used, lag_us=LAG
        )
        return NewsFeed(
            {name: f"{self.server.url}/{name}?key=secret" for name in self.names},
            session=session, seams=self.seams, sentiment=self.live, scorer=self.scorer,
            bases=["BTC"], lag_us=LAG, record=record or self.journal.record_news,
            on_alert=lambda *alert: self.alerts.append(alert), patience=self.patience,
        )  # fmt: skip

    def known(self, lake: LakeNews = NOTHING) -> KnownNews:
        """What a start finds."""
        return KnownNews(self.journaled(), lake)

    def journaled(self) -> list[ScoredItem]:
        with Reader.open(self.path) as reader:
            return journaled_news(reader, [TODAY + timedelta(days=k) for k in (-1, 0, 1)])

    def row(self, minute: int) -> list[float]:
        self.used = minute * MINUTE
        return self.live.row(START + self.used)[1:].tolist()

    def told_again(self, minutes: int) -> np.ndarray:
        """The rows that the journal says."""
        columns = table("sentiment_scores").schema
        rows = [tuple(getattr(item, name) for name in columns) for item in self.journaled()]
        frame = pl.DataFrame(rows, schema=columns, orient="row")
        ends = START + MINUTE * np.arange(1, minutes + 1, dtype=np.int64)
        return rows_for(ends, MINUTE, frame, "BTC", self.scorer)


Scenario = Callable[[World, aiohttp.ClientSession], Awaitable[None]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.journal.abandon()


def play(world: World, scenario: Scenario) -> None:
    async def main() -> None:
        async with (
            world.server,
            aiohttp.ClientSession(connector=world.seams.connector()) as session,
        ):
            await scenario(world, session)

    asyncio.run(asyncio.wait_for(main(), 120))


async def until_heard(feed: NewsFeed) -> None:
    """Look until it succeeds: where a test's patience is short, a busy machine may exceed it."""
    while not feed.last_ok_ns:
        await feed.look()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_an_item_is_scored_once_journaled_and_counted_in_the_open_bar(world: World) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        feed = world.start(session)
        await feed.begin(world.known())
        await feed.look()
        world.server.documents["/wire"] = rss(
            ("Bitcoin and crypto!", SECOND), ("Ether!!", 2 * SECOND)
        )
        world.clock.now = 10 * SECOND
        await feed.look()
        await feed.look()
        assert world.scorer.asked == ["Bitcoin and crypto!", "Ether!!"]
        assert [bool(named) for *_, named in world.server.requests] == [False, True, True]
        seen = START + 10 * SECOND
        assert [
            (i.asset, i.source, i.published_at, i.first_seen_at, i.available_at, i.title, i.score)
            for i in sorted(world.journaled(), key=lambda i: (i.published_at, i.asset))
        ] == [
            ("*", "wire", START + SECOND, seen, seen, "Bitcoin and crypto!", 0.1),
            ("BTC", "wire", START + SECOND, seen, seen, "Bitcoin and crypto!", 0.1),
            ("ETH", "wire", START + 2 * SECOND, seen, seen, "Ether!!", 0.2),
        ]
        assert world.row(1) == [1.0, 0.1, 0.1]
        assert (feed.items, feed.failures, feed.last_ok_ns) == (2, 0, seen * 1_000)

    play(world, scenario)


def test_what_the_journal_refuses_does_not_count_and_ends_the_run(world: World) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        def full(_: object) -> None:
            raise JournalError("the disk is full")

        feed = world.start(session, full)
        await feed.begin(world.known())
        await feed.look()
        world.server.documents["/wire"] = rss(("Bitcoin!", SECOND))
        with pytest.raises(ExceptionGroup) as caught:
            await feed.run()
        assert caught.group_contains(JournalError)
        assert world.row(1) == [0.0, 0.0, 0.0]

    play(world, scenario)


@pytest.mark.parametrize("written", [False, True])
def test_killed_as_an_item_is_written_it_counts_once_after_the_restart(
    world: World, written: bool
) -> None:
    class Killed(BaseException):
        pass

    def die(items: Sequence[ScoredItem]) -> None:
        if written:
            world.journal.record_news(items)
        raise Killed

    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        world.server.documents["/wire"] = rss(("Bitcoin before!", 0))
        feed = world.start(session)
        await feed.begin(world.known())
        await feed.look()
        told = [world.row(1), world.row(2)]
        world.server.documents["/wire"] = rss(("Bitcoin before!", 0), ("Bitcoin!!", 150 * SECOND))
        world.clock.now = 160 * SECOND
        feed = world.start(session, die)
        await feed.begin(world.known())
        with pytest.raises(Killed):
            await feed.look()
        world.clock.now = 200 * SECOND
        feed = world.start(session)
        await feed.begin(world.known())
        await feed.look()
        rows = world.live.rows(START + MINUTE * np.arange(1, 6, dtype=np.int64))
        assert rows[:2, 1:].tolist() == told == [[1.0, 0.1, 0.1], [0.0, 0.0, 0.0]]
        assert rows[:, S_ITEMS].tolist() == [1.0, 0.0, float(written), float(not written), 0.0]
        assert rows.tobytes() == world.told_again(5).tobytes()

    play(world, scenario)


def test_a_first_look_gives_the_bars_of_the_past_the_news_of_their_time(world: World) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        world.clock.now = HOUR
        world.server.documents["/wire"] = rss(
            ("Bitcoin long ago!", -3 * HOUR), ("Bitcoin!", 0), ("Bitcoin!!", HOUR - SECOND)
        )
        feed = world.start(session)
        await feed.begin(world.known())
        await feed.look()
        rows = world.live.rows(START + MINUTE * np.arange(1, 61, dtype=np.int64))
        assert rows[:, S_ITEMS].nonzero()[0].tolist() == [1, 59]
        assert feed.items == 2
        assert rows.tobytes() == world.told_again(60).tobytes()

    play(world, scenario)


def test_an_unchanged_feed_is_not_read_again(world: World) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        for etags in (True, False):
            world.server.etags = etags
            fetcher = Fetcher(
                f"{world.server.url}/wire", session=session, timeout=1.0, largest=9999
            )
            first = await fetcher.get()
            assert first is not None
            assert first.content == world.server.documents["/wire"]
            assert (await fetcher.get()) is not None, "it is kept only when it was used"
            fetcher.keep(first)
            assert await fetcher.get() is None
            assert [bool(named) for *_, named in world.server.requests] == [False, False, etags]
            world.server.requests.clear()

    play(world, scenario)


def test_a_feed_that_came_cut_off_is_fetched_whole_though_its_name_is_the_same(
    world: World,
) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        whole = rss(("Bitcoin!", SECOND))
        feed = world.start(session)
        await feed.begin(world.known())
        await feed.look()
        world.server.documents["/wire"] = whole[:-30] + b" " * 30
        await feed.look()
        assert "not well-formed" in feed.states[0].why
        world.server.documents["/wire"] = whole
        await feed.look()
        assert (feed.failures, feed.states[0].failures, feed.items) == (1, 0, 1)

    play(world, scenario)


async def _redirect(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.path)


async def _reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _late(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(0.8)
    return web.Response(body=rss())


async def _short(_: web.Request) -> web.StreamResponse:
    return web.Response(body=rss()[:50], headers={"Content-Type": "application/xml"})


def _body(content: bytes, status: int = 200, **headers: str) -> Any:
    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=content, status=status, headers=named)

    return answer


_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + k, b"&%c;" % (97 + k) * 10) for k in range(8))
    + b']><rss version="2.0"><channel><item><title>&i;</title>'
    b"<pubDate>Tue, 05 Mar 2024 00:00:00 GMT</pubDate></item></channel></rss>"
)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (_body(b"", 500), "HTTP 500"),
        (_body(b"", 404), "HTTP 404"),
        (_body(b"", 304), "HTTP 304"),  # of nothing that was ever given
        (_redirect, "no answer"),
        (_reset, "no answer"),
        (_late, "in time"),
        (_short, "not well-formed"),
        (_body(b"<html><body>Maintenance</body></html>"), "neither RSS nor Atom"),
        (_body(bytes(range(256)) * 8), "well-formed|neither"),
        (_body(b"x" * (1 << 19)), "more than 262,144 bytes"),
        (
            _body(gzip.compress(bytes(20 << 20), 1), Content_Encoding="gzip"),
            "more than 262,144 bytes",
        ),
    ],
    ids=["500", "404", "304", "loop", "reset", "late", "cut", "html", "binary", "large", "gzip"],
)
def test_a_feed_that_fails_is_counted_and_brings_nothing_until_it_is_back(
    world: World, answer: Any, why: str
) -> None:
    if answer is _late:
        world.patience = replace(PATIENCE, timeout=0.3)

    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        feed = world.start(session)
        await feed.begin(world.known())
        world.server.answer = answer
        await feed.look()
        (state,) = feed.states
        assert re.search(why, state.why), state.why
        assert "secret" not in state.why
        assert (state.failures, state.failed, state.last_ok_ns) == (1, 1, 0)
        world.server.answer = lambda _: None
        world.server.documents["/wire"] = rss(("Bitcoin!", SECOND))
        world.clock.now = 2 * SECOND
        await until_heard(feed)
        assert (state.failures, state.failed >= 1, state.items) == (0, True, 1)
        assert world.row(1) == [1.0, 0.1, 0.1]

    play(world, scenario)


def test_entities_that_multiply_are_not_let_to(world: World) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        feed = world.start(session)
        await feed.begin(world.known())
        world.server.documents["/wire"] = _BOMB
        await feed.look()
        assert "amplification" in feed.states[0].why
        assert (feed.items, world.row(1)) == (0, [0.0, 0.0, 0.0])

    play(world, scenario)


def _raises(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [ScorerError("no", hint="wait"), KeyError("x"), RecursionError(), TimeoutError("read")],
    ids=lambda error: type(error).__name__,
)
def test_items_that_could_not_be_scored_count_when_they_can(world: World, error: Exception) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        feed = world.start(session)
        await feed.begin(world.known())
        await feed.look()
        world.server.documents["/wire"] = rss(("Bitcoin!", SECOND))
        world.scorer.first = _raises(error)
        await feed.look()
        assert (feed.failures, feed.items, world.journaled()) == (1, 0, [])
        assert (str(error) or type(error).__name__) in feed.states[0].why
        assert world.row(1) == [0.0, 0.0, 0.0]
        world.scorer.first = lambda: None
        await feed.look()
        assert (feed.items, world.row(2)) == (1, [1.0, 0.1, 0.1])
        assert world.journaled()[0].available_at == START + MINUTE + 1

    play(world, scenario)


def test_while_a_scorer_thinks_bars_close_and_its_items_count_after_them(world: World) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        feed = world.start(session)
        await feed.begin(world.known())
        await feed.look()
        world.server.documents["/wire"] = rss(("Bitcoin!", SECOND))
        thinking, done = threading.Event(), threading.Event()
        world.scorer.first = lambda: (thinking.set(), done.wait(30))
        look = asyncio.create_task(feed.look())
        await until(thinking.is_set)
        assert [world.row(1), world.row(2)] == [[0.0, 0.0, 0.0]] * 2
        done.set()
        await look
        assert world.row(3) == [1.0, 0.1, 0.1]
        assert world.told_again(3)[:, S_ITEMS].tolist() == [0.0, 0.0, 1.0]

    play(world, scenario)


def test_a_scorer_that_hangs_is_given_up(world: World) -> None:
    world.patience = replace(PATIENCE, work=1.0)

    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        feed = world.start(session)
        await feed.begin(world.known())
        world.server.documents["/wire"] = rss(("Bitcoin!", SECOND))
        done = threading.Event()
        world.scorer.first = lambda: done.wait(30)
        await feed.look()
        done.set()
        assert "not done within 1 s" in feed.states[0].why
        assert world.journaled() == []

    play(world, scenario)


def test_feeds_are_polled_apart_and_a_failing_one_ever_more_rarely(world: World) -> None:
    world.names = ("wire", "broken")

    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        def answer(request: web.Request) -> Awaitable[web.StreamResponse] | None:
            return _body(b"", 503)(request) if request.path == "/broken" else None

        world.server.answer = answer
        feed = world.start(session)
        await feed.begin(world.known())
        running = asyncio.create_task(feed.run())
        asked = world.server.requests
        await until(lambda: sum(path == "/broken" for _, path, _ in asked) >= 6)
        world.server.documents["/wire"] = rss(("Bitcoin!", SECOND))
        await until(lambda: feed.items)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        times = [at for at, path, _ in asked if path == "/broken"]
        gaps = np.diff(times)[:5]
        least = [0.5 * min(0.02 * 2.0**k, 0.3) for k in range(5)]
        assert (gaps >= np.array(least) - 0.002).all(), gaps
        # Meanwhile the other one was looked at as often as ever.
        assert sum(path == "/wire" for _, path, _ in asked) > len(times)

    play(world, scenario)


def test_a_server_that_asks_to_wait_is_waited_for(world: World) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        world.server.answer = _body(b"", 429, Retry_After="1")
        feed = world.start(session)
        await feed.begin(world.known())
        running = asyncio.create_task(feed.run())
        await until(lambda: len(world.server.requests) == 2)
        running.cancel()
        assert np.diff([at for at, *_ in world.server.requests])[0] >= 0.99

    play(world, scenario)


def test_a_person_is_told_once_when_nothing_was_heard_for_too_long_and_when_it_is_back(
    world: World,
) -> None:
    world.patience = replace(PATIENCE, stale=60.0)

    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        feed = world.start(session)
        await feed.begin(world.known())
        await feed.look()
        world.server.answer = _body(b"", 500)
        for seconds in (60, 61, 100):
            world.clock.now = seconds * SECOND
            await feed.look()
            assert feed.stale(world.clock.wall_ns()) == (("wire",) if seconds > 60 else ())
            assert len(world.alerts) == (seconds > 60)
        [(level, code, message)] = world.alerts
        assert (level, code) == ("warning", "news_stale")
        assert "wire" in message
        assert "HTTP 500" in message
        world.server.answer = lambda _: None
        await feed.look()
        await feed.look()
        assert feed.stale(world.clock.wall_ns()) == ()
        assert [alert[:2] for alert in world.alerts[1:]] == [("info", "news_back")]

    play(world, scenario)


def test_an_address_that_is_none_is_a_feed_that_fails(world: World) -> None:
    async def scenario(world: World, session: aiohttp.ClientSession) -> None:
        for url in ("file:///etc/passwd", "feeds/demo.xml", "http://[broken/", ""):
            with pytest.raises(NoDocument, match="no answer"):
                await Fetcher(url, session=session, timeout=1.0, largest=999).get()

    play(world, scenario)


class TestBegin:
    def test_a_new_version_of_the_scorer_scores_the_journals_news_anew(self, world: World) -> None:
        async def scenario(world: World, session: aiohttp.ClientSession) -> None:
            feed = world.start(session)
            await feed.begin(world.known())
            await feed.look()
            world.server.documents["/wire"] = rss(("Bitcoin and crypto!", SECOND))
            world.clock.now = 10 * SECOND
            await feed.look()
            before = world.journaled()
            old = before[0]._replace(item_id="old", available_at=START - 1, title="Old!")
            world.journal.record_news([old])
            world.row(1)
            world.scorer = Shouting("2")
            feed = world.start(session)
            await feed.begin(world.known())
            await feed.look()
            assert world.scorer.asked == ["Bitcoin and crypto!"]
            new = [item for item in world.journaled() if item.scorer_version == "2"]
            assert new == [item._replace(scorer_version="2") for item in before]
            assert world.row(1) == [1.0, 0.1, 0.1]
            assert feed.items == 0

        play(world, scenario)

    def test_where_it_can_not_a_person_is_told_and_the_run_begins_without(
        self, world: World
    ) -> None:
        async def scenario(world: World, session: aiohttp.ClientSession) -> None:
            item = ScoredItem("a", "BTC", "wire", START, START, START, "Up!", 0.5, "shouting", "0")
            world.journal.record_news([item])
            world.scorer.first = _raises(ScorerError("no"))
            feed = world.start(session)
            await feed.begin(world.known())
            assert [alert[:2] for alert in world.alerts] == [("warning", "news_not_scored")]
            assert world.row(1) == [0.0, 0.0, 0.0]

        play(world, scenario)

    def test_what_the_lake_adds_to_the_runs_bars_is_in_the_journal_too(
        self, world: World, lake: Lake
    ) -> None:
        yesterday = TODAY - timedelta(days=1)
        ahead = [RawItem(f"Bitcoin {k}!", "", "", f"{k}", START + k * SECOND) for k in (-5, 5, 9)]
        news = news_batch(ahead, "wire", lag_us=LAG, first_seen_at=START - 10 * SECOND).items
        lake.write("news", news, code_version="1", date=yesterday)
        scores = score_day(news, world.scorer, ["BTC"])
        lake.write("sentiment_scores", scores, code_version="1", date=yesterday)

        async def scenario(world: World, session: aiohttp.ClientSession) -> None:
            known = lake_news(lake, TODAY)
            # One of them was heard live as well, later than the lake says.
            heard = news.row(2, named=True)["item_id"]
            late = START + 70 * SECOND
            world.journal.record_news(
                [ScoredItem(heard, "BTC", "wire", START, late, late, "x", 0.5, "shouting", "1")]
            )
            for _ in range(2):
                feed = world.start(session)
                await feed.begin(world.known(known))
                rows = world.live.rows(START + MINUTE * np.arange(1, 4, dtype=np.int64))
                assert rows[:, 1:].tolist() == [[1.0, 0.1, 0.1], [1.0, 0.5, 0.5], [0.0, 0.0, 0.0]]
                assert rows.tobytes() == world.told_again(3).tobytes()
                assert len(world.journaled()) == 2

        play(world, scenario)


def test_the_exchanges_feed_heard_live_gives_the_rows_of_partitions_of_what_was_heard(
    world: World, tmp_path: Path
) -> None:
    day = date(2025, 3, 31)
    begin = day_start(day) + 23 * HOUR
    instrument = Instrument(
        InstrumentId.parse("demo.spot.ABC-USDT"), "agg_trade", Decimal("0.01"), Decimal("0.001"),
        Decimal(5), 10 * MINUTE,
    )  # fmt: skip
    spec = MarketSpec(
        trades_per_minute=0.1, start_price=100.0, mean_qty=1.0, quantity_step=0.001,
        news_per_day=400.0,
    )  # fmt: skip
    setup = Setup(3, day, begin, (Market(instrument, spec),), (), {})
    interval, scorer = 5 * MINUTE, LEXICON

    async def main() -> None:
        session = aiohttp.ClientSession(connector=world.seams.connector())
        async with Server(tmp_path / "x", setup=setup, clock=SteppedClock) as server, session:

            class MarketClock(HandClock):
                def market(self) -> int:
                    return int(server.exchange.clock.now())

            seams = replace(world.seams, clock=MarketClock())
            known = KnownNews([], NOTHING)
            told: list[np.ndarray] = []
            end = begin
            feed: NewsFeed | None = None
            live: Any = None
            while end < begin + 2 * HOUR:  # across midnight
                if feed is None or (end - begin) % (40 * MINUTE) == 0:  # and restarts
                    used = end if told else begin
                    live = LiveSentiment(
                        "ABC", interval, scorer, begin=begin, used=used, lag_us=LAG
                    )
                    feed = NewsFeed(
                        {"wire": f"{server.url}/feed.xml"}, session=session, seams=seams,
                        sentiment=live, scorer=scorer, bases=["ABC"], lag_us=LAG,
                        record=world.journal.record_news, on_alert=lambda *_: None,
                        patience=replace(PATIENCE, largest=1 << 22),
                    )  # fmt: skip
                    with Reader.open(world.path) as reader:
                        items = journaled_news(reader, [day, day + timedelta(days=1)])
                    await feed.begin(KnownNews(items, known.lake))
                    await feed.look()
                    again = live.rows(np.arange(begin + interval, end + 1, interval))
                    assert again.tobytes() == b"".join(row.tobytes() for row in told)
                for _ in range(2):
                    server.exchange.clock.step_to(server.exchange.clock.now() + 150 * SECOND)
                    await feed.look()
                end += interval
                told.append(live.row(end))
                assert feed.failures == 0
            with Reader.open(world.path) as reader:
                items = journaled_news(reader, [day, day + timedelta(days=1)])
            schema = table("sentiment_scores").schema
            rows = [tuple(getattr(item, name) for name in schema) for item in items]
            frame = pl.DataFrame(rows, schema=schema, orient="row")
            found = np.array(told)
            minutes = pl.concat(
                [sentiment_day(frame, "ABC", day + timedelta(days=k), scorer) for k in (0, 1)]
            )
            ts = minutes["ts"].to_physical()
            shown = minutes.filter(ts > begin, ts <= end)
            for column, name in enumerate(("items", "score_sum", "score_abs_sum"), 1):
                sums = shown[name].to_numpy().reshape(-1, interval // MINUTE)
                expected = [float(sum(part.tolist(), 0.0)) for part in sums]
                assert found[:, column].tolist() == expected
            async with session.get(f"{server.url}/feed.xml") as answer:
                held = parse_feed(await answer.read(), "wire", lag_us=LAG).items
            news = held.filter(pl.col("published_at").to_physical() > begin - LAG)
            assert found[:, S_ITEMS].sum() == news.height > 10
            assert held.height > news.height

    asyncio.run(asyncio.wait_for(main(), 240))


def test_hearing_news_loads_nothing_that_a_daemon_does_without() -> None:
    code = (
        "import sys, vostok_live.news.feed\n"
        "from vostok_core.sentiment.feeds import parse_feed\n"
        "assert 'feedparser' not in sys.modules\n"
        "parse_feed(b'<rss version=\"2.0\"><channel></channel></rss>', 'x', lag_us=1)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert {"feedparser", "aiohttp"} <= loaded
    assert not loaded & {"pandas", "sklearn", "lightgbm", "dagster", "ccxt", "requests"}
