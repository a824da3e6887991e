"""The book against a list that is scanned from one end to the other."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_exchange.matching import Book, Prevention, Resting, Side

PREVENTIONS: tuple[Prevention, ...] = ("EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH")


@dataclass
class Entry:
    number: int
    side: Side
    price: int
    qty: int
    owner: int


@dataclass
class Scan:
    """Price-time priority, spelled out: orders in the order of their arrival."""

    entries: list[Entry] = field(default_factory=list)

    def best(self, side: Side, limit: int | None) -> Entry | None:
        """The order that a taker of `side` trades with first."""
        chosen: Entry | None = None
        for entry in self.entries:
            if entry.side == side:
                continue
            if limit is not None and (
                entry.price > limit if side == "BUY" else entry.price < limit
            ):
                continue
            if chosen is None or (
                entry.price < chosen.price if side == "BUY" else entry.price > chosen.price
            ):
                chosen = entry
        return chosen

    def take(
        self, side: Side, qty: int, limit: int | None, owner: int, prevention: Prevention
    ) -> tuple[list[tuple[int, int, bool]], int, int | None]:
        met = []
        while qty:
            maker = self.best(side, limit)
            if maker is None:
                break
            if owner and maker.owner == owner:
                if prevention == "EXPIRE_TAKER":
                    return met, qty, maker.number
                met.append((maker.number, maker.qty, False))
                self.entries.remove(maker)
                if prevention == "EXPIRE_BOTH":
                    return met, qty, maker.number
                continue
            traded = min(qty, maker.qty)
            met.append((maker.number, traded, True))
            qty -= traded
            maker.qty -= traded
            if not maker.qty:
                self.entries.remove(maker)
        return met, qty, None

    def depth(self, side: Side) -> list[tuple[int, int]]:
        levels: dict[int, int] = {}
        for entry in self.entries:
            if entry.side == side:
                levels[entry.price] = levels.get(entry.price, 0) + entry.qty
        return sorted(levels.items(), reverse=side == "BUY")


class Pair:
    """The book and the scan, given the same operations; every answer is compared."""

    def __init__(self) -> None:
        self.book = Book()
        self.scan = Scan()
        self.orders: dict[int, Resting] = {}
        self.number = 0
        self.copy: dict[Side, dict[int, int]] = {"BUY": {}, "SELL": {}}
        self.last_update = 0

    def send(
        self,
        side: Side,
        qty: int,
        limit: int | None,
        owner: int,
        prevention: Prevention,
    ) -> None:
        """Take, and rest what is left of an order with a limit that met none of its owner's."""
        lots, cost = self.book.sweep(side, qty, limit, owner, prevention)
        crosses = limit is not None and self.book.crosses(side, limit)
        assert crosses == (limit is not None and self.scan.best(side, limit) is not None)
        prices = {entry.number: entry.price for entry in self.scan.entries}
        met, left, stopped = self.scan.take(side, qty, limit, owner, prevention)
        taken = self.book.take(side, qty, limit, owner, prevention)
        assert [(one.maker.ref, one.qty, one.traded) for one in taken.matches] == met
        assert [one.maker.price for one in taken.matches] == [prices[one[0]] for one in met]
        assert taken.left == left
        assert (taken.stopped and taken.stopped.ref) == stopped
        assert lots == qty - left == sum(number[1] for number in met if number[2])
        assert cost == sum(prices[number] * traded for number, traded, yes in met if yes)
        if left and limit is not None and stopped is None:
            self.number += 1
            self.orders[self.number] = self.book.add(side, limit, left, owner, self.number)
            self.scan.entries.append(Entry(self.number, side, limit, left, owner))
        self.compare()

    def cancel(self, choice: int) -> None:
        if self.scan.entries:
            entry = self.scan.entries.pop(choice % len(self.scan.entries))
            self.book.cancel(self.orders[entry.number])
        self.compare()

    def compare(self) -> None:
        bids, asks = self.scan.depth("BUY"), self.scan.depth("SELL")
        assert self.book.depth(10**6) == (bids, asks)
        assert self.book.depth(2) == (bids[:2], asks[:2])
        assert self.book.top() == (
            *(bids[0] if bids else (None, 0)),
            *(asks[0] if asks else (None, 0)),
        )
        assert [one.ref for one in self.book.resting()] == [
            entry.number
            for side, sign in (("BUY", -1), ("SELL", 1))
            for entry in sorted(
                (entry for entry in self.scan.entries if entry.side == side),
                key=lambda entry: (sign * entry.price, entry.number),
            )
        ]
        self.follow()
        for side, levels in (("BUY", bids), ("SELL", asks)):
            assert self.copy[side] == dict(levels)

    def follow(self) -> None:
        """Keep a copy of the book from its changes alone."""
        changes = self.book.drain()
        if changes is None:
            assert self.book.update_id == self.last_update
            return
        assert changes.first == self.last_update + 1 <= changes.last == self.book.update_id
        self.last_update = changes.last
        for side, levels in (("BUY", changes.bids), ("SELL", changes.asks)):
            for price, qty in levels.items():
                if qty:
                    self.copy[side][price] = qty
                else:
                    self.copy[side].pop(price, None)


