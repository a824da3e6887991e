"""From a closed bar to the engine, and from the engine to the gateway.

Everything that the engine hears goes through `hear`, one event after the other: the engine answers,
both are written down as one, and only then is the answer carried out. A bar and what was made of it
are written with the event that tells the engine of it, so that neither is there without the other.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from vostok_core.features.inputs import CLOSE
from vostok_core.live.chain import DecisionChain
from vostok_core.live.cuts import ClosedBar
from vostok_core.trading.commands import Alert, Closed, Command, SetTimer
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import BarClosed, Event, Fill, Timer
from vostok_live.daemon.model import Model
from vostok_live.gateway.port import Sendable
from vostok_live.journal.rows import MadeBar
from vostok_live.journal.writer import Journal
from vostok_live.seams import Clock
from vostok_live.service import logs
from vostok_live.service.measures import Measures
from vostok_live.service.portrait import pnl, wins
from vostok_live.service.status import PRICES, RECENT, AlertSeen, Bar, Decision, Point

_log = logging.getLogger(f"{logs.ROOT}.trader")
_KEEP_EVERY = 512  # events that a recovery hears again at most

SentimentRow = Callable[[int], np.ndarray]
"""What became known during the bar that ends then, `SENTIMENT_FIELDS`; nothing known later counts
in it."""


class Trader:
    """The engine of one strategy on one instrument, with what it decides on and writes down.

    Args:
        engine: Trades.
        journal: Its run has begun.
        chain: Decides; it has walked over every bar before the next. None until `decide_by`.
        model: What the chain's bundle is of; None where none is in service, and nothing decides.
        sentiment: None if no pack reads it.
        clock: Tells both times.
        measures: Where things are counted.
        decide_within: Age of a bar beyond which no decision on it is acted on; market time, µs.
        withheld: Says why a decision on a bar that is not so old is not to be acted on; None where
            it is.

    Attributes:
        carry_out: Sends a command. Until it is set, commands wait.
        ask: Asks for a call at a market time. Until it is set, times wait.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        chain: DecisionChain | None,
        model: Model | None,
        sentiment: SentimentRow | None,
        *,
        clock: Clock,
        measures: Measures,
        withheld: Callable[[ClosedBar], str | None],
        decide_within: int,
    ) -> None:
        self.engine = engine
        self.model = model
        self.bar: Bar | None = None
        self.bars = 0
        self.decision: Decision | None = None
        self.outcomes: dict[str, int] = {}
        self.closes: deque[Point] = deque(maxlen=PRICES)
        self.probabilities: deque[Point] = deque(maxlen=PRICES)
        self.alerts: deque[AlertSeen] = deque(maxlen=RECENT)
        before = journal.closed()
        self.trades: deque[Closed] = deque(before, maxlen=RECENT)
        self.closed = len(before)
        self.wins = wins(before)
        self._journal = journal
        self._chain = chain
        self._sentiment = sentiment
        self._clock = clock
        self._measures = measures
        self._decide_within = decide_within
        self._withheld = withheld
        self._waiting: list[Sendable] = []
        self._times: list[int] = []
        self._carry_out: Callable[[Sendable], object] | None = None
        self._ask: Callable[[int], None] | None = None
        self._kept = journal.seq
        self._arrived_ns = 0
        self._sending_since_ns = 0

    @property
    def has_open(self) -> bool:
        """Whether there is a position, or an order that is not known to have ended."""
        engine = self.engine
        return engine.state != "flat" or not all(o.settled for o in engine.orders.values())

    def begin(self, carry_out: Callable[[Sendable], object], ask: Callable[[int], None]) -> None:
        """From here on commands are sent and timers rung; those that waited go first."""
        self._carry_out, self._ask = carry_out, ask
        waiting, self._waiting = self._waiting, []
        times, self._times = self._times, []
        for command in waiting:
            carry_out(command)
        for ts in times:
            ask(ts)

    def decide_by(self, chain: DecisionChain, sentiment: SentimentRow | None) -> None:
        """Decide by this from the next bar on."""
        self._chain, self._sentiment = chain, sentiment

    # What is heard

    def hear(self, event: Event) -> None:
        """Tell the engine something, write both down, and carry its answer out."""
        self._hear(event)

    def _hear(self, event: Event, made: MadeBar | None = None) -> bool:
        """The same, of a bar with what was made of it; whether there is anything to send."""
        self._measure(event)
        commands = self.engine.handle(event)
        began = self._clock.wall_ns()
        seq = self._journal.append(event, commands, self._clock.market(), made)
        self._measures.journal_commit.observe((self._clock.wall_ns() - began) / 1e9)
        self._answer(commands)
        sends = any(isinstance(command, Sendable) for command in commands)
        if seq - self._kept >= _KEEP_EVERY and not sends:  # orders don't wait for that
            self.keep()
        return sends

    def ring(self) -> None:
        """A time that was asked for has come."""
        self.hear(Timer(self._clock.market()))

    def on_bar(self, bar: ClosedBar, missed: str | None = None) -> None:
        """A bar has closed.

        Args:
            bar: The next one.
            missed: Why nothing may be decided on it whatever it is: it closed long ago.
        """
        assert self._chain is not None, "something decides"
        assert self.model is not None, "the chain is of a model"
        began = self._clock.wall_ns()
        row = None if self._sentiment is None else self._sentiment(bar.ts)
        step = self._chain.update(bar.row, row, valid=bar.valid)
        said = step.decision
        withheld, asked = missed, None
        if said is None:
            withheld = None
        elif missed is None:
            asked = self._clock.market()
            withheld = "late" if asked - bar.ts > self._decide_within else self._withheld(bar)
        if said is not None:
            self._measures.inference.observe((self._clock.wall_ns() - began) / 1e9)
        close = float(bar.row[CLOSE])
        good = bool(bar.valid) and (step.valid or not step.event)
        event = BarClosed(
            bar.ts,
            self.engine.rules.ticks(close),
            good,
            None if withheld is not None else said,
        )
        before = dict(self.engine.counts)
        sends = self._hear(event, MadeBar(step, bar, self.model.sha256, row, withheld, asked))
        self._sending_since_ns = self._arrived_ns if sends else 0
        self._note(bar, close, step.features)
        if said is not None:
            self.probabilities.append(Point(bar.ts, said.probability))
            outcome = "withheld" if withheld is not None else self._what_became(before)
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            self.decision = Decision(bar.ts, said.probability, said.threshold, outcome)

    def arrived(self, wall_ns: int) -> None:
        """What may close a bar arrived then, by the wall; 0 where a timer closes the next one."""
        self._arrived_ns = wall_ns

    def sent(self) -> None:
        """An order goes out."""
        if self._sending_since_ns:
            took = self._clock.wall_ns() - self._sending_since_ns
            self._measures.bar_to_order.observe(took / 1e9)
            self._sending_since_ns = 0

    def swap(self, model: Model) -> None:
        """Decide by another model from the next bar on; it can take over from the one before."""
        assert self._chain is not None, "something decides"
        assert self.model is not None, "the chain is of a model"
        assert model.takes_over_from(self.model), "another configuration needs another chain"
        self._chain.bundle = model.bundle
        self.model = model

    def alert(self, alert: Alert) -> None:
        """Tell a person something that the engine did not say, and write it down."""
        self._journal.record_alert(alert.level, alert.code, alert.message)
        self._tell(alert)

    def keep(self) -> None:
        """Keep what the engine remembers, so that a recovery has less to hear."""
        self._kept = self._journal.seq
        self._journal.snapshot(self._kept, self.engine.snapshot())

    # How it is done

    def _answer(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case SetTimer(ts):
                    if self._ask is None:
                        self._times.append(ts)
                    else:
                        self._ask(ts)
                case Alert():
                    self._tell(command)
                case Closed():
                    self._book(command)
                case _:
                    if self._carry_out is None:
                        self._waiting.append(command)
                    else:
                        self._carry_out(command)

    def _measure(self, event: Event) -> None:
        """Count a fill, and the time for which a position was without its exits."""
        engine = self.engine
        if engine.account.position > 0 and engine.state == "covering" and event.ts > engine.ts:
            self._measures.uncovered_seconds += (event.ts - engine.ts) / 1e6
        if isinstance(event, Fill):
            order = engine.orders.get(event.client_order_id)
            side = "unknown" if order is None else order.side
            self._measures.fills[side, event.liquidity] += 1

    def _tell(self, alert: Alert) -> None:
        self._measures.alerts[alert.level, alert.code] += 1
        now = self._clock.wall_ns() // 1_000
        self.alerts.append(AlertSeen(now, alert.level, alert.code, alert.message))
        logs.event(_log, alert.level, alert.code, alert.message)

    def _book(self, trade: Closed) -> None:
        self.trades.append(trade)
        self.closed += 1
        gained = pnl(trade)
        self.wins += gained > 0
        logs.event(
            _log, "info", "closed", f"closed by {trade.reason}",
            client_order_id=trade.entry_id, gained=self.engine.rules.money(gained),
        )  # fmt: skip

    def _note(self, bar: ClosedBar, close: float, features: np.ndarray) -> None:
        self.bars += 1
        self.bar = Bar(bar.ts, close, bool(bar.valid))
        self.closes.append(Point(bar.ts, close))
        self._measures.invalid_bars += not bar.valid
        self._measures.nan_features += int(np.isnan(features).sum())

    def _what_became(self, before: dict[str, int]) -> str:
        """What the engine counted a decision as."""
        now = self.engine.counts
        return next(
            (name for name in now if name != "decisions" and now[name] > before.get(name, 0)),
            "entries",
        )
