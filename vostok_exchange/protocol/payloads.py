"""What answers look like: orders, lists, trades, books, symbols.

Numbers are texts with eight decimals; times are in the unit that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, get_args

from vostok_exchange.accounts import Account, Rates
from vostok_exchange.drafts import PREVENTIONS
from vostok_exchange.klines import DayStatistics, Kline
from vostok_exchange.listing import Listing
from vostok_exchange.matching import Top
from vostok_exchange.orders import (
    ALGO,
    Canceled,
    Fill,
    ListCanceled,
    ListPlaced,
    Order,
    OrderList,
    OrderType,
    Placed,
)
from vostok_exchange.protocol.calls import Call
from vostok_exchange.symbols import PLACES, Symbol, amount_text

Payload = dict[str, Any]

_BPS = Decimal(10**6)  # rates are millionths of a basis point
_NOTHING = amount_text(0)


# Orders


def placed(call: Call, symbol: Symbol, done: Placed, response: str | None, ts: int) -> Payload:
    """The answer to a new order; by default MARKET and LIMIT orders say all, others their id."""
    order = done.order
    if response is None:
        response = "FULL" if order.type in {"MARKET", "LIMIT"} else "ACK"
    payload = _head(order) | {"transactTime": call.stamp(ts)}
    if response == "ACK":
        return payload
    payload |= _body(symbol, order) | {"workingTime": call.stamp(order.working_time)}
    payload |= _conditional(symbol, order)
    if response == "FULL":
        payload["fills"] = [_fill(symbol, fill) for fill in done.fills]
    return payload


def canceled(call: Call, symbol: Symbol, done: Canceled, ts: int) -> Payload:
    """The answer to a cancel."""
    order = done.order
    return (
        _head(order)
        | {"origClientOrderId": order.client_order_id, "clientOrderId": done.client_order_id}
        | {"transactTime": call.stamp(ts)}
        | _body(symbol, order)
        | _conditional(symbol, order)
    )


def queried(call: Call, symbol: Symbol, order: Order) -> Payload:
    """An order that was asked for."""
    return (
        _head(order)
        | _body(symbol, order)
        | {
            "stopPrice": symbol.price_text(order.stop_price),
            "icebergQty": _NOTHING,
            "time": call.stamp(order.created),
            "updateTime": call.stamp(order.updated),
            "isWorking": order.working_time >= 0,
            "workingTime": call.stamp(order.working_time),
        }
        | _conditional(symbol, order)
    )


def _head(order: Order) -> Payload:
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_order_id,
    }


def _body(symbol: Symbol, order: Order) -> Payload:
    return {
        "price": symbol.price_text(order.price),
        "origQty": symbol.quantity_text(order.qty),
        "executedQty": symbol.quantity_text(order.filled),
        "origQuoteOrderQty": amount_text(order.quote_qty),
        "cummulativeQuoteQty": symbol.worth_text(order.quote_filled),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "selfTradePreventionMode": order.self_trade_prevention,
    }


def _conditional(symbol: Symbol, order: Order) -> Payload:
    """What only some orders have."""
    payload: Payload = {}
    if order.type in ALGO:
        payload["stopPrice"] = symbol.price_text(order.stop_price)
    if order.strategy_id is not None:
        payload["strategyId"] = order.strategy_id
    if order.strategy_type is not None:
        payload["strategyType"] = order.strategy_type
    if order.prevented_match_id >= 0:
        payload["preventedMatchId"] = order.prevented_match_id
        payload["preventedQuantity"] = symbol.quantity_text(order.prevented)
    if order.expiry_reason != "NONE":
        payload["expiryReason"] = order.expiry_reason
    return payload


def _fill(symbol: Symbol, fill: Fill) -> Payload:
    return {
        "price": symbol.price_text(fill.price),
        "qty": symbol.quantity_text(fill.qty),
        "commission": amount_text(fill.commission),
        "commissionAsset": fill.commission_asset,
        "tradeId": fill.trade_id,
    }


def own_trade(call: Call, symbol: Symbol, fill: Fill) -> Payload:
    """One of an account's trades."""
    return {
        "symbol": symbol.name,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": fill.list_id,
        "price": symbol.price_text(fill.price),
        "qty": symbol.quantity_text(fill.qty),
        "quoteQty": symbol.worth_text(fill.price * fill.qty),
        "commission": amount_text(fill.commission),
        "commissionAsset": fill.commission_asset,
        "time": call.stamp(fill.ts),
        "isBuyer": fill.buyer,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


# Order lists


def order_list(call: Call, made: OrderList, names: Iterable[tuple[int, str]]) -> Payload:
    """An order list that was asked for; `names` are its orders' ids and client order ids."""
    return {
        "orderListId": made.list_id,
        "contingencyType": made.contingency,
        "listStatusType": made.status_type,
        "listOrderStatus": made.order_status,
        "listClientOrderId": made.client_order_id,
        "transactionTime": call.stamp(made.ts),
        "symbol": made.symbol,
        "orders": [
            {"symbol": made.symbol, "orderId": order_id, "clientOrderId": client_order_id}
            for order_id, client_order_id in names
        ],
    }


def list_placed(
    call: Call, symbol: Symbol, done: ListPlaced, response: str | None, ts: int
) -> Payload:
    """The answer to a new order list."""
    orders = [one.order for one in done.orders]
    reports = [placed(call, symbol, one, response or "RESULT", ts) for one in done.orders]
    return order_list(call, done.list, _names(orders)) | {"orderReports": reports}


def list_canceled(call: Call, symbol: Symbol, done: ListCanceled, ts: int) -> Payload:
    """The answer to a cancel of an order list, or of an order in one."""
    reports = [canceled(call, symbol, one, ts) for one in done.canceled]
    return order_list(call, done.list, _names(done.orders)) | {"orderReports": reports}


def either_canceled(call: Call, symbol: Symbol, done: Canceled | ListCanceled, ts: int) -> Payload:
    """The answer to a cancel, of whatever it canceled."""
    if isinstance(done, Canceled):
        return canceled(call, symbol, done, ts)
    return list_canceled(call, symbol, done, ts)


def _names(orders: Iterable[Order]) -> list[tuple[int, str]]:
    return [(order.order_id, order.client_order_id) for order in orders]


# Market data


def aggregate(call: Call, symbol: Symbol, row: list[int]) -> Payload:
    """An aggregate trade of the tape."""
    key, ts, price, qty, maker, low, high = row
    return {
        "a": key,
        "p": symbol.price_text(price),
        "q": symbol.quantity_text(qty),
        "f": low,
        "l": high,
        "T": call.stamp(ts),
        "m": bool(maker),
        "M": True,
    }


def single(call: Call, symbol: Symbol, row: list[int]) -> Payload:
    """A trade of the tape."""
    key, ts, price, qty, maker, _, _ = row
    return {
        "id": key,
        "price": symbol.price_text(price),
        "qty": symbol.quantity_text(qty),
        "quoteQty": symbol.worth_text(price * qty),
        "time": call.stamp(ts),
        "isBuyerMaker": bool(maker),
        "isBestMatch": True,
    }


def kline(call: Call, symbol: Symbol, bar: Kline) -> list[Any]:
    """A kline."""
    return [
        call.stamp(bar.opening),
        symbol.price_text(bar.open),
        symbol.price_text(bar.high),
        symbol.price_text(bar.low),
        symbol.price_text(bar.last),
        symbol.quantity_text(bar.lots),
        call.stamp(bar.close) - 1,
        symbol.worth_text(bar.atoms),
        bar.trades,
        symbol.quantity_text(bar.buy_lots),
        symbol.worth_text(bar.buy_atoms),
        "0",
    ]


def levels(symbol: Symbol, side: Iterable[tuple[int, int]]) -> list[list[str]]:
    """One side of a book: price and quantity of each level."""
    return [[symbol.price_text(price), symbol.quantity_text(qty)] for price, qty in side]


def book_top(symbol: Symbol, top: Top) -> dict[str, str]:
    """The best prices; 0 where a side is empty."""
    return {
        "bidPrice": symbol.price_text(top.bid or 0),
        "bidQty": symbol.quantity_text(top.bid_qty),
        "askPrice": symbol.price_text(top.ask or 0),
        "askQty": symbol.quantity_text(top.ask_qty),
    }


def average_text(symbol: Symbol, atoms: int, lots: int) -> str:
    """A volume-weighted price."""
    return f"{Decimal(atoms) / lots * symbol.price_tick:.{PLACES}f}" if lots else _NOTHING


def change(symbol: Symbol, day: DayStatistics) -> tuple[str, str]:
    """How the price changed in 24 hours, and by how many percent."""
    moved = day.last - day.open
    return symbol.price_text(moved), f"{Decimal(100 * moved) / day.open:.3f}"


def ticker(call: Call, symbol: Symbol, day: DayStatistics, top: Top | None) -> Payload:
    """The last 24 hours; with the best prices and all the rest where `top` is given."""
    payload = {
        "symbol": symbol.name,
        "openPrice": symbol.price_text(day.open),
        "highPrice": symbol.price_text(day.high),
        "lowPrice": symbol.price_text(day.low),
        "lastPrice": symbol.price_text(day.last),
        "volume": symbol.quantity_text(day.lots),
        "quoteVolume": symbol.worth_text(day.atoms),
        "openTime": call.stamp(day.start),
        "closeTime": call.stamp(day.end),
        "firstId": day.first_id,
        "lastId": day.last_id,
        "count": day.trades,
    }
    if top is None:
        return payload
    moved, percent = change(symbol, day)
    return (
        payload
        | {
            "priceChange": moved,
            "priceChangePercent": percent,
            "weightedAvgPrice": average_text(symbol, day.atoms, day.lots),
            "prevClosePrice": symbol.price_text(day.before),
            "lastQty": symbol.quantity_text(day.last_lots),
        }
        | book_top(symbol, top)
    )


def symbol_info(listing: Listing) -> Payload:
    """A symbol as `exchangeInfo` lists it."""
    symbol = listing.symbol
    return {
        "symbol": symbol.name,
        "status": "TRADING",
        "baseAsset": symbol.base,
        "baseAssetPrecision": PLACES,
        "quoteAsset": symbol.quote,
        "quotePrecision": PLACES,
        "quoteAssetPrecision": PLACES,
        "baseCommissionPrecision": PLACES,
        "quoteCommissionPrecision": PLACES,
        "orderTypes": list(get_args(OrderType)),
        "icebergAllowed": False,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": listing.filters.listed(),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": PREVENTIONS[0],
        "allowedSelfTradePreventionModes": list(PREVENTIONS),
    }


# Accounts


def account(call: Call, one: Account, *, omit_zero: bool) -> Payload:
    """An account with its balances."""
    rates = one.rates
    assets = dict.fromkeys((*call.exchange.assets(), *one.balances))
    balances = [
        {"asset": asset, "free": amount_text(free), "locked": amount_text(locked)}
        for asset in assets
        for free, locked in [_balance(one, asset)]
        if free or locked or not omit_zero
    ]
    return {
        "makerCommission": int(rates.maker / _BPS),
        "takerCommission": int(rates.taker / _BPS),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": commission_rates(rates),
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": call.stamp(one.updated),
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "uid": one.uid,
    }


def commission_rates(rates: Rates) -> Payload:
    """What an account pays, as shares."""
    return {
        "maker": f"{rates.maker / _BPS / 10_000:.{PLACES}f}",
        "taker": f"{rates.taker / _BPS / 10_000:.{PLACES}f}",
        "buyer": _NOTHING,
        "seller": _NOTHING,
    }


def _balance(one: Account, asset: str) -> tuple[int, int]:
    balance = one.balances.get(asset)
    return (0, 0) if balance is None else (balance.free, balance.locked)
