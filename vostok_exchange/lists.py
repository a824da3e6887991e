"""Order lists: OCO, OTO and OTOCO.

An OCO's two legs share one reserve, the larger of what they need. The first that trades or whose
stop is reached claims it and ends the other; when one expires or is canceled, so is the other. In
an OTO or OTOCO the pending orders lock nothing and rest nowhere until the working order has filled
in full; then they are placed as if they had just been sent, and expire if they are refused.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from vostok_exchange.events import ListStatus
from vostok_exchange.orders import (
    ALGO,
    BAD_PRICES,
    BOTH_LIMIT,
    BUY_LIMIT_BELOW,
    BUY_PROFIT_BELOW,
    BUY_STOP_ABOVE,
    OCO_TYPE,
    SELL_LIMIT_ABOVE,
    SELL_PROFIT_ABOVE,
    SELL_STOP_BELOW,
    STOP_LOSSES,
    TAKE_PROFITS,
    Order,
    OrderList,
    OrderRequest,
    Rejection,
)

if TYPE_CHECKING:
    from vostok_exchange.execution import Execution


def check_pair(above: OrderRequest, below: OrderRequest) -> Rejection | None:
    """Whether two orders can be the legs of an OCO, whatever the market."""
    kinds = {above.type, below.type}
    if not kinds <= ALGO | {"LIMIT_MAKER"}:
        return OCO_TYPE
    if kinds == {"LIMIT_MAKER"}:
        return BOTH_LIMIT
    if above.side == "BUY":
        if above.type == "LIMIT_MAKER":
            return BUY_LIMIT_BELOW
        if below.type in STOP_LOSSES:
            return BUY_STOP_ABOVE
        return BUY_PROFIT_BELOW if above.type in TAKE_PROFITS else None
    if below.type == "LIMIT_MAKER":
        return SELL_LIMIT_ABOVE
    if above.type in STOP_LOSSES:
        return SELL_STOP_BELOW
    return SELL_PROFIT_ABOVE if below.type in TAKE_PROFITS else None


def straddle(stop: Order, profit: Order, *last_price: int) -> Rejection | None:
    """Whether an OCO's stop and aim are on the right sides of each other, and of the last price."""
    aim = profit.stop_price if profit.type == "TAKE_PROFIT" else profit.price
    marks = (stop.stop_price, *last_price, aim)
    rising = marks if stop.side == "SELL" else marks[::-1]
    return None if all(low < high for low, high in pairwise(rising)) else BAD_PRICES


