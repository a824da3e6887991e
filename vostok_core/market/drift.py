"""Whether a source writes its files as it did the day before.

A landed part's footer says how its file was written: columns, header, the unit of times, the
notation of sides. Readers know all of these ways, so nothing is wrong with a day on which they
change; but a source that changes its files may have changed what they mean, which wants a look.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from vostok_core.lake.parquet import PartitionInfo
from vostok_core.market.findings import Finding
from vostok_core.times import DAY, day_start

WRITTEN = "written"
"""Key in a landed part's footer: how the file that it was read from was written."""

_UNKNOWN = "unknown"
_BETWEEN = "; "
_DAY = timedelta(days=1)


def written(parts: Iterable[PartitionInfo]) -> str:
    """How the files of some landed parts were written, as a partition's inputs say it."""
    return together(*(part.inputs.get(WRITTEN, "") for part in parts)) or _UNKNOWN


def together(*ways: str) -> str:
    """Several ways of writing in one text, each once; empty where none is told."""
    return _BETWEEN.join(sorted({way for told in ways for way in told.split(_BETWEEN) if way}))


def drift(now: str, before: str, day: date) -> list[Finding]:
    """That the files of a day are written in another way than those of the day before, if so.

    Args:
        now: `written` of the day's parts in use.
        before: That of the day before.
        day: The UTC day.

    Returns:
        Nothing where either is not known: the day never landed, or not from a file.
    """
    if _UNKNOWN in (now, before) or set(now.split(_BETWEEN)) <= set(before.split(_BETWEEN)):
        return []
    start = day_start(day)
    detail = (
        f"the source writes its files otherwise than on {day - _DAY}: {now}; until then {before}"
    )
    return [Finding("schema_drift", "warn", start, start + DAY - 1, 1, detail)]
