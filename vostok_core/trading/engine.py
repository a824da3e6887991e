"""The state machine that trades: events in, commands out.

The engine is level-triggered: after every event it compares what is held with what is known of the
orders and asks for whatever is missing. Events that come twice, late or in another order therefore
lead to the same end.

    flat ── decision ──> entering ── filled ──> covering ── exits rest ──> holding
      ^                     │ expired              │ too late                 │ touch, deadline,
      └─────────────────────┴──────── exiting <────┴──────────────────────────┘ flatten, kill
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from vostok_core.labels.barriers import barrier_ticks
from vostok_core.trading.account import Account
from vostok_core.trading.commands import Alert, Command, Level, Place, PlaceList, SetTimer
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.entry import entry_cap
from vostok_core.trading.events import (
    BarClosed,
    Control,
    Decision,
    Event,
    Fill,
    OrderUpdate,
    Timer,
)
from vostok_core.trading.orders import Order
from vostok_core.trading.register import Register
from vostok_core.trading.rules import BPS_SCALE, Rules
from vostok_core.trading.sizing import entry_lots
from vostok_core.trading.trade import Trade
from vostok_core.trading.upkeep import Upkeep, covered, recall_at, retry_delay

CODE_VERSION = "3"
"""Changes whenever the engine answers the same events differently."""

State = Literal["flat", "entering", "covering", "holding", "exiting"]

_INFINITY = float("inf")


class Engine:
    """Long or flat, one position at a time, its exits resting at the exchange.

    Args:
        config: What it is told once.
        rules: Ticks, lots and filters of the instrument.
        account: Its money; the engine owns it from here on.

    Attributes:
        counts: How many decisions were taken or passed over, and why.
        killed: Why the kill switch is latched; None while it is not.
        paused: Whether entries are blocked by a person or by a fill that can't be explained.
    """

    def __init__(self, config: EngineConfig, rules: Rules, account: Account) -> None:
        self.config = config
        self.rules = rules
        self.account = account
        self.ts = 0
        self.counts: Counter[str] = Counter()
        self.killed: str | None = None
        self.paused = False
        self._register = Register(config.run)
        self._trade: Trade | None = None

    @property
    def state(self) -> State:
        """Where the engine stands."""
        trade = self._trade
        if trade is None:
            return "flat"
        if trade.leaving is not None:
            return "exiting"
        orders = self._register.of(trade)
        if not orders[0].settled:
            return "entering"
        return "holding" if covered(orders, self.account.position) else "covering"

    @property
    def halted(self) -> str | None:
        """Why no entry is made until a person acts; None while entries are free."""
        if self.killed is not None:
            return f"kill switch: {self.killed}"
        return "pause" if self.paused else None

    @property
    def orders(self) -> Mapping[str, Order]:
        """Orders of the open trade and the most recent of earlier ones, by client id."""
        return self._register.orders

    def handle(self, event: Event) -> list[Command]:
        """Take note of an event and say what to do about it.

        The commands are to be carried out in order. Never raises for anything an exchange may say.
        """
        self.ts = max(self.ts, event.ts)
        out: list[Command] = []
        if isinstance(event, BarClosed):
            self.account.see(event.ts, event.close)
            self._check_losses(out)
            if self._trade is not None:
                self._advance(out)
            if event.decision is not None:
                self._decide(event, event.decision, out)
            return out
        match event:
            case OrderUpdate():
                self._on_update(event, out)
            case Fill():
                self._on_fill(event, out)
                self._check_losses(out)
            case Control():
                self._on_control(event, out)
            case Timer():
                pass
        self._advance(out)
        return out

    def snapshot(self) -> dict[str, Any]:
        """Everything the engine remembers, as JSON-like values."""
        return {
            "ts": self.ts,
            "sequence": self._register.sequence,
            "killed": self.killed,
            "paused": self.paused,
            "counts": dict(self.counts),
            "account": self.account.to_json(),
            "orders": self._register.to_json(),
            "trade": None if self._trade is None else self._trade.to_json(),
        }

    @classmethod
    def restore(cls, config: EngineConfig, rules: Rules, content: Mapping[str, Any]) -> Engine:
        """The engine that wrote a snapshot; it goes on as if it had never stopped."""
        engine = cls(config, rules, Account.from_json(content["account"]))
        engine.ts = content["ts"]
        engine._register = Register.from_json(config.run, content["sequence"], content["orders"])
        engine.killed = content["killed"]
        engine.paused = content["paused"]
        engine.counts = Counter(content["counts"])
        if content["trade"] is not None:
            engine._trade = Trade.from_json(content["trade"])
        return engine

    # What events change

    def _on_update(self, event: OrderUpdate, out: list[Command]) -> None:
        order = self.orders.get(event.client_order_id)
        if order is None:
            out.append(
                Alert("warning", "foreign_order", f"no order {event.client_order_id} is known")
            )
            return
        before = order.status
        order.update(event.status, event.filled)
        if order.status == before or self._trade is None:
            return
        self._trade.wait_until = 0
        if event.status == "unknown":
            out.append(Alert("warning", "order_unknown", f"{order.client_order_id} has no answer"))
        if event.status in ("rejected", "absent"):
            level: Level = "info" if order.leg == "entry" else "warning"
            out.append(Alert(level, "order_refused", f"{order.client_order_id}: {event.reason}"))
            if order.leg == "market":
                self._trade.refusals += 1
                delay = retry_delay(self.config, self._trade.refusals - 1)
                self._trade.sell_after = self.ts + delay
                out.append(SetTimer(self._trade.sell_after))

    def _on_fill(self, event: Fill, out: list[Command]) -> None:
        order = self.orders.get(event.client_order_id)
        if order is None:
            self.paused = True
            out.append(
                Alert(
                    "critical",
                    "foreign_fill",
                    f"trade {event.trade_id} is of {event.client_order_id}, which is not known; "
                    "entries are paused until the account is reconciled",
                )
            )
            return
        if not order.fill(event.trade_id, event.qty):
            return
        buys = order.side == "buy"
        signed = event.qty if buys else -event.qty
        self.account.apply(event.ts, signed, event.price, event.fee)
        if self.account.position < 0:
            self._oversold(out)
        trade = self._trade
        if trade is None or order.client_order_id not in trade.orders:
            out.append(
                Alert("critical", "late_fill", f"{order.client_order_id} filled after it had ended")
            )
            if trade is None and self.account.position > 0:
                trade = self._trade = Trade(
                    decision_ts=event.ts,
                    deadline=event.ts,
                    probability=0.0,
                    take_profit=0,
                    stop_loss=0,
                    entry=order.client_order_id,
                    orders=[order.client_order_id],
                    leaving="late_fill",
                )
            if trade is None:
                return
        trade.book(order.leg, event.ts, event.qty, event.price, event.fee)

    def _oversold(self, out: list[Command]) -> None:
        """More was sold than the position held: it came out of the dust."""
        self.account.book_dust()
        if self.account.dust < 0:
            self.paused = True
            out.append(Alert("critical", "oversold", "more was sold than was ever bought"))

    def _on_control(self, event: Control, out: list[Command]) -> None:
        match event.action:
            case "pause":
                self.paused = True
            case "resume":
                self.paused = False
            case "flatten":
                self.paused = True
                self._leave("flatten")
            case "kill":
                self._kill("asked for", out)
            case "reset":
                if self.killed is not None:
                    self.killed = None
                    self.account.rebase()

    def _check_losses(self, out: list[Command]) -> None:
        if self.killed is not None:
            return
        account, equity = self.account, self.account.equity
        if (account.day_equity - equity) * BPS_SCALE > (
            account.day_equity * self.config.daily_loss_rate
        ):
            self._kill("daily loss", out)
        elif (account.peak - equity) * BPS_SCALE > account.peak * self.config.drawdown_rate:
            self._kill("drawdown", out)

    def _kill(self, why: str, out: list[Command]) -> None:
        if self.killed is None:
            self.killed = why
            out.append(Alert("critical", "killed", f"kill switch: {why}; only a reset releases it"))
        self._leave("kill")

    def _leave(self, why: str) -> None:
        if self._trade is not None:
            self._trade.leave(why)

    # Entering

    def _decide(self, bar: BarClosed, decision: Decision, out: list[Command]) -> None:
        self.counts["decisions"] += 1
        if not bar.valid or not _usable(decision):
            self.counts["invalid"] += 1
        elif not decision.probability > decision.threshold:
            self.counts["below_threshold"] += 1
        elif self.killed is not None:
            self.counts["killed"] += 1
        elif self.paused:
            self.counts["paused"] += 1
        elif self._trade is not None:
            self.counts["busy"] += 1
        else:
            self._enter(bar.ts, decision, out)

    def _enter(self, ts: int, decision: Decision, out: list[Command]) -> None:
        config, rules, account = self.config, self.rules, self.account
        take_profit, stop_loss = barrier_ticks(
            decision.reference,
            decision.sigma,
            config.take_profit,
            config.stop_loss,
            rules.price_tick,
        )
        cap = entry_cap(rules.ticks(decision.reference), take_profit)
        lots = entry_lots(account.equity, account.cash, config.fraction_rate, cap, config.fee_rate)
        if config.capabilities.max_market:
            lots = min(lots, config.capabilities.max_market)
        # The stop has the lowest price of the list, so it is the first to be worth too little.
        if lots == 0 or lots * stop_loss < rules.min_notional:
            self.counts["too_small"] += 1
            return
        self.counts["entries"] += 1
        register = self._register
        register.next_list()
        entry = register.request("entry", lots, cap)
        trade = Trade(
            decision_ts=ts,
            deadline=ts + config.horizon_us,
            probability=decision.probability,
            take_profit=take_profit,
            stop_loss=stop_loss,
            entry=entry.client_order_id,
        )
        self._trade = trade
        if config.capabilities.entry_list:
            exits = register.exits(trade, lots)
            register.enter(trade, entry, *exits)
            out.append(PlaceList(entry, *exits))
        else:
            register.enter(trade, entry)
            out.append(Place(entry))
        if config.latency_us:
            out.append(SetTimer(recall_at(config, trade)))
        out.append(SetTimer(trade.deadline))

    def _advance(self, out: list[Command]) -> None:
        """Compare what is held with what is ordered, and ask for what is missing."""
        trade = self._trade
        if trade is None:
            return
        look = Upkeep(self.config, self.rules, self.account, self._register, trade, self.ts, out)
        if look.run():
            self._close(trade, out)

    def _close(self, trade: Trade, out: list[Command]) -> None:
        dust = self.account.book_dust()
        self._trade = None
        if trade.bought == 0:
            self.counts["unfilled"] += 1
        else:
            self.counts["closed"] += 1
            out.append(trade.closed(self.ts, dust, self.account.mark))
        self._register.forget()


def _usable(decision: Decision) -> bool:
    return 0.0 < decision.sigma < _INFINITY and 0.0 < decision.reference < _INFINITY


def replay(
    config: EngineConfig, rules: Rules, account: Account, events: Iterable[Event]
) -> list[list[Command]]:
    """The commands that a new engine answers to each of the events."""
    engine = Engine(config, rules, account)
    return [engine.handle(event) for event in events]
