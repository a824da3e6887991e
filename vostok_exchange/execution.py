"""Carrying orders through one symbol's market: accepting, matching, triggering, ending.

A transaction begins with a symbol and a time, ends with the events that it caused, and changes
nothing of any other symbol. What follows from it (stops that its trades reach, orders that waited
for one that filled) happens before it ends, in `settle`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Decimal

from vostok_exchange.accounts import Account, commission
from vostok_exchange.events import AggTrade, Event, ExecutionType, Prevention, Trade
from vostok_exchange.filters import failure
from vostok_exchange.listing import Listing
from vostok_exchange.lists import Lists
from vostok_exchange.matching import Match, Resting, Side
from vostok_exchange.orders import (
    ALGO,
    DUPLICATE,
    NO_FUNDS,
    NO_LIQUIDITY,
    WOULD_TAKE,
    WOULD_TRIGGER,
    ExpiryReason,
    Fill,
    Order,
    OrderList,
    PreventedMatch,
    Rejection,
    Status,
)
from vostok_exchange.outbox import Outbox


class Execution:
    """The part of a venue that changes orders, books and balances.

    Args:
        bnb_prices: Price of a BNB in each quote asset that has one.

    Attributes:
        accounts: By number.
        cleared: Units of each asset that the venue's own liquidity received from accounts, net.
        earned: Units of each asset that were paid in commission.
        lists: Order lists.
        out: Events of the transaction.
        now: Time of the transaction.
        listing: Symbol of the transaction.
        fills: Fills of the transaction, by order.
        prevented: Prevented matches of the transaction, by taker order.
    """

    def __init__(self, bnb_prices: Mapping[str, Decimal]) -> None:
        self._bnb_prices = bnb_prices
        self.accounts: dict[int, Account] = {}
        self.cleared: dict[str, int] = {}
        self.earned: dict[str, int] = {}
        self.lists = Lists(self)
        self.out = Outbox()
        self.now = 0
        self.listing: Listing
        self.fills: dict[int, list[Fill]] = {}
        self.prevented: dict[int, list[PreventedMatch]] = {}
        self._next: deque[Order | OrderList] = deque()

    def begin(self, listing: Listing, now: int) -> None:
        """Open a transaction; in one symbol, time never goes back."""
        assert now >= listing.now, f"{listing.symbol.name}: {now} comes before {listing.now}"
        self.listing = listing
        listing.now = now
        self.now = now
        self.fills = {}
        self.prevented = {}

    def settle(self) -> list[Event]:
        """Carry out what the transaction set off until nothing is left, and close it."""
        while self._next:
            due = self._next.popleft()
            if isinstance(due, OrderList):
                self.lists.activate(due)
            elif due.waits:
                self._trigger(due)
        return self.out.close(self.listing, self.now, self.accounts)

    def then(self, due: Order | OrderList) -> None:
        """Remember a stop that was reached, or a list whose working order filled, for `settle`."""
        self._next.append(due)

    # Accepting

    def refuse(self, order: Order) -> Rejection | None:
        """Why the matching engine won't take an order now; one by quote learns its quantity."""
        if self.listing.taken(order.uid, order.client_order_id):
            return DUPLICATE
        if order.quote_qty:
            book, atoms = self.listing.book, order.quote_qty // self.listing.symbol.atom
            taker = (order.uid, order.self_trade_prevention)
            order.qty = book.afford(order.side, atoms, *taker)
            if not order.qty:
                lots, _ = book.sweep(order.side, 1, None, *taker)
                return failure("LOT_SIZE") if lots else NO_LIQUIDITY
        return self.refuse_price(order) or self.refuse_funds(order.uid, self.pays(order))

    def refuse_price(self, order: Order) -> Rejection | None:
        """Why an order's price is wrong for the market as it stands."""
        if order.type in ALGO:
            last = self.listing.last_price
            reached = last >= order.stop_price if order.triggers_above else last <= order.stop_price
            return WOULD_TRIGGER if reached else None
        if order.type == "LIMIT_MAKER" and self.listing.book.crosses(order.side, order.price):
            return WOULD_TAKE
        return None

    def refuse_funds(self, uid: int, need: tuple[str, int]) -> Rejection | None:
        """Whether an account is short of units of an asset."""
        asset, amount = need
        return NO_FUNDS if self.accounts[uid].of(asset).free < amount else None

    def pays(self, order: Order) -> tuple[str, int]:
        """The asset and the units that have to be locked for what is left of an order.

        A buy without a limit counts its stop price while it waits, and then what the book asks.
        """
        symbol = self.listing.symbol
        if order.side == "SELL":
            return symbol.base, order.remaining * symbol.lot
        if order.quote_qty:
            return symbol.quote, order.quote_qty
        if order.price:
            return symbol.quote, order.price * order.remaining * symbol.atom
        if order.stop_price and order.working_time < 0:
            return symbol.quote, order.stop_price * order.remaining * symbol.atom
        _, cost = self.listing.book.sweep(
            "BUY", order.remaining, None, order.uid, order.self_trade_prevention
        )
        return symbol.quote, cost * symbol.atom

    def accept(self, order: Order, *, reserve: bool = True) -> None:
        """Give an order its id, file it, start it unless it is pending; `work` comes next."""
        listing = self.listing
        order.order_id = listing.next_order_id
        listing.next_order_id += 1
        listing.enter(order)
        if order.status == "PENDING_NEW":
            self.report(order, "NEW")
        else:
            self.start(order, reserve=reserve)

    def start(self, order: Order, *, reserve: bool) -> None:
        """Let an order wait for its trigger or work; `reserve` unless its list holds its funds."""
        order.status = "NEW"
        order.updated = self.now
        if reserve:
            self.lock(order, self.pays(order)[1])
        if order.type in ALGO:
            self.listing.stops.add(order)
        else:
            order.working_time = self.now
        self.report(order, "NEW")

    def lock(self, order: Order, amount: int) -> None:
        """Bring what is locked for an order to `amount` units."""
        asset = self.listing.symbol.paid_in(order.side)
        if amount != order.reserve:
            self.accounts[order.uid].lock(asset, amount - order.reserve)
            self.out.touch(order.uid, asset)
            order.reserve = amount

    def report(
        self, order: Order, execution: ExecutionType, *, cancel_id: str | None = None
    ) -> None:
        """Tell an order's account what happened to it."""
        self.out.report(self.listing, self.now, order, execution, cancel_id=cancel_id)

    # Working

    def work(self, order: Order) -> None:
        """Match an order that doesn't wait; what is left rests or expires, as its type says."""
        if order.working_time < 0:
            return
        book = self.listing.book
        limit = order.price or None
        prevention = order.self_trade_prevention
        if order.time_in_force == "FOK":
            lots, _ = book.sweep(order.side, order.remaining, limit, order.uid, prevention)
            if lots < order.remaining:
                self._lapse(order, "UNFILLED_FOK_ORDER_EXPIRED")
                return
        taken = book.take(order.side, order.remaining, limit, order.uid, prevention)
        self._match(order.side, taken.matches, order)
        if taken.stopped is not None and order.live:
            self._prevent(order, taken.stopped, maker_qty=None)
        if not order.live:
            return
        if order.rests:
            self.listing.resting[order.order_id] = book.add(
                order.side, order.price, order.remaining, order.uid, order
            )
        elif order.price:
            self._lapse(order, "UNFILLED_IOC_QUANTITY_EXPIRED")
        else:
            self._lapse(order, "INSUFFICIENT_LIQUIDITY")

    def quote(self, side: Side, price: int, qty: int) -> Resting | None:
        """Trade and rest an order of the venue's own, which has no account; None if it filled."""
        book = self.listing.book
        if book.crosses(side, price):
            qty = self.take(side, price, qty)
        return book.add(side, price, qty) if qty else None

    def take(self, side: Side, price: int, qty: int) -> int:
        """Trade an order of the venue's own, and return the lots that found nobody."""
        taken = self.listing.book.take(side, qty, price)
        self._match(side, taken.matches, None)
        return taken.left

    def _match(self, side: Side, matches: list[Match], taker: Order | None) -> None:
        """Settle matches in order, telling each trade and each aggregate of one price."""
        listing, now = self.listing, self.now
        name, maker_buys = listing.symbol.name, side == "SELL"
        agg_price = agg_qty = agg_first = 0
        for maker, qty, traded in matches:
            if not traded:
                assert taker is not None, "the venue's own orders have no owner"
                self._prevent(taker, maker, maker_qty=qty)
                continue
            price, trade_id = maker.price, listing.next_trade_id
            if agg_qty and price != agg_price:
                self._aggregate(agg_price, agg_qty, agg_first, maker_buys=maker_buys)
                agg_qty = 0
            if not agg_qty:
                agg_price, agg_first = price, trade_id
            agg_qty += qty
            listing.next_trade_id += 1
            self.out.events.append(Trade(name, now, trade_id, price, qty, maker_buys))
            if taker is not None:
                self._fill(taker, price, qty, trade_id, maker=False)
            if maker.ref is not None:
                self._fill(maker.ref, price, qty, trade_id, maker=True)
        if agg_qty:
            self._aggregate(agg_price, agg_qty, agg_first, maker_buys=maker_buys)

    def _aggregate(self, price: int, qty: int, first_id: int, *, maker_buys: bool) -> None:
        listing = self.listing
        self.out.events.append(
            AggTrade(
                listing.symbol.name,
                self.now,
                listing.next_agg_id,
                price,
                qty,
                first_id,
                listing.next_trade_id - 1,
                maker_buys,
            )
        )
        listing.next_agg_id += 1
        listing.last_price = price
        listing.recent.add(self.now, price * qty, qty)
        for order_id in listing.stops.reached(price):
            self.then(listing.orders[order_id])

    def _fill(self, order: Order, price: int, qty: int, trade_id: int, *, maker: bool) -> None:
        """Settle one side of a trade: balances, commission, the order, its report and its list."""
        symbol, account = self.listing.symbol, self.accounts[order.uid]
        base, worth = qty * symbol.lot, price * qty * symbol.atom
        if order.side == "BUY":
            paid, spent, received, amount = symbol.quote, worth, symbol.base, base
        else:
            paid, spent, received, amount = symbol.base, base, symbol.quote, worth
        self.lists.claim(order)
        order.filled += qty
        order.quote_filled += price * qty
        order.status = "PARTIALLY_FILLED" if order.remaining else "FILLED"
        order.updated = self.now
        account.spend(paid, spent)
        order.reserve -= spent
        if not order.remaining:
            self.lock(order, 0)
            self._file_away(order)
        elif order.price:
            self.lock(order, self.pays(order)[1])
        account.credit(received, amount)
        fee_asset, fee = commission(
            account, received, amount, worth, self._bnb_prices.get(symbol.quote), maker=maker
        )
        account.credit(fee_asset, -fee)
        self.earned[fee_asset] = self.earned.get(fee_asset, 0) + fee
        self.cleared[paid] = self.cleared.get(paid, 0) + spent
        self.cleared[received] = self.cleared.get(received, 0) - amount
        for asset in (received, paid, fee_asset):
            self.out.touch(order.uid, asset)
        fill = Fill(
            trade_id,
            order.order_id,
            order.list_id,
            price,
            qty,
            fee,
            fee_asset,
            self.now,
            order.side == "BUY",
            maker,
        )
        self.fills.setdefault(order.order_id, []).append(fill)
        self.listing.fills.setdefault(order.uid, []).append(fill)
        self.out.report(self.listing, self.now, order, "TRADE", fill=fill)
        self.lists.traded(order)

    # Ending

    def cancel(self, order: Order, cancel_id: str) -> None:
        """Cancel a live order at its owner's wish, and nothing of its list."""
        self._end(order, "CANCELED")
        self.report(order, "CANCELED", cancel_id=cancel_id)

    def expire(self, order: Order, reason: ExpiryReason) -> None:
        """End a live order by the exchange's rules, and nothing of its list."""
        order.expiry_reason = reason
        self._end(order, "EXPIRED")
        self.report(order, "EXPIRED")

    def _lapse(self, order: Order, reason: ExpiryReason) -> None:
        self.expire(order, reason)
        self.lists.ended(order)

    def _end(self, order: Order, status: Status) -> None:
        if order.waits:
            self.listing.stops.remove(order)
        resting = self.listing.resting.get(order.order_id)
        if resting is not None:
            self.listing.book.cancel(resting)
        order.status = status
        order.updated = self.now
        self.lock(order, 0)
        self._file_away(order)

    def _file_away(self, order: Order) -> None:
        del self.listing.open[order.uid][order.order_id]
        self.listing.resting.pop(order.order_id, None)

    def _trigger(self, order: Order) -> None:
        """Let a stop whose price was reached work, if its account can still pay for it."""
        self.lists.triggered(order)
        order.working_time = self.now
        asset, need = self.pays(order)
        if need > order.reserve + self.accounts[order.uid].of(asset).free:
            order.working_time = -1
            self._lapse(order, "REJECTED")
            return
        self.lock(order, need)
        order.updated = self.now
        self.report(order, "NEW")
        self.work(order)

    def _prevent(self, taker: Order, resting: Resting, maker_qty: int | None) -> None:
        """Expire what would trade with itself: the maker's lots, the taker's rest, or both.

        Args:
            taker: The order that met one of its own account's.
            resting: The one that it met.
            maker_qty: Lots that the book removed of it; None where it stays.
        """
        listing, maker = self.listing, resting.ref
        match_id = listing.next_prevented_id
        listing.next_prevented_id += 1
        taker_qty = None if taker.self_trade_prevention == "EXPIRE_MAKER" else taker.remaining
        met = min(taker.remaining, resting.qty)
        self.prevented.setdefault(taker.order_id, []).append(
            PreventedMatch(match_id, maker.order_id, resting.price, taker_qty, maker_qty)
        )
        for order, other, qty in ((maker, taker, maker_qty), (taker, maker, taker_qty)):
            if qty is None:
                continue
            # The book has let go of the maker already, and never held the taker.
            listing.resting.pop(order.order_id, None)
            order.prevented += qty
            order.prevented_match_id = match_id
            self._end(order, "EXPIRED_IN_MATCH")
            prevention = Prevention(match_id, qty, other.order_id, met, resting.price)
            self.out.report(listing, self.now, order, "TRADE_PREVENTION", prevention=prevention)
            self.lists.ended(order)
