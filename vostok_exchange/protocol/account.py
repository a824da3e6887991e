"""What an account may ask of itself: balances, orders, trades, counts."""

from __future__ import annotations

from vostok_exchange import queries
from vostok_exchange.orders import Rejection
from vostok_exchange.protocol import payloads
from vostok_exchange.protocol.calls import Call
from vostok_exchange.protocol.faults import BAD_COMBINATION, one_needed, refused
from vostok_exchange.protocol.parameters import BOOLEAN, CLIENT_ID, LONG, SYMBOL
from vostok_exchange.protocol.payloads import Payload


def account(call: Call) -> Payload:
    """Balances and rates."""
    omit_zero = call.parameters.optional("omitZeroBalances", BOOLEAN)
    call.parameters.done()
    call.exchange.now()
    one = call.exchange.desk.venue.account(call.uid)
    return payloads.account(call, one, omit_zero=bool(omit_zero))


def order(call: Call) -> Payload:
    """An order."""
    listing, parameters = call.symbol(), call.parameters
    order_id = parameters.optional("orderId", LONG)
    name = parameters.optional("origClientOrderId", CLIENT_ID)
    if order_id is None and name is None:
        raise one_needed("origClientOrderId", "orderId")
    parameters.done()
    call.exchange.now()
    answer = queries.order(
        call.exchange.desk.venue,
        call.uid,
        listing.symbol.name,
        order_id=order_id,
        client_order_id=name,
    )
    if isinstance(answer, Rejection):
        raise refused(answer)
    return payloads.queried(call, listing.symbol, answer)


def open_orders(call: Call) -> list[Payload]:
    """Orders that are not over, in a symbol or in all."""
    name = call.parameters.optional("symbol", SYMBOL)
    call.parameters.done()
    symbol = None if name is None else call.listing(name).symbol.name
    call.exchange.now()
    found = queries.open_orders(call.exchange.desk.venue, call.uid, symbol)
    return [payloads.queried(call, call.listing(one.symbol).symbol, one) for one in found]


def all_orders(call: Call) -> list[Payload]:
    """Orders that ever were in a symbol."""
    listing, parameters = call.symbol(), call.parameters
    first = parameters.optional("orderId", LONG)
    start, end = parameters.window(within_a_day=True)
    limit = parameters.limit()
    parameters.done()
    call.exchange.now()
    found = queries.all_orders(
        call.exchange.desk.venue,
        call.uid,
        listing.symbol.name,
        from_id=first,
        start=start,
        end=end,
        limit=limit,
    )
    return [payloads.queried(call, listing.symbol, one) for one in found]


def my_trades(call: Call) -> list[Payload]:
    """Trades in a symbol."""
    listing, parameters = call.symbol(), call.parameters
    order_id = parameters.optional("orderId", LONG)
    first = parameters.optional("fromId", LONG)
    start, end = parameters.window(within_a_day=True)
    limit = parameters.limit()
    parameters.done()
    if (order_id is not None or first is not None) and not start is end is None:
        raise BAD_COMBINATION
    call.exchange.now()
    found = queries.my_trades(
        call.exchange.desk.venue,
        call.uid,
        listing.symbol.name,
        order_id=order_id,
        from_id=first,
        start=start,
        end=end,
        limit=limit,
    )
    return [payloads.own_trade(call, listing.symbol, fill) for fill in found]


def order_counts(call: Call) -> list[Payload]:
    """How many unfilled orders count against each limit."""
    call.parameters.done()
    exchange = call.exchange
    counts = exchange.limits.orders(call.uid, exchange.wall())
    return [limit.listed() | {"count": count} for limit, count in counts]
