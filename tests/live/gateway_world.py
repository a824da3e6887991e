"""A world for the gateway: a real venue, an unreliable way to it, and time that jumps.

`VenueAccount` answers for one account of `vostok_exchange`'s venue, at once and truthfully. `Way`
is the same as a port whose requests and answers are late, lost, refused or stale, by a seeded
chance. `Daemon` is the least that a gateway serves: an engine, a journal, a desk. Time is virtual:
a minute of it takes as long as what happens in it.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.live.gateway_venue import (
    BNB,
    CASH,
    EPOCH,
    INSTRUMENT,
    RULES,
    VenueAccount,
)
from tests.simulation.loop import run
from vostok_core.trading.account import Account
from vostok_core.trading.commands import Alert, Closed, SetTimer
from vostok_core.trading.config import Capabilities, EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import BarClosed, Decision, Event, Timer
from vostok_core.trading.rules import rate_of
from vostok_live.errors import JournalError
from vostok_live.gateway.desk import Desk
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    Balance,
    GatewayError,
    ListReport,
    NeverSent,
    OrderReport,
    Outcome,
    Rejected,
    Sendable,
    Throttled,
    TradeReport,
    Unknown,
)
from vostok_live.gateway.reconcile import Expected
from vostok_live.gateway.resolve import Proof, Resolver
from vostok_live.journal.rows import RunStart
from vostok_live.journal.writer import Journal
from vostok_live.seams import MarketTime, Seams

# Time


class LoopClock:
    """The wall, and a market that goes with it: the loop's time after an epoch."""

    market_time = MarketTime()

    def follow(self, market_time: MarketTime) -> None:
        raise NotImplementedError

    def wall_ns(self) -> int:
        return EPOCH * 1_000 + int(asyncio.get_running_loop().time() * 1e9)

    def market(self) -> int:
        return self.wall_ns() // 1_000


# The way to the exchange


@dataclass
class Weather:
    """How bad the way is: shares of what goes wrong."""

    lost_request: float = 0.05
    lost_answer: float = 0.08
    late: float = 0.10
    server_error: float = 0.06
    throttled: float = 0.03
    never_sent: float = 0.03
    question_fails: float = 0.05
    stale: float = 0.20
    event_lost: float = 0.05
    stream_breaks: float = 0.03
    page: int = 3


CALM = Weather(**{name: 0.0 for name in Weather.__dataclass_fields__ if name != "page"}, page=3)
WINDOW_MS, ENGINE_S = 5_000, 10.0


