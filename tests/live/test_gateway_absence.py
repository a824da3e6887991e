"""What it takes to hold an order for absent, and what is in doubt."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.live.gateway_book import ENTRY, EXITS, NOW, again, ask, drive, make_book
from tests.live.gateway_server import order
from tests.live.gateway_venue import EPOCH, VenueAccount
from vostok_core.trading.commands import Place
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    Balance,
    MyTrades,
    OpenOrders,
    OrderReport,
    QueryList,
    QueryOrder,
    Question,
    Sendable,
    ServerTime,
    TradeReport,
    Unknown,
)
from vostok_live.gateway.reconcile import Expected, Standing, reconcile
from vostok_live.gateway.resolve import Proof, Resolver

# Proof of absence


class Exchange(VenueAccount):
    """Knows nothing of what it did, as its copies may, but for what is said."""

    shows = ""

    def order(self, name: str | None = None, order_id: int | None = None) -> OrderReport | None:
        by_id = order_id is not None and self.shows in ("trades", "order")
        return super().order(name, order_id) if by_id or self.shows == "order" else None

    def order_list(self, name: str) -> Any:
        return super().order_list(name) if self.shows == "list" else None

    def open(self) -> list[OrderReport]:
        return super().open() if self.shows == "open" else []

    def trades(self, from_id: int | None, order_id: int | None, page: int) -> list[TradeReport]:
        return super().trades(from_id, order_id, page) if self.shows == "trades" else []


class Search:
    """A resolver that looks for one request, and its time."""

    def __init__(self, command: Sendable, signed_ms: int | None, **proof: Any) -> None:
        self.account = Exchange()
        self.account.quote(10_000)
        self.book = make_book()
        self.book.sending(command)
        outcome = Unknown("timeout", self.account.now // 1_000)
        self.book.answered(command, outcome, NOW)
        self.seconds = 0.0
        self.resolver = Resolver(lambda: self.seconds, proof=Proof(**proof))
        names = tuple(self.book.orders)
        self.signed_ms = self.account.now // 1_000
        self.resolver.watch(names, self.signed_ms if signed_ms is not None else None)
        self.resolver.watch(names, 0)  # which is under way

    def look(self, at: float, asked: list[Question] | None = None) -> list[tuple[str, ...]]:
        """What is found absent by a look at a time, seconds after it was sent."""
        self.seconds = max(at, self.resolver.next_due(self.book) or at)
        self.account.now = EPOCH + int(at * 1e6)
        return drive(self.resolver.look(self.book), self.account, self.book, asked=asked).absent


def test_absence_takes_the_time_of_the_exchange_and_two_looks() -> None:
    search = Search(ENTRY, 1)
    for at in (0.3, 1.0, 5.1, 10.0, 16.9):
        assert search.look(at) == []
    assert search.look(17.1) == [], "the first look that counts"
    assert search.look(17.2) != [], "two looks, a second apart by the loop"
    assert search.resolver.unknown == []
    assert search.resolver.next_due(search.book) is None


def test_two_looks_are_a_second_apart() -> None:
    search = Search(ENTRY, 1)
    assert search.look(17.1) == []
    due = search.resolver.next_due(search.book)
    assert due is not None
    assert due >= search.seconds + 1.0


def test_all_is_asked_before_an_order_is_absent() -> None:
    search = Search(EXITS, 1)
    asked: list[Question] = []
    search.look(17.1, asked)
    asked.clear()
    assert search.look(19.0, asked) == [("vlx-2-t", "vlx-2-s")]
    kinds = [type(question) for question in asked]
    assert kinds[:3] == [ServerTime, QueryOrder, QueryOrder]
    assert set(kinds[3:]) == {QueryList, OpenOrders, MyTrades}


@pytest.mark.parametrize("command", [ENTRY, EXITS])
@pytest.mark.parametrize("first", [1.0, 16.0])
def test_after_a_restart_the_time_counts_from_then_on(command: Sendable, first: float) -> None:
    search = Search(command, None)
    assert search.look(first) == []
    assert search.look(17.9) == [], "its time may have been a second ahead"
    assert search.look(18.1) == []
    assert search.look(19.5) != []


@pytest.mark.parametrize(
    ("command", "shows"),
    [(ENTRY, "order"), (ENTRY, "trades"), (EXITS, "order"), (EXITS, "open"), (EXITS, "list")],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_any_sign_of_an_order_keeps_it_from_being_absent(
    command: Sendable, shows: str, *, restarted: bool
) -> None:
    search = Search(command, None if restarted else 1)
    account = search.account
    if command is EXITS:
        account.execute(Place(order("web", "entry", 1_000, 10_100)))
    if restarted and shows == "trades":
        assert search.book.strangers.cursor is None
    account.execute(command)
    account.shows = shows
    for at in (20.0, 30.0, 40.0, 50.0, 60.0):
        assert search.look(at) == []
    if shows != "list":
        assert search.resolver.unknown == []
    assert "absent" not in {order.status for order in search.book.orders.values()}


def test_a_look_that_is_given_up_proves_nothing() -> None:
    search = Search(ENTRY, 1)
    search.look(17.1)
    search.seconds += 30.0
    asking = search.resolver.look(search.book)
    question = next(asking)
    while not isinstance(question, MyTrades):
        question = asking.send(ask(search.account, question))
    asking.close()
    assert search.resolver.unknown == ["vlx-1-e"]


def test_the_questions_come_less_and_less_often() -> None:
    search = Search(ENTRY, 1)
    pauses = []
    for _ in range(8):
        due = search.resolver.next_due(search.book)
        assert due is not None
        pauses.append(due - search.seconds)
        search.seconds = due
        drive(search.resolver.look(search.book), search.account, search.book)
    assert pauses == [0.25, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


# Reconciliation


def standing(book: Book, account: VenueAccount, expected: Expected | None = None) -> Standing:
    return drive(reconcile(book, expected or Expected()), account, book)


def doubts(book: Book, account: VenueAccount, expected: Expected | None = None) -> list[str]:
    return [doubt.code for doubt in standing(book, account, expected).doubts]


def holding() -> tuple[VenueAccount, Book]:
    account, book = VenueAccount(), make_book()
    account.quote(10_000)
    book.sending(ENTRY)
    book.answered(ENTRY, account.execute(ENTRY), NOW)
    return account, book


def test_what_the_account_holds_is_compared_to_the_lot() -> None:
    account, book = holding()
    assert doubts(book, account) == []
    book.held += 1
    assert doubts(book, account) == ["position_mismatch"]
    assert doubts(book, account, Expected(tolerance=Decimal("0.001"))) == []
    assert doubts(book, account, Expected(elsewhere=Decimal("-0.001"))) == []


def test_commission_out_of_what_was_bought_is_a_doubt_while_it_is_held() -> None:
    class Thin(VenueAccount):
        def balances(self) -> dict[str, Balance]:
            return {"ABC": Balance(Decimal("0.9995"), Decimal(0))}

    account, book = holding()
    account.__class__ = Thin
    book.base_fees = Decimal("0.0005")
    assert doubts(book, account) == ["fees_in_base"]


def test_an_order_that_the_exchange_knows_no_more_is_a_doubt() -> None:
    account, book = holding()
    book.sending(EXITS)
    book.answered(EXITS, account.execute(EXITS), NOW)
    assert doubts(book, account) == []
    account.__class__ = Exchange
    assert "lost_order" in doubts(book, account)


def test_an_order_without_an_answer_is_lost_and_none_that_is_under_way() -> None:
    account, book = VenueAccount(), make_book()
    book.sending(EXITS)
    asked: list[Question] = []
    assert drive(reconcile(book, Expected()), account, book, asked=asked).lost == ()
    assert QueryOrder("vlx-2-t") not in asked
    assert asked[0] == ServerTime(), "clocks go apart"
    assert standing(again(book), account).lost == (("vlx-2-t", "vlx-2-s"),)
