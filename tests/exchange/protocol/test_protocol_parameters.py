"""What is said of requests that can't be used: Binance's codes and texts."""

from __future__ import annotations

from typing import Any

import pytest

from vostok_exchange.protocol.catalogue import METHODS, ROUTES
from vostok_exchange.protocol.faults import BAD_SYMBOL
from vostok_exchange.protocol.parameters import END_TIME, TIME

ORDER = {"symbol": "ABCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
LIMIT = {**ORDER, "quantity": "1", "price": "90"}
MARKET = {"symbol": "ABCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
STOP = {"symbol": "ABCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "1"}
OCO = {
    "symbol": "ABCUSDT", "side": "SELL", "quantity": "1", "aboveType": "LIMIT_MAKER",
    "abovePrice": "900", "belowType": "STOP_LOSS", "belowStopPrice": "1",
}  # fmt: skip
OTO = {
    "symbol": "ABCUSDT", "workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "90",
    "workingQuantity": "1", "workingTimeInForce": "GTC", "pendingType": "MARKET",
    "pendingSide": "SELL", "pendingQuantity": "1",
}  # fmt: skip
REPLACE = {**LIMIT, "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": "1"}


def without(params: dict[str, str], *names: str, **more: str) -> dict[str, str]:
    return {name: value for name, value in params.items() if name not in names} | more


def needed(name: str) -> str:
    return f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


def either(first: str, second: str) -> str:
    return f"Param '{first}' or '{second}' must be sent, but both were empty/null!"


def unasked(name: str) -> str:
    return f"Parameter '{name}' sent when not required."


def invalid(name: str) -> str:
    return f"Data sent for parameter '{name}' is not valid."


def unsupported(what: str) -> str:
    return f"{what} orders are not supported for this symbol."


COMBINATION = "Combination of optional parameters invalid."
LONG = "'; legal range is '^[0-9]{1,20}$'."
ILLEGAL = "Illegal characters found in parameter '"
BAD_NAME = ILLEGAL + "newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'."

PUBLIC: list[tuple[str, dict[str, str], int, str]] = [
    ("depth", {}, -1102, needed("symbol")),
    ("depth", {"symbol": ""}, -1105, "Parameter 'symbol' was empty."),
    ("depth", {"symbol": "NOPE"}, -1121, "Invalid symbol."),
    (
        "depth",
        {"symbol": "abcusdt"},
        -1100,
        ILLEGAL + r"symbol'; legal range is '^[\w\-._&&[^a-z]]{1,50}$'.",
    ),
    ("depth", {"symbol": "ABCUSDT", "limit": "x"}, -1100, ILLEGAL + "limit" + LONG),
    ("depth", {"symbol": "ABCUSDT", "limit": "-1"}, -1100, ILLEGAL + "limit" + LONG),
    (
        "depth",
        {"symbol": "ABCUSDT", "limit": "0"},
        -1130,
        invalid("limit"),
    ),
    ("depth", {"symbol": "ABCUSDT", "symbolStatus": "OPEN"}, -1122, "Invalid symbolStatus."),
    (
        "depth",
        {"symbol": "ABCUSDT", "symbolStatus": "BREAK"},
        -1220,
        "The symbol's status does not match the requested symbolStatus.",
    ),
    ("klines", {"symbol": "ABCUSDT"}, -1102, needed("interval")),
    ("klines", {"symbol": "ABCUSDT", "interval": "7m"}, -1120, "Invalid interval."),
    (
        "klines",
        {"symbol": "ABCUSDT", "interval": "1m", "startTime": "9" * 20},
        -1108,
        "Parameter 'startTime' overflowed.",
    ),
    (
        "klines",
        {"symbol": "ABCUSDT", "interval": "1m", "timeZone": "15"},
        -1130,
        invalid("timeZone"),
    ),
    (
        "aggTrades",
        {"symbol": "ABCUSDT", "fromId": "1", "startTime": "1"},
        -1128,
        COMBINATION,
    ),
    (
        "exchangeInfo",
        {"symbol": "ABCUSDT", "symbols": '["XYZUSDT"]'},
        -1128,
        COMBINATION,
    ),
    ("exchangeInfo", {"symbols": "ABCUSDT"}, -1130, invalid("symbols")),
    (
        "exchangeInfo",
        {"symbols": '["ABCUSDT","ABCUSDT"]'},
        -1151,
        "Symbol is present multiple times in the list.",
    ),
    ("ticker/24hr", {"symbol": "ABCUSDT", "type": "SMALL"}, -1139, "Invalid ticker type."),
    ("time", {"a": "1"}, -1101, "Too many parameters; expected '0' and received '1'."),
    (
        "avgPrice",
        {"symbol": "ABCUSDT", "a": "1"},
        -1104,
        "Not all sent parameters were read; read '1' parameter(s) but was sent '2'.",
    ),
]

SIGNED: list[tuple[str, str, dict[str, str], int, str]] = [
    ("POST", "order", without(LIMIT, "side"), -1102, needed("side")),
    ("POST", "order", without(LIMIT, side="HOLD"), -1117, "Invalid side."),
    ("POST", "order", without(LIMIT, type="ICEBERG"), -1116, "Invalid orderType."),
    ("POST", "order", without(LIMIT, timeInForce="GTX"), -1115, "Invalid timeInForce."),
    ("POST", "order", without(LIMIT, "timeInForce"), -1102, needed("timeInForce")),
    ("POST", "order", without(LIMIT, "price"), -1102, needed("price")),
    ("POST", "order", without(LIMIT, "quantity"), -1102, needed("quantity")),
    ("POST", "order", without(LIMIT, stopPrice="1"), -1106, unasked("stopPrice")),
    ("POST", "order", without(LIMIT, quoteOrderQty="1"), -1106, unasked("quoteOrderQty")),
    ("POST", "order", without(MARKET, "quantity"), -1102, either("quantity", "quoteOrderQty")),
    ("POST", "order", without(MARKET, price="1"), -1106, unasked("price")),
    ("POST", "order", without(MARKET, timeInForce="GTC"), -1106, unasked("timeInForce")),
    ("POST", "order", without(MARKET, quoteOrderQty="9"), -1106, unasked("quoteOrderQty")),
    ("POST", "order", STOP, -1102, either("stopPrice", "trailingDelta")),
    ("POST", "order", without(STOP, trailingDelta="10"), -1013, unsupported("Trailing stop")),
    ("POST", "order", without(LIMIT, icebergQty="1"), -1013, unsupported("Iceberg")),
    ("POST", "order", without(LIMIT, pegPriceType="PRIMARY_PEG"), -1013, unsupported("Pegged")),
    (
        "POST",
        "order",
        without(LIMIT, quantity="1e3"),
        -1100,
        ILLEGAL + r"quantity'; legal range is '^([0-9]{1,20})(\.[0-9]{1,20})?$'.",
    ),
    (
        "POST",
        "order",
        without(LIMIT, newClientOrderId="a b"),
        -1100,
        BAD_NAME,
    ),
    ("POST", "order", without(LIMIT, newClientOrderId="a" * 37), -1100, BAD_NAME),
    (
        "POST",
        "order",
        without(LIMIT, price="90.123456789"),
        -1111,
        "Parameter 'price' has too much precision.",
    ),
    ("POST", "order", without(LIMIT, price="90.005"), -1013, "Filter failure: PRICE_FILTER"),
    ("POST", "order", without(LIMIT, quantity="0.0005"), -1013, "Filter failure: LOT_SIZE"),
    ("POST", "order", without(LIMIT, quantity="0.01"), -1013, "Filter failure: NOTIONAL"),
    ("POST", "order", without(LIMIT, price="2"), -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    (
        "POST",
        "order",
        without(LIMIT, strategyType="9"),
        -1134,
        "strategyType was less than 1000000.",
    ),
    ("POST", "order", without(LIMIT, newOrderRespType="ALL"), -1130, invalid("newOrderRespType")),
    (
        "POST",
        "order",
        without(LIMIT, selfTradePreventionMode="NONE"),
        -1013,
        "This symbol does not allow the specified self-trade prevention mode.",
    ),
    (
        "POST",
        "order",
        without(LIMIT, quantity="1500"),
        -2010,
        "Account has insufficient balance for requested action.",
    ),
    (
        "POST",
        "order",
        without(LIMIT, bogus="1"),
        -1104,
        "Not all sent parameters were read; read '8' parameter(s) but was sent '9'.",
    ),
    ("POST", "order/test", without(LIMIT, quantity="0.01"), -1013, "Filter failure: NOTIONAL"),
    (
        "POST",
        "order/cancelReplace",
        without(REPLACE, "cancelReplaceMode"),
        -1102,
        needed("cancelReplaceMode"),
    ),
    (
        "POST",
        "order/cancelReplace",
        without(REPLACE, "cancelOrderId"),
        -1102,
        either("cancelOrigClientOrderId", "cancelOrderId"),
    ),
    ("DELETE", "order", {"symbol": "ABCUSDT"}, -1102, either("origClientOrderId", "orderId")),
    ("DELETE", "order", {"symbol": "ABCUSDT", "orderId": "7"}, -2011, "Unknown order sent."),
    (
        "DELETE",
        "order",
        {"symbol": "ABCUSDT", "orderId": "7", "cancelRestrictions": "ALL"},
        -1145,
        "Invalid cancelRestrictions",
    ),
    ("DELETE", "openOrders", {"symbol": "ABCUSDT"}, -2011, "Unknown order sent."),
    ("GET", "order", {"symbol": "ABCUSDT"}, -1102, either("origClientOrderId", "orderId")),
    ("GET", "order", {"symbol": "ABCUSDT", "orderId": "7"}, -2013, "Order does not exist."),
    ("GET", "orderList", {}, -1102, either("orderListId", "origClientOrderId")),
    ("GET", "orderList", {"orderListId": "7"}, -2018, "Order list does not exist."),
    (
        "DELETE",
        "orderList",
        {"symbol": "ABCUSDT"},
        -1102,
        either("orderListId", "listClientOrderId"),
    ),
    (
        "DELETE",
        "orderList",
        {"symbol": "ABCUSDT", "orderListId": "7"},
        -2011,
        "Unknown order list sent.",
    ),
    (
        "GET",
        "allOrders",
        {"symbol": "ABCUSDT", "startTime": "1", "endTime": "86400002"},
        -1127,
        "More than 24 hours between startTime and endTime.",
    ),
    ("GET", "allOrderList", {"fromId": "1", "startTime": "1"}, -1128, COMBINATION),
    ("GET", "myTrades", {"symbol": "ABCUSDT", "fromId": "1", "endTime": "1"}, -1128, COMBINATION),
    ("POST", "orderList/oco", without(OCO, "abovePrice"), -1102, needed("abovePrice")),
    (
        "POST",
        "orderList/oco",
        without(OCO, aboveTimeInForce="GTC"),
        -1106,
        unasked("aboveTimeInForce"),
    ),
    ("POST", "orderList/oco", without(OCO, aboveType="MARKET"), -1106, unasked("abovePrice")),
    (
        "POST",
        "orderList/oco",
        without(OCO, "abovePrice", aboveType="MARKET"),
        -1158,
        "Order type not supported in OCO.",
    ),
    (
        "POST",
        "orderList/oco",
        without(OCO, "belowStopPrice", belowType="LIMIT_MAKER", belowPrice="50"),
        -1168,
        "At least one OCO order must be contingent.",
    ),
    (
        "POST",
        "orderList/oto",
        without(OTO, "workingPrice", "workingTimeInForce", workingType="MARKET"),
        -1130,
        invalid("workingType"),
    ),
    ("POST", "orderList/oto", without(OTO, "pendingQuantity"), -1102, needed("pendingQuantity")),
    ("POST", "orderList/otoco", without(OTO, "pendingType"), -1102, needed("pendingAboveType")),
]


def test_public_requests_that_cant_be_used_are_named(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        for path, params, code, msg in PUBLIC:
            reply = await visitor.get(f"/api/v3/{path}", **params)
            assert (reply.status, reply.body) == (400, {"code": code, "msg": msg}), (path, params)
        reply = await visitor.ask("GET", "/api/v3/depth", "symbol=ABCUSDT&symbol=XYZUSDT")
        assert reply.body == {"code": -1101, "msg": "Duplicate values for a parameter detected."}
        reply = await visitor.ask("GET", "/api/v3/time", X_MBX_TIME_UNIT="SECOND")
        assert reply.code == -1194

    play(scenario)


def test_a_refusal_keeps_nothing_of_what_was_refused(play: Any) -> None:
    """Faults are constants: their tracebacks would grow with every request."""

    async def scenario(visitor: Any) -> None:
        api = await visitor.session.ws_connect(f"{visitor.server.url}/ws-api/v3")
        for _ in range(3):
            assert (await visitor.get("/api/v3/depth", symbol="NOPE")).code == -1121
            assert BAD_SYMBOL.__traceback__ is None
            await api.send_json({"id": 1, "method": "depth", "params": {"symbol": "NOPE"}})
            assert (await api.receive_json())["error"]["code"] == -1121
            assert BAD_SYMBOL.__traceback__ is None

    play(scenario)


def test_signed_requests_that_cant_be_used_are_named(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        for method, path, params, code, msg in SIGNED:
            reply = await visitor.signed(method, f"/api/v3/{path}", **params)
            assert (reply.status, reply.body) == (400, {"code": code, "msg": msg}), (path, params)

    play(scenario)


def test_no_operation_takes_a_parameter_that_it_doesnt_know(play: Any) -> None:
    needs = {
        "/api/v3/order/test": LIMIT, "/api/v3/order/cancelReplace": REPLACE,
        "/api/v3/orderList/oco": OCO, "/api/v3/orderList/oto": OTO,
        "/api/v3/orderList": {"symbol": "ABCUSDT", "orderListId": "1"},
        "/api/v3/klines": {"symbol": "ABCUSDT", "interval": "1m"},
        "/api/v3/uiKlines": {"symbol": "ABCUSDT", "interval": "1m"},
        "/api/v3/orderList/otoco": without(
            OTO, "pendingType", pendingAboveType="LIMIT_MAKER", pendingAbovePrice="900",
            pendingBelowType="STOP_LOSS", pendingBelowStopPrice="1",
        ),
    }  # fmt: skip
    of_a_symbol = {
        "depth", "trades", "historicalTrades", "aggTrades", "avgPrice", "allOrders", "myTrades",
    }  # fmt: skip

    def form(method: str, path: str) -> dict[str, str]:
        if path == "/api/v3/order":
            return LIMIT if method == "POST" else {"symbol": "ABCUSDT", "orderId": "1"}
        if path == "/api/v3/orderList" and method == "GET":
            return {"orderListId": "1"}
        cancels_all = method == "DELETE" and path.endswith("/openOrders")
        if cancels_all or path.rsplit("/", 1)[1] in of_a_symbol:
            return {"symbol": "ABCUSDT"}
        return needs.get(path, {})

    async def scenario(visitor: Any) -> None:
        for (method, path), operation in ROUTES.items():
            params = {**form(method, path), "bogus": "1"}
            if operation.security == "NONE":
                reply = await visitor.get(path, **params)
            else:
                reply = await visitor.signed(method, path, **params)
            assert reply.status == 400, (method, path, reply.body)
            assert reply.code in {-1101, -1104}, (method, path, reply.body)
        assert (await visitor.signed("GET", "/api/v3/openOrders")).body == []

    play(scenario)


def test_every_operation_can_be_asked_by_rest_and_market_ones_by_the_websocket_api() -> None:
    by_rest = set(ROUTES.values())
    assert set(METHODS.values()) <= by_rest
    only_rest = {
        path for (_, path), operation in ROUTES.items() if operation not in METHODS.values()
    }
    assert all("sapi" in path or path[1:5] in {"fapi", "dapi"} for path in only_rest)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("1743422400000", 1_743_422_400_000_000, 1_743_422_400_000_999),
        ("1743422400000000", 1_743_422_400_000_000, 1_743_422_400_000_000),
    ],
)
def test_times_are_in_milliseconds_or_microseconds(text: str, start: int, end: int) -> None:
    assert TIME.parse(text) == start
    assert END_TIME.parse(text) == end
