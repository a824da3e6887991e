"""The days of trades that came whole by REST, as a day source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from vostok_core.errors import FetchError
from vostok_core.hashing import hash_frame
from vostok_core.market.days import FETCHED
from vostok_core.market.instrument import Instrument
from vostok_core.settings import Settings
from vostok_pipelines.rest.chunks import DayFiles
from vostok_pipelines.rest.trades import landed_rows
from vostok_pipelines.rest.venues import venue_of
from vostok_pipelines.sources.common import Source
from vostok_pipelines.sources.days import BadDay, Day, Known


class RestSource:
    """Reads the days that a `RestFetcher` brought.

    Args:
        folder: Where they lie.
        settings: Says which exchange a venue is.
    """

    name = "rest"

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.files = DayFiles(folder)
        self._settings = settings

    def days(self, instrument: Instrument, first: date, last: date) -> list[date]:
        """The days from `first` through `last` that have come whole."""
        return [day for day in self.files.days(instrument.id) if first <= day <= last]

    def read(
        self, instrument: Instrument, days: Sequence[date], known: Known
    ) -> Iterator[Day | BadDay]:
        """Read some days; one is named by a hash of its rows, so that it may come again."""
        venue = venue_of(self._settings, instrument)
        there = set(self.files.days(instrument.id))
        provenance = {FETCHED: f"rest {venue.exchange}"}
        for day in days:
            if day not in there:
                continue
            try:
                trades = self.files.read(instrument.id, day)
            except FetchError as error:
                yield BadDay(day, error)
                continue
            rows = landed_rows(trades, keep_ids=venue.ids == "unbroken")
            sha256 = hash_frame(rows)
            content = None if known(day, sha256) else Source(rows, _warnings(venue.ids))
            yield Day(day, sha256, provenance, content)


def _warnings(ids: str) -> tuple[str, ...]:
    if ids == "unbroken":
        return ()
    return ("the exchange doesn't number its trades without holes: ids are assigned by time",)
