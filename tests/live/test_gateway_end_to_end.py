"""Engine, journal, desk, port and stream together, against the embedded exchange over sockets.

The market's time stands still until a test steps it, so that what happens is the same each time;
the gateway's own waits are the wall's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.live.gateway_server import (
    DAY,
    INSTRUMENT,
    KEY,
    RICH,
    RULES,
    Place,
    WrongClock,
    endpoints,
    order,
    play,
    session,
)
from vostok_core.times import MINUTE, SECOND
from vostok_core.trading import commands as asked
from vostok_core.trading.account import Account
from vostok_core.trading.commands import Alert, Closed, SetTimer
from vostok_core.trading.config import Capabilities, EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import BarClosed, Control, Decision, Event, Timer
from vostok_core.trading.rules import rate_of
from vostok_exchange.symbols import UNIT
from vostok_live.feed.connection import Allowance, Patience
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.gateway.desk import Desk
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import Accepted, Outcome
from vostok_live.gateway.reconcile import Expected
from vostok_live.gateway.resolve import Pace, Proof, Resolver
from vostok_live.gateway.user_stream import UserStream
from vostok_live.journal.reader import Reader
from vostok_live.journal.rows import RunStart
from vostok_live.journal.writer import Journal
from vostok_live.seams import Seams

BNB = Decimal(500)
WINDOW_MS = 2_000
CONFIG = EngineConfig(
    run="x",
    horizon_us=5 * MINUTE,
    take_profit=1.0,
    stop_loss=1.0,
    fraction=0.5,
    taker_fee_bps=10.0,
    latency_us=200_000,
    max_daily_loss=0.9,
    max_drawdown=0.9,
)


class MarketClock(WrongClock):
    """The machine's time, and the exchange's market time."""

    def __init__(self) -> None:
        super().__init__()
        self.place: Place | None = None

    def market(self) -> int:
        assert self.place is not None
        clock: Any = self.place.server.exchange.clock
        return int(clock.now())


class Live:
    """The least that the gateway serves: an engine, a journal, timers."""

    def __init__(
        self,
        place: Place,
        folder: Path,
        web: Any,
        config: EngineConfig,
        expected: Expected,
        every: float,
    ) -> None:
        clock = place.seams.clock
        assert isinstance(clock, MarketClock)
        clock.place = place
        self.place = place
        self.folder = folder
        self.seams: Seams = place.seams
        self.alerts: list[str] = []
        self.closed: list[Closed] = []
        self.outcomes: list[str] = []
        self.timers: list[int] = []
        self.port = CcxtPort(
            INSTRUMENT,
            RULES,
            endpoints(place.relay.port),
            KEY,
            seams=self.seams,
            recv_window_ms=WINDOW_MS,
        )
        self.journal = Journal.open(folder / "journal.sqlite", self.seams)
        found = self.journal.recover(config, RULES)
        if found is None:
            opening = Account.opening(RULES.atoms(RICH["USDT"]))
            self.engine = Engine(config, RULES, opening)
        else:
            self.engine = found.engine
            self.timers += found.timers
        start = RunStart("1", "s", str(INSTRUMENT.id), "c", "b", config, RULES)
        self.journal.begin_run(start, self.engine.snapshot())
        for fill in () if found is None else found.untold:
            now = self.seams.clock.market()
            self.journal.append(fill, self.engine.handle(fill), now)
        account = self.engine.account
        self.book = Book(
            INSTRUMENT,
            RULES,
            orders=self.engine.orders,
            held=account.position + account.dust,
            price_of={"BNB": BNB}.get,
            fee_rate=rate_of(10),
        )
        loop = asyncio.get_running_loop()
        self.resolver = Resolver(
            loop.time,
            proof=Proof(
                self.port.recv_window_ms, engine_ms=200, margin_ms=100, ahead_ms=100, apart=0.1
            ),
            pace=Pace(0.02, 0.2),
        )
        self.desk = Desk(
            self.port,
            self.book,
            self.resolver,
            ledger=self.journal,
            clock=clock,
            hear=self.hear,
            tell=lambda alert: self.alerts.append(alert.code),
            on_outcome=self.outcome,
            expected=lambda: expected,
            every=every,
            again=0.1,
        )
        self.stream = UserStream(
            f"ws://127.0.0.1:{place.relay.port}/ws-api/v3",
            KEY.key,
            self.port,
            session=web,
            seams=self.seams,
            patience=Patience(quiet=1.0, pong=1.0, steady=0.0, pause=0.01, longest_pause=0.1),
            allowance=Allowance(),
            catch_up=self.catch_up,
            on_execution=self.desk.on_execution,
            on_change=lambda _: self.stirred.set(),
        )
        self.stirred = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def catch_up(self) -> None:
        await self.desk.compare()
        self.stirred.set()

    def outcome(self, _: object, outcome: Outcome) -> None:
        self.outcomes.append(outcome.name)
        self.stirred.set()

    def hear(self, event: Event) -> None:
        commands = self.engine.handle(event)
        self.journal.append(event, commands, self.seams.clock.market())
        for command in commands:
            match command:
                case SetTimer(ts):
                    self.timers.append(ts)
                case Alert():
                    self.alerts.append(command.code)
                case Closed():
                    self.closed.append(command)
                case _:
                    self.desk.carry_out(command)
        self.stirred.set()

    def step(self, microseconds: int) -> None:
        """Let the market's time go on, and the timers that are due ring."""
        self.place.step(microseconds)
        self.ring()

    def ring(self) -> None:
        """Tell the engine of the timers that are due."""
        now = self.seams.clock.market()
        due = [ts for ts in self.timers if ts <= now]
        self.timers = [ts for ts in self.timers if ts > now]
        if due:
            self.hear(Timer(now))

    def decide(self, off: int = 0) -> None:
        """A bar closes, with a decision to buy; `off`: ticks that it is off the market."""
        price = self.place.price + off
        decision = Decision(0.9, 0.5, 0.004, RULES.price(price))
        self.hear(BarClosed(self.seams.clock.market(), price, True, decision))

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not what():
            self.stirred.clear()
            await self.stirred.wait()

    async def go_on(self) -> None:
        """Let timers ring where market time goes by itself."""
        while True:
            await asyncio.sleep(0.01)
            self.ring()

    async def settled(self) -> None:
        """Wait until every order's fate is known and nothing is under way."""
        while (
            self.desk.sending
            or self.resolver.next_due(self.book) is not None
            or any(o.status in ("sent", "unknown") for o in self.engine.orders.values())
        ):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def living(
    place: Place,
    folder: Path,
    *,
    config: EngineConfig = CONFIG,
    expected: Expected | None = None,
    every: float = 0.3,
) -> AsyncIterator[Live]:
    """A life that ends as kill -9 ends it: nothing is finished, nothing more is written."""
    async with session(place.seams) as web:
        live = Live(place, folder, web, config, expected or Expected(), every)
        await live.port.open()
        live.tasks = [
            asyncio.create_task(live.desk.run()),
            asyncio.create_task(live.stream.run()),
            asyncio.create_task(live.go_on()),
        ]
        try:
            await live.until(lambda: live.stream.synced)
            yield live
        finally:
            live.journal.abandon()
            for task in live.tasks:
                task.cancel()
            await asyncio.gather(*live.tasks, return_exceptions=True)
            await live.port.close()


