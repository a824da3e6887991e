"""What an account is told: its orders, its lists, its balances. Source: user-data-stream.md."""

from __future__ import annotations

from typing import Any

from vostok_exchange.desk import Desk
from vostok_exchange.events import (
    AccountPosition,
    BalanceChange,
    ExecutionReport,
    ListStatus,
)
from vostok_exchange.symbols import Symbol, amount_text

UserEvent = ExecutionReport | ListStatus | AccountPosition | BalanceChange


def user_event(desk: Desk, event: UserEvent, unit: int) -> dict[str, Any]:
    """The payload of an event; `unit` is the microseconds in the unit of its times."""
    if isinstance(event, ExecutionReport):
        return _report(desk.venue.listing(event.order.symbol).symbol, event, unit)
    if isinstance(event, ListStatus):
        return _list(event, unit)
    if isinstance(event, BalanceChange):
        return {
            "e": "balanceUpdate",
            "E": event.ts // unit,
            "a": event.asset,
            "d": _signed(event.amount),
            "T": event.ts // unit,
        }
    return {
        "e": "outboundAccountPosition",
        "E": event.ts // unit,
        "u": event.ts // unit,
        "B": [
            {"a": asset, "f": amount_text(free), "l": amount_text(locked)}
            for asset, free, locked in event.balances
        ],
    }


def _report(symbol: Symbol, event: ExecutionReport, unit: int) -> dict[str, Any]:
    order = event.order
    payload: dict[str, Any] = {
        "e": "executionReport",
        "E": event.ts // unit,
        "s": order.symbol,
        "c": event.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": symbol.quantity_text(order.qty),
        "p": symbol.price_text(order.price),
        "P": symbol.price_text(order.stop_price),
        "F": amount_text(0),
        "g": order.list_id,
        "C": event.orig_client_order_id,
        "x": event.execution,
        "X": order.status,
        "r": event.reject_reason,
        "i": order.order_id,
        "l": symbol.quantity_text(event.last_qty),
        "z": symbol.quantity_text(order.filled),
        "L": symbol.price_text(event.last_price),
        "n": amount_text(event.commission) if event.commission_asset else "0",
        "N": event.commission_asset,
        "T": event.ts // unit,
        "t": event.trade_id,
        "I": event.execution_id,
        "w": event.working,
        "m": event.maker,
        "M": event.trade_id >= 0,
        "O": order.created // unit,
        "Z": symbol.worth_text(order.quote_filled),
        "Y": symbol.worth_text(event.last_price * event.last_qty),
        "Q": amount_text(order.quote_qty),
        "V": order.self_trade_prevention,
    }
    if order.working_time >= 0:
        payload["W"] = order.working_time // unit
    if order.strategy_id is not None:
        payload["j"] = order.strategy_id
    if order.strategy_type is not None:
        payload["J"] = order.strategy_type
    if event.prevention is not None:
        prevented = event.prevention
        payload |= {
            "v": prevented.match_id,
            "A": symbol.quantity_text(order.prevented),
            "B": symbol.quantity_text(prevented.qty),
            "u": order.uid,
            "U": prevented.counter_order_id,
            "Cs": order.symbol,
            "pl": symbol.quantity_text(prevented.execution_qty),
            "pL": symbol.price_text(prevented.execution_price),
            "pY": symbol.worth_text(prevented.execution_price * prevented.execution_qty),
        }
    if order.expiry_reason != "NONE":
        payload["eR"] = order.expiry_reason
    return payload


def _list(event: ListStatus, unit: int) -> dict[str, Any]:
    made = event.list
    return {
        "e": "listStatus",
        "E": event.ts // unit,
        "s": made.symbol,
        "g": made.list_id,
        "c": made.contingency,
        "l": made.status_type,
        "L": made.order_status,
        "r": "NONE",
        "C": made.client_order_id,
        "T": event.ts // unit,
        "O": [
            {"s": made.symbol, "i": order_id, "c": client_order_id}
            for order_id, client_order_id in event.orders
        ],
    }


def _signed(amount: int) -> str:
    return amount_text(amount) if amount >= 0 else f"-{amount_text(-amount)}"
