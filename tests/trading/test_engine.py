"""What the engine answers, event by event; prices and amounts worked out by hand.

One tick is 0.01, one lot 0.001, so one atom is 0.00001 of quote. The account opens with 1,000.
"""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any

import pytest

from vostok_core.errors import SourceFormatError
from vostok_core.trading.account import Account
from vostok_core.trading.commands import (
    Alert,
    Cancel,
    Closed,
    Command,
    OrderRequest,
    Place,
    PlaceList,
    Replace,
    SetTimer,
    command_to_json,
    requests,
)
from vostok_core.trading.config import Capabilities, EngineConfig
from vostok_core.trading.engine import Engine, replay
from vostok_core.trading.events import (
    BarClosed,
    Control,
    Decision,
    Fill,
    OrderUpdate,
    Timer,
    event_from_json,
    event_to_json,
)
from vostok_core.trading.rules import Rules

RULES = Rules(Decimal("0.01"), Decimal("0.001"), min_notional=1_000_000)  # 10 of quote
CASH = 100_000_000  # 1,000 of quote
HOUR = 3_600_000_000
SECOND = 1_000_000
T0 = 1_000 * HOUR
GOOD = Decision(probability=0.7, threshold=0.5, sigma=0.01, reference=100.0)


def engine(**changes: Any) -> Engine:
    config = EngineConfig(
        run="t", horizon_us=HOUR, take_profit=2.0, stop_loss=1.0, fraction=0.5, taker_fee_bps=10.0
    )
    return Engine(dataclasses.replace(config, **changes), RULES, Account.opening(CASH))


def bar(ts: int = T0, close: int = 10_000, decision: Decision | None = GOOD, **more: Any):
    return BarClosed(ts, close, decision=decision, **more)


def entered(e: Engine) -> PlaceList:
    """Let the engine decide to enter, and return its list."""
    commands = e.handle(bar())
    (placed,) = [c for c in commands if isinstance(c, PlaceList)]
    return placed


def held(e: Engine) -> PlaceList:
    """Enter, fill in full at 100.10 and let the exits rest."""
    placed = entered(e)
    assert placed.entry is not None
    ts = T0 + SECOND
    e.handle(Fill(ts, placed.entry.client_order_id, 1, 10_010, placed.entry.qty, 49_800, "taker"))
    for leg in (placed.take_profit, placed.stop_loss):
        e.handle(OrderUpdate(ts, leg.client_order_id, "open"))
    assert e.state == "holding"
    return placed


def of(kind: type[Command], commands: list[Command]) -> list[Any]:
    return [c for c in commands if isinstance(c, kind)]


def test_a_good_decision_sends_entry_and_exits_as_one_list_and_a_timer() -> None:
    e = engine()
    # Cap: 100.00 + 50 bps = 100.50. Half of 1,000 at 100.50 buys 4.975, in lots 4,975.
    # Barriers: 100 + 2 × 1 % = 102.00 and 100 − 1 % = 99.00.
    assert e.handle(bar()) == [
        PlaceList(
            OrderRequest("vlt-1-e", "entry", "buy", "limit", "IOC", 4_975, 10_050),
            OrderRequest("vlt-1-t", "take_profit", "sell", "limit", "GTC", 4_975, 10_200),
            OrderRequest("vlt-1-s", "stop_loss", "sell", "stop", "GTC", 4_975, 9_900),
        ),
        SetTimer(T0 + HOUR),
    ]
    assert e.state == "entering"


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (bar(valid=False), "invalid"),
        (bar(decision=Decision(0.7, 0.5, float("nan"), 100.0)), "invalid"),
        (bar(decision=Decision(0.7, 0.5, 0.0, 100.0)), "invalid"),
        (bar(decision=Decision(0.7, 0.5, 0.01, float("inf"))), "invalid"),
        (bar(decision=Decision(0.5, 0.5, 0.01, 100.0)), "below_threshold"),
        (bar(decision=Decision(float("nan"), 0.5, 0.01, 100.0)), "below_threshold"),
    ],
)
def test_a_decision_that_is_not_good_enough_sends_nothing(event: BarClosed, why: str) -> None:
    e = engine()
    assert e.handle(event) == []
    assert e.counts == {"decisions": 1, why: 1}


