"""A restart knows of the trades before it what a daemon that went on knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from tests.live.parity_world import Seen
from tests.live.test_journal import START as RUN
from tests.live.test_market_cuts import BEFORE, SPOT, START, bits, table
from vostok_core.live.cuts import ClosedBar, Cut, LiveBars, Ticks
from vostok_core.times import DAY, MINUTE, SECOND
from vostok_live.daemon.history import Past, find_beginning
from vostok_live.feed.http import Asker
from vostok_live.feed.rest import MarketRest
from vostok_live.journal.rows import Begins
from vostok_live.journal.writer import Journal
from vostok_live.seams import real_seams

MIDNIGHT = START + DAY
BEGAN = MIDNIGHT - 30 * MINUTE
PREVIOUS = replace(BEFORE, ts=BEGAN - SECOND)
NAME = str(SPOT.id)


class Wrote:
    """A daemon's bars and its journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.bars = LiveBars(SPOT, ["1m"], BEGAN, PREVIOUS)
        begins = Begins("1m", BEGAN, PREVIOUS.trade_id + 1, PREVIOUS)
        journal.begin_run(replace(RUN, instrument=NAME, begins=begins), {})

    def push(self, trade_id: int, ts: int) -> None:
        ticks = table([ts], [trade_id])
        rows = ticks.with_columns(ts=ticks["ts"].to_physical()).rows()
        self.journal.record_ticks([Seen(*row, ts) for row in rows])
        self._hand_on(list(self.bars.push(Ticks.of(ticks))))

    def wait(self, until: int) -> None:
        """Timers close what ends by then."""
        while (end := self.bars.open_end) is not None and end <= until:
            self._hand_on([self.bars.close(end)])

    def _hand_on(self, cuts: Sequence[tuple[Cut, list[ClosedBar]]]) -> None:
        for cut, _ in cuts:
            self.journal.record_cut(cut)


def begin(journal: Journal) -> Begins:
    """Where a restart at midnight begins, once the lake has the day before; the exchange is not
    there to be asked."""
    nothing = Past(MIDNIGHT, np.empty((0, 16)), None, np.empty(0, dtype=np.bool_), "h")

    async def find() -> Begins:
        seams = real_seams()
        async with aiohttp.ClientSession(connector=seams.connector()) as session:
            asker = Asker("http://127.0.0.1:9", session=session, seams=seams, pause=0.001)
            rest = MarketRest(asker, SPOT, seams.clock)
            return await find_beginning(nothing, "1m", SPOT, journal, rest)

    return asyncio.run(asyncio.wait_for(find(), 30))


def go_on(bars: LiveBars) -> list[ClosedBar]:
    """Silence for a while, then a trade."""
    closed: list[ClosedBar] = []
    while (end := bars.open_end) is not None and end <= MIDNIGHT + 15 * MINUTE:
        closed += bars.close(end)[1]
    for _, more in bars.push(Ticks.of(table([MIDNIGHT + 17 * MINUTE], [bars.last_id + 1]))):
        closed += more
    return closed


@pytest.mark.parametrize("late", [True, False])
def test_a_restart_right_after_a_cut_makes_the_bars_of_a_daemon_that_went_on(
    tmp_path: Path, late: bool
) -> None:
    """Silence is counted from the start of the bar that a late trade counted in."""
    stamped = MIDNIGHT - (20 if late else 5) * MINUTE
    with Journal.open(tmp_path / "journal.sqlite", real_seams()) as journal:
        daemon = Wrote(journal)
        daemon.push(100, MIDNIGHT - 25 * MINUTE)
        daemon.wait(MIDNIGHT - 5 * MINUTE)
        daemon.push(101, stamped)
        daemon.wait(MIDNIGHT)
        begins = begin(journal)
    assert (begins.begin_us, begins.next_id, begins.history) == (MIDNIGHT, 102, "h")
    assert begins.previous is not None
    assert (begins.previous.ts, begins.previous.last_id) == (MIDNIGHT - 5 * MINUTE, 509)
    resumed = LiveBars(SPOT, ["1m"], begins.begin_us, begins.previous)
    went_on, again = go_on(daemon.bars), go_on(resumed)
    assert bits(again) == bits(went_on)
    assert [bar.valid for bar in again] == [k < 5 for k in range(17)]


def test_a_restart_where_nothing_was_traded_since_the_run_began_goes_on_from_before_it(
    tmp_path: Path,
) -> None:
    with Journal.open(tmp_path / "journal.sqlite", real_seams()) as journal:
        daemon = Wrote(journal)
        daemon.wait(MIDNIGHT)
        begins = begin(journal)
    assert (begins.next_id, begins.previous) == (PREVIOUS.trade_id + 1, PREVIOUS)
