"""The synthetic market at a venue: the kernel's own prints, and what changes when others trade."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest

from vostok_core.errors import UsageError
from vostok_core.lake.tables import TIME
from vostok_core.market.instrument import Instrument
from vostok_core.market.synthetic import MarketSpec, MarketState, advance
from vostok_core.times import MINUTE
from vostok_exchange import queries
from vostok_exchange.events import AggTrade, BookTop, DepthChange, Event, ExecutionReport, Trade
from vostok_exchange.flow import Flow
from vostok_exchange.house import House, Ladder
from vostok_exchange.orders import OrderRequest, Placed
from vostok_exchange.snapshots import restore, snapshot
from vostok_exchange.symbols import UNIT
from vostok_exchange.venue import Venue

Send = Callable[..., OrderRequest]
SPEC = MarketSpec(
    trades_per_minute=20.0,
    start_price=100.0,
    mean_qty=2.0,
    price_tick=0.01,
    quantity_step=0.001,
    news_per_day=500.0,
)
START = 28_929_600 * MINUTE


def market(
    instrument: Instrument, spec: MarketSpec = SPEC, ladder: Ladder | None = None
) -> tuple[Venue, Flow]:
    """A venue whose market goes on from id 5,000, with one account."""
    state = MarketState.start(spec, 11, START, first_trade_id=5_000)
    venue = Venue({"USDT": Decimal(500)})
    last = Decimal(str(spec.start_price))
    listing = venue.list_symbol(instrument, last_price=last, next_id=5_000)
    venue.open_account(1, {"USDT": Decimal(10_000), "ABC": Decimal(100), "BNB": Decimal(10)})
    return venue, Flow(venue, listing, spec, state, ladder)


def frame(instrument: Instrument, events: list[Event]) -> pl.DataFrame:
    """Aggregate trades as rows of the table `ticks`, from the decimals that are printed."""
    tick, step = instrument.price_tick, instrument.quantity_step
    return pl.DataFrame(
        [
            (
                one.agg_id,
                one.ts,
                float(one.price * tick),
                float(one.qty * step),
                one.buyer_maker,
                one.first_id,
                one.last_id,
            )
            for one in events
            if isinstance(one, AggTrade)
        ],
        ["trade_id", "ts", "price", "qty", "buyer_maker", "first_id", "last_id"],
        orient="row",
    ).with_columns(pl.col("ts").cast(TIME))


@pytest.mark.parametrize(
    ("spec", "ladder"),
    [
        (SPEC, None),
        (SPEC, Ladder(0.01, touch=1, deep=1)),
        (replace(SPEC, half_spread_bps=0.0, annual_volatility=3.0), None),
        (replace(SPEC, start_price=0.05, half_spread_bps=40.0), None),
        (replace(SPEC, trades_per_minute=0.2), None),
    ],
)
def test_without_anybody_else_the_prints_are_the_kernels(
    instrument: Instrument, spec: MarketSpec, ladder: Ladder | None
) -> None:
    _, flow = market(instrument, spec, ladder)
    state = MarketState.start(spec, 11, START, first_trade_id=5_000)
    span, _ = advance(spec, state, 120)
    events = flow.open(START) + flow.run_to(START + 120 * MINUTE - 1)
    assert span.ticks.height > 5
    assert frame(instrument, events).equals(span.ticks)
    trades = [one for one in events if isinstance(one, Trade)]
    assert [one.trade_id for one in trades] == span.ticks["trade_id"].to_list()
    assert flow.next_ts >= START + 120 * MINUTE


def test_running_to_a_time_includes_it(instrument: Instrument) -> None:
    _, flow = market(instrument)
    for _ in range(5):
        ts = flow.next_ts
        assert flow.run_to(ts - 1) == []
        assert {one.ts for one in flow.run_to(ts)} == {ts}
        assert flow.next_ts > ts


def test_the_book_never_crosses_and_stays_deep(instrument: Instrument) -> None:
    venue, flow = market(instrument)
    book = venue.listing("ABCUSDT").book
    flow.open(START)
    assert len(book.depth(99)[0]) == len(book.depth(99)[1]) == 6
    for _ in range(3_000):
        events = flow.step()
        top = book.top()
        assert top.bid is not None
        assert top.ask is not None
        assert top.bid < top.ask
        printed = next(one for one in events if isinstance(one, AggTrade))
        near = top.bid if printed.buyer_maker else top.ask
        assert near == printed.price
        # 200 median prints at the touch, less the print; three times as many behind it.
        bids, asks = book.depth(99)
        touch = max(400_000, printed.qty)
        assert (bids if printed.buyer_maker else asks)[0][1] in {touch - printed.qty, 0} or (
            printed.qty == touch
        )
        assert [qty for _, qty in bids[1:]] == [1_200_000] * 5
        assert [qty for _, qty in asks[1:]] == [1_200_000] * 5
        assert sum(isinstance(one, DepthChange | BookTop) for one in events) == 2


def test_a_marketable_order_pays_about_the_kernels_ask(instrument: Instrument, order: Send) -> None:
    venue, flow = market(instrument)
    flow.open(START)
    spread = 2e-4 * SPEC.half_spread_bps
    for _ in range(200):
        printed = next(one for one in flow.step() if isinstance(one, AggTrade))
        ask = printed.price * (1 + spread * printed.buyer_maker)
        cap = str(Decimal(round(printed.price * 1.005)) / 100)
        answer, _ = venue.place(1, order("BUY", "LIMIT", "0.2", cap, tif="IOC"), printed.ts)
        assert isinstance(answer, Placed)
        assert answer.order.status == "FILLED"
        assert answer.fills[0].price == pytest.approx(ask, abs=1)
        answer, _ = venue.place(1, order("SELL", "MARKET", "0.2"), printed.ts)
        assert isinstance(answer, Placed)
        assert answer.fills[0].price == pytest.approx(ask / (1 + spread), abs=1)


def test_who_rests_trades_before_the_house_and_ids_go_on(
    instrument: Instrument, order: Send
) -> None:
    venue, flow = market(instrument)
    state = MarketState.start(SPEC, 11, START, first_trade_id=5_000)
    ticks = advance(SPEC, state, 30)[0].ticks
    # Find the first time that a buyer pays more than ever before, and wait there in advance.
    rows = ticks.rows(named=True)
    number = next(
        n
        for n, row in enumerate(rows[1:], 1)
        if not row["buyer_maker"]
        and row["qty"] > 0.5
        and row["price"] > max(one["price"] for one in rows[:n])
    )
    row = rows[number]
    price = round(row["price"] * 100)
    mine, _ = venue.place(1, order("SELL", "LIMIT", "0.5", str(Decimal(price) / 100)), START)
    assert isinstance(mine, Placed)
    before = [one for _ in range(number) for one in flow.step()]
    assert frame(instrument, before).equals(ticks[:number])
    events = flow.step()
    qty = round(row["qty"] * 1_000)
    ts = int(ticks["ts"].to_physical()[number])
    first = 5_000 + number
    assert [one for one in events if isinstance(one, Trade)] == [
        Trade("ABCUSDT", ts, first, price, 500, False),
        Trade("ABCUSDT", ts, first + 1, price, qty - 500, False),
    ]
    assert [one for one in events if isinstance(one, AggTrade)] == [
        AggTrade("ABCUSDT", ts, first, price, qty, first, first + 1, False)
    ]
    fill = queries.my_trades(venue, 1, "ABCUSDT")[0]
    assert (fill.trade_id, fill.maker, fill.ts) == (first, True, ts)
    following = next(one for one in flow.step() if isinstance(one, AggTrade))
    assert (following.agg_id, following.first_id) == (first + 1, first + 2)


def test_a_market_that_moves_through_an_order_trades_with_it(
    instrument: Instrument, order: Send
) -> None:
    """A seller hits a bid above our ask: the bid that moved there has bought ours first."""
    venue, _ = market(instrument)
    house = House(venue, venue.listing("ABCUSDT"), Ladder(0.0001, 9_000, 9_000))
    house.trade("SELL", 9_990, 10, START)
    venue.place(1, order("SELL", "LIMIT", "1", "100.05"), START)
    venue.place(1, order("SELL", "LIMIT", "20", "110"), START)
    events = house.trade("SELL", 10_020, 700, START + 5)
    assert [(one.price, one.qty, one.buyer_maker) for one in events if isinstance(one, Trade)] == [
        (10_005, 1_000, False),
        (10_020, 700, True),
    ]
    reports = [one for one in events if isinstance(one, ExecutionReport)]
    assert [(one.last_price, one.order.status, one.maker) for one in reports] == [
        (10_005, "FILLED", True)
    ]
    # More than the house quotes at once, here at 110.10 and 110.00, holds the price up meanwhile.
    events = house.trade("SELL", 11_010, 700, START + 6)
    assert [(one.price, one.qty) for one in events if isinstance(one, Trade)] == [
        (11_000, 9_000),
        (11_000, 9_000),
    ]
    events = house.trade("SELL", 11_010, 700, START + 7)
    assert [(one.price, one.qty) for one in events if isinstance(one, Trade)] == [
        (11_000, 2_000),
        (11_010, 700),
    ]
    top = venue.listing("ABCUSDT").book.top()
    assert (top.bid, top.ask) == (11_010, 11_011)


def test_a_stop_sells_at_the_bid_of_the_print_that_reached_it(
    instrument: Instrument, order: Send
) -> None:
    venue, flow = market(instrument)
    flow.open(START)
    printed = next(one for one in flow.step() if isinstance(one, AggTrade))
    stop = Decimal(printed.price - 5) / 100
    venue.place(1, order("SELL", "STOP_LOSS", "3", stop=str(stop)), printed.ts)
    while not (fills := queries.my_trades(venue, 1, "ABCUSDT")):
        events = flow.step()
    reached, *_, sold = [one for one in events if isinstance(one, AggTrade)]
    assert reached.price <= stop * 100
    assert (sold.ts, sold.qty, sold.buyer_maker) == (reached.ts, 3_000, True)
    assert fills[0].price == sold.price <= reached.price


def test_a_restart_goes_on_from_json_without_a_seam(instrument: Instrument, order: Send) -> None:
    venue, flow = market(instrument)
    flow.open(START)

    def trade(venue: Venue, flow: Flow, steps: int) -> list[object]:
        heard: list[object] = []
        for number in range(steps):
            heard += flow.step()
            last = venue.listing("ABCUSDT").last_price
            now = venue.listing("ABCUSDT").now
            if number % 7 == 0:
                heard.append(venue.place(1, order("BUY", "MARKET", "0.3"), now))
            if number % 11 == 0:
                above = str(Decimal(last + number % 13) / 100)
                heard.append(venue.place(1, order("SELL", "LIMIT", "0.3", above), now))
            if number % 50 == 0:
                heard += flow.news(now)
        return heard

    trade(venue, flow, 333)
    saved = json.loads(json.dumps([snapshot(venue), flow.snapshot()]))
    again = Venue({"USDT": Decimal(500)})
    listing = again.list_symbol(instrument, last_price=Decimal(1))
    restore(again, saved[0])
    continued = Flow.restored(again, listing, SPEC, saved[1])
    # Across the end of what the kernel was asked for at once.
    assert trade(again, continued, 500) == trade(venue, flow, 500)
    assert continued.snapshot() == flow.snapshot()
    assert snapshot(again) == snapshot(venue)
    assert venue.account(1).of("ABC").locked % UNIT >= 0


def test_news_are_told_once_their_time_has_come(instrument: Instrument) -> None:
    _, flow = market(instrument)
    state = MarketState.start(SPEC, 11, START, first_trade_id=5_000)
    news = advance(SPEC, state, 60)[0].news
    expected = list(zip(news["ts"].to_physical(), news["tone"].cast(int), strict=True))
    assert len(expected) > 5
    told = []
    for minute in range(60):
        until = START + (minute + 1) * MINUTE - 1
        flow.run_to(until)
        fresh = flow.news(until)
        assert all(until - MINUTE < ts <= until for ts, _ in fresh)
        told += fresh
    assert told == expected


def test_a_market_with_other_steps_is_refused(instrument: Instrument) -> None:
    with pytest.raises(UsageError, match=r"the market's steps are 0.1 and 0.001, the symbol's"):
        market(instrument, replace(SPEC, price_tick=0.1))
