"""What is done again and again while things are recorded: syncing, hours, heartbeats, landing.

Files are synced by another thread, so that frames go on coming in meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vostok_core.lake.recorder_folder import segments
from vostok_core.times import SECOND
from vostok_live.feed.connection import MarketStream
from vostok_live.recorder.errors import RecorderError
from vostok_live.recorder.lines import Clock as ClockLine
from vostok_live.recorder.plan import RecorderPlan
from vostok_live.recorder.recording import Recording
from vostok_live.recorder.segment import Segment
from vostok_live.recorder.status import Heartbeat, State, write_heartbeat
from vostok_live.seams import Seams
from vostok_live.service import logs

if TYPE_CHECKING:
    from vostok_live.recorder.recorder import Land, Timing

_log = logging.getLogger(f"{logs.ROOT}.recorder")


class Keeper:
    """Keeps some recordings.

    Args:
        plan: What is recorded.
        recordings: They.
        streams: The connections that they share.
        seams: Clock and chance.
        land: Lands segments.
        timing: How often things are done.
        version: Of Vostok.
    """

    def __init__(
        self,
        plan: RecorderPlan,
        recordings: Sequence[Recording],
        streams: Sequence[MarketStream],
        seams: Seams,
        land: Land,
        timing: Timing,
        version: str,
    ) -> None:
        self._plan = plan
        self._recordings = recordings
        self._streams = streams
        self._clock = seams.clock
        self._land = land
        self._timing = timing
        self._version = version
        self._started_us = seams.clock.wall_ns() // 1_000
        self._shown: ClockLine | None = None
        self._over = asyncio.Event()  # an hour is, or something is left of before
        self._not_landed = ""
        self._beaten = float("-inf")
        self._warned = False

    def begun(self) -> None:
        """The segments are open."""
        self._over.set()
        for recording in self._recordings:
            recording.sync()
            self._beat_quietly(recording, "starting")

    def show(self, shown: ClockLine) -> None:
        """Write down what the exchange's clock showed."""
        self._shown = shown
        for recording in self._recordings:
            recording.write(shown)

    async def run(self) -> None:
        """Sync, beat and close hours, until cancelled.

        Raises:
            RecorderError: Something can't be written down.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._timing.sync)
            closing = self._turn_hours()
            beats = loop.time() - self._beaten >= self._timing.beat
            if beats:
                self._beaten = loop.time()
            states = [self._heartbeat(each) for each in self._recordings] if beats else []
            await _beside(partial(self._put_on_disk, closing, states))
            if closing:
                self._over.set()

    def _turn_hours(self) -> list[Segment]:
        """Go on in new segments where one is over; those before."""
        speed = self._clock.market_time.speed
        grace = int(self._timing.grace * SECOND * speed)
        closing = []
        for recording in self._recordings:
            if recording.is_over(grace):
                before = recording.begin()
                if self._shown is not None:
                    recording.write(self._shown)
                if before is not None:
                    closing.append(before)
        return closing

    def _put_on_disk(self, closing: Sequence[Segment], beats: Sequence[Heartbeat]) -> None:
        for segment in closing:
            segment.close()
        for recording in self._recordings:
            recording.sync()
        for recording, beat in zip(self._recordings, beats, strict=False):
            self._write_beat(recording, beat)

    async def land(self) -> None:
        """Land what is over and what was left before, until cancelled; what fails is done again."""
        while True:
            await self._over.wait()
            self._over.clear()
            if not self._lands():
                continue
            self._not_landed = await self._land([each.instrument for each in self._recordings])
            if self._not_landed:
                logs.event(_log, "error", "not_landed", self._not_landed)
                await asyncio.sleep(self._timing.land_again)
                self._over.set()

    def _lands(self) -> bool:
        """Whether there are segments that are not written any more."""
        return any(len(segments(recording.folder)) > 1 for recording in self._recordings)

    def end(self) -> None:
        """Close everything.

        Raises:
            RecorderError: Something can't be written down.
        """
        failed: RecorderError | None = None
        for recording in self._recordings:
            try:
                recording.end()
            except RecorderError as error:
                failed = failed or error
            self._beat_quietly(recording, "stopped")
        if failed is not None:
            raise failed

    # Heartbeats

    def _beat_quietly(self, recording: Recording, state: State) -> None:
        self._write_beat(recording, self._heartbeat(recording, state))

    def _write_beat(self, recording: Recording, beat: Heartbeat) -> None:
        try:
            write_heartbeat(recording.folder, beat)
        except OSError as error:  # what is heard is still written down, or else that ends it
            if not self._warned:
                logs.event(_log, "warning", "heartbeat", f"it can't be written: {error.strerror}")
            self._warned = True
        else:
            self._warned = False

    def _heartbeat(self, recording: Recording, state: State | None = None) -> Heartbeat:
        now_ns = self._clock.wall_ns()
        continuity = recording.missed.continuity
        progress = recording.progress
        shown = self._shown
        apart = shown is None or shown.apart
        ended: Counter[str] = Counter()
        for stream in self._streams:
            ended += stream.ended
        segment = recording.segment
        return Heartbeat(
            version=self._version,
            instrument=recording.name,
            tick=recording.instrument.tick,
            exchange=self._plan.venue.name,
            url=self._plan.venue.rest,
            host=os.uname().nodename,
            pid=os.getpid(),
            state=state or ("recording" if recording.up else "disconnected"),
            started_us=self._started_us,
            now_us=now_ns // 1_000,
            market_ts=self._clock.market(),
            last_frame_us=recording.heard_ns // 1_000 or None,
            trade_id=None if recording.last is None else recording.last.trade_id,
            trade_ts=progress.ts or None,
            next_id=progress.next_id,
            whole=continuity.whole,
            lines=dict(recording.counts),
            bytes=recording.written,
            fetched=recording.missed.fetched,
            lost=continuity.counts["lost"],
            snapshots=recording.book.snapshots,
            depth_breaks=recording.book.breaks,
            connections=sum(stream.made for stream in self._streams),
            ended=dict(ended),
            clock_offset_ms=None
            if apart or shown is None
            else (shown.market_us - shown.wall_ns / 1e3) / 1e3,
            clock_age_s=None if shown is None else (now_ns - shown.wall_ns) / 1e9,
            segment=None if segment is None else segment.name,
            trouble=recording.trouble or None,
            landing=self._not_landed or None,
            disk_free=_free(recording),
        )


def _free(recording: Recording) -> int:
    try:
        return shutil.disk_usage(recording.folder).free
    except OSError:
        return 0


async def _beside(work: Callable[[], None]) -> None:
    """Do something in a thread, and wait for its end even where that is cancelled: a file that is
    being synced must not be closed."""
    loop = asyncio.get_running_loop()
    done = loop.run_in_executor(None, work)
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait((done,))
        if not done.cancelled() and (error := done.exception()) is not None:
            raise error from None
        raise
