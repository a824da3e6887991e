"""The door of the WebSocket API, /ws-api/v3, and the user data streams that go over it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Raw, Struct

from vostok_exchange.events import Event
from vostok_exchange.protocol.calls import Call, Operation
from vostok_exchange.protocol.catalogue import METHODS
from vostok_exchange.protocol.doorway import Request, answer
from vostok_exchange.protocol.exchange import Exchange
from vostok_exchange.protocol.faults import Fault
from vostok_exchange.protocol.parameters import BOOLEAN, LONG, TEXT, Parameters
from vostok_exchange.protocol.rest import unit_of
from vostok_exchange.protocol.signing import signed_values
from vostok_exchange.protocol.sockets import Patience, Socket
from vostok_exchange.protocol.user_events import UserEvent, user_event

_CONNECTING = 2  # weight
_MOST_SUBSCRIPTIONS = 1_000

_UNKNOWN_METHOD = Fault(-1020, "This operation is not supported.")
_BAD_JSON = Fault(-1135, "Invalid JSON Request")
_NO_LOGON = Fault(-4056, "HMAC_SHA256 API key is not supported.")
_SUBSCRIBED = Fault(-2035, "User Data Stream subscription already active.")
_NOT_SUBSCRIBED = Fault(-2036, "User Data Stream subscription not active.")
_TOO_MANY = Fault(-2042, "Maximum subscription ID reached for this connection.")


class _Frame(Struct):
    id: int | str | None
    method: str
    params: Raw = Raw(b"{}")


_frames = msgspec.json.Decoder(_Frame)


class Session:
    """One connection to the WebSocket API.

    Args:
        api: The API.
        address: Who opened it.
        unit: Microseconds in the unit of its times.
        rate_limits: Whether answers say what was used of the limits.

    Attributes:
        subscriptions: Number -> account, of the user data streams that go over it.
        socket: Its WebSocket.
        unit: See above.
    """

    def __init__(self, api: WebSocketApi, address: str, unit: int, *, rate_limits: bool) -> None:
        self.subscriptions: dict[int, int] = {}
        self.socket = Socket(api.patience, self._shutdown)
        self._exchange = api.exchange
        self._address = address
        self.unit = unit
        self._rate_limits = rate_limits
        self._next = 0
        self._since = api.exchange.wall()
        self._methods = {
            **METHODS,
            "session.status": Operation(self._status, 2),
            "session.subscriptions": Operation(self._listed, 2),
            "session.logon": Operation(self._logon, 2),
            "userDataStream.subscribe": Operation(self._logon, 2),
            "userDataStream.subscribe.signature": Operation(self._subscribe, 2, "USER_STREAM"),
            "userDataStream.unsubscribe": Operation(self._unsubscribe, 2),
        }

    def tell(self, event: UserEvent) -> None:
        """Something happened to an account."""
        for number, uid in self.subscriptions.items():
            if uid == event.uid:
                self._push(number, user_event(self._exchange.desk, event, self.unit))

    async def hear(self, text: bytes) -> None:
        """Answer a request."""
        key: int | str | None = None
        shown, uid = self._rate_limits, None
        try:
            frame = _decoded(text)
            key = frame.id
            parameters = Parameters(_values(frame.params))
            wanted = parameters.optional("returnRateLimits", BOOLEAN)
            shown = self._rate_limits if wanted is None else wanted
            operation = self._methods.get(frame.method.removeprefix("v3/"))
            if operation is None:
                raise _UNKNOWN_METHOD
            if operation.security == "NONE":  # clients sign everything that they send here
                for name in ("apiKey", "timestamp", "recvWindow", "signature"):
                    parameters.optional(name, TEXT)
            call, result = await answer(self._exchange, operation, self._request(parameters))
            payload = {"id": key, "status": 200, "result": result}
            uid = call.uid if operation.orders else None
        except Fault as fault:
            fault.forget()
            payload = {"id": key, "status": fault.status, "error": self._error(fault)}
        if shown:
            payload["rateLimits"] = self._used(uid)
        self.socket.send(msgspec.json.encode(payload))

    def _request(self, parameters: Parameters) -> Request:
        return Request(
            address=self._address,
            parameters=parameters,
            key=lambda: parameters.required("apiKey", TEXT),
            payload=lambda: signed_values(parameters.values),
            unit=self.unit,
        )

    def _error(self, fault: Fault) -> dict[str, Any]:
        if fault.wait is None:
            return fault.payload
        now = self._exchange.wall()
        data = {"serverTime": now // 1_000, "retryAfter": now // 1_000 + fault.wait * 1_000}
        return fault.payload | {"data": data}

    def _used(self, uid: int | None) -> list[dict[str, Any]]:
        limits, now = self._exchange.limits, self._exchange.wall()
        counts = [] if uid is None else list(limits.orders(uid, now))
        counts.append((limits.policy.weight, limits.weight(self._address, now)))
        return [limit.listed() | {"count": count} for limit, count in counts]

    def _status(self, call: Call) -> dict[str, Any]:
        call.parameters.done()
        return {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": self._since // self.unit,
            "returnRateLimits": self._rate_limits,
            "serverTime": self._exchange.wall() // self.unit,
            "userDataStream": bool(self.subscriptions),
        }

    def _listed(self, call: Call) -> list[dict[str, Any]]:
        call.parameters.done()
        return [{"subscriptionId": number} for number in self.subscriptions]

    def _logon(self, _call: Call) -> None:
        """A session is logged on with an Ed25519 key, which nobody has here."""
        raise _NO_LOGON

    def _subscribe(self, call: Call) -> dict[str, Any]:
        call.parameters.done()
        if call.uid in self.subscriptions.values():
            raise _SUBSCRIBED
        if len(self.subscriptions) == _MOST_SUBSCRIPTIONS:
            raise _TOO_MANY
        number, self._next = self._next, self._next + 1
        self.subscriptions[number] = call.uid
        return {"subscriptionId": number}

    def _unsubscribe(self, call: Call) -> dict[str, Any]:
        number = call.parameters.optional("subscriptionId", LONG)
        call.parameters.done()
        if number is not None and number not in self.subscriptions:
            raise _NOT_SUBSCRIBED
        for ended in list(self.subscriptions) if number is None else [number]:
            del self.subscriptions[ended]
            now = self._exchange.now() // self.unit
            self._push(ended, {"e": "eventStreamTerminated", "E": now})
        return {}

    def _push(self, number: int, event: dict[str, Any]) -> None:
        self.socket.send(msgspec.json.encode({"subscriptionId": number, "event": event}))

    def _shutdown(self) -> bytes:
        now = self._exchange.desk.now // self.unit
        return msgspec.json.encode({"event": {"e": "serverShutdown", "E": now}})


class WebSocketApi:
    """Every connection to the WebSocket API.

    Args:
        exchange: What is asked.
        patience: How long connections last.
    """

    def __init__(self, exchange: Exchange, patience: Patience) -> None:
        self.exchange = exchange
        self.patience = patience
        self.connections: dict[Session, None] = {}
        exchange.desk.listeners.append(self._hear)

    def add_routes(self, app: web.Application) -> None:
        """Open the door."""
        app.router.add_get("/ws-api/v3", self._serve)

    def _hear(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, UserEvent):
                for session in self.connections:
                    session.tell(event)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        address, limits = request.remote or "", self.exchange.limits
        try:
            limits.connect(address, self.exchange.wall())
            limits.ask(address, _CONNECTING, self.exchange.wall())
            unit = unit_of(request.query.get("timeUnit"))
        except Fault as fault:
            return web.json_response(fault.payload, status=fault.status)
        shown = request.query.get("returnRateLimits") != "false"
        session = Session(self, address, unit, rate_limits=shown)
        self.connections[session] = None
        try:
            return await session.socket.serve(request, session.hear)
        finally:
            del self.connections[session]


def _decoded(text: bytes) -> _Frame:
    try:
        return _frames.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise _BAD_JSON from None


def _values(params: Raw) -> dict[str, str]:
    """Parameters as texts; numbers exactly as they were written, for they were signed so."""
    values = json.loads(bytes(params), parse_int=str, parse_float=str)
    if not isinstance(values, dict):
        raise _BAD_JSON
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
