"""The doors of the market streams, /ws and /stream, and who listens to which of them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import msgspec
from aiohttp import web

from vostok_exchange.desk import NEVER
from vostok_exchange.events import AggTrade, BookTop, DepthChange, Event, Trade
from vostok_exchange.protocol.exchange import Exchange
from vostok_exchange.protocol.faults import Fault
from vostok_exchange.protocol.rest import unit_of
from vostok_exchange.protocol.sockets import Patience, Socket
from vostok_exchange.protocol.topics import Topic, Write, topic

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_MOST_STREAMS = 1_024
_LONGEST_ID = 36


class _Message:
    """A payload of a stream, written at most once for each way of writing it."""

    def __init__(self, stream: str, write: Write) -> None:
        self._stream = stream
        self._write = write
        self._written: dict[tuple[int, bool], bytes] = {}

    def text(self, unit: int, *, combined: bool) -> bytes:
        text = self._written.get((unit, combined))
        if text is None:
            payload = self._write(unit)
            if combined:
                payload = {"stream": self._stream, "data": payload}
            text = self._written[unit, combined] = msgspec.json.encode(payload)
        return text


class Listener:
    """One connection to the market streams.

    Args:
        streams: All of them.
        socket: Its WebSocket.
        unit: Microseconds in the unit of its times.
        combined: Whether the stream's name is written with every payload.

    Attributes:
        names: What it listens to.
        socket: See above.
        combined: See above.
    """

    def __init__(self, streams: Streams, socket: Socket, unit: int, *, combined: bool) -> None:
        self.names: dict[str, None] = {}
        self.socket = socket
        self._streams = streams
        self._unit = unit
        self.combined = combined

    def give(self, message: _Message) -> None:
        """Send what a stream says."""
        self.socket.send(message.text(self._unit, combined=self.combined))

    async def hear(self, text: bytes) -> None:
        """Answer a request."""
        try:
            answer = self._answer(text)
        except _Refused as refused:
            answer = refused.payload
        self.socket.send(msgspec.json.encode(answer))

    def subscribe(self, names: list[str]) -> None:
        """Listen to streams; a name that there is not is taken without a word."""
        for name in names:
            if name not in self.names:
                if len(self.names) == _MOST_STREAMS:
                    raise _Refused(2, "Invalid request: too many subscriptions")
                self.names[name] = None
                self._streams.follow(name, self)

    def leave(self) -> None:
        """Listen to nothing any more."""
        self._unsubscribe(list(self.names))

    def _unsubscribe(self, names: list[str]) -> None:
        for name in names:
            if name in self.names:
                del self.names[name]
                self._streams.unfollow(name, self)

    def _answer(self, text: bytes) -> dict[str, Any]:
        try:
            request = json.loads(text)
            json.dumps(request, ensure_ascii=False).encode()  # half of a surrogate pair is no text
        except (ValueError, RecursionError) as error:
            place = f"line {getattr(error, 'lineno', 1)} column {getattr(error, 'colno', 1)}"
            raise _Refused(3, f"Invalid JSON: expected value at {place}") from None
        if not isinstance(request, dict):
            raise _Refused(2, "Invalid request: request must be an object")
        key, method, params = request.get("id"), request.get("method"), request.get("params", [])
        whole = isinstance(key, int) and not isinstance(key, bool)
        if "id" not in request or not (
            key is None or whole or (isinstance(key, str) and len(key) <= _LONGEST_ID)
        ):
            raise _Refused(2, "Invalid request: request ID must be an unsigned integer")
        if method is None:
            raise _Refused(2, "Invalid request: missing field `method` at line 1 column 1", key)
        if method not in _METHODS:
            wanted = ", ".join(f"`{each}`" for each in _METHODS)
            raise _Refused(
                2, f"Invalid request: unknown variant `{method}`, expected one of {wanted}", key
            )
        if not isinstance(params, list):
            raise _Refused(2, "Invalid request: params must be an array", key)
        try:
            return {"result": self._do(method, params), "id": key}
        except _Refused as refused:
            raise refused.to(key) from None

    def _do(self, method: str, params: list[Any]) -> Any:
        if method in {"SUBSCRIBE", "UNSUBSCRIBE"}:
            if not all(isinstance(name, str) for name in params):
                raise _Refused(2, "Invalid request: stream name must be a string")
            if method == "SUBSCRIBE":
                self.subscribe(params)
            else:
                self._unsubscribe(params)
            return None
        if method == "LIST_SUBSCRIPTIONS":
            return list(self.names)
        if not params or not isinstance(params[0], str):
            raise _Refused(2, "Invalid request: property name must be a string")
        if len(params) > (2 if method == "SET_PROPERTY" else 1):
            raise _Refused(2, "Invalid request: too many parameters")
        if params[0] != "combined":
            raise _Refused(0, "Unknown property")
        if method == "GET_PROPERTY":
            return self.combined
        if len(params) < 2 or not isinstance(params[1], bool):
            raise _Refused(1, "Invalid value type: expected Boolean")
        self.combined = params[1]
        return None


class Streams:
    """All market streams that somebody listens to; a `Timer` of the desk.

    Args:
        exchange: Whose they are.
        patience: How long connections last.
    """

    def __init__(self, exchange: Exchange, patience: Patience) -> None:
        self._exchange = exchange
        self._patience = patience
        self._topics: dict[str, Topic] = {}
        self._by_symbol: dict[str, list[Topic]] = {}
        self._followers: dict[str, dict[Listener, None]] = {}
        self.due = NEVER
        self.connections: dict[Listener, None] = {}
        exchange.desk.listeners.append(self._hear)
        exchange.desk.timers.append(self)

    def add_routes(self, app: web.Application) -> None:
        """Open the doors. ccxt needs `/stream` in the address of spot streams."""
        for path in ("/ws", "/ws/{names:.*}", "/stream/ws", "/stream/ws/{names:.*}", "/stream"):
            app.router.add_get(path, self._serve)

    def follow(self, name: str, listener: Listener) -> None:
        """Somebody listens to a stream."""
        if name not in self._topics:
            self._exchange.now()
            made = topic(name, self._exchange.desk)
            if made is None:
                return
            self._topics[name] = made
            self._followers[name] = {}
            self._by_symbol.setdefault(made.symbol, []).append(made)
            self.due = min(self.due, made.due)
            self._exchange.stirred.set()
        self._followers[name][listener] = None

    def unfollow(self, name: str, listener: Listener) -> None:
        """Somebody listens no more."""
        if name not in self._topics:
            return
        self._followers[name].pop(listener, None)
        if not self._followers[name]:
            made = self._topics.pop(name)
            del self._followers[name]
            self._by_symbol[made.symbol].remove(made)

    def fire(self, ts: int) -> None:
        """Let every stream speak that is due."""
        for made in [made for made in self._topics.values() if made.due <= ts]:
            self._tell(made, made.say(ts))
        self.due = min((made.due for made in self._topics.values()), default=NEVER)

    def _hear(self, events: list[Event]) -> None:
        if not self._topics:
            return
        for event in events:
            if isinstance(event, Trade | AggTrade | DepthChange | BookTop):
                for made in self._by_symbol.get(event.symbol, ()):
                    self._tell(made, made.hear(event))
                    self.due = min(self.due, made.due)

    def _tell(self, made: Topic, write: Write | None) -> None:
        if write is not None:
            message = _Message(made.name, write)
            for listener in list(self._followers[made.name]):
                listener.give(message)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            self._exchange.limits.connect(request.remote or "", self._exchange.wall())
            unit = unit_of(request.query.get("timeUnit"))
        except Fault as fault:
            return web.json_response(fault.payload, status=fault.status)
        combined = request.path == "/stream"
        listed = request.query.get("streams", "") if combined else ""
        names = unquote(listed or request.match_info.get("names", "")).split("/")
        end = _Message("!serverShutdown", self._shutdown)
        socket = Socket(self._patience, lambda: end.text(unit, combined=listener.combined))
        listener = Listener(self, socket, unit, combined=combined)
        self.connections[listener] = None
        try:
            listener.subscribe([name for name in names if name])
            return await socket.serve(request, listener.hear)
        except _Refused as refused:
            return web.json_response(refused.payload, status=400)
        finally:
            listener.leave()
            del self.connections[listener]

    def _shutdown(self, unit: int) -> dict[str, Any]:
        return {"e": "serverShutdown", "E": self._exchange.desk.now // unit}


class _Refused(Exception):
    """A request on a stream's connection can't be understood."""

    def __init__(self, code: int, msg: str, key: object = None) -> None:
        super().__init__(msg)
        self._code = code
        self._msg = msg
        self._key = key

    @property
    def payload(self) -> dict[str, Any]:
        """The answer."""
        return {"code": self._code, "msg": self._msg, "id": self._key}

    def to(self, key: object) -> _Refused:
        """The same, of a request that has an id."""
        return _Refused(self._code, self._msg, key)
