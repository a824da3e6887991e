"""What is broken on a day, and what to ask an exchange for to repair it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.lake.store import Lake
from vostok_core.market.days import parts_in_use, previous_tick
from vostok_core.market.instrument import Instrument
from vostok_core.market.mending import CONTENT, Hole, holes
from vostok_core.market.ticks import assigned
from vostok_pipelines.rest.venues import Venue

_DAY = timedelta(days=1)
_AT_ONCE = 500
"""Ids that lie no farther apart are asked for at once."""


@dataclass(frozen=True)
class Broken:
    """A span that is not valid, and what to ask for.

    Attributes:
        day: Whose finding it is.
        kind: Of the finding.
        ts: Begin of the span, microseconds.
        end_ts: End of it, itself broken.
        detail: The finding in words.
        ids: First and last trade id to ask for, those around it that are there included.
        missing: How many trades are known to be missing.
        why: Why nothing can be asked; None if something can.
    """

    day: date
    kind: str
    ts: int
    end_ts: int
    detail: str
    ids: tuple[tuple[int, int], ...] = ()
    missing: int = 0
    why: str | None = None


def broken_spans(
    lake: Lake, instrument: Instrument, venue: Venue, first: date, last: date
) -> list[Broken]:
    """What is broken on the days from `first` through `last`, in order.

    Raises:
        CorruptPartition: A partition doesn't read.
    """
    name = str(instrument.id)
    found: list[Broken] = []
    for day in lake.days("quality", instrument=name):
        if not first <= day <= last:
            continue
        findings = lake.read("quality", instrument=name, date=day).filter("invalidates")
        if findings.is_empty() or not lake.exists("ticks", instrument=name, date=day):
            continue
        found += _Day(lake, instrument, venue, day).broken(findings)
    return found


class _Day:
    """A day with findings."""

    def __init__(self, lake: Lake, instrument: Instrument, venue: Venue, day: date) -> None:
        self._lake = lake
        self._instrument = instrument
        self._venue = venue
        self._day = day
        self._ticks = lake.read("ticks", instrument=str(instrument.id), date=day)
        try:
            self._previous, _ = previous_tick(lake, instrument, day)
        except MissingPartition:
            self._previous = None
        self._holes = holes(self._ticks, self._previous)

    def _strangers(self) -> str | None:
        """Why trades of the exchange would not go with those of the day; None if they do."""
        if self._ticks.is_empty():
            return None
        key, ts = self._ticks["trade_id"][0], self._ticks["ts"].to_physical()[0]
        if assigned(key, ts) == (self._venue.ids != "unbroken"):
            return None
        has = "has ids" if self._venue.ids != "unbroken" else "was ingested without ids"
        return f"the day {has}, and trades of {self._venue.exchange} come otherwise"

    def broken(self, findings: pl.DataFrame) -> Iterator[Broken]:
        times = findings.with_columns(pl.col("ts", "end_ts").to_physical())
        left, why = list(self._holes), self._strangers()
        for row in times.iter_rows(named=True):
            span = Broken(self._day, row["kind"], row["ts"], row["end_ts"], row["detail"], why=why)
            if why is not None:
                yield span
            elif span.kind == "gap":
                yield self._gap(span, left)
            elif span.kind == "silence":
                yield self._silence(span)
            elif span.kind == "duplicate":
                yield self._contradiction(span)
            elif span.kind == "jump" and self._venue.by_ids:
                yield self._jump(span)
            else:
                yield replace(span, why="trades that are asked for again settle nothing of it")

    def _gap(self, span: Broken, left: list[Hole]) -> Broken:
        hole = next(
            (hole for hole in left if (hole.ts, hole.end_ts) == (span.ts, span.end_ts)), None
        )
        if hole is None:
            return replace(span, why="the ids go back, and leave nothing out")
        left.remove(hole)
        missing = max(hole.last - hole.first + 1, 0)
        return replace(span, ids=((hole.before, hole.after),), missing=missing)

    def _silence(self, span: Broken) -> Broken:
        if not self._venue.by_ids:
            return span
        inside = [
            (hole.before, hole.after)
            for hole in self._holes
            if hole.ts <= span.end_ts and hole.end_ts >= span.ts
        ]
        if inside:
            return replace(span, ids=tuple(inside))
        ts = self._ticks["ts"].to_physical().cum_max()
        before = self._ticks["trade_id"].filter(ts <= span.ts)
        if before.len():
            newest = int(before[-1])
        elif self._previous is not None:
            newest = self._previous.trade_id
        else:
            return replace(span, why="no trade is known before it: fetch the day before")
        if before.len() < ts.len():  # a break of ids in it would be a hole
            return replace(span, why="the ids are unbroken across it: nothing was traded")
        after = self._next_ids()
        if after.len() == 0:
            return replace(span, ids=((newest, -1),))
        if int(after[0]) == newest + 1:
            return replace(span, why="the ids are unbroken across it: nothing was traded")
        return replace(span, ids=((newest, int(after[0])),))

    def _next_ids(self) -> pl.Series:
        """Ids of the day after."""
        keys: dict[str, Any] = {"instrument": str(self._instrument.id), "date": self._day + _DAY}
        if not self._lake.exists("ticks", **keys):
            return self._ticks["trade_id"].clear()
        return self._lake.read("ticks", columns=["trade_id"], **keys)["trade_id"]

    def _jump(self, span: Broken) -> Broken:
        """The trades of the moment at which the price jumps, and the one before them."""
        shown = self._ticks["ts"].to_physical().cum_max()
        at = self._ticks["trade_id"].filter(shown == span.end_ts)
        before = self._ticks["trade_id"].filter(shown < span.end_ts)
        ids = {int(at[0]), int(at[-1])}
        if before.len():
            ids.add(int(before[-1]))
        elif self._previous is not None:
            ids.add(self._previous.trade_id)
        return replace(span, ids=tuple(_ranges(sorted(ids))))

    def _contradiction(self, span: Broken) -> Broken:
        torn = contested(self._lake, self._instrument, self._day)
        # A trade that is stamped late is noted where it counts, so ids are taken by the minute.
        at = torn.filter(pl.col("ts").to_physical().is_between(span.ts, span.end_ts))
        ids = sorted(set(at["trade_id"].to_list()))
        if not ids:
            return replace(span, why="no id with two contents is found there")
        return replace(span, ids=tuple(_ranges(ids)))


def _ranges(ids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ids in order, as few ranges of them."""
    first = last = -1
    for key in ids:
        if first >= 0 and key - first >= _AT_ONCE:
            yield first, last
            first = key
        first, last = (key if first < 0 else first), key
    yield first, last


def contested(lake: Lake, instrument: Instrument, day: date) -> pl.DataFrame:
    """The rows of a day, of parts in use, whose trade ids have several contents."""
    parts = lake.read_parts("raw_trades", instrument=str(instrument.id), date=day)
    used = {info.path for info in parts_in_use(info for info, _ in parts)}
    rows = pl.concat([rows for info, rows in parts if info.path in used])
    contents = rows.filter(pl.col("trade_id").is_not_null()).unique(["trade_id", *CONTENT])
    return contents.filter(pl.col("trade_id").is_duplicated())