class Lists:
    """The venue's order lists, by number."""

    def __init__(self, execution: Execution) -> None:
        self._x = execution
        self.all: dict[int, OrderList] = {}
        self.clients: dict[tuple[int, str], int] = {}
        self.next_list_id = 0

    def taken(self, uid: int, client_order_id: str) -> bool:
        """Whether one of an account's open lists goes by a client order id."""
        list_id = self.clients.get((uid, client_order_id))
        return list_id is not None and not self.all[list_id].done

    def orders(self, made: OrderList) -> list[Order]:
        """The orders of a list of the transaction's symbol."""
        return [self._x.listing.orders[order_id] for order_id in made.order_ids]

    def refuse_legs(self, legs: list[Order]) -> Rejection | None:
        """Why the legs of an OCO, or the one order of an OTO, can't be placed now."""
        x = self._x
        if len(legs) == 2:
            refusal = straddle(legs[0], legs[1], x.listing.last_price)
            if refusal is not None:
                return refusal
        for leg in legs:
            refusal = x.refuse_price(leg)
            if refusal is not None:
                return refusal
        return x.refuse_funds(legs[0].uid, self._need(legs))

    def open(
        self, uid: int, client_order_id: str, working: Order | None, legs: list[Order]
    ) -> OrderList:
        """Accept a list whose orders nothing speaks against, up to where they start to match."""
        x = self._x
        list_id = self.next_list_id
        self.next_list_id += 1
        orders = [*legs] if working is None else [working, *legs]
        for order in orders:
            order.list_id = list_id
            if working is not None and order is not working:
                order.status = "PENDING_NEW"
        # An OCO's legs share the reserve of the list, locked once it exists.
        for order in orders:
            x.accept(order, reserve=working is not None)
        made = OrderList(
            list_id,
            uid,
            x.listing.symbol.name,
            "OCO" if working is None else "OTO",
            client_order_id,
            tuple(order.order_id for order in orders),
            -1 if working is None else working.order_id,
            x.now,
        )
        self.enter(made)
        if working is None:
            self._reserve(made, self._need(legs)[1])
        self._tell(made)
        return made

    def enter(self, made: OrderList) -> None:
        """File a list."""
        self.all[made.list_id] = made
        self.clients[made.uid, made.client_order_id] = made.list_id

    def cancel(self, made: OrderList, cancel_id: str) -> list[Order]:
        """Cancel what is live of a list, and return it."""
        live = [order for order in self.orders(made) if order.live]
        self._reserve(made, 0)
        for order in live:
            self._x.cancel(order, cancel_id)
        self._check_done(made)
        return live

    def claim(self, order: Order) -> None:
        """Before a leg trades: the reserve of its pair becomes its own."""
        made = self.all.get(order.list_id)
        if made is not None and made.reserve and order.order_id != made.working_id:
            order.reserve, made.reserve = made.reserve, 0

    def traded(self, order: Order) -> None:
        """After a fill: end the other leg, or get the pending orders ready."""
        made = self.all.get(order.list_id)
        if made is None:
            return
        if order.order_id != made.working_id:
            self._end_other(made, order)
        elif order.status == "FILLED":
            self._x.then(made)
        self._check_done(made)

    def triggered(self, order: Order) -> None:
        """Before a stop that was reached works: end the other leg."""
        made = self.all.get(order.list_id)
        if made is not None:
            self.claim(order)
            self._end_other(made, order)

    def ended(self, order: Order) -> None:
        """After an order of a list expired by itself: so do those that depend on it."""
        made = self.all.get(order.list_id)
        if made is None:
            return
        self._reserve(made, 0)
        if order.order_id == made.working_id:
            for leg in self.orders(made)[1:]:
                if leg.live:
                    self._x.expire(leg, "OTO_PHASE_ONE_EXPIRED")
        else:
            self._end_other(made, order)
        self._check_done(made)

    def activate(self, made: OrderList) -> None:
        """Place the pending orders of a list whose working order filled."""
        x = self._x
        legs = [order for order in self.orders(made)[1:] if order.status == "PENDING_NEW"]
        if not legs:
            return
        if self.refuse_legs(legs) is not None:
            for leg in legs:
                x.expire(leg, "REJECTED")
            self._check_done(made)
            return
        if len(legs) == 2:
            self._reserve(made, self._need(legs)[1])
        for leg in legs:
            x.start(leg, reserve=len(legs) == 1)
        made.ts = x.now
        self._tell(made)
        for leg in legs:
            x.work(leg)

    def _need(self, legs: list[Order]) -> tuple[str, int]:
        needs = [self._x.pays(leg) for leg in legs]
        return needs[0][0], max(amount for _, amount in needs)

    def _reserve(self, made: OrderList, amount: int) -> None:
        if amount == made.reserve:
            return
        x = self._x
        asset = x.listing.symbol.paid_in(self.orders(made)[-1].side)
        x.accounts[made.uid].lock(asset, amount - made.reserve)
        x.out.touch(made.uid, asset)
        made.reserve = amount

    def _end_other(self, made: OrderList, order: Order) -> None:
        for leg in self.orders(made):
            if leg is not order and leg.live:
                self._x.expire(leg, "OCO_TRIGGER")

    def _check_done(self, made: OrderList) -> None:
        if not made.done and not any(order.live for order in self.orders(made)):
            made.done = True
            made.ts = self._x.now
            self._tell(made)

    def _tell(self, made: OrderList) -> None:
        names = tuple((order.order_id, order.client_order_id) for order in self.orders(made))
        self._x.out.events.append(ListStatus(made.uid, self._x.now, made.copy(), names))
