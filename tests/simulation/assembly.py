"""A small daemon of the real parts, for the simulation: feed, bars, journal, engine, gateway.

It decides by a script instead of a model, so that it trades often and costs little. What may be
wrong in it enters by `Parts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import numpy as np

from tests.simulation.place import INSTRUMENT, RICH, RULES
from tests.simulation.script import Parts, Script
from vostok_core.errors import VostokError
from vostok_core.features.inputs import CLOSE
from vostok_core.live.cuts import ClosedBar, LiveBars, Ticks
from vostok_core.trading.account import Account
from vostok_core.trading.commands import Alert, Closed, Command, SetTimer, requests
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import Action, BarClosed, Control, Decision, Event, Timer
from vostok_core.trading.rules import rate_of
from vostok_live.daemon.bells import Bells
from vostok_live.feed.connection import Allowance, Arrival, MarketStream, Patience
from vostok_live.feed.events import Tick
from vostok_live.feed.http import Asker
from vostok_live.feed.inbox import Inbox
from vostok_live.feed.rest import MarketRest
from vostok_live.feed.trades import TradeFeed
from vostok_live.gateway.access import ApiKey, Endpoints
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.gateway.desk import Desk
from vostok_live.gateway.reconcile import Expected
from vostok_live.gateway.user_stream import UserStream
from vostok_live.journal.rows import Begins, RunStart
from vostok_live.journal.writer import Journal
from vostok_live.market import Market
from vostok_live.seams import Seams

T = TypeVar("T")

BNB = Decimal(500)
_KEEP_EVERY = 200  # events between two snapshots
_PATIENCE = Patience(connect=5.0, steady=5.0, longest_pause=4.0)


class SmallDaemon:
    """One life of a daemon.

    Args:
        seams: The world.
        url: The exchange.
        key: To the account there.
        state: The folder of the journal.
        script: How it trades.
        parts: What it is made of.
        seen: Called with what happens, for a person.
        on_bar: Called with every bar that it closed.
    """

    def __init__(
        self,
        seams: Seams,
        url: str,
        key: ApiKey,
        state: Path,
        *,
        script: Script,
        parts: Parts,
        seen: Callable[[str], None],
        on_bar: Callable[[ClosedBar], None],
    ) -> None:
        self._seams = seams
        self._clock = seams.clock
        self._url = url
        self._key = key
        self._state = state
        self._script = script
        self._parts = parts
        self._seen = seen
        self._on_bar = on_bar
        self._kept = 0
        self._waiting: list[Command] = []
        self._carry_out: Callable[[Any], object] | None = None
        self._bells: Bells | None = None
        self._told = 0
        self.engine: Engine | None = None

    async def control(self, action: Action) -> None:
        """Do what a person asks for.

        Raises:
            VostokError: It is starting.
        """
        if self._carry_out is None:
            raise VostokError("the daemon is starting", hint="ask again")
        self._journal.record_control(action, "simulation")
        if action == "kill":
            self._journal.latch("asked for")
        elif action == "reset":
            self._journal.release()
        self.hear(Control(self._clock.market(), action))

    async def run(self) -> None:
        """Live until killed."""
        async with AsyncExitStack() as stack:
            self._journal = Journal.open(self._state / "journal.sqlite", self._seams)
            stack.callback(self._journal.close)
            web = await stack.enter_async_context(
                aiohttp.ClientSession(connector=self._seams.connector())
            )
            endpoints = Endpoints(self._url, f"{self._url.replace('http', 'ws', 1)}/ws-api/v3")
            port = await self._port(endpoints)
            stack.push_async_callback(port.close)
            asker = Asker(self._url, session=web, seams=self._seams, timeout=5.0)
            rest = MarketRest(asker, INSTRUMENT, self._clock)
            begins = await self._begins(rest)
            bars, missed = self._bars(begins)
            self._recover(begins)
            desk, stream = self._account(port, web)
            feed, market = self._market(bars, begins, rest, web)
            self._feed, self._desk, self._stream = feed, desk, stream
            async with asyncio.TaskGroup() as group:
                group.create_task(desk.run())
                await asyncio.sleep(0)
                self._begin(desk)
                for bar in missed:
                    self._bar(bar, missed=True)
                assert self._bells is not None
                for coroutine in (
                    self._bells.run(), stream.run(), feed.run(), market.run(feed)
                ):  # fmt: skip
                    group.create_task(coroutine)

    def hear(self, event: Event) -> None:
        """Tell the engine something, write both down, carry its answer out."""
        assert self.engine is not None
        commands = self.engine.handle(event)
        late = self._parts.written_late
        if late and commands and requests(commands[0]):
            self._answer(commands)
            loop = asyncio.get_running_loop()
            loop.call_later(late, self._journal.append, event, commands, self._clock.market())
            return
        seq = self._journal.append(event, commands, self._clock.market())
        self._answer(commands)
        if seq - self._kept >= _KEEP_EVERY:
            self._kept = seq
            self._journal.snapshot(seq, self.engine.snapshot())

    # Starting

    async def _patiently(self, ask: Callable[[], Any]) -> Any:
        """Ask until there is an answer."""
        while True:
            try:
                return await ask()
            except VostokError as error:
                self._seen(f"waits: {error.what}")
                await asyncio.sleep(self._seams.random.uniform(0.5, 1.5))

    async def _port(self, endpoints: Endpoints) -> CcxtPort:
        """A port that is open, however long that takes."""
        while True:
            port = CcxtPort(INSTRUMENT, RULES, endpoints, self._key, seams=self._seams, timeout=6.0)
            try:
                await port.open()
            except VostokError as error:
                self._seen(f"waits: {error.what}")
                await port.close()
                await asyncio.sleep(self._seams.random.uniform(0.5, 1.5))
            else:
                return port

    async def _begins(self, rest: MarketRest) -> Begins:
        """Where the bars begin: as the first run found it, or as the exchange says."""
        last = self._journal.last_run()
        if last is not None:
            return last.start.begins
        found = await self._patiently(lambda: rest.beginning(self._script.begin))
        interval, begin = self._script.interval, self._script.begin
        return Begins(interval, begin, found.next_id, found.previous)

    def _bars(self, begins: Begins) -> tuple[LiveBars, list[ClosedBar]]:
        """Bars that have counted the journal's trades, and those that the engine has not heard."""
        name = str(INSTRUMENT.id)
        bars = LiveBars(INSTRUMENT, (begins.interval,), begins.begin_us, begins.previous)
        rows = self._journal.trades_between(name, begins.next_id, 2**62)
        cuts = self._journal.cuts_after(name, begins.begin_us)
        closed = bars.replay(columns(rows), cuts)
        heard = [h.event for h in self._journal.events_after(0)]
        self._told = max((e.ts for e in heard if isinstance(e, BarClosed)), default=0)
        return bars, [bar for bar in closed if bar.ts > self._told]

    def _recover(self, begins: Begins) -> None:
        config = self._script.config()
        found = self._journal.recover(config, RULES)
        if found is None:
            opening = Account.opening(RULES.atoms(RICH["USDT"]))
            self.engine = Engine(config, RULES, opening)
        else:
            self.engine = found.engine
            self._parts.restored(self.engine)
        start = RunStart("1", "s", str(INSTRUMENT.id), "c", "b", config, RULES, begins)
        self._journal.begin_run(start, self.engine.snapshot())
        self._kept = self._journal.seq
        times = () if found is None else found.timers
        self._bells = Bells(self._clock, lambda: self.hear(Timer(self._clock.market())), times)
        for fill in () if found is None else found.untold:
            self.hear(fill)
        self._seen(
            f"run begins: {self.engine.state}, holds {self.engine.account.position}, "
            f"event {self._journal.seq}"
        )

    def _begin(self, desk: Desk) -> None:
        """From here on commands are sent; those that waited go first."""
        self._carry_out = desk.carry_out
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            desk.carry_out(command)  # type: ignore[arg-type]

    def _account(self, port: CcxtPort, web: aiohttp.ClientSession) -> tuple[Desk, UserStream]:
        assert self.engine is not None
        account = self.engine.account
        loop = asyncio.get_running_loop()
        book = self._parts.book(
            INSTRUMENT,
            RULES,
            orders=self.engine.orders,
            held=account.position + account.dust,
            price_of={"BNB": BNB}.get,
            fee_rate=rate_of(10),
        )
        desk = Desk(
            self._parts.port(port),
            book,
            self._parts.resolver(loop.time, proof=self._parts.proof),
            ledger=self._journal,
            clock=self._clock,
            hear=self.hear,
            tell=self._tell,
            on_outcome=lambda _, outcome: self._seen(f"outcome: {outcome.name}"),
            expected=Expected,
            every=20.0,
            again=4.0,
        )

        async def catch_up() -> None:
            await desk.compare()

        stream = UserStream(
            f"{self._url.replace('http', 'ws', 1)}/ws-api/v3",
            self._key.key,
            port,
            session=web,
            seams=self._seams,
            patience=_PATIENCE,
            allowance=Allowance(),
            catch_up=catch_up,
            on_execution=desk.on_execution,
            on_change=lambda change: self._seen(f"account stream {change.state} {change.reason}"),
        )
        return desk, stream

    def _market(
        self, bars: LiveBars, begins: Begins, rest: MarketRest, web: aiohttp.ClientSession
    ) -> tuple[TradeFeed, Market]:
        inbox: Inbox[Arrival] = Inbox(10_000)
        stream = MarketStream(
            f"{self._url.replace('http', 'ws', 1)}/stream",
            [f"{INSTRUMENT.id.symbol.lower()}@aggTrade"],
            inbox,
            session=web,
            seams=self._seams,
            patience=_PATIENCE,
            allowance=Allowance(),
            on_change=lambda change: self._seen(f"market stream {change.state} {change.reason}"),
            on_flaw=lambda flaw: self._seen(f"malformed: {flaw.flaw}"),
        )
        next_id = max(begins.next_id, bars.last_id + 1)
        feed = TradeFeed(
            INSTRUMENT.id.symbol,
            stream,
            inbox,
            self._parts.continuity(next_id, patience=60.0),
            rest,
            clock=self._clock,
            on_other=lambda _: None,
            on_error=lambda error: self._seen(f"trades missing: {error.what}"),
        )

        def record(ticks: Sequence[Tick]) -> None:
            self._journal.record_ticks(ticks)

        def cut(cut: Any) -> None:
            self._journal.record_cut(cut)

        market = Market(
            bars,
            self._clock,
            grace=int(0.5e6 * self._script.speed),
            ahead=int(5e6 * self._script.speed),
            on_ticks=record,
            on_cut=cut,
            on_bar=self._bar,
            on_refused=lambda tick: self._seen(f"trade {tick.trade_id} is ahead of the clock"),
        )
        return feed, market

    # Living

    def _bar(self, bar: ClosedBar, *, missed: bool = False) -> None:
        """A bar has closed; `missed`: before the daemon died, and the engine did not hear it."""
        assert self.engine is not None
        self._on_bar(bar)
        number = bar.ts // int(5e6 * self._script.speed)
        close = float(bar.row[CLOSE])
        decision = None
        fresh = bar.ts > self._clock.market() - int(4e6 * self._script.speed)
        if not missed and number % self._script.every == 0 and fresh and self._ready():
            decision = Decision(0.9, 0.5, self._script.sigma, close)
        self.hear(BarClosed(bar.ts, RULES.ticks(close), bool(bar.valid), decision))

    def _ready(self) -> bool:
        standing = self._desk.standing
        return (
            self._stream.synced
            and standing is not None
            and not standing.doubts
            and self._feed.stream.up
            and self._feed.continuity.whole
        )

    def _answer(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case SetTimer(ts):
                    assert self._bells is not None
                    self._bells.ask(ts)
                case Alert():
                    self._seen(f"alert {command.code}: {command.message}")
                case Closed():
                    self._seen(f"closed: {command}")
                case _ if self._carry_out is None:
                    self._waiting.append(command)
                case _:
                    self._seen(f"sends {type(command).__name__} {_names(command)}")
                    self._carry_out(command)

    def _tell(self, alert: Alert) -> None:
        self._journal.record_alert(alert.level, alert.code, alert.message)
        self._seen(f"alert {alert.code}: {alert.message}")


def _names(command: Any) -> str:
    wanted = requests(command)
    return " ".join(order.client_order_id for order in wanted) or command.client_order_id


def columns(rows: Sequence[tuple[Any, ...]]) -> Ticks:
    """Trades as the journal gives them, in columns."""
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * 7
    kinds = (np.int64, np.float64, np.float64, np.bool_, np.int64, np.int64, np.int64)
    return Ticks(*(np.array(c, dtype=k) for c, k in zip(columns, kinds, strict=True)))
