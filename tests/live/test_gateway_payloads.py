"""What the exchange writes is read as it is meant; what can't be read is said to be so.

The payloads are the examples of the exchange's documentation.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_live.feed.events import Malformed, Shutdown
from vostok_live.gateway import payloads
from vostok_live.gateway.frames import Ended, Execution, Other, Reply, decode
from vostok_live.gateway.payloads import Unreadable
from vostok_live.gateway.port import Accepted, Rejected, Unknown

ORDER = {
    "symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": "vl1-1-e",
    "transactTime": 1507725176595, "price": "0.00000000", "origQty": "10.00000000",
    "executedQty": "6.00000000", "origQuoteOrderQty": "0.000000",
    "cummulativeQuoteQty": "10.00000000", "status": "EXPIRED", "timeInForce": "GTC",
    "type": "MARKET", "side": "SELL", "workingTime": 1507725176595,
    "selfTradePreventionMode": "NONE", "expiryReason": "INSUFFICIENT_LIQUIDITY",
    "fills": [
        {"price": "4000.00000000", "qty": "1.00000000", "commission": "4.00000000",
         "commissionAsset": "USDT", "tradeId": 56},
        {"price": "3999.00000000", "qty": "5.00000000", "commission": "19.99500000",
         "commissionAsset": "USDT", "tradeId": 57},
    ],
}  # fmt: skip
CANCELED = {
    "symbol": "LTCBTC", "origClientOrderId": "vl1-1-t", "orderId": 4, "orderListId": -1,
    "clientOrderId": "cancelMyOrder1", "transactTime": 1684804350068, "price": "2.00000000",
    "origQty": "1.00000000", "executedQty": "0.00000000", "status": "CANCELED",
    "timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "selfTradePreventionMode": "NONE",
}  # fmt: skip
LIST = {
    "orderListId": 0, "contingencyType": "OCO", "listStatusType": "ALL_DONE",
    "listOrderStatus": "ALL_DONE", "listClientOrderId": "vl1-1-l",
    "transactionTime": 1574040868128, "symbol": "LTCBTC",
    "orders": [
        {"symbol": "LTCBTC", "orderId": 2, "clientOrderId": "a"},
        {"symbol": "LTCBTC", "orderId": 3, "clientOrderId": "b"},
    ],
    "orderReports": [CANCELED, {**CANCELED, "origClientOrderId": "vl1-1-s", "orderId": 5}],
}  # fmt: skip
REPLACE_PARTLY = {
    "code": -2021,
    "msg": "Order cancel-replace partially failed.",
    "data": {
        "cancelResult": "SUCCESS",
        "newOrderResult": "FAILURE",
        "cancelResponse": CANCELED,
        "newOrderResponse": {"code": -2010, "msg": "Order would immediately match and take."},
    },
}
REPLACE_FAILED = {
    "code": -2022,
    "msg": "Order cancel-replace failed.",
    "data": {
        "cancelResult": "FAILURE",
        "newOrderResult": "NOT_ATTEMPTED",
        "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
        "newOrderResponse": None,
    },
}
TRADES = [
    {
        "symbol": "BNBBTC", "id": 28457, "orderId": 100234, "orderListId": -1,
        "price": "4.00000100", "qty": "12.00000000", "quoteQty": "48.000012",
        "commission": "10.10000000", "commissionAsset": "BNB", "time": 1499865549590,
        "isBuyer": True, "isMaker": False, "isBestMatch": True,
    }
]  # fmt: skip
REPORT = {
    "e": "executionReport", "E": 1499405658658, "s": "ETHBTC", "c": "vl1-1-e", "S": "BUY",
    "o": "LIMIT", "f": "GTC", "q": "1.00000000", "p": "0.10264410", "P": "0.00000000",
    "F": "0.00000000", "g": -1, "C": "", "x": "NEW", "X": "NEW", "r": "NONE", "i": 4293153,
    "l": "0.00000000", "z": "0.00000000", "L": "0.00000000", "n": "0", "N": None,
    "T": 1499405658657, "t": -1, "I": 8641984, "w": True, "m": False, "M": False,
    "O": 1499405658657, "Z": "0.00000000", "Y": "0.00000000", "Q": "0.00000000",
    "W": 1499405658657, "V": "NONE",
}  # fmt: skip


def frame(event: dict[str, Any]) -> bytes:
    return json.dumps({"subscriptionId": 0, "event": event}).encode()


def test_an_order_with_fills() -> None:
    answer = payloads.accepted(ORDER)
    (order,) = answer.reports
    assert order.client_order_id == "vl1-1-e"
    assert order.order_id == 28
    assert order.ts == 1507725176595_000
    assert (order.status, order.filled, order.reason) == (
        "EXPIRED", Decimal(6), "INSUFFICIENT_LIQUIDITY",
    )  # fmt: skip
    first, second = answer.trades
    assert (first.trade_id, first.price, first.qty, first.side) == (
        56, Decimal(4000), Decimal(1), "sell",
    )  # fmt: skip
    assert (second.commission, second.commission_asset) == (Decimal("19.995"), "USDT")
    assert {t.client_order_id for t in answer.trades} == {"vl1-1-e"}
    assert not any(t.maker for t in answer.trades)


def test_a_cancel_names_the_order_and_not_itself() -> None:
    (report,) = payloads.accepted(CANCELED).reports
    assert report.client_order_id == "vl1-1-t"
    assert report.status == "CANCELED"


def test_a_list_reports_each_of_its_orders() -> None:
    reports = payloads.accepted(LIST).reports
    assert [(r.client_order_id, r.order_id) for r in reports] == [("vl1-1-t", 4), ("vl1-1-s", 5)]
    found = payloads.order_list(LIST)
    assert (found.list_client_order_id, found.client_order_ids) == ("vl1-1-l", ("a", "b"))
    assert found.done


@pytest.mark.parametrize("canceled", [CANCELED, LIST])
def test_a_replace_reports_both_halves(canceled: dict[str, Any]) -> None:
    body = {
        "cancelResult": "SUCCESS", "newOrderResult": "SUCCESS", "cancelResponse": canceled,
        "newOrderResponse": ORDER,
    }  # fmt: skip
    answer = payloads.accepted(body)
    assert [r.client_order_id for r in answer.reports][-1] == "vl1-1-e"
    assert {r.status for r in answer.reports[:-1]} == {"CANCELED"}
    assert len(answer.trades) == 2


def test_a_replace_that_canceled_and_could_not_place() -> None:
    outcome = payloads.half_replaced(json.dumps(REPLACE_PARTLY), 409, 1)
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.meaning, outcome.http_status) == (-2010, "refused", 409)
    assert [r.client_order_id for r in outcome.reports] == ["vl1-1-t"]


def test_a_replace_that_canceled_and_placed_nobody_knows_what() -> None:
    body = json.loads(json.dumps(REPLACE_PARTLY))
    body["data"]["newOrderResponse"] = {"code": -1007, "msg": "Timeout"}
    outcome = payloads.half_replaced(json.dumps(body), 409, 77)
    assert isinstance(outcome, Unknown)
    assert outcome.signed_ms == 77
    assert [r.client_order_id for r in outcome.reports] == ["vl1-1-t"]


def test_a_replace_that_could_not_cancel() -> None:
    outcome = payloads.half_replaced(json.dumps(REPLACE_FAILED), 400, 1)
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.meaning) == (-2011, "gone")
    assert outcome.reports == ()


def test_a_replace_that_placed_without_canceling_is_accepted() -> None:
    body = json.loads(json.dumps(REPLACE_FAILED))
    body["data"] |= {"newOrderResult": "SUCCESS", "newOrderResponse": ORDER}
    outcome = payloads.half_replaced(json.dumps(body), 409, 1)
    assert isinstance(outcome, Accepted)
    assert [r.client_order_id for r in outcome.reports] == ["vl1-1-e"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"data": 3}', '{"code": -2021}', "<html>"])
def test_a_replace_that_says_nothing_clear_is_unknown(text: str) -> None:
    assert isinstance(payloads.half_replaced(text, 409, 1), Unknown)


def test_trades_that_were_asked_for() -> None:
    (trade,) = payloads.trades(TRADES)
    assert trade.client_order_id is None
    assert (trade.trade_id, trade.order_id, trade.ts) == (28457, 100234, 1499865549590_000)
    assert (trade.side, trade.maker, trade.source) == ("buy", False, "asked")


def test_times_may_come_in_either_unit() -> None:
    assert payloads.server_time({"serverTime": 1499827319559}) == 1499827319559
    assert payloads.server_time({"serverTime": 1499827319559123}) == 1499827319559


@pytest.mark.parametrize(
    "body",
    [
        None, "", "<html>", [], {}, 7, {"orderId": 1}, {**ORDER, "executedQty": "NaN"},
        {**ORDER, "executedQty": "many"}, {**ORDER, "status": None}, {**ORDER, "transactTime": 0},
        {**ORDER, "fills": [{}]}, {**LIST, "orderReports": [{}]}, {"cancelResult": "SUCCESS"},
        {key: value for key, value in ORDER.items() if key != "status"},
    ],
)  # fmt: skip
def test_an_answer_that_is_no_order_can_not_be_taken_for_one(body: object) -> None:
    with pytest.raises(Unreadable):
        payloads.accepted(body)


@pytest.mark.parametrize("read", [payloads.orders, payloads.trades, payloads.balances])
@pytest.mark.parametrize("body", [None, "", {"code": 0}, [{"symbol": 1}]])
def test_an_answer_to_a_question_that_is_none(read: Any, body: object) -> None:
    with pytest.raises(Unreadable):
        read(body)


def test_an_error_body() -> None:
    assert payloads.error('{"code": -2010, "msg": "no"}') == (-2010, "no")
    assert payloads.error("<html>403</html>") == (None, "<html>403</html>")
    assert payloads.error("") == (None, "")
    assert payloads.error("[" * 10_000)[0] is None


# The user stream


def test_a_report_of_an_order() -> None:
    found = decode(frame(REPORT))
    assert isinstance(found, Execution)
    assert found.symbol == "ETHBTC"
    assert found.order.ts == 1499405658657_000
    assert (found.order.client_order_id, found.order.status) == ("vl1-1-e", "NEW")
    assert found.trade is None


def test_a_report_of_a_trade() -> None:
    event = {
        **REPORT, "x": "TRADE", "X": "PARTIALLY_FILLED", "l": "0.25", "z": "0.50", "L": "0.1026",
        "n": "0.0001", "N": "BNB", "t": 77, "m": True,
    }  # fmt: skip
    found = decode(frame(event))
    assert isinstance(found, Execution)
    assert found.order.filled == Decimal("0.5")
    trade = found.trade
    assert trade is not None
    assert (trade.trade_id, trade.order_id, trade.client_order_id) == (77, 4293153, "vl1-1-e")
    assert (trade.qty, trade.price) == (Decimal("0.25"), Decimal("0.1026"))
    assert (trade.commission, trade.commission_asset) == (Decimal("0.0001"), "BNB")
    assert (trade.side, trade.maker, trade.source) == ("buy", True, "stream")


def test_a_report_of_a_cancel_names_the_order() -> None:
    event = {**REPORT, "x": "CANCELED", "X": "CANCELED", "c": "other", "C": "vl1-1-e"}
    found = decode(frame(event))
    assert isinstance(found, Execution)
    assert found.order.client_order_id == "vl1-1-e"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"r": "NONE"}, ""),
        ({"r": "INSUFFICIENT_BALANCES", "X": "REJECTED"}, "INSUFFICIENT_BALANCES"),
        ({"r": "NONE", "eR": "OCO_TRIGGER", "X": "EXPIRED"}, "OCO_TRIGGER"),
    ],
)
def test_a_report_gives_its_reason(fields: dict[str, str], reason: str) -> None:
    found = decode(frame({**REPORT, **fields}))
    assert isinstance(found, Execution)
    assert found.order.reason == reason


def test_what_is_no_report() -> None:
    assert decode(frame({"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1", "T": 1})) == Other(
        "balanceUpdate"
    )
    assert decode(frame({"e": "eventStreamTerminated", "E": 1728973001334})) == Ended()
    shutdown = b'{"event": {"e": "serverShutdown", "E": 1770123456789}}'
    assert decode(shutdown) == Shutdown(1770123456789_000)
    granted = b'{"id": 3, "status": 200, "result": {"subscriptionId": 0}}'
    assert decode(granted) == Reply(3, 200, None, "")
    refused = b'{"id": 3, "status": 400, "error": {"code": -1021, "msg": "late"}}'
    assert decode(refused) == Reply(3, 400, -1021, "late")


@pytest.mark.parametrize(
    ("data", "flaw"),
    [
        (b"", "empty"), (b"  ", "empty"), (b"{", "not_json"), (b"[]", "wrong_shape"),
        (b"{}", "unexpected"), (b"\xff", "not_json"), (b"[" * 5_000, "wrong_shape"),
        (b'{"event": {"e": "executionReport"}}', "wrong_shape"),
        (frame({**REPORT, "z": "NaN"}), "impossible"), (frame({**REPORT, "T": 3}), "impossible"),
        (b" " * 70_000, "huge"),
    ],
)  # fmt: skip
def test_a_frame_that_can_not_be_read_is_a_finding(data: bytes, flaw: str) -> None:
    found = decode(data)
    assert isinstance(found, Malformed)
    assert found.flaw == flaw


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner),
        ).map(lambda value: json.dumps(value).encode()),
        st.tuples(st.sampled_from(sorted(REPORT)), st.text() | st.integers() | st.none()).map(
            lambda change: frame({**REPORT, change[0]: change[1]})
        ),
    )
)
def test_no_frame_raises(data: bytes) -> None:
    decode(data)


# What others recorded

READERS = {
    "Trading/PlaceOrder": payloads.accepted, "Trading/PlaceOcoOrderList": payloads.accepted,
    "Trading/PlaceOtoOrderList": payloads.accepted,
    "Trading/PlaceOtocoOrderList": payloads.accepted, "Trading/CancelOrder": payloads.accepted,
    "Trading/CancelOcoOrder": payloads.accepted, "Trading/GetOrder": payloads.order,
    "Trading/GetOpenOrders": payloads.orders, "Trading/GetOcoOrder": payloads.order_list,
    "Trading/GetUserTrades": payloads.trades, "Account/GetAccountInfo": payloads.balances,
}  # fmt: skip


@pytest.mark.shared_data
@pytest.mark.parametrize("name", READERS)
def test_answers_that_another_client_is_tested_with(shared: Path, name: str) -> None:
    text = (shared / f"fixtures/binance_net/Endpoints/Spot/{name}.txt").read_text("utf-8-sig")
    body = re.sub(r"^[^\n]*\n[^\n]*\n[^\n]*\n", "", text)
    READERS[name](json.loads(body))


@pytest.mark.shared_data
def test_frames_that_other_clients_are_tested_with(shared: Path) -> None:
    """A perpetual's words, and orders without a client order id, are read as well."""
    folder = shared / "fixtures/nautilus_binance/python_resources/ws_messages"
    files = sorted(folder.glob("ws_spot_execution_report*.json"))
    assert len(files) > 10
    for file in files:
        event = json.loads(file.read_text())["data"]
        found = decode(frame(event))
        assert isinstance(found, Execution), file.name
        traded = event["x"] == "TRADE" and Decimal(event["l"]) > 0
        assert (found.trade is not None) is traded, file.name