class Way:
    """The exchange over an unreliable way; requests are checked as Binance does."""

    def __init__(self, account: VenueAccount, rng: random.Random, weather: Weather) -> None:
        self.account = account
        self.rng = rng
        self.weather = weather
        self.clock = LoopClock()
        self.posts: list[Sendable] = []
        self._visible: dict[str, float] = {}
        self._background: set[asyncio.Task[None]] = set()

    def tick(self) -> VenueAccount:
        """The exchange, now."""
        self.account.now = self.clock.market()
        return self.account

    async def send(self, command: Sendable) -> Outcome:
        rng, weather = self.rng, self.weather
        signed_ms = self.clock.wall_ns() // 1_000_000
        fate, name = rng.random(), "fine"
        for each, share in (
            ("never_sent", weather.never_sent),
            ("throttled", weather.throttled),
            ("lost_request", weather.lost_request),
            ("lost_answer", weather.lost_answer),
            ("late", weather.late),
            ("server_error", weather.server_error),
        ):
            if fate < share:
                name = each
                break
            fate -= share
        await asyncio.sleep(rng.uniform(0.01, 0.1))
        if name == "never_sent":
            return NeverSent("refused")
        if name == "throttled":
            return Throttled("too many", 1.0, -1003, 429)
        if name == "lost_request":
            await asyncio.sleep(10.0)
            return Unknown("timeout", signed_ms)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        under_way = rng.uniform(0.0, 8.0) if name == "late" else rng.uniform(0.0, 0.05)
        in_queue = rng.uniform(0.0, ENGINE_S) if name == "late" else 0.0
        task = asyncio.get_running_loop().create_task(
            self._serve(command, signed_ms, under_way, in_queue, answer)
        )
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        if name == "lost_answer":
            await asyncio.sleep(10.0)
            return Unknown("timeout", signed_ms)
        if name == "server_error":
            await asyncio.sleep(0.1)
            return Unknown("execution status unknown", signed_ms, -1007, 504)
        # A late one often loses its connection before it arrives.
        patience = rng.choice([0.5, 2.0, 10.0]) if name == "late" else 10.0
        try:
            return await asyncio.wait_for(asyncio.shield(answer), patience)
        except TimeoutError:
            return Unknown("reset", signed_ms)

    async def _serve(
        self,
        command: Sendable,
        signed_ms: int,
        under_way: float,
        in_queue: float,
        answer: asyncio.Future[Outcome],
    ) -> None:
        """A request on the exchange's side: its time is checked, then it waits for the engine."""
        await asyncio.sleep(under_way)
        if self.clock.wall_ns() // 1_000_000 - signed_ms > WINDOW_MS:
            answer.set_result(Rejected(-1021, "outside of the recvWindow", 400, "clock"))
            return
        await asyncio.sleep(in_queue)
        self.posts.append(command)
        outcome = self.tick().execute(command)
        if not answer.done():
            answer.set_result(outcome)

    async def _question(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.01, 0.1))
        if self.rng.random() < self.weather.question_fails:
            await asyncio.sleep(self.rng.choice([0.0, 5.0]))
            raise GatewayError("no answer", hint="wait")

    def _lags(self, name: str, since: int) -> bool:
        """Whether the exchange's copy does not show something yet."""
        lag = self._visible.get(name)
        if lag is None:
            stale = self.rng.random() < self.weather.stale
            lag = self._visible[name] = self.rng.uniform(0.0, 2e6) if stale else 0.0
        return self.clock.market() < since + lag

    async def query_order(
        self, client_order_id: str | None = None, order_id: int | None = None
    ) -> OrderReport | None:
        await self._question()
        found = self.tick().order(client_order_id, order_id)
        if found is None or self._lags(f"o{found.order_id}", found.ts):
            return None
        return found

    async def query_list(self, list_client_order_id: str) -> ListReport | None:
        await self._question()
        return self.tick().order_list(list_client_order_id)

    async def open_orders(self) -> list[OrderReport]:
        await self._question()
        return [o for o in self.tick().open() if not self._lags(f"o{o.order_id}", o.ts)]

    async def my_trades(
        self, from_id: int | None = None, order_id: int | None = None
    ) -> list[TradeReport]:
        await self._question()
        found = self.tick().trades(from_id, order_id, 1_000)
        shown = []
        for trade in found:
            if self._lags(f"t{trade.trade_id}", trade.ts):
                break  # copies lag behind, they have no holes
            shown.append(trade)
        return shown

    async def balances(self) -> dict[str, Balance]:
        await self._question()
        return self.tick().balances()

    async def server_time(self) -> int:
        await self._question()
        return self.clock.wall_ns() // 1_000_000


# The daemon


@dataclass
class Parts:
    """What a test may replace by something that is wrong."""

    book: type[Book] = Book
    resolver: type[Resolver] = Resolver
    proof: Proof = field(default_factory=Proof)
    port: Callable[[Way], Any] = lambda way: way


