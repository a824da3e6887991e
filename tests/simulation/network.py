"""Connections in memory, between a client's node and a server's, on a `VirtualLoop`.

`Network.connect` and `MemoryConnector` (for aiohttp's client) lead to whoever `listen`s, such as
aiohttp's server. Bytes arrive in order, after a latency. What else happens to them is decided by
the `Tap` of each `Wire`, which sees them as they are sent; the one here passes everything on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Literal

import aiohttp
from aiohttp.client_proto import ResponseHandler

from tests.simulation.loop import NODE, Node

Side = Literal["client", "server"]

_ORDER = 1e-6  # seconds between two arrivals, so that they keep their order
_CLIENT, _SERVER = ("10.0.0.2", 40_000), ("127.0.0.1", 80)
_OTHER: dict[Side, Side] = {"client": "server", "server": "client"}


class Tap:
    """Decides what becomes of the bytes of one connection."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def sent(self, data: bytes) -> None:
        """The client sent something."""
        self.wire.deliver("server", data)

    def answered(self, data: bytes) -> None:
        """The server sent something."""
        self.wire.deliver("client", data)


class Wire:
    """One connection.

    Attributes:
        number: Counts connections from 1.
        hole: Whether everything that is sent vanishes, and nobody is told.
        opened: When it was made, seconds of the loop.
    """

    def __init__(self, network: Network, number: int) -> None:
        self.network = network
        self.number = number
        self.hole = False
        self.opened = network.loop.time()
        self.tap: Tap = network.tap(self)
        self._ends: dict[Side, MemoryTransport] = {}
        self._arrival: dict[Side, float] = {"client": 0.0, "server": 0.0}

    @property
    def open(self) -> bool:
        """Whether both ends are."""
        return all(not end.lost for end in self._ends.values())

    def join(self, side: Side, end: MemoryTransport) -> None:
        """Put an end on."""
        self._ends[side] = end

    def carry(self, side: Side, data: bytes) -> None:
        """An end sends something."""
        if self.hole:
            if side == "client":
                self.network.swallowed(data)
            return
        if side == "client":
            self.tap.sent(data)
        else:
            self.tap.answered(data)

    def deliver(self, side: Side, data: bytes, delay: float = 0.0, *, late: bool = False) -> None:
        """Let bytes arrive at an end.

        Args:
            side: Where.
            data: What.
            delay: Seconds on top of the latency.
            late: Whether what is sent afterwards overtakes it.
        """
        end = self._ends[side]
        self._at(side, end.receive, data, delay=delay, late=late)

    def deliver_end(self, side: Side, error: Exception | None, delay: float = 0.0) -> None:
        """Let an end learn that the other one is gone: closed, or broken off."""
        if not self.hole:
            self._at(side, self._ends[side].peer_gone, error, delay=delay)

    def reset(self) -> None:
        """Break it: both ends learn of it."""
        for side in self._ends:
            self.deliver_end(side, ConnectionResetError(104, "connection reset by peer"))

    def _at(
        self,
        side: Side,
        callback: Callable[..., None],
        argument: Any,
        *,
        delay: float,
        late: bool = False,
    ) -> None:
        network = self.network
        at = network.loop.time() + network.latency() + delay
        if not late:
            at = self._arrival[side] = max(at, self._arrival[side] + _ORDER)
        network.loop.call_at(at, callback, argument, context=self._ends[side].context)