def test_an_entry_that_still_waits_is_called_back_so_as_to_end_at_the_vertical_barrier() -> None:
    e = engine(latency_us=SECOND)
    commands = e.handle(bar())
    assert of(SetTimer, commands) == [SetTimer(T0 + HOUR - SECOND), SetTimer(T0 + HOUR)]
    assert e.handle(Timer(T0 + HOUR - SECOND - 1)) == []
    assert of(Cancel, e.handle(Timer(T0 + HOUR - SECOND))) == [Cancel("vlt-1-e")]
    assert of(Cancel, e.handle(Timer(T0 + HOUR - 1))) == []


@pytest.mark.parametrize("filled", [False, True])
def test_a_cancel_that_nothing_is_heard_of_is_sent_again(filled: bool) -> None:
    e = engine(capabilities=Capabilities(entry_list=True, replace=False))
    placed = held(e) if filled else entered(e)
    assert placed.entry is not None
    name = placed.take_profit.client_order_id if filled else placed.entry.client_order_id
    commands = e.handle(Timer(T0 + HOUR))
    assert of(Cancel, commands) == [Cancel(name)]
    (again,) = of(SetTimer, commands)
    assert again.ts == T0 + HOUR + SECOND
    commands = e.handle(Timer(again.ts))
    assert of(Cancel, commands) == [Cancel(name)]
    assert of(SetTimer, commands) == [SetTimer(again.ts + 2 * SECOND)]


def test_an_entry_that_fills_while_its_cancel_is_under_way_is_held_like_any_other() -> None:
    e = engine(latency_us=SECOND)
    placed = entered(e)
    assert placed.entry is not None
    e.handle(Timer(T0 + HOUR - SECOND))
    ts = T0 + HOUR - 1
    e.handle(Fill(ts, placed.entry.client_order_id, 1, 10_010, placed.entry.qty, 49_800, "taker"))
    for leg in (placed.take_profit, placed.stop_loss):
        assert e.handle(OrderUpdate(ts, leg.client_order_id, "open")) == []
    assert e.state == "holding"
    assert len(of(Replace, e.handle(Timer(T0 + HOUR)))) == 1


def test_a_bar_without_a_decision_only_marks() -> None:
    e = engine()
    assert e.handle(bar(decision=None)) == []
    assert e.account.mark == 10_000


def test_an_entry_worth_too_little_for_its_stop_is_not_sent() -> None:
    # 10.20 at the cap of 100.50 buys 0.101, worth 10.15; at the stop of 99.00 that is 9.999 < 10.
    e = engine(fraction=0.0102)
    assert e.handle(bar()) == []
    assert e.counts["too_small"] == 1
    # 10.26 buys 0.102, worth 10.098 at the stop.
    assert entered(engine(fraction=0.01026)).stop_loss.qty == 102


def test_the_cap_stays_below_a_near_take_profit() -> None:
    e = engine(take_profit=0.1)  # 100.10
    placed = entered(e)
    assert placed.entry is not None
    assert (placed.entry.price, placed.take_profit.price) == (10_009, 10_010)


def test_no_second_entry_while_one_is_under_way_or_held() -> None:
    e = engine()
    held(e)
    assert of(PlaceList, e.handle(bar(T0 + 60 * SECOND))) == []
    assert e.counts["busy"] == 1


def test_a_filled_take_profit_ends_the_trade_and_frees_the_engine() -> None:
    e = engine()
    placed = held(e)
    cash = CASH - 4_975 * 10_010 - 49_800
    assert e.account.cash == cash
    ts = T0 + 9 * SECOND
    e.handle(Fill(ts, "vlt-1-t", 2, 10_200, 4_975, 50_745, "maker"))
    (closed,) = of(Closed, e.handle(OrderUpdate(ts, placed.stop_loss.client_order_id, "expired")))
    assert closed == Closed(
        decision_ts=T0, entry_ts=T0 + SECOND, exit_ts=ts, reason="take_profit", probability=0.7,
        bought=4_975, cost=4_975 * 10_010, sold=4_975, proceeds=4_975 * 10_200, dust=0,
        dust_worth=0, fees=49_800 + 50_745, entry_id="vlt-1-e",
    )  # fmt: skip
    assert e.account.cash == cash + 4_975 * 10_200 - 50_745
    assert e.state == "flat"
    assert of(PlaceList, e.handle(bar(T0 + 60 * SECOND)))[0].entry.client_order_id == "vlt-2-e"


