"""Whatever three accounts do at a venue: nothing is lost, doubled, crossed or below zero."""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_exchange.events import (
    AccountPosition,
    AggTrade,
    BookTop,
    DepthChange,
    Event,
    ExecutionReport,
    ListStatus,
    Trade,
)
from vostok_exchange.house import House, Ladder
from vostok_exchange.orders import (
    ALGO,
    OcoRequest,
    Order,
    OrderRequest,
    OtoRequest,
    Rejection,
)
from vostok_exchange.snapshots import restore, snapshot
from vostok_exchange.symbols import UNIT
from vostok_exchange.venue import Venue

ABC = Instrument(
    InstrumentId.parse("demo.spot.ABC-USDT"), "agg_trade", Decimal("0.01"), Decimal("0.001"),
    Decimal(5), 1,
)  # fmt: skip
OPENING = {
    1: {"USDT": Decimal(5_000), "ABC": Decimal(50), "BNB": Decimal("0.01")},
    2: {"USDT": Decimal(2_000), "ABC": Decimal(20)},
    3: {"USDT": Decimal(300), "ABC": Decimal(3), "BNB": Decimal(5)},
}
TOTAL = {
    asset: sum(int(opening.get(asset, 0) * UNIT) for opening in OPENING.values())
    for asset in ("USDT", "ABC", "BNB")
}


