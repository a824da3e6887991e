"""A synthetic market that goes on, print by print, at a venue.

The kernel (`vostok_core.market.synthetic`) decides what is printed and when; the house quotes and
trades it, and whoever else is at the venue takes part. While nobody is, the trades are the kernel's
prints, bit for bit, so a history that the same kernel wrote goes on without a seam.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from vostok_core.errors import UsageError
from vostok_core.market.synthetic import MarketSpec, MarketState, advance
from vostok_exchange.events import Event
from vostok_exchange.house import House, Ladder
from vostok_exchange.listing import Listing
from vostok_exchange.matching import Side
from vostok_exchange.venue import Venue

_MINUTES = 15  # asked of the kernel at a time
_TOUCH = 200  # best quote, in median prints
_DEEP = 3  # a deeper quote, in best quotes


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Prints of some minutes: times in microseconds, prices in ticks, quantities in lots."""

    ts: list[int]
    side: list[Side]
    price: list[int]
    qty: list[int]


class Flow:
    """Drives one symbol with the kernel.

    Args:
        venue: Where the symbol is listed.
        listing: The symbol; its ids go on from `state`'s if it was listed so.
        spec: What the market is like.
        state: Where it goes on from.
        ladder: How the house quotes; None for the market's spread and a touch of 200 median prints.

    Raises:
        UsageError: The market's steps aren't the symbol's.
    """

    def __init__(
        self,
        venue: Venue,
        listing: Listing,
        spec: MarketSpec,
        state: MarketState,
        ladder: Ladder | None = None,
    ) -> None:
        symbol = listing.symbol
        steps = (Decimal(repr(spec.price_tick)), Decimal(repr(spec.quantity_step)))
        if steps != (symbol.price_tick, symbol.quantity_step):
            raise UsageError(
                f"the market's steps are {steps[0]:f} and {steps[1]:f}, the symbol's "
                f"{symbol.price_tick:f} and {symbol.quantity_step:f}",
                where=symbol.name,
                hint="give the market and the instrument the same price_tick and quantity_step",
            )
        if ladder is None:
            touch = max(round(_TOUCH * spec.mean_qty / spec.quantity_step), 1)
            ladder = Ladder(2e-4 * spec.half_spread_bps, touch, _DEEP * touch)
        self._spec = spec
        self._house = House(venue, listing, ladder)
        self._news: list[tuple[int, int]] = []
        self._index = 0
        self._before = state
        self._chunk, self._after = self._ask(state)
        self._skip()

    @classmethod
    def restored(
        cls,
        venue: Venue,
        listing: Listing,
        spec: MarketSpec,
        content: Mapping[str, Any],
        ladder: Ladder | None = None,
    ) -> Flow:
        """The flow whose `snapshot` is `content`, at a venue that was restored likewise."""
        state = MarketState(
            np.array(content["values"]),
            np.array(content["counters"], dtype=np.int64),
            np.array(content["generator"], dtype=np.uint64),
        )
        flow = cls(venue, listing, spec, state, ladder)
        flow._index = content["index"]
        flow._news = [(ts, tone) for ts, tone in content["news"]]
        flow._house.restore(content["house"])
        return flow

    @property
    def next_ts(self) -> int:
        """Time of the next print."""
        return self._chunk.ts[self._index]

    def open(self, now: int) -> list[Event]:
        """Let the house quote around the last price, so that there is a book before a print."""
        return self._house.open(now)

    def step(self) -> list[Event]:
        """Let the next print happen, at its own time."""
        chunk, index = self._chunk, self._index
        events = self._house.trade(
            chunk.side[index], chunk.price[index], chunk.qty[index], chunk.ts[index]
        )
        self._index = index + 1
        self._skip()
        return events

    def run_to(self, ts: int) -> list[Event]:
        """Let every print up to and at `ts` happen.

        Call it before anything else is done at the venue at `ts`, for time must not go back.
        """
        events: list[Event] = []
        while self.next_ts <= ts:
            events += self.step()
        return events

    def news(self, ts: int) -> list[tuple[int, int]]:
        """Time and tone (-1, 0, 1) of what was published up to `ts` and hasn't been given out."""
        told = [item for item in self._news if item[0] <= ts]
        self._news = [item for item in self._news if item[0] > ts]
        return told

    def snapshot(self) -> dict[str, Any]:
        """Where the market stands, as JSON-like values; doubles keep their bits through JSON.

        The venue's own part is `snapshots.snapshot`, taken at the same time.
        """
        state = self._before
        return {
            "values": state.values.tolist(),
            "counters": state.counters.tolist(),
            "generator": state.generator.tolist(),
            "index": self._index,
            "news": [list(item) for item in self._news],
            "house": self._house.snapshot(),
        }

    def _ask(self, state: MarketState) -> tuple[_Chunk, MarketState]:
        """The minutes after `state`, as the kernel makes them, and the state after them."""
        span, after = advance(self._spec, state, _MINUTES)
        ticks, news = span.ticks, span.news
        self._news += [
            (ts, int(tone)) for ts, tone in zip(news["ts"].to_physical(), news["tone"], strict=True)
        ]
        chunk = _Chunk(
            ts=ticks["ts"].to_physical().to_list(),
            side=["SELL" if maker else "BUY" for maker in ticks["buyer_maker"]],
            price=_whole(ticks["price"].to_numpy(), self._spec.price_tick),
            qty=_whole(ticks["qty"].to_numpy(), self._spec.quantity_step),
        )
        return chunk, after

    def _skip(self) -> None:
        """Go on to minutes in which something is printed."""
        while self._index == len(self._chunk.ts):
            self._before, self._index = self._after, 0
            self._chunk, self._after = self._ask(self._before)


def _whole(values: np.ndarray, step: float) -> list[int]:
    counts: list[int] = np.rint(values / step).astype(np.int64).tolist()
    return counts
