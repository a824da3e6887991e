"""The venue's own liquidity in one symbol: a ladder of maker orders, and takers that hit it.

A print of the market becomes two things at one moment. First the ladder moves, so that the best
price on the side that is hit is the print's. Then a taker order of the print's quantity and price
takes from it. Where nobody else has an order in the book, the trade is the print itself. Whoever
rests at the same price came before the ladder, which is quoted anew, and trades first; whoever
rests where the ladder moves to is traded with as it moves, so the book never crosses. Who rests
with more than the ladder quotes holds the price for as many prints as it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vostok_exchange.events import Event
from vostok_exchange.listing import Listing
from vostok_exchange.matching import Resting, Side
from vostok_exchange.venue import Venue


@dataclass(frozen=True, slots=True)
class Ladder:
    """What the venue's own quotes are like.

    Attributes:
        spread: Distance between the best bid and ask, as a share of the price.
        touch: Lots at the best price.
        deep: Lots at every deeper level.
        levels: Levels on either side, the best one included. The deeper ones lie on a grid, so
            that most of them stay where they are when the price moves.
        spacing: Distance between the deeper levels, as a share of the price when quoting began.
    """

    spread: float
    touch: int
    deep: int
    levels: int = 6
    spacing: float = 0.001


class _Half:
    """One side of the ladder."""

    def __init__(self, side: Side) -> None:
        self.side: Side = side
        self.touch: Resting | None = None
        self.deep: dict[int, Resting] = {}
        self.cell: int | None = None


class House:
    """The venue's maker and taker in one symbol.

    Args:
        venue: Where it trades.
        listing: What it trades.
        ladder: How it quotes.
    """

    def __init__(self, venue: Venue, listing: Listing, ladder: Ladder) -> None:
        self._x = venue.execution
        self._listing = listing
        self._ladder = ladder
        self._grid = max(1, round(ladder.spacing * listing.last_price))
        self._bids = _Half("BUY")
        self._asks = _Half("SELL")

    def open(self, now: int) -> list[Event]:
        """Quote around the last price, before the first print; returns what it caused."""
        self._x.begin(self._listing, now)
        self._quote("BUY", self._listing.last_price, self._ladder.touch)
        return self._x.settle()

    def trade(self, side: Side, price: int, qty: int, now: int) -> list[Event]:
        """Let a taker of `side` trade `qty` lots at `price` ticks; returns what it caused."""
        self._x.begin(self._listing, now)
        self._quote(side, price, max(self._ladder.touch, qty))
        self._x.take(side, price, qty)
        return self._x.settle()

    def snapshot(self) -> dict[str, Any]:
        """Where the ladder stands, as JSON-like values; its orders are in the venue's book."""
        halves = (self._bids, self._asks)
        return {
            "grid": self._grid,
            "cells": [half.cell for half in halves],
            "touches": [half.touch and half.touch.price for half in halves],
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Find the ladder's orders again, in the book of a restored venue."""
        self._grid = content["grid"]
        own = [one for one in self._listing.book.resting() if one.ref is None]
        for half, cell, touch in zip(
            (self._bids, self._asks), content["cells"], content["touches"], strict=True
        ):
            half.cell = cell
            mine = {one.price: one for one in own if one.side == half.side}
            half.touch = mine.pop(touch, None)
            half.deep = mine

    def _quote(self, side: Side, price: int, touch: int) -> None:
        """Move the ladder, so that a taker of `side` pays `price` for up to `touch` lots."""
        spread = max(1, round(price * self._ladder.spread))
        bid, ask = (price - spread, price) if side == "BUY" else (price, price + spread)
        # Both sides let go before either quotes, so that the house never meets itself.
        self._retreat(self._bids, bid)
        self._retreat(self._asks, ask)
        self._advance(self._bids, bid, touch)
        self._advance(self._asks, ask, touch)

    def _retreat(self, half: _Half, price: int) -> None:
        """Cancel the best quote, and the deeper ones that don't lie behind one at `price`."""
        cancel = self._x.listing.book.cancel
        if half.touch is not None and half.touch.qty:
            cancel(half.touch)
        half.touch = None
        cell = self._cell(half, price)
        if cell != half.cell:
            half.cell = cell
            wanted = self._wanted(half)
            for deep in sorted(half.deep):
                if deep not in wanted:
                    resting = half.deep.pop(deep)
                    if resting.qty:
                        cancel(resting)

    def _advance(self, half: _Half, price: int, touch: int) -> None:
        """Quote `touch` lots at `price`, and the deeper levels that are missing behind it."""
        quote = self._x.quote
        if price > 0:
            half.touch = quote(half.side, price, touch)
        for deep in self._wanted(half):
            standing = half.deep.get(deep)
            if deep > 0 and (standing is None or not standing.qty):
                resting = quote(half.side, deep, self._ladder.deep)
                if resting is not None:
                    half.deep[deep] = resting

    def _cell(self, half: _Half, price: int) -> int:
        """Number of the first grid price that is strictly behind `price`."""
        if half.side == "BUY":
            return (price - 1) // self._grid
        return price // self._grid + 1

    def _wanted(self, half: _Half) -> range:
        step = -self._grid if half.side == "BUY" else self._grid
        first = (half.cell or 0) * self._grid
        return range(first, first + step * (self._ladder.levels - 1), step)
