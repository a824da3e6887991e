"""Days of trades from an exchange's REST."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import date
from pathlib import Path
from random import Random

from vostok_core.errors import FetchError, VostokError
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.project import Project
from vostok_core.times import utc
from vostok_pipelines.fetching.fetcher import Fetched, Item, Progress, Report
from vostok_pipelines.rest.backfill import Backfill, NotWhole
from vostok_pipelines.rest.chunks import SECONDS
from vostok_pipelines.rest.client import Client, ExchangeRefuses, Patience
from vostok_pipelines.rest.doors import door
from vostok_pipelines.rest.source import RestSource
from vostok_pipelines.rest.trades import Trade
from vostok_pipelines.rest.venues import Venue, venue_of


def rest_folder(project: Project) -> Path:
    """Where what comes by REST is kept until it has landed."""
    return project.dagster_home / "rest"


class RestFetcher:
    """Brings days of trades, one question at a time: an exchange counts questions by address.

    Args:
        project: Whose settings and folders it uses.
        patience: How long exchanges are put up with.
        seconds: How long what came is in memory alone.
    """

    def __init__(
        self, project: Project, *, patience: Patience | None = None, seconds: float = SECONDS
    ) -> None:
        self._settings = project.settings
        self._lake_home = project.lake_home
        self._patience = patience
        self._seconds = seconds
        self._random = Random()  # noqa: S311, it spreads pauses
        self._source = RestSource(rest_folder(project), project.settings)

    def source(self, instrument: Instrument) -> RestSource:  # noqa: ARG002
        """The day source of what has come."""
        return self._source

    def missing(self, lake: Lake, instrument: Instrument, days: Sequence[date]) -> list[date]:
        """Those of some days that have neither landed nor come.

        Days that came and have landed are thrown away here: the lake has them.
        """
        venue_of(self._settings, instrument)
        name = str(instrument.id)
        there = set(self._source.files.days(instrument.id))
        wanted = []
        for day in days:
            if lake.exists("raw_trades", instrument=name, date=day):
                if day in there:
                    self._source.files.remove(instrument.id, day)
            elif day not in there:
                wanted.append(day)
        return wanted

    def plan(self, instrument: Instrument, days: Sequence[date]) -> list[Item]:
        """What would be asked for to bring some days."""
        venue = venue_of(self._settings, instrument)
        kind = "aggregate trades" if instrument.tick == "agg_trade" else "trades"
        place = venue.url or ("the lake's exchange" if venue.embedded else venue.exchange)
        return [Item(f"{kind} of {instrument.id} on {day}", (day,), place) for day in days]

    def fetch(
        self, wanted: Mapping[Instrument, Sequence[date]], report: Report | None = None
    ) -> list[Fetched]:
        """Bring days, an instrument after the other."""
        return [
            asyncio.run(self._fetch(instrument, list(days), report))
            for instrument, days in wanted.items()
        ]

    async def _fetch(
        self, instrument: Instrument, days: list[date], report: Report | None
    ) -> Fetched:
        venue = venue_of(self._settings, instrument)
        if not days:
            return Fetched(str(instrument.id))
        address = venue.address(self._lake_home)
        client = Client(venue.exchange, url=address, patience=self._patience, random=self._random)
        came: list[date] = []
        absent: list[date] = []
        failed: dict[date, VostokError] = {}
        notes: list[str] = []
        async with aclosing(client):
            await client.open()
            try:
                with self._source.files.held(instrument.id):
                    backfill = await self._backfill(client, venue, instrument)
                    for day in days:
                        told = _Told(report, client, instrument, day, len(came), len(days))
                        try:
                            await self._day(backfill, instrument, day, told)
                            came.append(day)
                        except NotWhole as error:
                            absent.append(day)
                            notes.append(f"{day}: {error.what}. {error.hint}")
                        except ExchangeRefuses:
                            raise
                        except FetchError as error:
                            failed[day] = error
            except FetchError as error:  # of everything that is left
                failed |= {day: error for day in days if day not in {*came, *absent, *failed}}
        return Fetched(
            str(instrument.id), tuple(came), tuple(absent), failed, client.received, tuple(notes)
        )

    async def _backfill(self, client: Client, venue: Venue, instrument: Instrument) -> Backfill:
        entrance = door(client, venue, instrument)
        await entrance.open()
        return Backfill(client, entrance, venue, instrument)

    async def _day(
        self, backfill: Backfill, instrument: Instrument, day: date, told: _Told
    ) -> None:
        files = self._source.files
        kept = files.unfinished(instrument.id, day, backfill.made, seconds=self._seconds)
        files.write(instrument.id, day, await backfill.day(day, kept, told))
        kept.remove()


class _Told:
    """Says how far a day is."""

    def __init__(
        self,
        report: Report | None,
        client: Client,
        instrument: Instrument,
        day: date,
        done: int,
        total: int,
    ) -> None:
        self._report = report
        self._client = client
        self._instrument = str(instrument.id)
        self._day = day
        self._done = done
        self._total = total

    def __call__(self, newest: Trade, count: int) -> None:
        if self._report is None:
            return
        doing = f"{self._day}: {count} trades, to {utc(newest.ts):%H:%M:%S}"
        self._report(
            Progress(self._instrument, self._done, self._total, self._client.received, doing)
        )
