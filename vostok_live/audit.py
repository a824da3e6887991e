"""The journal against the exchange's own books: nothing lost, nothing doubled, nothing invented.

The daemon compares as it goes on; this asks once more, from outside and from the first trade on,
and believes neither. It changes nothing, and may run while the daemon does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Self

from vostok_core.trading.rules import Rules
from vostok_live.daemon.plan import JOURNAL, Plan
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.gateway.news import OURS
from vostok_live.gateway.port import TRADES_PAGE, TradeReport
from vostok_live.journal.reader import Reader
from vostok_live.seams import Seams

_LOOKS = 5  # where a daemon trades meanwhile


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        orders: Orders that the journal asked for.
        fills: Fills that it holds.
        exchange_fills: Trades of our orders that the exchange holds.
        lost: Trade ids that the exchange has and the journal has not.
        doubled: Trade ids that the journal holds more than once, or the engine heard twice.
        invented: Trade ids that the journal has and the exchange has not.
        differing: Trade ids whose price, quantity or order differ.
        strays: Open orders with a name such as ours that the journal does not know.
        position: What the fills of the journal leave, in base.
        held: What the account has of the base, less what was there before the first start.
        open_orders: Our orders that rest at the exchange.
    """

    orders: int
    fills: int
    exchange_fills: int
    lost: tuple[int, ...]
    doubled: tuple[int, ...]
    invented: tuple[int, ...]
    differing: tuple[int, ...]
    strays: tuple[str, ...]
    position: Decimal
    held: Decimal
    open_orders: int

    @property
    def clean(self) -> bool:
        """Whether both say the same."""
        wrong = (self.lost, self.doubled, self.invented, self.differing, self.strays)
        return not any(wrong) and self.position == self.held


async def audit(plan: Plan, seams: Seams) -> Audit:
    """Compare the journal with the exchange.

    Args:
        plan: Whose journal, and where the exchange is.
        seams: The world.

    Raises:
        JournalError: There is no journal.
        GatewayError: The exchange can't be asked.
    """
    rules = Rules.of(plan.instrument)
    port = CcxtPort(plan.instrument, rules, plan.venue.endpoints, plan.key, seams=seams)
    journal = plan.state / JOURNAL
    try:
        await port.open()
        looks = 0
        while True:
            looks += 1
            before = _read(journal, plan)
            trades = await _trades(port)
            open_orders = await port.open_orders()
            balances = await port.balances()
            told = _read(journal, plan)
            # Where nothing happened in between, all is of one time.
            if told.seq == before.seq or looks == _LOOKS:
                break
        ours = await _ours(port, trades, told)
    finally:
        await port.close()
    base = balances.get(plan.instrument.id.base)
    known = told.fills.keys()
    return Audit(
        orders=len(told.orders),
        fills=len(known),
        exchange_fills=len(ours),
        lost=tuple(sorted(ours.keys() - known)),
        doubled=tuple(sorted(key for key, times in told.heard.items() if times > 1)),
        invented=tuple(sorted(known - {trade.trade_id for trade in trades})),
        differing=tuple(
            key
            for key, trade in sorted(ours.items())
            if key in known and (trade.side, trade.price, trade.qty) != told.fills[key]
        ),
        strays=tuple(
            order.client_order_id
            for order in open_orders
            if OURS.fullmatch(order.client_order_id) and order.client_order_id not in told.orders
        ),
        position=told.position,
        held=(Decimal(0) if base is None else base.total) - told.elsewhere,
        open_orders=sum(order.client_order_id in told.orders for order in open_orders),
    )


@dataclass(frozen=True)
class _Told:
    """What the journal says.

    Attributes:
        orders: Client order ids that were asked for.
        ids: Those of the exchange, as far as they were heard.
        fills: Side, price and quantity by trade id.
        heard: How often the engine heard of each trade.
        elsewhere: Base that was there before.
        base_fees: Commission that was charged in base.
        seq: Number of the newest event.
    """

    orders: frozenset[str]
    ids: frozenset[int]
    fills: Mapping[int, tuple[str, Decimal, Decimal]]
    heard: Mapping[int, int]
    elsewhere: Decimal
    base_fees: Decimal
    seq: int

    @classmethod
    def read(cls, reader: Reader, plan: Plan) -> Self:
        """The whole journal."""
        instrument = plan.instrument
        tick, step = instrument.price_tick, instrument.quantity_step
        orders = reader.order_names()
        runs = reader.runs()
        return cls(
            orders=frozenset(name for name, _ in orders),
            ids=frozenset(key for _, key in orders if key is not None),
            fills={
                trade_id: (side, price * tick, qty * step)
                for trade_id, side, price, qty in reader.own_trades(str(instrument.id))
            },
            heard=Counter(reader.heard_trades()),
            elsewhere=runs[-1].start.begins.elsewhere if runs else Decimal(0),
            base_fees=reader.commission(str(instrument.id), instrument.id.base),
            seq=reader.seq,
        )

    @property
    def position(self) -> Decimal:
        """Base that the fills leave."""
        signed = (qty if side == "buy" else -qty for side, _, qty in self.fills.values())
        return sum(signed, -self.base_fees)


def _read(journal: Path, plan: Plan) -> _Told:
    with Reader.open(journal) as reader:
        return _Told.read(reader, plan)


async def _ours(
    port: CcxtPort, trades: Sequence[TradeReport], told: _Told
) -> dict[int, TradeReport]:
    """Those of the account's trades that are of the daemon's orders, by trade id."""
    known = dict.fromkeys(told.ids, True)
    for order_id in {trade.order_id for trade in trades} - known.keys():
        order = await port.query_order(order_id=order_id)
        known[order_id] = order is not None and order.client_order_id in told.orders
    return {trade.trade_id: trade for trade in trades if known[trade.order_id]}


async def _trades(port: CcxtPort) -> list[TradeReport]:
    """Every trade of the account in the symbol."""
    found: list[TradeReport] = []
    next_id = 0
    while page := await port.my_trades(from_id=next_id):
        found += page
        next_id = page[-1].trade_id + 1
        if len(page) < TRADES_PAGE:
            break
    return found
