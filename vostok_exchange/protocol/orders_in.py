"""New orders as they are written in a request, alone or as a part of a list.

In a list every parameter of an order begins with its part: `abovePrice`, `workingType`,
`pendingBelowTimeInForce`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from vostok_exchange.matching import Side
from vostok_exchange.orders import ALGO, PRICED, OrderRequest, OrderType
from vostok_exchange.protocol.faults import (
    Fault,
    invalid,
    missing,
    not_required,
    one_needed,
    unsupported,
)
from vostok_exchange.protocol.parameters import (
    CLIENT_ID,
    DECIMAL,
    LONG,
    PREVENTION,
    SIDE,
    TEXT,
    TIME_IN_FORCE,
    TYPE,
    Parameters,
)

_LEAST_STRATEGY_TYPE = 1_000_000
_UNSUPPORTED = {
    "IcebergQty": "Iceberg",
    "TrailingDelta": "Trailing stop",
    "PegPriceType": "Pegged",
    "PegOffsetType": "Pegged",
    "PegOffsetValue": "Pegged",
}


@dataclass(frozen=True)
class Part:
    """An order of a request.

    Attributes:
        parameters: The request's.
        symbol: What it trades.
        prefix: What its parameters begin with; empty for an order alone.
    """

    parameters: Parameters
    symbol: str
    prefix: str = ""

    def name(self, base: str) -> str:
        """A parameter of this order: `Price` is `price`, or `abovePrice`."""
        if self.prefix:
            return self.prefix + base
        return "newClientOrderId" if base == "ClientOrderId" else base[0].lower() + base[1:]

    def request(self, *, side: Side | None = None, quantity: Decimal | None = None) -> OrderRequest:
        """The order; side and quantity where they are not its own parameters.

        Raises:
            Fault: It can't be one.
        """
        parameters, name = self.parameters, self.name
        own_quantity = quantity is None
        taken = parameters.required(name("Side"), SIDE) if side is None else side
        kind = parameters.required(name("Type"), TYPE)
        if own_quantity:
            quantity = parameters.optional(name("Quantity"), DECIMAL)
        by_quote = None if self.prefix else parameters.optional("quoteOrderQty", DECIMAL)
        price = parameters.optional(name("Price"), DECIMAL)
        stop_price = parameters.optional(name("StopPrice"), DECIMAL)
        time_in_force = parameters.optional(name("TimeInForce"), TIME_IN_FORCE)
        client_order_id = parameters.optional(name("ClientOrderId"), CLIENT_ID)
        strategy_id = parameters.optional(name("StrategyId"), LONG)
        strategy_type = parameters.optional(name("StrategyType"), LONG)
        prevention = parameters.optional("selfTradePreventionMode", PREVENTION)
        for base, what in _UNSUPPORTED.items():
            if parameters.optional(name(base), TEXT) is not None:
                raise unsupported(what)
        if strategy_type is not None and strategy_type < _LEAST_STRATEGY_TYPE:
            raise Fault(-1134, "strategyType was less than 1000000.")
        self._check(kind, quantity, by_quote, price, stop_price, time_in_force)
        return OrderRequest(
            self.symbol,
            taken,
            kind,
            quantity,
            by_quote,
            price,
            stop_price,
            time_in_force,
            client_order_id,
            prevention,
            strategy_id,
            strategy_type,
        )

    def _check(
        self,
        kind: OrderType,
        quantity: Decimal | None,
        by_quote: Decimal | None,
        price: Decimal | None,
        stop_price: Decimal | None,
        time_in_force: str | None,
    ) -> None:
        """What a type needs must be there, and nothing else."""
        name = self.name
        if kind == "MARKET" and not self.prefix:
            if quantity is by_quote is None:
                raise one_needed("quantity", "quoteOrderQty")
            if quantity is not None and by_quote is not None:
                raise not_required("quoteOrderQty")
        elif quantity is None:
            raise missing(name("Quantity"))
        elif by_quote is not None:
            raise not_required("quoteOrderQty")
        if kind in ALGO and stop_price is None:
            raise one_needed(name("StopPrice"), name("TrailingDelta"))
        needs = (
            ("TimeInForce", time_in_force, kind in PRICED and kind != "LIMIT_MAKER"),
            ("Price", price, kind in PRICED),
            ("StopPrice", stop_price, kind in ALGO),
        )
        for base, value, needed in needs:
            if needed and value is None:
                raise missing(name(base))
            if value is not None and not needed:
                raise not_required(name(base))


def working(parameters: Parameters, symbol: str) -> OrderRequest:
    """The order of a list that the others wait for.

    Raises:
        Fault: It can't be one.
    """
    request = Part(parameters, symbol, "working").request()
    if request.type not in {"LIMIT", "LIMIT_MAKER"}:
        raise invalid("workingType")
    return request
