"""A daemon from its start to its end: one journal, one session with an exchange, one control API.

What can't be reached is waited for. What can't be trusted ends it, with the exits resting at the
exchange.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import aiohttp

from vostok_core.errors import VostokError
from vostok_core.trading.events import Action
from vostok_live.daemon.grounds import find_model, or_exits_only
from vostok_live.daemon.plan import JOURNAL, Plan
from vostok_live.daemon.recovery import check_account
from vostok_live.daemon.report import status
from vostok_live.daemon.session import Session
from vostok_live.errors import JournalError, gravest
from vostok_live.journal.lease import Lease
from vostok_live.journal.writer import Journal
from vostok_live.seams import Seams
from vostok_live.service import logs
from vostok_live.service.announce import command
from vostok_live.service.heartbeat import Heartbeat
from vostok_live.service.measures import Measures
from vostok_live.service.server import serving
from vostok_live.service.source import Pulse
from vostok_live.service.status import Status

_log = logging.getLogger(f"{logs.ROOT}.daemon")
_STUCK = 30.0
"""Seconds that the event loop may be late before whoever watches should start the daemon anew."""


class Daemon:
    """One strategy on one instrument at one account. It is what `service` serves.

    Args:
        plan: What it is to do.
        seams: The world.
        serve: Whether to serve the control API.
    """

    def __init__(self, plan: Plan, seams: Seams, *, serve: bool = True) -> None:
        self._plan = plan
        self._seams = seams
        self._serve = serve
        self._measures = Measures()
        self._started_ns = seams.clock.wall_ns()
        self._stop = asyncio.Event()
        self._heartbeat = Heartbeat()
        self.session: Session | None = None
        self._journal: Journal | None = None

    @property
    def measures(self) -> Measures:
        """What it counts and times."""
        if self.session is not None:
            self.session.collect()
        return self._measures

    def stop(self) -> None:
        """Stop in order, soon. Exits stay where they rest."""
        self._stop.set()

    def pulse(self) -> Pulse:
        """Whether it lives."""
        lag = self._heartbeat.lag()
        late = f"the event loop is {lag:.0f} s late" if lag > _STUCK else None
        return Pulse(failing=late, loop_lag=lag)

    def status(self) -> Status:
        """How it stands now."""
        return status(
            self._plan, self._seams.clock, self.session, self._measures, self._started_ns,
            self._heartbeat.lag(),
        )  # fmt: skip

    async def control(self, action: Action, asked_by: str) -> None:
        """Do what a person asks for; it is in the journal before the engine hears of it.

        Raises:
            VostokError: It is starting, and there is no engine yet.
        """
        if action == "kill" and self._journal is not None:
            # It holds whatever else can be done: the engine hears of it when it is there.
            self._journal.latch(f"asked for by {asked_by}")
        if self.session is None or not self.session.trading:
            if action == "kill" and self._journal is not None:
                self._journal.record_control(action, asked_by)
                return
            doing = "starting" if self.session is None else self.session.doing
            raise VostokError(
                f"the daemon is {doing}, and its engine can't hear yet",
                hint=f"ask again once {command('status', self._plan.state)} shows a state",
            )
        self.session.control(action, asked_by)

    async def run(self) -> None:
        """Live until `stop`.

        Raises:
            Refused: No model is in service, and nothing is open.
            BundleError: The one that is can't be trusted, and nothing is open.
            DataError: The lake has no bars to begin with, and nothing is open.
            JournalError: The journal can't be opened, or can't be written any more.
            GatewayError: The exchange is not the one that was expected, or refuses the key.
            VostokError: Something else that can't be trusted.
        """
        plan, seams = self._plan, self._seams
        plan.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            async with AsyncExitStack() as stack:
                # The journal first: two daemons must not serve one folder.
                journal = Journal.open(plan.state / JOURNAL, seams)
                stack.callback(journal.close, keep_empty=False)  # a start that is refused
                self._journal = journal
                check_account(plan, journal)
                # And two journals must not be of one account.
                stack.callback(self._take_account().give_back)
                beat = asyncio.ensure_future(self._heartbeat.run())
                stack.callback(beat.cancel)
                if self._serve:  # a kill is heard from here on
                    await stack.enter_async_context(
                        serving(self, plan.state, seams.random, port=plan.live.port)
                    )
                model = await or_exits_only(journal, find_model(plan))
                web = await stack.enter_async_context(
                    aiohttp.ClientSession(connector=seams.connector())
                )
                self.session = Session(plan, seams, self._measures, journal, model, web)
                await self._until_stopped(self.session)
        except BaseExceptionGroup as group:
            raise gravest(group) from group

    def _take_account(self) -> Lease:
        """The right to trade the account, which one daemon has at a time."""
        plan = self._plan
        folder = plan.project.lake_home / ".accounts"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return Lease.take(folder / plan.account)
        except JournalError as error:
            raise JournalError(
                f"the account {plan.account} is traded by another daemon: {error.what}",
                where=folder,
                hint="stop that one first, or trade with a key of another account: limits hold "
                "for an account as a whole",
            ) from None

    async def _until_stopped(self, session: Session) -> None:
        work = asyncio.ensure_future(session.run())
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await session.wind_up()
        finally:
            stop.cancel()
            session.closing = True
            work.cancel()
            (ended,) = await asyncio.gather(work, return_exceptions=True)
        if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError):
            grave = gravest(ended) if isinstance(ended, BaseExceptionGroup) else ended
            said = f"{type(grave).__name__}: {grave}"
            logs.event(_log, "critical", "ended", said)
            raise ended
        session.keep()
        logs.event(_log, "info", "stopped", "stopped in order")
