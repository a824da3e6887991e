"""What anybody may ask: the clock, the symbols, books, trades, klines and tickers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vostok_exchange.klines import statistics
from vostok_exchange.listing import Listing
from vostok_exchange.protocol import payloads
from vostok_exchange.protocol.calls import Call
from vostok_exchange.protocol.faults import BAD_COMBINATION, Fault
from vostok_exchange.protocol.parameters import (
    BOOLEAN,
    DEEPEST,
    INTERVAL,
    LONG,
    STATUS,
    SYMBOL,
    TEXT,
    TICKER,
    Parameters,
)
from vostok_exchange.protocol.payloads import Payload

_STATUS_DIFFERS = Fault(-1220, "The symbol's status does not match the requested symbolStatus.")


def ping(call: Call) -> Payload:
    """Nothing."""
    call.parameters.done()
    return {}


def time(call: Call) -> Payload:
    """Wall time."""
    call.parameters.done()
    return {"serverTime": call.exchange.wall() // call.unit}


def exchange_info(call: Call) -> Payload:
    """Limits and symbols."""
    parameters = call.parameters
    parameters.either("symbol", "symbols", "permissions")
    parameters.either("symbol", "symbols", "symbolStatus")
    listings = _chosen(call)
    status = parameters.optional("symbolStatus", STATUS)
    permissions = parameters.optional("permissions", TEXT)
    sets = parameters.optional("showPermissionSets", BOOLEAN)
    parameters.done()
    if status not in {None, "TRADING"} or (permissions and "SPOT" not in permissions):
        listings = []
    symbols = [payloads.symbol_info(listing) for listing in listings]
    if sets is False:
        symbols = [one | {"permissionSets": []} for one in symbols]
    return {
        "timezone": "UTC",
        "serverTime": call.exchange.wall() // call.unit,
        "rateLimits": call.exchange.limits.policy.listed(),
        "exchangeFilters": [],
        "symbols": symbols,
    }


def no_derivatives(call: Call) -> Payload:
    """`exchangeInfo` of the futures markets, of which there are none; ccxt asks for them too."""
    call.parameters.done()
    return {
        "timezone": "UTC",
        "serverTime": call.exchange.wall() // call.unit,
        "rateLimits": [],
        "exchangeFilters": [],
        "assets": [],
        "symbols": [],
    }


def depth(call: Call) -> Payload:
    """A book's best levels."""
    listing = _listed(call)
    limit = call.parameters.limit(100, DEEPEST)
    call.parameters.done()
    call.exchange.now()
    bids, asks = listing.book.depth(limit)
    return {
        "lastUpdateId": listing.book.update_id,
        "bids": payloads.levels(listing.symbol, bids),
        "asks": payloads.levels(listing.symbol, asks),
    }


def depth_weight(parameters: Parameters) -> int:
    """By the number of levels."""
    limit = parameters.limit(100, DEEPEST)
    return next(weight for most, weight in _DEPTH_WEIGHTS if limit <= most)


_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (DEEPEST, 250))


def trades(call: Call) -> list[Payload]:
    """The newest trades."""
    listing = call.symbol()
    limit = call.parameters.limit()
    call.parameters.done()
    call.exchange.now()
    rows = call.exchange.desk.tapes[listing.symbol.name].trades.newest(limit)
    return [payloads.single(call, listing.symbol, row) for row in rows.tolist()]


def historical_trades(call: Call) -> list[Payload]:
    """Trades from an id on, or the newest."""
    listing = call.symbol()
    limit = call.parameters.limit()
    first = call.parameters.optional("fromId", LONG)
    call.parameters.done()
    call.exchange.now()
    series = call.exchange.desk.tapes[listing.symbol.name].trades
    rows = series.newest(limit) if first is None else series.from_id(first, limit)
    return [payloads.single(call, listing.symbol, row) for row in rows.tolist()]


def aggregate_trades(call: Call) -> list[Payload]:
    """Aggregate trades from an id on, of a span of time, or the newest."""
    listing = call.symbol()
    limit = call.parameters.limit()
    first = call.parameters.optional("fromId", LONG)
    start, end = call.parameters.window()
    call.parameters.done()
    if first is not None and not start is end is None:
        raise BAD_COMBINATION
    now = call.exchange.now()
    series = call.exchange.desk.tapes[listing.symbol.name].aggregates
    if first is not None:
        rows = series.from_id(first, limit)
    elif start is not None:
        rows = series.between(start, now if end is None else end, limit)
    else:
        rows = series.newest(limit, now if end is None else end)
    return [payloads.aggregate(call, listing.symbol, row) for row in rows.tolist()]


