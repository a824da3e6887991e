"""Questions to a venue: an account's orders, lists and trades. They change nothing.

Answers are copies, oldest first. Of many, the newest `limit` are given, or the oldest from
`from_id` or `start` on where one of them is given. Times are microseconds of market time, both ends
included.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from vostok_exchange.orders import (
    NO_SUCH_LIST,
    NO_SUCH_ORDER,
    OTHER_CLIENT_ID,
    Fill,
    Order,
    OrderList,
    Rejection,
)
from vostok_exchange.venue import Venue

T = TypeVar("T")


def order(
    venue: Venue,
    uid: int,
    symbol: str,
    *,
    order_id: int | None = None,
    client_order_id: str | None = None,
) -> Order | Rejection:
    """An order, live or not; by client order id, the latest that went by it."""
    listing = venue.listing(symbol)
    found = order_id
    if found is None and client_order_id is not None:
        found = listing.clients.get((uid, client_order_id))
    wanted = None if found is None else listing.orders.get(found)
    if wanted is None or wanted.uid != uid:
        return NO_SUCH_ORDER
    if client_order_id not in {None, wanted.client_order_id}:
        return OTHER_CLIENT_ID
    return wanted.copy()


def open_orders(venue: Venue, uid: int, symbol: str | None = None) -> list[Order]:
    """Live orders in a symbol, or in all of them."""
    listings = venue.listings.values() if symbol is None else (venue.listing(symbol),)
    return [order.copy() for listing in listings for order in listing.opened(uid)]


def all_orders(
    venue: Venue,
    uid: int,
    symbol: str,
    *,
    from_id: int | None = None,
    start: int | None = None,
    end: int | None = None,
    limit: int = 500,
) -> list[Order]:
    """Orders ever accepted in a symbol, by the time of their acceptance."""
    listing = venue.listing(symbol)
    orders = (listing.orders[order_id] for order_id in listing.history.get(uid, ()))
    chosen = (
        order
        for order in orders
        if (from_id is None or order.order_id >= from_id) and _within(order.created, start, end)
    )
    return [order.copy() for order in _some(chosen, limit, forward=not (from_id is start is None))]


def my_trades(
    venue: Venue,
    uid: int,
    symbol: str,
    *,
    order_id: int | None = None,
    from_id: int | None = None,
    start: int | None = None,
    end: int | None = None,
    limit: int = 500,
) -> list[Fill]:
    """Trades of an account in a symbol, or of one of its orders."""
    chosen = (
        fill
        for fill in venue.listing(symbol).fills.get(uid, ())
        if (order_id is None or fill.order_id == order_id)
        and (from_id is None or fill.trade_id >= from_id)
        and _within(fill.ts, start, end)
    )
    return _some(chosen, limit, forward=not (from_id is start is None))


def order_list(
    venue: Venue, uid: int, *, list_id: int | None = None, client_order_id: str | None = None
) -> OrderList | Rejection:
    """An order list, open or not; its client order id counts where both are given."""
    lists = venue.execution.lists
    if client_order_id is not None:
        list_id = lists.clients.get((uid, client_order_id))
    made = None if list_id is None else lists.all.get(list_id)
    return NO_SUCH_LIST if made is None or made.uid != uid else made.copy()


def open_order_lists(venue: Venue, uid: int) -> list[OrderList]:
    """Open order lists."""
    made = venue.execution.lists.all.values()
    return [one.copy() for one in made if one.uid == uid and not one.done]


def all_order_lists(
    venue: Venue,
    uid: int,
    *,
    from_id: int | None = None,
    start: int | None = None,
    end: int | None = None,
    limit: int = 500,
) -> list[OrderList]:
    """Order lists ever accepted, by the time of the last change of their status."""
    chosen = (
        one
        for one in venue.execution.lists.all.values()
        if one.uid == uid
        and (from_id is None or one.list_id >= from_id)
        and _within(one.ts, start, end)
    )
    return [one.copy() for one in _some(chosen, limit, forward=not (from_id is start is None))]


def names(venue: Venue, made: OrderList) -> tuple[tuple[int, str], ...]:
    """Order id and client order id of each order of a list."""
    orders = venue.listing(made.symbol).orders
    return tuple((key, orders[key].client_order_id) for key in made.order_ids)


def _within(ts: int, start: int | None, end: int | None) -> bool:
    return (start is None or ts >= start) and (end is None or ts <= end)


def _some(chosen: Iterable[T], limit: int, *, forward: bool) -> list[T]:
    """The first ones, where one said from where on; otherwise the newest."""
    return list(islice(chosen, limit)) if forward else list(chosen)[-limit:]
