"""Which path, and which method of the WebSocket API, means which operation.

Weights: rest-api.md; orders that are placed or canceled cost none (CHANGELOG.md, 2026-03-27).
"""

from __future__ import annotations

from collections.abc import Mapping

from vostok_exchange.protocol import account, market_data, order_lists, trading, wallet
from vostok_exchange.protocol.calls import Operation, Routes

_PING = Operation(market_data.ping)
_TIME = Operation(market_data.time)
_INFO = Operation(market_data.exchange_info, 20)
_DEPTH = Operation(market_data.depth, market_data.depth_weight)
_TRADES = Operation(market_data.trades, 25)
_HISTORICAL = Operation(market_data.historical_trades, 25)
_AGGREGATES = Operation(market_data.aggregate_trades, 4)
_KLINES = Operation(market_data.klines, 2)
_AVERAGE = Operation(market_data.average_price, 2)
_DAY = Operation(market_data.ticker_day, market_data.day_weight)
_PRICE = Operation(market_data.ticker_price, market_data.by_symbols(2, 4))
_BOOK = Operation(market_data.ticker_book, market_data.by_symbols(2, 4))

_PLACE = Operation(trading.place, 1, "TRADE", orders=1, free=True)
_TEST = Operation(trading.test, trading.test_weight, "TRADE")
_CANCEL = Operation(trading.cancel, 1, "TRADE", free=True)
_CANCEL_ALL = Operation(trading.cancel_all, 1, "TRADE", free=True)
_REPLACE = Operation(trading.cancel_replace, 1, "TRADE", orders=1, free=True)
_OCO = Operation(order_lists.place_oco, 1, "TRADE", orders=2, free=True)
_OTO = Operation(order_lists.place_oto, 1, "TRADE", orders=2, free=True)
_OTOCO = Operation(order_lists.place_otoco, 1, "TRADE", orders=3, free=True)
_CANCEL_LIST = Operation(order_lists.cancel, 1, "TRADE", free=True)

_ACCOUNT = Operation(account.account, 20, "USER_DATA")
_ORDER = Operation(account.order, 4, "USER_DATA")
_OPEN = Operation(account.open_orders, market_data.by_symbols(6, 80), "USER_DATA")
_ALL = Operation(account.all_orders, 20, "USER_DATA")
_LIST = Operation(order_lists.query, 4, "USER_DATA")
_OPEN_LISTS = Operation(order_lists.open_lists, 6, "USER_DATA")
_ALL_LISTS = Operation(order_lists.all_lists, 20, "USER_DATA")
_MINE = Operation(
    account.my_trades, lambda parameters: 5 if "orderId" in parameters else 20, "USER_DATA"
)
_COUNTS = Operation(account.order_counts, 40, "USER_DATA")

ROUTES: Routes = {
    ("GET", "/api/v3/ping"): _PING,
    ("GET", "/api/v3/time"): _TIME,
    ("GET", "/api/v3/exchangeInfo"): _INFO,
    ("GET", "/api/v3/depth"): _DEPTH,
    ("GET", "/api/v3/trades"): _TRADES,
    ("GET", "/api/v3/historicalTrades"): _HISTORICAL,
    ("GET", "/api/v3/aggTrades"): _AGGREGATES,
    ("GET", "/api/v3/klines"): _KLINES,
    ("GET", "/api/v3/uiKlines"): _KLINES,
    ("GET", "/api/v3/avgPrice"): _AVERAGE,
    ("GET", "/api/v3/ticker/24hr"): _DAY,
    ("GET", "/api/v3/ticker/price"): _PRICE,
    ("GET", "/api/v3/ticker/bookTicker"): _BOOK,
    ("POST", "/api/v3/order"): _PLACE,
    ("POST", "/api/v3/order/test"): _TEST,
    ("DELETE", "/api/v3/order"): _CANCEL,
    ("GET", "/api/v3/order"): _ORDER,
    ("POST", "/api/v3/order/cancelReplace"): _REPLACE,
    ("GET", "/api/v3/openOrders"): _OPEN,
    ("DELETE", "/api/v3/openOrders"): _CANCEL_ALL,
    ("GET", "/api/v3/allOrders"): _ALL,
    ("POST", "/api/v3/orderList/oco"): _OCO,
    ("POST", "/api/v3/orderList/oto"): _OTO,
    ("POST", "/api/v3/orderList/otoco"): _OTOCO,
    ("GET", "/api/v3/orderList"): _LIST,
    ("DELETE", "/api/v3/orderList"): _CANCEL_LIST,
    ("GET", "/api/v3/openOrderList"): _OPEN_LISTS,
    ("GET", "/api/v3/allOrderList"): _ALL_LISTS,
    ("GET", "/api/v3/account"): _ACCOUNT,
    ("GET", "/api/v3/myTrades"): _MINE,
    ("GET", "/api/v3/rateLimit/order"): _COUNTS,
    ("GET", "/sapi/v1/system/status"): Operation(wallet.system_status),
    ("GET", "/sapi/v1/account/apiRestrictions"): Operation(wallet.key_permissions, 1, "USER_DATA"),
    ("GET", "/sapi/v1/capital/config/getall"): Operation(wallet.coins, 10, "USER_DATA"),
    ("GET", "/sapi/v1/margin/allPairs"): Operation(wallet.no_pairs, 1, "USER_DATA"),
    ("GET", "/sapi/v1/margin/isolated/allPairs"): Operation(wallet.no_pairs, 10, "USER_DATA"),
    ("GET", "/sapi/v1/asset/tradeFee"): Operation(wallet.trade_fees, 1, "USER_DATA"),
    ("GET", "/sapi/v1/bnbBurn"): Operation(wallet.burn, 1, "USER_DATA"),
    ("POST", "/sapi/v1/bnbBurn"): Operation(wallet.set_burn, 1, "USER_DATA"),
    ("GET", "/fapi/v1/exchangeInfo"): Operation(market_data.no_derivatives),
    ("GET", "/dapi/v1/exchangeInfo"): Operation(market_data.no_derivatives),
}
"""By REST."""

METHODS: Mapping[str, Operation] = {
    "ping": _PING,
    "time": _TIME,
    "exchangeInfo": _INFO,
    "depth": _DEPTH,
    "trades.recent": _TRADES,
    "trades.historical": _HISTORICAL,
    "trades.aggregate": _AGGREGATES,
    "klines": _KLINES,
    "uiKlines": _KLINES,
    "avgPrice": _AVERAGE,
    "ticker.24hr": _DAY,
    "ticker.price": _PRICE,
    "ticker.book": _BOOK,
    "order.place": _PLACE,
    "order.test": _TEST,
    "order.cancel": _CANCEL,
    "order.status": _ORDER,
    "order.cancelReplace": _REPLACE,
    "openOrders.status": _OPEN,
    "openOrders.cancelAll": _CANCEL_ALL,
    "allOrders": _ALL,
    "orderList.place.oco": _OCO,
    "orderList.place.oto": _OTO,
    "orderList.place.otoco": _OTOCO,
    "orderList.status": _LIST,
    "orderList.cancel": _CANCEL_LIST,
    "openOrderLists.status": _OPEN_LISTS,
    "allOrderLists": _ALL_LISTS,
    "account.status": _ACCOUNT,
    "myTrades": _MINE,
    "account.rateLimits.orders": _COUNTS,
}
"""By the WebSocket API, where every operation costs and answers the same."""
