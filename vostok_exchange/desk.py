"""The exchange without a clock, a socket or a file of its own: a venue, its markets, its tapes.

`fresh` opens it as it was set up, with the history before it; `restored` goes on from a snapshot.
Then it is told how far market time has come, and what accounts ask. Markets are driven print by
print in order of time, all of them, so how often it is told makes no difference to what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from vostok_core.times import DAY, day_of, day_start
from vostok_exchange.commands import Answer, Command
from vostok_exchange.events import AggTrade, Event, Trade
from vostok_exchange.feed import Editor
from vostok_exchange.flow import Flow
from vostok_exchange.history import History
from vostok_exchange.klines import Klines
from vostok_exchange.news import Wire
from vostok_exchange.settings import Setup
from vostok_exchange.snapshots import restore, snapshot
from vostok_exchange.tape import Tape
from vostok_exchange.venue import Venue

NEVER = 2**63 - 1

Listener = Callable[[list[Event]], None]


class Timer(Protocol):
    """Wants to be woken at a market time; `due` is when, or NEVER."""

    @property
    def due(self) -> int:
        """When."""
        ...

    def fire(self, ts: int) -> None:
        """It is that time: nothing that is printed at it or after it has been printed yet."""
        ...


class _Midnight:
    """Puts every day that is over into the archive."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.due = day_start(day_of(desk.now)) + DAY

    def fire(self, ts: int) -> None:
        for tape in self._desk.tapes.values():
            tape.turn(ts)
        self.due = ts + DAY
        self._desk.on_day()


class Desk:
    """See the module. Use `fresh` or `restored`.

    Attributes:
        setup: How it was set up.
        venue: Accounts and symbols.
        flows: What drives each symbol.
        tapes: What was printed in each.
        klines: Each tape's klines.
        wire: News.
        now: How far market time has come.
        listeners: Called with the events of every transaction.
        timers: Woken at their times.
        on_day: Called when a day has been put into the archive.
    """

    def __init__(
        self, setup: Setup, archive: Path, now: int, histories: Mapping[str, History] | None = None
    ) -> None:
        self.setup = setup
        self.venue = Venue(setup.bnb_prices)
        self.flows: dict[str, Flow] = {}
        self.tapes: dict[str, Tape] = {}
        self.now = now
        self.listeners: list[Listener] = []
        self.timers: list[Timer] = [_Midnight(self)]
        self.on_day: Callable[[], None] = lambda: None
        editors = {}
        for market in setup.markets:
            name = market.instrument.id
            history = None if histories is None else histories[name.symbol]
            listing = self.venue.list_symbol(
                market.instrument,
                last_price=market.instrument.price_tick if history is None else history.last_price,
                next_id=1 if history is None else history.next_id,
            )
            self.tapes[name.symbol] = Tape(listing.symbol, archive, setup.first_day, day_of(now))
            editors[name.symbol] = Editor(name.base, market.seed(setup.seed))
        self.klines = {symbol: Klines(tape) for symbol, tape in self.tapes.items()}
        self.wire = Wire(editors)

    @classmethod
    def fresh(cls, setup: Setup, archive: Path) -> Desk:
        """Open an exchange; the days of its history that the archive lacks are written.

        Raises:
            UsageError: The archive holds the trades of another world.
        """
        histories = {
            market.instrument.id.symbol: History(market, setup, archive) for market in setup.markets
        }
        desk = cls(setup, archive, setup.start, histories)
        for market in setup.markets:
            symbol = market.instrument.id.symbol
            history, listing = histories[symbol], desk.venue.listing(symbol)
            desk.tapes[symbol].begin(history.today)
            desk.flows[symbol] = Flow(desk.venue, listing, market.spec, history.state)
        desk.wire.tell([item for history in histories.values() for item in history.news])
        for account in setup.accounts:
            desk.venue.open_account(account.uid, account.balances)
        for flow in desk.flows.values():
            flow.open(setup.start)
        return desk

    @classmethod
    def restored(cls, setup: Setup, archive: Path, content: Mapping[str, Any]) -> Desk:
        """Go on from where `snapshot` stood."""
        desk = cls(setup, archive, content["now"])
        restore(desk.venue, content["venue"])
        for market in setup.markets:
            symbol = market.instrument.id.symbol
            listing = desk.venue.listing(symbol)
            flow = content["flows"][symbol]
            desk.flows[symbol] = Flow.restored(desk.venue, listing, market.spec, flow)
            desk.tapes[symbol].restore(content["tapes"][symbol])
        desk.wire.restore(content["wire"])
        return desk

    @property
    def due(self) -> int:
        """When something happens next if nobody asks anything."""
        prints = min(flow.next_ts for flow in self.flows.values())
        return min(prints, *(timer.due for timer in self.timers))

    def advance(self, ts: int) -> None:
        """Let everything up to and at `ts` happen; it must not be before `now`."""
        assert ts >= self.now, f"{ts} comes before {self.now}"
        flows, timers = list(self.flows.values()), self.timers
        while True:
            flow = min(flows, key=_next_ts)
            timer = min(timers, key=_due)
            if timer.due <= min(flow.next_ts, ts):
                self.now = max(self.now, timer.due)
                timer.fire(timer.due)
            elif flow.next_ts <= ts:
                self.now = flow.next_ts
                self._tell(flow.step())
            else:
                break
        self.now = ts

    def do(self, command: Command[Answer], ts: int) -> Answer:
        """Let everything up to `ts` happen, and then what is asked."""
        self.advance(ts)
        answer, events = command.run(self.venue, ts)
        self._tell(events)
        return answer

    def news(self) -> str:
        """The news up to now, as RSS."""
        self.wire.hear(self.flows, self.now)
        return self.wire.document(self.now)

    def snapshot(self) -> dict[str, Any]:
        """Where everything stands between two transactions, as JSON-like values."""
        return {
            "now": self.now,
            "venue": snapshot(self.venue),
            "flows": {symbol: flow.snapshot() for symbol, flow in self.flows.items()},
            "tapes": {symbol: tape.snapshot() for symbol, tape in self.tapes.items()},
            "wire": self.wire.snapshot(),
        }

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Trade | AggTrade):
                self.tapes[event.symbol].hear(event)
        for listener in self.listeners:
            listener(events)


def _next_ts(flow: Flow) -> int:
    return flow.next_ts


def _due(timer: Timer) -> int:
    return timer.due