def run(folder: Path, scenario: Any, **options: Any) -> None:
    play(folder, scenario, clock=MarketClock(), **options)


async def judge(live: Live) -> None:
    """What the engine believes is what the exchange says."""
    await live.settled()
    standing = await live.desk.compare()
    assert standing.doubts == ()
    account = live.engine.account
    balances = standing.balances
    lots = balances["ABC"].total / INSTRUMENT.quantity_step if "ABC" in balances else 0
    assert account.position + account.dust == lots == live.book.held
    venue = live.place.server.exchange.desk.venue
    fills = venue.listing(INSTRUMENT.id.symbol).fills.get(1, [])
    cash = Fraction(RULES.atoms(RICH["USDT"]))
    for fill in fills:
        assert fill.commission_asset == "BNB"
        fee = Fraction(fill.commission, UNIT) * Fraction(BNB) / Fraction(INSTRUMENT.quote_atom)
        cash -= (1 if fill.buyer else -1) * fill.qty * fill.price + -(-fee // 1)
    assert account.cash == cash
    with Reader.open(live.folder / "journal.sqlite") as reader:
        written = reader.read_fills(DAY)
    assert sorted(written["trade_id"]) == [fill.trade_id for fill in fills]
    assert (
        sum(map(Decimal, written["commission"]))
        == Decimal(sum(fill.commission for fill in fills)) / UNIT
    )
    assert all(seq is not None for seq in written["seq"]), "the engine heard all of them"
    history = live.place.history
    assert len(set(history)) == len(history), "an order was placed twice"
    assert set(history) <= set(live.engine.orders)


def exits_rest(live: Live) -> bool:
    return live.engine.state == "holding"


def test_a_position_from_the_decision_to_its_end(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with living(place, tmp_path) as live:
            live.decide()
            await live.until(lambda: exits_rest(live))
            await judge(live)
            assert live.engine.account.position > 0
            live.step(CONFIG.horizon_us + SECOND)
            await live.until(lambda: bool(live.closed))
            assert live.engine.account.position == 0
            await judge(live)
            assert "uncovered" not in live.alerts

    run(tmp_path, scenario)


def test_an_entry_that_does_not_fill_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with living(place, tmp_path) as live:
            live.decide(off=-300)
            await live.until(lambda: live.engine.state == "flat")
            assert live.engine.counts["unfilled"] == 1
            await judge(live)

    run(tmp_path, scenario)


def test_what_the_stream_alone_tells_moves_the_engine(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with living(place, tmp_path) as live:
            live.decide()
            await live.until(lambda: exits_rest(live))
            for _ in range(400):
                live.step(SECOND)
                await asyncio.sleep(0)
                if not place.server.exchange.desk.venue.listing("ABCUSDT").open.get(1):
                    break
            await live.until(lambda: bool(live.closed))
            await judge(live)

    run(tmp_path, scenario)


AT_ONCE = replace(CONFIG, cover_within_us=MINUTE)
STEP_BY_STEP = replace(AT_ONCE, capabilities=Capabilities(entry_list=False, replace=False))
REQUESTS = {
    "entry with exits": ("POST /api/v3/orderList/otoco", AT_ONCE),
    "entry": ("POST /api/v3/order", STEP_BY_STEP),
    "exits": ("POST /api/v3/orderList/oco", STEP_BY_STEP),
    "replace": ("POST /api/v3/order/cancelReplace", AT_ONCE),
    "cancel": ("DELETE /api/v3/order", STEP_BY_STEP),
}


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("which", REQUESTS)
def test_any_request_may_lose_its_answer_or_its_sender(
    tmp_path: Path, which: str, *, arrived: bool, dies: bool
) -> None:
    line, config = REQUESTS[which]

    async def finish(live: Live) -> None:
        """To the end of the trade, however it comes."""
        await live.until(lambda: live.engine.state in ("holding", "flat"))
        live.hear(Control(live.seams.clock.market(), "flatten"))
        await live.until(lambda: live.engine.state == "flat")
        await judge(live)
        assert live.engine.account.position == 0

    async def scenario(place: Place) -> None:
        relay = place.relay
        async with living(place, tmp_path, config=config) as live:
            if arrived:
                relay.deaf_to = line
            else:
                relay.swallow = line
            live.decide()
            if not dies:
                await finish(live)
            else:
                done = asyncio.create_task(finish(live))
                await relay.lost.wait()
                done.cancel()
        assert relay.lost.is_set()
        relay.mode = "pass"
        async with living(place, tmp_path, config=config) as live:
            await finish(live)

    run(tmp_path, scenario, running=True)


def test_a_request_that_never_arrived_is_proven_absent_and_not_sent_again(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with living(place, tmp_path) as live:
            place.relay.swallow = "POST /api/v3/orderList/otoco"
            live.decide()
            await live.until(lambda: "unknown" in live.outcomes)
            assert len(live.resolver.unknown) == 3, "looked for at once"
            await live.until(lambda: live.engine.state == "flat")
            assert {o.status for o in live.engine.orders.values()} == {"absent"}
            assert place.history == []
            await judge(live)
            live.decide()
            await live.until(lambda: exits_rest(live))
            await judge(live)

    run(tmp_path, scenario)


def test_a_clock_that_jumps_costs_an_entry_and_no_more(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        clock = place.seams.clock
        assert isinstance(clock, MarketClock)
        async with living(place, tmp_path) as live:
            clock.off_ns += 3_600 * 10**9
            live.decide()
            await live.until(lambda: live.engine.state == "flat")
            assert live.outcomes == ["rejected"]
            await live.settled()
            live.decide()
            await live.until(lambda: exits_rest(live))
            assert live.outcomes == ["rejected", "accepted"]
            await judge(live)

    run(tmp_path, scenario)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_daemon_that_dies_while_it_sends_finds_out_at_its_next_start(
    tmp_path: Path, *, arrived: bool
) -> None:
    async def scenario(place: Place) -> None:
        async with living(place, tmp_path) as live:
            place.relay.mode = "deaf" if arrived else "hole"
            live.decide()
            if arrived:
                while not place.history:
                    await asyncio.sleep(0.005)
            else:
                while not any(line.startswith("POST") for line in place.relay.requests):
                    await asyncio.sleep(0.005)
        place.relay.mode = "pass"
        place.relay.cut()
        async with living(place, tmp_path) as live:
            if arrived:
                await live.until(lambda: exits_rest(live))
            else:
                await live.until(lambda: live.engine.state == "flat")
                assert place.history == []
            await judge(live)

    run(tmp_path, scenario)


def test_a_position_that_closed_while_nobody_looked_is_learned(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with living(place, tmp_path) as live:
            live.decide()
            await live.until(lambda: exits_rest(live))
        for _ in range(4_000):
            place.step(SECOND)
            place.server.exchange.now()
            if not place.server.exchange.desk.venue.listing("ABCUSDT").open.get(1):
                break
        else:
            pytest.fail("no exit was reached")
        async with living(place, tmp_path) as live:
            await live.until(lambda: live.engine.state == "flat")
            assert live.engine.account.position == 0
            (closed,) = live.closed
            assert closed.reason in ("take_profit", "stop_loss")
            await judge(live)

    run(tmp_path, scenario)


def test_a_cancel_that_comes_too_late_asks_what_became_of_the_order(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with living(place, tmp_path, every=3_600.0) as live:
            live.decide()
            await live.until(lambda: exits_rest(live))
            await live.settled()
            _, stream, _ = live.tasks
            stream.cancel()  # nobody tells
            await asyncio.gather(stream, return_exceptions=True)
            while place.server.exchange.desk.venue.listing("ABCUSDT").open.get(1):
                place.step(SECOND)
                place.server.exchange.now()
            live.desk.carry_out(asked.Cancel("vlx-1-t"))
            await live.until(lambda: live.engine.state == "flat")
            assert live.outcomes[-1] == "rejected"
            (closed,) = live.closed
            assert closed.reason in ("take_profit", "stop_loss")
            await judge(live)

    run(tmp_path, scenario)


def test_what_somebody_else_does_in_the_account_is_a_doubt(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with living(place, tmp_path) as live:
            assert live.desk.standing is not None
            assert live.desk.standing.doubts == ()
            outcome = await place.port.send(
                asked.Place(order("by-hand", "entry", 1_000, place.price + 1_000))
            )
            assert isinstance(outcome, Accepted)
            standing = await live.desk.compare()
            assert [doubt.code for doubt in standing.doubts] == [
                "foreign_trade", "position_mismatch",
            ]  # fmt: skip
            assert live.engine.account.position == 0
            live.book.acknowledge()
            standing = await live.desk.compare()
            assert [doubt.code for doubt in standing.doubts] == ["position_mismatch"]

    run(tmp_path, scenario)


def test_too_little_for_commission_is_a_doubt_before_anything_is_bought(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        expected = Expected(fee_asset="BNB", fee_reserve=Decimal(1))
        async with living(place, tmp_path, expected=expected) as live:
            assert live.desk.standing is not None
            assert [doubt.code for doubt in live.desk.standing.doubts] == ["fee_asset_low"]

    run(tmp_path, scenario, balances={"USDT": Decimal(100_000), "BNB": Decimal("0.9")})


def test_commission_out_of_what_was_bought_is_told_at_once(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with living(place, tmp_path) as live:
            live.decide()
            await live.until(lambda: "fee_in_base" in live.alerts)
            await live.desk.compare()
            assert live.desk.standing is not None
            assert [doubt.code for doubt in live.desk.standing.doubts] == ["fees_in_base"]
            assert live.engine.account.position == live.book.held > 0

    run(tmp_path, scenario, balances={"USDT": Decimal(100_000)})
