"""What the exchange answers to requests and questions, read from the values that JSON is made into.

What can't be understood raises `Unreadable`: after a request it means that nobody knows what was
done.

Source: binance-spot-api-docs, rest-api.md.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from vostok_live.feed.parse import Impossible, microseconds
from vostok_live.gateway.classify import refusal
from vostok_live.gateway.port import (
    Accepted,
    Balance,
    ListReport,
    OrderReport,
    Rejected,
    Throttled,
    TradeReport,
    Unknown,
)

Value = TypeVar("Value")

REPLACE_FAILED = (-2021, -2022)
"""Codes of an answer to a replace that was not, or not all, carried out."""

_SHOWN = 120  # characters of a body that is not the exchange's


class Unreadable(ValueError):
    """An answer that can't be understood."""


# Answers


class _Fill(Struct):
    price: Decimal
    qty: Decimal
    commission: Decimal
    commissionAsset: str  # noqa: N815
    tradeId: int  # noqa: N815


class _Order(Struct):
    orderId: int  # noqa: N815
    clientOrderId: str  # noqa: N815
    status: str
    executedQty: Decimal  # noqa: N815
    side: str
    origClientOrderId: str = ""  # noqa: N815
    transactTime: int = 0  # noqa: N815
    updateTime: int = 0  # noqa: N815
    expiryReason: str = ""  # noqa: N815
    fills: list[_Fill] = []

    def report(self) -> OrderReport:
        # In the answer to a cancel, `clientOrderId` is the cancel's own.
        return OrderReport(
            ts=_time(self.transactTime or self.updateTime),
            order_id=self.orderId,
            client_order_id=self.origClientOrderId or self.clientOrderId,
            status=self.status,
            filled=finite(self.executedQty),
            reason=self.expiryReason,
        )

    def trades(self) -> list[TradeReport]:
        """What was filled at once: as a taker, at the time of the answer."""
        report = self.report()
        return [
            TradeReport(
                ts=report.ts,
                trade_id=fill.tradeId,
                order_id=self.orderId,
                client_order_id=report.client_order_id,
                side="buy" if self.side == "BUY" else "sell",
                price=finite(fill.price),
                qty=finite(fill.qty),
                commission=finite(fill.commission),
                commission_asset=fill.commissionAsset,
                maker=False,
                source="answer",
            )
            for fill in self.fills
        ]


class _Name(Struct):
    clientOrderId: str  # noqa: N815


class _List(Struct):
    listClientOrderId: str  # noqa: N815
    listOrderStatus: str  # noqa: N815
    orders: list[_Name]
    orderReports: list[_Order] = []  # noqa: N815


class ErrorBody(Struct):
    """What the exchange writes where it refuses."""

    code: int
    msg: str = ""


class _Replaced(Struct):
    cancelResult: str  # noqa: N815
    newOrderResult: str  # noqa: N815
    cancelResponse: Any = None  # noqa: N815
    newOrderResponse: Any = None  # noqa: N815


class _Halves(Struct):
    data: _Replaced


class _Trade(Struct):
    id: int
    orderId: int  # noqa: N815
    price: Decimal
    qty: Decimal
    commission: Decimal
    commissionAsset: str  # noqa: N815
    time: int
    isBuyer: bool  # noqa: N815
    isMaker: bool  # noqa: N815

    def report(self) -> TradeReport:
        return TradeReport(
            ts=_time(self.time),
            trade_id=self.id,
            order_id=self.orderId,
            client_order_id=None,
            side="buy" if self.isBuyer else "sell",
            price=finite(self.price),
            qty=finite(self.qty),
            commission=finite(self.commission),
            commission_asset=self.commissionAsset,
            maker=self.isMaker,
            source="asked",
        )


class _Balance(Struct):
    asset: str
    free: Decimal
    locked: Decimal


class _Account(Struct):
    balances: list[_Balance]


class _Info(Struct):
    symbols: list[dict[str, Any]]


class _Time(Struct):
    serverTime: int  # noqa: N815


def accepted(body: object) -> Accepted:
    """The answer to an order, a list or a cancel that was carried out, or to a replace.

    Raises:
        Unreadable: It is none.
    """
    if isinstance(body, dict) and "cancelResult" in body:
        replaced = _read(body, _Replaced)
        return Accepted(
            tuple(_reports(replaced.cancelResponse) + _reports(replaced.newOrderResponse)),
            tuple(_fills(replaced.newOrderResponse)),
        )
    return Accepted(tuple(_reports(body)), tuple(_fills(body)))


def half_replaced(text: str, status: int, signed_ms: int) -> Accepted | Rejected | Unknown:
    """What the answer to a replace means that was not, or not all, carried out.

    Args:
        text: Its body.
        status: Of the response.
        signed_ms: Time that the request was signed with.
    """
    try:
        return _half_replaced(text, status, signed_ms)
    except (Unreadable, msgspec.DecodeError) as problem:
        return Unknown(str(problem), signed_ms, http_status=status)


