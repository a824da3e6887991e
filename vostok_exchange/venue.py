"""The venue: accounts that trade symbols by price-time priority, with Binance's rules and words.

No socket, no clock: the caller passes the time (market time, microseconds), and in one symbol it
must never go back. Every change is one transaction that returns its answer and the events it
caused; the same calls give the same events, bit for bit. Questions change nothing.

What is refused is answered with a `Rejection`. Parameters are the protocol layer's to check:
symbols and accounts must be known, and requests well formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from vostok_core.errors import UnknownName, UsageError
from vostok_core.market.instrument import Instrument
from vostok_exchange.accounts import DISCOUNT_ASSET, Account, Rates, amounts
from vostok_exchange.drafts import Drafts
from vostok_exchange.events import AccountPosition, BalanceChange, Event
from vostok_exchange.execution import Execution
from vostok_exchange.filters import Filters
from vostok_exchange.listing import Listing
from vostok_exchange.lists import check_pair, straddle
from vostok_exchange.orders import (
    DUPLICATE,
    RESTRICTED,
    STOP_LOSSES,
    UNKNOWN_LIST,
    UNKNOWN_ORDER,
    Canceled,
    ListCanceled,
    ListPlaced,
    OcoRequest,
    Order,
    OrderList,
    OrderRequest,
    OtoRequest,
    Placed,
    Rejection,
    Replaced,
)
from vostok_exchange.symbols import amount_text, units

Restriction = Literal["ONLY_NEW", "ONLY_PARTIALLY_FILLED"]


class Venue:
    """Accounts and symbols, and everything that changes them.

    Args:
        bnb_prices: Price of a BNB in each quote asset, for commission that is paid in BNB.

    Attributes:
        bnb_prices: As given.
        drafts: What makes orders of requests.
        execution: What carries orders out; the venue's own liquidity uses it too.
        listings: Symbols, by name.
    """

    def __init__(self, bnb_prices: Mapping[str, Decimal]) -> None:
        self.bnb_prices = bnb_prices
        self.execution = Execution({DISCOUNT_ASSET: Decimal(1), **bnb_prices})
        self.listings: dict[str, Listing] = {}
        self.drafts = Drafts()

    def list_symbol(
        self,
        instrument: Instrument,
        *,
        last_price: Decimal,
        next_id: int = 1,
        filters: Filters | None = None,
    ) -> Listing:
        """Open a symbol for trading.

        Args:
            instrument: What it trades.
            last_price: Last price before trading begins here.
            next_id: Id of the first trade, and of the first aggregate trade.
            filters: Its filters, where they aren't those that follow from the instrument.

        Raises:
            UsageError: Its worth can't be counted, or the last price is off the grid.
        """
        rules = filters or Filters.of(instrument)
        ticks = rules.symbol.ticks(last_price)
        if ticks is None or ticks < 1:
            raise UsageError(
                f"{last_price} can't be a price of {rules.symbol.name}",
                where=instrument.id,
                hint=f"choose a multiple of its tick, {instrument.price_tick}",
            )
        listing = Listing(rules, ticks, next_id, next_id)
        self.listings[rules.symbol.name] = listing
        return listing

    def open_account(
        self, uid: int, balances: Mapping[str, Decimal], rates: Rates | None = None
    ) -> Account:
        """Open an account; `uid` is 1 or more.

        Raises:
            UsageError: A balance is negative or too fine.
        """
        assert uid > 0, "0 is the venue's own"
        account = Account(uid, rates or Rates(), amounts(balances))
        self.execution.accounts[uid] = account
        return account

    def account(self, uid: int) -> Account:
        """An account, with its balances; read it, don't change it.

        Raises:
            UnknownName: There is none.
        """
        account = self.execution.accounts.get(uid)
        if account is None:
            raise UnknownName.of("account", str(uid), map(str, self.execution.accounts))
        return account

    def deposit(self, uid: int, asset: str, amount: Decimal, now: int) -> list[Event]:
        """Bring an amount of an asset to an account, or take it away where it is negative.

        Raises:
            UsageError: It is too fine, or more is taken than is free.
        """
        account, count = self.account(uid), units(amount)
        free = account.of(asset).free
        if count is None or free + count < 0:
            raise UsageError(
                f"{amount} {asset} can't be brought to {amount_text(free)} that are free",
                where=f"account {uid}",
                hint="use at most 16 decimals, and take no more than is free",
            )
        account.credit(asset, count)
        account.updated = now
        balance = account.of(asset)
        position = AccountPosition(uid, now, ((asset, balance.free, balance.locked),))
        return [BalanceChange(uid, now, asset, count), position]

    def burn(self, uid: int, *, on: bool) -> None:
        """Say whether an account pays its commission in BNB."""
        account = self.account(uid)
        account.rates = replace(account.rates, burn=on)

    def listing(self, symbol: str) -> Listing:
        """A symbol's book, tape and orders; read it, don't change it.

        Raises:
            UnknownName: There is none.
        """
        listing = self.listings.get(symbol)
        if listing is None:
            raise UnknownName.of("symbol", symbol, self.listings)
        return listing

    # Placing

    def check(self, uid: int, request: OrderRequest, now: int) -> Rejection | None:
        """What the filters say about an order, which is not placed (`order/test`)."""
        draft = self._draft(uid, request, now)
        return draft if isinstance(draft, Rejection) else None

    def place(
        self, uid: int, request: OrderRequest, now: int
    ) -> tuple[Placed | Rejection, list[Event]]:
        """Place an order."""
        self.execution.begin(self.listing(request.symbol), now)
        draft = self._draft(uid, request, now)
        answer = draft if isinstance(draft, Rejection) else self._place(draft)
        return answer, self.execution.settle()

    def place_oco(
        self, uid: int, request: OcoRequest, now: int
    ) -> tuple[ListPlaced | Rejection, list[Event]]:
        """Place two orders of which the first that works ends the other."""
        self.execution.begin(self.listing(request.above.symbol), now)
        answer = self._place_list(
            uid, request.list_client_order_id, None, (request.above, request.below)
        )
        return answer, self.execution.settle()

    def place_oto(
        self, uid: int, request: OtoRequest, now: int
    ) -> tuple[ListPlaced | Rejection, list[Event]]:
        """Place an order that is followed by one more (OTO) or by an OCO (OTOCO) once it filled."""
        self.execution.begin(self.listing(request.working.symbol), now)
        answer = self._place_list(
            uid, request.list_client_order_id, request.working, request.pending
        )
        return answer, self.execution.settle()

    # Canceling

    def cancel(
        self,
        uid: int,
        symbol: str,
        now: int,
        *,
        order_id: int | None = None,
        client_order_id: str | None = None,
        cancel_id: str | None = None,
        restriction: Restriction | None = None,
    ) -> tuple[Canceled | ListCanceled | Rejection, list[Event]]:
        """Cancel an order, and with it its list.

        Args:
            uid: Whose it is.
            symbol: Where.
            now: When.
            order_id: Its id; searched first where both are given, and both must fit.
            client_order_id: Its client order id.
            cancel_id: Client order id of the cancel itself; made up where None.
            restriction: The only status in which it is to be canceled.
        """
        self.execution.begin(self.listing(symbol), now)
        answer = self._cancel(uid, order_id, client_order_id, cancel_id, restriction)
        return answer, self.execution.settle()

    def cancel_all(
        self, uid: int, symbol: str, now: int
    ) -> tuple[list[Canceled | ListCanceled] | Rejection, list[Event]]:
        """Cancel every open order of an account in a symbol, and their lists."""
        listing = self.listing(symbol)
        self.execution.begin(listing, now)
        cancel_id = self.drafts.name(None)
        # A list goes with the first of its orders.
        answers = [
            self._cancel_found(order, cancel_id)
            for order in list(listing.opened(self.account(uid).uid))
            if order.live
        ]
        return answers or UNKNOWN_ORDER, self.execution.settle()

    def cancel_list(
        self,
        uid: int,
        symbol: str,
        now: int,
        *,
        list_id: int | None = None,
        list_client_order_id: str | None = None,
        cancel_id: str | None = None,
    ) -> tuple[ListCanceled | Rejection, list[Event]]:
        """Cancel an order list; `list_id` is searched first where both are given."""
        self.execution.begin(self.listing(symbol), now)
        lists = self.execution.lists
        key = list_client_order_id
        if list_id is None and key is not None:
            list_id = lists.clients.get((uid, key))
        made = None if list_id is None else lists.all.get(list_id)
        if (
            made is None
            or made.done
            or (made.uid, made.symbol) != (uid, symbol)
            or key not in {None, made.client_order_id}
        ):
            return UNKNOWN_LIST, self.execution.settle()
        return self._cancel_list(made, self.drafts.name(cancel_id)), self.execution.settle()

    def cancel_replace(
        self,
        uid: int,
        request: OrderRequest,
        now: int,
        *,
        mode: Literal["STOP_ON_FAILURE", "ALLOW_FAILURE"],
        order_id: int | None = None,
        client_order_id: str | None = None,
        cancel_id: str | None = None,
        restriction: Restriction | None = None,
    ) -> tuple[Replaced | Rejection, list[Event]]:
        """Cancel an order and place another; a filter that refuses the new one stops both."""
        self.execution.begin(self.listing(request.symbol), now)
        draft = self._draft(uid, request, now)
        if isinstance(draft, Rejection):
            return draft, self.execution.settle()
        canceled = self._cancel(uid, order_id, client_order_id, cancel_id, restriction)
        placed = None
        if not isinstance(canceled, Rejection) or mode == "ALLOW_FAILURE":
            placed = self._place(draft)
        return Replaced(canceled, placed), self.execution.settle()

    # Inside a transaction

    def _draft(self, uid: int, request: OrderRequest, now: int) -> Order | Rejection:
        """An order as requested, without an id, or what the filters say against it."""
        listing = self.listing(request.symbol)
        drafts = self.drafts.orders(self.account(uid).uid, listing, (request,), now)
        return drafts if isinstance(drafts, Rejection) else drafts[0]

    def _place(self, order: Order) -> Placed | Rejection:
        x = self.execution
        refusal = x.refuse(order)
        if refusal is not None:
            if refusal.reason != "NONE":
                rejected = replace(order, status="REJECTED")
                x.out.report(x.listing, x.now, rejected, "REJECTED", reject_reason=refusal.reason)
            return refusal
        x.accept(order)
        x.work(order)
        return self._placed(order)

    def _placed(self, order: Order) -> Placed:
        fills = self.execution.fills.get(order.order_id, ())
        prevented = self.execution.prevented.get(order.order_id, ())
        return Placed(order.copy(), tuple(fills), tuple(prevented))

    def _place_list(
        self,
        uid: int,
        client_order_id: str | None,
        working: OrderRequest | None,
        pending: tuple[OrderRequest, ...],
    ) -> ListPlaced | Rejection:
        x = self.execution
        alike = {(x.listing.symbol.name, pending[0].side, pending[0].quantity)}
        if pending[0].quantity is None or alike != {
            (leg.symbol, leg.side, leg.quantity) for leg in pending
        }:
            raise UsageError(
                "the legs of a list have no quantity, or differ in symbol, side or quantity",
                where=client_order_id,
                hint="give all orders one symbol, and both legs of an OCO one side and quantity",
            )
        pair = len(pending) == 2
        refusal = check_pair(*pending) if pair else None
        if refusal is not None:
            return refusal
        if pair and pending[1].type in STOP_LOSSES:
            pending = pending[::-1]
        requests = pending if working is None else (working, *pending)
        drafts = self.drafts.orders(self.account(uid).uid, x.listing, requests, x.now)
        if isinstance(drafts, Rejection):
            return drafts
        first, legs = (None, drafts) if working is None else (drafts[0], drafts[1:])
        names = [draft.client_order_id for draft in drafts]
        name = self.drafts.name(client_order_id)
        if (
            len(set(names)) < len(names)
            or any(x.listing.taken(uid, name) for name in names)
            or x.lists.taken(uid, name)
        ):
            return DUPLICATE
        if first is None:
            refusal = x.lists.refuse_legs(legs)
        else:
            refusal = straddle(legs[0], legs[1]) if pair else None
            refusal = refusal or x.refuse(first)
        if refusal is not None:
            return refusal
        made = x.lists.open(uid, name, first, legs)
        for order in drafts:
            x.work(order)
        return ListPlaced(made.copy(), tuple(self._placed(order) for order in drafts))

    def _cancel(
        self,
        uid: int,
        order_id: int | None,
        client_order_id: str | None,
        cancel_id: str | None,
        restriction: Restriction | None,
    ) -> Canceled | ListCanceled | Rejection:
        listing = self.execution.listing
        if order_id is None and client_order_id is not None:
            order_id = listing.clients.get((self.account(uid).uid, client_order_id))
        order = None if order_id is None else listing.orders.get(order_id)
        if (
            order is None
            or not order.live
            or order.uid != uid
            or client_order_id not in {None, order.client_order_id}
        ):
            return UNKNOWN_ORDER
        if restriction is not None and restriction != f"ONLY_{order.status}":
            return RESTRICTED
        return self._cancel_found(order, self.drafts.name(cancel_id))

    def _cancel_found(self, order: Order, cancel_id: str) -> Canceled | ListCanceled:
        if order.list_id >= 0:
            return self._cancel_list(self.execution.lists.all[order.list_id], cancel_id)
        self.execution.cancel(order, cancel_id)
        return Canceled(order.copy(), cancel_id)

    def _cancel_list(self, made: OrderList, cancel_id: str) -> ListCanceled:
        lists = self.execution.lists
        ended = lists.cancel(made, cancel_id)
        orders = tuple(order.copy() for order in lists.orders(made))
        return ListCanceled(
            made.copy(), orders, tuple(Canceled(order.copy(), cancel_id) for order in ended)
        )
