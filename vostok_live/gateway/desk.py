"""Carries out what the engine asks for, and hands on what becomes of it.

Each command is one request, in a task of its own, written down before it leaves and when its
answer has come. What the answer tells, what the user stream tells and what questions bring goes
through the book, and from there at once, in one step that nothing can come between, to the journal
and to the engine. Requests without an answer, missing fills and late orders are followed up
(`resolve`), and the whole is compared with the exchange (`reconcile`) when the user stream comes
back, every so often, and soon again where that left a doubt.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Protocol, TypeVar

from vostok_core.trading.commands import Alert, Cancel, Place, PlaceList, Replace, requests
from vostok_core.trading.events import Event, Fill, Timer
from vostok_live.gateway.frames import Execution
from vostok_live.gateway.news import FillNews, News, OrderNews
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    Accepted,
    Answer,
    GatewayError,
    NeverSent,
    Outcome,
    Question,
    Rejected,
    Sendable,
    Throttled,
    TradeReport,
    Unknown,
    VenuePort,
    put,
)
from vostok_live.gateway.reconcile import Expected, Standing, reconcile
from vostok_live.gateway.resolve import Resolver
from vostok_live.journal.rows import Request, RequestKind
from vostok_live.seams import Clock

Result = TypeVar("Result")

_KINDS: dict[type[Sendable], RequestKind] = {
    Place: "place",
    PlaceList: "place_list",
    Cancel: "cancel",
    Replace: "replace",
}


class Ledger(Protocol):
    """What the desk writes down; the journal is one."""

    def record_request(self, client_order_id: str, kind: RequestKind) -> Request:
        """A request is about to be sent."""
        ...

    def record_answer(
        self,
        request: Request,
        outcome: str,
        *,
        code: int | None = None,
        http_status: int | None = None,
        text: str | None = None,
    ) -> None:
        """What came back for it."""
        ...

    def record_order(
        self, client_order_id: str, *, exchange_order_id: int | None, status: str, filled: int
    ) -> bool:
        """What the exchange says of an order."""
        ...

    def record_fill(
        self, fill: Fill, *, commission: str, commission_asset: str, source: str
    ) -> bool:
        """A trade of ours."""
        ...


class Desk:
    """The orders of one engine at one exchange.

    Args:
        port: The exchange.
        book: What is known of our orders.
        resolver: Knows what is to be asked, and when.
        ledger: Where it is written down.
        clock: Tells both times.
        hear: Tells the engine an event, and passes its answer to `carry_out`.
        tell: Tells a person.
        on_outcome: Called with what became of each command.
        expected: Says what the account should hold besides.
        every: Seconds between two comparisons with the exchange.
        again: Seconds until the next one, where the last left a doubt or failed.

    Attributes:
        standing: What the last comparison brought; None before the first.
        compared_ns: When that comparison began, by the wall; 0 before the first.
        counts: Outcomes of commands, and of comparisons, by name.
    """

    def __init__(
        self,
        port: VenuePort,
        book: Book,
        resolver: Resolver,
        *,
        ledger: Ledger,
        clock: Clock,
        hear: Callable[[Event], None],
        tell: Callable[[Alert], None],
        on_outcome: Callable[[Sendable, Outcome], None],
        expected: Callable[[], Expected],
        every: float = 60.0,
        again: float = 5.0,
    ) -> None:
        self.standing: Standing | None = None
        self.compared_ns = 0
        self.counts: Counter[str] = Counter()
        self._port = port
        self._book = book
        self._resolver = resolver
        self._ledger = ledger
        self._clock = clock
        self._hear = hear
        self._tell = tell
        self._on_outcome = on_outcome
        self._expected = expected
        self._every = every
        self._again = again
        self._asking = asyncio.Lock()
        self._wake = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def sending(self) -> int:
        """Commands that are under way."""
        return len(self._sending)

    @property
    def running(self) -> bool:
        """Whether commands can be carried out."""
        return self._group is not None

    @property
    def unknown(self) -> int:
        """Orders whose fate nobody knows."""
        return len(self._resolver.unknown)

    async def run(self) -> None:
        """Follow up and compare, until cancelled; commands that are under way then are given up."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._follow_up())
                group.create_task(self._compare_again())
        finally:
            self._group = None

    def carry_out(self, command: Sendable) -> asyncio.Task[None]:
        """Send a command. The engine's decision for it is on the disk already, and `run` runs.

        Returns:
            The task that sends it, and ends when what became of it has been handed on.
        """
        assert self._group is not None, "the desk runs"
        self._book.sending(command)
        task = self._group.create_task(self._carry_out(command))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task

    def on_execution(self, execution: Execution) -> None:
        """Hear what the user stream says of an order."""
        if execution.symbol != self._book.instrument.id.symbol:
            self._book.counts["other_symbols"] += 1
            return
        self._learn(execution.order)
        if execution.trade is not None:
            self._learn(execution.trade)

    async def compare(self) -> Standing:
        """Compare all that is known with all that the exchange says.

        Raises:
            GatewayError: It can't be asked for all of it.
        """
        async with self._asking:
            began = self._clock.wall_ns()
            standing = await self._ask(reconcile(self._book, self._expected()))
        for names in standing.lost:
            for name in names:
                self._hand_on(self._book.doubt(name, self._clock.market()))
            self._resolver.watch(names, None)
        self.standing, self.compared_ns = standing, began
        self.counts["compared"] += 1
        self._wake.set()
        return standing

    # How it is done

    async def _carry_out(self, command: Sendable) -> None:
        wanted = requests(command)
        if wanted:
            first = wanted[0].client_order_id
        else:
            assert isinstance(command, Cancel), "only a cancel sends no order"
            first = command.client_order_id
        request = self._ledger.record_request(first, _KINDS[type(command)])
        outcome = await self._port.send(command)
        self._write_down(request, outcome)
        self.counts[outcome.name] += 1
        self._hand_on(self._book.answered(command, outcome, self._clock.market()))
        names = tuple(order.client_order_id for order in wanted)
        if any(map(self._book.lost, names)):
            signed_ms = outcome.signed_ms if isinstance(outcome, Unknown) else None
            self._resolver.watch(names, signed_ms)
        if isinstance(command, Cancel | Replace) and isinstance(
            outcome, Accepted | Rejected | Unknown
        ):
            # Who was canceled or was gone before, and how much of it had been filled.
            self._resolver.ask(self._book.open_of(command.client_order_id))
        self._wake.set()
        self._on_outcome(command, outcome)
        if isinstance(outcome, Rejected) and outcome.meaning == "clock":
            with suppress(GatewayError):
                await self._port.server_time()

    def _write_down(self, request: Request, outcome: Outcome) -> None:
        match outcome:
            case Rejected() | Unknown() | Throttled():
                self._ledger.record_answer(
                    request,
                    outcome.name,
                    code=outcome.code,
                    http_status=outcome.http_status,
                    text=outcome.text,
                )
            case NeverSent():
                self._ledger.record_answer(request, outcome.name, text=outcome.text)
            case Accepted():
                self._ledger.record_answer(request, outcome.name)

    async def _follow_up(self) -> None:
        """Ask what is due, whenever something is."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            due = self._resolver.next_due(self._book)
            if due is None or due > loop.time():
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._wake.wait()
                continue
            try:
                async with self._asking:
                    findings = await self._ask(self._resolver.look(self._book))
            except GatewayError:
                self.counts["looks_failed"] += 1
                continue
            for names in findings.absent:
                self._hand_on(self._book.absent(names, self._clock.market()))
            for name in findings.recall:
                self.carry_out(Cancel(name))

    async def _compare_again(self) -> None:
        """Compare every so often, and soon where the last time left a doubt or failed."""
        pause = self._every
        while True:
            await asyncio.sleep(pause)
            try:
                standing = await self.compare()
            except GatewayError:
                self.counts["compare_failed"] += 1
                pause = self._again
            else:
                pause = self._again if standing.doubts else self._every

    async def _ask(self, asking: Generator[Question, Answer, Result]) -> Result:
        """Put questions, and learn from every answer before the next is put."""
        try:
            question = next(asking)
            while True:
                answer = await put(self._port, question)
                self._learn(answer)
                question = asking.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            asking.close()

    def _learn(self, answer: Answer | TradeReport) -> None:
        self._hand_on(self._book.hear(answer, self._clock.market()))

    def _hand_on(self, news: Iterable[News]) -> None:
        """Write news down and tell the engine, at once: the book takes it for told."""
        for each in news:
            match each:
                case OrderNews(name, update, report, filled):
                    if report is not None:
                        self._ledger.record_order(
                            name,
                            exchange_order_id=report.order_id if report.order_id >= 0 else None,
                            status=report.status,
                            filled=filled,
                        )
                    if update is not None:
                        self._hear(update)
                case FillNews(fill, trade):
                    self._ledger.record_fill(
                        fill,
                        commission=f"{trade.commission:f}",
                        commission_asset=trade.commission_asset,
                        source=trade.source,
                    )
                    if trade.source == "asked":
                        # It may be long past: what follows from it is counted from now.
                        self._hear(Timer(self._clock.market()))
                    self._hear(fill)
                case Alert():
                    self._tell(each)
            self._wake.set()