class World:
    """A venue with a house whose price wanders, and everything that was ever told."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.venue = Venue({"USDT": Decimal(500)})
        self.listing = self.venue.list_symbol(ABC, last_price=Decimal(100), next_id=7)
        for uid, balances in OPENING.items():
            self.venue.open_account(uid, balances)
        self.ladder = Ladder(spread=0.002, touch=800, deep=1_500, levels=3, spacing=0.01)
        self.house = House(self.venue, self.listing, self.ladder)
        self.now = 0
        self.price = 10_000
        self.events: list[Event] = []
        self.answers: Counter[str] = Counter()

    def act(self) -> list[Event]:
        """One random deed; the time may stand still."""
        draw, venue = self.draw, self.venue
        self.now += draw.choice((0, 1, 1_000_000))
        uid = draw.choice((1, 2, 3))
        kind = draw.random()
        answer: Any = None
        if kind < 0.35:
            step = round(draw.gauss(0, 60))
            self.price = min(max(self.price + step, 8_000), 12_500)
            side = draw.choice(("BUY", "SELL"))
            events = self.house.trade(side, self.price, draw.randint(1, 1_500), self.now)
        elif kind < 0.65:
            answer, events = venue.place(uid, self.order(), self.now)
        elif kind < 0.75:
            side = draw.choice(("BUY", "SELL"))
            answer, events = venue.place_oco(uid, OcoRequest(*self.pair(side)), self.now)
        elif kind < 0.85:
            pending: Any = (self.order(kinds=("LIMIT", "MARKET", "STOP_LOSS")),)
            side = draw.choice(("BUY", "SELL"))
            if draw.random() < 0.7:
                pending = self.pair("SELL" if side == "BUY" else "BUY")
            working = self.order(kinds=("LIMIT", "LIMIT_MAKER"), side=side)
            answer, events = venue.place_oto(uid, OtoRequest(working, pending), self.now)
        elif kind < 0.97:
            target = draw.randrange(max(self.listing.next_order_id, 1)) + 1
            if draw.random() < 0.3:
                answer, events = venue.cancel_replace(
                    uid, self.order(), self.now, mode="ALLOW_FAILURE", order_id=target
                )
            else:
                answer, events = venue.cancel(uid, "ABCUSDT", self.now, order_id=target)
        else:
            answer, events = venue.cancel_all(uid, "ABCUSDT", self.now)
        self.answers[answer.msg if isinstance(answer, Rejection) else type(answer).__name__] += 1
        self.events += events
        return events

    def near(self, spread: float) -> Decimal:
        return Decimal(round(self.price + self.draw.gauss(0, spread))) / 100

    def order(self, kinds: tuple[str, ...] = (), side: Any = None) -> OrderRequest:
        draw = self.draw
        kind: Any = draw.choice(
            kinds
            or (
                "LIMIT", "LIMIT", "LIMIT_MAKER", "MARKET", "MARKET", "STOP_LOSS",
                "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT",
            )
        )  # fmt: skip
        by_quote = kind == "MARKET" and not kinds and draw.random() < 0.5
        return OrderRequest(
            "ABCUSDT",
            side or draw.choice(("BUY", "SELL")),
            kind,
            quantity=None if by_quote else Decimal(draw.randint(60, 4_000)) / 1_000,
            quote_order_qty=Decimal(draw.randint(600, 50_000)) / 100 if by_quote else None,
            price=self.near(60) if kind in {"LIMIT", "LIMIT_MAKER", *ALGO} and
            not kind.endswith(("LOSS", "PROFIT")) else None,
            stop_price=self.near(90) if kind in ALGO else None,
            time_in_force=draw.choice(("GTC", "GTC", "IOC", "FOK"))
            if kind == "LIMIT" or kind.endswith("_LIMIT") else None,
            client_order_id=draw.choice((None, None, f"id{draw.randrange(40)}")),
            self_trade_prevention=draw.choice((None, None, "EXPIRE_TAKER", "EXPIRE_BOTH")),
        )  # fmt: skip

    def pair(self, side: Any) -> tuple[OrderRequest, OrderRequest]:
        """Above and below."""
        draw = self.draw
        quantity = Decimal(draw.randint(60, 3_000)) / 1_000
        up, down = (Decimal(self.price + sign * draw.randint(1, 250)) / 100 for sign in (1, -1))
        aim, stop = (up, down) if side == "SELL" else (down, up)
        limit: Any = draw.choice((None, draw.choice(("GTC", "IOC"))))
        kind: Any = draw.choice(("LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"))
        common: dict[str, Any] = {"symbol": "ABCUSDT", "side": side, "quantity": quantity}
        profit = OrderRequest(
            type=kind,
            price=None if kind == "TAKE_PROFIT" else aim,
            stop_price=None if kind == "LIMIT_MAKER" else aim,
            time_in_force="GTC" if kind == "TAKE_PROFIT_LIMIT" else None,
            **common,
        )
        loss = OrderRequest(
            type="STOP_LOSS_LIMIT" if limit else "STOP_LOSS",
            price=stop if limit else None,
            stop_price=stop,
            time_in_force=limit,
            **common,
        )
        return (profit, loss) if side == "SELL" else (loss, profit)


class Auditor:
    """Keeps its own books, from events alone, and compares them with the venue's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.next_trade = self.next_agg = 7
        self.update_id = 0
        self.depth: dict[str, dict[int, int]] = {"bids": {}, "asks": {}}
        self.execution_id = 0
        self.balances: dict[int, dict[str, tuple[int, int]]] = {uid: {} for uid in OPENING}
        self.filled: Counter[int] = Counter()
        self.paid: Counter[int] = Counter()
        self.done: set[int] = set()
        self.top: Any = (None, 0, None, 0)

    def hear(self, events: list[Event]) -> None:
        fresh: list[Trade] = []
        for event in events:
            assert event.ts == self.world.now
            match event:
                case Trade():
                    assert event.trade_id == self.next_trade
                    assert event.qty > 0
                    self.next_trade += 1
                    fresh.append(event)
                case AggTrade():
                    assert event.agg_id == self.next_agg
                    self.next_agg += 1
                    parts = [one for one in fresh if event.first_id <= one.trade_id]
                    assert [one.trade_id for one in parts] == list(
                        range(event.first_id, event.last_id + 1)
                    )
                    assert {one.price for one in parts} == {event.price}
                    assert {one.buyer_maker for one in parts} == {event.buyer_maker}
                    assert sum(one.qty for one in parts) == event.qty
                    fresh = []
                case DepthChange():
                    assert event.first == self.update_id + 1 <= event.last
                    self.update_id = event.last
                    for side, levels in (("bids", event.bids), ("asks", event.asks)):
                        self.depth[side].update(levels)
                case BookTop():
                    self.top = event.top
                case ExecutionReport():
                    assert event.execution_id == self.execution_id + 1
                    self.execution_id += 1
                    self.filled[event.order.order_id] += event.last_qty
                    self.paid[event.order.order_id] += event.last_qty * event.last_price
                    if event.execution != "REJECTED":
                        assert event.order.filled == self.filled[event.order.order_id]
                        assert event.order.quote_filled == self.paid[event.order.order_id]
                case ListStatus():
                    if event.list.done:
                        assert event.list.list_id not in self.done
                        self.done.add(event.list.list_id)
                case AccountPosition():
                    for asset, free, locked in event.balances:
                        self.balances[event.uid][asset] = (free, locked)
        assert not fresh, "every trade belongs to an aggregate"

    def check(self) -> None:
        venue, listing = self.world.venue, self.world.listing
        x = venue.execution
        held = Counter({asset: x.cleared.get(asset, 0) + x.earned.get(asset, 0) for asset in TOTAL})
        for uid, account in x.accounts.items():
            for asset, balance in account.balances.items():
                assert balance.free >= 0
                assert balance.locked >= 0
                held[asset] += balance.free + balance.locked
                if asset in self.balances[uid]:
                    assert self.balances[uid][asset] == (balance.free, balance.locked)
                else:
                    assert (balance.free, balance.locked) == (
                        int(OPENING[uid].get(asset, 0) * UNIT),
                        0,
                    )
                assert balance.locked == self.needed(uid, asset)
        assert held == TOTAL

        live = {key: order for key, order in listing.orders.items() if order.live}
        assert {key for ids in listing.open.values() for key in ids} == set(live)
        names = [(order.uid, order.client_order_id) for order in live.values()]
        assert len(names) == len(set(names))
        resting = {one.ref.order_id: one for one in listing.book.resting() if one.ref}
        assert resting.keys() == {
            key for key, order in live.items() if order.working_time >= 0 and order.rests
        }
        assert resting == listing.resting
        for key, one in resting.items():
            order = live[key]
            assert (one.qty, one.price, one.side) == (order.remaining, order.price, order.side)
            assert one.qty > 0
        for order in listing.orders.values():
            assert order.qty >= order.filled + order.prevented
            assert order.filled == self.filled[order.order_id]

        bids, asks = listing.book.depth(10**6)
        assert dict(bids) == {price: qty for price, qty in self.depth["bids"].items() if qty}
        assert dict(asks) == {price: qty for price, qty in self.depth["asks"].items() if qty}
        assert listing.book.top() == self.top
        if bids and asks:
            assert bids[0][0] < asks[0][0]
        for order in live.values():
            if order.waits:
                reached = (
                    listing.last_price >= order.stop_price
                    if order.triggers_above
                    else listing.last_price <= order.stop_price
                )
                assert not reached
        assert self.done == {key for key, made in x.lists.all.items() if made.done}
        for made in x.lists.all.values():
            orders = [listing.orders[key] for key in made.order_ids]
            assert made.done == (not any(order.live for order in orders))
            working = [one for one in orders if one.live and one.order_id != made.working_id and
                       one.status != "PENDING_NEW" and one.working_time >= 0]  # fmt: skip
            legs = [one for one in orders if one.order_id != made.working_id]
            if any(one.filled for one in legs) or (working and working[0].type in ALGO):
                assert sum(one.live for one in legs) <= 1

    def needed(self, uid: int, asset: str) -> int:
        """What open orders need, from their terms alone."""
        listing = self.world.listing
        groups: dict[Any, list[int]] = {}
        for order in listing.orders.values():
            if order.uid == uid and order.live and order.status != "PENDING_NEW":
                wants, amount = self.need(order)
                if wants == asset:
                    # An OCO's legs share; a working order stands alone.
                    key = ("list", order.list_id) if order.list_id >= 0 else order.order_id
                    groups.setdefault(key, []).append(amount)
        return sum(max(amounts) for amounts in groups.values())

    def need(self, order: Order) -> tuple[str, int]:
        left = order.qty - order.filled
        if order.side == "SELL":
            return "ABC", left * UNIT // 1_000
        return "USDT", (order.price or order.stop_price) * left * UNIT // 100_000


