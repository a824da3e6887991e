"""What the status says of a real engine, against numbers worked out by hand.

One tick is 0.01, one lot 0.001, so one atom is 0.00001 of quote. The account opens with 1,000.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from vostok_core.trading.account import Account
from vostok_core.trading.commands import Closed, Command
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import BarClosed, Control, Decision, Event, Fill, OrderUpdate
from vostok_core.trading.rules import Rules
from vostok_live.service.portrait import Portrait, closed_trade, pnl, portrait, wins

RULES = Rules(Decimal("0.01"), Decimal("0.001"), min_notional=1_000_000)
CASH = 100_000_000
HOUR, SECOND = 3_600_000_000, 1_000_000
T0 = 1_000 * HOUR
GOOD = Decision(probability=0.7, threshold=0.5, sigma=0.01, reference=100.0)
ENTRY, PROFIT, STOP = "vlt-1-e", "vlt-1-t", "vlt-1-s"


class Played:
    """An engine and all that it answered."""

    def __init__(self, *events: Event) -> None:
        config = EngineConfig(
            run="t", horizon_us=HOUR, take_profit=2.0, stop_loss=1.0, fraction=0.5,
            taker_fee_bps=10.0,
        )  # fmt: skip
        self.engine = Engine(config, RULES, Account.opening(CASH))
        self.commands: list[Command] = []
        self.hear(*events)

    def hear(self, *events: Event) -> None:
        for event in events:
            self.commands += self.engine.handle(event)

    def portrait(self, closed: int = 0, won: int = 0) -> Portrait:
        return portrait(self.engine, opening=CASH, closed=closed, wins=won)


def bought(lots: int = 4_975, price: int = 10_013, fee: int = 49_815) -> list[Event]:
    return [
        BarClosed(T0, 10_000, decision=GOOD),
        OrderUpdate(T0 + SECOND, ENTRY, "open"),
        OrderUpdate(T0 + SECOND, PROFIT, "held"),
        OrderUpdate(T0 + SECOND, STOP, "held"),
        Fill(T0 + SECOND, ENTRY, 1, price, lots, fee, "taker"),
    ]


COVERED = [OrderUpdate(T0 + 2 * SECOND, PROFIT, "open"), OrderUpdate(T0 + 2 * SECOND, STOP, "open")]


def test_an_engine_that_did_nothing_holds_its_cash_alone() -> None:
    seen = Played().portrait()
    assert (seen.state, seen.paused, seen.killed) == ("flat", False, None)
    assert seen.position is None
    assert (seen.orders, seen.unknown_orders) == ((), 0)
    money = seen.money
    assert (money.equity, money.cash, money.opening, money.peak) == (1_000, 1_000, 1_000, 1_000)
    assert (money.realised, money.unrealised, money.fees, money.drawdown) == (0, 0, 0, 0)
    assert (money.drawdown_limit, money.day_loss_limit) == (0.5, 0.25)


def test_orders_on_their_way_are_told_as_sent() -> None:
    seen = Played(BarClosed(T0, 10_000, decision=GOOD)).portrait()
    assert seen.state == "entering"
    assert seen.position is None
    told = [(o.client_order_id, o.leg, o.side, o.kind, o.status, o.price) for o in seen.orders]
    assert told == [
        (ENTRY, "entry", "buy", "limit", "sent", 100.5),
        (PROFIT, "take_profit", "sell", "limit", "sent", 102.0),
        (STOP, "stop_loss", "sell", "stop", "sent", 99.0),
    ]
    assert {o.qty for o in seen.orders} == {4.975}


def test_an_order_without_an_answer_is_counted_as_unknown() -> None:
    played = Played(BarClosed(T0, 10_000, decision=GOOD), OrderUpdate(T0 + 1, ENTRY, "unknown"))
    seen = played.portrait()
    assert seen.unknown_orders == 1
    assert [o.status for o in seen.orders] == ["unknown", "sent", "sent"]


def test_a_position_is_covered_once_both_exits_rest_and_not_before() -> None:
    played = Played(*bought())
    held = played.portrait().position
    assert held is not None
    assert (held.covered, played.engine.state) == (False, "covering")
    played.hear(COVERED[0])
    held = played.portrait().position
    assert held is not None
    assert not held.covered
    played.hear(COVERED[1])
    seen = played.portrait()
    assert seen.position is not None
    assert (seen.position.covered, seen.state) == (True, "holding")


def test_a_position_in_numbers() -> None:
    played = Played(*bought(), *COVERED, BarClosed(T0 + 60 * SECOND, 10_150))
    seen = played.portrait()
    held, money = seen.position, seen.money
    assert held is not None
    assert (held.qty, held.entry_price) == (4.975, 100.13)
    assert (held.take_profit, held.stop_loss) == (102.0, 99.0)
    assert (held.decision_ts, held.entry_ts, held.deadline_ts) == (T0, T0 + SECOND, T0 + HOUR)
    assert held.probability == 0.7
    assert held.leaving is None
    # 4.975 × (101.50 - 100.13), and the fee of 0.49815 is realised at once.
    assert held.unrealised == money.unrealised == pytest.approx(6.81575)
    assert money.realised == pytest.approx(-0.49815)
    assert money.fees == pytest.approx(0.49815)
    assert money.equity == pytest.approx(1_000 + 6.81575 - 0.49815)
    assert money.cash == pytest.approx(1_000 - 498.14675 - 0.49815)
    assert money.day_pnl == pytest.approx(6.3176)
    assert (money.day_loss, money.drawdown) == (0.0, 0.0)
    # The entry is done, and told no more.
    assert [order.leg for order in seen.orders] == ["take_profit", "stop_loss"]


def test_half_a_position_is_measured_by_half_of_what_was_paid() -> None:
    half = Fill(T0 + 70 * SECOND, PROFIT, 2, 10_200, 2_000, 0, "maker")
    played = Played(*bought(lots=4_975), *COVERED, half, BarClosed(T0 + 80 * SECOND, 10_150))
    seen = played.portrait()
    assert seen.position is not None
    assert seen.position.qty == 2.975
    # 2.975 × (101.50 - 100.13) is open, 2 × (102.00 - 100.13) less the fee is earned.
    assert seen.money.unrealised == pytest.approx(2.975 * 1.37)
    assert seen.money.realised == pytest.approx(2 * 1.87 - 0.49815)
    filled = {order.leg: order.filled for order in seen.orders}
    assert filled["take_profit"] == 2.0


def test_a_loss_is_told_as_a_share_of_peak_and_of_day() -> None:
    day = 24 * HOUR
    played = Played(*bought(), *COVERED, BarClosed(T0 + 60 * SECOND, 11_000))
    peak = played.engine.account.equity
    # The next day begins with the equity of the last mark.
    played.hear(BarClosed(T0 // day * day + day + 60 * SECOND, 10_100))
    money = played.portrait().money
    now = played.engine.account.equity
    assert money.peak == RULES.money(peak)
    assert money.drawdown == pytest.approx((peak - now) / peak)
    assert money.day_loss == pytest.approx((peak - now) / peak)
    assert money.day_pnl == pytest.approx((now - peak) * 1e-5)


def test_a_closed_trade_in_numbers() -> None:
    sold = Fill(T0 + 71 * SECOND, PROFIT, 2, 10_200, 4_975, 25_373, "maker")
    played = Played(*bought(), *COVERED, sold, OrderUpdate(T0 + 71 * SECOND, STOP, "expired"))
    (closed,) = (each for each in played.commands if isinstance(each, Closed))
    told = closed_trade(closed, RULES)
    assert (told.reason, told.entry_id, told.probability) == ("take_profit", ENTRY, 0.7)
    assert (told.qty, told.entry_price, told.exit_price) == (4.975, 100.13, 102.0)
    assert (told.decision_ts, told.entry_ts, told.exit_ts) == (T0, T0 + SECOND, T0 + 71 * SECOND)
    # docs/engine.md works the same trade out.
    assert told.pnl == pytest.approx(8.55137)
    assert told.fees == pytest.approx(0.75188)
    seen = played.portrait(closed=1, won=wins([closed]))
    assert (seen.position, seen.orders, seen.state) == (None, (), "flat")
    assert (seen.money.closed, seen.money.wins) == (1, 1)
    assert seen.money.realised == pytest.approx(told.pnl)
    assert seen.money.unrealised == 0


def test_a_trade_that_only_pays_its_fees_is_no_win() -> None:
    sold = Fill(T0 + 71 * SECOND, PROFIT, 2, 10_013, 4_975, 25_373, "maker")
    played = Played(*bought(), *COVERED, sold, OrderUpdate(T0 + 71 * SECOND, STOP, "expired"))
    (closed,) = (each for each in played.commands if isinstance(each, Closed))
    assert pnl(closed) == -(49_815 + 25_373)
    assert wins([closed]) == 0


def test_what_a_person_asked_for_shows() -> None:
    played = Played(*bought(), *COVERED)
    played.hear(Control(T0 + 3 * SECOND, "pause"))
    assert played.portrait().paused
    played.hear(Control(T0 + 4 * SECOND, "kill"))
    seen = played.portrait()
    assert seen.killed is not None
    assert seen.state == "exiting"
    assert seen.position is not None
    assert seen.position.leaving == "kill"
    market = [order for order in seen.orders if order.leg == "market"]
    assert [(order.kind, order.price) for order in market] == [("market", None)]


def test_drawing_changes_nothing() -> None:
    played = Played(*bought(), *COVERED)
    before = played.engine.snapshot()
    played.portrait()
    assert played.engine.snapshot() == before
