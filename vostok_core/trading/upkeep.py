"""One look at an open trade: what is held against what is ordered, and the commands in between.

Nothing here remembers a plan. Whatever was heard, in whatever order, the next look asks for what is
missing then, so that events that come twice, late or in another order lead to the same end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vostok_core.trading.account import Account
from vostok_core.trading.commands import (
    Alert,
    Cancel,
    Command,
    Level,
    Place,
    PlaceList,
    Replace,
    SetTimer,
)
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.entry import entry_expiry
from vostok_core.trading.orders import Order
from vostok_core.trading.register import Register
from vostok_core.trading.rules import Rules
from vostok_core.trading.trade import Trade


def recall_at(config: EngineConfig, trade: Trade) -> int:
    """When an entry that has not filled is called back: the cancel arrives as it expires."""
    return entry_expiry(trade.decision_ts, config.horizon_us) - config.latency_us


def retry_delay(config: EngineConfig, times: int) -> int:
    """How long to wait for an answer, or after a refusal, when it was so many times before."""
    return config.retry_us << min(times, 6)


def covered(orders: Iterable[Order], held: int) -> bool:
    """Whether a take-profit and a stop rest for exactly the lots that are held."""
    legs = {
        order.leg
        for order in orders
        if order.resting and order.side == "sell" and order.remaining == held
    }
    return {"take_profit", "stop_loss"} <= legs


@dataclass(slots=True)
class Upkeep:
    """One look; it changes the trade and its orders, and appends what to do to `out`.

    Attributes:
        config, rules, account, register: The engine's.
        trade: The open trade.
        ts: Time of the look.
        out: Commands, in the order to carry them out.
    """

    config: EngineConfig
    rules: Rules
    account: Account
    register: Register
    trade: Trade
    ts: int
    out: list[Command]

    def run(self) -> bool:
        """Ask for what is missing.

        Returns:
            Whether the trade is over: nothing of it is ordered, and nothing held could be sold.
        """
        trade = self.trade
        if self.ts >= trade.deadline:
            trade.leave("time")
        held = self.account.position
        orders = self.register.of(trade)
        if held > 0 and trade.leaving is None:
            self._watch_cover(orders, held)
        entry = orders[0]
        if not entry.terminal:
            if trade.leaving is not None or self.ts >= recall_at(self.config, trade):
                self._recall([entry])
            return False
        if any(order.terminal and not order.settled for order in orders):
            if self._overdue():
                self._alert("warning", "fills_missing", "an order ended, its fills are due")
            return False
        working = [order for order in orders if not order.terminal]
        if held <= 0:
            if not working:
                return True
            if self._overdue():
                self._cancel(working)
            return False
        if trade.leaving is None:
            self._hold(held, working, orders)
        return trade.leaving is not None and self._sell(held, working)

    def _watch_cover(self, orders: list[Order], held: int) -> None:
        """Give a position up that has been without resting exits for too long."""
        trade = self.trade
        if covered(orders, held):
            trade.cover_by = 0
        elif trade.cover_by == 0:
            trade.cover_by = self.ts + self.config.cover_within_us
            self.out.append(SetTimer(trade.cover_by))
        elif self.ts >= trade.cover_by:
            self._alert("critical", "uncovered", "no exits rest; the position is closed")
            trade.leaving = "uncovered"

    def _hold(self, held: int, working: list[Order], orders: list[Order]) -> None:
        """See to it that exits rest for exactly what is held."""
        trade = self.trade
        if working:
            fits = len(working) == 2 and all(order.remaining == held for order in working)
            # A leg that traded took its twin with it: news of a fill or a cancel is on its way.
            if not fits and self._overdue():
                self._cancel(working)
            return
        newest = orders[-1].list_id
        last_exits = [o for o in orders if o.list_id == newest and o.side == "sell"]
        if any(order.leg == "stop_loss" and order.filled for order in last_exits):
            trade.leaving = "stop_loss"
        elif any(order.status in ("rejected", "absent") for order in last_exits):
            trade.leaving = "uncovered"
        elif self.account.mark <= trade.stop_loss:
            trade.leaving = "stop_loss"
        elif held * trade.stop_loss < self.rules.min_notional:
            trade.leaving = "too_small"
        else:
            self.register.next_list()
            exits = self.register.exits(trade, held)
            self.register.enter(trade, *exits)
            self.out.append(PlaceList(None, *exits))

    def _sell(self, held: int, working: list[Order]) -> bool:
        """Sell at the market, once nothing else can; True when it is too little to be sold."""
        market = [order for order in working if order.leg == "market"]
        if market:
            if not market[0].resting and self._overdue():
                self._alert("warning", "sell_slow", "the market sell has no answer yet")
            return False
        most = min(held, self.config.capabilities.max_market or held)
        worth = held * self.account.mark
        can_sell = worth >= self.rules.min_notional and self.ts >= self.trade.sell_after
        if working:
            one_list = len({order.list_id for order in working}) == 1
            replaceable = all(o.resting and not o.cancel_asked for o in working)
            if self.config.capabilities.replace and one_list and replaceable and can_sell:
                for order in working:
                    order.cancel_asked = True
                replaced = working[-1].client_order_id
                self.register.next_list()
                request = self.register.request("market", most, 0)
                self.register.enter(self.trade, request)
                self.out.append(Replace(replaced, request))
            else:
                self._recall(working)
            return False
        if worth < self.rules.min_notional:
            return True
        if can_sell:
            self.register.next_list()
            request = self.register.request("market", most, 0)
            self.register.enter(self.trade, request)
            self.out.append(Place(request))
        return False

    def _recall(self, orders: list[Order]) -> None:
        """Cancel orders, and again whenever the answer is overdue: a cancel can be lost."""
        overdue = self._overdue()
        if overdue or not all(order.cancel_asked for order in orders):
            self._cancel(orders)

    def _cancel(self, orders: Iterable[Order]) -> None:
        """Cancel one order of each list, which cancels the list."""
        asked: set[int] = set()
        for order in orders:
            order.cancel_asked = True
            if order.list_id not in asked:
                asked.add(order.list_id)
                self.out.append(Cancel(order.client_order_id))

    def _overdue(self) -> bool:
        """Whether news is overdue; asks to be called when it will be."""
        trade = self.trade
        if trade.wait_until and self.ts < trade.wait_until:
            return False
        overdue = trade.wait_until != 0
        trade.waits = trade.waits + 1 if overdue else 0
        trade.wait_until = self.ts + retry_delay(self.config, trade.waits)
        self.out.append(SetTimer(trade.wait_until))
        return overdue

    def _alert(self, level: Level, code: str, message: str) -> None:
        self.out.append(Alert(level, code, message))
