"""Commands as requests of Binance's REST API: which one, and its parameters.

An entry with its exits is an OTOCO, the two exits alone are an OCO: above the price a LIMIT_MAKER
takes the profit, below it a STOP_LOSS sells at the market. A replace cancels first and stops where
that fails. Every order and every list has an id of ours.

Source: binance-spot-api-docs, rest-api.md ("Trading endpoints").
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from vostok_core.trading.commands import Cancel, OrderRequest, Place, PlaceList, Replace
from vostok_core.trading.rules import Rules
from vostok_live.gateway.port import Sendable, list_name

Params = dict[str, str | int]

_TYPES: Final = {"limit": "LIMIT", "market": "MARKET", "stop": "STOP_LOSS"}


def request(command: Sendable, symbol: str, rules: Rules) -> tuple[str, Params]:
    """The ccxt method that sends a command, and the parameters, but for time and signature."""
    match command:
        case Place(order):
            return "privatePostOrder", {"symbol": symbol, **_order(order, rules)}
        case PlaceList(None, take_profit, stop_loss):
            return "privatePostOrderListOco", {
                "symbol": symbol,
                "listClientOrderId": list_name(take_profit.client_order_id),
                "side": take_profit.side.upper(),
                "quantity": _lots(take_profit.qty, rules),
                "aboveType": "LIMIT_MAKER",
                "aboveClientOrderId": take_profit.client_order_id,
                "abovePrice": _ticks(take_profit.price, rules),
                "belowType": "STOP_LOSS",
                "belowClientOrderId": stop_loss.client_order_id,
                "belowStopPrice": _ticks(stop_loss.price, rules),
                "newOrderRespType": "FULL",
            }
        case PlaceList(entry, take_profit, stop_loss):
            assert entry is not None, "without one it is an OCO"
            return "privatePostOrderListOtoco", {
                "symbol": symbol,
                "listClientOrderId": list_name(entry.client_order_id),
                "workingType": "LIMIT",
                "workingSide": entry.side.upper(),
                "workingTimeInForce": entry.time_in_force,
                "workingClientOrderId": entry.client_order_id,
                "workingQuantity": _lots(entry.qty, rules),
                "workingPrice": _ticks(entry.price, rules),
                "pendingSide": take_profit.side.upper(),
                "pendingQuantity": _lots(take_profit.qty, rules),
                "pendingAboveType": "LIMIT_MAKER",
                "pendingAboveClientOrderId": take_profit.client_order_id,
                "pendingAbovePrice": _ticks(take_profit.price, rules),
                "pendingBelowType": "STOP_LOSS",
                "pendingBelowClientOrderId": stop_loss.client_order_id,
                "pendingBelowStopPrice": _ticks(stop_loss.price, rules),
                "newOrderRespType": "FULL",
            }
        case Replace(client_order_id, order):
            return "privatePostOrderCancelReplace", {
                "symbol": symbol,
                "cancelReplaceMode": "STOP_ON_FAILURE",
                "cancelOrigClientOrderId": client_order_id,
                **_order(order, rules),
            }
        case Cancel(client_order_id):
            return "privateDeleteOrder", {"symbol": symbol, "origClientOrderId": client_order_id}


def _order(order: OrderRequest, rules: Rules) -> Params:
    params: Params = {
        "side": order.side.upper(),
        "type": _TYPES[order.kind],
        "quantity": _lots(order.qty, rules),
        "newClientOrderId": order.client_order_id,
        "newOrderRespType": "FULL",
    }
    if order.kind == "limit":
        params |= {"price": _ticks(order.price, rules), "timeInForce": order.time_in_force}
    elif order.kind == "stop":
        params["stopPrice"] = _ticks(order.price, rules)
    return params


def _ticks(ticks: int, rules: Rules) -> str:
    return _text(ticks * rules.price_tick)


def _lots(lots: int, rules: Rules) -> str:
    return _text(lots * rules.quantity_step)


def _text(number: Decimal) -> str:
    """All digits of a number, without an exponent."""
    return f"{number:f}"
