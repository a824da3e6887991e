"""Reports in any order, twice, late or never: what the engine is told of each order, and of fills.

A real venue is the truth; what it reports is shuffled, repeated and lost, then asked for.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.live.gateway_book import ENTRY, EXITS, NOW, SALE, again, drive, make_book
from tests.live.gateway_server import order
from tests.live.gateway_venue import BNB, INSTRUMENT, MAKER, VenueAccount
from vostok_core.trading.commands import Alert, Cancel, Place, Replace
from vostok_core.trading.events import Fill
from vostok_core.trading.rules import rate_of
from vostok_live.gateway.fees import fee_atoms
from vostok_live.gateway.news import FillNews, News, OrderNews
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    Accepted,
    NeverSent,
    OrderReport,
    Rejected,
    Throttled,
    TradeReport,
    Unknown,
)
from vostok_live.gateway.reconcile import Expected, reconcile


def report(name: str, status: str, filled: str = "0", order_id: int = 7) -> OrderReport:
    return OrderReport(NOW, order_id, name, status, Decimal(filled))


def trade(
    trade_id: int, name: str | None = "vlx-1-e", qty: str = "1", order_id: int = 7, **changed: Any
) -> TradeReport:
    made = TradeReport(
        NOW, trade_id, order_id, name, "buy", Decimal(100), Decimal(qty), Decimal("0.001"), "BNB",
        maker=False, source="stream",
    )  # fmt: skip
    return replace(made, **changed)


def fills(news: list[News]) -> list[Fill]:
    return [each.fill for each in news if isinstance(each, FillNews)]


def updates(news: list[News]) -> list[tuple[str, int]]:
    made = [each.update for each in news if isinstance(each, OrderNews)]
    return [(update.status, update.filled) for update in made if update is not None]


def codes(news: list[News]) -> list[str]:
    return [each.code for each in news if isinstance(each, Alert)]


# What an outcome tells


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Rejected(-2010, "no money"), "rejected"),
        (Unknown("timeout", 1), "unknown"),
        (Throttled("enough", 3.0), "rejected"),
        (NeverSent("no way"), "absent"),
        (Accepted(), "unknown"),
    ],
)
def test_an_outcome_settles_what_was_sent(outcome: Any, status: str) -> None:
    book = make_book()
    book.sending(EXITS)
    assert not book.lost("vlx-2-t"), "its answer may still come"
    news = book.answered(EXITS, outcome, NOW)
    assert updates(news) == [(status, 0)] * 2
    assert book.lost("vlx-2-t") is (status == "unknown")
    assert book.answered(EXITS, outcome, NOW) == []


@pytest.mark.parametrize(
    "outcome", [Rejected(-2010, "no"), Unknown("timeout", 1), NeverSent("no way")]
)
def test_what_was_heard_before_the_answer_stays(outcome: Any) -> None:
    book = make_book()
    book.sending(ENTRY)
    book.hear(report("vlx-1-e", "PARTIALLY_FILLED", "0.4"), NOW)
    assert updates(book.answered(ENTRY, outcome, NOW)) == []
    assert book.orders["vlx-1-e"].status == "partial"


def test_a_half_done_replace_tells_of_the_half_that_was() -> None:
    book = make_book()
    book.sending(EXITS)
    book.answered(EXITS, Accepted((report("vlx-2-t", "NEW"), report("vlx-2-s", "NEW", "0", 8))), 0)
    command = Replace("vlx-2-s", SALE.order)
    book.sending(command)
    outcome = Rejected(-2010, "no", 409, reports=(report("vlx-2-s", "CANCELED", "0", 8),))
    assert updates(book.answered(command, outcome, NOW)) == [("canceled", 0), ("rejected", 0)]
    assert book.open_of("vlx-2-s") == ["vlx-2-t"]


# Fills


def test_a_fill_counts_once_by_its_trade_whoever_tells_it() -> None:
    book = make_book()
    book.sending(ENTRY)
    answer = Accepted((report("vlx-1-e", "FILLED", "1"),), (trade(50, source="answer"),))
    (fill,) = fills(book.answered(ENTRY, answer, NOW))
    assert fill == Fill(NOW, "vlx-1-e", 50, 10_000, 1_000, 500_000 // 10, "taker")
    assert fills(book.hear(trade(50), NOW)) == []
    assert fills(book.hear([trade(50, None, source="asked")], NOW)) == []
    assert book.held == 1_000
    assert book.counts["known_trades"] == 2
    assert fills(again(book).hear(trade(50), NOW)) == [], "nor after a restart"


def test_what_is_executed_is_never_taken_for_a_fill() -> None:
    book = make_book()
    book.sending(ENTRY)
    news = book.hear(report("vlx-1-e", "FILLED", "1"), NOW)
    assert fills(news) == []
    assert book.held == 0
    assert book.incomplete() == [("vlx-1-e", 7)]
    assert not book.orders["vlx-1-e"].settled


def test_a_fill_below_the_cursor_is_asked_for_by_its_order() -> None:
    account, book = sold_out()
    first, second = account.trades(0, None, 10)[:2]
    book.hear(replace(second, client_order_id="vlx-1-e"), NOW)
    book = again(book)
    assert book.strangers.cursor == second.trade_id + 1
    drive(reconcile(book, Expected()), account, book)
    assert set(book.orders["vlx-1-e"].trade_ids) >= {first.trade_id, second.trade_id}
    assert book.incomplete() == []


def test_a_sale_that_is_heard_before_the_purchase_waits_for_it() -> None:
    book = make_book()
    book.sending(ENTRY)
    book.sending(SALE)
    early = trade(60, "vlx-3-m", order_id=9, side="sell")
    assert fills(book.hear(early, NOW)) == []
    assert [f.trade_id for f in fills(book.hear(trade(50), NOW))] == [50, 60]
    assert book.held == 0


def test_a_status_never_goes_back() -> None:
    book = make_book()
    book.sending(ENTRY)
    book.hear(report("vlx-1-e", "CANCELED", "0.5"), NOW)
    assert updates(book.hear(report("vlx-1-e", "NEW"), NOW)) == []
    assert updates(book.hear(report("vlx-1-e", "PARTIALLY_FILLED", "0.4"), NOW)) == []
    assert updates(book.hear(report("vlx-1-e", "PARTIALLY_FILLED", "0.7"), NOW)) == [
        ("canceled", 700)
    ]


def test_an_order_keeps_its_name_where_its_cancel_has_another() -> None:
    book = make_book()
    book.sending(ENTRY)
    book.hear(report("vlx-1-e", "NEW"), NOW)
    assert updates(book.hear(report("a-cancel", "CANCELED"), NOW)) == [("canceled", 0)]
    assert book.counts["foreign_orders"] == 0


@pytest.mark.parametrize("changed", [{"qty": Decimal("0.0005")}, {"price": Decimal("1.001")}])
def test_what_cant_be_counted_is_told_once_and_never_rounded(changed: Any) -> None:
    book = make_book()
    book.sending(ENTRY)
    assert codes(book.hear(trade(50, **changed), NOW)) == ["off_grid"]
    assert codes(book.hear(trade(50, **changed), NOW)) == []
    assert book.held == 0
    assert len(book.off_grid) == 1
    assert codes(book.hear(report("vlx-1-e", "MELTED"), NOW)) == ["off_grid"]


# Fees


@pytest.mark.parametrize(
    ("commission", "asset", "atoms", "estimated"),
    [
        ("0", "XXX", 0, False),
        ("0.1", "USDT", 10_000, False),
        ("0.000000001", "USDT", 1, False),  # rounded up
        ("0.001", "ABC", 10_000, False),
        ("0.0002", "BNB", 10_000, False),
        ("5", "XXX", 10_000, True),  # a tenth of a percent of what was traded
        ("5", "", 10_000, True),
    ],
)
def test_commission_in_any_asset_is_worth_atoms_of_quote(
    commission: str, asset: str, atoms: int, estimated: bool
) -> None:
    made = trade(1, commission=Decimal(commission), commission_asset=asset)
    price_of = {"BNB": BNB}.get
    assert fee_atoms(made, INSTRUMENT, price_of, rate_of(10)) == (atoms, estimated)


def test_commission_in_base_is_kept_account_of_and_told() -> None:
    book = make_book()
    book.sending(ENTRY)
    news = book.hear(trade(50, commission=Decimal("0.001"), commission_asset="ABC"), NOW)
    assert codes(news) == ["fee_in_base"]
    assert len(fills(news)) == 1
    assert (book.held, book.base_fees) == (1_000, Decimal("0.001"))
    assert again(book).base_fees == Decimal("0.001")


# Who is not ours


def test_orders_of_others_are_nobodys_business_but_their_trades_are() -> None:
    book = make_book()
    book.strangers.swept([])
    assert book.hear(report("web_1", "NEW", order_id=3), NOW) == []
    assert book.counts["foreign_orders"] == 1
    assert codes(book.hear(trade(50, "web_1", order_id=3), NOW)) == ["foreign_trade"]
    assert codes(book.hear(trade(50, None, order_id=3, source="asked"), NOW)) == []
    assert len(book.strangers.trades) == 1
    book.acknowledge()
    assert codes(book.hear(trade(50, None, order_id=3, source="asked"), NOW)) == []
    assert book.strangers.trades == []
    assert book.held == 0


def test_an_order_with_an_id_like_ours_that_nobody_sent_is_told_until_it_ends() -> None:
    book = make_book()
    assert codes(book.hear(report("vly-9-t", "NEW"), NOW)) == ["stray_order"]
    assert codes(book.hear(report("vly-9-t", "NEW"), NOW)) == []
    assert list(book.strangers.strays) == ["vly-9-t"]
    book.hear(report("vly-9-t", "CANCELED"), NOW)
    assert not book.strangers.strays


def test_a_trade_of_nobody_knows_whom_waits_to_be_told() -> None:
    book = make_book()
    book.strangers.swept([])
    book.sending(ENTRY)
    assert book.hear([trade(50, None, source="asked")], NOW) == []
    assert book.strangers.unplaced() == [7]
    news = book.hear(report("vlx-1-e", "FILLED", "1"), NOW)
    assert [fill.trade_id for fill in fills(news)] == [50]
    assert book.strangers.unplaced() == []


def test_trades_from_before_the_daemon_are_left_alone() -> None:
    book = make_book()
    assert book.hear([trade(50, None, source="asked")], NOW) == []
    assert book.strangers.unplaced() == []
    assert book.counts["old_trades"] == 1


# Late orders


def test_an_order_that_was_held_for_absent_is_called_back() -> None:
    book = make_book()
    book.sending(EXITS)
    book.answered(EXITS, Unknown("timeout", 1), NOW)
    book.absent(["vlx-2-t", "vlx-2-s"], NOW)
    book = again(book)
    assert codes(book.hear(report("vlx-2-s", "NEW"), NOW)) == ["late_order"]
    assert codes(book.hear(report("vlx-2-s", "NEW"), NOW)) == []
    assert set(book.to_recall()) == {"vlx-2-t", "vlx-2-s"}
    book.hear([report("vlx-2-s", "CANCELED"), report("vlx-2-t", "CANCELED", order_id=8)], NOW)
    assert book.to_recall() == []
    assert book.orders["vlx-2-s"].status == "absent", "the engine has gone on without it"


def test_a_late_order_that_filled_is_told_to_the_engine() -> None:
    book = make_book()
    book.sending(ENTRY)
    book.answered(ENTRY, Unknown("timeout", 1), NOW)
    book.absent(["vlx-1-e"], NOW)
    book.hear(report("vlx-1-e", "FILLED", "1"), NOW)
    assert book.incomplete() == [("vlx-1-e", 7)]
    assert [f.qty for f in fills(book.hear(trade(50), NOW))] == [1_000]
    assert book.incomplete() == []


# Against a venue


def sold_out() -> tuple[VenueAccount, Book]:
    """What a trade brings: two fills, exits, a cancel, a sale in part; nothing of it was heard."""
    account, book = VenueAccount(), make_book()
    account.quote(10_000, bid_lots=400, ask_lots=600)
    VenueAccount(account.venue, MAKER).execute(Place(order("m", "take_profit", 10_000, 10_050)))
    for command in (ENTRY, EXITS, Cancel("vlx-2-t"), SALE):
        account.now += 1_000_000
        book.sending(command)
        assert isinstance(account.execute(command), Accepted)
    book.in_flight.clear()
    assert len(account.trades(0, None, 10)) == 3
    return account, book


def told(book: Book) -> list[Any]:
    return [
        (o.client_order_id, o.status, o.reported, o.filled, sorted(o.trade_ids))
        for o in book.orders.values()
    ]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_order_repetition_or_loss_leads_to_the_same_end(data: st.DataObject) -> None:
    account, book = sold_out()
    truth = list(account.stream)
    reports: list[Any] = [e.order for e in truth] + [e.trade for e in truth if e.trade is not None]
    heard = data.draw(st.lists(st.sampled_from(reports), max_size=2 * len(reports)))
    news: list[News] = []
    for each in heard:
        if data.draw(st.integers(0, 9)) == 0:
            book = again(book)
        news += book.hear(each, NOW)
    standing = drive(reconcile(book, Expected()), account, book, news)
    assert standing.doubts == ()
    assert standing.lost == ()
    _, plain = sold_out()
    drive(reconcile(plain, Expected()), account, plain)
    assert told(book) == told(plain)
    assert book.held == plain.held == 600
    ids = [(fill.client_order_id, fill.trade_id) for fill in fills(news)]
    assert len(set(ids)) == len(ids), "a fill was told twice"
    assert len(ids) == len(account.trades(0, None, 1_000))
