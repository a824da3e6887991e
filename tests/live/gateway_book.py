"""A book as tests want it, and a venue that answers what it asks."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from tests.live.gateway_server import order
from tests.live.gateway_venue import BNB, EPOCH, INSTRUMENT, RULES, VenueAccount
from vostok_core.trading.commands import Place, PlaceList
from vostok_core.trading.rules import rate_of
from vostok_live.gateway.news import News
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    Answer,
    Balances,
    MyTrades,
    OpenOrders,
    QueryList,
    QueryOrder,
    QueryOrderId,
    Question,
    ServerTime,
)

T = TypeVar("T")
NOW = EPOCH


def make_book(**changed: Any) -> Book:
    options: dict[str, Any] = {
        "orders": {}, "held": 0, "price_of": {"BNB": BNB}.get, "fee_rate": rate_of(10),
    } | changed  # fmt: skip
    return Book(INSTRUMENT, RULES, **options)


def again(book: Book, **changed: Any) -> Book:
    """The book after a restart."""
    return make_book(orders=book.orders, held=book.held, base_fees=book.base_fees, **changed)


ENTRY = Place(order("vlx-1-e", "entry", 1_000, 10_100))
EXITS = PlaceList(
    None,
    order("vlx-2-t", "take_profit", 1_000, 10_500),
    order("vlx-2-s", "stop_loss", 1_000, 9_500),
)
SALE = Place(order("vlx-3-m", "market", 1_000))


def ask(account: VenueAccount, question: Question) -> Answer:
    match question:
        case ServerTime():
            return account.now // 1_000
        case QueryOrder(name):
            return account.order(name)
        case QueryOrderId(order_id):
            return account.order(order_id=order_id)
        case QueryList(name):
            return account.order_list(name)
        case OpenOrders():
            return account.open()
        case MyTrades(from_id, order_id):
            return account.trades(from_id, order_id, 1_000)
        case Balances():
            return account.balances()


def drive(
    asking: Generator[Question, Answer, T],
    account: VenueAccount,
    book: Book,
    news: list[News] | None = None,
    asked: list[Question] | None = None,
) -> T:
    try:
        question = next(asking)
        while True:
            if asked is not None:
                asked.append(question)
            answer = ask(account, question)
            heard = book.hear(answer, NOW)
            if news is not None:
                news += heard
            question = asking.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
