"""What was learned of a request of several orders, told in part before the daemon died."""

from __future__ import annotations

from dataclasses import replace

from tests.live.gateway_book import ENTRY, EXITS, NOW, again, drive, make_book
from tests.live.gateway_venue import EPOCH, VenueAccount
from vostok_core.trading.commands import PlaceList
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import Accepted, Unknown
from vostok_live.gateway.resolve import Resolver

LIST = PlaceList(
    replace(ENTRY.order, client_order_id="vlx-1-e"),
    replace(EXITS.take_profit, client_order_id="vlx-1-t"),
    replace(EXITS.stop_loss, client_order_id="vlx-1-s"),
)
NAMES = ("vlx-1-e", "vlx-1-t", "vlx-1-s")


def absent(book: Book, account: VenueAccount) -> list[tuple[str, ...]]:
    """What is found absent within a minute."""
    seconds = 0.0
    resolver = Resolver(lambda: seconds)
    resolver.watch(NAMES, EPOCH // 1_000)
    found: list[tuple[str, ...]] = []
    while seconds < 60.0 and not found:
        account.now = EPOCH + int(seconds * 1e6)
        found = drive(resolver.look(book), account, book).absent
        seconds += 1.0
    return found


def unanswered() -> Book:
    """A book with a list that got no answer."""
    book = make_book()
    book.sending(LIST)
    book.answered(LIST, Unknown("timeout", EPOCH // 1_000), NOW)
    return book


def test_twins_of_an_order_that_is_known_to_be_absent_are_proven_absent_too() -> None:
    book = again(_with_the_first_told(unanswered()))
    assert book.orders["vlx-1-e"].status == "absent"
    assert book.lost("vlx-1-t")
    assert absent(book, VenueAccount()) == [NAMES]
    book.absent(NAMES, NOW)
    assert {book.orders[name].status for name in NAMES} == {"absent"}


def test_twins_of_an_order_that_exists_never_are() -> None:
    account = VenueAccount()
    account.quote(10_000)
    book = unanswered()
    assert isinstance(account.execute(LIST), Accepted)
    found = account.order("vlx-1-e")
    assert found is not None
    book.hear(found, NOW)
    book = again(book)
    for name in NAMES[1:]:  # the exchange's copies do not show them yet
        assert book.lost(name)
    assert absent(book, VenueAccount()) == []


def test_an_answer_that_is_older_than_the_stream_is_no_news() -> None:
    account = VenueAccount()
    account.quote(10_000)
    book = make_book()
    book.sending(LIST)
    answer = account.execute(LIST)
    assert isinstance(answer, Accepted)
    for name in NAMES:
        report = account.order(name)
        assert report is not None
        book.hear(replace(report, status="EXPIRED"), NOW)
    news = book.answered(LIST, answer, NOW)
    assert [each for each in news if hasattr(each, "report")] == []
    assert book.counts["stale_reports"] == 3


def _with_the_first_told(book: Book) -> Book:
    """The book of an engine that heard of the first order only that it is absent."""
    book.orders["vlx-1-e"].update("absent", 0)
    return book
