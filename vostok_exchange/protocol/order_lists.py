"""Placing, canceling and asking for order lists."""

from __future__ import annotations

from vostok_exchange import queries
from vostok_exchange.commands import CancelList, PlaceOco, PlaceOto
from vostok_exchange.listing import Listing
from vostok_exchange.orders import ListPlaced, OcoRequest, OrderList, Rejection
from vostok_exchange.protocol import payloads
from vostok_exchange.protocol.calls import Call
from vostok_exchange.protocol.faults import BAD_COMBINATION, one_needed, refused
from vostok_exchange.protocol.orders_in import Part, working
from vostok_exchange.protocol.parameters import CLIENT_ID, DECIMAL, LONG, RESPONSE, SIDE
from vostok_exchange.protocol.payloads import Payload


def place_oco(call: Call) -> Payload:
    """Place two orders of which the first that works ends the other."""
    listing, parameters = call.symbol(), call.parameters
    name = listing.symbol.name
    side = parameters.required("side", SIDE)
    quantity = parameters.required("quantity", DECIMAL)
    request = OcoRequest(
        Part(parameters, name, "above").request(side=side, quantity=quantity),
        Part(parameters, name, "below").request(side=side, quantity=quantity),
        parameters.optional("listClientOrderId", CLIENT_ID),
    )
    response = parameters.optional("newOrderRespType", RESPONSE)
    parameters.done()
    return _placed(call, listing, call.do(PlaceOco(call.uid, request)), response)


def place_oto(call: Call) -> Payload:
    """Place an order that is followed by one more once it has filled."""
    listing, parameters = call.symbol(), call.parameters
    first = working(parameters, listing.symbol.name)
    pending = (Part(parameters, listing.symbol.name, "pending").request(),)
    name = parameters.optional("listClientOrderId", CLIENT_ID)
    response = parameters.optional("newOrderRespType", RESPONSE)
    parameters.done()
    return _placed(call, listing, call.do(PlaceOto(call.uid, first, pending, name)), response)


def place_otoco(call: Call) -> Payload:
    """Place an order that is followed by an OCO once it has filled."""
    listing, parameters = call.symbol(), call.parameters
    first = working(parameters, listing.symbol.name)
    side = parameters.required("pendingSide", SIDE)
    quantity = parameters.required("pendingQuantity", DECIMAL)
    pending = tuple(
        Part(parameters, listing.symbol.name, prefix).request(side=side, quantity=quantity)
        for prefix in ("pendingAbove", "pendingBelow")
    )
    name = parameters.optional("listClientOrderId", CLIENT_ID)
    response = parameters.optional("newOrderRespType", RESPONSE)
    parameters.done()
    return _placed(call, listing, call.do(PlaceOto(call.uid, first, pending, name)), response)


def cancel(call: Call) -> Payload:
    """Cancel a list."""
    listing, parameters = call.symbol(), call.parameters
    list_id = parameters.optional("orderListId", LONG)
    name = parameters.optional("listClientOrderId", CLIENT_ID)
    cancel_id = parameters.optional("newClientOrderId", CLIENT_ID)
    if list_id is None and name is None:
        raise one_needed("orderListId", "listClientOrderId")
    parameters.done()
    answer = call.do(CancelList(call.uid, listing.symbol.name, list_id, name, cancel_id))
    if isinstance(answer, Rejection):
        raise refused(answer)
    return payloads.list_canceled(call, listing.symbol, answer, call.exchange.desk.now)


def query(call: Call) -> Payload:
    """A list."""
    parameters = call.parameters
    list_id = parameters.optional("orderListId", LONG)
    name = parameters.optional("origClientOrderId", CLIENT_ID)
    if list_id is None and name is None:
        raise one_needed("orderListId", "origClientOrderId")
    parameters.done()
    call.exchange.now()
    venue = call.exchange.desk.venue
    answer = queries.order_list(venue, call.uid, list_id=list_id, client_order_id=name)
    if isinstance(answer, Rejection):
        raise refused(answer)
    return _queried(call, answer)


def open_lists(call: Call) -> list[Payload]:
    """Lists that are not over."""
    call.parameters.done()
    call.exchange.now()
    found = queries.open_order_lists(call.exchange.desk.venue, call.uid)
    return [_queried(call, made) for made in found]


def all_lists(call: Call) -> list[Payload]:
    """Lists that ever were."""
    parameters = call.parameters
    first = parameters.optional("fromId", LONG)
    start, end = parameters.window(within_a_day=True)
    limit = parameters.limit()
    parameters.done()
    if first is not None and not start is end is None:
        raise BAD_COMBINATION
    call.exchange.now()
    found = queries.all_order_lists(
        call.exchange.desk.venue, call.uid, from_id=first, start=start, end=end, limit=limit
    )
    return [_queried(call, made) for made in found]


def _placed(
    call: Call, listing: Listing, answer: ListPlaced | Rejection, response: str | None
) -> Payload:
    if isinstance(answer, Rejection):
        raise refused(answer)
    return payloads.list_placed(call, listing.symbol, answer, response, call.exchange.desk.now)


def _queried(call: Call, made: OrderList) -> Payload:
    return payloads.order_list(call, made, queries.names(call.exchange.desk.venue, made))