def test_a_fill_heard_twice_counts_once() -> None:
    e = engine()
    placed = entered(e)
    fill = Fill(T0 + 1, "vlt-1-e", 7, 10_010, 1_000, 10_010, "taker")
    e.handle(fill)
    once = e.snapshot()
    assert e.handle(fill) == []
    assert e.snapshot() == once
    assert e.account.position == 1_000
    assert placed.entry is not None
    assert placed.entry.qty == 4_975


def test_an_entry_that_expires_unfilled_leaves_nothing_behind() -> None:
    e = engine()
    placed = entered(e)
    for order in requests(placed):
        e.handle(OrderUpdate(T0 + 1, order.client_order_id, "expired"))
    assert e.state == "flat"
    assert e.counts["unfilled"] == 1
    assert e.account == Account(
        cash=CASH, mark=10_000, peak=CASH, day=(T0 - 1) // (24 * HOUR), day_equity=CASH
    )


def test_a_partly_filled_entry_gets_exits_for_exactly_what_was_bought() -> None:
    e = engine()
    entered(e)
    e.handle(Fill(T0 + 1, "vlt-1-e", 1, 10_010, 1_000, 10_010, "taker"))
    e.handle(OrderUpdate(T0 + 1, "vlt-1-e", "expired", filled=1_000))
    e.handle(OrderUpdate(T0 + 1, "vlt-1-t", "expired"))
    commands = e.handle(OrderUpdate(T0 + 1, "vlt-1-s", "expired"))
    assert of(PlaceList, commands) == [
        PlaceList(
            None,
            OrderRequest("vlt-2-t", "take_profit", "sell", "limit", "GTC", 1_000, 10_200),
            OrderRequest("vlt-2-s", "stop_loss", "sell", "stop", "GTC", 1_000, 9_900),
        )
    ]


def test_an_end_reported_before_its_fills_waits_for_them() -> None:
    e = engine()
    entered(e)
    e.handle(OrderUpdate(T0 + 1, "vlt-1-e", "filled", filled=4_975))
    assert e.state == "entering"
    assert e.account.position == 0
    e.handle(Fill(T0 + 2, "vlt-1-e", 1, 10_010, 4_975, 49_800, "taker"))
    assert e.state == "covering"


def test_a_trade_is_not_over_while_fills_of_its_ended_orders_are_due() -> None:
    e = engine()
    entered(e)
    e.handle(OrderUpdate(T0 + 1, "vlt-1-e", "expired", filled=1_000))
    for name in ("vlt-1-t", "vlt-1-s"):
        e.handle(OrderUpdate(T0 + 1, name, "expired"))
    assert e.state == "entering"
    assert of(PlaceList, e.handle(bar(T0 + 60 * SECOND))) == []
    commands = e.handle(Fill(T0 + 61 * SECOND, "vlt-1-e", 1, 10_010, 1_000, 10_010, "taker"))
    assert [c.stop_loss.qty for c in of(PlaceList, commands)] == [1_000]


def test_without_entry_lists_the_exits_follow_the_fill() -> None:
    e = engine(capabilities=Capabilities(entry_list=False))
    (place,) = of(Place, e.handle(bar()))
    assert place.order.leg == "entry"
    commands = e.handle(Fill(T0 + 1, "vlt-1-e", 1, 10_010, 4_975, 49_800, "taker"))
    (exits,) = of(PlaceList, commands)
    assert exits.entry is None
    assert (exits.take_profit.qty, exits.stop_loss.qty) == (4_975, 4_975)


