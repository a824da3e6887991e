"""The account: orders out, their news in, compared with the exchange."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import aiohttp

from vostok_core.market.instrument import Instrument
from vostok_core.trading.commands import Alert, Cancel, requests
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import Event
from vostok_live.daemon.plan import Plan
from vostok_live.feed.connection import Allowance, Change, Patience
from vostok_live.feed.http import Asker, FeedError
from vostok_live.feed.rest import asset_price
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.gateway.desk import Desk
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import Outcome, Sendable
from vostok_live.gateway.reconcile import Expected
from vostok_live.gateway.resolve import Proof, Resolver
from vostok_live.gateway.user_stream import UserStream
from vostok_live.journal.writer import Journal
from vostok_live.seams import Seams
from vostok_live.service import logs
from vostok_live.service.measures import Measures

_log = logging.getLogger(f"{logs.ROOT}.account")
_PRICE_EVERY = 60.0  # seconds
_COMPARE_AGAIN = 5.0  # seconds, at most, after a comparison that left a doubt or failed


class AccountSide:
    """Book, desk and stream of one engine at one exchange.

    `doubts` counts those that were left when the account's stream had come back, by code.

    Args:
        plan: What is traded, and how.
        port: The exchange; open.
        engine: Whose orders they are. It has heard every fill of the journal.
        journal: Where everything is written down.
        elsewhere: Base in the account that is not the engine's.
        inherited: Client order ids of orders that this process has not sent.
        web: Opens connections.
        asker: Asks for prices.
        seams: Clock and chance.
        allowance: Shared by all who open connections to this exchange.
        measures: Where things are counted.
        hear: Tells the engine an event and carries its answer out.
        tell: Tells a person.
    """

    def __init__(
        self,
        plan: Plan,
        port: CcxtPort,
        engine: Engine,
        journal: Journal,
        elsewhere: Decimal,
        inherited: frozenset[str],
        *,
        web: aiohttp.ClientSession,
        asker: Asker,
        seams: Seams,
        allowance: Allowance,
        measures: Measures,
        hear: Callable[[Event], None],
        tell: Callable[[Alert], None],
    ) -> None:
        instrument, live = plan.instrument, plan.live
        compare_every = plan.timing.compare_every / 1e6
        self._plan = plan
        self._asker = asker
        self._measures = measures
        self._clock = seams.clock
        self._prices: dict[str, Decimal] = {}
        self._sent_at: dict[int, float] = {}
        self.connections = 0
        self.doubts: Counter[str] = Counter()
        account = engine.account
        name = str(instrument.id)
        self.book = Book(
            instrument,
            engine.rules,
            orders=engine.orders,
            held=account.position + account.dust,
            price_of=self._prices.get,
            fee_rate=engine.config.fee_rate,
            base_fees=journal.commission(name, instrument.id.base),
        )
        self.resolver = Resolver(
            asyncio.get_running_loop().time,
            proof=Proof(recv_window_ms=port.recv_window_ms),
            inherited=inherited,
        )
        expected = Expected(
            elsewhere=elsewhere,
            tolerance=_dust(instrument),
            fee_asset=live.fee_asset or None,
            fee_reserve=live.fee_reserve,
        )
        self.desk = Desk(
            port,
            self.book,
            self.resolver,
            ledger=journal,
            clock=seams.clock,
            hear=hear,
            tell=tell,
            on_outcome=self._outcome,
            expected=lambda: expected,
            every=compare_every,
            again=min(_COMPARE_AGAIN, compare_every),
        )
        self.stream = UserStream(
            plan.venue.endpoints.ws_api,
            plan.key.key,
            port,
            session=web,
            seams=seams,
            patience=Patience(),
            allowance=allowance,
            catch_up=self._catch_up,
            on_execution=self.desk.on_execution,
            on_change=self._changed,
            recv_window_ms=port.recv_window_ms,
        )

    async def run(self) -> None:
        """Follow orders up, compare, and hear the account's stream, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.desk.run())
            group.create_task(self.stream.run())
            if self._plan.live.fee_asset:
                group.create_task(self._follow_price(self._plan.live.fee_asset))

    def carry_out(self, command: Sendable) -> None:
        """Send a command of the engine."""
        task = self.desk.carry_out(command)
        began = asyncio.get_running_loop().time()
        task.add_done_callback(lambda _: self._timed(command, began))

    async def _catch_up(self) -> None:
        standing = await self.desk.compare()
        self.doubts.update(doubt.code for doubt in standing.doubts)

    async def _follow_price(self, asset: str) -> None:
        """Know what commission in another asset is worth."""
        quote = self._plan.instrument.id.quote
        while True:
            try:
                price = await asset_price(self._asker, asset, quote)
            except FeedError as error:
                logs.event(_log, "warning", "fee_price", str(error))
                price = None
            if price is not None:
                self._prices[asset] = price
            await asyncio.sleep(_PRICE_EVERY)

    def _timed(self, command: Sendable, began: float) -> None:
        if not isinstance(command, Cancel):
            took = asyncio.get_running_loop().time() - began
            self._measures.order_round_trip.observe(took)

    def _outcome(self, command: Sendable, outcome: Outcome) -> None:
        for order in requests(command):
            self._measures.orders[order.side, order.kind, outcome.name] += 1
        names = [order.client_order_id for order in requests(command)]
        first = names[0] if names else getattr(command, "client_order_id", "")
        logs.event(
            _log,
            "info" if outcome.name == "accepted" else "warning",
            "outcome",
            f"{type(command).__name__} {first}: {outcome.name} {getattr(outcome, 'text', '')}",
            client_order_id=first,
        )

    def _changed(self, change: Change) -> None:
        self.connections += change.state == "connecting"
        said = f"account stream {change.state} {change.reason}".strip()
        logs.event(_log, "info", "user_stream", said)


def _dust(instrument: Instrument) -> Decimal:
    """Base by which the account may differ: less than a lot is nobody's business."""
    return instrument.quantity_step
