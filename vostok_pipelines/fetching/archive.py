"""Bringing the files that the mirror folder lacks from the archive that it mirrors.

A month that is over and of which no day is there comes as one file where the archive has it; other
days come as files of their own. Of an instrument with funding rates the files of those come along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count, groupby
from pathlib import Path

from vostok_core.errors import FetchError, UsageError, VostokError
from vostok_core.lake.store import Lake
from vostok_core.market.days import PROVISIONAL, parts_in_use
from vostok_core.market.instrument import Instrument
from vostok_core.market.parts import TABLES, keys_of, kind_of
from vostok_core.project import Project
from vostok_pipelines.fetching.download import download
from vostok_pipelines.fetching.fetcher import Fetched, Item, Progress, Report
from vostok_pipelines.fetching.polite import Asker, Pace
from vostok_pipelines.sources.layout import ArchiveFile, Series, month_of
from vostok_pipelines.sources.mirror import Mirror


@dataclass(frozen=True)
class _Wanted:
    """A file that is to be brought.

    Attributes:
        instrument: Whose.
        series: Of which of its series.
        file: Where it lies in the archive.
        place: Where it is to lie here.
        days: The days that are wanted of it; none of funding rates.
    """

    instrument: Instrument
    series: Series
    file: ArchiveFile
    place: Path
    days: tuple[date, ...]


@dataclass
class _Tally:
    """What has come of an instrument so far."""

    instrument: str
    total: int
    done: set[date] = field(default_factory=set)
    days: set[date] = field(default_factory=set)
    absent: set[date] = field(default_factory=set)
    failed: dict[date, VostokError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    received: int = 0
    doing: dict[str, None] = field(default_factory=dict)

    def progress(self) -> Progress:
        doing = ", ".join(self.doing)
        return Progress(self.instrument, len(self.done), self.total, self.received, doing)

    def fetched(self) -> Fetched:
        return Fetched(
            self.instrument,
            tuple(sorted(self.days)),
            tuple(sorted(self.absent)),
            dict(sorted(self.failed.items())),
            self.received,
            tuple(self.notes),
        )


class ArchiveFetcher:
    """Brings files into the mirror folders of a project.

    Args:
        project: Whose `[sources.archives]` and `[sources.urls]`.
        pace: How a server is asked.
        corrected: Whether to look at files that are there too, and bring those anew of which the
            archive publishes another checksum.
        monthly: Whether files of months are asked for.
        today: The day that it is; files are of days before it.
    """

    def __init__(
        self,
        project: Project,
        *,
        pace: Pace | None = None,
        corrected: bool = False,
        monthly: bool = True,
        today: date | None = None,
    ) -> None:
        self._project = project
        self._pace = pace or Pace()
        self._corrected = corrected
        self._monthly = monthly
        self._today = today or datetime.now(UTC).date()

    def source(self, instrument: Instrument) -> Mirror:
        """The mirror folder of an instrument's venue."""
        return Mirror(self._project.archive(instrument))

    def missing(self, lake: Lake, instrument: Instrument, days: Sequence[date]) -> list[date]:
        """Those of some days that neither the mirror has nor anything whole has landed of.

        See `Fetcher.missing`. A day is missing too if it lies in a month that is over and lacks its
        funding rates. A day that somebody declared absent is not.
        """
        self._base(instrument)
        mirror = self.source(instrument)
        there = mirror.files(Series.of(instrument))
        holds = kind_of(instrument)
        missing = set()
        for day in days:
            if day >= self._today:
                continue
            if self._corrected:
                missing.add(day)
            elif day not in there:
                parts = lake.parts(TABLES[holds], **keys_of(instrument, holds, day))
                if all(part.inputs.keys() & PROVISIONAL for part in parts_in_use(parts)):
                    missing.add(day)
        if (funding := Series.funding(instrument)) is not None:
            known = mirror.files(funding)
            name = str(instrument.id)
            missing.update(
                day
                for day in days
                if self._is_over(day)
                and day not in known
                and not lake.exists("funding", instrument=name, date=day)
            )
        return sorted(missing)

    def plan(self, instrument: Instrument, days: Sequence[date]) -> list[Item]:
        """The files that would be asked for to bring some days, in order.

        Of a month that the archive doesn't have (yet), its days are asked for one by one.
        """
        base = self._base(instrument)
        return [
            Item(wanted.file.path.name, wanted.days, f"{base}/{wanted.file.path}")
            for wanted in self._wanted(instrument, days)
        ]

    def fetch(
        self, wanted: Mapping[Instrument, Sequence[date]], report: Report | None = None
    ) -> list[Fetched]:
        """Bring the files of days. See `Fetcher.fetch`.

        Raises:
            FetchError: The folder can't be written, or the disk is full.
        """
        for instrument in wanted:
            self._base(instrument)
        try:
            return asyncio.run(self._fetch(wanted, report or (lambda _: None)))
        except OSError as error:
            roots = {str(self.source(instrument).root) for instrument in wanted}
            raise FetchError(
                f"a file can't be written: {error.strerror or error}",
                where=error.filename or ", ".join(sorted(roots)),
                hint="make room on that disk or mend the rights of the folder; what has come whole "
                "is kept, and asking again goes on where it stopped",
            ) from error

    async def _fetch(
        self, wanted: Mapping[Instrument, Sequence[date]], report: Report
    ) -> list[Fetched]:
        tallies = {
            instrument: _Tally(str(instrument.id), len(days)) for instrument, days in wanted.items()
        }
        queue: asyncio.PriorityQueue[tuple[int, int, _Wanted]] = asyncio.PriorityQueue()
        numbers = count()
        for instrument, days in wanted.items():
            for each in self._wanted(instrument, days):
                number = next(numbers)
                queue.put_nowait((number, number, each))

        async def work(asker: Asker) -> None:
            while True:
                place, _, each = await queue.get()
                tally = tallies[each.instrument]
                for one in await self._bring(asker, each, tally, report):
                    queue.put_nowait((place, next(numbers), one))
                queue.task_done()

        async with Asker(self._pace) as asker:
            over = asyncio.create_task(queue.join())
            workers = [asyncio.create_task(work(asker)) for _ in range(self._pace.jobs)]
            try:
                done, _ = await asyncio.wait([over, *workers], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # a worker ends only by an error
            finally:
                for task in (over, *workers):
                    task.cancel()
                await asyncio.gather(over, *workers, return_exceptions=True)
        return [tally.fetched() for tally in tallies.values()]

    async def _bring(
        self, asker: Asker, wanted: _Wanted, tally: _Tally, report: Report
    ) -> list[_Wanted]:
        """Bring one file; the files to bring instead where the archive doesn't have it."""
        file = wanted.file
        name = file.path.name

        def received(size: int) -> None:
            tally.received += size
            report(tally.progress())

        tally.doing[name] = None
        report(tally.progress())
        instead: list[_Wanted] = []
        try:
            url = f"{self._base(wanted.instrument)}/{file.path}"
            outcome = await download(asker, url, wanted.place, received)
        except FetchError as error:
            tally.failed |= dict.fromkeys(wanted.days or (file.first,), error)
        else:
            if outcome.there:
                tally.days.update(wanted.days if outcome.fetched else ())
                if not outcome.verified:
                    tally.notes.append(
                        f"{name} has no checksum at the archive: all that is known is that the zip "
                        "is whole"
                    )
            elif not wanted.days:
                tally.notes.append(
                    f"the archive has no funding rates of {file.first:%Y-%m}, or not yet"
                )
            elif len(file.days) > 1:
                instead = [self._daily(wanted, day) for day in wanted.days]
            else:
                tally.absent.update(wanted.days)
        if not instead:
            tally.done.update(wanted.days)
        del tally.doing[name]
        report(tally.progress())
        return instead

    def _wanted(self, instrument: Instrument, days: Iterable[date]) -> list[_Wanted]:
        """The files that bring some days of an instrument, in order of days."""
        before = sorted({day for day in days if day < self._today})
        made = [*self._of_ticks(instrument, before), *self._of_funding(instrument, before)]
        return sorted(made, key=lambda wanted: (wanted.file.first, wanted.file.path))

    def _of_ticks(self, instrument: Instrument, days: Sequence[date]) -> Iterator[_Wanted]:
        series, mirror = Series.of(instrument), self.source(instrument)
        there = mirror.files(series)
        lacking = [day for day in days if day not in there]
        for first, group in groupby(lacking, key=lambda day: month_of(day)[0]):
            within, month = list(group), series.monthly(first)
            if self._monthly and within == month.days:
                yield self._new(instrument, series, month, within)
            else:
                yield from (self._new(instrument, series, series.daily(d), [d]) for d in within)
        if not self._corrected:
            return
        for found, group in groupby([day for day in days if day in there], key=there.__getitem__):
            file = (series.monthly if found.is_month else series.daily)(found.first)
            if found.path.name == file.path.name:  # and not the same as a CSV
                yield _Wanted(instrument, series, file, found.path, tuple(group))

    def _of_funding(self, instrument: Instrument, days: Sequence[date]) -> Iterator[_Wanted]:
        series = Series.funding(instrument)
        if series is None:
            return
        there = self.source(instrument).files(series)
        for first in sorted({month_of(day)[0] for day in days if self._is_over(day)}):
            if first not in there:
                yield self._new(instrument, series, series.monthly(first), [])
            elif self._corrected and there[first].path.suffix == ".zip":
                month = series.monthly(first)
                yield _Wanted(instrument, series, month, there[first].path, ())

    def _new(
        self, instrument: Instrument, series: Series, file: ArchiveFile, days: Sequence[date]
    ) -> _Wanted:
        root = self.source(instrument).root
        assert root is not None  # `_base` has seen to it
        return _Wanted(instrument, series, file, root / file.path, tuple(days))

    def _daily(self, wanted: _Wanted, day: date) -> _Wanted:
        """The file of a day, where that of its month was wanted."""
        return self._new(wanted.instrument, wanted.series, wanted.series.daily(day), [day])

    def _is_over(self, day: date) -> bool:
        """Whether the month of a day is over."""
        return month_of(day)[1] < self._today

    def _base(self, instrument: Instrument) -> str:
        """The address that an instrument's files come from.

        Raises:
            UsageError: There is none, or no folder to bring them to.
        """
        venue, sources = instrument.id.venue, self._project.settings.sources
        url = sources.urls.get(venue)
        if url is None:
            known = ", ".join(sources.urls) or "none"
            raise UsageError(
                f"no address to fetch files of {venue} from is known ({instrument.id})",
                hint=f'[sources.urls] in vostok.toml has {known}; add `{venue} = "https://…"`, '
                "or bring them yourself: `vostok ingest PATH --instrument "
                f"{instrument.id} --format FORMAT`",
            )
        if self._project.archive(instrument) is None:
            raise UsageError(
                f"{venue} has no folder to fetch files into ({instrument.id})",
                hint=f'add `{venue} = "archive/{venue}"` to [sources.archives] in vostok.toml',
            )
        return url.rstrip("/")
