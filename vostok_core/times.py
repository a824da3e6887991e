"""UTC days, weeks and bar intervals, in microseconds of exchange time.

Inside kernels a time is an int64 of microseconds since 1970-01-01 UTC; in frames it is
`Datetime("us", "UTC")`; in keys a day is `YYYY-MM-DD` and a week is the day of its Monday.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

from vostok_core.errors import UsageError

MICROSECOND = 1
MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

_UNITS = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_EPOCH = date(1970, 1, 1)


def parse_duration(text: str) -> int:
    """Microseconds of a duration such as `250ms`, `1m`, `4h` or `1d`.

    Raises:
        UsageError: The text is not a whole number followed by one of ms, s, m, h, d, w.
    """
    match = re.fullmatch(r"\s*(\d+)\s*(ms|s|m|h|d|w)\s*", text)
    if match is None:
        raise UsageError(
            f"{text!r} is not a duration",
            hint="write a whole number and a unit, such as 250ms, 90s, 5m, 4h, 1d or 2w",
        )
    return int(match[1]) * _UNITS[match[2]]


def parse_interval(text: str) -> int:
    """Microseconds of a bar interval; it must divide a UTC day.

    Raises:
        UsageError: The text is not a duration, or a day is not a multiple of it.
    """
    length = parse_duration(text)
    if length < SECOND or DAY % length:
        raise UsageError(
            f"{text!r} can't be a bar interval, because a UTC day is not a multiple of it",
            hint="use 1s, 1m, 5m, 15m, 1h, 4h or 1d",
        )
    return length


def parse_day(text: str) -> date:
    """The day that `YYYY-MM-DD` names.

    Raises:
        UsageError: The text is not such a day.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a day", hint="write it as 2025-01-31") from None


def parse_week(text: str) -> date:
    """The Monday that names a week.

    Raises:
        UsageError: The text is not a day, or not a Monday.
    """
    day = parse_day(text)
    if day.weekday() != 0:
        raise UsageError(
            f"{text} is a {day:%A}, and a week is named by its Monday",
            hint=f"write {week_of(day)} for the week that holds it",
        )
    return day


def week_of(day: date) -> date:
    """The Monday of the UTC week that holds `day`."""
    return day - timedelta(days=day.weekday())


def day_start(day: date) -> int:
    """Microseconds of 00:00 UTC of `day`."""
    return (day - _EPOCH).days * DAY


def day_of(ts: int) -> date:
    """The UTC day that holds a time in microseconds."""
    return _EPOCH + timedelta(days=ts // DAY)


def days(first: date, last: date) -> Iterator[date]:
    """Every day from `first` through `last`; none when `last` is earlier."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def weeks(first: date, last: date) -> Iterator[date]:
    """Every Monday from the week of `first` through the week of `last`."""
    monday = week_of(first)
    while monday <= last:
        yield monday
        monday += timedelta(days=7)


def spans(days: Iterable[date]) -> list[tuple[date, date]]:
    """The first and last day of each unbroken run of days, in order; the days may be in any."""
    found: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def utc(ts: int) -> datetime:
    """A time in microseconds as an aware datetime, for people to read."""
    return datetime.fromtimestamp(ts // SECOND, tz=UTC) + timedelta(microseconds=ts % SECOND)
