"""What decisions stand on: a model that is trusted, and the bars before the next one.

Without them nothing is entered, and there is no reason to start. But where the journal left
something open, somebody has to keep its deadline and its exits: the daemon runs for them alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from vostok_core.errors import DataError, ModelError, Refused, UsageError
from vostok_core.trading.engine import Engine
from vostok_live.daemon.history import Past, find_beginning, lake_past
from vostok_live.daemon.model import Model
from vostok_live.daemon.patiently import patiently
from vostok_live.daemon.plan import Plan
from vostok_live.errors import JournalError
from vostok_live.feed.http import FeedError
from vostok_live.feed.rest import MarketRest
from vostok_live.gateway.port import GatewayError
from vostok_live.journal.recovery import Recovered
from vostok_live.journal.rows import Begins
from vostok_live.journal.writer import Journal
from vostok_live.seams import Seams
from vostok_live.service import logs
from vostok_live.service.status import Reason

FAULT = "fault"
"""Code of a reason that nobody foresaw."""

_FORESEEN = (ModelError, Refused, DataError, UsageError, FeedError)
_PATIENCE = 15.0
"""Seconds that the market's trades are asked for while something that is open waits for it."""

_log = logging.getLogger(f"{logs.ROOT}.grounds")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Grounds:
    """What a run can decide on.

    Attributes:
        model: In service.
        past: The lake's bars.
        begins: Where the journal's begin.
    """

    model: Model
    past: Past
    begins: Begins


async def find_model(plan: Plan) -> Model:
    """The model in service, verified.

    Raises:
        Refused: There is none.
        BundleError: It can't be trusted.
    """
    return await asyncio.to_thread(Model.load, plan.lake, plan.strategy, str(plan.instrument.id))


async def find_grounds(
    plan: Plan, seams: Seams, model: Model, journal: Journal, rest: MarketRest
) -> Grounds:
    """The lake's bars before a run, and where its own begin.

    Args:
        plan: What is traded.
        seams: Clock and chance.
        model: What decides.
        journal: What was seen before.
        rest: The exchange; it is waited for, but not for long where something is open.

    Raises:
        DataError: The lake has no bars to begin with.
        FeedError: Something is open, and the exchange does not say where bars begin.
    """
    past = await asyncio.to_thread(
        lake_past, plan.lake, model.strategy, plan.instrument, seams.clock.market(),
        plan.timing.market_max_gap,
    )  # fmt: skip

    def find() -> Awaitable[Begins]:
        return find_beginning(past, model.strategy.file.interval, plan.instrument, journal, rest)

    try:
        async with asyncio.timeout(None if _left_open(journal) is None else _PATIENCE):
            begins = await patiently(seams.random, "the market's trades", find)
    except TimeoutError:
        raise FeedError(
            "the exchange does not say with which trade the bars begin",
            where=plan.venue.rest,
            hint="see that its market data can be had",
        ) from None
    return Grounds(model, past, begins)


async def or_exits_only(
    journal: Journal, what: Awaitable[Result], engine: Engine | None = None
) -> Result | Reason:
    """What decisions stand on, or why nothing is decided: something is to be looked after.

    Whatever goes wrong there, an error that nobody foresaw as well, must not keep the exits from
    being seen to. Errors of the journal and of the exchange do: without either nothing can be.

    Args:
        journal: Says whether something is open.
        what: Makes it, or raises.
        engine: The one that is told things meanwhile; None before there is one.

    Raises:
        Exception: It can't be had, and nothing is open; or the engine is not as the journal says.
        JournalError: What is open can't be said.
    """
    try:
        return await what
    except (JournalError, GatewayError):
        raise
    except Exception as error:
        found = _left_open(journal)
        if found is None or (engine is not None and engine.snapshot() != found.engine.snapshot()):
            raise
        return _why(error)


def _left_open(journal: Journal) -> Recovered | None:
    """What there is, if a position or an order that is not known to have ended is among it."""
    last = journal.last_run()
    if last is None:
        return None
    found = journal.recover(last.start.config, last.start.rules)
    assert found is not None, "a run has begun"
    is_open = found.engine.state != "flat" or found.unsettled or found.untold
    return found if is_open else None


def _why(error: Exception) -> Reason:
    hint = "start the daemon again once that is mended: until then it sees to exits alone"
    if not isinstance(error, _FORESEEN):
        what = f"nothing can be decided ({type(error).__name__}: {error})"
        logs.event(_log, "critical", FAULT, what)
        return Reason(FAULT, what, f"see daemon.log, where all of it is; {hint}")
    code = "lake"
    if isinstance(error, ModelError | Refused):
        code = "model"
    elif isinstance(error, FeedError):
        code = "market_data"
    return Reason(code, error.what, hint if error.hint is None else f"{error.hint}; {hint}")
