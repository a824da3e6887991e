"""Placing, canceling and replacing single orders."""

from __future__ import annotations

from typing import Any

from vostok_exchange.accounts import DISCOUNT_ASSET
from vostok_exchange.commands import Cancel, CancelAll, CancelReplace, Check, Place, Which
from vostok_exchange.listing import Listing
from vostok_exchange.orders import Rejection
from vostok_exchange.protocol import payloads
from vostok_exchange.protocol.calls import Call
from vostok_exchange.protocol.faults import Fault, one_needed, refused
from vostok_exchange.protocol.orders_in import Part
from vostok_exchange.protocol.parameters import (
    BOOLEAN,
    CLIENT_ID,
    LONG,
    MODE,
    RESPONSE,
    RESTRICTION,
    Parameters,
)
from vostok_exchange.protocol.payloads import Payload
from vostok_exchange.symbols import PLACES


def place(call: Call) -> Payload:
    """Place an order."""
    listing = call.symbol()
    request = Part(call.parameters, listing.symbol.name).request()
    response = call.parameters.optional("newOrderRespType", RESPONSE)
    call.parameters.done()
    answer = call.do(Place(call.uid, request))
    if isinstance(answer, Rejection):
        raise refused(answer)
    return payloads.placed(call, listing.symbol, answer, response, call.exchange.desk.now)


def test(call: Call) -> Payload:
    """Say whether an order would pass the filters, and what it would cost."""
    listing = call.symbol()
    request = Part(call.parameters, listing.symbol.name).request()
    call.parameters.optional("newOrderRespType", RESPONSE)
    wanted = call.parameters.optional("computeCommissionRates", BOOLEAN)
    call.parameters.done()
    answer = call.do(Check(call.uid, request))
    if isinstance(answer, Rejection):
        raise refused(answer)
    return _rates(call) if wanted else {}


def test_weight(parameters: Parameters) -> int:
    """More where the cost is asked for."""
    return 20 if parameters.optional("computeCommissionRates", BOOLEAN) else 1


def cancel(call: Call) -> Payload:
    """Cancel an order, and with it its list."""
    listing = call.symbol()
    which = _which(call.parameters, "orderId", "origClientOrderId", "newClientOrderId")
    call.parameters.done()
    answer = call.do(Cancel(call.uid, listing.symbol.name, which))
    if isinstance(answer, Rejection):
        raise refused(answer)
    return payloads.either_canceled(call, listing.symbol, answer, call.exchange.desk.now)


def cancel_all(call: Call) -> list[Payload]:
    """Cancel every open order in a symbol."""
    listing = call.symbol()
    call.parameters.done()
    answer = call.do(CancelAll(call.uid, listing.symbol.name))
    if isinstance(answer, Rejection):
        raise refused(answer)
    now = call.exchange.desk.now
    return [payloads.either_canceled(call, listing.symbol, one, now) for one in answer]


def cancel_replace(call: Call) -> Payload:
    """Cancel an order and place another."""
    listing = call.symbol()
    parameters = call.parameters
    mode = parameters.required("cancelReplaceMode", MODE)
    which = _which(parameters, "cancelOrderId", "cancelOrigClientOrderId", "cancelNewClientOrderId")
    request = Part(parameters, listing.symbol.name).request()
    response = parameters.optional("newOrderRespType", RESPONSE)
    parameters.done()
    answer = call.do(CancelReplace(call.uid, request, which, mode))
    if isinstance(answer, Rejection):
        raise refused(answer)
    return _replaced(call, listing, answer, response)


def _replaced(call: Call, listing: Listing, answer: Any, response: str | None) -> Payload:
    """What came of both halves; a fault unless both succeeded."""
    symbol, now = listing.symbol, call.exchange.desk.now
    canceled, placed = answer.canceled, answer.placed
    data = {
        "cancelResult": "FAILURE" if isinstance(canceled, Rejection) else "SUCCESS",
        "newOrderResult": "NOT_ATTEMPTED"
        if placed is None
        else "FAILURE"
        if isinstance(placed, Rejection)
        else "SUCCESS",
        "cancelResponse": refused(canceled).payload
        if isinstance(canceled, Rejection)
        else payloads.either_canceled(call, symbol, canceled, now),
        "newOrderResponse": None
        if placed is None
        else refused(placed).payload
        if isinstance(placed, Rejection)
        else payloads.placed(call, symbol, placed, response, now),
    }
    done = [data["cancelResult"], data["newOrderResult"]].count("SUCCESS")
    if done == 0:
        raise Fault(-2022, "Order cancel-replace failed.", data=data)
    if done == 1:
        raise Fault(-2021, "Order cancel-replace partially failed.", 409, data=data)
    return data


def _which(parameters: Parameters, by_id: str, by_name: str, cancel_id: str) -> Which:
    """The order that is to be canceled."""
    which = Which(
        parameters.optional(by_id, LONG),
        parameters.optional(by_name, CLIENT_ID),
        parameters.optional(cancel_id, CLIENT_ID),
        parameters.optional("cancelRestrictions", RESTRICTION),
    )
    if which.order_id is None and which.client_order_id is None:
        raise one_needed(by_name, by_id)
    return which


def _rates(call: Call) -> Payload:
    """What an order would cost."""
    rates = call.exchange.desk.venue.account(call.uid).rates
    standard = payloads.commission_rates(rates)
    nothing = dict.fromkeys(("maker", "taker"), f"{0:.{PLACES}f}")
    return {
        "standardCommissionForOrder": {side: standard[side] for side in ("maker", "taker")},
        "specialCommissionForOrder": nothing,
        "taxCommissionForOrder": nothing,
        "discount": {
            "enabledForAccount": rates.burn,
            "enabledForSymbol": True,
            "discountAsset": DISCOUNT_ASSET,
            "discount": f"{rates.discount / 10_000:.{PLACES}f}",
        },
    }
