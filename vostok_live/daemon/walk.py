"""From the bars of before to the next one: what was decided on, and what was missed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from vostok_core.live.chain import DecisionChain
from vostok_core.live.cuts import ClosedBar
from vostok_core.live.sentiment import LiveSentiment
from vostok_live.daemon.grounds import Grounds
from vostok_live.daemon.history import Retold, caught_up
from vostok_live.daemon.trader import Trader
from vostok_live.journal.writer import Journal


async def walk(
    grounds: Grounds, retold: Retold, used: int, sentiment: LiveSentiment | None
) -> tuple[DecisionChain, list[ClosedBar]]:
    """The chain, behind every bar that was decided on; and those that were not.

    Args:
        grounds: Model and bars of the lake.
        retold: Tells the journal's bars again.
        used: End of the newest bar that any run made something of; microseconds.
        sentiment: None where no pack reads it.

    Raises:
        DataError: Cuts and trades of the journal don't fit together.
    """
    model = grounds.model
    chain = await asyncio.to_thread(
        caught_up, DecisionChain(model.bundle, model.strategy), grounds.past
    )
    walked: list[ClosedBar] = []
    missed: list[ClosedBar] = []
    for bar in retold.closed():
        (walked if bar.ts <= used else missed).append(bar)
        await asyncio.sleep(0)
    if walked:
        ends = np.array([bar.ts for bar in walked], dtype=np.int64)
        chain.catch_up(
            np.stack([bar.row for bar in walked]),
            None if sentiment is None else sentiment.rows(ends),
            np.array([bar.valid for bar in walked]),
        )
    return chain, missed


async def close_missed(
    missed: Sequence[ClosedBar], retold: Retold, trader: Trader, journal: Journal
) -> None:
    """Write down bars that closed while nobody decided, and count trades that nobody counted."""
    for bar in missed:
        trader.on_bar(bar, missed="missed")
    for ticks in retold.rest():
        for cut, closed in retold.bars.push(ticks):
            journal.record_cut(cut)
            for bar in closed:
                trader.on_bar(bar, missed="missed")
            await asyncio.sleep(0)
