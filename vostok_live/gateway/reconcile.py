"""All that is known of orders and of what is held, against all that the exchange says.

Done at the start, after every interruption of the user stream, and from time to time. What the
exchange says of our orders is told to the engine like any other news and brings it to the
exchange's truth. What can't be told so is a doubt: something happened in the account that is not of
this daemon's doing. A doubt blocks entries; what protects a position goes on.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    Answer,
    Balance,
    Balances,
    OpenOrders,
    QueryOrder,
    Question,
    ServerTime,
)
from vostok_live.gateway.resolve import fills, sweep

_LOOKS = 3  # at the balances, where trades go on meanwhile

DoubtCode = Literal[
    "position_mismatch", "fees_in_base", "fee_asset_low", "foreign_trade", "stray_order",
    "lost_order", "off_grid",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason not to open a position.

    Attributes:
        code: Its kind.
        what: What is wrong.
        hint: What a person can do about it.
    """

    code: DoubtCode
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What the account should hold besides what the book knows of.

    Attributes:
        elsewhere: Base that was there before, and is not the engine's.
        tolerance: Base by which the account may differ: dust, too little to be sold.
        fee_asset: What commission is to be paid in; None where it doesn't matter.
        fee_reserve: The least of it that must be free.
    """

    elsewhere: Decimal = Decimal(0)
    tolerance: Decimal = Decimal(0)
    fee_asset: str | None = None
    fee_reserve: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand.

    Attributes:
        doubts: Reasons not to open a position.
        lost: Requests, by the names of their orders, that nobody knows the fate of.
        balances: What the account has, by asset.
    """

    doubts: tuple[Doubt, ...]
    lost: tuple[tuple[str, ...], ...]
    balances: Mapping[str, Balance]


def reconcile(book: Book, expected: Expected) -> Generator[Question, Answer, Standing]:
    """Ask all there is to ask, the time too: clocks go apart, and requests are signed by it.

    Every answer must have been told to the book before it is sent to the generator.
    """
    yield ServerTime()
    yield OpenOrders()
    vanished: list[str] = []
    for order in book.unsettled():
        name = order.client_order_id
        if name not in book.in_flight:
            known = order.status not in ("sent", "unknown")
            found = yield QueryOrder(name)
            if found is None and known and not order.terminal:
                vanished.append(name)
    for name in dict.fromkeys(name for name, _ in book.incomplete()):
        yield from fills(book, name)
    balances, comparable = yield from _balances(book)
    doubts = _about_orders(book, vanished)
    if comparable:
        doubts += _about_base(book, balances, expected)
    doubts += _about_fees(balances, expected)
    lost = [
        book.together(o.client_order_id) for o in book.unsettled() if book.lost(o.client_order_id)
    ]
    return Standing(tuple(doubts), tuple(dict.fromkeys(lost)), balances)


def _balances(book: Book) -> Generator[Question, Answer, tuple[Mapping[str, Balance], bool]]:
    """Balances, and whether no trade came between them and what is known of trades."""
    yield from sweep(book)
    balances: Mapping[str, Balance] = {}
    for _ in range(_LOOKS):
        before = book.fills, book.counts["foreign_trades"]
        answer = yield Balances()
        assert isinstance(answer, Mapping)
        balances = answer
        yield from sweep(book)
        if before == (book.fills, book.counts["foreign_trades"]):
            return balances, True
    return balances, False


def _about_orders(book: Book, vanished: list[str]) -> list[Doubt]:
    doubts = [
        Doubt(
            "lost_order",
            f"the exchange knew {name} and finds it no more",
            "look for it at the exchange; if it is gone for good, flatten and start anew",
        )
        for name in vanished
    ]
    foreign = book.strangers.trades
    if foreign:
        newest = foreign[-1]
        doubts.append(
            Doubt(
                "foreign_trade",
                f"{len(foreign)} trades of other orders, the last {newest.side} {newest.qty}",
                "trade this symbol from another account; then acknowledge",
            )
        )
    doubts += [
        Doubt(
            "stray_order",
            f"{name} has an id such as ours, and the journal does not know it",
            "put the journal back that it was written in, or cancel it; then acknowledge",
        )
        for name in book.strangers.strays
    ]
    doubts += [
        Doubt("off_grid", f"{what} can't be counted", "compare the symbol's filters; acknowledge")
        for what in book.off_grid
    ]
    return doubts


def _about_base(book: Book, balances: Mapping[str, Balance], expected: Expected) -> list[Doubt]:
    instrument = book.instrument
    base, step = instrument.id.base, instrument.quantity_step
    there = balances[base].total if base in balances else Decimal(0)
    ours = book.held * step

    def off(amount: Decimal) -> bool:
        return abs(amount) >= step and abs(amount) > expected.tolerance

    missing = ours + expected.elsewhere - book.base_fees - there
    if off(missing):
        return [
            Doubt(
                "position_mismatch",
                f"the account holds {there} {base}, and should hold {there + missing}",
                "look for trades, transfers and deposits; mend it, or flatten and start anew",
            )
        ]
    if book.base_fees and ours > there:
        return [
            Doubt(
                "fees_in_base",
                f"commission took {book.base_fees} {base} of what was bought",
                f"buy {ours - there} {base}, so that all can be sold, and BNB for commission",
            )
        ]
    return []


def _about_fees(balances: Mapping[str, Balance], expected: Expected) -> list[Doubt]:
    asset = expected.fee_asset
    if asset is None:
        return []
    free = balances[asset].free if asset in balances else Decimal(0)
    if free >= expected.fee_reserve:
        return []
    return [
        Doubt(
            "fee_asset_low",
            f"{free} {asset} is free for commission, and {expected.fee_reserve} is the least",
            f"buy {asset}: without it commission is taken from what is bought",
        )
    ]
