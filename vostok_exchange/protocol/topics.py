"""Market streams: what each of them says, and when.

A stream says what happens as it happens, or at most once in a period of market time, at whole
multiples of it. Source: web-socket-streams.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from vostok_core.times import MILLISECOND, SECOND
from vostok_exchange.desk import NEVER, Desk
from vostok_exchange.events import AggTrade, BookTop, DepthChange, Event, Trade
from vostok_exchange.klines import INTERVALS, closing, opening, statistics
from vostok_exchange.protocol.payloads import average_text, change, levels

Write = Callable[[int], Any]
"""Writes a payload; given the microseconds in the unit of its times."""

_STREAM = re.compile(
    r"(?P<symbol>[^@]+)@(?:(?P<live>trade|aggTrade|bookTicker)|(?P<day>ticker|miniTicker)"
    r"|kline_(?P<interval>\w+)|depth(?P<levels>5|10|20)?(?:@(?P<speed>100|1000)ms)?)"
)


class Topic:
    """One stream.

    Attributes:
        name: As it is subscribed to.
        symbol: Whose market it is about, as the exchange names it.
        due: Market time at which it has something to say besides; NEVER where it has nothing.
    """

    def __init__(self, name: str, desk: Desk, symbol: str) -> None:
        self.name = name
        self.symbol = symbol
        self.due = NEVER
        self._desk = desk
        self._listing = desk.venue.listing(symbol)

    def hear(self, event: Event) -> Write | None:
        """Something happened to the symbol; returns what is said of it at once."""
        raise NotImplementedError

    def say(self, _ts: int) -> Write | None:
        """It is `due`; returns what is said, and sees to when it is due next."""
        raise NotImplementedError


class Trades(Topic):
    """`@trade`"""

    def hear(self, event: Event) -> Write | None:
        if not isinstance(event, Trade):
            return None
        symbol = self._listing.symbol
        return lambda unit: {
            "e": "trade",
            "E": event.ts // unit,
            "s": symbol.name,
            "t": event.trade_id,
            "p": symbol.price_text(event.price),
            "q": symbol.quantity_text(event.qty),
            "T": event.ts // unit,
            "m": event.buyer_maker,
            "M": True,
        }


class AggTrades(Topic):
    """`@aggTrade`"""

    def hear(self, event: Event) -> Write | None:
        if not isinstance(event, AggTrade):
            return None
        symbol = self._listing.symbol
        return lambda unit: {
            "e": "aggTrade",
            "E": event.ts // unit,
            "s": symbol.name,
            "a": event.agg_id,
            "p": symbol.price_text(event.price),
            "q": symbol.quantity_text(event.qty),
            "f": event.first_id,
            "l": event.last_id,
            "T": event.ts // unit,
            "m": event.buyer_maker,
            "M": True,
        }


class BookTickers(Topic):
    """`@bookTicker`"""

    def hear(self, event: Event) -> Write | None:
        if not isinstance(event, BookTop):
            return None
        symbol, top = self._listing.symbol, event.top
        return lambda _unit: {
            "u": event.update_id,
            "s": symbol.name,
            "b": symbol.price_text(top.bid or 0),
            "B": symbol.quantity_text(top.bid_qty),
            "a": symbol.price_text(top.ask or 0),
            "A": symbol.quantity_text(top.ask_qty),
        }


class _Periodic(Topic):
    """Says at most once in a period what has become of it."""

    def __init__(self, name: str, desk: Desk, symbol: str, period: int) -> None:
        super().__init__(name, desk, symbol)
        self._period = period

    def _wait(self, ts: int) -> None:
        """Something changed: say it at the end of the period."""
        if self.due == NEVER:
            self.due = (ts // self._period + 1) * self._period


class DepthChanges(_Periodic):
    """`@depth`, `@depth@100ms`: the levels that changed since it last spoke."""

    def __init__(self, name: str, desk: Desk, symbol: str, period: int) -> None:
        super().__init__(name, desk, symbol, period)
        self._first = 0
        self._last = 0
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def hear(self, event: Event) -> Write | None:
        if isinstance(event, DepthChange):
            self._first = self._first or event.first
            self._last = event.last
            self._bids |= event.bids
            self._asks |= event.asks
            self._wait(event.ts)
        return None

    def say(self, ts: int) -> Write | None:
        symbol, first, last = self._listing.symbol, self._first, self._last
        bids = levels(symbol, sorted(self._bids.items(), reverse=True))
        asks = levels(symbol, sorted(self._asks.items()))
        self.due, self._first, self._bids, self._asks = NEVER, 0, {}, {}
        return lambda unit: {
            "e": "depthUpdate",
            "E": ts // unit,
            "s": symbol.name,
            "U": first,
            "u": last,
            "b": bids,
            "a": asks,
        }


class Books(_Periodic):
    """`@depth5`, `@depth20@100ms`: the best levels, where the book has changed."""

    def __init__(self, name: str, desk: Desk, symbol: str, period: int, limit: int) -> None:
        super().__init__(name, desk, symbol, period)
        self._limit = limit

    def hear(self, event: Event) -> Write | None:
        if isinstance(event, DepthChange):
            self._wait(event.ts)
        return None

    def say(self, _ts: int) -> Write | None:
        self.due = NEVER
        symbol, book = self._listing.symbol, self._listing.book
        bids, asks = book.depth(self._limit)
        payload = {
            "lastUpdateId": book.update_id,
            "bids": levels(symbol, bids),
            "asks": levels(symbol, asks),
        }
        return lambda _unit: payload


class KlineTopic(_Periodic):
    """`@kline_1m`: the kline that is open, and every one once more when it closes."""

    def __init__(self, name: str, desk: Desk, symbol: str, interval: str) -> None:
        super().__init__(name, desk, symbol, SECOND if interval == "1s" else 2 * SECOND)
        self._interval = interval
        self._opening = opening(desk.now, interval)
        self.due = closing(self._opening, interval)

    def hear(self, event: Event) -> Write | None:
        if isinstance(event, AggTrade):
            self.due = min(self.due, (event.ts // self._period + 1) * self._period)
        return None

    def say(self, ts: int) -> Write | None:
        begin, end = self._opening, closing(self._opening, self._interval)
        closed = ts >= end
        if closed:
            self._opening = end
            end = closing(end, self._interval)
        self.due = end
        return self._written(ts, begin, closed=closed)

    def _written(self, ts: int, begin: int, *, closed: bool) -> Write | None:
        symbol, interval = self._listing.symbol, self._interval
        bars = self._desk.klines[symbol.name].between(interval, begin, begin, 1)
        if not bars:
            return None
        (bar,) = bars
        return lambda unit: {
            "e": "kline",
            "E": ts // unit,
            "s": symbol.name,
            "k": {
                "t": bar.opening // unit,
                "T": bar.close // unit - 1,
                "s": symbol.name,
                "i": interval,
                "f": bar.first_id,
                "L": bar.last_id,
                "o": symbol.price_text(bar.open),
                "c": symbol.price_text(bar.last),
                "h": symbol.price_text(bar.high),
                "l": symbol.price_text(bar.low),
                "v": symbol.quantity_text(bar.lots),
                "n": bar.trades,
                "x": closed,
                "q": symbol.worth_text(bar.atoms),
                "V": symbol.quantity_text(bar.buy_lots),
                "Q": symbol.worth_text(bar.buy_atoms),
                "B": "0",
            },
        }


class DayTickers(_Periodic):
    """`@ticker`, `@miniTicker`: the last 24 hours, where somebody traded."""

    def __init__(self, name: str, desk: Desk, symbol: str, *, mini: bool) -> None:
        super().__init__(name, desk, symbol, SECOND)
        self._mini = mini

    def hear(self, event: Event) -> Write | None:
        if isinstance(event, AggTrade):
            self._wait(event.ts)
        return None

    def say(self, ts: int) -> Write | None:
        self.due = NEVER
        listing = self._listing
        symbol, top = listing.symbol, listing.book.top()
        day = statistics(self._desk.tapes[symbol.name], listing.last_price, ts)
        head = {
            "c": symbol.price_text(day.last),
            "o": symbol.price_text(day.open),
            "h": symbol.price_text(day.high),
            "l": symbol.price_text(day.low),
            "v": symbol.quantity_text(day.lots),
            "q": symbol.worth_text(day.atoms),
        }
        if self._mini:
            return lambda unit: {
                "e": "24hrMiniTicker", "E": ts // unit, "s": symbol.name, **head,
            }  # fmt: skip
        moved, percent = change(symbol, day)
        return lambda unit: {
            "e": "24hrTicker",
            "E": ts // unit,
            "s": symbol.name,
            "p": moved,
            "P": percent,
            "w": average_text(symbol, day.atoms, day.lots),
            "x": symbol.price_text(day.before),
            "Q": symbol.quantity_text(day.last_lots),
            "b": symbol.price_text(top.bid or 0),
            "B": symbol.quantity_text(top.bid_qty),
            "a": symbol.price_text(top.ask or 0),
            "A": symbol.quantity_text(top.ask_qty),
            **head,
            "O": day.start // unit,
            "C": day.end // unit,
            "F": day.first_id,
            "L": day.last_id,
            "n": day.trades,
        }


_LIVE = {"trade": Trades, "aggTrade": AggTrades, "bookTicker": BookTickers}


def topic(name: str, desk: Desk) -> Topic | None:
    """The stream of a name; None where there is none, which Binance takes without a word."""
    match = _STREAM.fullmatch(name)
    if match is None or match["symbol"] != match["symbol"].lower():
        return None
    symbol = match["symbol"].upper()
    if symbol not in desk.venue.listings:
        return None
    if match["live"] is not None:
        return _LIVE[match["live"]](name, desk, symbol)
    if match["day"] is not None:
        return DayTickers(name, desk, symbol, mini=match["day"] == "miniTicker")
    if match["interval"] is not None:
        known = match["interval"] in INTERVALS
        return KlineTopic(name, desk, symbol, match["interval"]) if known else None
    period = int(match["speed"] or 1_000) * MILLISECOND
    if match["levels"] is None:
        return DepthChanges(name, desk, symbol, period)
    return Books(name, desk, symbol, period, int(match["levels"]))
