"""The engine that wrote last, made anew from its newest snapshot and the events after it.

The engine answers the same events with the same commands, so hearing them again leaves it as it
was. What it answers now is compared with what was written then: an engine that would have traded
otherwise is not the one that the exchange's orders are of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from vostok_core.trading.commands import command_to_json
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import CODE_VERSION, Engine
from vostok_core.trading.events import Fill
from vostok_core.trading.rules import Rules
from vostok_live.errors import JournalError
from vostok_live.journal.rows import Run, Unsettled, to_text
from vostok_live.journal.view import View


@dataclass(frozen=True, slots=True)
class Recovered:
    """What there was when the daemon stopped.

    Attributes:
        run: The run that wrote last.
        seq: Its last event.
        engine: The engine as it was after that.
        unsettled: Orders to ask the exchange for.
        untold: Fills that were written down and that the engine has not heard; tell it first.
        timers: Market times that the engine still waits for, the earliest first.
    """

    run: Run
    seq: int
    engine: Engine
    unsettled: tuple[Unsettled, ...]
    untold: tuple[Fill, ...]
    timers: tuple[int, ...]


def recover(view: View, config: EngineConfig, rules: Rules) -> Recovered | None:
    """Make the engine anew that wrote last.

    Args:
        view: The journal.
        config, rules: What the engine goes by from here on. The events that it hears again it hears
            under those that were in force then.

    Returns:
        None where no run has begun yet.

    Raises:
        JournalError: The instrument's grid is another than the journal counts on, or this engine
            answers the events otherwise than the one that wrote them.
    """
    run, kept = view.last_run(), view.last_snapshot()
    if run is None or kept is None:
        return None
    then = run.start.rules
    if (then.price_tick, then.quantity_step) != (rules.price_tick, rules.quantity_step):
        raise JournalError(
            f"the journal counts in ticks of {then.price_tick} and lots of {then.quantity_step}, "
            f"the instrument in {rules.price_tick} and {rules.quantity_step}",
            where=view.path,
            hint=f"trade {run.start.instrument} on its old grid until it is flat, then start with "
            "a state folder of its own",
        )
    seq, content = kept
    engine = Engine.restore(run.start.config, then, content)
    for heard in view.events_after(seq):
        answer = tuple(to_text(command_to_json(each)) for each in engine.handle(heard.event))
        if answer != heard.commands:
            _refuse(view, run, heard.seq)
        seq = heard.seq
    engine = Engine.restore(config, rules, engine.snapshot())
    open_orders = [name for name, order in engine.orders.items() if not order.settled]
    return Recovered(
        run=run,
        seq=seq,
        engine=engine,
        unsettled=tuple(map(view.unsettled, open_orders)),
        untold=tuple(view.untold(run.start.instrument)),
        timers=tuple(view.timers()),
    )


def _refuse(view: View, run: Run, seq: int) -> NoReturn:
    wrote = f"Vostok {run.start.version} (engine {run.engine_version})"
    raise JournalError(
        f"engine {CODE_VERSION} answers event {seq} otherwise than {wrote} did",
        where=view.path,
        hint=f"start {wrote} once more and stop it in order, then start this one",
    )
