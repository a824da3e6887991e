"""All that a venue remembers, as JSON and back.

Symbols, filters and BNB prices are how a venue is set up, not what it remembers: restore into one
that was set up alike. What follows after is the same, bit for bit, as without the interruption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vostok_exchange.accounts import Account, Balance, Rates
from vostok_exchange.listing import Listing
from vostok_exchange.matching import Book
from vostok_exchange.orders import Fill, Order, OrderList
from vostok_exchange.venue import Venue

_COUNTERS = (
    "now",
    "last_price",
    "next_trade_id",
    "next_agg_id",
    "next_order_id",
    "next_execution_id",
    "next_prevented_id",
)


def snapshot(venue: Venue) -> dict[str, Any]:
    """The state of a venue between two transactions, as JSON-like values."""
    x = venue.execution
    return {
        "named": venue.drafts.named,
        "accounts": [
            {
                "uid": account.uid,
                "updated": account.updated,
                "rates": asdict(account.rates),
                "balances": {
                    asset: [balance.free, balance.locked]
                    for asset, balance in account.balances.items()
                },
            }
            for account in x.accounts.values()
        ],
        "cleared": dict(x.cleared),
        "earned": dict(x.earned),
        "next_list_id": x.lists.next_list_id,
        "lists": [asdict(made) for made in x.lists.all.values()],
        "listings": {name: _listing(listing) for name, listing in venue.listings.items()},
    }


def restore(venue: Venue, content: Mapping[str, Any]) -> None:
    """Bring a venue that was set up alike to the state that `snapshot` wrote."""
    x = venue.execution
    venue.drafts.named = content["named"]
    x.accounts = {
        row["uid"]: Account(
            row["uid"],
            Rates(**row["rates"]),
            {asset: Balance(*pair) for asset, pair in row["balances"].items()},
            row["updated"],
        )
        for row in content["accounts"]
    }
    x.cleared = dict(content["cleared"])
    x.earned = dict(content["earned"])
    x.lists.next_list_id = content["next_list_id"]
    for row in content["lists"]:
        x.lists.enter(OrderList(**{**row, "order_ids": tuple(row["order_ids"])}))
    for name, part in content["listings"].items():
        _restore_listing(venue.listing(name), part)


def _listing(listing: Listing) -> dict[str, Any]:
    return {
        **{name: getattr(listing, name) for name in _COUNTERS},
        "orders": [asdict(order) for order in listing.orders.values()],
        "fills": [[uid, list(map(list, fills))] for uid, fills in listing.fills.items()],
        "recent": list(map(list, listing.recent.trades)),
        "update_id": listing.book.update_id,
        "book": [
            [one.side, one.price, one.qty, one.owner, one.ref and one.ref.order_id]
            for one in listing.book.resting()
        ],
    }


def _restore_listing(listing: Listing, part: Mapping[str, Any]) -> None:
    for name in _COUNTERS:
        setattr(listing, name, part[name])
    for row in part["orders"]:
        order = Order(**row)
        listing.enter(order)
        if order.waits:
            listing.stops.add(order)
    listing.fills = {uid: [Fill(*fill) for fill in fills] for uid, fills in part["fills"]}
    for ts, atoms, lots in part["recent"]:
        listing.recent.add(ts, atoms, lots)
    listing.book = Book.restored(
        part["update_id"],
        (
            (side, price, qty, owner, None if key is None else listing.orders[key])
            for side, price, qty, owner, key in part["book"]
        ),
    )
    listing.told = listing.book.top()
    listing.resting = {
        one.ref.order_id: one for one in listing.book.resting() if one.ref is not None
    }
