"""What is known of our orders: reports of the exchange become events of the engine, each once.

The book knows of every order what the engine knows: the two go by the same rules
(`vostok_core.trading.orders`), and whatever changes the one is told to the other. Reports may
come in any order, twice, late, or from three places: the answer to a request, the user stream, and
questions. A status never goes back, and a fill counts once, by its trade id. Fills are never made
up from how much of an order is executed; that only says which are still to be heard. A sale that is
heard before the purchase that it sold from waits for it, so that the engine never sees more sold
than was bought.

Orders whose client order id isn't ours are nobody's business here, but for their trades, which
change what the account holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

from vostok_core.market.instrument import Instrument
from vostok_core.trading.commands import Alert, requests
from vostok_core.trading.events import Fill, OrderUpdate, Status
from vostok_core.trading.orders import Order
from vostok_core.trading.rules import Rules
from vostok_live.gateway.fees import PriceOf, fee_atoms
from vostok_live.gateway.news import STATUS, FillNews, News, OrderNews
from vostok_live.gateway.port import (
    Accepted,
    Answer,
    NeverSent,
    OrderReport,
    Outcome,
    Rejected,
    Sendable,
    Throttled,
    TradeReport,
    Unknown,
)
from vostok_live.gateway.strangers import Strangers

_REMEMBERED = 256


class Book:
    """Our orders in one symbol.

    Args:
        instrument: What is traded.
        rules: Its ticks and lots.
        orders: Those that the engine knows (`Engine.orders`).
        held: Lots that the engine holds, its dust included.
        price_of: Prices of assets that commission is charged in.
        fee_rate: What a trade costs at most, over `BPS_SCALE`, where the price isn't known.
        base_fees: Commission charged in base so far, as the journal's fills tell.

    Attributes:
        orders: Those that are remembered, by client order id.
        held: Lots bought less lots sold, in fills that were handed on.
        fills: How many were.
        base_fees: Commission charged in base: what was bought and is not there.
        in_flight: Client order ids of requests that are under way.
        late: Orders that were held for absent or refused and exist all the same, as the exchange
            sees them.
        strangers: Orders and trades that are not ours.
        off_grid: What could not be counted in ticks or lots.
        counts: Of what was heard and changed nothing.
    """

    def __init__(
        self,
        instrument: Instrument,
        rules: Rules,
        *,
        orders: Mapping[str, Order],
        held: int,
        price_of: PriceOf,
        fee_rate: int,
        base_fees: Decimal = Decimal(0),
    ) -> None:
        self.instrument = instrument
        self.orders = {name: Order.from_json(order.to_json()) for name, order in orders.items()}
        self.held = held
        self.fills = 0
        self.base_fees = base_fees
        self.in_flight: set[str] = set()
        self.late: dict[str, Order] = {}
        self.off_grid: list[str] = []
        known = [trade_id for order in self.orders.values() for trade_id in order.trade_ids]
        self.counts: Counter[str] = Counter()
        self.strangers = Strangers(max(known) + 1 if known else None, self.counts)
        self._rules = rules
        self._price_of = price_of
        self._fee_rate = fee_rate
        self._lists: dict[str, tuple[str, ...]] = {}
        for name, order in self.orders.items():
            together = [n for n, o in self.orders.items() if o.list_id == order.list_id]
            self._lists[name] = tuple(together)
        self._sent = max((o.list_id for o in self.orders.values()), default=0)
        self._said: dict[str, tuple[str, int]] = {}
        self._ids: dict[int, str] = {}
        self._early: dict[int, TradeReport] = {}

    # What is known

    def together(self, client_order_id: str) -> tuple[str, ...]:
        """The orders that were sent in one request with this one, itself among them."""
        return self._lists.get(client_order_id, (client_order_id,))

    def order_id(self, client_order_id: str) -> int | None:
        """The exchange's name of an order, where it was heard."""
        return next((key for key, name in self._ids.items() if name == client_order_id), None)

    def unsettled(self) -> list[Order]:
        """Orders that have not ended, or whose fills have not all been heard."""
        return [order for order in self.orders.values() if not order.settled]

    def lost(self, client_order_id: str) -> bool:
        """Whether nobody knows if an order exists: it was sent, and nothing has been heard."""
        order = self.orders.get(client_order_id)
        return (
            order is not None
            and order.status in ("sent", "unknown")
            and client_order_id not in self.in_flight
        )

    def exists(self, client_order_id: str) -> bool:
        """Whether the exchange has, or had, an order: it said so itself.

        An order may be known to be absent while its twins are not yet: whoever learned it of all of
        them may have died in between.
        """
        order = self.orders.get(client_order_id)
        return (
            order is not None and order.status not in ("sent", "unknown", "absent", "rejected")
        ) or client_order_id in self.late

    def incomplete(self) -> list[tuple[str, int]]:
        """Orders of which more is executed than fills were heard, with the exchange's names."""
        due = {n: o for n, o in self.orders.items() if o.reported > o.filled}
        due |= {n: o for n, o in self.late.items() if o.reported > o.filled}
        return [(name, key) for key, name in self._ids.items() if name in due]

    def to_recall(self) -> list[str]:
        """Late orders that still work: the engine has gone on without them."""
        return [name for name, order in self.late.items() if not order.terminal]

    def open_of(self, client_order_id: str) -> list[str]:
        """The orders sent together with this one that are not known to have ended."""
        names = self.together(client_order_id)
        return [n for n in names if n in self.orders and not self.orders[n].terminal] + [
            n for n in names if n in self.late and not self.late[n].terminal
        ]

    # What is done

    def sending(self, command: Sendable) -> None:
        """Note a command down, before it is sent: news of it may come before its answer."""
        wanted = requests(command)
        self._sent += 1
        names = tuple(request.client_order_id for request in wanted)
        for request in wanted:
            self.orders[request.client_order_id] = Order.of(request, self._sent)
            self._lists[request.client_order_id] = names
        self.in_flight.update(names)
        self._forget()

    def answered(self, command: Sendable, outcome: Outcome, now: int) -> list[News]:
        """What the outcome of a command tells.

        Args:
            command: It was noted down when it was sent.
            outcome: What became of it.
            now: Market time, microseconds.
        """
        names = [request.client_order_id for request in requests(command)]
        self.in_flight.difference_update(names)
        news: list[News] = []
        match outcome:
            case Accepted():
                news += self.hear(outcome.reports, now)
                news += self.hear(outcome.trades, now)
                # An answer that leaves an order out says nothing of it.
                for name in names:
                    if self.lost(name):
                        news += self._set(name, "unknown", "the answer leaves it out", now)
            case Rejected():
                news += self.hear(outcome.reports, now)
                said = outcome.text if outcome.code is None else f"{outcome.text} ({outcome.code})"
                for name in names:
                    news += self._set(name, "rejected", said, now)
            case Unknown():
                news += self.hear(outcome.reports, now)
                for name in names:
                    news += self._set(name, "unknown", outcome.text, now)
            case Throttled():
                said = f"throttled for {outcome.retry_after:.0f} s: {outcome.text}"
                for name in names:
                    news += self._set(name, "rejected", said, now)
            case NeverSent():
                for name in names:
                    news += self._set(name, "absent", f"never sent: {outcome.text}", now)
        return news

    def doubt(self, client_order_id: str, now: int) -> list[News]:
        """No answer came for an order, and the exchange does not find it: nobody knows."""
        return self._set(client_order_id, "unknown", "not found so far", now)

    def absent(self, client_order_ids: Iterable[str], now: int) -> list[News]:
        """It is proven that orders never reached the exchange."""
        why = "the exchange does not know it, and can't any more"
        return [n for name in client_order_ids for n in self._set(name, "absent", why, now)]

    def hear(self, answer: Answer | TradeReport, now: int) -> list[News]:
        """What reports of orders and trades tell; of other answers, nothing.

        Args:
            answer: What the exchange said.
            now: Market time, microseconds.
        """
        match answer:
            case OrderReport():
                return self._order(answer, now) + self._no_more_early()
            case TradeReport():
                return self._trade(answer) + self._no_more_early()
            case list() | tuple():
                return [news for each in answer for news in self.hear(each, now)]
            case _:
                return []

    def acknowledge(self) -> None:
        """A person knows of the foreign trades, stray orders and what could not be counted."""
        self.strangers.acknowledge()
        self.off_grid.clear()

    # How it is done

    def _order(self, report: OrderReport, now: int) -> list[News]:
        # A canceled order may be shown by the name of its cancel; its id stays.
        name = self._ids.get(report.order_id, report.client_order_id)
        order = self.orders.get(name)
        if order is None:
            return self.strangers.order(report) + self._place(report.order_id)
        news: list[News] = []
        if report.order_id >= 0 and report.order_id not in self._ids:
            self._ids[report.order_id] = name
        status = STATUS.get(report.status)
        lots = self._lots(report.filled)
        if status is None or lots is None:
            news += self._strange(f"{name} is {report.status}, {report.filled} executed")
            return news + self._place(report.order_id)
        if order.status in ("absent", "rejected") and status != "rejected":
            news += self._appeared(order, status, lots)
        elif self._said.get(name) != (report.status, lots):
            before = (order.status, order.reported)
            order.update(status, lots)
            update = None
            if (order.status, order.reported) != before:
                update = OrderUpdate(now, name, order.status, order.reported, report.reason)
            self._said[name] = (report.status, lots)
            if update is None and order.status != status:
                self.counts["stale_reports"] += 1  # older than what the stream has said meanwhile
            else:
                news.append(OrderNews(name, update, report, lots))
        else:
            self.counts["known_reports"] += 1
        return news + self._place(report.order_id)

    def _appeared(self, order: Order, status: Status, lots: int) -> list[News]:
        """An order that was held for absent or refused exists: it is ours, and called back."""
        name = order.client_order_id
        known = name in self.late
        # Orders of one request were accepted as one.
        for each in self.together(name):
            twin = self.orders.get(each)
            if twin is not None and each not in self.late and twin.status in ("absent", "rejected"):
                self.late[each] = Order.from_json({**twin.to_json(), "status": "unknown"})
        self.late[name].update(status, lots)
        if known:
            return []
        text = f"{name} was held for {order.status} and is {status}; it is called back"
        return [Alert("critical", "late_order", text)]

    def _place(self, order_id: int) -> list[News]:
        """Trades that waited to be told whose they are."""
        return [news for trade in self.strangers.placed(order_id) for news in self._trade(trade)]

    def _trade(self, trade: TradeReport) -> list[News]:
        name = trade.client_order_id or self._ids.get(trade.order_id)
        order = None if name is None else self.orders.get(name)
        if name is None or order is None:
            missing = any(map(self.lost, self.orders))
            return self.strangers.trade(trade, named=name is not None, missing=missing)
        self._ids.setdefault(trade.order_id, name)
        if trade.trade_id in order.trade_ids:
            self.counts["known_trades"] += 1
            return []
        price, lots = self._ticks(trade.price), self._lots(trade.qty)
        if price is None or not lots:
            return self._strange(f"trade {trade.trade_id}: {trade.qty} at {trade.price}")
        if order.side == "sell" and lots > self.held and self._buys_due():
            self._early[trade.trade_id] = trade
            return []
        fee, estimated = fee_atoms(trade, self.instrument, self._price_of, self._fee_rate)
        self.counts["fees_estimated"] += estimated
        order.fill(trade.trade_id, lots)
        if name in self.late:
            self.late[name].fill(trade.trade_id, lots)
        self.held += lots if order.side == "buy" else -lots
        self.fills += 1
        how: Literal["maker", "taker"] = "maker" if trade.maker else "taker"
        fill = Fill(trade.ts, name, trade.trade_id, price, lots, fee, how)
        news: list[News] = [FillNews(fill, trade)]
        base = self.instrument.id.base
        if trade.commission and trade.commission_asset == base:
            self.base_fees += trade.commission
            text = f"trade {trade.trade_id} cost {trade.commission} {base}: less is there to sell"
            news.append(Alert("critical", "fee_in_base", text))
        return news

    def _buys_due(self) -> bool:
        """Whether there may be purchases that have not been heard of."""
        orders = (*self.orders.values(), *self.late.values())
        return any(order.side == "buy" and not order.settled for order in orders)

    def _no_more_early(self) -> list[News]:
        """Sales that came too early, as far as what they sold from is there now."""
        waited, self._early = self._early, {}
        return [news for _, trade in sorted(waited.items()) for news in self._trade(trade)]

    def _set(self, name: str, status: Status, reason: str, now: int) -> list[News]:
        """An order is so, though the exchange reports nothing of it; what it reports goes first."""
        order = self.orders[name]
        if order.status not in ("sent", "unknown") or order.status == status:
            return []
        order.update(status, 0)
        update = OrderUpdate(now, name, order.status, order.reported, reason)
        return [OrderNews(name, update, None, order.reported)]

    def _strange(self, what: str) -> list[News]:
        if what in self.off_grid:
            return []
        self.off_grid.append(what)
        return [Alert("critical", "off_grid", f"{what} can't be counted")]

    def _ticks(self, price: Decimal) -> int | None:
        return _whole(price / self._rules.price_tick)

    def _lots(self, qty: Decimal) -> int | None:
        return _whole(qty / self._rules.quantity_step)

    def _forget(self) -> None:
        """Drop the oldest orders; none that may be heard of again."""
        surplus = len(self.orders) - _REMEMBERED
        settled = (n for n, o in self.orders.items() if o.settled and n not in self.late)
        for name in [name for name, _ in zip(settled, range(surplus), strict=False)]:
            del self.orders[name], self._lists[name]
            self._said.pop(name, None)
            self._ids = {key: each for key, each in self._ids.items() if each != name}


def _whole(number: Decimal) -> int | None:
    return int(number) if number == number.to_integral_value() else None
