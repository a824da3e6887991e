"""The mirror: a folder in the layout of Binance's public archive, as a source of days.

The archive has a day in a file of its own, in the file of its month, or in both. The day's own is
the one that counts, so a file that corrects a day can be put beside its month.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import groupby
from pathlib import Path

from vostok_core.errors import DataError, SourceFormatError
from vostok_core.market.days import ARCHIVE
from vostok_core.market.instrument import Instrument
from vostok_core.times import days as each_day
from vostok_pipelines.sources import klines
from vostok_pipelines.sources.by_day import Content, opened
from vostok_pipelines.sources.common import Source
from vostok_pipelines.sources.days import BadDay, Day, Known
from vostok_pipelines.sources.formats import FORMATS
from vostok_pipelines.sources.layout import SUFFIXES, Series
from vostok_pipelines.sources.reading import read_file

_FORMATS = {
    "agg_trade": "binance-aggtrades",
    "trade": "binance-trades",
    "none": "binance-klines",
}
"""What one tick of an instrument is -> the format of its files."""


@dataclass(frozen=True)
class Found:
    """A file of the mirror, and the first and last day that its name says it holds."""

    path: Path
    first: date
    last: date

    @property
    def is_month(self) -> bool:
        """Whether it is the file of a month."""
        return self.first != self.last


class Mirror:
    """The folder that the files of a venue lie in.

    Names in it don't say which venue traded, so a folder holds files of one venue.

    Args:
        root: The folder; None where the venue has none, and nothing is there.
    """

    name = "archive"

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def files(self, series: Series) -> dict[date, Found]:
        """The file that counts for each day of a series, in order of days.

        A file lies in its place in the layout, with or without the leading `data`, or in the folder
        itself. Where a day lies in several of these, the first counts; then `.zip` before others.
        """
        months: dict[date, Found] = {}
        days: dict[date, Found] = {}
        for found in self._listed(series):
            kept = months if found.is_month else days
            for day in each_day(found.first, found.last):
                kept.setdefault(day, found)
        return dict(sorted((months | days).items()))

    def days(self, instrument: Instrument, first: date, last: date) -> list[date]:
        """The days from `first` through `last` that the mirror has of an instrument, in order."""
        return [day for day in self.files(Series.of(instrument)) if first <= day <= last]

    def read(
        self, instrument: Instrument, days: Sequence[date], known: Known
    ) -> Iterator[Day | BadDay]:
        """Read days; of a file of a month, all that are asked for at once. See `DaySource`."""
        files = self.files(Series.of(instrument))
        there = [(day, files[day]) for day in days if day in files]
        for found, group in groupby(there, key=lambda pair: pair[1]):
            yield from self._read(instrument, found, [day for day, _ in group], known)

    def _read(
        self, instrument: Instrument, found: Found, days: Sequence[date], known: Known
    ) -> Iterator[Day | BadDay]:
        format_ = _FORMATS[instrument.tick]
        reader = partial(read_file, instrument=instrument, format_=format_)
        provenance = {ARCHIVE: found.path.name}
        left = list(days)
        try:
            with opened(found.path, FORMATS[format_].time_field) as file:
                wanted = {day for day in days if not known(day, file.sha256)}
                content = file.read(reader) if wanted else None
                if content is not None:
                    _check_days(found, content)
                    klines.require_minutes(content.interval, found.path)
                for day, read in _day_by_day(days, wanted, content):
                    yield Day(day, file.sha256, provenance, read)
                    del read  # before the next one is read
                    left.remove(day)
        except DataError as error:
            yield from (BadDay(day, error) for day in left)

    def _listed(self, series: Series) -> Iterator[Found]:
        if self.root is None:
            return
        for folder in (
            self.root / "data" / series.folder("daily"),
            self.root / series.folder("daily"),
            self.root / "data" / series.folder("monthly"),
            self.root / series.folder("monthly"),
            self.root,
        ):
            named: list[tuple[int, Found]] = []
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
                for entry in entries:
                    span = series.named(entry.name)
                    if span is not None:
                        rank = next(
                            k for k, suffix in enumerate(SUFFIXES) if entry.name.endswith(suffix)
                        )
                        named.append((rank, Found(folder / entry.name, *span)))
            yield from (found for _, found in sorted(named, key=lambda pair: pair[0]))


def _check_days(found: Found, content: Content) -> None:
    """Check that a file's rows are of the days that it is named for.

    Raises:
        SourceFormatError: They aren't.
    """
    first, last = content.days[0], content.days[-1]
    if found.first <= first and last <= found.last:
        return
    named = f"{found.first:%Y-%m}" if found.is_month else str(found.first)
    raise SourceFormatError(
        f"the file is named for {named} and holds {first} to {last}",
        where=found.path,
        hint="download it again, or take it out of that folder",
    )


def _day_by_day(
    days: Sequence[date], wanted: Collection[date], content: Content | None
) -> Iterator[tuple[date, Source | None]]:
    """Each of some days; with its rows if it is wanted."""
    rows = iter(()) if content is None else content.of(wanted)
    for day in days:
        if content is None or day not in wanted:
            yield day, None
        else:
            frame = next(rows)[1]
            yield day, Source(frame, content.warnings, content.interval, content.written)