SENDS = st.tuples(
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 30),
    st.none() | st.integers(95, 105),
    st.integers(0, 2),
    st.sampled_from(PREVENTIONS),
)


@given(st.lists(SENDS | st.integers(0, 50), max_size=80))
@settings(max_examples=100)
def test_trades_remainders_and_depth_are_those_of_the_scan(operations: list) -> None:
    pair = Pair()
    for operation in operations:
        if isinstance(operation, int):
            pair.cancel(operation)
        else:
            pair.send(*operation)


@pytest.mark.parametrize("seed", [1, 2])
def test_thousands_of_operations_stay_those_of_the_scan(seed: int) -> None:
    draw = random.Random(seed)
    pair = Pair()
    for _ in range(3_000):
        if draw.random() < 0.35:
            pair.cancel(draw.randrange(1_000))
        else:
            side: Side = draw.choice(["BUY", "SELL"])
            away = round(draw.gauss(-8, 10))
            price = 1_000 + away if side == "BUY" else 1_000 - away
            limit = None if draw.random() < 0.05 else price
            pair.send(side, draw.randint(1, 40), limit, draw.randrange(4), draw.choice(PREVENTIONS))
    assert pair.number > 1_000
    assert sum(pair.book.depth(1_000)[0][0]) > 0


@given(
    st.lists(st.tuples(st.integers(90, 110), st.integers(1, 9), st.integers(0, 1)), max_size=12),
    st.integers(0, 5_000),
    st.sampled_from(PREVENTIONS),
)
def test_what_an_amount_affords_is_bought_lot_by_lot(
    asks: list[tuple[int, int, int]], atoms: int, prevention: Prevention
) -> None:
    book = Book()
    for price, qty, owner in asks:
        book.add("SELL", price, qty, owner)
    lots_for_sale = []
    for price, qty, owner in sorted(asks, key=lambda ask: ask[0]):
        if owner and prevention != "EXPIRE_MAKER":
            break
        lots_for_sale += [] if owner else [price] * qty
    bought, left = 0, atoms
    for price in lots_for_sale:
        if price > left:
            break
        bought, left = bought + 1, left - price
    if lots_for_sale and bought == len(lots_for_sale):
        bought += left // lots_for_sale[-1]
    assert book.afford("BUY", atoms, 1, prevention) == bought


def test_a_restored_book_goes_on_like_the_first() -> None:
    draw = random.Random(5)
    pair = Pair()
    for _ in range(200):
        pair.send("BUY", draw.randint(1, 9), 100 - draw.randrange(20), 0, "EXPIRE_MAKER")
        pair.send("SELL", draw.randint(1, 9), 95 + draw.randrange(20), 0, "EXPIRE_MAKER")
    rows = [(one.side, one.price, one.qty, one.owner, one.ref) for one in pair.book.resting()]
    copy = Book.restored(pair.book.update_id, rows)
    assert copy.drain() is None
    for book in (copy, pair.book):
        book.take("BUY", 500, None)
        book.add("BUY", 50, 3)
    assert copy.drain() == pair.book.drain()
    assert [(one.price, one.qty, one.ref) for one in copy.resting()] == [
        (one.price, one.qty, one.ref) for one in pair.book.resting()
    ]
