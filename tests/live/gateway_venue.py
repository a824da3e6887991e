"""One account of a real venue as the gateway sees an exchange: asked and answered at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.trading import commands as asked
from vostok_core.trading.rules import Rules
from vostok_exchange import queries
from vostok_exchange.events import Event as VenueEvent
from vostok_exchange.events import ExecutionReport
from vostok_exchange.orders import (
    Canceled,
    ListCanceled,
    ListPlaced,
    OcoRequest,
    OrderRequest,
    OtoRequest,
    Placed,
    Rejection,
)
from vostok_exchange.orders import Order as VenueOrder
from vostok_exchange.symbols import UNIT, amount_text
from vostok_exchange.venue import Venue
from vostok_live.gateway.classify import refusal
from vostok_live.gateway.frames import Execution
from vostok_live.gateway.port import (
    Accepted,
    Balance,
    ListReport,
    OrderReport,
    Outcome,
    Rejected,
    Sendable,
    Throttled,
    TradeReport,
    list_name,
)

EPOCH = 1_760_000_000_000_000  # microseconds
OURS, MAKER, TAKER = 1, 2, 3
INSTRUMENT = Instrument(
    InstrumentId.parse("demo.spot.ABC-USDT"),
    "agg_trade",
    Decimal("0.01"),
    Decimal("0.001"),
    Decimal(5),
    600_000_000,
)
RULES = Rules.of(INSTRUMENT)
BNB = Decimal(500)
CASH = Decimal(10_000)


# The exchange


def order_report(order: VenueOrder) -> OrderReport:
    """An order as the exchange reports it."""
    reason = "" if order.expiry_reason == "NONE" else order.expiry_reason
    filled = order.filled * INSTRUMENT.quantity_step
    return OrderReport(
        order.updated, order.order_id, order.client_order_id, order.status, filled, reason
    )


class VenueAccount:
    """One account of a venue: commands and questions, answered at once.

    Attributes:
        stream: What the user stream would have said, oldest first.
    """

    def __init__(self, venue: Venue | None = None, uid: int = OURS) -> None:
        self.venue = venue or make_venue()
        self.uid = uid
        self.stream: deque[Execution] = deque()
        self.now = EPOCH

    def take(self, events: Iterable[VenueEvent]) -> None:
        """Note down what the user stream says of what happened."""
        for event in events:
            if isinstance(event, ExecutionReport) and event.uid == self.uid:
                self.stream.append(self._execution(event))

    def _execution(self, event: ExecutionReport) -> Execution:
        order = order_report(event.order)
        if event.execution != "TRADE":
            return Execution(event.order.symbol, order, None)
        trade = TradeReport(
            event.ts,
            event.trade_id,
            event.order.order_id,
            event.order.client_order_id,
            "buy" if event.order.side == "BUY" else "sell",
            event.last_price * INSTRUMENT.price_tick,
            event.last_qty * INSTRUMENT.quantity_step,
            Decimal(amount_text(event.commission)),
            event.commission_asset or "",
            event.maker,
            "stream",
        )
        return Execution(event.order.symbol, order, trade)

    # Commands

    def execute(self, command: Sendable) -> Outcome:
        """Carry out a command."""
        venue, now, symbol = self.venue, self.now, INSTRUMENT.id.symbol
        match command:
            case asked.Place(order):
                placed, events = venue.place(self.uid, self._request(order), now)
                self.take(events)
                return self._outcome(placed)
            case asked.PlaceList(None, above, below):
                oco = OcoRequest(
                    self._request(above, exit_leg=True),
                    self._request(below, exit_leg=True),
                    list_name(above.client_order_id),
                )
                listed, events = venue.place_oco(self.uid, oco, now)
                self.take(events)
                return self._outcome(listed)
            case asked.PlaceList(entry, above, below):
                assert entry is not None
                otoco = OtoRequest(
                    self._request(entry),
                    (self._request(above, exit_leg=True), self._request(below, exit_leg=True)),
                    list_name(entry.client_order_id),
                )
                listed, events = venue.place_oto(self.uid, otoco, now)
                self.take(events)
                return self._outcome(listed)
            case asked.Cancel(name):
                canceled, events = venue.cancel(self.uid, symbol, now, client_order_id=name)
                self.take(events)
                return self._outcome(canceled)
            case asked.Replace(name, order):
                replaced, events = venue.cancel_replace(
                    self.uid,
                    self._request(order),
                    now,
                    mode="STOP_ON_FAILURE",
                    client_order_id=name,
                )
                self.take(events)
                if isinstance(replaced, Rejection):
                    return self._outcome(replaced)
                canceled_first = self._outcome(replaced.canceled)
                if replaced.placed is None or isinstance(replaced.canceled, Rejection):
                    assert isinstance(canceled_first, Rejected)
                    return canceled_first
                made = self._outcome(replaced.placed)
                assert isinstance(canceled_first, Accepted)
                if isinstance(made, Rejected):
                    return Rejected(made.code, made.text, 409, reports=canceled_first.reports)
                assert isinstance(made, Accepted)
                return Accepted(canceled_first.reports + made.reports, made.trades)

    def _request(self, order: asked.OrderRequest, *, exit_leg: bool = False) -> OrderRequest:
        price = order.price * INSTRUMENT.price_tick
        kinds = {"limit": "LIMIT", "market": "MARKET", "stop": "STOP_LOSS"}
        kind = "LIMIT_MAKER" if exit_leg and order.kind == "limit" else kinds[order.kind]
        return OrderRequest(
            INSTRUMENT.id.symbol,
            "BUY" if order.side == "buy" else "SELL",
            kind,  # type: ignore[arg-type]
            quantity=order.qty * INSTRUMENT.quantity_step,
            price=price if order.kind == "limit" else None,
            stop_price=price if order.kind == "stop" else None,
            time_in_force=order.time_in_force if kind == "LIMIT" else None,
            client_order_id=order.client_order_id,
        )

    def _outcome(
        self, answer: Placed | ListPlaced | Canceled | ListCanceled | Rejection
    ) -> Outcome:
        match answer:
            case Rejection(code, msg):
                made = refusal(400, code, msg, retry_after=None, signed_ms=self.now // 1_000)
                assert not isinstance(made, Throttled)
                return made
            case Placed():
                return Accepted((order_report(answer.order),), self._fills(answer))
            case ListPlaced():
                fills = [fill for placed in answer.orders for fill in self._fills(placed)]
                return Accepted(tuple(order_report(p.order) for p in answer.orders), tuple(fills))
            case Canceled():
                return Accepted((order_report(answer.order),))
            case ListCanceled():
                return Accepted(tuple(map(order_report, answer.orders)))

    def _fills(self, placed: Placed) -> tuple[TradeReport, ...]:
        return tuple(
            TradeReport(
                fill.ts,
                fill.trade_id,
                fill.order_id,
                placed.order.client_order_id,
                "buy" if fill.buyer else "sell",
                fill.price * INSTRUMENT.price_tick,
                fill.qty * INSTRUMENT.quantity_step,
                Decimal(amount_text(fill.commission)),
                fill.commission_asset,
                fill.maker,
                "answer",
            )
            for fill in placed.fills
        )

    # Questions

    def order(self, name: str | None = None, order_id: int | None = None) -> OrderReport | None:
        """An order."""
        found = queries.order(
            self.venue, self.uid, INSTRUMENT.id.symbol, order_id=order_id, client_order_id=name
        )
        return None if isinstance(found, Rejection) else order_report(found)

    def order_list(self, name: str) -> ListReport | None:
        """An order list."""
        found = queries.order_list(self.venue, self.uid, client_order_id=name)
        if isinstance(found, Rejection):
            return None
        names = tuple(name for _, name in queries.names(self.venue, found))
        return ListReport(found.client_order_id, names, found.done)

    def open(self) -> list[OrderReport]:
        """Open orders."""
        found = queries.open_orders(self.venue, self.uid, INSTRUMENT.id.symbol)
        return list(map(order_report, found))

    def trades(self, from_id: int | None, order_id: int | None, page: int) -> list[TradeReport]:
        """Trades."""
        found = queries.my_trades(
            self.venue,
            self.uid,
            INSTRUMENT.id.symbol,
            from_id=from_id,
            order_id=order_id,
            limit=page,
        )
        return [
            TradeReport(
                fill.ts,
                fill.trade_id,
                fill.order_id,
                None,
                "buy" if fill.buyer else "sell",
                fill.price * INSTRUMENT.price_tick,
                fill.qty * INSTRUMENT.quantity_step,
                Decimal(amount_text(fill.commission)),
                fill.commission_asset,
                fill.maker,
                "asked",
            )
            for fill in found
        ]

    def balances(self) -> dict[str, Balance]:
        """What there is."""
        return {
            asset: Balance(Decimal(b.free) / UNIT, Decimal(b.locked) / UNIT)
            for asset, b in self.venue.account(self.uid).balances.items()
        }

    # The market

    def quote(self, mid: int, bid_lots: int = 1_000_000, ask_lots: int = 1_000_000) -> None:
        """Let the market's best prices be a tick below and above `mid`, for so many lots."""
        symbol = INSTRUMENT.id.symbol
        self.take(self.venue.cancel_all(MAKER, symbol, self.now)[1])
        for side, price, lots in (("BUY", mid - 1, bid_lots), ("SELL", mid + 1, ask_lots)):
            made = OrderRequest(
                symbol,
                side,  # type: ignore[arg-type]
                "LIMIT",
                quantity=lots * INSTRUMENT.quantity_step,
                price=price * INSTRUMENT.price_tick,
                time_in_force="GTC",
            )
            self.take(self.venue.place(MAKER, made, self.now)[1])

    def hit(self, side: str, lots: int = 100) -> None:
        """Let somebody trade with the best price."""
        made = OrderRequest(
            INSTRUMENT.id.symbol,
            side,  # type: ignore[arg-type]
            "MARKET",
            quantity=lots * INSTRUMENT.quantity_step,
        )
        self.take(self.venue.place(TAKER, made, self.now)[1])

    # What is true

    def ours(self) -> dict[str, VenueOrder]:
        """Our orders by client order id, each once."""
        listing = self.venue.listing(INSTRUMENT.id.symbol)
        found: dict[str, VenueOrder] = {}
        for order_id in listing.history.get(self.uid, ()):
            order = listing.orders[order_id]
            assert order.client_order_id not in found, f"{order.client_order_id} was placed twice"
            found[order.client_order_id] = order
        return found

    def worth(self) -> tuple[int, int]:
        """Cash in atoms after all fills and their fees, and lots, by the venue's own books."""
        cash, lots = Fraction(RULES.atoms(CASH)), 0
        for fill in queries.my_trades(
            self.venue, self.uid, INSTRUMENT.id.symbol, from_id=0, limit=10**9
        ):
            sign = 1 if fill.buyer else -1
            lots += sign * fill.qty
            assert fill.commission_asset == "BNB"
            fee = Fraction(fill.commission, UNIT) * Fraction(BNB) / Fraction(INSTRUMENT.quote_atom)
            cash -= sign * fill.qty * fill.price + -(-fee // 1)
        return int(cash), lots


def make_venue() -> Venue:
    """A venue with our account and a market around 100.00."""
    venue = Venue({"USDT": BNB})
    venue.list_symbol(INSTRUMENT, last_price=Decimal(100), next_id=1_000)
    rich = {"USDT": Decimal(10**8), "ABC": Decimal(10**6), "BNB": Decimal(10**6)}
    venue.open_account(OURS, {"USDT": CASH, "BNB": Decimal(1_000)})
    venue.open_account(MAKER, rich)
    venue.open_account(TAKER, rich)
    return venue