@given(st.integers(0, 2**32))
@settings(max_examples=12)
def test_nothing_is_lost_doubled_crossed_or_below_zero(seed: int) -> None:
    world = World(seed)
    auditor = Auditor(world)
    for _ in range(120):
        auditor.hear(world.act())
        auditor.check()


def test_the_random_deeds_reach_every_corner() -> None:
    """What the property covers: every end of an order, every refusal, every kind of list."""
    world = World(1)
    auditor = Auditor(world)
    for _ in range(2_500):
        auditor.hear(world.act())
    auditor.check()
    orders = world.listing.orders.values()
    reports = [one for one in world.events if isinstance(one, ExecutionReport)]
    assert {report.order.status for report in reports} == {
        "NEW", "PENDING_NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED",
        "EXPIRED_IN_MATCH",
    }  # fmt: skip
    assert {order.expiry_reason for order in orders} == {
        "NONE", "REJECTED", "OCO_TRIGGER", "OTO_PHASE_ONE_EXPIRED",
        "UNFILLED_IOC_QUANTITY_EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED", "INSUFFICIENT_LIQUIDITY",
    }  # fmt: skip
    triggered = {(order.type, order.side) for order in orders
                 if order.type in ALGO and order.filled}  # fmt: skip
    assert len(triggered) == 8
    refused = {
        "Account has insufficient balance for requested action.",
        "Duplicate order sent.",
        "Filter failure: MAX_NUM_ALGO_ORDERS",
        "Order would immediately match and take.",
        "Stop price would trigger immediately.",
        "The relationship of the prices for the orders is not correct.",
        "Unknown order sent.",
    }
    assert refused <= set(world.answers)
    assert {report.commission_asset for report in reports} == {None, "BNB", "ABC", "USDT"}


@pytest.mark.parametrize("cut", [0, 150, 151])
def test_a_restored_venue_goes_on_as_if_nothing_had_happened(cut: int) -> None:
    straight = World(3)
    for _ in range(cut):
        straight.act()
    saved = json.dumps([snapshot(straight.venue), straight.house.snapshot()])
    again = World(3)
    again.venue = Venue({"USDT": Decimal(500)})
    again.listing = again.venue.list_symbol(ABC, last_price=Decimal(50))
    restore(again.venue, json.loads(saved)[0])
    again.house = House(again.venue, again.listing, again.ladder)
    again.house.restore(json.loads(saved)[1])
    again.now, again.price = straight.now, straight.price
    again.draw.setstate(straight.draw.getstate())
    assert [again.act() for _ in range(150)] == [straight.act() for _ in range(150)]
    assert snapshot(again.venue) == snapshot(straight.venue)


def test_the_same_deeds_give_the_same_events() -> None:
    first, second = World(8), World(8)
    for _ in range(200):
        assert first.act() == second.act()
