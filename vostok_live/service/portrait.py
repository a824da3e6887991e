"""What the status says of the engine: position, orders, money and trades, in numbers to read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from vostok_core.trading.commands import Closed, Leg, OrderKind
from vostok_core.trading.engine import Engine
from vostok_core.trading.orders import Order
from vostok_core.trading.rules import BPS_SCALE, Rules
from vostok_core.trading.trade import Trade as OpenTrade
from vostok_core.trading.upkeep import covered
from vostok_live.service.status import Money, OpenOrder, Position, State, Trade

_KINDS: dict[Leg, OrderKind] = {
    "entry": "limit",
    "take_profit": "limit",
    "stop_loss": "stop",
    "market": "market",
}


class Portrait(NamedTuple):
    """The engine's part of the status; every field is that of `Status` by the same name."""

    state: State
    paused: bool
    killed: str | None
    position: Position | None
    orders: tuple[OpenOrder, ...]
    unknown_orders: int
    money: Money


def portrait(engine: Engine, *, opening: int, closed: int, wins: int) -> Portrait:
    """Draw the engine as it stands. It is not changed.

    Args:
        engine: Reads its prices, quantities and money by its own rules.
        opening: Equity that the account opened with, in atoms.
        closed: Positions that were opened and closed again.
        wins: How many of them earned money.
    """
    content = engine.snapshot()["trade"]
    trade = None if content is None else OpenTrade.from_json(content)
    unsettled = [order for order in engine.orders.values() if not order.settled]
    unrealised = 0 if trade is None else _unrealised(engine, trade)
    return Portrait(
        state=engine.state,
        paused=engine.paused,
        killed=engine.killed,
        position=None if trade is None else _position(engine, trade, unrealised),
        orders=tuple(_order(order, engine.rules) for order in unsettled),
        unknown_orders=sum(order.status == "unknown" for order in unsettled),
        money=_money(engine, opening, unrealised, closed, wins),
    )


def pnl(trade: Closed) -> int:
    """What a trade earned, in atoms: fees paid, and dust at its worth when it was booked."""
    return trade.proceeds + trade.dust_worth - trade.cost - trade.fees


def closed_trade(trade: Closed, rules: Rules) -> Trade:
    """The report of a trade, in numbers to read."""
    return Trade(
        entry_id=trade.entry_id,
        decision_ts=trade.decision_ts,
        entry_ts=trade.entry_ts,
        exit_ts=trade.exit_ts,
        reason=trade.reason,
        probability=trade.probability,
        qty=rules.quantity(trade.bought),
        entry_price=rules.average(trade.cost, trade.bought),
        exit_price=rules.average(trade.proceeds, trade.sold) if trade.sold else None,
        fees=rules.money(trade.fees),
        pnl=rules.money(pnl(trade)),
    )


def wins(trades: Iterable[Closed]) -> int:
    """How many of the trades earned money."""
    return sum(pnl(trade) > 0 for trade in trades)


def _position(engine: Engine, trade: OpenTrade, unrealised: int) -> Position | None:
    held = engine.account.position
    if not held:
        return None
    rules = engine.rules
    return Position(
        qty=rules.quantity(held),
        entry_price=rules.average(trade.cost, trade.bought),
        take_profit=rules.price(trade.take_profit),
        stop_loss=rules.price(trade.stop_loss),
        covered=covered((engine.orders[name] for name in trade.orders), held),
        unrealised=rules.money(unrealised),
        probability=trade.probability,
        decision_ts=trade.decision_ts,
        entry_ts=trade.entry_ts,
        deadline_ts=trade.deadline,
        leaving=trade.leaving,
    )


def _unrealised(engine: Engine, trade: OpenTrade) -> int:
    """Worth of what is held less its share of what was paid, in atoms, the share rounded up."""
    held = engine.account.position
    if not held:
        return 0
    return held * engine.account.mark + -trade.cost * held // trade.bought


def _order(order: Order, rules: Rules) -> OpenOrder:
    return OpenOrder(
        client_order_id=order.client_order_id,
        leg=order.leg,
        side=order.side,
        kind=_KINDS[order.leg],
        status=order.status,
        qty=rules.quantity(order.qty),
        filled=rules.quantity(order.filled),
        price=rules.price(order.price) if order.price else None,
    )


def _money(engine: Engine, opening: int, unrealised: int, closed: int, wins: int) -> Money:
    account, rules, config = engine.account, engine.rules, engine.config
    equity = account.equity
    return Money(
        equity=rules.money(equity),
        cash=rules.money(account.cash),
        opening=rules.money(opening),
        realised=rules.money(equity - opening - unrealised),
        unrealised=rules.money(unrealised),
        fees=rules.money(account.fees),
        dust=rules.quantity(account.dust),
        peak=rules.money(account.peak),
        drawdown=_loss(account.peak, equity),
        drawdown_limit=config.drawdown_rate / BPS_SCALE,
        day_pnl=rules.money(equity - account.day_equity),
        day_loss=_loss(account.day_equity, equity),
        day_loss_limit=config.daily_loss_rate / BPS_SCALE,
        closed=closed,
        wins=wins,
    )


def _loss(before: int, now: int) -> float:
    """Loss as a share of what was there; 0 where there was a gain, or nothing to lose."""
    return max(before - now, 0) / before if before > 0 else 0.0
