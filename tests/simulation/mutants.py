"""Daemons with a mistake built in, each of which the judge must find."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.simulation.place import INSTRUMENT
from tests.simulation.script import Parts
from vostok_core.trading.commands import Cancel
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import Fill
from vostok_live.feed.continuity import Continuity, Missing
from vostok_live.feed.events import Tick
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.gateway.news import FillNews, News
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    Answer,
    Outcome,
    Question,
    Sendable,
    TradeReport,
    Unknown,
)
from vostok_live.gateway.resolve import Findings, Resolver


class Resending:
    """Sends again what got no answer, in the hope that its name makes that safe."""

    def __init__(self, port: CcxtPort) -> None:
        self._port = port

    async def send(self, command: Sendable) -> Outcome:
        outcome = await self._port.send(command)
        if isinstance(outcome, Unknown) and not isinstance(command, Cancel):
            return await self._port.send(command)
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class Trusting(Resolver):
    """Takes an order for absent as soon as it isn't found."""

    def look(self, book: Book) -> Generator[Question, Answer, Findings]:
        findings = yield from super().look(book)
        gone = [fate for fate in self._fates if all(map(book.lost, fate.names)) and fate.tries]
        for fate in gone:
            self._fates.remove(fate)
            findings.absent.append(fate.names)
        return findings


class Counting(Book):
    """Makes fills up from how much of an order is executed."""

    def hear(self, answer: Answer | TradeReport, now: int) -> list[News]:
        news = super().hear(answer, now)
        for name, order in self.orders.items():
            more = order.reported - order.filled
            if more > 0:
                trade_id = -len(order.trade_ids) - 1
                order.fill(trade_id, more)
                self.held += more if order.side == "buy" else -more
                step = INSTRUMENT.quantity_step
                report = TradeReport(
                    now, trade_id, 0, name, order.side, step, more * step, 0 * step, "BNB", False,
                    "asked",
                )  # fmt: skip
                fill = Fill(now, name, trade_id, order.price, more, 0, "taker")
                news.append(FillNews(fill, report))
        return news


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


def forget_the_kill(engine: Engine) -> None:
    """The kill switch was in memory alone."""
    engine.killed = None
    engine.paused = False


class Deaf(Book):
    """Believes the stream alone of trades, and asks for none."""

    def _trade(self, trade: TradeReport) -> list[News]:
        return [] if trade.source == "asked" else super()._trade(trade)


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
        parts: Where it is.
        kinds: Kinds of faults that it is looked for under; None for those of each seed.
        within: Seeds within which it must be found.
        start: The first of them.
    """

    parts: Parts
    kinds: tuple[str, ...] | None = None
    within: int = 24
    start: int = 0


_ANSWERS = ("answer_lost", "late", "failed_after", "request_lost")

MUTANTS: dict[str, Mutant] = {
    "resends": Mutant(Parts(port=Resending), _ANSWERS),
    "absent-at-once": Mutant(Parts(resolver=Trusting), ("late",)),
    "makes-fills-up": Mutant(Parts(book=Counting), ("answer_lost", "frame_lost", "failed_after")),
    "asks-for-no-trades": Mutant(Parts(book=Deaf), ("answer_lost", "frame_lost", "kill")),
    "forgets-the-kill": Mutant(Parts(restored=forget_the_kill), ("control", "kill")),
    "skips-holes": Mutant(Parts(continuity=Skipping), ("frame_lost",)),
    "divides-twins": Mutant(
        Parts(book=Divided), ("request_lost", "kill_at_commit"), start=80
    ),  # one in a hundred finds it
    "writes-late": Mutant(Parts(written_late=0.2), ()),
}
