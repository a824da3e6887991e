"""Market streams on a WebSocket that is renewed before it ends and replaced when it fails.

One socket carries the streams. It is given up when nothing is heard for too long, a ping included,
when the server closes it, refuses the subscription or announces its shutdown, when it grows old, or
when the inbox is full. Where it still works, the new socket is made first and the old one closed
when the new one's subscription is granted, so both may say the same for a while; `continuity` drops
what is said twice. Where trades were lost, `Resumed` in the inbox says from when on to look.

Sockets are never opened faster than the exchange's limit, and after failures in a row with pauses
that double, of random length.

Source: binance-spot-api-docs, web-socket-streams.md.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import aiohttp
import msgspec
from aiohttp import WSMsgType

from vostok_live.feed.events import (
    Answer,
    BookTop,
    DepthDiff,
    Event,
    Kline,
    Malformed,
    Resumed,
    Shutdown,
    Tick,
)
from vostok_live.feed.http import retry_after
from vostok_live.feed.parse import decode
from vostok_live.seams import Seams

Arrival = Tick | BookTop | DepthDiff | Kline | Resumed

_WebSocket = aiohttp.ClientWebSocketResponse[Literal[False]]
_LARGEST = 4 * 1024 * 1024  # bytes of a message; a larger one ends the connection
_LEAVING = frozenset({"age", "shutdown"})  # reasons for which the old socket goes on for a while


class Sink(Protocol):
    """What arrivals are put into, such as an `Inbox`."""

    def put(self, item: Arrival) -> bool:
        """Take market data; false where there is no room, which ends the connection."""
        ...

    def mark(self, item: Resumed) -> None:
        """Take the mark of a new connection."""
        ...


OnFrame = Callable[[bytes, int, Event], None]
"""Called with a text as it came, when it did (nanoseconds by the wall), and what it says."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection is waited for, in seconds.

    Attributes:
        connect: For a connection and the answer to its subscription.
        quiet: Without a word before it is pinged.
        pong: For a word after that; then it is held for dead.
        age: That a connection may last; the exchange ends it after 24 hours.
        steady: That a connection must have lasted for its end to be no failure.
        pause: After the second failure in a row, doubled by each further one.
        longest_pause: After any number of them.
    """

    connect: float = 10.0
    quiet: float = 5.0
    pong: float = 10.0
    age: float = 23 * 3600.0
    steady: float = 60.0
    pause: float = 0.5
    longest_pause: float = 60.0


class Allowance:
    """How many connections may be opened: the exchange counts them by address.

    Args:
        connections: That may be opened within `seconds`.
        seconds: See above.
    """

    def __init__(self, connections: int = 300, seconds: float = 300.0) -> None:
        self._connections = connections
        self._seconds = seconds
        self._opened: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Seconds until the next connection may be opened."""
        while self._opened and now - self._opened[0] >= self._seconds:
            self._opened.popleft()
        if len(self._opened) < self._connections:
            return 0.0
        return self._opened[0] + self._seconds - now

    def take(self, now: float) -> None:
        """A connection is opened now."""
        assert self.wait(now) == 0.0, "more connections than the exchange allows"
        self._opened.append(now)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a connection.

    Attributes:
        state: `waiting` (for `seconds`), `connecting`, `up`, `leaving` (another is being made to
            take its place), `down`.
        connection: Its number, from 1.
        reason: Why.
        seconds: Length of a wait.
        heard_ns: When it last brought anything, by the wall; 0 if it never did.
    """

    state: Literal["waiting", "connecting", "up", "leaving", "down"]
    connection: int
    reason: str = ""
    seconds: float = 0.0
    heard_ns: int = 0


@dataclass(eq=False)
class _Socket:
    """One connection.

    `granted` is done once its subscription is; `over` once it has ended or is to be replaced.
    """

    number: int
    granted: asyncio.Future[None]
    over: asyncio.Future[str]
    heard: float
    heard_ns: int = 0
    pinged: float = float("-inf")
    up_since: float | None = None
    retry_after: float = 0.0
    ws: _WebSocket | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def up(self) -> bool:
        """Whether it carries the streams."""
        return self.up_since is not None

    def end(self, reason: str) -> None:
        """It has ended, or is to be replaced."""
        if not self.over.done():
            self.over.set_result(reason)


class MarketStream:
    """Some streams of the exchange, for as long as `run` runs.

    What is wrong with frames is counted in `flaws`, by kind; why connections ended in `ended`.

    Args:
        url: Of combined streams, such as `wss://stream.binance.com:9443/stream`.
        streams: Names, such as `btcusdt@aggTrade`.
        inbox: What market data are put into.
        session: Opens the connections.
        seams: Clock and chance.
        patience: How long to wait for what.
        allowance: Shared by all who open connections to this exchange.
        on_change: Called with every change of a connection.
        on_flaw: Called with every frame that can't be used.
        on_frame: Called with every text, before what it says is put into the inbox.
    """

    def __init__(
        self,
        url: str,
        streams: Sequence[str],
        inbox: Sink,
        *,
        session: aiohttp.ClientSession,
        seams: Seams,
        patience: Patience,
        allowance: Allowance,
        on_change: Callable[[Change], None],
        on_flaw: Callable[[Malformed], None],
        on_frame: OnFrame | None = None,
    ) -> None:
        self.flaws: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self._url = url
        self._streams = tuple(streams)
        self._inbox = inbox
        self._session = session
        self._clock = seams.clock
        self._random = seams.random
        self._patience = patience
        self._allowance = allowance
        self._on_change = on_change
        self._on_flaw = on_flaw
        self._on_frame = on_frame
        self._number = 0
        self._failures = 0
        self._sockets: list[_Socket] = []

    @property
    def up(self) -> bool:
        """Whether a connection carries the streams."""
        return any(socket.up for socket in self._sockets)

    @property
    def made(self) -> int:
        """Connections that were made, or tried."""
        return self._number

    @property
    def heard_ns(self) -> int:
        """When the streams' connection last brought anything, by the wall; 0 if there is none."""
        return max((socket.heard_ns for socket in self._sockets if socket.up), default=0)

    async def run(self) -> None:
        """Keep the streams coming, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            try:
                socket = await self._open(tasks)
                while True:
                    socket = await self._replace(socket, tasks)
            finally:
                for left in list(self._sockets):
                    self._drop(left, "stopped")

    async def _replace(self, socket: _Socket, tasks: asyncio.TaskGroup) -> _Socket:
        """The connection that takes the place of another, once that has ended or is to."""
        reason = await socket.over
        now = asyncio.get_running_loop().time()
        lasted = 0.0 if socket.up_since is None else now - socket.up_since
        self._failures = 0 if lasted >= self._patience.steady else self._failures + 1
        if reason in _LEAVING:
            self._change("leaving", socket, reason)
        successor = await self._open(tasks)
        self._drop(socket, reason)
        return successor

    async def _open(self, tasks: asyncio.TaskGroup) -> _Socket:
        """A connection whose subscription is granted, however long that takes."""
        loop = asyncio.get_running_loop()
        at_least = 0.0
        while True:
            self._number += 1
            await self._wait(at_least)
            granted: asyncio.Future[None] = loop.create_future()
            over: asyncio.Future[str] = loop.create_future()
            socket = _Socket(self._number, granted, over, heard=loop.time())
            self._sockets.append(socket)
            self._change("connecting", socket)
            socket.tasks.append(tasks.create_task(self._serve(socket)))
            await asyncio.wait(
                (granted, over),
                timeout=self._patience.connect,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if granted.done() and socket in self._sockets:
                socket.tasks.append(tasks.create_task(self._watch(socket)))
                return socket
            self._drop(socket, "no answer")
            at_least = socket.retry_after
            self._failures += 1

    async def _wait(self, at_least: float) -> None:
        """Wait for as long as failures in a row, the exchange and its limit ask for."""
        loop = asyncio.get_running_loop()
        pause = 0.0
        if self._failures > 1:
            doubled = self._patience.pause * 2.0 ** min(self._failures - 2, 30)
            pause = min(doubled, self._patience.longest_pause) * self._random.uniform(0.5, 1.0)
        pause = max(pause, at_least)
        while (pause := max(pause, self._allowance.wait(loop.time()))) > 0.0:
            self._on_change(Change("waiting", self._number, seconds=pause))
            await asyncio.sleep(pause)
            pause = 0.0
        self._allowance.take(loop.time())

    async def _serve(self, socket: _Socket) -> None:
        """Connect, subscribe and listen, until something ends it."""
        try:
            async with self._session.ws_connect(
                self._url,
                params={"timeUnit": "MICROSECOND"},
                autoping=False,
                decode_text=False,
                max_msg_size=_LARGEST,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            ) as ws:
                socket.ws = ws
                request = {"method": "SUBSCRIBE", "params": self._streams, "id": socket.number}
                await ws.send_str(msgspec.json.encode(request).decode())
                self._drop(socket, await self._listen(socket, ws))
        except aiohttp.WSServerHandshakeError as error:
            socket.retry_after = retry_after(error.headers)
            self._drop(socket, f"refused with {error.status}")
        except (aiohttp.ClientError, OSError) as error:
            self._drop(socket, f"{type(error).__name__}: {error}")

    async def _listen(self, socket: _Socket, ws: _WebSocket) -> str:
        """Put what comes into the inbox; returns why no more does."""
        time = asyncio.get_running_loop().time
        wall_ns = self._clock.wall_ns
        put = self._inbox.put
        on_frame = self._on_frame
        while True:
            message = await ws.receive()
            socket.heard, socket.heard_ns = time(), wall_ns()
            if message.type is WSMsgType.TEXT:
                event = decode(message.data, socket.heard_ns // 1_000)
                if on_frame is not None:
                    on_frame(message.data, socket.heard_ns, event)
                if isinstance(event, Tick | BookTop | DepthDiff | Kline):
                    if not put(event):
                        return "overflow"
                elif (reason := self._said(socket, event)) is not None:
                    return reason
            elif message.type is WSMsgType.PING:
                await ws.pong(message.data)
            elif message.type is WSMsgType.BINARY:
                self._flawed(Malformed("unexpected", f"{len(message.data)} bytes, not text"))
            elif message.type is WSMsgType.ERROR:
                too_big = ws.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
                self._flawed(Malformed("huge" if too_big else "broken", str(message.data)))
                return f"broken: {message.data}"
            elif message.type is not WSMsgType.PONG:
                return f"closed with {ws.close_code}"

    def _said(self, socket: _Socket, event: Event) -> str | None:
        """Hear what is no market data; returns why the connection is of no use, if it isn't."""
        if isinstance(event, Shutdown):
            socket.end("shutdown")
        elif isinstance(event, Answer):
            if event.error:
                return f"refused: {event.error}"
            if event.id == socket.number and not socket.granted.done():
                socket.up_since = socket.heard
                socket.granted.set_result(None)
                self._inbox.mark(Resumed())
                self._change("up", socket)
        elif isinstance(event, Malformed):
            self._flawed(event)
        return None

    async def _watch(self, socket: _Socket) -> None:
        """Ping a quiet connection, give up a dead one, and replace an old one."""
        loop = asyncio.get_running_loop()
        assert socket.ws is not None
        assert socket.up_since is not None
        patience = self._patience
        old = socket.up_since + patience.age * self._random.uniform(0.95, 1.0)
        while True:
            now = loop.time()
            if now >= old:
                socket.end("age")
                old = float("inf")
            if socket.pinged > socket.heard:
                due = socket.pinged + patience.pong
                if now >= due:
                    break
            else:
                due = socket.heard + patience.quiet
                if now >= due:
                    socket.pinged = now
                    try:
                        await socket.ws.ping()
                    except (aiohttp.ClientError, OSError):
                        return  # it has just ended, and whoever listens to it will say so
                    continue
            await asyncio.sleep(min(due, old, now + patience.quiet) - now)
        self._drop(socket, "dead")

    def _drop(self, socket: _Socket, reason: str) -> None:
        """Have done with a connection; nothing if that has happened."""
        if socket not in self._sockets:
            return
        self._sockets.remove(socket)
        socket.end(reason)
        self.ended[reason.partition(":")[0]] += 1
        self._change("down", socket, reason)
        here = asyncio.current_task()
        for task in socket.tasks:
            if task is not here:
                task.cancel()

    def _flawed(self, malformed: Malformed) -> None:
        self.flaws[malformed.flaw] += 1
        self._on_flaw(malformed)

    def _change(
        self, state: Literal["connecting", "up", "leaving", "down"], socket: _Socket, why: str = ""
    ) -> None:
        self._on_change(Change(state, socket.number, why, heard_ns=socket.heard_ns))
