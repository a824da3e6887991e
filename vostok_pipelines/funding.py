"""Funding rates: a file of a month becomes a partition of `funding` for each of its days.

A file of the mirror vouches for its whole month, so a day of it without a settlement is a partition
without rows; a file that was landed by hand vouches for the days from its first to its last row.
The archive has one file of a month: what its file says takes the place of what was landed by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.hashing import hash_frame, hash_value
from vostok_core.lake.store import Lake
from vostok_core.market.days import ARCHIVE, LANDING_VERSION
from vostok_core.market.instrument import Instrument
from vostok_core.times import days as each_day
from vostok_pipelines.sources import funding
from vostok_pipelines.sources.by_day import opened
from vostok_pipelines.sources.layout import Series, check_name, has_funding
from vostok_pipelines.sources.mirror import Found, Mirror

TABLE = "funding"


@dataclass(frozen=True)
class Rates:
    """The funding rates of a file, checked.

    Attributes:
        sha256: Hash (hex) of the file.
        rows: How many there are.
        days: Each day that the file vouches for, with its rows.
    """

    sha256: str
    rows: int
    days: dict[date, pl.DataFrame]


def require_funding(instrument: Instrument) -> None:
    """Refuse an instrument that has no funding rates.

    Raises:
        UsageError: It has none.
    """
    if not has_funding(instrument):
        raise UsageError(
            f"{instrument.id} has no funding rates: its market is {instrument.id.market}",
            hint="they are of perpetual futures, whose ids are venue.usdm.BASE-QUOTE",
        )


def read_rates(path: Path, span: tuple[date, date] | None = None) -> Rates:
    """Read a file of funding rates.

    Args:
        path: The file.
        span: The first and last day that it must be of, and that it vouches for; else those of its
            first and last row.

    Raises:
        SourceFormatError: It is not one, or not of these days.
    """
    with opened(path) as file:
        content = file.read(funding.read_binance)
        first, last = span or (content.days[0], content.days[-1])
        if content.days[0] < first or content.days[-1] > last:
            raise SourceFormatError(
                f"the file is named for {first:%Y-%m} and holds {content.days[0]} to "
                f"{content.days[-1]}",
                where=path,
                hint="download it again, or take it out of that folder",
            )
        return Rates(file.sha256, content.rows, dict(content.of(list(each_day(first, last)))))


def land_funding(
    lake: Lake, path: Path, instrument: Instrument, since: date | None = None
) -> tuple[Rates, list[date]]:
    """Land a file of funding rates by hand.

    Args:
        lake: Where to write.
        path: The file.
        instrument: Whose rates.
        since: The first day to land.

    Returns:
        The rates, and the days that were landed.

    Raises:
        UsageError: The instrument has none.
        SourceFormatError: The file is not what it claims to be. Nothing was written.
    """
    require_funding(instrument)
    check_name(path, instrument)
    rates = read_rates(path)
    days = [day for day in rates.days if since is None or day >= since]
    for day in days:
        _write(lake, instrument, day, rates, {})
    return rates, days


def land_archived_funding(
    lake: Lake, mirror: Mirror, instrument: Instrument, days: Sequence[date]
) -> Iterator[tuple[date, SourceFormatError | None]]:
    """Land the funding rates of some days from the mirror.

    Yields:
        Each day of which the mirror has the month, as it has landed; or why it can't be used.
    """
    files = funding_files(mirror, instrument)
    read: tuple[Found | None, Rates | SourceFormatError | None] = (None, None)
    for day in days:
        found = files.get(day)
        if found is None:
            continue
        if found != read[0]:
            try:
                read = found, read_rates(found.path, (found.first, found.last))
            except SourceFormatError as error:
                read = found, error
        rates = read[1]
        if isinstance(rates, SourceFormatError):
            yield day, rates
            continue
        assert rates is not None
        _write(lake, instrument, day, rates, {ARCHIVE: found.path.name})
        yield day, None


def _write(
    lake: Lake, instrument: Instrument, day: date, rates: Rates, provenance: dict[str, str]
) -> None:
    """Write a day, unless it is there as it would be."""
    keys, rows = {"instrument": str(instrument.id), "date": day}, rates.days[day]
    inputs = {"file": rates.sha256, **provenance}
    if lake.exists(TABLE, **keys):
        info = lake.info(TABLE, **keys)
        there = info.code_version, info.content_hash, dict(info.inputs)
        if there == (LANDING_VERSION, hash_frame(rows), inputs):
            return
    lake.write(TABLE, rows, code_version=LANDING_VERSION, inputs=inputs, **keys)


@dataclass(frozen=True)
class DueFunding:
    """Days whose funding rates have come and are not in the lake as they came.

    Attributes:
        days: They, in order.
        files: The hash of the file of each.
    """

    days: Sequence[date]
    files: dict[date, str]

    def content(self, first: date, last: date) -> str:
        """A hash of what the days from one through another would be made from."""
        made_from = [[str(day), self.files.get(day)] for day in each_day(first, last)]
        return hash_value([LANDING_VERSION, made_from])


def funding_files(mirror: Mirror, instrument: Instrument) -> dict[date, Found]:
    """The file of each day that a mirror has funding rates of."""
    series = Series.funding(instrument)
    return {} if series is None else mirror.files(series)


def due_funding(lake: Lake, instrument: Instrument, hashes: Mapping[date, str]) -> DueFunding:
    """Which days the mirror has funding rates of that the lake doesn't have from there.

    Args:
        lake: The lake.
        instrument: Whose.
        hashes: The hash of the mirror's file of each day that it has.
    """
    name, found = str(instrument.id), {}
    for day, sha256 in sorted(hashes.items()):
        if lake.exists(TABLE, instrument=name, date=day):
            info = lake.info(TABLE, instrument=name, date=day)
            if info.code_version == LANDING_VERSION and info.inputs.get("file") == sha256:
                continue
        found[day] = sha256
    return DueFunding(list(found), found)
