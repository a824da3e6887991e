"""Repairing: spans that are broken are asked for again, and what comes lands as repair parts.

What is asked for is what the table `quality` says is broken, and no more. What comes is landed
beside what is there: trades that were missing, and contents that differ from those that are there,
which are one more contradiction unless they decide one. Nothing is taken away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby
from typing import Any

import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.hashing import hash_frame
from vostok_core.lake.store import Lake
from vostok_core.market.days import REPAIR, parts_in_use, previous_tick
from vostok_core.market.instrument import Instrument
from vostok_core.market.mending import CONTENT, Hole, holes
from vostok_core.market.ticks import assigned
from vostok_core.project import Project
from vostok_core.times import day_of
from vostok_pipelines.rest.backfill import Backfill
from vostok_pipelines.rest.client import Client, Patience
from vostok_pipelines.rest.doors import door
from vostok_pipelines.rest.trades import Trade, frame_of, landed_rows
from vostok_pipelines.rest.venues import Venue
from vostok_pipelines.sources.common import Source
from vostok_pipelines.sources.days import Day, Known

_DAY = timedelta(days=1)


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


@dataclass(frozen=True)
class Answer:
    """What an exchange has of a broken span.

    Attributes:
        of: The span.
        trades: Those to land: missing ones, and contents that differ.
        why: Why there is nothing, or not all; None if there is all.
    """

    of: Broken
    trades: tuple[Trade, ...]
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

    def _contradiction(self, span: Broken) -> Broken:
        torn = contested(self._lake, self._instrument, self._day)
        # A trade that is stamped late is noted where it counts, so ids are taken by the minute.
        at = torn.filter(pl.col("ts").to_physical().is_between(span.ts, span.end_ts))
        ids = sorted(set(at["trade_id"].to_list()))
        if not ids:
            return replace(span, why="no id with two contents is found there")
        return replace(span, ids=tuple((key, key) for key in ids))


def contested(lake: Lake, instrument: Instrument, day: date) -> pl.DataFrame:
    """The rows of a day, of parts in use, whose trade ids have several contents."""
    parts = lake.read_parts("raw_trades", instrument=str(instrument.id), date=day)
    used = {info.path for info in parts_in_use(info for info, _ in parts)}
    rows = pl.concat([rows for info, rows in parts if info.path in used])
    contents = rows.filter(pl.col("trade_id").is_not_null()).unique(["trade_id", *CONTENT])
    return contents.filter(pl.col("trade_id").is_duplicated())


async def ask_again(
    project: Project,
    lake: Lake,
    instrument: Instrument,
    venue: Venue,
    spans: Sequence[Broken],
    patience: Patience | None = None,
) -> list[Answer]:
    """Ask an exchange for what is broken; it isn't reached where nothing can be asked.

    Raises:
        FetchError: It doesn't answer.
        UsageError: It is the embedded one, and doesn't run.
    """
    if all(span.why is not None for span in spans):
        return [Answer(span, (), span.why) for span in spans]
    client = Client(venue.exchange, url=venue.address(project.lake_root), patience=patience)
    async with aclosing(client):
        await client.open()
        entrance = door(client, venue, instrument)
        await entrance.open()
        backfill = Backfill(client, entrance, venue, instrument)
        return await _asked(lake, instrument, backfill, venue, spans)


async def _asked(
    lake: Lake, instrument: Instrument, backfill: Backfill, venue: Venue, spans: Sequence[Broken]
) -> list[Answer]:
    answers = []
    for span in spans:
        if span.why is not None:
            answers.append(Answer(span, (), span.why))
        elif not venue.by_ids:
            answers.append(await _by_times(span, backfill, venue))
        elif span.kind == "duplicate":
            answers.append(await _decided(lake, instrument, span, backfill))
        else:
            answers.append(await _by_ids(lake, instrument, span, backfill))
    return answers


async def _by_times(span: Broken, backfill: Backfill, venue: Venue) -> Answer:
    """The trades inside a silence. Those at its very ends are there; asked for at another
    precision they would come twice.
    """
    if span.kind != "silence":
        return Answer(span, (), f"{venue.exchange} can't be asked for trades by their ids")
    came = await backfill.times(span.ts + venue.step, span.end_ts - venue.step + 1)
    if not came:
        return Answer(span, (), "the exchange has no trade in it either")
    return Answer(span, tuple(came))


async def _by_ids(lake: Lake, instrument: Instrument, span: Broken, backfill: Backfill) -> Answer:
    found: list[Trade] = []
    lacking = 0
    for before, after in span.ids:
        if after < 0:
            came = await backfill.ids_until(before, span.end_ts)
        else:
            came = await backfill.ids(before, after)
            lacking += max(after - before - 1, 0)
        missing = [trade for trade in came if trade.id not in (before, after)]
        lacking -= len(missing) if after >= 0 else 0
        found += missing
        found += _otherwise(lake, instrument, span.day, came)
    if not found:
        beneath = span.kind == "gap" and not span.missing
        why = (
            "the exchange has the same aggregate trades: those beneath were never published"
            if beneath
            else "the exchange has no trade in it either"
        )
        return Answer(span, (), why)
    why = None if lacking <= 0 else f"the exchange doesn't have {lacking} of the trades either"
    return Answer(span, tuple(found), why)


async def _decided(lake: Lake, instrument: Instrument, span: Broken, backfill: Backfill) -> Answer:
    """The exchange's contents of ids that have several."""
    there = contested(lake, instrument, span.day)
    came = [trade for first, last in span.ids for trade in await backfill.ids(first, last)]
    known = {
        tuple(row)
        for row in there.with_columns(pl.col("ts").to_physical())
        .select("trade_id", *CONTENT)
        .iter_rows()
    }
    third = [trade.id for trade in came if trade[:7] not in known]
    if not came:
        return Answer(span, (), "the exchange doesn't have these trades any more")
    why = None if not third else f"the exchange has a third content of {len(third)} of the ids"
    return Answer(span, tuple(came), why)


