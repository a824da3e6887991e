"""Events of one transaction, gathered until it ends."""

from __future__ import annotations

from collections.abc import Mapping

from vostok_exchange.accounts import Account
from vostok_exchange.events import (
    AccountPosition,
    BookTop,
    DepthChange,
    Event,
    ExecutionReport,
    ExecutionType,
    Prevention,
)
from vostok_exchange.listing import Listing
from vostok_exchange.orders import Fill, Order, RejectReason

_NO_FILL = Fill(-1, -1, -1, 0, 0, 0, "", 0, buyer=False, maker=False)


class Outbox:
    """What a transaction has to tell.

    Attributes:
        events: So far.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._touched: dict[int, dict[str, None]] = {}

    def touch(self, uid: int, asset: str) -> None:
        """Tell an account's balance of an asset when the transaction ends."""
        self._touched.setdefault(uid, {})[asset] = None

    def report(
        self,
        listing: Listing,
        now: int,
        order: Order,
        execution: ExecutionType,
        *,
        fill: Fill = _NO_FILL,
        cancel_id: str | None = None,
        reject_reason: RejectReason = "NONE",
        prevention: Prevention | None = None,
    ) -> None:
        """Tell an order's account what happened to it."""
        # A NEW order is about to work even if nothing of it will rest.
        working = order.live and order.working_time >= 0 and (execution == "NEW" or order.rests)
        self.events.append(
            ExecutionReport(
                uid=order.uid,
                ts=now,
                order=order.copy(),
                execution=execution,
                execution_id=listing.next_execution_id,
                working=working,
                client_order_id=order.client_order_id if cancel_id is None else cancel_id,
                orig_client_order_id="" if cancel_id is None else order.client_order_id,
                last_qty=fill.qty,
                last_price=fill.price,
                commission=fill.commission,
                commission_asset=fill.commission_asset or None,
                trade_id=fill.trade_id,
                maker=fill.maker,
                reject_reason=reject_reason,
                prevention=prevention,
            )
        )
        listing.next_execution_id += 1

    def close(self, listing: Listing, now: int, accounts: Mapping[int, Account]) -> list[Event]:
        """Everything that was told, then the balances and the book as they stand at the end."""
        events = self.events
        for uid, assets in self._touched.items():
            account = accounts[uid]
            account.updated = now
            held = [(asset, account.of(asset)) for asset in assets]
            balances = tuple((asset, balance.free, balance.locked) for asset, balance in held)
            events.append(AccountPosition(uid, now, balances))
        changes = listing.book.drain()
        if changes is not None:
            symbol = listing.symbol.name
            events.append(DepthChange(symbol, now, *changes))
            top = listing.book.top()
            if top != listing.told:
                listing.told = top
                events.append(BookTop(symbol, now, changes.last, top))
        self.events = []
        self._touched = {}
        return events
