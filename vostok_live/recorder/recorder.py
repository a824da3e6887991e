"""A recorder from its start to its end: some instruments of one exchange, on shared connections.

What can't be reached is waited for. What can't be written down ends it: a recording that loses what
it hears is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import aiohttp

from vostok_core.market.instrument import Instrument
from vostok_live.errors import gravest
from vostok_live.feed.connection import Allowance, MarketStream, Patience
from vostok_live.feed.events import Malformed
from vostok_live.feed.http import Asker, FeedError
from vostok_live.feed.rest import MarketRest
from vostok_live.recorder.clock import ClockReader
from vostok_live.recorder.keeper import Keeper
from vostok_live.recorder.lease import RecorderLease
from vostok_live.recorder.lines import Clock as ClockLine
from vostok_live.recorder.plan import RecorderPlan
from vostok_live.recorder.progress import find_progress
from vostok_live.recorder.recording import Recording
from vostok_live.recorder.router import Router
from vostok_live.seams import Seams
from vostok_live.service import logs

_log = logging.getLogger(f"{logs.ROOT}.recorder")

_TOGETHER = 50
"""Instruments on one connection: 150 of the 1,024 streams that it may carry."""
_SOONER = 30.0  # times as often the clock is asked for while it can't be read
_WEIGHT = 0.5  # share of what a minute allows, which a daemon at this address needs too

Land = Callable[[Sequence[Instrument]], Awaitable[str]]
"""Lands what has been recorded of some instruments; why it could not, or nothing."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How often things are done, in seconds of the wall.

    Attributes:
        sync: Between two times that segments are put on the disk, and looked at whether their
            hour is over.
        beat: Between two heartbeats.
        clock: Between two looks at the exchange's clock.
        land_again: After a landing that failed.
        give_up: Until missing trades that the exchange doesn't give are given up.
        grace: After an hour's end until its segment is closed: what is on the way belongs to it.
    """

    sync: float = 1.0
    beat: float = 5.0
    clock: float = 300.0
    land_again: float = 600.0
    give_up: float = 600.0
    grace: float = 5.0


class Recorder:
    """Records until `stop`.

    Args:
        plan: What it is to do.
        seams: The world.
        land: Lands segments, beside the event loop.
        version: Of Vostok, for the heartbeat.
        timing: How often things are done.
        patience: How long connections are waited for.

    Attributes:
        recordings: The instruments, by the exchange's symbol, once it runs.
        streams: The connections that they share.
    """

    def __init__(
        self,
        plan: RecorderPlan,
        seams: Seams,
        land: Land,
        *,
        version: str,
        timing: Timing | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._plan = plan
        self._seams = seams
        self._land = land
        self._version = version
        self._timing = timing or Timing()
        self._patience = patience or Patience()
        self._stop = asyncio.Event()
        self.recordings: dict[str, Recording] = {}
        self.streams: list[MarketStream] = []

    def stop(self) -> None:
        """Stop in order, soon: close the segments and let who will land them."""
        self._stop.set()

    async def run(self) -> None:
        """Record until `stop`.

        Raises:
            RecorderTaken: Another process records one of the instruments.
            RecorderError: What comes can't be written down.
            VostokError: Something else is wrong that a person can mend.
        """
        plan = self._plan
        with ExitStack() as stack:
            for instrument in plan.instruments.values():
                lease = await RecorderLease.take_patiently(plan.folder(instrument))
                stack.callback(lease.give_back)
            async with aiohttp.ClientSession(connector=self._seams.connector()) as web:
                reader = ClockReader(plan.venue.rest, plan.venue.clock, web, self._seams.clock)
                first = await self._first_time(reader)
                self._make(web)
                self.streams = self._streams(web)
                keeper = Keeper(
                    plan, list(self.recordings.values()), self.streams, self._seams, self._land,
                    self._timing, self._version,
                )  # fmt: skip
                try:
                    self._begin(first, keeper)
                    await self._until_stopped(reader, keeper, first)
                finally:
                    keeper.end()

    async def _first_time(self, reader: ClockReader) -> ClockLine | None:
        """What the exchange's clock shows: trades of an earlier recording are gone on with by it.

        It is not waited for: what comes is recorded whatever time it is.
        """
        shown = await reader.read()
        if isinstance(shown, ClockLine):
            return shown
        logs.event(_log, "warning", "clock", f"the exchange's clock can't be read: {shown.why}")
        return None

    def _make(self, web: aiohttp.ClientSession) -> None:
        """One recording for each instrument, which goes on where an earlier one ended."""
        plan, seams = self._plan, self._seams
        asker = Asker(plan.venue.rest, session=web, seams=seams, weight_share=_WEIGHT)
        for symbol, instrument in plan.instruments.items():
            folder = plan.folder(instrument)
            begin = find_progress(folder, instrument, plan.venue.name)
            begin = begin.within(seams.clock.market(), plan.longest_gap)
            logs.event(_log, "info", "begins", f"{instrument.id} {begin.said}")
            self.recordings[symbol] = Recording(
                instrument,
                folder,
                plan.venue.name,
                begin,
                MarketRest(asker, instrument, seams.clock),
                seams=seams,
                patience=self._timing.give_up,
                on_error=_failed,
            )

    def _streams(self, web: aiohttp.ClientSession) -> list[MarketStream]:
        """Connections for all instruments, a few dozen on each."""
        symbols = list(self.recordings)
        allowance = Allowance()
        found = []
        for k in range(0, len(symbols), _TOGETHER):
            router = Router([self.recordings[symbol] for symbol in symbols[k : k + _TOGETHER]])
            stream = MarketStream(
                self._plan.venue.streams,
                router.streams,
                router,
                session=web,
                seams=self._seams,
                patience=self._patience,
                allowance=allowance,
                on_change=router.changed,
                on_flaw=_flawed,
                on_frame=router.frame,
            )
            router.follow(stream)
            found.append(stream)
        return found

    def _begin(self, first: ClockLine | None, keeper: Keeper) -> None:
        """Open the segments."""
        longest = self._plan.settings.max_gap
        for recording in self.recordings.values():
            recording.begin()
            recording.skip(f"the newest before them is older than max_gap, {longest}")
        if first is not None:
            keeper.show(first)
        keeper.begun()

    async def _until_stopped(
        self, reader: ClockReader, keeper: Keeper, first: ClockLine | None
    ) -> None:
        async def until_asked() -> None:
            await self._stop.wait()
            raise _Asked

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(until_asked())
                for stream in self.streams:
                    tasks.create_task(stream.run())
                for recording in self.recordings.values():
                    tasks.create_task(recording.run())
                tasks.create_task(keeper.run())
                tasks.create_task(keeper.land())
                tasks.create_task(self._watch_clock(reader, keeper, known=first is not None))
        except BaseExceptionGroup as group:
            _, others = group.split(_Asked)
            if others is not None:
                raise gravest(others) from group
        logs.event(_log, "info", "stopped", "stopped in order")

    async def _watch_clock(self, reader: ClockReader, keeper: Keeper, *, known: bool) -> None:
        """Read the exchange's clock again and again, sooner while it can't be read."""
        while True:
            await asyncio.sleep(self._timing.clock / (1.0 if known else _SOONER))
            shown = await reader.read()
            known = isinstance(shown, ClockLine)
            if isinstance(shown, ClockLine):
                keeper.show(shown)
            else:
                logs.event(_log, "warning", "clock", f"it can't be read: {shown.why}")


class _Asked(Exception):
    """A person asked for the end."""


def _flawed(malformed: Malformed) -> None:
    logs.event(_log, "warning", "malformed", malformed.detail)


def _failed(error: FeedError) -> None:
    logs.event(_log, "warning", "not_had", str(error))