def _half_replaced(text: str, status: int, signed_ms: int) -> Accepted | Rejected | Unknown:
    replaced = _halves.decode(text).data
    made = replaced.newOrderResponse
    if replaced.newOrderResult == "SUCCESS":
        return Accepted(tuple(_reports(made)), tuple(_fills(made)))
    tried = replaced.newOrderResult != "NOT_ATTEMPTED"
    why = _read(made if tried else replaced.cancelResponse, ErrorBody)
    outcome = refusal(400, why.code, why.msg, retry_after=None, signed_ms=signed_ms)
    if not tried:
        meaning = outcome.meaning if isinstance(outcome, Rejected) else "refused"
        return Rejected(why.code, f"not sent, since the cancel failed: {why.msg}", status, meaning)
    canceled = replaced.cancelResult == "SUCCESS"
    reports = tuple(_reports(replaced.cancelResponse)) if canceled else ()
    if isinstance(outcome, Throttled):
        return Rejected(why.code, why.msg, status, reports=reports)
    return replace(outcome, http_status=status, reports=reports)


def order(body: object) -> OrderReport:
    """The answer to a question for an order.

    Raises:
        Unreadable: It is none.
    """
    return _read(body, _Order).report()


def orders(body: object) -> list[OrderReport]:
    """The answer to a question for open orders.

    Raises:
        Unreadable: It is none.
    """
    return [each.report() for each in _read(body, list[_Order])]


def order_list(body: object) -> ListReport:
    """The answer to a question for an order list.

    Raises:
        Unreadable: It is none.
    """
    found = _read(body, _List)
    names = tuple(each.clientOrderId for each in found.orders)
    return ListReport(found.listClientOrderId, names, done=found.listOrderStatus == "ALL_DONE")


def trades(body: object) -> list[TradeReport]:
    """The answer to a question for trades.

    Raises:
        Unreadable: It is none.
    """
    return [each.report() for each in _read(body, list[_Trade])]


def balances(body: object) -> dict[str, Balance]:
    """The answer to a question for the account.

    Raises:
        Unreadable: It is none.
    """
    account = _read(body, _Account)
    return {b.asset: Balance(finite(b.free), finite(b.locked)) for b in account.balances}


def server_time(body: object) -> int:
    """The exchange's clock, milliseconds.

    Raises:
        Unreadable: It is none.
    """
    return _time(_read(body, _Time).serverTime) // 1_000


def permissions(body: object) -> dict[str, bool]:
    """What a key may do, by the exchange's names.

    Raises:
        Unreadable: It doesn't say whether it may withdraw.
    """
    found = _read(body, dict[str, Any])
    said = {name: value for name, value in found.items() if isinstance(value, bool)}
    if "enableWithdrawals" not in said:
        raise Unreadable("it says nothing of withdrawals")
    return said


def symbol(body: object) -> dict[str, Any] | None:
    """The one symbol that the exchange's information is asked for; None where there is none.

    Raises:
        Unreadable: It is none.
    """
    symbols = _read(body, _Info).symbols
    return symbols[0] if symbols else None


_error = msgspec.json.Decoder(ErrorBody)
_halves = msgspec.json.Decoder(_Halves)


def error(text: str) -> tuple[int | None, str]:
    """The exchange's code and words in the body of an answer; no code where it has none."""
    try:
        found = _error.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None, text[:_SHOWN]
    return found.code, found.msg


def _reports(body: object) -> list[OrderReport]:
    """Reports in the answer to an order or a list."""
    if isinstance(body, dict) and "orderReports" in body:
        return [each.report() for each in _read(body, _List).orderReports]
    return [order(body)]


def _fills(body: object) -> list[TradeReport]:
    """Trades in the answer to an order or a list."""
    found = body.get("orderReports", [body]) if isinstance(body, dict) else []
    return [trade for each in _read(found, list[_Order]) for trade in each.trades()]


def _time(time: int) -> int:
    try:
        return microseconds(time)
    except Impossible as problem:
        raise Unreadable(str(problem)) from None


def _read(body: object, kind: type[Value]) -> Value:
    try:
        # Not strict: a number in a text is a number.
        return msgspec.convert(body, kind, strict=False)
    except (msgspec.ValidationError, RecursionError) as problem:
        raise Unreadable(f"an answer that can't be understood: {problem}") from None


def finite(number: Decimal) -> Decimal:
    """A price or an amount.

    Raises:
        Unreadable: It is no number.
    """
    if not number.is_finite():
        raise Unreadable(f"{number} is no number")
    return number
