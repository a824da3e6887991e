"""Binance's filters of a symbol: what a request must keep to, and how exchangeInfo lists them.

https://github.com/binance/binance-spot-api-docs/blob/master/filters.md. Prices are averaged over
the trades of the last `avg_price_mins`; where nobody traded, the last price stands in.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from vostok_core.market.instrument import Instrument
from vostok_exchange.orders import ALGO, PRICED, OrderRequest, OrderType, Rejection
from vostok_exchange.symbols import PLACES, Symbol, amount_text, units

_PARAMETERS = {
    "quantity": "quantity",
    "quote_order_qty": "quoteOrderQty",
    "price": "price",
    "stop_price": "stopPrice",
}


class Average(NamedTuple):
    """An average price: atoms that were paid, for how many lots (never 0)."""

    atoms: int
    lots: int


class Terms(NamedTuple):
    """A request in integers; 0 where it names none."""

    qty: int
    price: int
    stop_price: int
    quote_qty: int


def failure(name: str, code: int = -1013) -> Rejection:
    """The rejection that names a filter; filters of counts are the matching engine's, -2010."""
    return Rejection(code, f"Filter failure: {name}")


@dataclass(frozen=True, slots=True)
class Filters:
    """A symbol's filters, in ticks, lots and atoms.

    The defaults are those of Binance's BTCUSDT, where they don't follow from the instrument.

    Attributes:
        symbol: What they are the filters of.
        min_notional: NOTIONAL, atoms.
        max_notional: NOTIONAL, atoms; not asked of MARKET orders.
        max_price: PRICE_FILTER; the least price is one tick.
        max_qty: LOT_SIZE; the least quantity is one lot.
        max_market_qty: MARKET_LOT_SIZE; it has no least quantity and no step of its own.
        bid_up: PERCENT_PRICE_BY_SIDE, greatest multiple of the average price for a buy.
        bid_down: Least multiple for a buy.
        ask_up: Greatest multiple for a sell.
        ask_down: Least multiple for a sell.
        avg_price_mins: Minutes of trades that the average price is taken over; 0: the last price.
        max_orders: MAX_NUM_ORDERS.
        max_algo_orders: MAX_NUM_ALGO_ORDERS.
        max_order_lists: MAX_NUM_ORDER_LISTS.
    """

    symbol: Symbol
    min_notional: int
    max_notional: int
    max_price: int = 10**8
    max_qty: int = 9 * 10**8
    max_market_qty: int = 10**7
    bid_up: Decimal = Decimal(5)
    bid_down: Decimal = Decimal("0.2")
    ask_up: Decimal = Decimal(5)
    ask_down: Decimal = Decimal("0.2")
    avg_price_mins: int = 5
    max_orders: int = 200
    max_algo_orders: int = 5
    max_order_lists: int = 20

    @classmethod
    def of(cls, instrument: Instrument) -> Filters:
        """The filters of an instrument of the universe."""
        symbol = Symbol.of(instrument)
        least = Fraction(instrument.min_notional) / Fraction(instrument.quote_atom)
        most = Fraction(9_000_000) / Fraction(instrument.quote_atom)
        return cls(symbol, -(-least // 1), most // 1)

    def read(self, request: OrderRequest) -> Terms | Rejection:
        """A request in integers, or what is wrong with its precision, its steps or their range."""
        for name, parameter in _PARAMETERS.items():
            value: Decimal | None = getattr(request, name)
            exponent = 0 if value is None else value.as_tuple().exponent
            if not isinstance(exponent, int) or exponent < -PLACES:
                return Rejection(-1111, f"Parameter '{parameter}' has too much precision.")
        prices = []
        for price, name in ((request.price, "price"), (request.stop_price, "stopPrice")):
            ticks = 0 if price is None else self.symbol.ticks(price)
            if price is not None and price <= 0:
                return Rejection(-1013, f"Invalid {name}.")
            if ticks is None or ticks > self.max_price:
                return failure("PRICE_FILTER")
            prices.append(ticks)
        if request.quantity is not None and request.quantity <= 0:
            return Rejection(-1013, "Invalid quantity.")
        lots = 0 if request.quantity is None else self.symbol.lots(request.quantity)
        if lots is None or lots > self.max_qty:
            return failure("LOT_SIZE")
        if request.type == "MARKET" and lots > self.max_market_qty:
            return failure("MARKET_LOT_SIZE")
        quote = 0 if request.quote_order_qty is None else units(request.quote_order_qty)
        assert quote is not None, "eight decimals are whole units"
        if request.quote_order_qty is not None and quote <= 0:
            return Rejection(-1013, "Invalid quoteOrderQty.")
        return Terms(lots, prices[0], prices[1], quote)

    def check(self, request: OrderRequest, terms: Terms, average: Average) -> Rejection | None:
        """Whether an order's price and worth are within range; None where they are."""
        if request.type in PRICED:
            up, down = (
                (self.bid_up, self.bid_down)
                if request.side == "BUY"
                else (self.ask_up, self.ask_down)
            )
            asked = terms.price * average.lots
            if not average.atoms * down <= asked <= average.atoms * up:
                return failure("PERCENT_PRICE_BY_SIDE")
        if terms.quote_qty:
            notional = Fraction(terms.quote_qty, self.symbol.atom)
        elif price := terms.price or terms.stop_price:
            # Binance doesn't say what a stop order without a limit is worth; its stop price is.
            notional = Fraction(price * terms.qty)
        else:
            notional = Fraction(average.atoms * terms.qty, average.lots)
        if notional < self.min_notional:
            return failure("NOTIONAL")
        if notional > self.max_notional and request.type != "MARKET":
            return failure("NOTIONAL")
        return None

    def check_counts(
        self, orders: int, algo_orders: int, lists: int, new: tuple[OrderType, ...]
    ) -> Rejection | None:
        """Whether an account may have more open orders.

        Args:
            orders: Open ones in this symbol, algo orders included.
            algo_orders: Open stop-loss and take-profit orders.
            lists: Open order lists.
            new: Types of the new orders; two or more of them are a list.
        """
        if orders + len(new) > self.max_orders:
            return failure("MAX_NUM_ORDERS", -2010)
        if algo_orders + sum(kind in ALGO for kind in new) > self.max_algo_orders:
            return failure("MAX_NUM_ALGO_ORDERS", -2010)
        if len(new) > 1 and lists + 1 > self.max_order_lists:
            return failure("MAX_NUM_ORDER_LISTS", -2010)
        return None

    def listed(self) -> list[dict[str, Any]]:
        """The filters as exchangeInfo lists them."""
        price, quantity = self.symbol.price_text, self.symbol.quantity_text
        return [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": price(1),
                "maxPrice": price(self.max_price),
                "tickSize": price(1),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": quantity(1),
                "maxQty": quantity(self.max_qty),
                "stepSize": quantity(1),
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": amount_text(0),
                "maxQty": quantity(self.max_market_qty),
                "stepSize": amount_text(0),
            },
            {
                "filterType": "TRAILING_DELTA",
                "minTrailingAboveDelta": 10,
                "maxTrailingAboveDelta": 2000,
                "minTrailingBelowDelta": 10,
                "maxTrailingBelowDelta": 2000,
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": str(self.bid_up),
                "bidMultiplierDown": str(self.bid_down),
                "askMultiplierUp": str(self.ask_up),
                "askMultiplierDown": str(self.ask_down),
                "avgPriceMins": self.avg_price_mins,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": self.symbol.worth_text(self.min_notional),
                "applyMinToMarket": True,
                "maxNotional": self.symbol.worth_text(self.max_notional),
                "applyMaxToMarket": False,
                "avgPriceMins": self.avg_price_mins,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": self.max_orders},
            {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": self.max_order_lists},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": self.max_algo_orders},
        ]