def test_the_vertical_barrier_replaces_the_exits_with_a_market_sell() -> None:
    e = engine()
    held(e)
    assert e.handle(Timer(T0 + HOUR - 1)) == []
    (replaced,) = of(Replace, e.handle(Timer(T0 + HOUR)))
    assert replaced == Replace(
        "vlt-1-s", OrderRequest("vlt-2-m", "market", "sell", "market", "IOC", 4_975, 0)
    )
    for name in ("vlt-1-t", "vlt-1-s"):
        e.handle(OrderUpdate(T0 + HOUR, name, "canceled"))
    (closed,) = of(Closed, e.handle(Fill(T0 + HOUR, "vlt-2-m", 2, 9_990, 4_975, 49_700, "taker")))
    assert closed.reason == "time"


def test_without_replace_the_sell_waits_for_the_cancel() -> None:
    e = engine(capabilities=Capabilities(replace=False))
    held(e)
    commands = e.handle(Timer(T0 + HOUR))
    assert of(Cancel, commands) == [Cancel("vlt-1-t")]
    assert of(Place, commands) == []
    e.handle(OrderUpdate(T0 + HOUR + 1, "vlt-1-t", "canceled"))
    commands = e.handle(OrderUpdate(T0 + HOUR + 1, "vlt-1-s", "canceled"))
    assert [c.order.leg for c in of(Place, commands)] == ["market"]


def test_an_exit_that_fills_while_it_is_being_replaced_ends_the_trade_as_itself() -> None:
    e = engine()
    held(e)
    e.handle(Timer(T0 + HOUR))
    e.handle(OrderUpdate(T0 + HOUR + 1, "vlt-2-m", "rejected", reason="cancel failed"))
    e.handle(Fill(T0 + HOUR + 1, "vlt-1-s", 2, 9_880, 4_975, 49_200, "taker"))
    (closed,) = of(Closed, e.handle(OrderUpdate(T0 + HOUR + 1, "vlt-1-t", "expired")))
    assert closed.reason == "stop_loss"
    assert e.account.position == 0


def test_a_refused_sell_is_repeated_with_a_new_id_after_a_while_and_not_at_once() -> None:
    e = engine(capabilities=Capabilities(replace=False))
    held(e)
    end = T0 + HOUR
    e.handle(Timer(end))
    e.handle(OrderUpdate(end, "vlt-1-t", "canceled"))
    e.handle(OrderUpdate(end, "vlt-1-s", "canceled"))
    commands = e.handle(OrderUpdate(end + 1, "vlt-2-m", "rejected", reason="no"))
    assert of(Place, commands) == []
    assert SetTimer(end + 1 + SECOND) in commands
    (again,) = of(Place, e.handle(Timer(end + 1 + SECOND)))
    assert again.order.client_order_id == "vlt-3-m"


def test_an_unknown_entry_blocks_until_it_is_found_or_proven_absent() -> None:
    e = engine()
    entered(e)
    (alert,) = of(Alert, e.handle(OrderUpdate(T0 + 1, "vlt-1-e", "unknown")))
    assert alert.code == "order_unknown"
    assert of(PlaceList, e.handle(bar(T0 + 60 * SECOND))) == []
    assert e.counts["busy"] == 1
    for name in ("vlt-1-e", "vlt-1-t", "vlt-1-s"):
        e.handle(OrderUpdate(T0 + 61 * SECOND, name, "absent"))
    assert of(PlaceList, e.handle(bar(T0 + 120 * SECOND))) != []


def test_exits_that_do_not_rest_in_time_make_the_engine_sell() -> None:
    e = engine(cover_within_us=5 * SECOND)
    placed = entered(e)
    commands = e.handle(Fill(T0 + 1, "vlt-1-e", 1, 10_010, 4_975, 49_800, "taker"))
    assert SetTimer(T0 + 1 + 5 * SECOND) in commands
    e.handle(OrderUpdate(T0 + 2, placed.stop_loss.client_order_id, "unknown"))
    commands = e.handle(Timer(T0 + 1 + 5 * SECOND))
    assert [a.code for a in of(Alert, commands)] == ["uncovered"]
    # The unknown stop may be live and hold the coins: it is cancelled first.
    assert of(Cancel, commands) == [Cancel("vlt-1-t")]
    e.handle(OrderUpdate(T0 + 3, "vlt-1-t", "canceled"))
    commands = e.handle(OrderUpdate(T0 + 3, "vlt-1-s", "absent"))
    assert [c.order.qty for c in of(Place, commands)] == [4_975]


