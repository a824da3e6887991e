"""Making orders of requests: integers, filters, names."""

from __future__ import annotations

import hashlib
import string
from typing import get_args

from vostok_exchange.listing import Listing
from vostok_exchange.matching import Prevention
from vostok_exchange.orders import BAD_PREVENTION, Order, OrderRequest, Rejection

PREVENTIONS: tuple[Prevention, ...] = get_args(Prevention)
"""Self-trade prevention modes that every symbol allows; the first is the default."""

_ALPHABET = string.digits + string.ascii_letters


class Drafts:
    """What makes orders of requests.

    Attributes:
        named: Names made up so far.
    """

    def __init__(self) -> None:
        self.named = 0

    def name(self, client_order_id: str | None) -> str:
        """A client order id as given, or a new one of 22 letters and digits."""
        if client_order_id is not None:
            return client_order_id
        self.named += 1
        number = int.from_bytes(hashlib.sha256(f"order {self.named}".encode()).digest())
        letters = []
        for _ in range(22):
            number, letter = divmod(number, len(_ALPHABET))
            letters.append(_ALPHABET[letter])
        return "".join(letters)

    def orders(
        self, uid: int, listing: Listing, requests: tuple[OrderRequest, ...], now: int
    ) -> list[Order] | Rejection:
        """Orders as requested, which have no id yet, or what a filter says against them.

        Two requests or more are one list.
        """
        filters = listing.filters
        average = listing.recent.average(now, listing.last_price)
        drafts = []
        for request in requests:
            terms = filters.read(request)
            if isinstance(terms, Rejection):
                return terms
            refusal = filters.check(request, terms, average)
            if refusal is not None:
                return refusal
            wanted = request.self_trade_prevention or PREVENTIONS[0]
            mode = next((known for known in PREVENTIONS if known == wanted), None)
            if mode is None:
                return BAD_PREVENTION
            drafts.append(
                Order(
                    order_id=-1,
                    uid=uid,
                    symbol=listing.symbol.name,
                    client_order_id=self.name(request.client_order_id),
                    side=request.side,
                    type=request.type,
                    time_in_force=request.time_in_force or "GTC",
                    qty=terms.qty,
                    price=terms.price,
                    stop_price=terms.stop_price,
                    quote_qty=terms.quote_qty,
                    self_trade_prevention=mode,
                    strategy_id=request.strategy_id,
                    strategy_type=request.strategy_type,
                    created=now,
                    updated=now,
                )
            )
        types = tuple(draft.type for draft in drafts)
        refusal = filters.check_counts(*listing.counts(uid), types)
        return drafts if refusal is None else refusal