def klines(call: Call) -> list[list[Any]]:
    """Klines of a span of time, or the newest."""
    listing = call.symbol()
    parameters = call.parameters
    interval = parameters.required("interval", INTERVAL)
    limit = parameters.limit()
    start, end = parameters.window()
    zone = parameters.zone()
    parameters.done()
    now = call.exchange.now()
    bars = call.exchange.desk.klines[listing.symbol.name].between(
        interval, start, now if end is None else min(end, now), limit, zone
    )
    return [payloads.kline(call, listing.symbol, bar) for bar in bars]


def average_price(call: Call) -> Payload:
    """The average price that filters go by."""
    listing = call.symbol()
    call.parameters.done()
    now = call.exchange.now()
    atoms, lots = listing.recent.average(now, listing.last_price)
    traded = listing.recent.trades
    return {
        "mins": listing.filters.avg_price_mins,
        "price": payloads.average_text(listing.symbol, atoms, lots),
        "closeTime": call.stamp(traded[-1][0] if traded else now),
    }


def ticker_day(call: Call) -> Payload | list[Payload]:
    """The last 24 hours."""
    mini = call.parameters.optional("type", TICKER) == "MINI"

    def one(listing: Listing) -> Payload:
        desk = call.exchange.desk
        day = statistics(desk.tapes[listing.symbol.name], listing.last_price, desk.now)
        return payloads.ticker(call, listing.symbol, day, None if mini else listing.book.top())

    return _for_each(call, one)


def ticker_price(call: Call) -> Payload | list[Payload]:
    """The last price; of a BNB, which has no market here, the one that commission goes by."""
    name = call.parameters.values.get("symbol", "")
    bnb = call.exchange.desk.venue.bnb_prices.get(name.removeprefix("BNB"))
    if bnb is not None and name.startswith("BNB") and name not in call.exchange.desk.venue.listings:
        call.parameters.required("symbol", SYMBOL)
        call.parameters.done()
        return {"symbol": name, "price": f"{bnb:.8f}"}

    def one(listing: Listing) -> Payload:
        symbol = listing.symbol
        return {"symbol": symbol.name, "price": symbol.price_text(listing.last_price)}

    return _for_each(call, one)


def ticker_book(call: Call) -> Payload | list[Payload]:
    """The best prices."""

    def one(listing: Listing) -> Payload:
        symbol = listing.symbol
        return {"symbol": symbol.name, **payloads.book_top(symbol, listing.book.top())}

    return _for_each(call, one)


def by_symbols(one: int, all_of_them: int) -> Callable[[Parameters], int]:
    """A weight that is smaller where one symbol was sent."""
    return lambda parameters: one if "symbol" in parameters else all_of_them


def day_weight(parameters: Parameters) -> int:
    """Of the last 24 hours: by the number of symbols."""
    if "symbol" in parameters:
        return 2
    count = len(parameters.names("symbols") or ()) if "symbols" in parameters else 10**6
    return next(weight for most, weight in _DAY_WEIGHTS if count <= most)


_DAY_WEIGHTS = ((20, 2), (100, 40), (10**9, 80))


def _listed(call: Call) -> Listing:
    """The symbol that must be sent, in the status that is asked for."""
    listing = call.symbol()
    if call.parameters.optional("symbolStatus", STATUS) not in {None, "TRADING"}:
        raise _STATUS_DIFFERS
    return listing


def _chosen(call: Call) -> list[Listing]:
    """The symbols that `symbol` or `symbols` names, or all."""
    symbol = call.parameters.optional("symbol", SYMBOL)
    names = call.parameters.names("symbols")
    if symbol is not None:
        return [call.listing(symbol)]
    if names is not None:
        return [call.listing(name) for name in names]
    return list(call.exchange.desk.venue.listings.values())


def _for_each(call: Call, one: Callable[[Listing], Payload]) -> Payload | list[Payload]:
    """One payload where `symbol` was sent, a list otherwise."""
    parameters = call.parameters
    parameters.either("symbol", "symbols")
    listings = _chosen(call)
    status = parameters.optional("symbolStatus", STATUS)
    parameters.done()
    if status not in {None, "TRADING"}:
        if "symbol" in parameters:
            raise _STATUS_DIFFERS
        listings = []
    call.exchange.now()
    found = [one(listing) for listing in listings]
    return found[0] if "symbol" in parameters else found
