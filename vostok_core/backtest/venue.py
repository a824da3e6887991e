"""A venue that fills orders on a price path; it is to the engine what the exchange is.

Every command takes `latency_us` to arrive; news comes back at once. What fills, and where, is asked
of `PricePath` alone. Taker fills are worsened by the assumed slippage, rounded against us.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from vostok_core.errors import DataError
from vostok_core.market.paths import (
    BUYER_TOOK,
    OPEN,
    SELLER_TOOK,
    TAKE_PROFIT,
    TIME,
    PricePath,
)
from vostok_core.strategy import Strategy
from vostok_core.times import HOUR
from vostok_core.trading.commands import Cancel, OrderRequest, Place, PlaceList, Replace
from vostok_core.trading.entry import entry_price
from vostok_core.trading.events import Fill, OrderUpdate, Status
from vostok_core.trading.rules import Rules, charge, rate_of

News = OrderUpdate | Fill
Request = Place | PlaceList | Cancel | Replace
NEVER = 2**62
_AHEAD = HOUR


class FillBeforeOrder(DataError):
    """A path filled an order at or before the time that it reached the exchange."""


@dataclass(frozen=True)
class Costs:
    """What trading costs.

    Attributes:
        taker_fee_bps, maker_fee_bps: Fees, basis points of what is traded.
        slippage_bps: Added against us on every taker fill.
        latency_us: From decision to matching engine, microseconds.
    """

    taker_fee_bps: float
    maker_fee_bps: float
    slippage_bps: float
    latency_us: int

    @classmethod
    def of(cls, strategy: Strategy) -> Costs:
        """The costs that a strategy file assumes."""
        costs = strategy.file.costs
        return cls(
            costs.taker_fee_bps, costs.maker_fee_bps, costs.slippage_bps, strategy.latency_us
        )


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill on the path, and what it cost.

    Attributes:
        fill: As the engine hears it.
        slippage: Assumed slippage, atoms.
        ambiguous: One bar touched both exits; the stop was taken.
    """

    fill: Fill
    slippage: int
    ambiguous: bool


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What will happen next unless a cancel arrives first.

    Attributes:
        ts: When it is known.
        certain_from: A cancel that arrives after this time is too late.
        early: It comes before anything else known at `ts`: it happened within the bar ending then.
        index, price: Row and price on the path.
        order: What fills.
        ambiguous: As in `Execution`.
    """

    ts: int
    certain_from: int
    early: bool
    index: int
    price: float
    order: OrderRequest
    ambiguous: bool = False


@dataclass(slots=True)
class _Taking:
    """An order that waits for the next print of its side.

    `held` are the exits that come with an entry, `twin` the take-profit of a stop that triggered at
    `arrived` and met no taker before its path ended.
    """

    order: OrderRequest
    arrived: int
    held: tuple[OrderRequest, ...] = ()
    twin: tuple[OrderRequest, ...] = ()

    @property
    def orders(self) -> tuple[OrderRequest, ...]:
        return (self.order, *self.held, *self.twin)


@dataclass(slots=True)
class _Resting:
    """Exits that rest."""

    take_profit: OrderRequest
    stop_loss: OrderRequest
    arrived: int

    @property
    def orders(self) -> tuple[OrderRequest, ...]:
        return self.take_profit, self.stop_loss


@dataclass
class SimulatedVenue:
    """Fills orders on price paths that are read one after the other.

    Attributes:
        rules: Ticks, lots and filters.
        costs: Fees, slippage, latency.
        paths: In time order; only one is held at a time.
        executions: Everything that was filled, in order.
    """

    rules: Rules
    costs: Costs
    paths: Iterable[PricePath]
    executions: list[Execution] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._paths: Iterator[PricePath] = iter(self.paths)
        self._path: PricePath | None = next(self._paths, None)
        self._row = 0
        self._left_at: float | None = None
        self._job: _Taking | _Resting | None = None
        self._found: Scheduled | None = None
        self._searched = -1
        self._inbox: deque[tuple[int, Request]] = deque()
        self._taker_rate = rate_of(self.costs.taker_fee_bps)
        self._maker_rate = rate_of(self.costs.maker_fee_bps)
        self._slippage_rate = rate_of(self.costs.slippage_bps)

    # Commands

    def send(self, command: Request, now: int) -> None:
        """A command sets out at `now`."""
        self._inbox.append((now + self.costs.latency_us, command))

    @property
    def next_arrival(self) -> int:
        """When the next command arrives; `NEVER` if none is under way."""
        return self._inbox[0][0] if self._inbox else NEVER

    def arrive(self) -> list[News]:
        """Carry out the next command at its time of arrival."""
        now, command = self._inbox.popleft()
        match command:
            case Place(order):
                return self._accept(_Taking(order, now), now)
            case PlaceList(None, take_profit, stop_loss):
                return self._rest(take_profit, stop_loss, now)
            case PlaceList(OrderRequest() as entry, take_profit, stop_loss):
                return self._accept(_Taking(entry, now, (take_profit, stop_loss)), now)
            case Cancel(name):
                return self._cancel(name, now) or []
            case Replace(name, order):
                canceled = self._cancel(name, now)
                if canceled is None:
                    return [_update(now, order, "rejected", "the order to replace had ended")]
                return canceled + self._accept(_Taking(order, now), now)
        raise TypeError(f"{command} is not for an exchange")

    def _accept(self, job: _Taking, now: int) -> list[News]:
        refusal = self._refusal(job.orders)
        if refusal is not None:
            return [_update(now, order, "rejected", refusal) for order in job.orders]
        self._work(job)
        opened = _update(now, job.order, "open")
        return [opened, *(_update(now, order, "held") for order in job.held)]

    def _rest(self, take_profit: OrderRequest, stop_loss: OrderRequest, now: int) -> list[News]:
        refusal = self._refusal((take_profit, stop_loss))
        self._skip_to(now)
        last = self._last_price(now)
        if refusal is None and last is not None and last <= self.rules.price(stop_loss.price):
            refusal = "the stop would trigger at once"
        if refusal is not None:
            return [_update(now, o, "rejected", refusal) for o in (take_profit, stop_loss)]
        self._work(_Resting(take_profit, stop_loss, now))
        self._row = self._first_row_after(now)
        return [_update(now, o, "open") for o in (take_profit, stop_loss)]

    def _refusal(self, orders: tuple[OrderRequest, ...]) -> str | None:
        if self._job is not None:
            return "another order is working"
        for order in orders:
            if order.qty <= 0 or (order.kind != "market" and order.price <= 0):
                return "LOT_SIZE or PRICE_FILTER"
            if order.kind != "market" and order.qty * order.price < self.rules.min_notional:
                return "NOTIONAL"
        return None

    def _cancel(self, name: str, now: int) -> list[News] | None:
        """News of a cancel, or None when it comes too late."""
        job = self._job
        if job is None or name not in [order.client_order_id for order in job.orders]:
            return None
        if self._found is not None and self._found.certain_from < now:
            return None
        if isinstance(job, _Taking) and job.twin:
            return None
        self._work(None)
        return [_update(now, order, "canceled") for order in job.orders]

    # Fills

    def _work(self, job: _Taking | _Resting | None) -> None:
        self._job = job
        self._found = None
        self._searched = -1

    def peek(self, limit: int) -> Scheduled | None:
        """The next fill, if it is known at `limit` or before."""
        if self._job is None:
            return None
        while self._found is None and limit > self._searched and self._path is not None:
            path = self._path
            last = int(path.ts[-1]) if len(path) else -1
            self._found = self._search(path, limit, last)
            if self._found is None and last <= self._searched and last < limit:
                # Not before: until its last print a path may be asked for something else.
                self._turn_to(next(self._paths, None))
                self._searched = -1
        found = self._found
        return found if found is not None and found.ts <= limit else None

    def _search(self, path: PricePath, limit: int, last: int) -> Scheduled | None:
        """The job's fill on one path; without one, `_searched` says until when there is none."""
        job = self._job
        if isinstance(job, _Resting):
            return self._search_exits(path, job, limit, last)
        assert job is not None
        self._searched = max(self._searched, last)
        side = BUYER_TOOK if job.order.side == "buy" else SELLER_TOOK
        at = path.taker_fill(job.arrived, side)
        if at is None:
            return None
        index, ts, price = at
        return Scheduled(
            ts, certain_from=ts, early=False, index=index, price=price, order=job.order
        )

    def _search_exits(
        self, path: PricePath, job: _Resting, limit: int, last: int
    ) -> Scheduled | None:
        until = limit + _AHEAD
        stop_price = self.rules.price(job.stop_loss.price)
        target = self.rules.price(job.take_profit.price)
        touch = path.first_touch(self._row, until, target, stop_price)
        if touch.kind == OPEN:
            self._row = len(path)
            self._searched = last
            return None
        self._row = touch.index
        if touch.kind == TIME:
            self._searched = until - 1
            return None
        self._searched = last
        certain = int(path.starts[touch.index] if path.bars else path.ts[touch.index])
        if touch.kind == TAKE_PROFIT:
            ts = int(path.ts[touch.index])
            return Scheduled(ts, certain, path.bars, touch.index, target, job.take_profit)
        at = path.stop_fill(touch.index, stop_price)
        if at is None:
            # It triggered among the last prints of this path and sells on the next.
            self._job = _Taking(job.stop_loss, certain, twin=(job.take_profit,))
            return None
        index, ts, price = at
        return Scheduled(ts, certain, path.bars, index, price, job.stop_loss, touch.ambiguous)

    def execute(self, scheduled: Scheduled) -> list[News]:
        """Let a fill happen that `peek` found."""
        job, order = self._job, scheduled.order
        assert job is not None
        assert self._path is not None
        self._check_causal(scheduled, job.arrived)
        taker = order.leg != "take_profit"
        price, paid = self._priced(scheduled.price, order)
        held = job.held if isinstance(job, _Taking) else ()
        twin = [o for o in job.orders if o is not order and o not in held]
        self._work(None)
        if order.kind == "limit" and order.side == "buy" and paid > order.price:
            return [_update(scheduled.ts, o, "expired") for o in (*held, order)]
        rate = self._taker_rate if taker else self._maker_rate
        fill = Fill(
            scheduled.ts,
            order.client_order_id,
            len(self.executions) + 1,
            paid,
            order.qty,
            charge(order.qty * paid, rate),
            "taker" if taker else "maker",
        )
        self.executions.append(Execution(fill, abs(paid - price) * order.qty, scheduled.ambiguous))
        news: list[News] = [fill, _update(scheduled.ts, order, "filled")]
        news += [_update(scheduled.ts, o, "expired") for o in twin]
        if held:
            self._work(_Resting(held[0], held[1], job.arrived))
            self._row = scheduled.index + (0 if self._path.bars else 1)
            news += [_update(scheduled.ts, o, "open") for o in held]
        return news

    def _check_causal(self, scheduled: Scheduled, arrived: int) -> None:
        assert self._path is not None
        late_enough = scheduled.ts >= arrived if self._path.bars else scheduled.ts > arrived
        if not late_enough:
            raise FillBeforeOrder(
                f"{scheduled.order.client_order_id} reached the exchange at {arrived} "
                f"and would have filled at {scheduled.ts}",
                where=f"row {scheduled.index} of the price path",
                hint="times of a path must never decrease; build it with tick_path or bar_path",
            )

    def _priced(self, price: float, order: OrderRequest) -> tuple[int, int]:
        """The price on the path, and what the order pays or gets for it, in ticks."""
        if order.side == "buy":
            return self.rules.ticks_up(price), entry_price(self.rules, price, self._slippage_rate)
        ticks = self.rules.ticks_down(price)
        if order.leg == "take_profit":
            return ticks, ticks
        return ticks, max(1, ticks - charge(ticks, self._slippage_rate))

    # Where on the path

    def _skip_to(self, now: int) -> None:
        """Leave behind the paths that end before `now`."""
        while self._path is not None and (not len(self._path) or self._path.ts[-1] < now):
            following = next(self._paths, None)
            if following is None:
                return
            self._turn_to(following)

    def _turn_to(self, following: PricePath | None) -> None:
        """Go on with the next path; of the one left behind, the last price is kept."""
        if self._path is not None and len(self._path):
            self._left_at = float(self._path.price[-1])
        self._path, self._row = following, 0

    def _first_row_after(self, now: int) -> int:
        if self._path is None:
            return 0
        if self._path.bars:
            return int(np.searchsorted(self._path.starts, now))
        return int(np.searchsorted(self._path.ts, now, side="right"))

    def _last_price(self, now: int) -> float | None:
        """The last price printed at or before `now`, on this path or an earlier one."""
        if self._path is None:
            return self._left_at
        row = int(np.searchsorted(self._path.ts, now, side="right")) - 1
        return float(self._path.price[row]) if row >= 0 else self._left_at


def _update(ts: int, order: OrderRequest, status: Status, reason: str = "") -> OrderUpdate:
    return OrderUpdate(ts, order.client_order_id, status, reason=reason)