class MemoryTransport(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, wire: Wire, side: Side, node: Node | None, context: Context) -> None:
        super().__init__()
        self.wire = wire
        self.side: Side = side
        self.node = node
        self.context = context
        self.lost = False
        self._protocol: Any = None
        self._closing = False
        self._paused = False
        self._waiting: list[bytes] = []
        wire.join(side, self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        here, there = (_CLIENT, _SERVER) if self.side == "client" else (_SERVER, _CLIENT)
        return {"peername": there, "sockname": here}.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return not self._paused

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        while self._waiting and not self._paused:
            self._protocol.data_received(self._waiting.pop(0))

    def write(self, data: Any) -> None:
        if not self._closing and not self._dead():
            self.wire.carry(self.side, bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return (0, 65_536)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def close(self) -> None:
        self._leave(None)

    def abort(self) -> None:
        self._leave(ConnectionResetError(104, "connection reset by peer"))

    def receive(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self._closing:
            return
        if self._paused:
            self._waiting.append(data)
        else:
            self._protocol.data_received(data)

    def peer_gone(self, error: Exception | None) -> None:
        """The other end has gone; where it closed in order, this one does too."""
        if not self._closing:
            if error is None and self._protocol.eof_received():
                return
            self._closing = True
            self._gone(error)

    def die(self) -> None:
        """Its process was killed: the system tells the other end, and nobody this one."""
        if self.lost:
            return
        self._closing = self.lost = True
        self.wire.deliver_end(_OTHER[self.side], ConnectionResetError(104, "reset by peer"))

    def _leave(self, error: Exception | None) -> None:
        if self._closing or self._dead():
            return
        self._closing = True
        self.wire.deliver_end(_OTHER[self.side], error)
        self.wire.network.loop.call_soon(self._gone, None, context=self.context)

    def _gone(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self._protocol.connection_lost(error)

    def _dead(self) -> bool:
        return self.node is not None and self.node.dead


class Network:
    """All connections.

    Args:
        loop: Where time passes.
        chance: Decides latencies.
        mean: Mean latency, seconds.
        tail: Share of what takes up to a second longer.

    Attributes:
        tap: Makes the tap of a connection.
        admit: Awaited with every connection that is about to be made; it may wait, or raise an
            `OSError` instead.
        swallowed: Called with what a client sends into a hole.
        wires: Those that are open.
    """

    def __init__(
        self, loop: Any, chance: random.Random, *, mean: float = 0.02, tail: float = 0.01
    ) -> None:
        self.loop = loop
        self.tap: Callable[[Wire], Tap] = Tap
        self.admit: Callable[[], Any] = _at_once
        self.swallowed: Callable[[bytes], None] = lambda _: None
        self.mean = mean
        self.tail = tail
        self._chance = chance
        self._listening: dict[int, tuple[Callable[[], Any], Context]] = {}
        self._wires: list[Wire] = []
        self._made = 0

    @property
    def wires(self) -> list[Wire]:
        self._wires = [wire for wire in self._wires if wire.open]
        return self._wires

    def latency(self) -> float:
        """Seconds that the next bytes take."""
        took = self.mean * (0.5 + self._chance.random())
        if self._chance.random() < self.tail:
            took += self._chance.random()
        return took

    def listen(self, port: int, factory: Callable[[], Any]) -> None:
        """Take connections; the factory's protocols run in the context of who calls this."""
        self._listening[port] = (factory, copy_context())

    async def connect(self, factory: Callable[[], Any], port: int) -> Any:
        """Make a connection from the node that runs now; returns the client's protocol.

        Raises:
            OSError: It is refused.
        """
        await asyncio.sleep(self.latency())
        await self.admit()
        if port not in self._listening:
            raise ConnectionRefusedError(111, "connection refused")
        serve, context = self._listening[port]
        self._made += 1
        wire = Wire(self, self._made)
        node = NODE.get()
        client = MemoryTransport(wire, "client", node, copy_context())
        server = MemoryTransport(wire, "server", None, context)
        self._wires.append(wire)
        if node is not None:
            node.on_death.append(client.die)
        ours, theirs = factory(), context.run(serve)
        client.set_protocol(ours)
        server.set_protocol(theirs)
        context.run(theirs.connection_made, server)
        ours.connection_made(client)
        return ours


async def _at_once() -> None:
    """Admit it."""


class MemoryConnector(aiohttp.BaseConnector):
    """Makes the connections of an aiohttp session in memory.

    Args:
        network: Where.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        *_: Any,
    ) -> ResponseHandler:
        port = req.url.port
        assert port is not None, "every address has a port"
        try:
            made: ResponseHandler = await self._network.connect(self._factory, port)
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return made
