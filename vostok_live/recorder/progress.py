"""Where to go on with an instrument's trades: told by its folder, whatever became of its recorder.

The heartbeat says which trade was due, seconds before the end perhaps; the segments that have not
landed say what came after it. What is missing in between is asked for again, so that a hole that
was being filled when the recorder was killed is filled by the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from vostok_core.lake.recorder_folder import read_heartbeat, segments
from vostok_core.market.instrument import Instrument
from vostok_core.times import utc
from vostok_live.recorder import lines as ours
from vostok_live.recorder.lines import BEGUN
from vostok_live.recorder.rows import trades_in
from vostok_live.recorder.segment import lines, opened


@dataclass(frozen=True, slots=True)
class Progress:
    """Where to go on.

    Attributes:
        next_id: The trade that is due; None for the first that comes.
        ts: When the newest one before it was made, microseconds of market time.
        skipped_from: The trade that was due, where it is too long ago to go on there.
    """

    next_id: int | None = None
    ts: int = 0
    skipped_from: int | None = None

    def within(self, now: int, longest: int) -> Progress:
        """The same, or a beginning anew where the newest trade is too long ago.

        Args:
            now: Market time.
            longest: How far back trades are fetched, microseconds.
        """
        if self.next_id is None or now - self.ts <= longest:
            return self
        return Progress(skipped_from=self.next_id)

    @property
    def said(self) -> str:
        """For a person."""
        if self.next_id is None:
            return "begins with the first trade that comes"
        return f"goes on after {utc(self.ts):%Y-%m-%d %H:%M:%S}, with trade {self.next_id}"


def find_progress(folder: Path, instrument: Instrument, exchange: str) -> Progress:
    """Where the recordings in an instrument's folder have come to.

    Ids of another exchange, or of another kind of trade, lead nowhere.

    Args:
        folder: Of the instrument.
        instrument: Which.
        exchange: Name of the exchange that is to be recorded.

    Raises:
        RecorderError: A segment can't be read.
    """
    told = read_heartbeat(folder) or {}
    found = Progress()
    next_id, ts = told.get("next_id"), told.get("trade_ts")
    if (told.get("tick"), told.get("exchange")) == (instrument.tick, exchange):
        found = Progress(
            next_id if isinstance(next_id, int) else None, ts if isinstance(ts, int) else 0
        )
    for path in segments(folder):
        found = _beyond(found, path, instrument, exchange)
    return found


def _beyond(found: Progress, path: Path, instrument: Instrument, exchange: str) -> Progress:
    """Where a segment's trades, in any order, lead on to without a hole."""
    ids: set[int] = set()
    newest = found.ts
    with opened(path) as file:
        for line in lines(file):
            if line is None:
                continue
            if line[1].startswith(BEGUN) and not _is_of(line[1], instrument, exchange):
                return found
            for tick in trades_in(line[1], instrument):
                newest = max(newest, tick.ts)
                ids.add(tick.trade_id)
    next_id = found.next_id
    if next_id is None and ids:
        next_id = min(ids)
    while next_id in ids:
        assert next_id is not None, "it is among the ids"
        next_id += 1
    return replace(found, next_id=next_id, ts=newest)


def _is_of(text: bytes, instrument: Instrument, exchange: str) -> bool:
    """Whether a segment that begins so goes on with the same ids."""
    try:
        line = ours.read_own(text)
    except msgspec.MsgspecError:
        return False
    same = instrument.tick, exchange
    return isinstance(line, ours.Begun) and (line.tick, line.exchange) == same
