"""What a market did from the first day of its world to the opening of the exchange."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl

from vostok_core.errors import UsageError
from vostok_core.market.synthetic import MarketState, advance
from vostok_core.times import MINUTE, day_of, day_start, days
from vostok_exchange.archive import archive_path, read_day, write_day
from vostok_exchange.settings import Setup
from vostok_exchange.symbols import Symbol
from vostok_exchange.tape import PRICE, rows_of
from vostok_exchange.world import Market


class History:
    """A market's past, made once more; the days of it that the archive lacks are written.

    Attributes:
        state: Where the kernel stands at the opening.
        last_price: Last price before it, or the market's first one where nothing was printed.
        next_id: Id of the next print.
        today: Rows of the tape of the opening's day, up to it.
        news: Time, symbol and tone of what was published.

    Raises:
        UsageError: The archive holds the trades of another world.
    """

    def __init__(self, market: Market, setup: Setup, archive: Path) -> None:
        self._market = market
        self._symbol = Symbol.of(market.instrument)
        self._archive = archive
        self.state: MarketState = market.beginning(setup.first_day, setup.seed)
        tick = market.instrument.price_tick
        self.last_price = round(Decimal(market.spec.start_price) / tick) * tick
        self.news: list[tuple[int, str, int]] = []
        opens = day_of(setup.start)
        for day in days(setup.first_day, opens - timedelta(days=1)):
            ticks = self._run(1440)
            path = archive_path(archive, self._symbol.name, day)
            if not path.exists():
                write_day(archive, self._symbol.name, day, ticks)
            elif day == opens - timedelta(days=1):
                self._compare(path, read_day(archive, self._symbol.name, day), ticks)
        ticks = self._run((setup.start - day_start(opens)) // MINUTE)
        self.today = rows_of(ticks, self._symbol)
        self.next_id = int(self.state.counters[1])

    def _run(self, minutes: int) -> pl.DataFrame:
        span, self.state = advance(self._market.spec, self.state, minutes)
        self.news += [
            (ts, self._symbol.name, int(tone))
            for ts, tone in zip(span.news["ts"].to_physical(), span.news["tone"], strict=True)
        ]
        if span.ticks.height:
            rows = rows_of(span.ticks.tail(1), self._symbol)
            self.last_price = self._symbol.price(int(rows[0, PRICE]))
        return span.ticks

    @staticmethod
    def _compare(path: Path, found: pl.DataFrame, ticks: pl.DataFrame) -> None:
        columns = ["trade_id", "price", "qty"]
        if not found.select(columns).tail(1).equals(ticks.select(columns).tail(1)):
            raise UsageError(
                "the archive holds the trades of another world",
                where=path,
                hint="give the exchange the seed and the first day that the archive was written "
                "with, or an archive of its own with --archive",
            )
