"""A symbol with small numbers, and a venue with two accounts that trades it.

A tick is 0.01 and a lot 0.001, so 100.00 is 10,000 ticks and 1 is 1,000 lots. The last price is
100.00; an account's rates are ten basis points, whichever way, and a BNB is worth 500 USDT.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_exchange.matching import Side
from vostok_exchange.orders import OrderRequest, OrderType, TimeInForce
from vostok_exchange.venue import Venue


@pytest.fixture
def instrument() -> Instrument:
    return Instrument(
        InstrumentId.parse("demo.spot.ABC-USDT"),
        "agg_trade",
        Decimal("0.01"),
        Decimal("0.001"),
        Decimal(5),
        600_000_000,
    )


@pytest.fixture
def venue(instrument: Instrument) -> Venue:
    venue = Venue({"USDT": Decimal(500)})
    venue.list_symbol(instrument, last_price=Decimal(100), next_id=1_000)
    opening = {"USDT": Decimal(10_000), "ABC": Decimal(100)}
    venue.open_account(1, {**opening, "BNB": Decimal(10)})
    venue.open_account(2, opening)
    return venue


Send = Callable[..., OrderRequest]


@pytest.fixture
def order() -> Send:
    """Writes an order: `order("BUY", "LIMIT", "1.5", "99.50", tif="IOC", cid="a")`."""

    def write(
        side: Side,
        kind: OrderType,
        quantity: str | None,
        price: str | None = None,
        *,
        stop: str | None = None,
        quote: str | None = None,
        tif: TimeInForce | None = None,
        cid: str | None = None,
        stp: str | None = None,
    ) -> OrderRequest:
        needs_tif = kind in {"LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"}
        return OrderRequest(
            "ABCUSDT",
            side,
            kind,
            quantity=None if quantity is None else Decimal(quantity),
            quote_order_qty=None if quote is None else Decimal(quote),
            price=None if price is None else Decimal(price),
            stop_price=None if stop is None else Decimal(stop),
            time_in_force=(tif or "GTC") if needs_tif else None,
            client_order_id=cid,
            self_trade_prevention=stp,
        )

    return write
