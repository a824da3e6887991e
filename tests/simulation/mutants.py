"""Mistakes that are built into the daemon, each of which the judge must find.

A mistake is planted in the process of its schedule, in the daemon's own classes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from tests.live.gateway_mistakes import Counting, Deaf, Trusting
from vostok_core.live.cuts import ClosedBar
from vostok_core.trading.commands import Cancel, requests
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.events import Event
from vostok_core.trading.rules import Rules
from vostok_live.daemon import account_side, market_side
from vostok_live.daemon.bells import Bells
from vostok_live.daemon.readiness import Readiness
from vostok_live.daemon.session import Session
from vostok_live.daemon.trader import Trader
from vostok_live.feed.continuity import Continuity, Missing
from vostok_live.feed.events import Tick
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    Outcome,
    Sendable,
    Unknown,
)
from vostok_live.journal.recovery import Recovered
from vostok_live.journal.rows import MadeBar
from vostok_live.journal.writer import Journal


def resend() -> None:
    """Send again what got no answer, in the hope that its name makes that safe."""
    once = CcxtPort.send

    async def send(port: CcxtPort, command: Sendable) -> Outcome:
        outcome = await once(port, command)
        if isinstance(outcome, Unknown) and not isinstance(command, Cancel):
            return await once(port, command)
        return outcome

    CcxtPort.send = send  # type: ignore[method-assign]


class Skipping(Continuity):
    """Goes on after a hole as if nothing were missing."""

    def take(self, ticks: Sequence[Tick], now: float) -> list[Tick]:  # noqa: ARG002
        passed = []
        for tick in ticks:
            if self._next is None or tick.trade_id >= self._next:
                passed.append(tick)
                self._next = tick.trade_id + 1
        return passed

    def wanted(self) -> Missing | None:
        return None

    def resync(self) -> None:
        pass


def forget_the_kill() -> None:
    """Have the kill switch in memory alone."""
    recover = Journal.recover

    def recovered(journal: Journal, config: EngineConfig, rules: Rules) -> Recovered | None:
        found = recover(journal, config, rules)
        if found is not None:
            found.engine.killed, found.engine.paused = None, False
        return found

    Journal.recover = recovered  # type: ignore[method-assign]
    Journal.latched = lambda _: None  # type: ignore[method-assign]


def write_late() -> None:
    """Write an order down some time after it was sent."""

    def hear(trader: Trader, event: Event, made: MadeBar | None = None) -> bool:
        commands = trader.engine.handle(event)
        told = (event, commands, trader._clock.market(), made)
        if any(map(requests, commands)):
            trader._answer(commands)
            asyncio.get_running_loop().call_later(0.2, trader._journal.append, *told)
        else:
            trader._journal.append(*told)
            trader._answer(commands)
        return bool(commands)

    Trader._hear = hear  # type: ignore[method-assign]


def act_late() -> None:
    """Act on every bar, however long ago it ended."""
    on_bar = Trader.on_bar

    def acts(trader: Trader, bar: ClosedBar, missed: str | None = None) -> None:
        trader._decide_within = 2**62
        on_bar(trader, bar)

    Trader.on_bar = acts  # type: ignore[method-assign]


def never_doubt() -> None:
    """Enter whatever is not known."""
    Readiness.reasons = lambda _: ()  # type: ignore[method-assign]
    Session._withheld = lambda *_: None  # type: ignore[method-assign]


def ring_never() -> None:
    """Forget what was to be done later."""
    Bells.ask = lambda *_: None  # type: ignore[method-assign]


def hold_on() -> None:
    """Hold what is open until a barrier is touched, however long that takes."""
    from_strategy = EngineConfig.from_strategy

    def patient(*given: Any, **named: Any) -> EngineConfig:
        return replace(from_strategy(*given, **named), horizon_us=2**60)

    EngineConfig.from_strategy = staticmethod(patient)  # type: ignore[assignment]


def part(module: ModuleType, name: str, replacement: type) -> Callable[[], None]:
    """Put another class in the place of one that a module of the daemon makes."""
    return lambda: setattr(module, name, replacement)


class Divided(Book):
    """Takes an order that is known to be absent for one that exists, when it looks for its twins.

    The simulation found this one itself: a kill between two orders of one request.
    """

    def exists(self, client_order_id: str) -> bool:
        return not self.lost(client_order_id)


@dataclass(frozen=True)
class Mutant:
    """A mistake.

    Attributes:
        plant: Builds it in, for the rest of the process.
        kinds: Kinds of faults that it is looked for under; None for those of each seed.
        within: Seeds within which it must be found.
        start: The first of them.
    """

    plant: Callable[[], None]
    kinds: tuple[str, ...] | None = None
    within: int = 24
    start: int = 0


_ANSWERS = ("answer_lost", "late", "failed_after", "request_lost")

MUTANTS: dict[str, Mutant] = {
    "resends": Mutant(resend, _ANSWERS),
    "absent-at-once": Mutant(part(account_side, "Resolver", Trusting), ("late",)),
    "makes-fills-up": Mutant(
        part(account_side, "Book", Counting), ("answer_lost", "frame_lost", "failed_after")
    ),
    "asks-for-no-trades": Mutant(
        part(account_side, "Book", Deaf), ("kill", "half_open", "partition")
    ),
    "forgets-the-kill": Mutant(forget_the_kill, ("control", "kill")),
    "skips-holes": Mutant(part(market_side, "Continuity", Skipping), ("frame_lost",)),
    "divides-twins": Mutant(
        part(account_side, "Book", Divided), ("request_lost", "kill_at_commit"), start=139
    ),  # one in two hundred finds it
    "writes-late": Mutant(write_late, ()),
    "acts-late": Mutant(act_late, ("kill", "half_open")),
    "never-doubts": Mutant(never_doubt, ("kill", "half_open")),
    "rings-never": Mutant(ring_never, ()),
    "holds-on": Mutant(hold_on, ()),
}
