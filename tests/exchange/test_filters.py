"""Binance's filters, at and just past their bounds, with Binance's codes and texts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from vostok_core.errors import UsageError
from vostok_core.market.instrument import Instrument
from vostok_exchange.filters import Average, Filters, Terms
from vostok_exchange.listing import Recent
from vostok_exchange.orders import OrderRequest, OrderType, Rejection
from vostok_exchange.venue import Venue

LIMIT: dict[str, Any] = {
    "symbol": "ABCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": Decimal(1),
    "price": Decimal(100),
    "time_in_force": "GTC",
}
STOP = {"type": "STOP_LOSS_LIMIT", "stop_price": Decimal(90)}
MARKET = {"type": "MARKET", "price": None, "time_in_force": None}
STOP_MARKET = {**MARKET, "type": "STOP_LOSS", "stop_price": Decimal(90)}
HUNDRED = Average(10_000 * 7, 7)


@pytest.fixture
def filters(instrument: Instrument) -> Filters:
    return Filters.of(instrument)


def verdict(filters: Filters, average: Average = HUNDRED, **changes: Any) -> Rejection | None:
    request = OrderRequest(**{**LIMIT, **changes})
    terms = filters.read(request)
    return terms if isinstance(terms, Rejection) else filters.check(request, terms, average)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"price": Decimal("500.00"), "quantity": Decimal("0.010")},
        {"price": Decimal("20.00"), "quantity": Decimal("0.25")},
        {"side": "SELL", "price": Decimal("500.00"), "quantity": Decimal("0.010")},
        {"quantity": Decimal("0.05")},
        {"quantity": Decimal(90_000)},
        STOP,
        {**STOP_MARKET, "quantity": Decimal("0.056")},
        {**MARKET, "quantity": Decimal("0.05")},
        {**MARKET, "quantity": Decimal(10_000)},
        {**MARKET, "quantity": None, "quote_order_qty": Decimal(5)},
    ],
)
def test_what_keeps_to_every_bound_passes(filters: Filters, changes: dict[str, Any]) -> None:
    assert verdict(filters, **changes) is None


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"price": Decimal("100.005")}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": Decimal("1000000.01")}, -1013, "Filter failure: PRICE_FILTER"),
        ({**STOP, "stop_price": Decimal("90.001")}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": Decimal(0)}, -1013, "Invalid price."),
        ({**STOP, "stop_price": Decimal(0)}, -1013, "Invalid stopPrice."),
        ({"quantity": Decimal(0)}, -1013, "Invalid quantity."),
        ({"quantity": Decimal("1.0005")}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": Decimal("900000.001")}, -1013, "Filter failure: LOT_SIZE"),
        (
            {**MARKET, "quantity": Decimal("10000.001")},
            -1013,
            "Filter failure: MARKET_LOT_SIZE",
        ),
        ({"quantity": Decimal("0.049")}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": Decimal("90000.001")}, -1013, "Filter failure: NOTIONAL"),
        ({**MARKET, "quantity": Decimal("0.049")}, -1013, "Filter failure: NOTIONAL"),
        ({**STOP_MARKET, "quantity": Decimal("0.055")}, -1013, "Filter failure: NOTIONAL"),
        (
            {**MARKET, "quantity": None, "quote_order_qty": Decimal("4.99999999")},
            -1013,
            "Filter failure: NOTIONAL",
        ),
        ({"price": Decimal("500.01")}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"price": Decimal("19.99")}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        (
            {"side": "SELL", "price": Decimal("500.01")},
            -1013,
            "Filter failure: PERCENT_PRICE_BY_SIDE",
        ),
        (
            {"side": "SELL", "price": Decimal("19.99")},
            -1013,
            "Filter failure: PERCENT_PRICE_BY_SIDE",
        ),
        ({"price": Decimal("100.000000001")}, -1111, "Parameter 'price' has too much precision."),
        (
            {"quantity": Decimal("1.000000000")},
            -1111,
            "Parameter 'quantity' has too much precision.",
        ),
        (
            {**STOP, "stop_price": Decimal("1e-9")},
            -1111,
            "Parameter 'stopPrice' has too much precision.",
        ),
        (
            {**MARKET, "quantity": None, "quote_order_qty": Decimal("9.999999999")},
            -1111,
            "Parameter 'quoteOrderQty' has too much precision.",
        ),
    ],
)
def test_what_breaks_a_bound_is_named(
    filters: Filters, changes: dict[str, Any], code: int, text: str
) -> None:
    assert verdict(filters, **changes) == Rejection(code, text)


def test_percent_price_differs_by_side(filters: Filters) -> None:
    skewed = replace(filters, bid_up=Decimal("1.2"), ask_down=Decimal("0.8"))
    assert verdict(skewed, price=Decimal("120.00")) is None
    assert verdict(skewed, price=Decimal("120.01")) is not None
    assert verdict(skewed, side="SELL", price=Decimal("120.01")) is None
    assert verdict(skewed, side="SELL", price=Decimal("80.00")) is None
    assert verdict(skewed, side="SELL", price=Decimal("79.99")) is not None
    assert verdict(skewed, price=Decimal("79.99")) is None


def test_the_average_is_weighted_by_volume_over_the_last_minutes() -> None:
    recent = Recent(5)
    minute = 60_000_000
    assert recent.average(0, 123) == Average(123, 1)
    recent.add(0, 100 * 10, 10)
    recent.add(minute, 200 * 30, 30)
    assert recent.average(2 * minute, 200) == Average(7_000, 40)
    assert recent.average(5 * minute - 1, 200) == Average(7_000, 40)
    assert recent.average(5 * minute, 200) == Average(6_000, 30)
    assert recent.average(6 * minute, 200) == Average(200, 1)


def test_zero_minutes_are_the_last_price_alone() -> None:
    recent = Recent(0)
    recent.add(7, 100 * 10, 10)
    assert recent.average(7, 90) == Average(90, 1)


@pytest.mark.parametrize(
    ("counts", "new", "failing"),
    [
        ((199, 0, 0), ("LIMIT",), None),
        ((200, 0, 0), ("LIMIT",), "MAX_NUM_ORDERS"),
        ((198, 4, 0), ("STOP_LOSS", "LIMIT_MAKER"), None),
        ((199, 4, 0), ("STOP_LOSS", "LIMIT_MAKER"), "MAX_NUM_ORDERS"),
        ((9, 5, 0), ("TAKE_PROFIT_LIMIT",), "MAX_NUM_ALGO_ORDERS"),
        ((9, 4, 0), ("STOP_LOSS", "TAKE_PROFIT"), "MAX_NUM_ALGO_ORDERS"),
        ((9, 5, 0), ("LIMIT",), None),
        ((40, 4, 19), ("LIMIT", "STOP_LOSS", "LIMIT_MAKER"), None),
        ((40, 4, 20), ("LIMIT", "STOP_LOSS", "LIMIT_MAKER"), "MAX_NUM_ORDER_LISTS"),
        ((40, 4, 20), ("LIMIT",), None),
    ],
)
def test_an_account_has_so_many_orders_and_no_more(
    filters: Filters, counts: tuple[int, int, int], new: tuple[OrderType, ...], failing: str | None
) -> None:
    expected = failing and Rejection(-2010, f"Filter failure: {failing}")
    assert filters.check_counts(*counts, new) == expected


def test_exchange_info_lists_what_is_enforced(filters: Filters) -> None:
    listed = {entry.pop("filterType"): entry for entry in filters.listed()}
    assert listed["PRICE_FILTER"] == {
        "minPrice": "0.01000000",
        "maxPrice": "1000000.00000000",
        "tickSize": "0.01000000",
    }
    assert listed["LOT_SIZE"] == {
        "minQty": "0.00100000",
        "maxQty": "900000.00000000",
        "stepSize": "0.00100000",
    }
    assert listed["MARKET_LOT_SIZE"]["maxQty"] == "10000.00000000"
    assert listed["NOTIONAL"] == {
        "minNotional": "5.00000000",
        "applyMinToMarket": True,
        "maxNotional": "9000000.00000000",
        "applyMaxToMarket": False,
        "avgPriceMins": 5,
    }
    assert set(listed) - {"PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "NOTIONAL"} == {
        "TRAILING_DELTA",
        "PERCENT_PRICE_BY_SIDE",
        "MAX_NUM_ORDERS",
        "MAX_NUM_ALGO_ORDERS",
        "MAX_NUM_ORDER_LISTS",
    }


def test_a_request_becomes_integers(filters: Filters) -> None:
    request = OrderRequest(**{**LIMIT, **STOP, "quantity": Decimal("1.50000000")})
    assert filters.read(request) == Terms(qty=1_500, price=10_000, stop_price=9_000, quote_qty=0)


@pytest.mark.parametrize(
    "changes",
    [{"price": None}, {"time_in_force": None}, {"stop_price": Decimal(1)}, {"quantity": None}],
)
def test_a_malformed_request_never_gets_as_far(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="LIMIT order with"):
        OrderRequest(**{**LIMIT, **changes})


def test_the_venue_asks_the_filters_before_anything_else(venue: Venue) -> None:
    request = OrderRequest(**{**LIMIT, "quantity": Decimal("0.049")})
    rejection = Rejection(-1013, "Filter failure: NOTIONAL")
    assert venue.check(1, request, 5) == rejection
    assert venue.place(1, request, 5) == (rejection, [])
