"""What lives while the daemon runs, started in the order in which things can be trusted.

The account's engine is recovered from the journal and compared with the exchange; the past of the
market is walked over; then bars close and decisions are acted on.
"""

from __future__ import annotations

import asyncio
import logging
import string
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

import aiohttp
import numpy as np

from vostok_core.errors import VostokError
from vostok_core.live.chain import DecisionChain
from vostok_core.live.cuts import ClosedBar
from vostok_core.trading.account import Account
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import Action, Control, Fill
from vostok_core.trading.rules import Rules
from vostok_live.daemon.account_side import AccountSide
from vostok_live.daemon.bells import Bells
from vostok_live.daemon.history import Past, Retold, caught_up, find_beginning, lake_past
from vostok_live.daemon.live_news import LiveNews
from vostok_live.daemon.market_side import MarketSide
from vostok_live.daemon.model import Model
from vostok_live.daemon.model_watch import ModelWatch
from vostok_live.daemon.plan import Plan
from vostok_live.daemon.readiness import Readiness
from vostok_live.daemon.timekeeping import Timekeeper
from vostok_live.daemon.trader import Trader
from vostok_live.feed.connection import Allowance
from vostok_live.feed.http import Asker, FeedError
from vostok_live.feed.rest import MarketRest
from vostok_live.gateway.ccxt_port import CcxtPort, Unreachable
from vostok_live.gateway.permission import check_permissions
from vostok_live.journal.rows import Begins, RunStart
from vostok_live.journal.writer import Journal
from vostok_live.seams import MarketTime, Seams
from vostok_live.service import logs
from vostok_live.service.measures import Measures

Result = TypeVar("Result")

_log = logging.getLogger(f"{logs.ROOT}.session")
_LETTERS = string.ascii_lowercase + string.digits
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_KEEP_TIME = 1.0  # seconds
_APART = 100_000
"""Microseconds by which market time may be off the exchange's: it is told in milliseconds, and an
answer takes some to come."""
_LAST_ORDERS = 15.0
"""Seconds that requests under way are waited for when the daemon is stopped."""


@dataclass(frozen=True)
class Recovery:
    """What a run begins with.

    Attributes:
        engine: As it was when the last run ended, or new.
        begins: Where the run's bars begin.
        used: End of the newest bar that any run made something of; microseconds.
        untold: Fills of the journal that the engine has not heard.
        timers: Market times that it waits for.
    """

    engine: Engine
    begins: Begins
    used: int
    untold: tuple[Fill, ...]
    timers: tuple[int, ...]


