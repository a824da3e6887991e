"""The way of every request, whichever door it comes through: limits, keys, window, answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vostok_exchange.protocol.calls import Call, Operation
from vostok_exchange.protocol.exchange import Exchange
from vostok_exchange.protocol.faults import Fault
from vostok_exchange.protocol.parameters import Parameters
from vostok_exchange.protocol.signing import BAD_KEY, verify


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came.

    Attributes:
        address: Where it came from.
        parameters: What it says.
        key: The API key it names.
        payload: What is signed of it; raises a `Fault` where nothing can have been.
        unit: Microseconds in the unit of time that it wants answers in.
    """

    address: str
    parameters: Parameters
    key: Callable[[], str | None]
    payload: Callable[[], str]
    unit: int


async def answer(exchange: Exchange, operation: Operation, request: Request) -> tuple[Call, Any]:
    """Answer a request; returns the call and what it came to.

    Raises:
        Fault: It is refused.
    """
    limits, address = exchange.limits, request.address
    weight = operation.cost(request.parameters)
    limits.ask(address, weight, exchange.wall())
    call = Call(exchange, request.parameters, request.unit)
    if operation.security != "NONE":
        holder = call.holder = exchange.keys.holder(request.key())
        if operation.security == "TRADE" and not holder.key.trade:
            raise BAD_KEY
        validity = verify(holder, request.payload(), request.parameters, exchange.wall())
        if operation.security == "TRADE":
            await exchange.hold(call)
            validity.check_again(exchange.wall())
    if operation.orders:
        limits.place(call.uid, operation.orders, exchange.wall())
    try:
        result = operation.answer(call)
    except Fault as fault:
        # A replacement counts even if nothing was placed; what was refused at once doesn't.
        if operation.orders and fault.data is None:
            limits.unplace(call.uid, operation.orders)
        raise
    if operation.free:
        limits.give_back(address, weight)
    return call, result
