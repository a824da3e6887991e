"""A real exchange behind real sockets for the gateway, and a way to it that can be cut.

The market's time stands still until a test steps it, unless it asks for a clock that runs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import aiohttp

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.synthetic import MarketSpec
from vostok_core.times import HOUR, MINUTE, day_start
from vostok_core.trading.commands import OrderRequest
from vostok_core.trading.rules import Rules
from vostok_exchange.clock import SteppedClock
from vostok_exchange.server import Server
from vostok_exchange.settings import AccountSetup, Key, Setup
from vostok_exchange.world import Market
from vostok_live.gateway.access import ApiKey, Endpoints
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.seams import MarketTime, Seams, WallClock, real_seams

T = TypeVar("T")
DAY = date(2025, 3, 31)
NOON = day_start(DAY) + 12 * HOUR
KEY = ApiKey("k" * 64, "secret")
INSTRUMENT = Instrument(
    InstrumentId.parse("demo.spot.ABC-USDT"),
    "agg_trade",
    Decimal("0.01"),
    Decimal("0.001"),
    Decimal(5),
    10 * MINUTE,
)
RULES = Rules.of(INSTRUMENT)
SPEC = MarketSpec(
    trades_per_minute=60.0,
    start_price=100.0,
    mean_qty=50.0,
    quantity_step=0.001,
    news_per_day=200.0,
)
RICH = {"USDT": Decimal(100_000), "BNB": Decimal(50)}


def setup(balances: dict[str, Decimal] | None = None) -> Setup:
    """An exchange with one symbol and one account."""
    return Setup(
        3,
        DAY,
        NOON,
        (Market(INSTRUMENT, SPEC),),
        (AccountSetup(1, (Key(KEY.key, KEY.secret),), balances or RICH),),
        {"USDT": Decimal(500)},
    )


class WrongClock(WallClock):
    """The machine's clock, off by so many nanoseconds."""

    def __init__(self) -> None:
        super().__init__(MarketTime())
        self.off_ns = 0

    def wall_ns(self) -> int:
        return super().wall_ns() + self.off_ns


class Relay:
    """Passes bytes on between the gateway and the exchange, as long as it wants.

    Attributes:
        mode: `pass` everything; `deaf`: answers are not passed on, and the connection is cut when
            one comes; `hole`: nothing is passed on at all, and nobody is told.
        requests: First lines of what was sent.
        deaf_to: Method and path of the request whose answer is lost, once.
        swallow: Method and path of the request that is lost itself, once.
        lost: Set when it was.
        rewrite: What is written in answers, and what is put in its place; of the same length.
    """

    def __init__(self, port: int) -> None:
        self.mode: Literal["pass", "deaf", "hole"] = "pass"
        self.requests: list[str] = []
        self.deaf_to: str | None = None
        self.swallow: str | None = None
        self.lost = asyncio.Event()
        self.rewrite = (b"", b"")
        self._once = False
        self._to = port
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.vanish()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def vanish(self) -> None:
        """Take no connection any more."""
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, back]
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError):
            await asyncio.gather(
                self._pass(reader, back, out=True), self._pass(there, writer, out=False)
            )
        for end in (writer, back):
            end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, out: bool
    ) -> None:
        while data := await reader.read(65_536):
            if out:
                line = data.partition(b" HTTP")[0].decode("latin-1")
                self.requests.append(line)
                if line.partition("?")[0] == self.swallow:
                    self.swallow = None
                    self.lost.set()
                    break
                if line.partition("?")[0] == self.deaf_to:
                    self.deaf_to, self.mode, self._once = None, "deaf", True
            if self.mode == "hole":
                continue
            if self.mode == "deaf" and not out:
                self.lost.set()
                break
            if not out and self.rewrite[0]:
                data = data.replace(*self.rewrite)
            writer.write(data)
            await writer.drain()
        if self.mode == "deaf":
            self.cut()
            self.mode = "pass" if self.lost.is_set() and self._once else self.mode
        writer.transport.abort()


class Place:
    """An exchange, the way to it, and a port there."""

    def __init__(self, server: Server, relay: Relay, seams: Seams, port: CcxtPort) -> None:
        self.server = server
        self.relay = relay
        self.seams = seams
        self.port = port

    def step(self, microseconds: int) -> None:
        """Let the market's time go on."""
        clock: Any = self.server.exchange.clock
        clock.step_to(clock.now() + microseconds)

    @property
    def history(self) -> list[str]:
        """Client order ids of all orders that the exchange ever took from the account."""
        listing = self.server.exchange.desk.venue.listing(INSTRUMENT.id.symbol)
        return [listing.orders[key].client_order_id for key in listing.history.get(1, ())]

    @property
    def price(self) -> int:
        """The last price, ticks."""
        trades = self.server.exchange.desk.venue.listing(INSTRUMENT.id.symbol)
        return int(trades.last_price)


def seams_with(clock: WallClock | None = None) -> Seams:
    """The machine's, with another clock, and chance that is the same each time."""
    real = real_seams()
    return Seams(clock or real.clock, random.Random(1), real.connector, real.connect)


def endpoints(port: int) -> Endpoints:
    """Of an exchange on this machine."""
    return Endpoints(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws-api/v3")


def play(
    folder: Path,
    scenario: Callable[[Place], Awaitable[T]],
    *,
    clock: WallClock | None = None,
    balances: dict[str, Decimal] | None = None,
    opened: bool = True,
    running: bool = False,
    timeout: float = 10.0,
    key: ApiKey = KEY,
    **options: Any,
) -> T:
    """Run a scenario against an exchange of its own; `running`: market time goes by itself."""

    async def main() -> T:
        market = None if running else SteppedClock
        async with (
            Server(folder / "exchange", setup=setup(balances), clock=market, **options) as server,
            Relay(int(server.url.rpartition(":")[2])) as relay,
        ):
            seams = seams_with(clock)
            port = CcxtPort(
                INSTRUMENT, RULES, endpoints(relay.port), key, seams=seams, timeout=timeout
            )
            try:
                if opened:
                    await port.open()
                return await scenario(Place(server, relay, seams, port))
            finally:
                await port.close()

    return asyncio.run(asyncio.wait_for(main(), 60))


def session(seams: Seams) -> aiohttp.ClientSession:
    """A session for a WebSocket."""
    return aiohttp.ClientSession(connector=seams.connector())


def order(name: str, leg: Any, qty: int, price: int = 0) -> OrderRequest:
    """An order of the engine's."""
    kinds: dict[str, Any] = {"stop_loss": "stop", "market": "market"}
    return OrderRequest(
        name,
        leg,
        "buy" if leg == "entry" else "sell",
        kinds.get(leg, "limit"),
        "GTC" if leg in ("take_profit", "stop_loss") else "IOC",
        qty,
        price,
    )
