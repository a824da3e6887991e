"""What decisions stand on: a model that is trusted, and the bars before the next one.

Without them nothing is entered, and there is no reason to start. But where the journal left
something open, somebody has to keep its deadline and its exits: the daemon runs for them alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from vostok_core.errors import DataError, ModelError, Refused, UsageError, VostokError
from vostok_live.daemon.history import Past, find_beginning, lake_past
from vostok_live.daemon.model import Model
from vostok_live.daemon.patiently import patiently
from vostok_live.daemon.plan import Plan
from vostok_live.feed.rest import MarketRest
from vostok_live.journal.rows import Begins
from vostok_live.journal.view import View
from vostok_live.journal.writer import Journal
from vostok_live.seams import Seams
from vostok_live.service.status import Reason

NO_GROUNDS = (ModelError, Refused, DataError, UsageError)
"""Errors of the model and of the lake. Those of the journal and of the exchange are not among them:
without either nothing can be looked after."""


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
    plan: Plan, seams: Seams, model: Model, journal: View, rest: MarketRest
) -> Grounds:
    """The lake's bars before a run, and where its own begin.

    Args:
        plan: What is traded.
        seams: Clock and chance.
        model: What decides.
        journal: What was seen before.
        rest: The exchange; it is waited for.

    Raises:
        DataError: The lake has no bars to begin with.
    """
    past = await asyncio.to_thread(
        lake_past, plan.lake, model.strategy, plan.instrument, seams.clock.market(),
        plan.timing.market_max_gap,
    )  # fmt: skip

    def find() -> Awaitable[Begins]:
        return find_beginning(past, model.strategy.file.interval, plan.instrument, journal, rest)

    return Grounds(model, past, await patiently(seams.random, "the market's trades", find))


async def or_exits_only(journal: Journal, what: Awaitable[Result]) -> Result | Reason:
    """What decisions stand on, or why nothing is decided: something is to be looked after.

    Args:
        journal: Says whether there is.
        what: Makes it, or raises one of `NO_GROUNDS`.

    Raises:
        VostokError: It can't be had, and nothing is open.
        JournalError: What is open can't be said.
    """
    try:
        return await what
    except NO_GROUNDS as error:
        if not _left_open(journal):
            raise
        return _why(error)


def _left_open(journal: Journal) -> bool:
    """Whether there is a position, or an order that is not known to have ended."""
    last = journal.last_run()
    if last is None:
        return False
    found = journal.recover(last.start.config, last.start.rules)
    assert found is not None, "a run has begun"
    return found.engine.state != "flat" or bool(found.unsettled or found.untold)


def _why(error: VostokError) -> Reason:
    code = "model" if isinstance(error, ModelError | Refused) else "lake"
    hint = "start the daemon again once that is mended: until then it sees to exits alone"
    return Reason(code, error.what, hint if error.hint is None else f"{error.hint}; {hint}")
