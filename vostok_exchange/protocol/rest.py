"""The REST door."""

from __future__ import annotations

import msgspec
from aiohttp import web

from vostok_exchange.protocol.calls import Operation
from vostok_exchange.protocol.catalogue import ROUTES
from vostok_exchange.protocol.doorway import Request, answer
from vostok_exchange.protocol.exchange import Exchange
from vostok_exchange.protocol.faults import Fault
from vostok_exchange.protocol.parameters import Parameters
from vostok_exchange.protocol.signing import signed_query

_FORM = "application/x-www-form-urlencoded"


class Rest:
    """Answers requests by REST.

    Args:
        exchange: What they are asked of.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def add_routes(self, app: web.Application) -> None:
        """Open the door."""
        for method, path in ROUTES:
            app.router.add_route(method, path, self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        operation = ROUTES[request.method, request.path]
        try:
            return await self._answer(operation, request)
        except Fault as fault:
            fault.forget()
            headers = self._used(request)
            if fault.wait is not None:
                headers["Retry-After"] = str(fault.wait)
            return _json(fault.payload, headers, fault.status)

    async def _answer(self, operation: Operation, request: web.Request) -> web.Response:
        # As it was sent: aiohttp's own query is decoded and encoded again.
        query = request.raw_path.partition("?")[2]
        body = ""
        if request.method != "GET" and request.content_type == _FORM:
            body = (await request.read()).decode("latin-1")
        call, result = await answer(
            self._exchange,
            operation,
            Request(
                address=request.remote or "",
                parameters=Parameters.of_query(query, body),
                key=lambda: request.headers.get("X-MBX-APIKEY"),
                payload=lambda: signed_query(query, body),
                unit=unit_of(request.headers.get("X-MBX-TIME-UNIT")),
            ),
        )
        headers = self._used(request)
        if operation.orders:
            counts = self._exchange.limits.orders(call.uid, self._exchange.wall())
            headers |= {f"X-MBX-ORDER-COUNT-{each.header}": str(used) for each, used in counts}
        return _json(result, headers)

    def _used(self, request: web.Request) -> dict[str, str]:
        limits = self._exchange.limits
        used = str(limits.weight(request.remote or "", self._exchange.wall()))
        header = limits.policy.weight.header
        return {"X-MBX-USED-WEIGHT": used, f"X-MBX-USED-WEIGHT-{header}": used}


def unit_of(text: str | None) -> int:
    """Microseconds in the unit of time that a header or a query names; milliseconds by default.

    Raises:
        Fault: There is no such unit.
    """
    if text is None or text.upper() == "MILLISECOND":
        return 1_000
    if text.upper() == "MICROSECOND":
        return 1
    raise Fault(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")


def _json(payload: object, headers: dict[str, str], status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(payload),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="UTF-8",
    )
