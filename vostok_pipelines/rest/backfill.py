"""Going through an exchange's trades: whole days, and the spans that are missing in one.

A day is whole once a trade after its end has been seen: neither a clock nor an empty page can say
so. Until then what came is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import date

import polars as pl

from vostok_core.errors import FetchError
from vostok_core.hashing import hash_value
from vostok_core.market.instrument import Instrument
from vostok_core.times import DAY, SECOND, day_start
from vostok_pipelines.rest.chunks import DayFolder
from vostok_pipelines.rest.client import Client
from vostok_pipelines.rest.doors import Door
from vostok_pipelines.rest.paging import LOOKS, Ended, IdPager, Pager, Stuck, TimePager
from vostok_pipelines.rest.trades import Trade, Unusable
from vostok_pipelines.rest.venues import Venue

MARGIN = 10 * SECOND
"""How far beyond a day its trades are looked for by their ids: times may run backwards by it."""

Told = Callable[[Trade, int], None]
"""Takes the newest trade and the number of those that have come, after each page."""


class NotWhole(FetchError):
    """A day that can't be known whole yet, or has no trade."""


class Backfill:
    """Goes through the trades of one instrument.

    Args:
        client: Asks the exchange.
        door: Shows the instrument's trades.
        venue: How they are shown.
        instrument: Whose they are.
    """

    def __init__(self, client: Client, door: Door, venue: Venue, instrument: Instrument) -> None:
        self._client = client
        self._door = door
        self._venue = venue
        self._instrument = instrument

    @property
    def made(self) -> str:
        """A hash of what the trades that come depend on, besides the exchange."""
        venue, name = self._venue, self._instrument
        return hash_value(
            [venue.exchange, venue.url, venue.by_ids, venue.ids, str(name.id), name.tick]
        )

    async def day(self, day: date, kept: DayFolder, told: Told) -> pl.DataFrame:
        """The trades of a day, in order, once each.

        Args:
            day: Which.
            kept: What has come of it before; what comes is added.
            told: Hears how far it is.

        Raises:
            NotWhole: There is no trade after the day yet, or none on it.
            FetchError: The exchange doesn't answer, or its pages can't be gone through.
        """
        start = day_start(day)
        end = start + DAY
        pager = await self._pager(start, end, kept.resume())
        try:
            async for trades in self._pages(pager):
                kept.add(trades)
                told(trades[-1], kept.rows)
        except Ended:
            raise NotWhole(
                f"the exchange has no trade after {day} yet, so that the day can't be known whole",
                where=self._client.place,
                hint="ask again once it has: what came is kept",
            ) from None
        finally:
            kept.flush()
        by = ["trade_id"] if self._venue.by_ids else ["ts", "trade_id"]
        rows = (
            kept.frame()
            .filter(pl.col("ts").to_physical().is_between(start, end, closed="left"))
            .sort(by if self._venue.ids != "none" else "ts", maintain_order=True)
        )
        assert self._venue.ids == "none" or rows["trade_id"].is_unique().all(), "each comes once"
        if rows.is_empty():
            raise NotWhole(
                f"the exchange has trades after {day} and none on it",
                where=self._client.place,
                hint=f"if that was an outage, say so: `vostok ingest --absent {day} --instrument "
                f"{self._instrument.id}`",
            )
        return rows

    async def ids(self, first: int, last: int) -> list[Trade]:
        """The trades with some ids, in order, as far as the exchange has them.

        Raises:
            FetchError: The exchange doesn't answer.
        """
        return await self._all(IdPager(first, limit=self._door.page, last_id=last))

    async def ids_until(self, first: int, end: int) -> list[Trade]:
        """The trades from an id on through a time, microseconds, as far as the exchange has them.

        Raises:
            FetchError: The exchange doesn't answer.
        """
        found = await self._all(IdPager(first, limit=self._door.page, until=end + 1))
        return [trade for trade in found if trade.ts <= end]

    async def times(self, start: int, end: int) -> list[Trade]:
        """The trades of a span [start, end), microseconds, in order, as far as it has them.

        Raises:
            FetchError: The exchange doesn't answer, or its pages can't be gone through.
        """
        found = await self._all(await self._pager(start, end, []))
        return [trade for trade in found if start <= trade.ts < end]

    async def _all(self, pager: Pager) -> list[Trade]:
        found: list[Trade] = []
        try:
            async for trades in self._pages(pager):
                found += trades
        except Ended:
            pass
        return found

    async def _pager(self, start: int, end: int, held: list[Trade]) -> Pager:
        if not self._venue.by_ids:
            venue = self._venue
            return TimePager(
                start,
                end,
                limit=venue.page,
                ids=venue.ids,
                step=venue.step,
                window=venue.window,
                held=held,
            )
        until = end + MARGIN
        if held:
            return IdPager.after(held, limit=self._door.page, until=until)
        first = await self._door.first_id(start - MARGIN)
        if first is None:
            raise NotWhole(
                "the exchange has no trade since then",
                where=self._client.place,
                hint="ask again once it has",
            )
        # The one before it proves that it is the first.
        early = start if first else None
        return IdPager(max(first - 1, 0), limit=self._door.page, until=until, early=early)

    async def _pages(self, pager: Pager) -> AsyncIterator[list[Trade]]:
        """What comes, page after page."""
        odd = 0
        while (ask := pager.ask()) is not None:
            page = await self._door.trades(ask)
            try:
                new = pager.take(page)
            except Unusable as error:
                odd += 1
                if odd >= self._client.patience.tries + LOOKS:
                    raise self._lost(str(error)) from None
                await self._client.rest(odd)
                continue
            except Stuck as error:
                raise self._lost(str(error)) from None
            odd = 0
            if new:
                yield new

    def _lost(self, why: str) -> FetchError:
        return FetchError(
            f"the trades of {self._instrument.id} can't be gone through: {why}",
            where=self._client.place,
            hint="ask again later; if it stays so, see [exchanges] in docs/fetching.md for how the "
            "exchange's pages are declared",
        )
