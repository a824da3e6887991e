"""Mistakes of a gateway that every harness must find."""

from __future__ import annotations

from collections.abc import Generator

from tests.live.gateway_server import INSTRUMENT
from vostok_core.trading.events import Fill
from vostok_live.gateway.news import FillNews, News
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import Answer, Question, TradeReport
from vostok_live.gateway.resolve import Findings, Resolver


class Counting(Book):
    """Makes fills up from how much of an order is executed."""

    def hear(self, answer: Answer | TradeReport, now: int) -> list[News]:
        news = super().hear(answer, now)
        for name, order in self.orders.items():
            more = order.reported - order.filled
            if more > 0:
                trade_id = -len(order.trade_ids) - 1
                order.fill(trade_id, more)
                self.held += more if order.side == "buy" else -more
                step = INSTRUMENT.quantity_step
                report = TradeReport(
                    now, trade_id, 0, name, order.side, step, more * step, 0 * step, "BNB", False,
                    "asked",
                )  # fmt: skip
                fill = Fill(now, name, trade_id, order.price, more, 0, "taker")
                news.append(FillNews(fill, report))
        return news


class Deaf(Book):
    """Believes the stream alone of trades."""

    def _trade(self, trade: TradeReport) -> list[News]:
        return [] if trade.source == "asked" else super()._trade(trade)


class Trusting(Resolver):
    """Takes an order for absent as soon as it isn't found."""

    def look(self, book: Book) -> Generator[Question, Answer, Findings]:
        findings = yield from super().look(book)
        gone = [fate for fate in self._fates if all(map(book.lost, fate.names)) and fate.tries]
        for fate in gone:
            self._fates.remove(fate)
            findings.absent.append(fate.names)
        return findings
