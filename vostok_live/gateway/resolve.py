"""What became of requests that got no answer, found out by asking.

An order of unknown fate is asked for by its client order id until the exchange finds it, or until
it is proven that it can't be there any more. It is never sent again.

The proof. The exchange takes a request until `recv_window_ms` after the time it was signed with,
looks at that time once more before it hands the order to its engine, and waits 10 s for that. So
once its clock shows a time signed + window + 10 s + margin, an order that is not there can't
come. "Not there" is: not found by its id, in no list, not open, and no trade of it, in two looks at
least a second apart, since the exchange's own copies may lag. Orders of one request were accepted
or refused as one: where one of them is found, none is absent.

All spans are of the wall's time, whatever the market's does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    TRADES_PAGE,
    Answer,
    MyTrades,
    OpenOrders,
    QueryList,
    QueryOrder,
    QueryOrderId,
    Question,
    ServerTime,
    list_name,
)

Asking: TypeAlias = Generator[Question, Answer, None]


@dataclass(frozen=True, slots=True)
class Proof:
    """What it takes to prove that an order is absent.

    Attributes:
        recv_window_ms: How long a request stays valid after the time it was signed with; not less
            than what requests are sent with.
        engine_ms: How long the exchange waits for its engine.
        margin_ms: For what nobody thought of.
        ahead_ms: How far ahead of the exchange's clock a request's time may be.
        apart: Seconds between the two looks, at least.
    """

    recv_window_ms: int = 5_000
    engine_ms: int = 10_000
    margin_ms: int = 2_000
    ahead_ms: int = 1_000
    apart: float = 1.0

    def deadline(self, signed_ms: int) -> int:
        """The exchange's time after which a request that was not carried out never will be."""
        return signed_ms + self.recv_window_ms + self.engine_ms + self.margin_ms


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds until something is asked again: doubled from `first` up to `longest`."""

    first: float = 0.25
    longest: float = 5.0

    def pause(self, tries: int) -> float:
        """The pause after so many tries."""
        return min(self.first * 2.0 ** min(tries, 30), self.longest)


@dataclass(slots=True)
class _Fate:
    """A request without an answer."""

    names: tuple[str, ...]
    signed_ms: int | None
    since: float
    due: float
    exists: bool = False
    missed: bool = False
    tries: int = 0


@dataclass(slots=True)
class _Errand:
    """Something else that is to be asked."""

    due: float
    tries: int = 0


@dataclass(slots=True)
class Findings:
    """What a look has brought, but for the news that its answers told.

    Attributes:
        absent: Orders of requests that are proven never to have been carried out.
        recall: Late orders to be canceled now.
    """

    absent: list[tuple[str, ...]] = field(default_factory=list)
    recall: list[str] = field(default_factory=list)


_Kind = Literal["status", "fills", "recall"]


class Resolver:
    """Knows what is to be asked of the exchange, and when.

    Args:
        time: Seconds that only go forward, by the wall (the event loop's).
        proof: What it takes to prove that an order is absent.
        pace: How often something is asked.
        inherited: Client order ids of orders that were sent, if at all, before this was made.
    """

    def __init__(
        self,
        time: Callable[[], float],
        *,
        proof: Proof | None = None,
        pace: Pace | None = None,
        inherited: Iterable[str] = (),
    ) -> None:
        self.proof = proof or Proof()
        self._inherited = frozenset(inherited)
        self._begun = time()
        self._time = time
        self._pace = pace or Pace()
        self._fates: list[_Fate] = []
        self._errands: dict[tuple[_Kind, str], _Errand] = {}

    @property
    def unknown(self) -> list[str]:
        """Orders of unknown fate."""
        return [name for fate in self._fates for name in fate.names]

    @property
    def oldest(self) -> float | None:
        """Seconds for which the oldest fate has been unknown; None where none is."""
        return max((self._time() - fate.since for fate in self._fates), default=None)

    def watch(self, names: tuple[str, ...], signed_ms: int | None) -> None:
        """Find out what became of a request; nothing where that is under way.

        Args:
            names: Client order ids of all its orders.
            signed_ms: Time that it was signed with; None where that is not known, as after a
                restart. Then it can't be later than what the exchange's clock shows now (when this
                was made, of orders that were inherited), and the little that a request's time may
                be ahead.
        """
        if not any(names == fate.names for fate in self._fates):
            now = self._time()
            since = self._begun if self._inherited.issuperset(names) else now
            self._fates.append(_Fate(names, signed_ms, since, now + self._pace.first))

    def ask(self, names: Iterable[str]) -> None:
        """Ask what the exchange knows of orders, once and soon."""
        for name in names:
            self._errands.setdefault(("status", name), _Errand(self._time()))

    def next_due(self, book: Book) -> float | None:
        """When there is something to ask; None where there is nothing."""
        self._note(book)
        dues = [fate.due for fate in self._fates] + [e.due for e in self._errands.values()]
        return min(dues, default=None)

    def look(self, book: Book) -> Generator[Question, Answer, Findings]:
        """Ask what is due.

        Every answer must have been told to the book before it is sent to the generator. Where an
        answer can't be had, the look is given up with `close`, and proves nothing.
        """
        self._note(book)
        start = self._time()
        due = [fate for fate in self._fates if fate.due <= start]
        errands = [(key, e) for key, e in self._errands.items() if e.due <= start]
        waiting: list[_Fate | _Errand] = [*due, *(errand for _, errand in errands)]
        for each in waiting:
            each.due = start + self._pace.pause(each.tries)
            each.tries += 1
        findings = Findings()
        if due:
            yield from self._find(book, due, start, findings)
        for (kind, name), _ in errands:
            match kind:
                case "status":
                    yield QueryOrder(name)
                    del self._errands[kind, name]
                case "fills":
                    yield from fills(book, name)
                case "recall":
                    findings.recall.append(name)
        return findings

    def _find(self, book: Book, due: list[_Fate], start: float, findings: Findings) -> Asking:
        server_ms = yield ServerTime()
        assert isinstance(server_ms, int)
        for fate in due:
            if fate.signed_ms is None:
                watched_ms = int(1e3 * (start - fate.since))  # looks before may have failed
                fate.signed_ms = server_ms - watched_ms + self.proof.ahead_ms
            for name in filter(book.lost, fate.names):
                yield QueryOrder(name)
        ripe = [
            fate
            for fate in due
            if fate.signed_ms is not None
            and server_ms > self.proof.deadline(fate.signed_ms)
            and not any(map(book.exists, fate.names))
        ]
        if ripe:
            for fate in ripe:
                if len(fate.names) > 1:
                    found = yield QueryList(list_name(fate.names[0]))
                    fate.exists |= found is not None
            yield OpenOrders()
            yield from sweep(book)
        end = self._time()
        for fate in due:
            if not any(map(book.lost, fate.names)):
                self._fates.remove(fate)
                continue
            fate.exists |= any(map(book.exists, fate.names))
            if fate.exists or fate not in ripe:
                continue
            if fate.missed:
                self._fates.remove(fate)
                findings.absent.append(fate.names)
            else:
                fate.missed = True
                fate.due = end + self.proof.apart

    def _note(self, book: Book) -> None:
        """Note what the book has come to lack, and drop what it lacks no more."""
        lacking: dict[tuple[_Kind, str], float] = {
            **{("fills", name): self._pace.first for name, _ in book.incomplete()},
            **{("recall", name): 0.0 for name in book.to_recall()},
        }
        now = self._time()
        for key, pause in lacking.items():
            self._errands.setdefault(key, _Errand(now + pause))
        for key in [k for k in self._errands if k[0] != "status" and k not in lacking]:
            del self._errands[key]


def fills(book: Book, name: str) -> Asking:
    """Ask for all trades of an order of which some were not heard."""
    for order_id in [key for each, key in book.incomplete() if each == name]:
        from_id = 0
        while True:
            page = yield MyTrades(from_id, order_id)
            assert isinstance(page, list)
            if len(page) < TRADES_PAGE:
                break
            from_id = page[-1].trade_id + 1


def sweep(book: Book) -> Asking:
    """Ask for all trades since the last time, and whose they are."""
    if book.strangers.cursor is None:
        newest = yield MyTrades()
        assert isinstance(newest, list)
        book.strangers.swept(newest)
    while True:
        page = yield MyTrades(book.strangers.cursor)
        assert isinstance(page, list)
        book.strangers.swept(page)
        if len(page) < TRADES_PAGE:
            break
    for order_id in book.strangers.unplaced():
        yield QueryOrderId(order_id)