def _otherwise(lake: Lake, instrument: Instrument, day: date, came: Iterable[Trade]) -> list[Trade]:
    """Those of some trades that are there with another content."""
    wanted = {trade.id: trade for trade in came}
    found = []
    for of in (day - _DAY, day):
        keys: dict[str, Any] = {"instrument": str(instrument.id), "date": of}
        if not lake.exists("ticks", **keys):
            continue
        ticks = lake.read("ticks", **keys).filter(pl.col("trade_id").is_in(list(wanted)))
        rows = ticks.with_columns(pl.col("ts").to_physical()).select("trade_id", *CONTENT)
        found += [wanted[row[0]] for row in rows.iter_rows() if tuple(row) != wanted[row[0]][:7]]
    return found


def repaired_by(lake: Lake, instrument: Instrument, answer: Answer) -> str | None:
    """What the table `quality` says repaired a span; None if nothing did."""
    keys: dict[str, Any] = {"instrument": str(instrument.id), "date": answer.of.day}
    if not lake.exists("quality", **keys):
        return None
    quality = lake.read("quality", **keys)
    if "repaired" not in quality.columns:
        return None
    found = quality.filter(
        pl.col("repaired").is_not_null()
        & (pl.col("kind") == answer.of.kind)
        & (pl.col("ts").to_physical() == answer.of.ts)
        & (pl.col("end_ts").to_physical() == answer.of.end_ts)
    )
    return None if found.is_empty() else str(found["repaired"][0])


class Repairs:
    """What came of broken spans, as a day source: `landing.land_days` lands it.

    Args:
        answers: What came.
        venue: Where from.
    """

    name = "repair"

    def __init__(self, answers: Iterable[Answer], venue: Venue) -> None:
        self._venue = venue
        self._numbered = venue.ids == "unbroken"
        # Spans may overlap, and two equal trades of one span are two.
        trades: Counter[Trade] = Counter()
        for answer in answers:
            trades |= Counter(answer.trades)
        ordered = sorted(trades.elements(), key=self._place)
        self._trades: Mapping[date, list[Trade]] = {
            day: list(group) for day, group in groupby(ordered, lambda trade: day_of(trade.ts))
        }

    def _place(self, trade: Trade) -> tuple[date, int, int]:
        key = trade.id or 0
        return day_of(trade.ts), *((key, trade.ts) if self._numbered else (trade.ts, key))

    @property
    def all_days(self) -> list[date]:
        """The days that something came of."""
        return sorted(self._trades)

    def days(self, instrument: Instrument, first: date, last: date) -> list[date]:
        """The days from `first` through `last` that something came of."""
        del instrument
        return [day for day in self.all_days if first <= day <= last]

    def read(self, instrument: Instrument, days: Sequence[date], known: Known) -> Iterator[Day]:
        """Read some days."""
        del instrument
        provenance = {REPAIR: f"rest {self._venue.exchange}"}
        for day in days:
            if day not in self._trades:
                continue
            rows = landed_rows(frame_of(self._trades[day]), keep_ids=self._numbered)
            sha256 = hash_frame(rows)
            yield Day(day, sha256, provenance, None if known(day, sha256) else Source(rows))
