"""Single orders at the venue: every type, every way to end, every refusal, and what is told."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from vostok_core.errors import UnknownName, UsageError
from vostok_core.market.instrument import Instrument
from vostok_exchange import queries
from vostok_exchange.accounts import Balance, Rates
from vostok_exchange.events import (
    AccountPosition,
    AggTrade,
    BookTop,
    DepthChange,
    Event,
    ExecutionReport,
    Trade,
)
from vostok_exchange.matching import Top
from vostok_exchange.orders import (
    NO_SUCH_ORDER,
    OTHER_CLIENT_ID,
    UNKNOWN_ORDER,
    Canceled,
    OrderRequest,
    Placed,
    PreventedMatch,
    Rejection,
    Replaced,
)
from vostok_exchange.symbols import UNIT
from vostok_exchange.venue import Venue

Send = Callable[..., OrderRequest]
CENT = UNIT // 100


def told(events: list[Event]) -> list[tuple[int, str, str, int, int]]:
    """Account, execution, status, last and total lots of each execution report."""
    return [
        (one.uid, one.execution, one.order.status, one.last_qty, one.order.filled)
        for one in events
        if isinstance(one, ExecutionReport)
    ]


def only(events: list[Event], kind: type) -> list:
    return [one for one in events if isinstance(one, kind)]


def placed(venue: Venue, uid: int, request: OrderRequest, now: int = 1) -> Placed:
    answer, _ = venue.place(uid, request, now)
    assert isinstance(answer, Placed), answer
    return answer


def holds(venue: Venue, uid: int, asset: str) -> tuple[int, int]:
    """Free and locked, in hundredths of an asset."""
    balance = venue.account(uid).of(asset)
    assert balance.free % CENT == balance.locked % CENT == 0
    return balance.free // CENT, balance.locked // CENT


def test_a_limit_order_rests_and_then_trades_at_its_price(venue: Venue, order: Send) -> None:
    answer, events = venue.place(2, order("SELL", "LIMIT", "2", "101", cid="ask"), 50)
    assert isinstance(answer, Placed)
    assert answer.fills == ()
    assert (answer.order.order_id, answer.order.status, answer.order.working_time) == (1, "NEW", 50)
    assert told(events) == [(2, "NEW", "NEW", 0, 0)]
    assert events[1:] == [
        AccountPosition(2, 50, (("ABC", 98 * UNIT, 2 * UNIT),)),
        DepthChange("ABCUSDT", 50, 1, 1, {}, {10_100: 2_000}),
        BookTop("ABCUSDT", 50, 1, Top(None, 0, 10_100, 2_000)),
    ]

    answer, events = venue.place(1, order("BUY", "LIMIT", "0.5", "101.50"), 60)
    assert isinstance(answer, Placed)
    assert answer.order.status == "FILLED"
    # 50.50 traded, a thousandth of it less a quarter, at 500 a BNB.
    fill = answer.fills[0]
    assert (fill.trade_id, fill.price, fill.qty) == (1_000, 10_100, 500)
    assert (fill.commission_asset, fill.commission) == ("BNB", 7_575 * 10**8)
    assert told(events) == [
        (1, "NEW", "NEW", 0, 0),
        (1, "TRADE", "FILLED", 500, 500),
        (2, "TRADE", "PARTIALLY_FILLED", 500, 500),
    ]
    new, taker, maker = only(events, ExecutionReport)
    assert (new.working, taker.working, maker.working) == (True, False, True)
    assert (taker.maker, maker.maker) == (False, True)
    assert (taker.trade_id, maker.trade_id, new.trade_id) == (1_000, 1_000, -1)
    assert (taker.last_price, taker.order.quote_filled) == (10_100, 10_100 * 500)
    assert (maker.client_order_id, maker.orig_client_order_id) == ("ask", "")
    # Account 2 has no BNB: a thousandth of what it received.
    assert (maker.commission_asset, maker.commission) == ("USDT", 505 * UNIT // 10_000)
    assert [one.execution_id for one in (new, taker, maker)] == [2, 3, 4]
    assert only(events, Trade) == [Trade("ABCUSDT", 60, 1_000, 10_100, 500, False)]
    assert only(events, AggTrade) == [
        AggTrade("ABCUSDT", 60, 1_000, 10_100, 500, 1_000, 1_000, False)
    ]
    assert holds(venue, 1, "USDT") == (994_950, 0)
    assert venue.account(1).of("ABC") == Balance(100 * UNIT + UNIT // 2, 0)
    assert venue.account(2).of("ABC") == Balance(98 * UNIT, 3 * UNIT // 2)
    assert venue.account(2).of("USDT").free == 10_000 * UNIT + 5_050 * CENT - maker.commission
    assert only(events, AccountPosition)[0].balances[-1] == (
        "BNB",
        10 * UNIT - 7_575 * 10**8,
        0,
    )


def test_only_what_changes_the_best_prices_is_told_as_the_top(venue: Venue, order: Send) -> None:
    for price, tops in (("99", 1), ("98", 0), ("99", 1), ("99.50", 1), ("97", 0)):
        _, events = venue.place(1, order("BUY", "LIMIT", "1", price), 1)
        assert len(only(events, BookTop)) == tops
        assert len(only(events, DepthChange)) == 1
    assert only(venue.place(1, order("BUY", "STOP_LOSS", "1", stop="101"), 1)[1], DepthChange) == []


def test_who_came_first_at_the_best_price_trades_first(venue: Venue, order: Send) -> None:
    for price, cid in (("101", "c"), ("100.50", "a"), ("100.50", "b")):
        placed(venue, 2, order("SELL", "LIMIT", "1", price, cid=cid))
    answer, events = venue.place(1, order("BUY", "MARKET", "2.5"), 2)
    assert isinstance(answer, Placed)
    makers = [one for one in only(events, ExecutionReport) if one.maker]
    assert [(one.client_order_id, one.last_qty) for one in makers] == [
        ("a", 1_000),
        ("b", 1_000),
        ("c", 500),
    ]
    assert [fill.price for fill in answer.fills] == [10_050, 10_050, 10_100]
    assert only(events, AggTrade) == [
        AggTrade("ABCUSDT", 2, 1_000, 10_050, 2_000, 1_000, 1_001, False),
        AggTrade("ABCUSDT", 2, 1_001, 10_100, 500, 1_002, 1_002, False),
    ]
    assert only(events, DepthChange) == [
        DepthChange("ABCUSDT", 2, 4, 6, {}, {10_050: 0, 10_100: 500})
    ]


@pytest.mark.parametrize(
    ("kind", "tif", "price", "status", "filled", "reason"),
    [
        ("LIMIT", "IOC", "100", "EXPIRED", 1_000, "UNFILLED_IOC_QUANTITY_EXPIRED"),
        ("LIMIT", "IOC", "99", "EXPIRED", 0, "UNFILLED_IOC_QUANTITY_EXPIRED"),
        ("LIMIT", "FOK", "100", "EXPIRED", 0, "UNFILLED_FOK_ORDER_EXPIRED"),
        ("LIMIT", "FOK", "101", "FILLED", 1_500, "NONE"),
        ("LIMIT", "GTC", "100", "PARTIALLY_FILLED", 1_000, "NONE"),
        ("MARKET", None, None, "FILLED", 1_500, "NONE"),
    ],
)
def test_what_is_left_expires_or_rests(
    venue: Venue,
    order: Send,
    kind: str,
    tif: str,
    price: str,
    status: str,
    filled: int,
    reason: str,
) -> None:
    placed(venue, 2, order("SELL", "LIMIT", "1", "100"))
    placed(venue, 2, order("SELL", "LIMIT", "1", "101"))
    answer, events = venue.place(1, order("BUY", kind, "1.5", price, tif=tif), 2)
    assert isinstance(answer, Placed)
    after = answer.order
    assert (after.status, after.filled, after.expiry_reason) == (status, filled, reason)
    last = [one for one in only(events, ExecutionReport) if one.uid == 1][-1]
    expected = {"EXPIRED": "EXPIRED", "FILLED": "TRADE", "PARTIALLY_FILLED": "TRADE"}[status]
    assert (last.execution, last.order.expiry_reason) == (expected, reason)
    resting = status == "PARTIALLY_FILLED"
    assert last.working == resting
    trades = [one for one in only(events, ExecutionReport) if one.uid == 1 and one.trade_id >= 0]
    assert not any(one.working for one in trades if not resting)
    assert holds(venue, 1, "USDT")[1] == (5_000 if resting else 0)
    assert venue.listing("ABCUSDT").book.top().bid == (10_000 if resting else None)


def test_a_market_order_ends_where_the_book_does(venue: Venue, order: Send) -> None:
    answer, _ = venue.place(1, order("SELL", "MARKET", "1"), 1)
    assert isinstance(answer, Placed)
    assert (answer.order.status, answer.order.filled) == ("EXPIRED", 0)
    placed(venue, 2, order("BUY", "LIMIT", "1", "99"))
    answer, events = venue.place(1, order("SELL", "MARKET", "3"), 2)
    assert isinstance(answer, Placed)
    assert (answer.order.status, answer.order.expiry_reason) == (
        "EXPIRED",
        "INSUFFICIENT_LIQUIDITY",
    )
    assert told(events)[-1] == (1, "EXPIRED", "EXPIRED", 0, 1_000)
    assert holds(venue, 1, "ABC") == (9_900, 0)


def test_a_market_order_by_quote_buys_whole_lots(venue: Venue, order: Send) -> None:
    placed(venue, 2, order("SELL", "LIMIT", "1", "100"))
    placed(venue, 2, order("SELL", "LIMIT", "1", "101"))
    answer = placed(venue, 1, order("BUY", "MARKET", None, quote="150"))
    # 50 buy 0.495 at 101, and 0.005 is left over.
    assert (answer.order.status, answer.order.qty, answer.order.filled) == ("FILLED", 1_495, 1_495)
    assert answer.order.quote_qty == 150 * UNIT
    assert venue.account(1).of("USDT") == Balance((9_850 * 1_000 + 5) * UNIT // 1_000, 0)
    answer = placed(venue, 1, order("BUY", "MARKET", None, quote="200"))
    assert (answer.order.status, answer.order.filled) == ("EXPIRED", 505)
    assert holds(venue, 1, "USDT")[1] == 0


def test_a_market_order_by_quote_needs_a_book_and_a_lot(
    instrument: Instrument, order: Send
) -> None:
    dear = Venue({})
    dear.list_symbol(instrument, last_price=Decimal(100_000))
    dear.open_account(1, {"USDT": Decimal(1_000)})
    dear.open_account(2, {"ABC": Decimal(1)})
    nobody = Rejection(-2010, "Order book liquidity is less than symbol minimum quantity.")
    assert dear.place(1, order("BUY", "MARKET", None, quote="99"), 1)[0] == nobody
    placed(dear, 2, order("SELL", "LIMIT", "0.001", "100000"))
    small = dear.place(1, order("BUY", "MARKET", None, quote="99"), 2)[0]
    assert small == Rejection(-1013, "Filter failure: LOT_SIZE")
    assert placed(dear, 1, order("BUY", "MARKET", None, quote="100"), 3).order.filled == 1


def test_a_market_order_by_quote_is_sized_when_its_turn_comes(venue: Venue, order: Send) -> None:
    placed(venue, 2, order("SELL", "LIMIT", "1", "100"))
    own = placed(venue, 1, order("SELL", "LIMIT", "1", "101")).order.order_id
    placed(venue, 2, order("SELL", "LIMIT", "10", "110"))
    # Without its own order in the way, it reaches the ask at 110.
    by_quote = order("BUY", "MARKET", None, quote="300", stp="EXPIRE_TAKER")
    answer, _ = venue.cancel_replace(1, by_quote, 2, mode="STOP_ON_FAILURE", order_id=own)
    assert isinstance(answer, Replaced)
    assert isinstance(answer.placed, Placed)
    assert (answer.placed.order.status, answer.placed.order.filled) == ("FILLED", 2_818)


TRIGGERS = [
    ("SELL", "STOP_LOSS", "99", True),
    ("SELL", "STOP_LOSS", "100", False),
    ("BUY", "STOP_LOSS", "101", True),
    ("BUY", "STOP_LOSS", "100", False),
    ("SELL", "TAKE_PROFIT", "101", True),
    ("SELL", "TAKE_PROFIT", "100", False),
    ("BUY", "TAKE_PROFIT", "99", True),
    ("BUY", "TAKE_PROFIT", "100", False),
]


@pytest.mark.parametrize(("side", "kind", "stop", "waits"), TRIGGERS)
@pytest.mark.parametrize("limit", [False, True])
def test_a_stop_price_lies_on_the_far_side_of_the_last_price(
    venue: Venue, order: Send, side: str, kind: str, stop: str, *, waits: bool, limit: bool
) -> None:
    request = (
        order(side, f"{kind}_LIMIT", "1", "100", stop=stop)
        if limit
        else order(side, kind, "1", stop=stop)
    )
    answer, events = venue.place(1, request, 3)
    if waits:
        assert isinstance(answer, Placed)
        assert (answer.order.status, answer.order.working_time) == ("NEW", -1)
        report = events[0]
        assert isinstance(report, ExecutionReport)
        assert (report.execution, report.working) == ("NEW", False)
        need = 100 if side == "SELL" else 10_000 if limit else int(stop) * 100
        assert holds(venue, 1, "ABC" if side == "SELL" else "USDT")[1] == need
        assert venue.listing("ABCUSDT").book.depth(9) == ([], [])
    else:
        assert isinstance(answer, Rejection)
        assert (answer.code, answer.msg) == (-2010, "Stop price would trigger immediately.")
        rejected = events[0]
        assert isinstance(rejected, ExecutionReport)
        assert (rejected.execution, rejected.order.status, rejected.order.order_id) == (
            "REJECTED",
            "REJECTED",
            -1,
        )
        assert rejected.reject_reason == "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY"
        assert queries.all_orders(venue, 1, "ABCUSDT") == []


@pytest.mark.parametrize(("side", "kind", "stop"), [row[:3] for row in TRIGGERS if row[3]])
def test_a_trade_at_the_stop_price_triggers(
    venue: Venue, order: Send, side: str, kind: str, stop: str
) -> None:
    """Account 2 quotes on both sides and trades with account 3, near the stop and then at it."""
    venue.open_account(3, {"USDT": Decimal(10_000), "ABC": Decimal(100)})
    for quoted, price in (("BUY", "90"), ("SELL", "110")):
        placed(venue, 2, order(quoted, "LIMIT", "20", price))
    waiting = placed(venue, 1, order(side, kind, "1", stop=stop)).order.order_id

    def trade_at(price: str, now: int) -> list[Event]:
        placed(venue, 2, order("SELL", "LIMIT", "1", price), now)
        return venue.place(3, order("BUY", "LIMIT", "1", price), now)[1]

    near = "99.01" if stop == "99" else "100.99"
    assert all(one.uid != 1 for one in only(trade_at(near, 2), ExecutionReport))
    events = trade_at(stop, 3)
    mine = [one for one in only(events, ExecutionReport) if one.uid == 1]
    assert [(one.execution, one.order.status, one.ts) for one in mine] == [
        ("NEW", "NEW", 3),
        ("TRADE", "FILLED", 3),
    ]
    assert mine[0].working
    assert mine[1].last_price == (9_000 if side == "SELL" else 11_000)
    after = queries.order(venue, 1, "ABCUSDT", order_id=waiting)
    assert (after.status, after.working_time, after.created) == ("FILLED", 3, 1)
    assert holds(venue, 1, "USDT")[1] == holds(venue, 1, "ABC")[1] == 0


def test_a_triggered_limit_order_rests_at_its_limit(venue: Venue, order: Send) -> None:
    stop = placed(venue, 1, order("SELL", "STOP_LOSS_LIMIT", "1", "98", stop="99")).order
    placed(venue, 2, order("BUY", "LIMIT", "1", "99"), 2)
    _, events = venue.place(1, order("SELL", "LIMIT", "1", "99"), 3)
    assert told(events)[-1] == (1, "NEW", "NEW", 0, 0)
    assert venue.listing("ABCUSDT").book.depth(9) == ([], [(9_800, 1_000)])
    assert queries.order(venue, 1, "ABCUSDT", order_id=stop.order_id).working_time == 3
    assert holds(venue, 1, "ABC") == (9_800, 100)


def test_a_canceled_stop_is_waited_for_no_longer(venue: Venue, order: Send) -> None:
    stops = venue.listing("ABCUSDT").stops
    for side, price in (("SELL", "99"), ("BUY", "101")):
        for _ in range(2):
            placed(venue, 1, order(side, "STOP_LOSS", "1", stop=price))
    for canceled in (1, 4):
        venue.cancel(1, "ABCUSDT", 2, order_id=canceled)
    assert stops.reached(9_900) == [2]
    assert stops.reached(10_100) == [3]


def test_one_stop_sets_off_the_next(venue: Venue, order: Send) -> None:
    for price in ("99", "97", "95"):
        placed(venue, 2, order("BUY", "LIMIT", "1", price))
    placed(venue, 1, order("SELL", "STOP_LOSS", "1", stop="96", cid="last"))
    placed(venue, 1, order("SELL", "STOP_LOSS", "1", stop="98", cid="second"))
    placed(venue, 1, order("SELL", "STOP_LOSS", "1", stop="99", cid="first"))
    _, events = venue.place(1, order("SELL", "MARKET", "1"), 2)
    trades = [(one.client_order_id, one.last_price) for one in only(events, ExecutionReport)
              if one.execution == "TRADE" and one.uid == 1]  # fmt: skip
    assert trades[1:] == [("first", 9_700), ("second", 9_500)]
    # The third waits for 96 and sees 95, but nobody is left to buy.
    assert told(events)[-1] == (1, "EXPIRED", "EXPIRED", 0, 0)
    assert [one.price for one in only(events, AggTrade)] == [9_900, 9_700, 9_500]


def test_a_stop_that_can_no_longer_be_paid_expires(venue: Venue, order: Send) -> None:
    venue.open_account(3, {"USDT": Decimal(105)})
    stop = placed(venue, 3, order("BUY", "STOP_LOSS", "1", stop="101")).order
    placed(venue, 2, order("SELL", "LIMIT", "1", "101"), 2)
    placed(venue, 2, order("SELL", "LIMIT", "1", "106"), 2)
    _, events = venue.place(1, order("BUY", "MARKET", "1"), 3)
    after = queries.order(venue, 3, "ABCUSDT", order_id=stop.order_id)
    assert (after.status, after.expiry_reason, after.working_time) == ("EXPIRED", "REJECTED", -1)
    assert told(events)[-1] == (3, "EXPIRED", "EXPIRED", 0, 0)
    assert venue.account(3).of("USDT") == Balance(105 * UNIT, 0)
    # Four more are enough.
    venue.open_account(4, {"USDT": Decimal(106)})
    stop = placed(venue, 4, order("BUY", "STOP_LOSS", "1", stop="102"), 4).order
    placed(venue, 2, order("SELL", "LIMIT", "1", "102"), 5)
    venue.place(1, order("BUY", "LIMIT", "1", "102"), 6)
    assert queries.order(venue, 4, "ABCUSDT", order_id=stop.order_id).status == "FILLED"
    assert venue.account(4).of("USDT") == Balance(0, 0)


@pytest.mark.parametrize(
    ("request_", "enough"),
    [
        (("BUY", "LIMIT", "100", "100"), True),
        (("BUY", "LIMIT", "100.001", "100"), False),
        (("SELL", "LIMIT", "100", "101"), True),
        (("SELL", "LIMIT", "100.001", "101"), False),
        (("BUY", "MARKET", "99.009"), True),
        (("BUY", "MARKET", "99.010"), False),
        (("SELL", "MARKET", "100"), True),
        (("SELL", "MARKET", "100.001"), False),
        (("BUY", "LIMIT_MAKER", "100", "100"), True),
        (("BUY", "LIMIT_MAKER", "100.001", "100"), False),
    ],
)
def test_an_order_needs_its_funds(
    venue: Venue, order: Send, request_: tuple[str, ...], *, enough: bool
) -> None:
    venue.open_account(3, {"USDT": Decimal(50_000), "ABC": Decimal(500)})
    placed(venue, 3, order("SELL", "LIMIT", "200", "101"))
    placed(venue, 3, order("BUY", "LIMIT", "200", "99"))
    answer, events = venue.place(1, order(*request_), 1)
    if enough:
        assert isinstance(answer, Placed)
        return
    assert answer == Rejection(
        -2010,
        "Account has insufficient balance for requested action.",
        "INSUFFICIENT_BALANCES",
    )
    assert told(events) == [(1, "REJECTED", "REJECTED", 0, 0)]
    assert [one.reject_reason for one in only(events, ExecutionReport)] == ["INSUFFICIENT_BALANCES"]
    assert holds(venue, 1, "USDT") == (1_000_000, 0)


def test_a_maker_order_never_takes(venue: Venue, order: Send) -> None:
    placed(venue, 2, order("SELL", "LIMIT", "1", "101"))
    answer, events = venue.place(1, order("BUY", "LIMIT_MAKER", "1", "101"), 2)
    assert answer == Rejection(
        -2010, "Order would immediately match and take.", "WOULD_MATCH_IMMEDIATELY"
    )
    assert told(events) == [(1, "REJECTED", "REJECTED", 0, 0)]
    assert placed(venue, 1, order("BUY", "LIMIT_MAKER", "1", "100.99"), 3).order.status == "NEW"


def test_a_client_order_id_is_unique_among_open_orders_only(venue: Venue, order: Send) -> None:
    placed(venue, 2, order("SELL", "LIMIT", "1", "101", cid="x"))
    again = venue.place(2, order("SELL", "LIMIT", "1", "102", cid="x"), 2)
    assert again == (Rejection(-2010, "Duplicate order sent."), [])
    placed(venue, 1, order("SELL", "LIMIT", "1", "103", cid="x"), 2)
    venue.cancel(2, "ABCUSDT", 3, client_order_id="x")
    second = placed(venue, 2, order("SELL", "LIMIT", "1", "102", cid="x"), 4).order
    found = queries.order(venue, 2, "ABCUSDT", client_order_id="x")
    assert (found.order_id, found.price) == (second.order_id, 10_200)
    named = {placed(venue, 2, order("SELL", "LIMIT", "1", "110"), 5).order.client_order_id
             for _ in range(9)}  # fmt: skip
    assert len(named) == 9
    assert all(len(name) == 22 and name.isalnum() for name in named)


def test_an_order_is_canceled_by_either_id(venue: Venue, order: Send) -> None:
    first = placed(venue, 1, order("BUY", "LIMIT", "1", "99", cid="a")).order.order_id
    answer, events = venue.cancel(1, "ABCUSDT", 7, order_id=first, cancel_id="bye")
    assert isinstance(answer, Canceled)
    assert (answer.order.status, answer.order.updated) == ("CANCELED", 7)
    assert (answer.client_order_id, answer.order.client_order_id) == ("bye", "a")
    report = events[0]
    assert isinstance(report, ExecutionReport)
    assert (report.client_order_id, report.orig_client_order_id) == ("bye", "a")
    assert (report.execution, report.working) == ("CANCELED", False)
    assert holds(venue, 1, "USDT") == (1_000_000, 0)
    assert venue.listing("ABCUSDT").book.depth(1) == ([], [])

    second = placed(venue, 1, order("SELL", "STOP_LOSS", "1", stop="90", cid="b"), 8).order
    for wrong in (
        {"order_id": first},
        {"order_id": 99},
        {"client_order_id": "a"},
        {"order_id": second.order_id, "client_order_id": "c"},
        {},
    ):
        assert venue.cancel(1, "ABCUSDT", 9, **wrong) == (UNKNOWN_ORDER, [])
    assert venue.cancel(2, "ABCUSDT", 9, order_id=second.order_id) == (UNKNOWN_ORDER, [])
    answer, _ = venue.cancel(1, "ABCUSDT", 9, order_id=second.order_id, client_order_id="b")
    assert isinstance(answer, Canceled)
    assert holds(venue, 1, "ABC") == (10_000, 0)


def test_a_cancel_may_be_restricted_to_a_status(venue: Venue, order: Send) -> None:
    refused = Rejection(-2011, "Order was not canceled due to cancel restrictions.")
    bid = placed(venue, 1, order("BUY", "LIMIT", "2", "99")).order.order_id
    cancel = {"uid": 1, "symbol": "ABCUSDT", "order_id": bid}
    assert venue.cancel(**cancel, now=2, restriction="ONLY_PARTIALLY_FILLED")[0] == refused
    placed(venue, 2, order("SELL", "MARKET", "1"), 3)
    assert venue.cancel(**cancel, now=4, restriction="ONLY_NEW")[0] == refused
    done, _ = venue.cancel(**cancel, now=4, restriction="ONLY_PARTIALLY_FILLED")
    assert isinstance(done, Canceled)


def test_all_open_orders_of_a_symbol_are_canceled_at_once(venue: Venue, order: Send) -> None:
    placed(venue, 1, order("BUY", "LIMIT", "1", "99"))
    placed(venue, 1, order("SELL", "STOP_LOSS", "1", stop="98"))
    placed(venue, 2, order("SELL", "LIMIT", "1", "105"))
    answers, events = venue.cancel_all(1, "ABCUSDT", 2)
    assert isinstance(answers, list)
    assert len({one.client_order_id for one in answers}) == 1
    assert told(events) == [(1, "CANCELED", "CANCELED", 0, 0)] * 2
    assert queries.open_orders(venue, 1) == []
    assert len(queries.open_orders(venue, 2)) == 1
    assert venue.cancel_all(1, "ABCUSDT", 3) == (UNKNOWN_ORDER, [])


def test_cancel_replace_makes_room_for_the_new_order(venue: Venue, order: Send) -> None:
    old = placed(venue, 1, order("BUY", "LIMIT", "100", "100", cid="old")).order.order_id
    answer, events = venue.cancel_replace(
        1, order("BUY", "LIMIT", "100", "99"), 2, mode="STOP_ON_FAILURE", order_id=old
    )
    assert isinstance(answer, Replaced)
    assert isinstance(answer.canceled, Canceled)
    assert isinstance(answer.placed, Placed)
    assert told(events) == [(1, "CANCELED", "CANCELED", 0, 0), (1, "NEW", "NEW", 0, 0)]
    assert holds(venue, 1, "USDT") == (10_000, 990_000)


def test_cancel_replace_fails_by_halves(venue: Venue, order: Send) -> None:
    cheap = order("BUY", "LIMIT", "1", "99")
    stopped = venue.cancel_replace(1, cheap, 1, mode="STOP_ON_FAILURE", client_order_id="x")
    assert stopped == (Replaced(UNKNOWN_ORDER, None), [])
    allowed, _ = venue.cancel_replace(1, cheap, 1, mode="ALLOW_FAILURE", client_order_id="x")
    assert isinstance(allowed, Replaced)
    assert allowed.canceled == UNKNOWN_ORDER
    assert isinstance(allowed.placed, Placed)
    kept = allowed.placed.order.order_id
    # A filter refuses before anything is canceled, the matching engine after.
    tiny = order("BUY", "LIMIT", "0.001", "99")
    refused, events = venue.cancel_replace(1, tiny, 2, mode="STOP_ON_FAILURE", order_id=kept)
    assert (refused, events) == (Rejection(-1013, "Filter failure: NOTIONAL"), [])
    dear = order("BUY", "LIMIT", "1000", "99")
    half, _ = venue.cancel_replace(1, dear, 3, mode="STOP_ON_FAILURE", order_id=kept)
    assert isinstance(half, Replaced)
    assert isinstance(half.canceled, Canceled)
    assert isinstance(half.placed, Rejection)
    assert queries.open_orders(venue, 1) == []


def test_the_resting_order_gives_way_to_its_owners_next(venue: Venue, order: Send) -> None:
    own = placed(venue, 1, order("SELL", "LIMIT", "1", "100")).order
    placed(venue, 2, order("SELL", "LIMIT", "1", "101"))
    answer, events = venue.place(1, order("BUY", "LIMIT", "1.5", "101"), 2)
    assert isinstance(answer, Placed)
    assert (answer.order.status, answer.order.filled) == ("PARTIALLY_FILLED", 1_000)
    assert answer.prevented == (PreventedMatch(0, own.order_id, 10_000, None, 1_000),)
    assert told(events)[:2] == [
        (1, "NEW", "NEW", 0, 0),
        (1, "TRADE_PREVENTION", "EXPIRED_IN_MATCH", 0, 0),
    ]
    prevention = only(events, ExecutionReport)[1].prevention
    assert (prevention.qty, prevention.counter_order_id) == (1_000, answer.order.order_id)
    assert (prevention.execution_qty, prevention.execution_price) == (1_000, 10_000)
    after = queries.order(venue, 1, "ABCUSDT", order_id=own.order_id)
    assert (after.prevented, after.prevented_match_id) == (1_000, 0)
    assert holds(venue, 1, "ABC") == (10_100, 0)
    assert only(events, AggTrade)[0].price == 10_100


@pytest.mark.parametrize(
    ("mode", "resting", "prevented"),
    [("EXPIRE_TAKER", "NEW", (1_500, None)), ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", (1_500, 1_000))],
)
def test_the_taker_gives_way_where_it_asks_to(
    venue: Venue, order: Send, mode: str, resting: str, prevented: tuple[int, int | None]
) -> None:
    placed(venue, 2, order("SELL", "LIMIT", "1", "99.50"))
    own = placed(venue, 1, order("SELL", "LIMIT", "1", "100")).order
    answer, events = venue.place(1, order("BUY", "LIMIT", "2.5", "101", stp=mode), 2)
    assert isinstance(answer, Placed)
    after = answer.order
    assert (after.status, after.filled, after.prevented) == ("EXPIRED_IN_MATCH", 1_000, 1_500)
    assert answer.prevented == (PreventedMatch(0, own.order_id, 10_000, *prevented),)
    assert told(events)[-1] == (1, "TRADE_PREVENTION", "EXPIRED_IN_MATCH", 0, 1_000)
    assert queries.order(venue, 1, "ABCUSDT", order_id=own.order_id).status == resting
    locked = 100 if resting == "NEW" else 0
    assert holds(venue, 1, "ABC") == (10_100 - locked, locked)
    assert holds(venue, 1, "USDT") == (990_050, 0)


def test_other_modes_of_prevention_are_refused(venue: Venue, order: Send) -> None:
    refused = Rejection(
        -1013, "This symbol does not allow the specified self-trade prevention mode."
    )
    assert venue.place(1, order("BUY", "LIMIT", "1", "99", stp="DECREMENT"), 1) == (refused, [])


def test_questions_are_answered_with_copies(venue: Venue, order: Send) -> None:
    ids = [
        placed(venue, 1, order("BUY", "LIMIT", "1", price, cid=price), now).order.order_id
        for now, price in enumerate(("99", "98", "97", "96"), 10)
    ]
    placed(venue, 2, order("SELL", "MARKET", "2.5"), 20)
    ask = {"venue": venue, "uid": 1, "symbol": "ABCUSDT"}
    copy = queries.order(**ask, order_id=ids[2])
    copy.status = "CANCELED"
    assert queries.order(**ask, client_order_id="97").status == "PARTIALLY_FILLED"
    assert queries.order(**ask, order_id=ids[2], client_order_id="98") == OTHER_CLIENT_ID
    for nothing in ({"order_id": 99}, {"client_order_id": "no"}, {"order_id": 5}):
        assert queries.order(**ask, **nothing) == NO_SUCH_ORDER

    def chosen(**conditions: int) -> list[int]:
        return [one.order_id for one in queries.all_orders(**ask, **conditions)]

    assert chosen() == ids
    assert chosen(limit=2) == ids[2:]
    assert chosen(from_id=0, limit=2) == ids[:2]
    assert chosen(from_id=ids[1]) == ids[1:]
    assert chosen(start=11, end=12) == ids[1:3]
    assert [one.order_id for one in queries.open_orders(venue, 1, "ABCUSDT")] == ids[2:]

    def trades(**conditions: int) -> list[int]:
        return [one.trade_id for one in queries.my_trades(**ask, **conditions)]

    assert trades() == [1_000, 1_001, 1_002]
    assert trades(limit=1) == [1_002]
    assert trades(from_id=0, limit=2) == [1_000, 1_001]
    assert trades(from_id=1_001) == [1_001, 1_002]
    assert trades(order_id=ids[1]) == [1_001]
    assert trades(start=21) == []
    assert queries.my_trades(venue, 2, "ABCUSDT")[0].buyer is False


def test_names_that_nobody_declared_are_named(venue: Venue, order: Send) -> None:
    with pytest.raises(UnknownName, match="no account is called '9'"):
        venue.place(9, order("BUY", "MARKET", "1"), 1)
    with pytest.raises(UnknownName, match="no symbol is called 'ABC'"):
        venue.cancel_all(1, "ABC", 1)


def test_time_never_goes_back(venue: Venue, order: Send) -> None:
    placed(venue, 1, order("BUY", "LIMIT", "1", "99"), 5)
    with pytest.raises(AssertionError, match="4 comes before 5"):
        venue.cancel_all(1, "ABCUSDT", 4)


def test_a_last_price_off_the_grid_is_refused(instrument: Instrument) -> None:
    with pytest.raises(UsageError, match="can't be a price of ABCUSDT"):
        Venue({}).list_symbol(instrument, last_price=Decimal("100.001"))


def test_accounts_may_pay_their_own_rates(venue: Venue, order: Send) -> None:
    venue.open_account(3, {"USDT": Decimal(1_000)}, Rates(maker=0, taker=0))
    placed(venue, 2, order("SELL", "LIMIT", "1", "100"))
    fill = placed(venue, 3, order("BUY", "MARKET", "1")).fills[0]
    assert fill.commission == 0
    assert venue.account(3).of("ABC") == Balance(UNIT, 0)
