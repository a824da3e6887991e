"""The bars that a walk runs over: from its anchor, or from where history begins, without a hole.

History begins anew after a day of which nothing has landed: nobody knows what happened on it, and a
walk across it would remember a market that has moved on. A day without a trade that a source
vouches for is no such hole. It has bars, and is walked over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

import numpy as np
import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.features.walk import anchor
from vostok_core.hashing import hash_value
from vostok_core.lake.store import Lake
from vostok_core.market.currency import require_current_bars
from vostok_core.market.days import landed_as
from vostok_core.times import days as each_day
from vostok_core.times import parse_interval, spans

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class BarDays:
    """The bars of consecutive days, as the lake holds them.

    Attributes:
        days: The days, none missing.
        frames: Their bars.
        hashes: The content hashes of their partitions.
    """

    days: tuple[date, ...]
    frames: tuple[pl.DataFrame, ...]
    hashes: tuple[str, ...]

    @classmethod
    def read(
        cls,
        lake: Lake,
        instrument: str,
        interval: str,
        days: Sequence[date],
        columns: Sequence[str] | None = None,
        *,
        rules: str | None = None,
    ) -> BarDays:
        """The bars of consecutive days; all columns if none are named.

        Args:
            lake: The lake.
            instrument: Its name.
            interval: The interval of the bars.
            days: The days.
            columns: Columns to read.
            rules: `market.days.rules_of` the instrument as it is declared now; left out, the bars
                may have been made by other rules.

        Raises:
            MissingPartition: A day has no bars.
            StalePartition: As in `market.currency.require_current_bars`.
        """
        keys = {"instrument": instrument, "interval": interval}
        require_current_bars(lake, instrument, interval, days, rules)
        loaded = list(lake.load_days("bars", days, columns=columns, **keys))
        return cls(
            tuple(days),
            tuple(frame for _, frame in loaded),
            tuple(info.content_hash for info, _ in loaded),
        )

    @property
    def bars(self) -> pl.DataFrame:
        """All bars in one frame."""
        return pl.concat(self.frames)

    @property
    def places(self) -> dict[date, tuple[int, int]]:
        """For each day, the index of its first bar in `bars` and the number of its bars."""
        starts = np.cumsum([0, *(frame.height for frame in self.frames)])
        return {
            day: (int(start), frame.height)
            for day, start, frame in zip(self.days, starts, self.frames, strict=False)
        }

    def hash_through(self, day: date) -> str:
        """Hash of the content of all days up to `day`."""
        return hash_value(list(self.hashes[: self.days.index(day) + 1]))


def walks(
    lake: Lake,
    instrument: str,
    interval: str,
    days: Sequence[date],
    *,
    warmup: int,
    columns: Sequence[str] | None = None,
    rules: str | None = None,
) -> Iterator[tuple[list[date], BarDays]]:
    """The walks that give the wanted days: one for each month and unbroken history in it.

    Args:
        lake: The lake.
        instrument: Its name.
        interval: The interval of the bars.
        days: The wanted days, in any order.
        warmup: Bars to start before the first of the month.
        columns: Columns of the bars to read; all if not given.
        rules: As in `BarDays.read`.

    Yields:
        In order: the wanted days of a walk, and the bars from where it begins through the last of
        them. A walk for fewer of the days begins at the same bar.

    Raises:
        MissingPartition: A wanted day has no bars, or a day on the way to it has landed and has
            none: what comes out would depend on the order in which days were made.
        StalePartition: As in `market.currency.require_current_bars`.
    """
    for month in _months(days):
        start = anchor(month[0], warmup, parse_interval(interval))
        runs = _runs(lake, instrument, interval, start, month[-1])
        walked = {day for run in runs for day in run}
        for day in month:
            if day not in walked:
                raise _nothing_landed(lake, instrument, day)
        for run in runs:
            wanted = [day for day in month if run[0] <= day <= run[-1]]
            if not wanted:
                continue
            through = list(each_day(run[0], wanted[-1]))
            yield wanted, BarDays.read(lake, instrument, interval, through, columns, rules=rules)


def days_before(
    lake: Lake, instrument: str, interval: str, day: date, *, warmup: int
) -> list[date]:
    """The days before `day` that its walk runs over; none where history begins with `day`.

    Raises:
        MissingPartition: A day in between has landed and has no bars.
    """
    start = anchor(day, warmup, parse_interval(interval))
    if start == day:
        return []
    runs = _runs(lake, instrument, interval, start, day - _DAY)
    return runs[-1] if runs and runs[-1][-1] == day - _DAY else []


def _months(days: Sequence[date]) -> Iterator[list[date]]:
    """The days without repetition, in order, month by month."""
    for _, group in groupby(sorted(set(days)), key=lambda day: (day.year, day.month)):
        yield list(group)


def _runs(lake: Lake, instrument: str, interval: str, first: date, last: date) -> list[list[date]]:
    """The days from `first` through `last` that have bars, by unbroken runs."""
    runs: list[list[date]] = []
    unmade = []
    for day in each_day(first, last):
        if not lake.exists("bars", instrument=instrument, interval=interval, date=day):
            if landed_as(lake, instrument, day) is not None:
                unmade.append(day)
        elif runs and runs[-1][-1] == day - _DAY:
            runs[-1].append(day)
        else:
            runs.append([day])
    if unmade:
        raise _unmade(lake, instrument, interval, unmade, last)
    return runs


def _unmade(
    lake: Lake, instrument: str, interval: str, days: list[date], last: date
) -> MissingPartition:
    merged = landed_as(lake, instrument, days[0])
    made = ", then ".join(
        f"`vostok materialize {merged},quality,bars --instrument {instrument} --from {first} "
        f"--to {until}`"
        for first, until in spans(days)
    )
    return MissingPartition(
        f"{instrument} has landed on {days[0]} and has no {interval} bars of that day, while "
        f"features of {last} walk over it",
        where=lake.root,
        hint=f"run {made} first",
    )


def _nothing_landed(lake: Lake, instrument: str, day: date) -> MissingPartition:
    return MissingPartition(
        f"there are no bars of {instrument} on {day}: nothing has landed for that day",
        where=lake.root,
        hint=f"run `vostok ingest PATH --instrument {instrument} --format FORMAT` with the file of "
        f"that day, or `vostok ingest --absent {day} --instrument {instrument}` if the exchange "
        "has none",
    )
