"""The engine at a start: as the journal left it, or a new one with the account's money."""

from __future__ import annotations

import string
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from decimal import Decimal

from vostok_core.errors import VostokError
from vostok_core.trading.account import Account
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import Fill
from vostok_core.trading.rules import Rules
from vostok_live.daemon.grounds import Grounds
from vostok_live.daemon.patiently import patiently
from vostok_live.daemon.plan import Plan
from vostok_live.errors import JournalError
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.journal.rows import RunStart
from vostok_live.journal.view import View
from vostok_live.journal.writer import Journal
from vostok_live.seams import Random, Seams

_LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Recovery:
    """What a run begins with.

    Attributes:
        run: Its number in the journal.
        start: As it was written down.
        engine: As it was when the last run ended, or new.
        used: End of the newest bar that any run made something of; microseconds.
        inherited: Client order ids of orders that another process sent, if any did.
        untold: Fills of the journal that the engine has not heard.
        timers: Market times that it waits for.
    """

    run: int
    start: RunStart
    engine: Engine
    used: int
    inherited: frozenset[str]
    untold: tuple[Fill, ...]
    timers: tuple[int, ...]


def check_account(plan: Plan, journal: View) -> None:
    """Refuse a journal of another account: its money and its orders are not this one's.

    Raises:
        JournalError: It is of another one.
    """
    last = journal.last_run()
    if last is not None and last.start.begins.account != plan.account:
        raise JournalError(
            f"the journal is of the account {last.start.begins.account}, not of {plan.account}",
            where=journal.path,
            hint="give each account a state folder of its own: [live] state in vostok.toml, "
            "or VOSTOK_LIVE__STATE",
        )


async def recover(
    plan: Plan, seams: Seams, journal: Journal, port: CcxtPort, grounds: Grounds | None
) -> Recovery:
    """The engine that wrote last, or a new one; its run begins here.

    Args:
        plan: What is traded.
        seams: Clock and chance.
        journal: Its next run is begun.
        port: The exchange; open.
        grounds: What the run decides on. None where it decides nothing: it goes on by what the run
            before it was told, and there was one.

    Raises:
        JournalError: The engine can't be made anew.
        VostokError: The account has too little money for a new one.
    """
    last, rules = journal.last_run(), Rules.of(plan.instrument)
    speed = seams.clock.market_time.speed
    if grounds is None:
        assert last is not None, "something was left open"
        start = _go_on(last.start, plan, speed, port)
    else:
        name = _new_name(seams.random) if last is None else last.start.config.run
        start = _begin(grounds, name, plan, speed, port)
    found = journal.recover(start.config, rules)
    if found is None or last is None:

        def opened() -> Awaitable[tuple[Engine, Decimal]]:
            return _open(plan, port, start.config)

        engine, elsewhere = await patiently(seams.random, "the account", opened)
    else:
        engine, elsewhere = found.engine, last.start.begins.elsewhere
    begins = replace(start.begins, elsewhere=elsewhere, account=plan.account)
    start = replace(start, begins=begins)
    used = journal.newest_step(plan.strategy, str(plan.instrument.id))
    return Recovery(
        run=journal.begin_run(start, engine.snapshot()),
        start=start,
        engine=engine,
        used=begins.begin_us if used is None else max(used, begins.begin_us),
        inherited=frozenset(engine.orders),
        untold=() if found is None else found.untold,
        timers=() if found is None else found.timers,
    )


def _begin(grounds: Grounds, name: str, plan: Plan, speed: float, port: CcxtPort) -> RunStart:
    """A run of the model in service."""
    model = grounds.model
    config = EngineConfig.from_strategy(model.strategy, run=name, capabilities=port.capabilities)
    return RunStart(
        plan.version,
        plan.strategy,
        str(plan.instrument.id),
        model.bundle.manifest.configuration,
        model.sha256,
        config.at_speed(speed),
        Rules.of(plan.instrument),
        grounds.begins,
        speed,
        round(plan.timing.decide_within * speed),
    )


def _go_on(start: RunStart, plan: Plan, speed: float, port: CcxtPort) -> RunStart:
    """A run that sees to the end what another left: the rules are those that it was begun with."""
    config = replace(
        start.config,
        latency_us=round(start.config.latency_us / start.speed),
        cover_within_us=round(start.config.cover_within_us / start.speed),
        retry_us=round(start.config.retry_us / start.speed),
        capabilities=port.capabilities,
    )
    return replace(
        start,
        version=plan.version,
        config=config.at_speed(speed),
        rules=Rules.of(plan.instrument),
        speed=speed,
        decide_within=round(plan.timing.decide_within * speed),
    )


async def _open(plan: Plan, port: CcxtPort, config: EngineConfig) -> tuple[Engine, Decimal]:
    """A new engine with the account's money, and the base that is not its own."""
    instrument, rules = plan.instrument, Rules.of(plan.instrument)
    balances = await port.balances()
    quote, base = (balances.get(each) for each in (instrument.id.quote, instrument.id.base))
    free = Decimal(0) if quote is None else quote.free
    capital = plan.live.capital
    if capital is None:
        capital = free
    if capital <= 0 or capital > free:
        raise VostokError(
            f"{free} {instrument.id.quote} is free, and {capital} is to be traded with",
            where=plan.venue.rest,
            hint="fund the account, or lower [live] capital in vostok.toml",
        )
    engine = Engine(config, rules, Account.opening(rules.atoms(capital)))
    return engine, Decimal(0) if base is None else base.total


def _new_name(random: Random) -> str:
    """A name for client order ids that no other journal has."""
    return "".join(random.choice(_LETTERS) for _ in range(8))
