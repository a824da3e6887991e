"""OCO, OTO and OTOCO: legs that end each other, and orders that wait for another to fill."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from vostok_core.errors import UsageError
from vostok_exchange import queries
from vostok_exchange.accounts import Balance
from vostok_exchange.events import Event, ExecutionReport, ListStatus
from vostok_exchange.orders import (
    NO_SUCH_LIST,
    UNKNOWN_LIST,
    ListCanceled,
    ListPlaced,
    OcoRequest,
    OrderRequest,
    OtoRequest,
    Rejection,
    Replaced,
)
from vostok_exchange.symbols import UNIT
from vostok_exchange.venue import Venue

Send = Callable[..., OrderRequest]
BAD_PRICES = "The relationship of the prices for the orders is not correct."


def statuses(venue: Venue, placed: ListPlaced) -> list[str]:
    orders = venue.listing("ABCUSDT").orders
    return [orders[order_id].status for order_id in placed.list.order_ids]


def reasons(venue: Venue, placed: ListPlaced) -> list[str]:
    orders = venue.listing("ABCUSDT").orders
    return [orders[order_id].expiry_reason for order_id in placed.list.order_ids]


def told(events: list[Event], uid: int = 1) -> list[tuple[str, ...]]:
    """What an account hears of its orders (client id, execution, status) and lists, in order."""
    heard: list[tuple[str, ...]] = []
    for one in events:
        if isinstance(one, ExecutionReport) and one.uid == uid:
            heard.append((one.order.client_order_id, one.execution, one.order.status))
        elif isinstance(one, ListStatus) and one.uid == uid:
            heard.append((one.list.contingency, one.list.status_type, one.list.order_status))
    return heard


def free_locked(venue: Venue, asset: str) -> tuple[Decimal, Decimal]:
    balance = venue.account(1).of(asset)
    return Decimal(balance.free) / UNIT, Decimal(balance.locked) / UNIT


def trade(venue: Venue, order: Send, price: str, now: int, quantity: str = "1") -> list[Event]:
    """Account 2 sells to account 3 at a price, so that it becomes the last."""
    if 3 not in venue.execution.accounts:
        venue.open_account(3, {"USDT": Decimal(10**6), "ABC": Decimal(10**4)})
    events = venue.place(2, order("SELL", "LIMIT", quantity, price), now)[1]
    return events + venue.place(3, order("BUY", "LIMIT", quantity, price), now)[1]


@pytest.fixture
def oco(order: Send) -> OcoRequest:
    return OcoRequest(
        order("SELL", "LIMIT_MAKER", "2", "105", cid="aim"),
        order("SELL", "STOP_LOSS", "2", stop="95", cid="stop"),
        "pair",
    )


@pytest.fixture
def otoco(order: Send) -> OtoRequest:
    return OtoRequest(
        order("BUY", "LIMIT", "2", "100", tif="IOC", cid="entry"),
        (
            order("SELL", "LIMIT_MAKER", "2", "105", cid="aim"),
            order("SELL", "STOP_LOSS", "2", stop="95", cid="stop"),
        ),
        "three",
    )


def place(venue: Venue, request: OcoRequest | OtoRequest, now: int = 1) -> ListPlaced:
    if isinstance(request, OcoRequest):
        answer, _ = venue.place_oco(1, request, now)
    else:
        answer, _ = venue.place_oto(1, request, now)
    assert isinstance(answer, ListPlaced), answer
    return answer


def test_an_oco_locks_its_quantity_once(venue: Venue, oco: OcoRequest) -> None:
    answer, events = venue.place_oco(1, oco, 4)
    assert isinstance(answer, ListPlaced)
    assert (answer.list.contingency, answer.list.client_order_id) == ("OCO", "pair")
    assert [one.order.client_order_id for one in answer.orders] == ["stop", "aim"]
    assert [one.order.working_time for one in answer.orders] == [-1, 4]
    assert told(events) == [
        ("stop", "NEW", "NEW"),
        ("aim", "NEW", "NEW"),
        ("OCO", "EXEC_STARTED", "EXECUTING"),
    ]
    status = next(one for one in events if isinstance(one, ListStatus))
    assert status.orders == ((1, "stop"), (2, "aim"))
    assert free_locked(venue, "ABC") == (98, 2)
    assert venue.listing("ABCUSDT").book.depth(9) == ([], [(10_500, 2_000)])


def test_the_aim_that_trades_even_in_part_ends_the_stop(
    venue: Venue, order: Send, oco: OcoRequest
) -> None:
    answer = place(venue, oco)
    _, events = venue.place(2, order("BUY", "LIMIT", "0.5", "105"), 2)
    assert told(events) == [("aim", "TRADE", "PARTIALLY_FILLED"), ("stop", "EXPIRED", "EXPIRED")]
    assert reasons(venue, answer) == ["OCO_TRIGGER", "NONE"]
    assert free_locked(venue, "ABC") == (98, Decimal("1.5"))
    assert queries.open_order_lists(venue, 1)[0].status_type == "EXEC_STARTED"
    # The stop is gone: a trade below it changes nothing.
    trade(venue, order, "94", 3)
    assert statuses(venue, answer) == ["EXPIRED", "PARTIALLY_FILLED"]
    _, events = venue.place(2, order("BUY", "LIMIT", "1.5", "105"), 4)
    assert told(events) == [("aim", "TRADE", "FILLED"), ("OCO", "ALL_DONE", "ALL_DONE")]
    assert free_locked(venue, "ABC") == (98, 0)


def test_the_stop_that_is_reached_cancels_the_aim_before_it_trades(
    venue: Venue, order: Send, oco: OcoRequest
) -> None:
    answer = place(venue, oco)
    venue.place(2, order("BUY", "LIMIT", "5", "94"), 2)
    events = trade(venue, order, "95", 3)
    assert told(events) == [
        ("aim", "EXPIRED", "EXPIRED"),
        ("stop", "NEW", "NEW"),
        ("stop", "TRADE", "FILLED"),
        ("OCO", "ALL_DONE", "ALL_DONE"),
    ]
    assert reasons(venue, answer) == ["NONE", "OCO_TRIGGER"]
    assert free_locked(venue, "ABC") == (98, 0)
    fills = queries.my_trades(venue, 1, "ABCUSDT")
    assert [(one.price, one.qty, one.list_id) for one in fills] == [(9_400, 2_000, 0)]


def test_a_buying_oco_locks_what_the_dearer_leg_needs(venue: Venue, order: Send) -> None:
    pair = OcoRequest(
        order("BUY", "STOP_LOSS_LIMIT", "2", "112", stop="110", cid="stop"),
        order("BUY", "LIMIT_MAKER", "2", "90", cid="aim"),
    )
    answer = place(venue, pair)
    assert [one.order.client_order_id for one in answer.orders] == ["stop", "aim"]
    assert free_locked(venue, "USDT") == (10_000 - 224, 224)
    # The aim takes over, so only what it needs stays locked.
    trade(venue, order, "90", 2, "0.5")
    assert statuses(venue, answer) == ["EXPIRED", "PARTIALLY_FILLED"]
    assert free_locked(venue, "USDT") == (10_000 - 180, 135)


def test_take_profits_may_be_the_other_leg(venue: Venue, order: Send) -> None:
    pair = OcoRequest(
        order("SELL", "TAKE_PROFIT_LIMIT", "1", "104", stop="103", cid="aim"),
        order("SELL", "STOP_LOSS_LIMIT", "1", "94", stop="95", cid="stop"),
    )
    answer = place(venue, pair)
    assert venue.listing("ABCUSDT").book.depth(9) == ([], [])
    events = trade(venue, order, "103", 2)
    assert told(events) == [("stop", "EXPIRED", "EXPIRED"), ("aim", "NEW", "NEW")]
    assert venue.listing("ABCUSDT").book.depth(9) == ([], [(10_400, 1_000)])
    assert statuses(venue, answer) == ["EXPIRED", "NEW"]
    assert free_locked(venue, "ABC") == (99, 1)


@pytest.mark.parametrize("leg", ["aim", "stop"])
def test_canceling_a_leg_cancels_the_list(venue: Venue, oco: OcoRequest, leg: str) -> None:
    place(venue, oco)
    answer, events = venue.cancel(1, "ABCUSDT", 2, client_order_id=leg, cancel_id="bye")
    assert isinstance(answer, ListCanceled)
    assert answer.list.order_status == "ALL_DONE"
    assert [one.client_order_id for one in answer.canceled] == ["bye", "bye"]
    assert told(events) == [
        ("stop", "CANCELED", "CANCELED"),
        ("aim", "CANCELED", "CANCELED"),
        ("OCO", "ALL_DONE", "ALL_DONE"),
    ]
    assert free_locked(venue, "ABC") == (100, 0)
    assert venue.listing("ABCUSDT").book.depth(9) == ([], [])


def test_a_list_is_canceled_by_either_id(venue: Venue, oco: OcoRequest) -> None:
    made = place(venue, oco).list
    for wrong in (
        {"list_id": 9},
        {"list_client_order_id": "no"},
        {"list_id": made.list_id, "list_client_order_id": "no"},
        {},
    ):
        assert venue.cancel_list(1, "ABCUSDT", 2, **wrong) == (UNKNOWN_LIST, [])
    assert venue.cancel_list(2, "ABCUSDT", 2, list_id=made.list_id) == (UNKNOWN_LIST, [])
    answer, _ = venue.cancel_list(1, "ABCUSDT", 2, list_client_order_id="pair")
    assert isinstance(answer, ListCanceled)
    assert [one.status for one in answer.orders] == ["CANCELED", "CANCELED"]
    assert venue.cancel_list(1, "ABCUSDT", 3, list_id=made.list_id) == (UNKNOWN_LIST, [])
    # Its client order id is free again.
    again = place(venue, oco, 4).list
    assert queries.order_list(venue, 1, client_order_id="pair").list_id == again.list_id


def test_replacing_a_leg_cancels_its_list_first(venue: Venue, order: Send, oco: OcoRequest) -> None:
    venue.place(1, order("SELL", "LIMIT", "98", "120"), 1)
    place(venue, oco)
    answer, _ = venue.cancel_replace(
        1, order("SELL", "MARKET", "2"), 2, mode="STOP_ON_FAILURE", client_order_id="aim"
    )
    assert isinstance(answer, Replaced)
    assert isinstance(answer.canceled, ListCanceled)
    assert answer.placed is not None
    assert not isinstance(answer.placed, Rejection)
    assert free_locked(venue, "ABC") == (2, 98)


def test_canceling_everything_names_a_list_once(venue: Venue, order: Send, oco: OcoRequest) -> None:
    venue.place(1, order("BUY", "LIMIT", "1", "90"), 1)
    place(venue, oco)
    answers, _ = venue.cancel_all(1, "ABCUSDT", 2)
    assert [type(one).__name__ for one in answers] == ["Canceled", "ListCanceled"]
    assert queries.open_orders(venue, 1) == []


PRICED: dict[str, Any] = {
    "LIMIT_MAKER": {"price": "100"},
    "STOP_LOSS": {"stop": "100"},
    "STOP_LOSS_LIMIT": {"price": "100", "stop": "100"},
    "TAKE_PROFIT": {"stop": "100"},
    "TAKE_PROFIT_LIMIT": {"price": "100", "stop": "100"},
    "LIMIT": {"price": "100"},
}


@pytest.mark.parametrize(
    ("side", "above", "below", "code", "text"),
    [
        ("SELL", "LIMIT", "STOP_LOSS", -1158, "Order type not supported in OCO."),
        ("SELL", "LIMIT_MAKER", "LIMIT_MAKER", -1168, "At least one OCO order must be contingent."),
        (
            "BUY",
            "LIMIT_MAKER",
            "STOP_LOSS",
            -1165,
            "A limit order in a buy OCO must be below.",
        ),
        (
            "SELL",
            "STOP_LOSS",
            "LIMIT_MAKER",
            -1166,
            "A limit order in a sell OCO must be above.",
        ),
        (
            "BUY",
            "STOP_LOSS",
            "STOP_LOSS_LIMIT",
            -1196,
            "A stop loss order in a buy OCO must be above.",
        ),
        (
            "SELL",
            "STOP_LOSS_LIMIT",
            "STOP_LOSS",
            -1197,
            "A stop loss order in a sell OCO must be below.",
        ),
        (
            "BUY",
            "TAKE_PROFIT",
            "TAKE_PROFIT",
            -1198,
            "A take profit order in a buy OCO must be below.",
        ),
        (
            "SELL",
            "TAKE_PROFIT",
            "TAKE_PROFIT_LIMIT",
            -1199,
            "A take profit order in a sell OCO must be above.",
        ),
    ],
)
def test_legs_that_cannot_be_a_pair_are_refused(
    venue: Venue, order: Send, side: str, above: str, below: str, code: int, text: str
) -> None:
    legs = (order(side, kind, "1", **PRICED[kind]) for kind in (above, below))
    assert venue.place_oco(1, OcoRequest(*legs), 1) == (Rejection(code, text), [])


@pytest.mark.parametrize(
    ("side", "aim", "stop"),
    [
        ("SELL", "105", "101"),
        ("SELL", "105", "100"),
        ("SELL", "99", "95"),
        ("SELL", "100", "95"),
        ("BUY", "95", "99"),
        ("BUY", "101", "105"),
    ],
)
def test_the_last_price_lies_between_the_legs(
    venue: Venue, order: Send, side: str, aim: str, stop: str
) -> None:
    legs = [order(side, "LIMIT_MAKER", "1", aim), order(side, "STOP_LOSS", "1", stop=stop)]
    request = OcoRequest(*(legs if side == "SELL" else legs[::-1]))
    refused = Rejection(-2010, BAD_PRICES, "OCO_BAD_PRICES")
    assert venue.place_oco(1, request, 1) == (refused, [])


def test_an_oco_needs_funds_room_and_names_of_its_own(
    venue: Venue, order: Send, oco: OcoRequest
) -> None:
    big = OcoRequest(
        order("SELL", "LIMIT_MAKER", "101", "105"), order("SELL", "STOP_LOSS", "101", stop="95")
    )
    refused, _ = venue.place_oco(1, big, 1)
    assert isinstance(refused, Rejection)
    assert refused.reason == "INSUFFICIENT_BALANCES"
    twins = OcoRequest(
        order("SELL", "LIMIT_MAKER", "1", "105", cid="x"),
        order("SELL", "STOP_LOSS", "1", stop="95", cid="x"),
    )
    duplicate = Rejection(-2010, "Duplicate order sent.")
    assert venue.place_oco(1, twins, 1) == (duplicate, [])
    place(venue, oco)
    fresh = OcoRequest(
        order("SELL", "LIMIT_MAKER", "1", "105"), order("SELL", "STOP_LOSS", "1", stop="95"), "pair"
    )
    assert venue.place_oco(1, fresh, 2) == (duplicate, [])
    assert venue.place_oco(1, OcoRequest(oco.above, oco.below, "other"), 2) == (duplicate, [])
    for _ in range(4):
        place(venue, OcoRequest(fresh.above, fresh.below), 3)
    full, _ = venue.place_oco(1, OcoRequest(fresh.above, fresh.below), 4)
    assert full == Rejection(-2010, "Filter failure: MAX_NUM_ALGO_ORDERS")


def test_legs_of_different_quantity_or_none_are_a_fault(venue: Venue, order: Send) -> None:
    uneven = OcoRequest(
        order("SELL", "LIMIT_MAKER", "1", "105"), order("SELL", "STOP_LOSS", "2", stop="95")
    )
    by_quote = order("SELL", "MARKET", None, quote="50")
    waiting = OtoRequest(order("BUY", "LIMIT", "1", "99"), (by_quote,))
    with pytest.raises(UsageError, match="differ in symbol, side or quantity"):
        venue.place_oco(1, uneven, 1)
    with pytest.raises(UsageError, match="have no quantity"):
        venue.place_oto(1, waiting, 1)


def test_an_entry_that_fills_at_once_is_followed_by_its_exits(
    venue: Venue, order: Send, otoco: OtoRequest
) -> None:
    venue.place(2, order("SELL", "LIMIT", "5", "100"), 1)
    answer, events = venue.place_oto(1, otoco, 2)
    assert isinstance(answer, ListPlaced)
    # The answer shows what waited as waiting still.
    assert [one.order.status for one in answer.orders] == ["FILLED", "PENDING_NEW", "PENDING_NEW"]
    assert [len(one.fills) for one in answer.orders] == [1, 0, 0]
    assert told(events) == [
        ("entry", "NEW", "NEW"),
        ("stop", "NEW", "PENDING_NEW"),
        ("aim", "NEW", "PENDING_NEW"),
        ("OTO", "EXEC_STARTED", "EXECUTING"),
        ("entry", "TRADE", "FILLED"),
        ("stop", "NEW", "NEW"),
        ("aim", "NEW", "NEW"),
        ("OTO", "EXEC_STARTED", "EXECUTING"),
    ]
    assert statuses(venue, answer) == ["FILLED", "NEW", "NEW"]
    assert free_locked(venue, "ABC") == (100, 2)
    assert venue.listing("ABCUSDT").book.depth(1)[1] == [(10_000, 3_000)]
    venue.place(2, order("BUY", "LIMIT", "5", "105"), 3)
    assert statuses(venue, answer) == ["FILLED", "EXPIRED", "FILLED"]
    assert queries.open_order_lists(venue, 1) == []


def test_an_entry_that_fills_in_part_takes_its_exits_with_it(
    venue: Venue, order: Send, otoco: OtoRequest
) -> None:
    venue.place(2, order("SELL", "LIMIT", "1.5", "100"), 1)
    answer, events = venue.place_oto(1, otoco, 2)
    assert isinstance(answer, ListPlaced)
    assert told(events)[4:] == [
        ("entry", "TRADE", "PARTIALLY_FILLED"),
        ("entry", "EXPIRED", "EXPIRED"),
        ("stop", "EXPIRED", "EXPIRED"),
        ("aim", "EXPIRED", "EXPIRED"),
        ("OTO", "ALL_DONE", "ALL_DONE"),
    ]
    assert reasons(venue, answer) == [
        "UNFILLED_IOC_QUANTITY_EXPIRED",
        "OTO_PHASE_ONE_EXPIRED",
        "OTO_PHASE_ONE_EXPIRED",
    ]
    assert free_locked(venue, "USDT") == (9_850, 0)


def test_what_waits_locks_nothing_and_goes_with_its_list(
    venue: Venue, order: Send, otoco: OtoRequest
) -> None:
    resting = OtoRequest(order("BUY", "LIMIT", "2", "99", cid="entry"), otoco.pending, "three")
    answer = place(venue, resting)
    assert free_locked(venue, "ABC") == (100, 0)
    assert free_locked(venue, "USDT") == (10_000 - 198, 198)
    assert venue.listing("ABCUSDT").counts(1) == (3, 1, 1)
    again, _ = venue.place(1, order("BUY", "LIMIT", "1", "90", cid="aim"), 2)
    assert again == Rejection(-2010, "Duplicate order sent.")
    # Prices through both exits trigger nothing that waits.
    trade(venue, order, "106", 2)
    canceled, _ = venue.cancel(1, "ABCUSDT", 3, client_order_id="stop")
    assert isinstance(canceled, ListCanceled)
    assert statuses(venue, answer) == ["CANCELED"] * 3
    assert free_locked(venue, "USDT") == (10_000, 0)


@pytest.mark.parametrize("fault", ["funds", "prices"])
def test_exits_that_are_refused_when_their_time_comes_expire(
    venue: Venue, order: Send, otoco: OtoRequest, fault: str
) -> None:
    resting = OtoRequest(order("BUY", "LIMIT", "2", "94", cid="entry"), otoco.pending, "three")
    if fault == "funds":
        # Commission in what is bought leaves too little to sell.
        venue.account(1).balances["BNB"] = Balance()
        resting = OtoRequest(order("BUY", "LIMIT", "2", "99", cid="entry"), otoco.pending, "three")
    answer = place(venue, resting)
    if fault == "funds":
        venue.place(1, order("SELL", "LIMIT", "100", "120"), 2)
    events = venue.place(2, order("SELL", "MARKET", "2"), 3)[1]
    assert told(events) == [
        ("entry", "TRADE", "FILLED"),
        ("stop", "EXPIRED", "EXPIRED"),
        ("aim", "EXPIRED", "EXPIRED"),
        ("OTO", "ALL_DONE", "ALL_DONE"),
    ]
    assert reasons(venue, answer) == ["NONE", "REJECTED", "REJECTED"]


def test_legs_that_cross_each_other_never_wait(venue: Venue, order: Send) -> None:
    crossed = OtoRequest(
        order("BUY", "LIMIT", "1", "90"),
        (order("SELL", "LIMIT_MAKER", "1", "94"), order("SELL", "STOP_LOSS", "1", stop="95")),
    )
    refused = Rejection(-2010, BAD_PRICES, "OCO_BAD_PRICES")
    assert venue.place_oto(1, crossed, 1) == (refused, [])


@pytest.mark.parametrize("kind", ["MARKET", "LIMIT"])
def test_an_oto_sends_its_second_order_once_the_first_filled(
    venue: Venue, order: Send, kind: str
) -> None:
    venue.place(2, order("BUY", "LIMIT", "9", "99"), 1)
    price = None if kind == "MARKET" else "99.50"
    second = order("SELL", kind, "1", price, cid="second")
    request = OtoRequest(order("SELL", "LIMIT", "1", "101", cid="first"), (second,))
    answer = place(venue, request)
    assert free_locked(venue, "ABC") == (99, 1)
    venue.place(2, order("BUY", "LIMIT", "0.4", "101"), 2)
    assert statuses(venue, answer) == ["PARTIALLY_FILLED", "PENDING_NEW"]
    events = venue.place(2, order("BUY", "LIMIT", "0.6", "101"), 3)[1]
    assert told(events)[:3] == [
        ("first", "TRADE", "FILLED"),
        ("second", "NEW", "NEW"),
        ("OTO", "EXEC_STARTED", "EXECUTING"),
    ]
    after = "FILLED" if kind == "MARKET" else "NEW"
    assert statuses(venue, answer) == ["FILLED", after]
    assert free_locked(venue, "ABC") == ((98, 0) if kind == "MARKET" else (98, 1))


def test_a_working_order_is_refused_as_any_other(
    venue: Venue, order: Send, otoco: OtoRequest
) -> None:
    dear = OtoRequest(order("BUY", "LIMIT", "200", "100"), otoco.pending)
    refused, _ = venue.place_oto(1, dear, 1)
    assert isinstance(refused, Rejection)
    assert refused.reason == "INSUFFICIENT_BALANCES"
    small = OtoRequest(order("BUY", "LIMIT", "0.01", "100"), otoco.pending)
    assert venue.place_oto(1, small, 1)[0] == Rejection(-1013, "Filter failure: NOTIONAL")


def test_a_leg_that_its_owner_would_trade_with_takes_the_other_along(
    venue: Venue, order: Send, oco: OcoRequest
) -> None:
    answer = place(venue, oco)
    _, events = venue.place(1, order("BUY", "LIMIT", "1", "105", cid="own"), 2)
    assert told(events)[1:] == [
        ("aim", "TRADE_PREVENTION", "EXPIRED_IN_MATCH"),
        ("stop", "EXPIRED", "EXPIRED"),
        ("OCO", "ALL_DONE", "ALL_DONE"),
    ]
    assert statuses(venue, answer) == ["EXPIRED", "EXPIRED_IN_MATCH"]
    assert free_locked(venue, "ABC") == (100, 0)


def test_lists_are_asked_for_by_either_id(venue: Venue, order: Send, oco: OcoRequest) -> None:
    first = place(venue, oco, 5).list
    venue.cancel_list(1, "ABCUSDT", 6, list_id=first.list_id)
    second = place(venue, oco, 7).list
    assert queries.order_list(venue, 1, list_id=0).done
    assert queries.order_list(venue, 1, client_order_id="pair") == second
    assert queries.order_list(venue, 2, list_id=0) == NO_SUCH_LIST
    assert queries.order_list(venue, 1, list_id=5) == NO_SUCH_LIST
    assert queries.open_order_lists(venue, 1) == [second]

    def chosen(**conditions: int) -> list[int]:
        return [one.list_id for one in queries.all_order_lists(venue, 1, **conditions)]

    assert chosen() == [0, 1]
    assert chosen(limit=1) == [1]
    assert chosen(from_id=0, limit=1) == [0]
    assert chosen(start=7) == [1]
    assert chosen(end=6) == [0]
    assert queries.names(venue, second) == ((3, "stop"), (4, "aim"))