def test_exits_that_are_refused_make_the_engine_sell() -> None:
    e = engine(capabilities=Capabilities(entry_list=False))
    e.handle(bar())
    e.handle(Fill(T0 + 1, "vlt-1-e", 1, 10_010, 4_975, 49_800, "taker"))
    e.handle(OrderUpdate(T0 + 2, "vlt-2-t", "rejected", reason="would trigger at once"))
    commands = e.handle(OrderUpdate(T0 + 2, "vlt-2-s", "rejected", reason="as above"))
    assert [c.order.leg for c in of(Place, commands)] == ["market"]


def test_a_partly_filled_take_profit_whose_stop_is_gone_is_covered_again() -> None:
    e = engine()
    held(e)
    ts = T0 + 9 * SECOND
    e.handle(Fill(ts, "vlt-1-t", 2, 10_200, 3_000, 30_600, "maker"))
    commands = e.handle(OrderUpdate(ts, "vlt-1-s", "expired"))
    assert SetTimer(ts + SECOND) in commands
    assert of(Cancel, e.handle(Timer(ts + SECOND))) == [Cancel("vlt-1-t")]
    commands = e.handle(OrderUpdate(ts + SECOND, "vlt-1-t", "canceled", filled=3_000))
    (exits,) = of(PlaceList, commands)
    assert (exits.take_profit.qty, exits.stop_loss.qty) == (1_975, 1_975)


def test_a_stop_that_sells_only_a_part_is_finished_at_the_market() -> None:
    e = engine()
    held(e)
    ts = T0 + 9 * SECOND
    e.handle(Fill(ts, "vlt-1-s", 2, 9_890, 4_000, 39_560, "taker"))
    e.handle(OrderUpdate(ts, "vlt-1-t", "expired"))
    commands = e.handle(OrderUpdate(ts, "vlt-1-s", "expired", filled=4_000))
    assert [c.order.qty for c in of(Place, commands)] == [975]


def test_what_is_worth_too_little_to_be_sold_is_booked_as_dust_and_blocks_nothing() -> None:
    e = engine()
    entered(e)
    # 0.050 at 100 is worth 5 and can't be sold where 10 is the least.
    e.handle(Fill(T0 + 1, "vlt-1-e", 1, 10_010, 50, 501, "taker"))
    e.handle(OrderUpdate(T0 + 1, "vlt-1-e", "expired", filled=50))
    e.handle(OrderUpdate(T0 + 1, "vlt-1-t", "expired"))
    (closed,) = of(Closed, e.handle(OrderUpdate(T0 + 1, "vlt-1-s", "expired")))
    assert (closed.reason, closed.dust, closed.dust_worth) == ("too_small", 50, 50 * 10_000)
    assert (e.account.position, e.account.dust) == (0, 50)
    assert e.account.equity == CASH - 50 * 10 - 501
    assert of(PlaceList, e.handle(bar(T0 + 60 * SECOND))) != []


def test_the_kill_switch_closes_the_position_and_only_a_reset_releases_it() -> None:
    e = engine(max_daily_loss=0.05)
    held(e)
    # 4.975 × (100.10 − 85) and fees are 75.6 of 1,000: more than 5 %.
    commands = e.handle(bar(T0 + 60 * SECOND, 8_500))
    assert [a.code for a in of(Alert, commands)] == ["killed"]
    assert [r.order.leg for r in of(Replace, commands)] == ["market"]
    assert e.halted == "kill switch: daily loss"
    for name in ("vlt-1-t", "vlt-1-s"):
        e.handle(OrderUpdate(T0 + 61 * SECOND, name, "canceled"))
    fill = Fill(T0 + 61 * SECOND, "vlt-2-m", 2, 8_490, 4_975, 42_200, "taker")
    assert [c.reason for c in of(Closed, e.handle(fill))] == ["kill"]
    e.handle(Control(T0 + 62 * SECOND, "resume"))
    next_day = T0 + 30 * HOUR
    assert of(PlaceList, e.handle(bar(next_day))) == []
    assert e.counts["killed"] == 2  # the decision of the bar that threw it, and this one
    e.handle(Control(next_day + 1, "reset"))
    assert e.halted is None
    assert of(PlaceList, e.handle(bar(next_day + 60 * SECOND))) != []


