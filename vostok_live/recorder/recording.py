"""One instrument that is recorded: its segment, its trades' ids, its book's changes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from vostok_core.lake.recorder_folder import segment_name
from vostok_core.market.instrument import Instrument
from vostok_core.times import HOUR, utc
from vostok_live.feed.continuity import Continuity
from vostok_live.feed.events import BookTop, DepthDiff, Event, Malformed, Tick
from vostok_live.feed.http import FeedError
from vostok_live.feed.rest import MarketRest
from vostok_live.recorder.errors import RecorderError
from vostok_live.recorder.lines import VERSION, Begun, Depth, Ended, Own, Skipped, compact
from vostok_live.recorder.missed import MissedTrades
from vostok_live.recorder.progress import Progress
from vostok_live.recorder.segment import Segment
from vostok_live.recorder.sync import BookSync
from vostok_live.seams import Seams

LARGEST = 256 << 20
"""Bytes after which a segment is over before its hour is: landing it takes memory by its size."""

LEVELS = 1_000
"""Levels of each side in a snapshot: what weighs 50 of the 6,000 that a minute allows."""

_HELD = 20_000  # trades above a hole whose ids are remembered
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between two snapshots that are asked for


class Recording:
    """One instrument.

    Args:
        instrument: Which.
        folder: Its folder, which this process holds.
        exchange: Name of the exchange, for the segment.
        begin: Where to go on with its trades.
        rest: Asks for what is missing.
        seams: Clock and chance.
        patience: Seconds that missing trades are asked for before they are given up.
        on_error: Called when something can't be asked for; it is tried again.

    Attributes:
        counts: Lines by what they say: `trades`, `quotes`, `depth`, and flaws.
        bytes: Written by this process.
        last: The newest trade.
        heard_ns: When the newest frame came.
        up: Whether a connection carries the streams.
        trouble: Why the newest question to the exchange has no answer; empty where it has one.
    """

    def __init__(
        self,
        instrument: Instrument,
        folder: Path,
        exchange: str,
        begin: Progress,
        rest: MarketRest,
        *,
        seams: Seams,
        patience: float,
        on_error: Callable[[FeedError], None],
    ) -> None:
        self.instrument = instrument
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.bytes = 0
        self.last: Tick | None = None
        self.heard_ns = 0
        self.up = False
        self.trouble = ""
        self.book = BookSync()
        self.missed = MissedTrades(
            Continuity(begin.next_id, patience=patience, hold=_HELD),
            rest,
            self._answered,
            self._failed,
        )
        self._begin = begin
        self._exchange = exchange
        self._rest = rest
        self._clock = seams.clock
        self._random = seams.random
        self._on_error = on_error
        self._segment: Segment | None = None
        self._hour = 0
        self._snapshot_wanted = asyncio.Event()

    @property
    def name(self) -> str:
        """Of the instrument."""
        return str(self.instrument.id)

    @property
    def symbol(self) -> str:
        """The exchange's."""
        return self.instrument.id.symbol

    @property
    def streams(self) -> list[str]:
        """What it listens to."""
        trades = "aggTrade" if self.instrument.tick == "agg_trade" else "trade"
        return [f"{self.symbol.lower()}@{what}" for what in (trades, "bookTicker", "depth@100ms")]

    @property
    def segment(self) -> Path | None:
        """The segment that is being written."""
        return None if self._segment is None else self._segment.path

    @property
    def progress(self) -> Progress:
        """Where a later recording is to go on with the trades."""
        next_id = self.missed.continuity.next_id
        return self._begin if next_id is None else Progress(next_id, self._newest())

    def _newest(self) -> int:
        return self._begin.ts if self.last is None else self.last.ts

    # Lines

    def begin(self) -> Segment | None:
        """Go on in a new segment; the one before, which is to be closed.

        Raises:
            RecorderError: It can't be made.
        """
        before = self._segment
        now_us = self._clock.market()
        self._hour = now_us // HOUR
        name = segment_name(_hour_of(now_us), f"{self._random.getrandbits(32):08x}")
        first = Begun(VERSION, self.name, self.instrument.tick, self._exchange, self.up)
        self._segment = Segment.begin(self.folder, name, self._clock.wall_ns(), first)
        if before is not None:
            self._account(before)
            before.write(self._clock.wall_ns(), Ended("hour"))
        self.book.renew()
        self._snapshot_wanted.set()
        return before

    def is_over(self, grace: int) -> bool:
        """Whether the segment is: its hour by at least `grace`, or it is large.

        Market time that is an hour before the segment's was not known when that began.
        """
        now = self._clock.market()
        later = (now - grace) // HOUR > self._hour or now < (self._hour - 1) * HOUR
        return later or (self._segment is not None and self._segment.size > LARGEST)

    def end(self) -> None:
        """Close the segment: nothing more is recorded."""
        if self._segment is not None:
            ending, self._segment = self._segment, None
            self._account(ending)
            with suppress(RecorderError):  # a disk that is full keeps what it has
                ending.write(self._clock.wall_ns(), Ended("stopped"))
            ending.close()

    def sync(self) -> None:
        """Have what was written on the disk."""
        if self._segment is not None:
            self._segment.sync()

    def frame(self, text: bytes, ns: int, event: Event) -> None:
        """A frame about this instrument has come.

        Raises:
            RecorderError: It can't be written down.
        """
        assert self._segment is not None, "frames come to what is being recorded"
        self._segment.append(ns, text)
        self.heard_ns = ns
        if isinstance(event, Tick):
            self.counts["trades"] += 1
            self.last = event
            self.missed.take(event)
        elif isinstance(event, BookTop):
            self.counts["quotes"] += 1
        elif isinstance(event, DepthDiff):
            self.counts["depth"] += 1
            self.book.changed(event)
            if self.book.wants():
                self._snapshot_wanted.set()
        elif isinstance(event, Malformed):
            self.counts[event.flaw] += 1

    def write(self, line: Own) -> None:
        """Write a line of ours down.

        Raises:
            RecorderError: It can't be.
        """
        if self._segment is not None:
            self._segment.write(self._clock.wall_ns(), line)

    def _answered(self, line: Own) -> None:
        """Write an answer of the exchange down."""
        self.trouble = ""
        self.write(line)

    def _failed(self, error: FeedError) -> None:
        """A question has no answer; it is asked again."""
        self.trouble = error.what
        self._on_error(error)

    def _account(self, segment: Segment) -> None:
        self.bytes += segment.size

    @property
    def written(self) -> int:
        """Bytes that this process has written."""
        return self.bytes + (0 if self._segment is None else self._segment.size)

    # What is asked for

    async def run(self) -> None:
        """Fetch what the streams lack, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.missed.run())
            tasks.create_task(self._take_snapshots())

    def resumed(self) -> None:
        """A new connection carries the streams."""
        self.missed.resumed()
        self._snapshot_wanted.set()

    def skip(self, why: str) -> None:
        """Say that trades from where an earlier recording ended are not fetched."""
        if self._begin.skipped_from is not None:
            self.write(Skipped(self._begin.skipped_from, -1, why))

    async def _take_snapshots(self) -> None:
        pause = _PAUSE
        while True:
            await self._snapshot_wanted.wait()
            self._snapshot_wanted.clear()
            if not (self.up and self.book.wants()):
                continue
            try:
                body, snapshot = await self._rest.raw_depth(LEVELS)
            except FeedError as error:
                self._failed(error)
            else:
                self._answered(Depth(compact(body)))
                self.book.stood(snapshot)
            if self.book.wants():  # it was older than the changes that have come
                self._snapshot_wanted.set()
                await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))
                pause = min(pause * 2.0, _LONGEST_PAUSE)
            else:
                pause = _PAUSE


def _hour_of(ts: int) -> datetime:
    return utc(ts // HOUR * HOUR)
