"""Orders and trades of the account that are not the daemon's, and trades of nobody knows whom.

What others do in the symbol is none of its business, but that it changes what the account holds.
"""

from __future__ import annotations

from collections import Counter

from vostok_core.trading.commands import Alert
from vostok_live.gateway.news import OURS, STATUS, News
from vostok_live.gateway.port import OrderReport, TradeReport

_MOST = 1_000  # orders, and trades, that are remembered


class Strangers:
    """What is known of them.

    Args:
        cursor: Id from which on trades count as new; None where no trade of ours is known.
        counts: Where it counts what it heard.

    Attributes:
        cursor: Id from which on trades are asked for; None before any were.
        strays: Reports of orders with an id such as ours that nobody here asked for.
        trades: Trades of others since the last `acknowledge`.
    """

    def __init__(self, cursor: int | None, counts: Counter[str]) -> None:
        self.cursor = cursor
        self.strays: dict[str, OrderReport] = {}
        self.trades: list[TradeReport] = []
        self._counts = counts
        self._orders: dict[int, None] = {}
        self._seen: dict[int, None] = {}
        self._unplaced: dict[int, TradeReport] = {}

    def order(self, report: OrderReport) -> list[News]:
        """An order that is not in the book: somebody's, or one that the journal does not know."""
        name = report.client_order_id
        if report.order_id >= 0:
            _remember(self._orders, report.order_id)
        works = STATUS.get(report.status) in ("held", "open", "partial")
        if OURS.fullmatch(name) is None:
            self._counts["foreign_orders"] += 1
        elif not works:
            self.strays.pop(name, None)
        elif name not in self.strays:
            self.strays[name] = report
            return [Alert("critical", "stray_order", f"{name} is {report.status}, not ours")]
        return []

    def trade(self, trade: TradeReport, *, named: bool, missing: bool) -> list[News]:
        """A trade of an order that is not in the book.

        Args:
            trade: The trade.
            named: Whether it came with the name of its order.
            missing: Whether an order of ours is being looked for: then an old trade may be its.
        """
        theirs = named or trade.order_id in self._orders
        old = self.cursor is None or trade.trade_id < self.cursor
        if trade.source == "asked" and old and (theirs or not missing):
            self._counts["old_trades"] += 1
            return []
        if not theirs:
            self._unplaced[trade.trade_id] = trade
            return []
        if trade.trade_id in self._seen:
            return []
        _remember(self._seen, trade.trade_id)
        self._counts["foreign_trades"] += 1
        self.trades.append(trade)
        del self.trades[:-_MOST]
        text = f"trade {trade.trade_id} ({trade.side} {trade.qty}) is not of this daemon's"
        return [Alert("critical", "foreign_trade", text)]

    def unplaced(self) -> list[int]:
        """The exchange's names of orders that traded, and that nobody knows whose they are."""
        return sorted({trade.order_id for trade in self._unplaced.values()})

    def placed(self, order_id: int) -> list[TradeReport]:
        """The trades that waited to be told whose they are; they wait no more."""
        waited = [t for t in self._unplaced.values() if t.order_id == order_id]
        for trade in waited:
            del self._unplaced[trade.trade_id]
        return waited

    def swept(self, trades: list[TradeReport]) -> None:
        """All trades from the cursor on to the end of a page have been heard."""
        self.cursor = max([t.trade_id + 1 for t in trades], default=self.cursor or 0)

    def acknowledge(self) -> None:
        """A person knows of them."""
        self.trades.clear()
        self.strays.clear()


def _remember(ids: dict[int, None], new: int) -> None:
    ids[new] = None
    while len(ids) > _MOST:
        del ids[next(iter(ids))]