def test_a_drawdown_spread_over_days_throws_the_kill_switch_too() -> None:
    e = engine(max_daily_loss=1.0, max_drawdown=0.04)
    held(e)
    e.handle(bar(T0 + 60 * SECOND, 9_950, None))
    assert e.killed is None
    e.handle(bar(T0 + 25 * HOUR, 9_100, None))
    assert e.killed == "drawdown"


def test_a_drawdown_is_measured_from_the_highest_equity_and_not_from_the_start() -> None:
    e = engine(max_daily_loss=1.0, max_drawdown=0.05)
    held(e)
    e.handle(bar(T0 + 60 * SECOND, 11_000, None))  # equity 1,048.75
    e.handle(bar(T0 + 120 * SECOND, 10_000, None))  # 999.00: 4.74 % below
    assert e.killed is None
    e.handle(bar(T0 + 180 * SECOND, 9_945, None))  # 996.27: 5.004 % below
    assert e.killed == "drawdown"


def test_a_bar_that_ends_at_midnight_counts_for_the_day_it_closes() -> None:
    midnight = 20_000 * 24 * HOUR
    account = Account.opening(CASH)
    account.see(midnight - 60 * SECOND, 10_000)
    account.apply(midnight - 30 * SECOND, 1_000, 10_000, 0)
    account.see(midnight, 9_000)
    assert account.day_equity == CASH
    account.see(midnight + 60 * SECOND, 8_000)
    assert account.day_equity == CASH - 1_000 * 1_000


def test_a_loss_by_a_fill_before_the_first_bar_of_a_day_is_a_loss_of_that_day() -> None:
    """Measured from the equity that the day began with, not from that of the day before it."""
    e = engine(max_daily_loss=0.2, max_drawdown=1.0)
    held(e)
    midnight = 1_008 * HOUR
    assert midnight % (24 * HOUR) == 0
    e.handle(bar(midnight, 18_000, None))  # equity 1,392.50, after a day that began with 1,000
    commands = e.handle(Fill(midnight + 1, "vlt-1-s", 2, 10_000, 4_975, 49_750, "taker"))
    # 998.51 now: 28 % below what the day began with, and 0.1 % below the day before's beginning.
    assert e.killed == "daily loss"
    assert [a.code for a in of(Alert, commands)] == ["killed"]


def test_more_sold_than_held_comes_out_of_the_dust_and_beyond_it_pauses() -> None:
    e = engine()
    entered(e)
    e.handle(Fill(T0 + 1, "vlt-1-e", 1, 10_010, 50, 501, "taker"))
    for name in ("vlt-1-e", "vlt-1-t", "vlt-1-s"):
        e.handle(OrderUpdate(T0 + 1, name, "expired"))
    assert e.account.dust == 50
    e.handle(Fill(T0 + 2, "vlt-1-t", 2, 10_200, 50, 0, "maker"))
    assert (e.account.position, e.account.dust, e.paused) == (0, 0, False)
    commands = e.handle(Fill(T0 + 3, "vlt-1-s", 3, 9_900, 10, 0, "taker"))
    assert "oversold" in [a.code for a in of(Alert, commands)]
    assert (e.account.position, e.account.dust, e.paused) == (0, -10, True)


def test_pause_blocks_entries_and_keeps_the_position() -> None:
    e = engine()
    held(e)
    assert e.handle(Control(T0 + 2 * SECOND, "pause")) == []
    assert e.state == "holding"
    other = engine()
    other.handle(Control(T0 - 1, "pause"))
    assert other.handle(bar()) == []
    other.handle(Control(T0 + 1, "resume"))
    assert of(PlaceList, other.handle(bar(T0 + 60 * SECOND))) != []


def test_flatten_closes_the_position_and_pauses() -> None:
    e = engine()
    held(e)
    assert len(of(Replace, e.handle(Control(T0 + 2 * SECOND, "flatten")))) == 1
    assert e.paused


