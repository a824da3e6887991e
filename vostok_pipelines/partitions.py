"""Partitions: date × instrument for data, date for news, week × instrument for strategies.

What is made of a recorded book has those of the instruments that are recorded alone.

Dagster writes a key of two dimensions as `value|value`, with the dimensions in alphabetical order:
`2025-01-06|binance.spot.BTC-USDT` and `binance.spot.BTC-USDT|2025-01-06` (a week's Monday).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import dagster as dg

from vostok_core.settings import Settings
from vostok_core.times import week_of

MONDAY = 1  # Dagster counts days of the week from Sunday

PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
"""Dagster's tags of a run: the key of its one partition, or the first and last key of its range."""


@dataclass(frozen=True)
class Partitions:
    """The partition definitions of a project."""

    date: dg.PartitionsDefinition
    date_instrument: dg.MultiPartitionsDefinition
    date_recorded: dg.MultiPartitionsDefinition
    week_instrument: dg.MultiPartitionsDefinition

    @classmethod
    def of(cls, settings: Settings) -> "Partitions":
        start = settings.calendar.start
        instruments = dg.StaticPartitionsDefinition(list(settings.instruments))
        recorded = dg.StaticPartitionsDefinition([str(each.id) for each in settings.recorded])
        daily = dg.DailyPartitionsDefinition(start_date=start.isoformat())
        # The week that has begun is a partition: its model is made on its Monday.
        weekly = dg.WeeklyPartitionsDefinition(
            start_date=week_of(start).isoformat(), day_offset=MONDAY, end_offset=1
        )
        return cls(
            date=daily,
            date_instrument=dg.MultiPartitionsDefinition(
                {"date": daily, "instrument": instruments}
            ),
            date_recorded=dg.MultiPartitionsDefinition({"date": daily, "instrument": recorded}),
            week_instrument=dg.MultiPartitionsDefinition(
                {"instrument": instruments, "week": weekly}
            ),
        )


def date_key(day: date, instrument: str) -> str:
    return f"{day}|{instrument}"


def week_key(week: date, instrument: str) -> str:
    return f"{instrument}|{week}"


def range_tags(first_key: str, last_key: str) -> dict[str, str]:
    """Tags that make a run cover every partition from one key through another."""
    return {RANGE_START: first_key, RANGE_END: last_key}


def days_by_instrument(keys: Iterable[str]) -> Iterator[tuple[str, Sequence[date]]]:
    """The days of each instrument, sorted, from keys of date × instrument."""
    pairs = sorted((key.split("|")[1], date.fromisoformat(key.split("|")[0])) for key in keys)
    for instrument, group in groupby(pairs, key=lambda pair: pair[0]):
        yield instrument, [day for _, day in group]


def weeks_by_instrument(keys: Iterable[str]) -> Iterator[tuple[str, Sequence[date]]]:
    """The Mondays of each instrument, sorted, from keys of instrument × week."""
    pairs = sorted((key.split("|")[0], date.fromisoformat(key.split("|")[1])) for key in keys)
    for instrument, group in groupby(pairs, key=lambda pair: pair[0]):
        yield instrument, [week for _, week in group]
