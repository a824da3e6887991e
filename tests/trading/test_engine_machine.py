"""The engine against an unreliable venue: whatever comes in whatever order, its promises hold.

The venue below is a toy of its own making: it holds its own ledger, fills orders in parts, refuses,
loses and finds them, repeats news, and lets trades happen while cancels are on their way.
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vostok_core.trading.account import Account
from vostok_core.trading.commands import (
    Alert,
    Cancel,
    Closed,
    Command,
    OrderRequest,
    Place,
    PlaceList,
    Replace,
    SetTimer,
    requests,
)
from vostok_core.trading.config import Capabilities, EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import (
    BarClosed,
    Control,
    Decision,
    Event,
    Fill,
    OrderUpdate,
    Timer,
)
from vostok_core.trading.rules import Rules, charge

RULES = Rules(Decimal("0.01"), Decimal("0.001"), min_notional=1_000_000)
CASH = 100_000_000
SECOND = 1_000_000
ENDED = ("filled", "canceled", "expired", "rejected", "absent")
FEE = 10_000_000  # 10 bps
ID = re.compile(r"vl[A-Za-z0-9]{1,12}-\d+-[etsm]")


@dataclass
class Resting:
    """An order as the venue knows it."""

    request: OrderRequest
    group: int
    state: str = "open"
    filled: int = 0

    @property
    def live(self) -> bool:
        return self.state in ("held", "open")


class ToyVenue:
    """Its own ledger of coins and cash, and the news it owes."""

    def __init__(self) -> None:
        self.coins = 0
        self.cash = CASH
        self.orders: dict[str, Resting] = {}
        self.news: deque[OrderUpdate | Fill] = deque()
        self.trades = 0
        self.groups = 0
        self.sent: list[Fill] = []

    def tell(self, name: str, status: str, reason: str = "") -> None:
        order = self.orders.get(name)
        filled = order.filled if order else 0
        self.news.append(OrderUpdate(0, name, status, filled, reason))  # type: ignore[arg-type]

    def locked(self) -> int:
        """Coins that resting sells hold; the two exits of a list share theirs."""
        groups: dict[int, int] = {}
        for o in self.orders.values():
            if o.live and o.request.side == "sell" and o.state == "open":
                left = o.request.qty - o.filled
                groups[o.group] = max(groups.get(o.group, 0), left)
        return sum(groups.values())

    def accept(self, wanted: tuple[OrderRequest, ...], entry_list: bool) -> None:
        self.groups += 1
        sells = [r for r in wanted if r.side == "sell"]
        short = not entry_list and sells and sells[0].qty > self.coins - self.locked()
        for request in wanted:
            assert request.client_order_id not in self.orders, "an id was used twice"
            state = "held" if entry_list and request.leg != "entry" else "open"
            self.orders[request.client_order_id] = Resting(
                request, self.groups, "rejected" if short else state
            )
        for request in wanted:
            self.tell(request.client_order_id, self.orders[request.client_order_id].state)

    def refuse(self, wanted: tuple[OrderRequest, ...]) -> None:
        self.groups += 1
        for request in wanted:
            self.orders[request.client_order_id] = Resting(request, self.groups, "rejected")
            self.tell(request.client_order_id, "rejected", "no")

    def end(self, order: Resting, state: str) -> None:
        order.state = state
        self.tell(order.request.client_order_id, state)

    def cancel(self, name: str) -> bool:
        order = self.orders.get(name)
        if order is None or not order.live:
            return False
        for twin in self.orders.values():
            if twin.group == order.group and twin.live:
                self.end(twin, "canceled")
        return True

    def trade(self, order: Resting, qty: int, price: int) -> None:
        request = order.request
        self.trades += 1
        order.filled += qty
        fee = charge(qty * price, FEE)
        sign = 1 if request.side == "buy" else -1
        self.coins += sign * qty
        self.cash -= sign * qty * price + fee
        assert self.coins >= 0, "more was sold than was held"
        fill = Fill(0, request.client_order_id, self.trades, price, qty, fee, "taker")
        self.sent.append(fill)
        self.news.append(fill)
        whole = order.filled == request.qty
        if whole:
            self.end(order, "filled")
        elif request.time_in_force == "IOC":
            self.end(order, "expired")
        for twin in self.orders.values():
            if twin.group != order.group or twin is order or not twin.live:
                continue
            if request.leg == "entry" and whole:
                twin.state = "open"
                self.tell(twin.request.client_order_id, "open")
            elif request.leg != "entry" or not order.live:
                self.end(twin, "expired")


class EngineMachine(RuleBasedStateMachine):
    @initialize(
        entry_list=st.booleans(), replace_=st.booleans(), fraction=st.sampled_from([0.02, 0.9])
    )
    def open(self, entry_list: bool, replace_: bool, fraction: float) -> None:
        self.config = EngineConfig(
            run="h",
            horizon_us=600 * SECOND,
            take_profit=2.0,
            stop_loss=1.0,
            fraction=fraction,
            max_daily_loss=0.03,
            max_drawdown=0.05,
            capabilities=Capabilities(entry_list, replace_),
        )
        self.engine = Engine(self.config, RULES, Account.opening(CASH))
        self.venue = ToyVenue()
        self.inbox: deque[Command] = deque()
        self.lost: list[str] = []
        self.timers: set[int] = set()
        self.now = 10**15
        self.price = 10_000
        self.heard: list[OrderUpdate | Fill] = []
        self.ids: set[str] = set()

    def give(self, event: Event) -> None:
        """Hand an event over, twice: to the engine, and to one restored from its snapshot."""
        event = replace(event, ts=self.now)
        twin = Engine.restore(self.config, RULES, json.loads(json.dumps(self.engine.snapshot())))
        was_live = [o for o in self.engine.orders.values() if not o.terminal]
        was_killed = self.engine.killed is not None
        commands = self.engine.handle(event)
        assert twin.handle(event) == commands
        assert twin.snapshot() == self.engine.snapshot()
        for command in commands:
            self.check(command, was_live, was_killed)
            if isinstance(command, SetTimer):
                self.timers.add(command.ts)
            elif not isinstance(command, Alert | Closed):
                self.inbox.append(command)

    def check(self, command: Command, was_live: list[Any], was_killed: bool) -> None:
        for request in requests(command):
            name = request.client_order_id
            assert ID.fullmatch(name)
            assert len(name) <= 36
            assert name not in self.ids, "a client id was used twice"
            self.ids.add(name)
            assert request.qty > 0
            if request.kind == "market":
                assert request.qty * self.engine.account.mark >= RULES.min_notional
            else:
                assert request.price > 0
                assert request.qty * request.price >= RULES.min_notional
            if request.leg == "entry":
                assert not was_live, "an entry was sent while an order was alive or unknown"
                assert not was_killed, "an entry was sent while the kill switch was latched"
                assert self.engine.account.position == 0
                cost = request.qty * request.price
                assert cost + charge(cost, FEE) <= self.engine.account.cash
            else:
                assert request.qty <= self.engine.account.position or request.leg != "market"

    # What happens

    @rule(
        move=st.integers(-80, 80),
        valid=st.sampled_from([True, True, True, False]),
        probability=st.sampled_from([0.9, 0.9, 0.9, 0.2, None]),
    )
    def bar(self, move: int, valid: bool, probability: float | None) -> None:
        self.price = max(5_000, self.price + move)
        self.now += 60 * SECOND
        decision = (
            None
            if probability is None
            else Decision(probability, 0.5, 0.01, RULES.price(self.price))
        )
        before = self.engine.counts["entries"]
        self.give(BarClosed(0, self.price, valid, decision))
        if not valid:
            assert self.engine.counts["entries"] == before, "an invalid bar opened a trade"

    @precondition(lambda self: self.inbox)
    @rule()
    def all_arrive(self) -> None:
        while self.inbox:
            self.arrive("accept")

    @precondition(lambda self: self.venue.news)
    @rule()
    def all_news(self) -> None:
        while self.venue.news:
            self.news(0)

    @precondition(lambda self: self.inbox)
    @rule(fate=st.sampled_from(["accept", "accept", "accept", "refuse", "lose", "unheard"]))
    def arrive(self, fate: str) -> None:
        """A command reaches the venue, is refused, is lost, or its answer is."""
        command = self.inbox.popleft()
        wanted = requests(command)
        if fate == "lose":
            if not wanted:
                return  # a cancel that never arrived
            for request in wanted:
                self.lost.append(request.client_order_id)
                self.give(OrderUpdate(0, request.client_order_id, "unknown"))
            return
        if fate == "unheard" and wanted:
            for request in wanted:
                self.give(OrderUpdate(0, request.client_order_id, "unknown"))
        match command:
            case Cancel(name):
                self.venue.cancel(name)
            case Replace(name, order):
                if fate == "refuse" or not self.venue.cancel(name):
                    self.venue.refuse((order,))
                else:
                    self.venue.accept((order,), entry_list=False)
            case Place() | PlaceList() if fate == "refuse":
                self.venue.refuse(wanted)
            case PlaceList():
                self.venue.accept(wanted, entry_list=command.entry is not None)
            case Place():
                self.venue.accept(wanted, entry_list=False)

    @precondition(lambda self: self.lost)
    @rule()
    def prove_absent(self) -> None:
        for name in self.lost:
            self.give(OrderUpdate(0, name, "absent"))
        self.lost.clear()

    @precondition(lambda self: any(o.state == "open" for o in self.venue.orders.values()))
    @rule(
        pick=st.integers(0, 9), part=st.sampled_from([0.02, 0.5, 1.0, 1.0]), worse=st.integers(0, 9)
    )
    def trade(self, pick: int, part: float, worse: int) -> None:
        """An order trades, in part or in whole, at its price or worse."""
        live = [o for o in self.venue.orders.values() if o.state == "open"]
        order = live[pick % len(live)]
        left = order.request.qty - order.filled
        base = order.request.price or self.price
        price = base if order.request.kind == "limit" else max(1, base - worse)
        self.venue.trade(order, max(1, int(left * part)), price)

    @rule()
    def entry_expires(self) -> None:
        for order in list(self.venue.orders.values()):
            if order.live and order.request.leg == "entry":
                for twin in self.venue.orders.values():
                    if twin.group == order.group and twin.live:
                        self.venue.end(twin, "expired")

    @precondition(lambda self: self.venue.news)
    @rule(position=st.sampled_from([0, 0, 0, 1, 2]))
    def news(self, position: int) -> None:
        """News arrives, not always in the order that it was sent."""
        at = min(position, len(self.venue.news) - 1)
        item = self.venue.news[at]
        del self.venue.news[at]
        self.heard.append(item)
        self.give(item)

    @precondition(lambda self: self.heard)
    @rule(pick=st.integers(0, 99))
    def news_again(self, pick: int) -> None:
        """Old news is repeated: a fill must not count, a status must not go back."""
        item = self.heard[pick % len(self.heard)]
        before = (self.engine.account.position, self.engine.account.cash)
        self.give(item)
        assert (self.engine.account.position, self.engine.account.cash) == before

    @rule(seconds=st.sampled_from([1, 2, 6, 70, 700]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.ring()

    def ring(self) -> None:
        for ts in sorted(t for t in self.timers if t <= self.now):
            self.timers.discard(ts)
            self.give(Timer(0))

    @rule(
        action=st.sampled_from(["pause", "flatten", "kill", "none", "none", "none"]),
        release=st.booleans(),
    )
    def control(self, action: Any, release: bool) -> None:
        was = self.engine.killed
        if action != "none":
            self.give(Control(0, action))
        if release:
            self.give(Control(0, "resume"))
            assert self.engine.killed == was or action == "kill", "released without a reset"
            self.give(Control(0, "reset"))
            return
        assert was is None or self.engine.killed == was, "released without a reset"

    @rule()
    def settle(self) -> None:
        """The venue answers everything and nothing trades: then all must be in order."""
        for _ in range(200):
            self.prove_absent()
            if self.venue.news:
                self.news(0)
            elif self.inbox:
                self.arrive("accept")
            elif any(
                o.live and o.request.leg in ("entry", "market") for o in self.venue.orders.values()
            ):
                for order in list(self.venue.orders.values()):
                    if order.live and order.request.leg in ("entry", "market"):
                        self.venue.trade(order, order.request.qty - order.filled, self.price)
            elif self.timers and min(self.timers) <= self.now + 70 * SECOND:
                self.now = max(self.now, min(self.timers))
                self.ring()
            else:
                break
        else:
            raise AssertionError("the engine and an answering venue did not come to rest")
        held = self.engine.account.position
        assert held + self.engine.account.dust == self.venue.coins
        assert self.engine.account.cash == self.venue.cash
        exits = [o for o in self.venue.orders.values() if o.live]
        if held == 0:
            assert self.engine.state == "flat"
            assert exits == []
        else:
            assert self.engine.state == "holding"
            assert sorted(o.request.leg for o in exits) == ["stop_loss", "take_profit"]
            assert {o.request.qty - o.filled for o in exits} == {held}

    # What always holds

    @invariant()
    def money_and_lots_are_the_sum_of_the_fills_heard(self) -> None:
        account = self.engine.account
        unheard = [n for n in self.venue.news if isinstance(n, Fill)]
        coins, cash = self.venue.coins, self.venue.cash
        for fill in unheard:
            sign = 1 if self.venue.orders[fill.client_order_id].request.side == "buy" else -1
            coins -= sign * fill.qty
            cash += sign * fill.qty * fill.price + fill.fee
        assert account.position + account.dust == coins
        assert account.cash == cash
        assert account.fees == sum(f.fee for f in self.venue.sent) - sum(f.fee for f in unheard)

    @invariant()
    def never_two_live_entries_at_the_venue(self) -> None:
        live = [o for o in self.venue.orders.values() if o.live and o.request.leg == "entry"]
        assert len(live) <= 1

    @invariant()
    def orders_never_hold_more_than_was_bought(self) -> None:
        assert self.venue.locked() <= self.venue.coins


EngineMachine.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestEngineMachine = EngineMachine.TestCase