def test_no_position_is_larger_than_one_market_order_can_leave() -> None:
    whole = entered(engine()).entry
    assert whole is not None
    capped = entered(engine(capabilities=Capabilities(max_market=whole.qty // 2)))
    assert {order.qty for order in requests(capped)} == {whole.qty // 2}


def test_what_one_market_order_can_not_leave_is_sold_in_parts() -> None:
    e = engine()
    placed = held(e)
    assert placed.entry is not None
    most = placed.entry.qty * 2 // 3
    e.config = dataclasses.replace(e.config, capabilities=Capabilities(max_market=most))
    (first,) = of(Replace, e.handle(Control(T0 + 2 * SECOND, "flatten")))
    assert first.order.qty == most
    for leg in (placed.take_profit, placed.stop_loss):
        e.handle(OrderUpdate(T0 + 3 * SECOND, leg.client_order_id, "canceled"))
    name, ts = first.order.client_order_id, T0 + 4 * SECOND
    commands = e.handle(Fill(ts, name, 2, 10_000, most, 0, "taker"))
    (second,) = of(Place, commands)
    assert second.order.qty == placed.entry.qty - most
    e.handle(Fill(ts, second.order.client_order_id, 3, 10_000, second.order.qty, 0, "taker"))
    assert e.state == "flat"
    assert e.account.position == 0


def test_a_kill_while_entering_cancels_the_entry() -> None:
    e = engine()
    entered(e)
    assert of(Cancel, e.handle(Control(T0 + 1, "kill"))) == [Cancel("vlt-1-e")]
    for name in ("vlt-1-e", "vlt-1-t", "vlt-1-s"):
        e.handle(OrderUpdate(T0 + 2, name, "canceled"))
    assert e.state == "flat"


def test_a_fill_after_its_order_had_ended_is_booked_and_sold() -> None:
    e = engine()
    placed = entered(e)
    for order in requests(placed):
        e.handle(OrderUpdate(T0 + 1, order.client_order_id, "expired"))
    commands = e.handle(Fill(T0 + 9, "vlt-1-e", 1, 10_010, 1_000, 10_010, "taker"))
    assert [a.code for a in of(Alert, commands)] == ["late_fill"]
    assert [c.order.qty for c in of(Place, commands)] == [1_000]
    assert e.account.position == 1_000


def test_a_fill_of_an_order_nobody_knows_pauses_entries() -> None:
    e = engine()
    commands = e.handle(Fill(T0, "other-1", 1, 10_000, 10, 0, "taker"))
    assert [a.code for a in of(Alert, commands)] == ["foreign_fill"]
    assert (e.paused, e.halted) == (True, "pause")
    assert e.account.position == 0


def test_news_of_the_past_changes_nothing() -> None:
    e = engine()
    held(e)
    before = e.snapshot()
    e.handle(OrderUpdate(T0 + SECOND, "vlt-1-e", "open"))
    e.handle(OrderUpdate(T0 + SECOND, "vlt-1-s", "held"))
    # A request that timed out after the stream had already told of its order.
    e.handle(OrderUpdate(T0 + SECOND, "vlt-1-s", "unknown"))
    assert e.snapshot() == before


def test_events_survive_json_and_replay_to_the_same_commands() -> None:
    events = [
        bar(),
        Fill(T0 + 1, "vlt-1-e", 1, 10_010, 4_975, 49_800, "taker"),
        OrderUpdate(T0 + 1, "vlt-1-t", "open"),
        OrderUpdate(T0 + 1, "vlt-1-s", "open"),
        Control(T0 + 2, "pause"),
        Timer(T0 + HOUR),
    ]
    again = [event_from_json(json.loads(json.dumps(event_to_json(e)))) for e in events]
    assert again == events
    config = engine().config
    first = replay(config, RULES, Account.opening(CASH), events)
    second = replay(config, RULES, Account.opening(CASH), again)
    assert [[command_to_json(c) for c in cs] for cs in first] == [
        [command_to_json(c) for c in cs] for cs in second
    ]
    assert any(first)


def test_what_is_not_an_event_is_refused_with_a_hint() -> None:
    with pytest.raises(SourceFormatError, match=r"docs/engine\.md"):
        event_from_json({"event": "Weather", "ts": 1})
    with pytest.raises(SourceFormatError, match="Hint"):
        event_from_json({"event": "Timer", "at": 1})
