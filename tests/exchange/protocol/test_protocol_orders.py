"""Orders and lists by REST: what is answered, by default and when asked, and what came of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from vostok_core.times import MINUTE
from vostok_exchange.commands import Deposit


async def ok(awaitable: Any) -> Any:
    reply = await awaitable
    assert reply.status == 200, reply.body
    return reply.body


ACK = {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
RESULT = ACK | {
    "price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty", "status",
    "timeInForce", "type", "side", "workingTime", "selfTradePreventionMode",
}  # fmt: skip


def test_answers_are_as_full_as_the_type_or_the_request_says(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        low = await visitor.price(0.9)
        market = await ok(visitor.order("BUY", "MARKET", quantity="1"))
        assert market.keys() == RESULT | {"fills"}
        assert (market["status"], market["executedQty"]) == ("FILLED", "1.00000000")
        (fill,) = market["fills"]
        assert fill.keys() == {"price", "qty", "commission", "commissionAsset", "tradeId"}
        worth = Decimal(fill["price"]) * Decimal(fill["qty"])
        assert Decimal(market["cummulativeQuoteQty"]) == worth
        assert fill["commissionAsset"] == "BNB"
        assert Decimal(fill["commission"]) == (worth * Decimal("0.00075") / 600).quantize(
            Decimal("1e-8"), "ROUND_DOWN"
        )
        limit = await ok(visitor.order("BUY", "LIMIT", quantity="1", price=low))
        assert (limit.keys(), limit["fills"]) == (RESULT | {"fills"}, [])
        assert limit["workingTime"] == limit["transactTime"]
        stop = await ok(visitor.order("SELL", "STOP_LOSS", quantity="1", stopPrice=low))
        assert stop.keys() == ACK
        maker = await ok(visitor.order("BUY", "LIMIT_MAKER", quantity="1", price=low))
        assert maker.keys() == ACK
        for wanted, keys in (("ACK", ACK), ("RESULT", RESULT), ("FULL", RESULT | {"fills"})):
            answer = await ok(visitor.order("BUY", "MARKET", quantity="1", newOrderRespType=wanted))
            assert answer.keys() == keys
        stop = await ok(
            visitor.order(
                "SELL", "STOP_LOSS_LIMIT", quantity="1", stopPrice=low, price=low,
                newOrderRespType="RESULT", strategyId="7", strategyType="1000000",
            )
        )  # fmt: skip
        assert stop.keys() == RESULT | {"stopPrice", "strategyId", "strategyType"}
        assert (stop["workingTime"], stop["strategyId"]) == (-1, 7)
        killed = await ok(visitor.order("BUY", "LIMIT", quantity="1", price=low, timeInForce="FOK"))
        assert (killed["status"], killed["expiryReason"]) == (
            "EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED",
        )  # fmt: skip

    play(scenario)


def test_an_order_by_quote_spends_no_more_than_it_says(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        done = await ok(visitor.order("BUY", "MARKET", quoteOrderQty="1000"))
        assert done["origQuoteOrderQty"] == "1000.00000000"
        assert 999 < Decimal(done["cummulativeQuoteQty"]) <= 1000

    play(scenario)


def test_an_order_can_be_asked_for_and_canceled_by_either_name(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        low = await visitor.price(0.9)
        one = await ok(
            visitor.order("BUY", "LIMIT", quantity="1", price=low, newClientOrderId="mine")
        )
        by_id = await ok(
            visitor.signed("GET", "/api/v3/order", symbol="ABCUSDT", orderId=one["orderId"])
        )
        by_name = await ok(
            visitor.signed("GET", "/api/v3/order", symbol="ABCUSDT", origClientOrderId="mine")
        )
        assert by_id == by_name
        assert (by_id["status"], by_id["isWorking"], by_id["time"]) == (
            "NEW", True, one["transactTime"],
        )  # fmt: skip
        assert await ok(visitor.signed("GET", "/api/v3/openOrders")) == [by_id]
        reply = await visitor.signed(
            "GET", "/api/v3/order", symbol="ABCUSDT", orderId=one["orderId"],
            origClientOrderId="other",
        )  # fmt: skip
        assert reply.code == -2039
        reply = await visitor.order(
            "BUY", "LIMIT", quantity="1", price=low, newClientOrderId="mine"
        )
        assert (reply.code, reply.body["msg"]) == (-2010, "Duplicate order sent.")

        account = await ok(visitor.signed("GET", "/api/v3/account", omitZeroBalances="true"))
        usdt = {row["asset"]: row for row in account["balances"]}["USDT"]
        assert Decimal(usdt["locked"]) == Decimal(low)

        gone = await ok(
            visitor.signed(
                "DELETE", "/api/v3/order", symbol="ABCUSDT", origClientOrderId="mine",
                newClientOrderId="bye",
            )
        )  # fmt: skip
        assert (gone["origClientOrderId"], gone["clientOrderId"]) == ("mine", "bye")
        assert gone["status"] == "CANCELED"
        reply = await visitor.signed(
            "DELETE", "/api/v3/order", symbol="ABCUSDT", origClientOrderId="mine"
        )
        assert reply.code == -2011
        (history,) = await ok(visitor.signed("GET", "/api/v3/allOrders", symbol="ABCUSDT"))
        assert history["status"] == "CANCELED"

    play(scenario)


def test_all_open_orders_of_a_symbol_go_at_once_lists_included(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        low, high = await visitor.price(0.9), await visitor.price(1.1)
        await ok(visitor.order("BUY", "LIMIT", quantity="1", price=low))
        await ok(
            visitor.signed(
                "POST", "/api/v3/orderList/oco", symbol="ABCUSDT", side="SELL", quantity="1",
                aboveType="LIMIT_MAKER", abovePrice=high, belowType="STOP_LOSS", belowStopPrice=low,
            )
        )  # fmt: skip
        single, pair = await ok(visitor.signed("DELETE", "/api/v3/openOrders", symbol="ABCUSDT"))
        assert single["status"] == "CANCELED"
        assert (pair["contingencyType"], pair["listOrderStatus"]) == ("OCO", "ALL_DONE")
        assert [report["status"] for report in pair["orderReports"]] == ["CANCELED"] * 2
        assert await ok(visitor.signed("GET", "/api/v3/openOrders", symbol="ABCUSDT")) == []

    play(scenario)


@pytest.mark.parametrize(
    ("mode", "there", "good", "status", "code", "results"),
    [
        ("STOP_ON_FAILURE", True, True, 200, None, ("SUCCESS", "SUCCESS")),
        ("STOP_ON_FAILURE", False, True, 400, -2022, ("FAILURE", "NOT_ATTEMPTED")),
        ("STOP_ON_FAILURE", True, False, 409, -2021, ("SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", False, True, 409, -2021, ("FAILURE", "SUCCESS")),
        ("ALLOW_FAILURE", False, False, 400, -2022, ("FAILURE", "FAILURE")),
    ],
)
def test_a_replacement_says_what_came_of_both_halves(
    play: Any, mode: str, there: bool, good: bool, status: int, code: int | None,
    results: tuple[str, str],
) -> None:  # fmt: skip
    async def scenario(visitor: Any) -> None:
        low, high = await visitor.price(0.9), await visitor.price(1.1)
        await ok(visitor.order("BUY", "LIMIT", quantity="1", price=low, newClientOrderId="old"))
        reply = await visitor.signed(
            "POST", "/api/v3/order/cancelReplace", symbol="ABCUSDT", side="BUY", quantity="1",
            type="LIMIT_MAKER", price=low if good else high, cancelReplaceMode=mode,
            cancelOrigClientOrderId="old" if there else "none", newOrderRespType="RESULT",
        )  # fmt: skip
        assert (reply.status, reply.body.get("code")) == (status, code)
        data = reply.body if status == 200 else reply.body["data"]
        assert (data["cancelResult"], data["newOrderResult"]) == results
        if not there:
            assert data["cancelResponse"] == {"code": -2011, "msg": "Unknown order sent."}
        if results[1] == "FAILURE":
            assert data["newOrderResponse"]["code"] == -2010
        elif results[1] == "SUCCESS":
            assert data["newOrderResponse"]["status"] == "NEW"
        else:
            assert data["newOrderResponse"] is None
        left = await ok(visitor.signed("GET", "/api/v3/openOrders", symbol="ABCUSDT"))
        assert len(left) == (not there) + (results[1] == "SUCCESS")

    play(scenario)


def test_an_entry_brings_its_exits_and_the_first_that_works_ends_the_other(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        low, high, beyond = [await visitor.price(times) for times in (0.9, 1.1, 1.02)]
        placed = await ok(
            visitor.signed(
                "POST", "/api/v3/orderList/otoco", symbol="ABCUSDT", listClientOrderId="trio",
                workingType="LIMIT", workingSide="BUY", workingPrice=beyond, workingQuantity="2",
                workingTimeInForce="IOC", workingClientOrderId="in", pendingSide="SELL",
                pendingQuantity="1", pendingAboveType="LIMIT_MAKER", pendingAbovePrice=high,
                pendingAboveClientOrderId="aim", pendingBelowType="STOP_LOSS",
                pendingBelowStopPrice=low, pendingBelowClientOrderId="stop",
            )
        )  # fmt: skip
        assert placed["contingencyType"] == "OTO"
        assert [one["clientOrderId"] for one in placed["orders"]] == ["in", "stop", "aim"]
        reports = {one["clientOrderId"]: one for one in placed["orderReports"]}
        assert {name: one["status"] for name, one in reports.items()} == {
            "in": "FILLED", "stop": "PENDING_NEW", "aim": "PENDING_NEW",
        }  # fmt: skip
        working = await ok(visitor.signed("GET", "/api/v3/openOrders", symbol="ABCUSDT"))
        assert {one["clientOrderId"]: one["status"] for one in working} == {
            "stop": "NEW", "aim": "NEW",
        }  # fmt: skip
        made = await ok(visitor.signed("GET", "/api/v3/orderList", origClientOrderId="trio"))
        assert (made["listOrderStatus"], made["orders"]) == ("EXECUTING", placed["orders"])
        assert await ok(visitor.signed("GET", "/api/v3/openOrderList")) == [made]
        gone = await ok(
            visitor.signed("DELETE", "/api/v3/order", symbol="ABCUSDT", origClientOrderId="aim")
        )
        assert gone["listOrderStatus"] == "ALL_DONE"
        assert {one["origClientOrderId"] for one in gone["orderReports"]} == {"stop", "aim"}
        assert await ok(visitor.signed("GET", "/api/v3/openOrderList")) == []
        (made,) = await ok(visitor.signed("GET", "/api/v3/allOrderList"))
        assert made["listStatusType"] == "ALL_DONE"

        pair = await ok(
            visitor.signed(
                "POST", "/api/v3/orderList/oto", symbol="ABCUSDT", workingType="LIMIT",
                workingSide="BUY", workingPrice=low, workingQuantity="1", workingTimeInForce="GTC",
                pendingType="MARKET", pendingSide="SELL", pendingQuantity="1",
            )
        )  # fmt: skip
        assert [one["status"] for one in pair["orderReports"]] == ["NEW", "PENDING_NEW"]
        gone = await ok(
            visitor.signed(
                "DELETE", "/api/v3/orderList", symbol="ABCUSDT", orderListId=pair["orderListId"]
            )
        )
        assert [one["status"] for one in gone["orderReports"]] == ["CANCELED"] * 2

    play(scenario)


def test_trades_are_asked_for_by_order_id_and_time(play: Any) -> None:
    async def scenario(visitor: Any) -> None:
        orders = []
        for _ in range(4):
            orders.append(await ok(visitor.order("BUY", "MARKET", quantity="0.5")))
            visitor.step(MINUTE)
        mine = await ok(visitor.signed("GET", "/api/v3/myTrades", symbol="ABCUSDT"))
        assert [one["orderId"] for one in mine] == [one["orderId"] for one in orders]
        assert [one["id"] for one in mine] == [one["fills"][0]["tradeId"] for one in orders]
        assert all(one["isBuyer"] and not one["isMaker"] for one in mine)
        for params, expected in (
            ({"limit": 2}, mine[2:]),
            ({"orderId": mine[1]["orderId"]}, mine[1:2]),
            ({"fromId": mine[2]["id"]}, mine[2:]),
            ({"fromId": mine[0]["id"] + 1, "limit": 1}, mine[1:2]),
            ({"startTime": mine[1]["time"], "endTime": mine[2]["time"]}, mine[1:3]),
            ({"endTime": mine[0]["time"]}, mine[:1]),
        ):
            found = visitor.signed("GET", "/api/v3/myTrades", symbol="ABCUSDT", **params)
            assert await ok(found) == expected, params
        last = await visitor.get("/api/v3/trades", symbol="ABCUSDT", limit=1000)
        public = {one["id"]: one for one in last.body}
        for one in mine:
            told = public[one["id"]]
            assert (told["price"], told["qty"], told["quoteQty"], told["time"]) == (
                one["price"], one["qty"], one["quoteQty"], one["time"],
            )  # fmt: skip

    play(scenario)


def test_one_account_sees_nothing_of_another(play: Any, keys: Any) -> None:
    async def scenario(visitor: Any) -> None:
        low = await visitor.price(0.9)
        mine = await ok(visitor.order("BUY", "LIMIT", quantity="1", price=low))
        reply = await visitor.signed(
            "GET", "/api/v3/order", keys[2], symbol="ABCUSDT", orderId=mine["orderId"]
        )
        assert reply.code == -2013
        assert await ok(visitor.signed("GET", "/api/v3/openOrders", keys[2])) == []
        reply = await visitor.signed(
            "DELETE", "/api/v3/order", keys[2], symbol="ABCUSDT", orderId=mine["orderId"]
        )
        assert reply.code == -2011

    play(scenario)


def test_the_wallet_says_what_the_key_may_do_and_what_there_is(play: Any, keys: Any) -> None:
    async def scenario(visitor: Any) -> None:
        may = await ok(visitor.signed("GET", "/sapi/v1/account/apiRestrictions"))
        assert (may["enableSpotAndMarginTrading"], may["enableWithdrawals"]) == (True, False)
        may = await ok(visitor.signed("GET", "/sapi/v1/account/apiRestrictions", keys[1]))
        assert may["enableSpotAndMarginTrading"] is False
        visitor.server.exchange.do(Deposit(1, "XYZ", Decimal("2.5")))
        coins = {
            row["coin"]: row["free"]
            for row in await ok(visitor.signed("GET", "/sapi/v1/capital/config/getall"))
        }
        assert coins == {
            "ABC": "100.00000000", "USDT": "100000.00000000", "XYZ": "2.50000000",
            "BNB": "50.00000000",
        }  # fmt: skip
        assert await ok(visitor.signed("GET", "/sapi/v1/bnbBurn")) == {
            "spotBNBBurn": True, "interestBNBBurn": False,
        }  # fmt: skip
        await ok(visitor.signed("POST", "/sapi/v1/bnbBurn", spotBNBBurn="false"))
        done = await ok(visitor.order("BUY", "MARKET", quantity="1"))
        assert done["fills"][0]["commissionAsset"] == "ABC"
        rates = await ok(
            visitor.signed(
                "POST", "/api/v3/order/test", symbol="ABCUSDT", side="BUY", type="MARKET",
                quantity="1", computeCommissionRates="true",
            )
        )  # fmt: skip
        assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
        assert rates["discount"]["enabledForAccount"] is False
        tested = visitor.signed(
            "POST", "/api/v3/order/test", symbol="ABCUSDT", side="BUY", type="MARKET", quantity="1"
        )
        assert await ok(tested) == {}

    play(scenario)
