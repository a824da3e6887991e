"""What lives while the daemon runs, started in the order in which things can be trusted.

The exchange is found and the account's engine recovered from the journal. What it holds is seen to
first; then the past of the market is walked over, bars close, and decisions are acted on. Where
nothing can be decided but something is held, the second half is left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp

from vostok_core.live.cuts import ClosedBar
from vostok_core.times import parse_interval
from vostok_core.trading.commands import Alert, Level
from vostok_core.trading.events import Action, Control
from vostok_core.trading.rules import Rules
from vostok_live.daemon.account_side import AccountSide
from vostok_live.daemon.bells import Bells
from vostok_live.daemon.grounds import FAULT, Grounds, find_grounds, or_exits_only
from vostok_live.daemon.history import Retold
from vostok_live.daemon.key_check import KeyCheck
from vostok_live.daemon.live_news import LiveNews
from vostok_live.daemon.market_side import MarketSide
from vostok_live.daemon.model import Model
from vostok_live.daemon.model_watch import ModelWatch
from vostok_live.daemon.patiently import Result, patiently
from vostok_live.daemon.plan import Plan
from vostok_live.daemon.readiness import Readiness
from vostok_live.daemon.recovery import Recovery, recover
from vostok_live.daemon.timekeeping import Timekeeper
from vostok_live.daemon.trader import Trader
from vostok_live.daemon.walk import close_missed, walk
from vostok_live.feed.connection import Allowance
from vostok_live.feed.http import Asker
from vostok_live.feed.rest import MarketRest
from vostok_live.gateway.ccxt_port import CcxtPort, Unreachable
from vostok_live.journal.writer import Journal
from vostok_live.seams import MarketTime, Seams
from vostok_live.service import logs
from vostok_live.service.measures import Measures
from vostok_live.service.status import Reason

_log = logging.getLogger(f"{logs.ROOT}.session")
_KEEP_TIME = 1.0  # seconds
_APART = 100_000
"""Microseconds by which market time may be off the exchange's: it is told in milliseconds, and an
answer takes some to come."""
_LAST_ORDERS = 15.0
"""Seconds that requests under way are waited for when the daemon is stopped."""


class Session:
    """An engine at an exchange, from its recovery on.

    Args:
        plan: What is traded, where and how.
        seams: The world.
        measures: Where things are counted.
        journal: Open to write.
        model: In service; or why there is none, and the run sees to exits alone.
        web: Opens connections.

    Attributes:
        doing: What it does, for a person.
        closing: Whether it is being cancelled; nothing can be carried out any more.
        barred: Why nothing is decided in this run, which sees to exits alone; None where it is.
        run_number: Of this start, in the journal; 0 before it has begun.
        interval_us: Length of its bars; 0 before it has begun.
        opening: Equity that the account opened with, in atoms.
        trader, account, market, readiness, news: Its parts, once they are there.
    """

    def __init__(
        self,
        plan: Plan,
        seams: Seams,
        measures: Measures,
        journal: Journal,
        model: Model | Reason,
        web: aiohttp.ClientSession,
    ) -> None:
        self.doing = "starting"
        self.closing = False
        self.barred: Reason | None = model if isinstance(model, Reason) else None
        self.run_number = 0
        self.interval_us = 0
        self.opening = 0
        self.journal = journal
        self.trader: Trader | None = None
        self.account: AccountSide | None = None
        self.market: MarketSide | None = None
        self.readiness: Readiness | None = None
        self.news: LiveNews | None = None
        self.port = CcxtPort(
            plan.instrument, Rules.of(plan.instrument), plan.venue.endpoints, plan.key, seams=seams
        )
        self._plan = plan
        self._seams = seams
        self._clock = seams.clock
        self._measures = measures
        self._first_model = model if isinstance(model, Model) else None
        self._web = web
        self._doubts: dict[str, Reason] = {}
        self._asker = Asker(plan.venue.rest, session=web, seams=seams)
        self._rest = MarketRest(self._asker, plan.instrument, seams.clock)
        self._time = Timekeeper(plan.venue.clock, web, seams.clock)
        self._allowance = Allowance()

    @property
    def trading(self) -> bool:
        """Whether the engine can be told something."""
        return self.account is not None and self.account.desk.running and not self.closing

    @property
    def model(self) -> Model | None:
        """The model in service; None where there is none."""
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
        """Start in order, and go on until cancelled.

        Raises:
            DataError: The lake's bars can't be walked over, and nothing is open.
            JournalError: The journal can't be trusted, or can't be written any more.
            GatewayError: The exchange is not the one that was expected, or refuses the key.
        """
        plan = self._plan
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.port.close)
            self.doing = "waiting for the exchange"
            await self._find_exchange()
            self.doing = "recovering the engine"
            grounds = None
            if self._first_model is not None:
                grounds = await self._or_exits_only(
                    find_grounds(plan, self._seams, self._first_model, self.journal, self._rest)
                )
            recovery = await recover(plan, self._seams, self.journal, self.port, grounds)
            self.run_number, self.opening = recovery.run, self.journal.opening()
            self.interval_us = parse_interval(recovery.start.begins.interval)
            trader = self.trader = self._trader(recovery)
            account = self.account = self._account(trader, recovery)
            async with asyncio.TaskGroup() as group:
                # What is held is seen to first; what decides on the next entry can wait.
                self.doing = "comparing with the exchange"
                await self._look_after(group, trader, account, recovery)
                if plan.venue.restricts_keys:
                    check = KeyCheck(plan, self.port, trader, self._seams.random, self._doubts)
                    group.create_task(check.run())
                if grounds is not None:
                    self.market = await self._or_exits_only(
                        self._prepare(stack, trader, grounds, recovery)
                    )
                self.readiness = self._readiness(trader, account)
                if self.market is None:
                    assert self.barred is not None, "there is a reason to decide nothing"
                    self.doing = "seeing to exits alone"
                    self.news = None
                    code = self.barred.code
                    level: Level = "critical" if code == FAULT else "warning"
                    trader.alert(Alert(level, code, self.barred.what))
                else:
                    models = ModelWatch(plan, trader, self.readiness)
                    await models.look()  # the pointer may have moved since the model was loaded
                    group.create_task(models.run())
                    group.create_task(self.market.run())
                    if self.news is not None:
                        group.create_task(self.news.run())
                    self.doing = "trading"
                logs.event(_log, "info", "trading", f"caught up with the account, {self.doing}")

    # Starting, in order

    async def _find_exchange(self) -> None:
        """Know market time, before which nothing can be dated, and be let in."""
        await self._patiently("the exchange's clock", self._tell_time)
        await self._patiently("the exchange", self.port.open)
        self._follow_exchange()

    async def _or_exits_only(self, what: Awaitable[Result]) -> Result | None:
        """What decisions stand on; None where this run is barred from them."""
        engine = None if self.trader is None else self.trader.engine
        found = await or_exits_only(self.journal, what, engine)
        if isinstance(found, Reason):
            self.barred = found
            return None
        return found

    async def _look_after(
        self,
        group: asyncio.TaskGroup,
        trader: Trader,
        account: AccountSide,
        recovery: Recovery,
    ) -> None:
        """Send and hear what the engine's orders need, and keep its times."""
        bells = Bells(self._clock, trader.ring, recovery.timers)
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

    async def _prepare(
        self, stack: AsyncExitStack, trader: Trader, grounds: Grounds, recovery: Recovery
    ) -> MarketSide:
        """Let the trader decide from the next bar on, and know where trades go on."""
        self.doing = "walking over the past"
        news = self.news = await LiveNews.open(
            stack, self._plan, self._seams, grounds.model, self.journal, grounds.past,
            recovery.used, trader.alert,
        )  # fmt: skip
        retold = Retold(self._plan.instrument, recovery.start.begins, self.journal)
        sentiment = None if news is None else news.sentiment
        chain, missed = await walk(grounds, retold, recovery.used, sentiment)
        trader.decide_by(chain, None if sentiment is None else sentiment.row)
        self.doing = "closing the bars that were missed"
        await close_missed(missed, retold, trader, self.journal)
        return self._market(retold, trader)

    def _hold_latch(self, trader: Trader) -> None:
        """A kill switch that was thrown stays thrown, whatever the engine remembers."""
        why = self.journal.latched()
        if why is not None and trader.engine.killed is None:
            trader.hear(Control(self._clock.market(), "kill"))

    # Its parts

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
            decide_within=recovery.start.decide_within,
        )
        for fill in recovery.untold:
            trader.hear(fill)
        return trader

    def _account(self, trader: Trader, recovery: Recovery) -> AccountSide:
        self.port.on_order = trader.sent
        return AccountSide(
            self._plan,
            self.port,
            trader.engine,
            self.journal,
            recovery.start.begins.elsewhere,
            recovery.inherited,
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
            arrived=trader.arrived,
            tell=trader.alert,
            on_connected=self._time.look,
            doubts=self._doubts,
        )

    def _readiness(self, trader: Trader, account: AccountSide) -> Readiness:
        if self.barred is not None:
            self._doubts[self.barred.code] = self.barred
        return Readiness(
            clock=self._clock,
            feed=None if self.market is None else self.market.feed,
            stream=account.stream,
            desk=account.desk,
            model=lambda: trader.model,
            offset_ms=lambda: float(self.port.offset_ms),
            stale_after=self._plan.timing.stale_after,
            compare_every=self._plan.timing.compare_every,
            model_grace=self._plan.timing.market_model_grace,
            others=self._doubts,
        )

    # Going on

    def _withheld(self, _: ClosedBar) -> str | None:
        """Why a decision on a bar that has just closed is not to be acted on."""
        if self.readiness is None:
            return "starting"
        reasons = self.readiness.reasons()
        return reasons[0].code if reasons else None

    async def _tell_time(self) -> None:
        if not await self._time.read():
            where = self._plan.venue.rest
            raise Unreachable("its market clock can't be read", where=where, hint="start it")

    def _follow_exchange(self) -> None:
        """Where market time is the wall's, it is the exchange's wall: its clock decides."""
        if self._plan.venue.clock is not None:
            return
        now = self._clock.wall_ns()
        theirs = now // 1_000 + self.port.offset_ms * 1_000
        if abs(theirs - self._clock.market()) > _APART:
            self._clock.follow(MarketTime(now, theirs))

    async def _keep_time(self) -> None:
        """Follow what was last read of the exchange's clock, and keep the journal's log short,
        until cancelled."""
        while True:
            await asyncio.sleep(_KEEP_TIME)
            self._follow_exchange()
            if self.account is not None and not self.account.desk.sending:
                self.journal.fold_if_long()  # orders don't wait for the disk

    async def _patiently(self, what: str, ask: Callable[[], Awaitable[Result]]) -> Result:
        return await patiently(self._seams.random, what, ask)


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)