class Session:
    """An engine at an exchange, from its recovery on.

    Args:
        plan: What is traded, where and how.
        seams: The world.
        measures: Where things are counted.
        journal: Open to write.
        model: In service.
        web: Opens connections.

    Attributes:
        doing: What it does, for a person.
        closing: Whether it is being cancelled; nothing can be carried out any more.
        run_number: Of this start, in the journal; 0 before it has begun.
        opening: Equity that the account opened with, in atoms.
        trader, account, market, readiness, news: Its parts, once they are there.
    """

    def __init__(
        self,
        plan: Plan,
        seams: Seams,
        measures: Measures,
        journal: Journal,
        model: Model,
        web: aiohttp.ClientSession,
    ) -> None:
        self.doing = "starting"
        self.closing = False
        self.run_number = 0
        self.opening = 0
        self.journal = journal
        self.trader: Trader | None = None
        self.account: AccountSide | None = None
        self.market: MarketSide | None = None
        self.readiness: Readiness | None = None
        self.port = CcxtPort(
            plan.instrument, Rules.of(plan.instrument), plan.venue.endpoints, plan.key, seams=seams
        )
        self._plan = plan
        self._seams = seams
        self._clock = seams.clock
        self._measures = measures
        self._first_model = model
        self._web = web
        self._asker = Asker(plan.venue.rest, session=web, seams=seams)
        self._rest = MarketRest(self._asker, plan.instrument, seams.clock)
        self._time = Timekeeper(plan.venue.clock, web, seams.clock)
        self._allowance = Allowance()
        self.news: LiveNews | None = None

    @property
    def trading(self) -> bool:
        """Whether the engine can be told something."""
        return self.account is not None and self.account.desk.running and not self.closing

    @property
    def model(self) -> Model:
        """The model that decides."""
        return self._first_model if self.trader is None else self.trader.model

    def collect(self) -> None:
        """Bring what the parts count by themselves into the measures."""
        measures = self._measures
        measures.requests = Counter(self.port.answers)
        if self.account is not None:
            counts = self.account.desk.counts
            measures.comparisons = Counter(
                done=counts["compared"], failed=counts["compare_failed"] + counts["looks_failed"]
            )
            measures.doubts = Counter(self.account.doubts)

    def control(self, action: Action, asked_by: str) -> None:
        """Tell the engine what a person asks for; `trading` is true."""
        assert self.trader is not None
        assert self.account is not None
        self.journal.record_control(action, asked_by)
        if action == "reset":
            self.journal.release()
        elif action == "resume":
            self.account.book.acknowledge()
        self.trader.hear(Control(self._clock.market(), action))

    async def wind_up(self) -> None:
        """Enter nothing more, and wait for what is under way."""
        self.doing = "being stopped"
        if self.readiness is not None:
            self.readiness.stopping = True
        loop = asyncio.get_running_loop()
        until = loop.time() + _LAST_ORDERS
        while self.account is not None and self.account.desk.sending and loop.time() < until:
            await asyncio.sleep(0.05)

    def keep(self) -> None:
        """Keep what the engine remembers."""
        if self.trader is not None:
            self.trader.keep()

    async def run(self) -> None:
        """Start in order, and go on until cancelled."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.port.close)
            self.doing = "waiting for the exchange"
            await self._patiently("the exchange's clock", self._tell_time)
            await self._patiently("the exchange", self.port.open)
            self._follow_exchange()
            if self._plan.venue.restricts_keys:
                allowed = await self._patiently("the key's permissions", self.port.permissions)
                warning = check_permissions(allowed, self._plan.venue.rest)
                if warning is not None:
                    logs.event(_log, "warning", "key", warning)
            self.doing = "recovering the engine"
            past, begins = await self._past()
            recovery = await self._recover(past, begins)
            trader = self.trader = self._trader(recovery)
            account = self.account = self._account(trader, recovery.begins)
            bells = Bells(self._clock, trader.ring, recovery.timers)
            async with asyncio.TaskGroup() as group:
                # What is held is seen to first; what decides on the next entry can wait.
                self.doing = "comparing with the exchange"
                group.create_task(account.run())
                group.create_task(self._time.run())
                group.create_task(self._keep_time())
                await _until(lambda: account.desk.running)
                trader.begin(account.carry_out, bells.ask)
                self._hold_latch(trader)
                # What was due meanwhile may have happened at the exchange by itself.
                await self._patiently("the account", account.desk.compare)
                group.create_task(bells.run())
                trader.ring()
                self.doing = "walking over the past"
                self.news = await LiveNews.open(
                    stack, self._plan, self._seams, self._first_model, self.journal, past,
                    recovery.used, trader.alert,
                )  # fmt: skip
                retold = Retold(self._plan.instrument, recovery.begins, self.journal)
                chain, missed = await self._walk(past, recovery, retold)
                trader.decide_by(chain, None if self.news is None else self.news.sentiment.row)
                self.doing = "closing the bars that were missed"
                await self._close_missed(retold, missed, trader)
                market = self.market = self._market(retold, trader)
                self.readiness = Readiness(
                    clock=self._clock,
                    feed=market.feed,
                    stream=account.stream,
                    desk=account.desk,
                    model=lambda: trader.model,
                    offset_ms=lambda: float(self.port.offset_ms),
                    stale_after=self._plan.timing.stale_after,
                    model_grace=self._plan.timing.market_model_grace,
                )
                watch = ModelWatch(self._plan, trader, self.readiness)
                group.create_task(market.run())
                group.create_task(watch.run())
                if self.news is not None:
                    group.create_task(self.news.run())
                self.doing = "trading"
                logs.event(_log, "info", "trading", "caught up with the account")

    def _follow_exchange(self) -> None:
        """Where market time is the wall's, it is the exchange's wall: its clock decides."""
        if self._plan.venue.clock is not None:
            return
        now = self._clock.wall_ns()
        theirs = now // 1_000 + self.port.offset_ms * 1_000
        if abs(theirs - self._clock.market()) > _APART:
            self._clock.follow(MarketTime(now, theirs))

    async def _keep_time(self) -> None:
        """Follow what was last read of the exchange's clock, until cancelled."""
        while True:
            await asyncio.sleep(_KEEP_TIME)
            self._follow_exchange()

    # Starting

    async def _tell_time(self) -> None:
        """Know market time; before that nothing can be dated."""
        if not await self._time.read():
            where = self._plan.venue.rest
            raise Unreachable("its market clock can't be read", where=where, hint="start it")

    async def _past(self) -> tuple[Past, Begins]:
        """The lake's bars, and where the journal's begin."""
        plan, strategy = self._plan, self._first_model.strategy
        past = await asyncio.to_thread(
            lake_past, plan.lake, strategy, plan.instrument, self._clock.market(),
            plan.timing.market_max_gap,
        )  # fmt: skip

        def find() -> Awaitable[Begins]:
            return find_beginning(
                past, strategy.file.interval, plan.instrument, self.journal, self._rest
            )

        return past, await self._patiently("the market's trades", find)

    async def _recover(self, past: Past, begins: Begins) -> Recovery:
        """The engine that wrote last, or a new one; its run begins here."""
        plan, journal, model = self._plan, self.journal, self._first_model
        name, rules = str(plan.instrument.id), Rules.of(plan.instrument)
        last = journal.last_run()
        config = self._config(self._new_name() if last is None else last.start.config.run)
        found = journal.recover(config, rules)
        if found is None or last is None:
            engine, elsewhere = await self._patiently("the account", lambda: self._open(config))
        else:
            engine, elsewhere = found.engine, last.start.begins.elsewhere
        begins = replace(begins, elsewhere=elsewhere, account=plan.account)
        used = journal.newest_step(plan.strategy, name)
        self.run_number = journal.begin_run(
            RunStart(
                plan.version, plan.strategy, name, model.bundle.manifest.configuration,
                model.sha256, config, rules, begins,
            ),
            engine.snapshot(),
        )  # fmt: skip
        self.opening = journal.opening()
        return Recovery(
            engine=engine,
            begins=begins,
            used=past.begin_us if used is None else max(used, past.begin_us),
            untold=() if found is None else found.untold,
            timers=() if found is None else found.timers,
        )

    def _config(self, run: str) -> EngineConfig:
        config = EngineConfig.from_strategy(
            self._first_model.strategy, run=run, capabilities=self.port.capabilities
        )
        # What is meant by the wall passes sooner in a market that goes faster.
        speed = self._clock.market_time.speed
        return replace(
            config,
            latency_us=round(config.latency_us * speed),
            cover_within_us=round(config.cover_within_us * speed),
            retry_us=round(config.retry_us * speed),
        )

    async def _open(self, config: EngineConfig) -> tuple[Engine, Decimal]:
        """A new engine with the account's money, and the base that is not its own."""
        instrument, rules = self._plan.instrument, Rules.of(self._plan.instrument)
        balances = await self.port.balances()
        quote, base = (balances.get(each) for each in (instrument.id.quote, instrument.id.base))
        free = Decimal(0) if quote is None else quote.free
        capital = self._plan.live.capital
        if capital is None:
            capital = free
        if capital <= 0 or capital > free:
            raise VostokError(
                f"{free} {instrument.id.quote} is free, and {capital} is to be traded with",
                where=self._plan.venue.rest,
                hint="fund the account, or lower [live] capital in vostok.toml",
            )
        engine = Engine(config, rules, Account.opening(rules.atoms(capital)))
        return engine, Decimal(0) if base is None else base.total

    async def _walk(
        self, past: Past, recovery: Recovery, retold: Retold
    ) -> tuple[DecisionChain, list[ClosedBar]]:
        """The chain, behind every bar that was decided on; and those that were not."""
        model = self._first_model
        chain = await asyncio.to_thread(
            caught_up, DecisionChain(model.bundle, model.strategy), past
        )
        walked: list[ClosedBar] = []
        missed: list[ClosedBar] = []
        for bar in retold.closed():
            (walked if bar.ts <= recovery.used else missed).append(bar)
            await asyncio.sleep(0)
        if walked:
            ends = np.array([bar.ts for bar in walked], dtype=np.int64)
            rows = None if self.news is None else self.news.sentiment.rows(ends)
            chain.catch_up(
                np.stack([bar.row for bar in walked]),
                rows,
                np.array([bar.valid for bar in walked]),
            )
        return chain, missed

    def _trader(self, recovery: Recovery) -> Trader:
        trader = Trader(
            recovery.engine,
            self.journal,
            None,
            self._first_model,
            None,
            clock=self._clock,
            measures=self._measures,
            withheld=self._withheld,
        )
        for fill in recovery.untold:
            trader.hear(fill)
        return trader

    def _account(self, trader: Trader, begins: Begins) -> AccountSide:
        self.port.on_order = trader.sent
        return AccountSide(
            self._plan,
            self.port,
            trader.engine,
            self.journal,
            begins.elsewhere,
            web=self._web,
            asker=self._asker,
            seams=self._seams,
            allowance=self._allowance,
            measures=self._measures,
            hear=trader.hear,
            tell=trader.alert,
        )

    def _market(self, retold: Retold, trader: Trader) -> MarketSide:
        return MarketSide(
            self._plan,
            retold.bars,
            retold.next_id,
            self._rest,
            self.journal,
            web=self._web,
            seams=self._seams,
            allowance=self._allowance,
            measures=self._measures,
            on_bar=trader.on_bar,
            triggered=trader.triggered,
            tell=trader.alert,
            on_connected=self._time.look,
        )

    async def _close_missed(
        self, retold: Retold, missed: Sequence[ClosedBar], trader: Trader
    ) -> None:
        """Bars that closed while nobody decided, and trades that nobody counted."""
        for bar in missed:
            trader.on_bar(bar, missed="missed")
        for ticks in retold.rest():
            for cut, closed in retold.bars.push(ticks):
                self.journal.record_cut(cut)
                for bar in closed:
                    trader.on_bar(bar, missed="missed")
                await asyncio.sleep(0)

    def _hold_latch(self, trader: Trader) -> None:
        """A kill switch that was thrown stays thrown, whatever the engine remembers."""
        why = self.journal.latched()
        if why is not None and trader.engine.killed is None:
            trader.hear(Control(self._clock.market(), "kill"))

    # Going on

    def _withheld(self, bar: ClosedBar) -> str | None:
        """Why a decision on a bar is not to be acted on now."""
        age = self._clock.market_time.wall_seconds(self._clock.market() - bar.ts)
        if age * 1e6 > self._plan.timing.decide_within:
            return "late"
        if self.readiness is None:
            return "starting"
        reasons = self.readiness.reasons()
        return reasons[0].code if reasons else None

    async def _patiently(self, what: str, ask: Callable[[], Awaitable[Result]]) -> Result:
        """Ask until there is an answer."""
        pause = _PAUSE
        while True:
            try:
                return await ask()
            except (Unreachable, FeedError) as error:
                logs.event(_log, "warning", "no_answer", f"{what}: {error}")
            await asyncio.sleep(pause * self._seams.random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _new_name(self) -> str:
        """A name for client order ids that no other journal has."""
        return "".join(self._seams.random.choice(_LETTERS) for _ in range(8))


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)