class Daemon:
    """One life of a daemon, from a start to its end or its death."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alerts: list[Alert] = []
        self.closed: list[Closed] = []
        self.synced = False
        loop = asyncio.get_running_loop()
        config = world.config
        self.journal = Journal.open(world.path, world.seams)
        found = self.journal.recover(config, RULES)
        if found is None:
            self.engine = Engine(config, RULES, Account.opening(RULES.atoms(CASH)))
        else:
            self.engine = found.engine
        start = RunStart("1", "s", str(INSTRUMENT.id), "c", "b", config, RULES)
        self.journal.begin_run(start, self.engine.snapshot())
        for fill in () if found is None else found.untold:
            self.engine_hears(fill)
        account = self.engine.account
        self.book = world.parts.book(
            INSTRUMENT,
            RULES,
            orders=self.engine.orders,
            held=account.position + account.dust,
            price_of={"BNB": BNB}.get,
            fee_rate=rate_of(10),
        )
        self.resolver = world.parts.resolver(loop.time, proof=world.parts.proof)
        self.desk = Desk(
            world.parts.port(world.way),
            self.book,
            self.resolver,
            ledger=self.journal,
            clock=world.clock,
            hear=self.hear,
            tell=self.alerts.append,
            on_outcome=lambda *_: None,
            expected=Expected,
            every=15.0,
            again=3.0,
        )
        self.timers = () if found is None else found.timers
        self.tasks: list[asyncio.Task[Any]] = []
        self.handles: list[asyncio.TimerHandle] = []
        self.pending: list[Any] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.tasks = [loop.create_task(self.desk.run()), loop.create_task(self.stream())]
        loop.call_soon(self.ring)

    def ring(self) -> None:
        """What was asked for before the start."""
        if self.timers:
            self.hear(Timer(self.world.clock.market()))
            for ts in self.timers:
                self.wait_for(ts)

    def engine_hears(self, event: Event) -> list[Any]:
        commands = self.engine.handle(event)
        self.journal.append(event, commands, self.world.clock.market())
        return commands

    def hear(self, event: Event) -> None:
        for command in self.engine_hears(event):
            match command:
                case SetTimer(ts):
                    self.wait_for(ts)
                case Alert():
                    self.alerts.append(command)
                case Closed():
                    self.closed.append(command)
                case _:
                    self.desk.carry_out(command)

    def wait_for(self, ts: int) -> None:
        loop = asyncio.get_running_loop()
        seconds = max(ts - self.world.clock.market(), 0) / 1e6
        self.handles.append(
            loop.call_later(seconds, lambda: self.hear(Timer(self.world.clock.market())))
        )

    async def stream(self) -> None:
        """The user stream: it breaks, loses what happens meanwhile, and catches up."""
        world = self.world
        while True:
            await asyncio.sleep(world.rng.uniform(0.1, 1.0))
            world.account.stream.clear()
            try:
                await self.desk.compare()
            except GatewayError:
                continue
            self.synced = True
            while world.rng.random() >= world.weather.stream_breaks:
                await asyncio.sleep(0.1)
                events = list(world.account.stream)
                world.account.stream.clear()
                if events and world.rng.random() < 0.2:
                    await asyncio.sleep(world.rng.uniform(0.0, 1.5))
                for event in events:
                    if world.rng.random() >= world.weather.event_lost:
                        self.desk.on_execution(event)
                    if world.rng.random() < 0.1:
                        self.desk.on_execution(event)
            self.synced = False

    def ready(self) -> bool:
        standing = self.desk.standing
        return self.synced and standing is not None and not standing.doubts

    def decide(self, price: int) -> None:
        """A bar closes, with a decision to buy."""
        ts = self.world.clock.market()
        decision = Decision(0.9, 0.5, 0.002, RULES.price(price)) if self.ready() else None
        self.hear(BarClosed(ts, price, True, decision))

    async def kill(self) -> None:
        """Stop wherever it is."""
        self.world.tally.update(self.desk.counts)
        self.world.tally.update(self.book.counts)
        self.world.tally.update(alert.code for alert in self.alerts)
        self.world.tally.update(order.status for order in self.engine.orders.values())
        self.journal.abandon()
        for handle in self.handles:
            handle.cancel()
        for task in self.tasks:
            task.cancel()
        ends = await asyncio.gather(*self.tasks, return_exceptions=True)
        for end in ends:
            # What still ran for a moment found the journal gone, as a dead process finds nothing.
            rest = end.split(JournalError)[1] if isinstance(end, ExceptionGroup) else end
            if rest is not None and not isinstance(rest, asyncio.CancelledError | JournalError):
                raise AssertionError("the daemon had ended by itself") from end


class World:
    """A market, an exchange, a way and a daemon that is killed and started again."""

    def __init__(
        self, seed: int, path: Path, *, parts: Parts | None = None, weather: Weather | None = None
    ) -> None:
        self.rng = random.Random(seed)
        self.path = path
        self.parts = parts or Parts()
        self.weather = weather or Weather()
        self.clock = LoopClock()
        self.account = VenueAccount()
        self.seams = Seams(self.clock, self.rng, _no_connector, _connect)
        self.config = EngineConfig(
            run="w",
            horizon_us=20_000_000,
            take_profit=1.0,
            stop_loss=1.0,
            fraction=0.5,
            taker_fee_bps=10.0,
            latency_us=200_000,
            max_daily_loss=0.9,
            max_drawdown=0.9,
            capabilities=Capabilities(self.rng.random() < 0.7, self.rng.random() < 0.7),
        )
        self.mid = 10_000
        self.kills = 0
        self.tally: Counter[str] = Counter()

    async def live(self, seconds: float) -> Daemon:
        """Let it all go wrong for a while, then heal, and return the daemon after it settled."""
        loop = asyncio.get_running_loop()
        self.way = Way(self.account, random.Random(self.rng.random()), self.weather)
        daemon = Daemon(self)
        daemon.start()
        end = loop.time() + seconds
        kill_at = self._next_kill()
        decide_at = 0.0
        while loop.time() < end:
            self.move()
            if loop.time() >= decide_at:
                decide_at = loop.time() + self.rng.uniform(2.0, 8.0)
                daemon.decide(self.mid)
            if loop.time() >= kill_at:
                await daemon.kill()
                self.kills += 1
                await asyncio.sleep(self.rng.uniform(0.0, 8.0))
                daemon = Daemon(self)
                daemon.start()
                kill_at = self._next_kill()
            await asyncio.sleep(self.rng.uniform(0.05, 0.6))
        self.weather = self.way.weather = CALM
        for _ in range(120):
            self.move(still=True)
            await asyncio.sleep(0.5)
        await daemon.kill()
        return daemon

    def _next_kill(self) -> float:
        return asyncio.get_running_loop().time() + self.rng.expovariate(1 / 30)

    def move(self, *, still: bool = False) -> None:
        """The market moves, and somebody trades."""
        account = self.way.tick()
        if not still:
            self.mid += round(self.rng.gauss(0.0, 6.0))
        thin = self.rng.random() < 0.3
        account.quote(self.mid, ask_lots=self.rng.randint(1_000, 40_000) if thin else 1_000_000)
        account.hit(self.rng.choice(["BUY", "SELL"]))


def judge(world: World, daemon: Daemon) -> None:
    """What must be true once everything has settled."""
    truth = world.account.ours()
    engine, book = daemon.engine, daemon.book
    cash, lots = world.account.worth()
    account = engine.account
    assert daemon.desk.standing is not None
    assert daemon.desk.standing.doubts == ()
    assert daemon.resolver.unknown == []
    assert book.incomplete() == []
    assert account.position + account.dust == lots == book.held
    assert account.cash == cash
    assert world.tally["late_order"] == 0, "an order that was held for absent exists"
    assert world.tally["late_fill"] == world.tally["oversold"] == 0
    for name, order in engine.orders.items():
        there = truth.get(name)
        if there is None:
            assert order.status in ("absent", "rejected"), f"{name} is {order.status}"
        else:
            assert order.filled == there.filled, name
            assert order.terminal is not there.live, name
        mirror = book.orders[name]
        assert (mirror.status, mirror.reported) == (order.status, order.reported)
        assert sorted(mirror.trade_ids) == sorted(order.trade_ids)
    live = sorted(order.type for order in truth.values() if order.live)
    if account.position:
        assert engine.state == "holding"
        assert live == ["LIMIT_MAKER", "STOP_LOSS"]
    else:
        assert live == []
    del daemon.engine


def _connect(path: Path) -> sqlite3.Connection:
    made = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    made.execute("PRAGMA synchronous = OFF")
    return made


def _no_connector() -> Any:
    raise NotImplementedError


def check(
    seed: int,
    path: Path,
    *,
    parts: Parts | None = None,
    weather: Weather | None = None,
    seconds: float = 120.0,
) -> World:
    """One schedule: everything goes wrong for a while, then all must be in order."""
    world = World(seed, path, parts=parts, weather=weather)
    judge(world, run(lambda: world.live(seconds)))
    return world
