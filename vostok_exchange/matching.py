"""One symbol's order book: price-time priority, in integers.

Prices are ticks and quantities lots. The book knows no time, account or order type: an order rests
in it under an `owner` (0 for nobody), which only serves to keep an owner from trading with itself.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

Side = Literal["BUY", "SELL"]
Prevention = Literal["EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH"]


class Resting:
    """What is left of an order in the book.

    Attributes:
        side: Buy or sell.
        price: Limit, ticks.
        qty: What is left, lots.
        owner: Whose it is; 0 for nobody.
        ref: Whatever the caller wants to find it by.
    """

    __slots__ = ("owner", "price", "qty", "ref", "side")

    def __init__(self, side: Side, price: int, qty: int, owner: int, ref: Any) -> None:
        self.side: Side = side
        self.price = price
        self.qty = qty
        self.owner = owner
        self.ref = ref


class Match(NamedTuple):
    """A resting order that a taker met: `qty` lots traded, or expired because both are one's own.

    Attributes:
        maker: The resting order.
        qty: Lots.
        traded: False where the maker was removed instead (self-trade prevention).
    """

    maker: Resting
    qty: int
    traded: bool


class Taken(NamedTuple):
    """What a taker got.

    Attributes:
        matches: In order of time.
        left: Lots that found nobody.
        stopped: The taker's own resting order that it may not go past, if it met one.
    """

    matches: list[Match]
    left: int
    stopped: Resting | None


class Changes(NamedTuple):
    """Levels that changed since the last time one asked.

    Attributes:
        first: Id of the first change.
        last: Id of the last one.
        bids: Lots now at a price, 0 where nobody is left.
        asks: Likewise.
    """

    first: int
    last: int
    bids: dict[int, int]
    asks: dict[int, int]


class Top(NamedTuple):
    """Best prices and what is there; None and 0 where a side is empty."""

    bid: int | None
    bid_qty: int
    ask: int | None
    ask_qty: int


class _Level:
    __slots__ = ("orders", "qty")

    def __init__(self) -> None:
        self.orders: OrderedDict[Resting, None] = OrderedDict()
        self.qty = 0


class _Half:
    """One side. `keys` are prices times `sign`, ascending, so that the best is the last."""

    __slots__ = ("changed", "keys", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.levels: dict[int, _Level] = {}
        self.changed: dict[int, int] = {}

    def touch(self, price: int, level: _Level) -> None:
        self.changed[price] = level.qty
        if not level.orders:
            del self.levels[price]
            key = price * self.sign
            if self.keys[-1] == key:
                self.keys.pop()
            else:
                del self.keys[bisect_left(self.keys, key)]

    def best(self) -> tuple[int | None, int]:
        if not self.keys:
            return None, 0
        price = self.keys[-1] * self.sign
        return price, self.levels[price].qty


class Book:
    """Resting orders of one symbol.

    A level is found by bisection, O(log levels), and an order within it in O(1). A level that comes
    or goes also shifts the keys between it and the best one, eight bytes each, in one move.

    Attributes:
        update_id: Id of the last change; every one has the next.
    """

    def __init__(self) -> None:
        self.update_id = 0
        self._drained = 0
        self._bids = _Half(1)
        self._asks = _Half(-1)

    @classmethod
    def restored(cls, update_id: int, rows: Iterable[tuple[Side, int, int, int, Any]]) -> Book:
        """The book that had `rows` (side, price, lots, owner, ref; as `resting` tells them)."""
        book = cls()
        for row in rows:
            book.add(*row)
        book.drain()
        book.update_id = book._drained = update_id
        return book

    def add(self, side: Side, price: int, qty: int, owner: int = 0, ref: Any = None) -> Resting:
        """Rest `qty` lots at `price`, behind who is there already; it must not cross."""
        half = self._bids if side == "BUY" else self._asks
        level = half.levels.get(price)
        if level is None:
            level = half.levels[price] = _Level()
            insort(half.keys, price * half.sign)
        resting = Resting(side, price, qty, owner, ref)
        level.orders[resting] = None
        level.qty += qty
        half.changed[price] = level.qty
        self.update_id += 1
        return resting

    def cancel(self, resting: Resting) -> None:
        """Take an order out."""
        half = self._bids if resting.side == "BUY" else self._asks
        level = half.levels[resting.price]
        del level.orders[resting]
        level.qty -= resting.qty
        half.touch(resting.price, level)
        self.update_id += 1

    def take(
        self,
        side: Side,
        qty: int,
        limit: int | None = None,
        owner: int = 0,
        prevention: Prevention = "EXPIRE_MAKER",
    ) -> Taken:
        """Trade against the other side, best price first, oldest first, no worse than `limit`.

        Args:
            side: The taker's side.
            qty: Lots.
            limit: Worst price, ticks; None for any.
            owner: Whose the taker is; it never trades with a resting order of the same one.
            prevention: Who gives way where it would.
        """
        half = self._asks if side == "BUY" else self._bids
        keys = half.keys
        matches: list[Match] = []
        stopped: Resting | None = None
        worst = None if limit is None else limit * half.sign
        while qty and keys and stopped is None and (worst is None or keys[-1] >= worst):
            price = keys[-1] * half.sign
            level = half.levels[price]
            orders = level.orders
            while qty and orders:
                maker = next(iter(orders))
                if owner and maker.owner == owner:
                    if prevention != "EXPIRE_MAKER":
                        stopped = maker
                    if prevention == "EXPIRE_TAKER":
                        break
                    matches.append(Match(maker, maker.qty, traded=False))
                    level.qty -= maker.qty
                    del orders[maker]
                    if stopped is not None:
                        break
                    continue
                traded = min(qty, maker.qty)
                matches.append(Match(maker, traded, traded=True))
                qty -= traded
                level.qty -= traded
                maker.qty -= traded
                if not maker.qty:
                    del orders[maker]
            half.touch(price, level)
        self.update_id += len(matches)
        return Taken(matches, qty, stopped)

    def sweep(
        self,
        side: Side,
        qty: int,
        limit: int | None = None,
        owner: int = 0,
        prevention: Prevention = "EXPIRE_MAKER",
    ) -> tuple[int, int]:
        """Lots that `take` would trade if it were asked, and the ticks times lots it would pay."""
        lots = cost = 0
        for maker in self._ahead(side, limit, owner, prevention):
            traded = min(qty - lots, maker.qty)
            lots += traded
            cost += traded * maker.price
            if lots == qty:
                break
        return lots, cost

    def afford(self, side: Side, atoms: int, owner: int, prevention: Prevention) -> int:
        """Lots that `atoms` (ticks times lots) buy or that selling for so much takes, rounded down.

        Where the book ends first, the rest is counted at the last price in it.
        """
        lots = price = 0
        for maker in self._ahead(side, None, owner, prevention):
            price = maker.price
            traded = min(atoms // price, maker.qty)
            lots += traded
            atoms -= traded * price
            if traded < maker.qty:
                return lots
        return lots + (atoms // price if price else 0)

    def _ahead(
        self, side: Side, limit: int | None, owner: int, prevention: Prevention
    ) -> Iterator[Resting]:
        """Resting orders that a taker would trade with, in the order of trading."""
        half = self._asks if side == "BUY" else self._bids
        for key in reversed(half.keys):
            if limit is not None and key < limit * half.sign:
                return
            for maker in half.levels[key * half.sign].orders:
                if not owner or maker.owner != owner:
                    yield maker
                elif prevention != "EXPIRE_MAKER":
                    return

    def crosses(self, side: Side, price: int) -> bool:
        """Whether an order at `price` would trade at once."""
        half = self._asks if side == "BUY" else self._bids
        return bool(half.keys) and half.keys[-1] >= price * half.sign

    def top(self) -> Top:
        """The best prices."""
        return Top(*self._bids.best(), *self._asks.best())

    def depth(self, limit: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Price and lots of up to `limit` levels of bids and of asks, best first."""
        bids, asks = (
            [
                (key * half.sign, half.levels[key * half.sign].qty)
                for key in reversed(half.keys[-limit:])
            ]
            for half in (self._bids, self._asks)
        )
        return bids, asks

    def drain(self) -> Changes | None:
        """The levels that changed since the last call; None where nothing did."""
        if self.update_id == self._drained:
            return None
        changes = Changes(self._drained + 1, self.update_id, self._bids.changed, self._asks.changed)
        self._bids.changed = {}
        self._asks.changed = {}
        self._drained = self.update_id
        return changes

    def resting(self) -> Iterator[Resting]:
        """Every order: bids and then asks, best first, oldest first."""
        for half in (self._bids, self._asks):
            for key in reversed(half.keys):
                yield from half.levels[key * half.sign].orders
