"""One day of a recorded book, from the lake: what an asset calls before it writes.

Nothing is written here. A row that two connections brought around midnight may have been received
on either side of it, so the day before is looked at too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.lake.naming import Key
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.books import (
    book_findings_frame,
    inspect_recordings,
    merge_depth,
    merge_quotes,
)

BOOK_VERSION = "1"
"""Changes whenever a value that the functions of this module return changes."""

RAW = ("raw_quotes", "raw_depth", "recordings")
"""What the recorder lands."""

MADE = ("quotes", "depth", "book_quality")
"""What is made of it."""

_DAY = timedelta(days=1)
_Inputs = dict[str, str]


def book_days(lake: Lake, instrument: str) -> list[date]:
    """The days of an instrument that something was recorded of, in order."""
    return sorted({day for name in RAW for day in lake.days(name, instrument=instrument)})


def book_inputs(lake: Lake, instrument: str, day: date) -> _Inputs:
    """Content hashes of what a day of the book is made from, by table, day and part."""
    found: _Inputs = {}
    for name in RAW:
        for of in (day, day - _DAY) if name != "recordings" else (day,):
            for part in lake.parts(name, instrument=instrument, date=of):
                found[f"{name}/{of}/{part.path.stem}"] = part.content_hash
    return found


def is_current(lake: Lake, instrument: str, day: date) -> bool:
    """Whether a day's quotes, depth and findings are there and are what would be made now."""
    keys: dict[str, Key] = {"instrument": instrument, "date": day}
    if not all(lake.exists(name, **keys) for name in MADE):
        return False
    inputs = book_inputs(lake, instrument, day)
    there = [lake.info(name, **keys) for name in MADE]
    return all((info.code_version, info.inputs) == (BOOK_VERSION, inputs) for info in there)


def book_day(lake: Lake, instrument: str, day: date) -> tuple[Mapping[str, pl.DataFrame], _Inputs]:
    """Put a day of the book in order and inspect it.

    Args:
        lake: Holds what was recorded.
        instrument: Its name.
        day: The day.

    Returns:
        Rows of `quotes`, `depth` and `book_quality`, and the content hash of each part read.

    Raises:
        MissingPartition: Nothing was recorded on the day.
    """
    inputs: _Inputs = {}
    quotes = _parts(lake, "raw_quotes", instrument, day, inputs)
    depth = _parts(lake, "raw_depth", instrument, day, inputs)
    recordings = _parts(lake, "recordings", instrument, day, inputs)
    if not (quotes or depth or recordings):
        raise MissingPartition(
            f"nothing was recorded of {instrument} on {day}",
            where=lake.root,
            hint=f"run `vostok-live record {instrument}` on the days to come, or "
            f"`vostok-live record {instrument} --replay FILE` for a capture",
        )
    earlier = _parts(lake, "raw_quotes", instrument, day - _DAY, inputs)
    said = pl.concat([table("raw_quotes").empty(), *earlier])["update_id"]
    own_quotes, found = merge_quotes(quotes, said)
    earlier = _parts(lake, "raw_depth", instrument, day - _DAY, inputs)
    before = None
    if earlier:
        before = pl.concat([part.select("last_id", "snapshot") for part in earlier]).unique()
    own_depth, wrong = merge_depth(depth, before)
    listed = pl.concat([table("recordings").empty(), *recordings])
    findings = book_findings_frame([*found, *wrong, *inspect_recordings(listed, day)])
    return {"quotes": own_quotes, "depth": own_depth, "book_quality": findings}, inputs


def _parts(
    lake: Lake, name: str, instrument: str, day: date, inputs: _Inputs
) -> list[pl.DataFrame]:
    """The parts of a day, of which none may be; what was read is added to `inputs`."""
    keys: dict[str, Key] = {"instrument": instrument, "date": day}
    if not lake.exists(name, **keys):
        return []
    found = lake.read_parts(name, **keys)
    inputs |= {f"{name}/{day}/{info.path.stem}": info.content_hash for info, _ in found}
    return [frame for _, frame in found]
