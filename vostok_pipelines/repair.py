"""Repairing: spans that are broken are asked for again, and what comes lands as repair parts.

What is asked for is what the table `quality` says is broken, and no more. What comes is landed
beside what is there: trades that were missing, and contents that differ from those that are there,
which are one more contradiction unless they decide one. Nothing is taken away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any

import polars as pl

from vostok_core.hashing import hash_frame
from vostok_core.lake.store import Lake
from vostok_core.market.days import REPAIR
from vostok_core.market.instrument import Instrument
from vostok_core.market.mending import CONTENT
from vostok_core.project import Project
from vostok_core.times import MILLISECOND, day_of
from vostok_pipelines.broken import Broken, contested
from vostok_pipelines.rest.backfill import Backfill
from vostok_pipelines.rest.client import Client, Patience
from vostok_pipelines.rest.doors import door
from vostok_pipelines.rest.trades import Trade, frame_of, landed_rows
from vostok_pipelines.rest.venues import Venue
from vostok_pipelines.sources.common import Source
from vostok_pipelines.sources.days import Day, Known

_DAY = timedelta(days=1)


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
    client = Client(venue.exchange, url=venue.address(project.lake_home), patience=patience)
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
        elif span.kind == "jump":
            answers.append(await _looked_at(lake, instrument, span, backfill))
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


async def _looked_at(
    lake: Lake, instrument: Instrument, span: Broken, backfill: Backfill
) -> Answer:
    """The exchange's contents of trades that can hardly be meant, where they are others."""
    came = [trade for first, last in span.ids for trade in await backfill.ids(first, last)]
    if not came:
        return Answer(span, (), "the exchange doesn't have these trades any more")
    found = tuple(_otherwise(lake, instrument, span.day, came))
    return Answer(span, found, None if found else "the exchange has the same trades")


async def _decided(lake: Lake, instrument: Instrument, span: Broken, backfill: Backfill) -> Answer:
    """The exchange's contents of ids that have several."""
    there: dict[int, list[Trade]] = {}
    for trade in _trades(contested(lake, instrument, span.day)):
        there.setdefault(trade.id or 0, []).append(trade)
    asked = [trade for first, last in span.ids for trade in await backfill.ids(first, last)]
    came = [trade for trade in asked if trade.id in there]
    if not came:
        return Answer(span, (), "the exchange doesn't have these trades any more")
    found, third = [], 0
    for trade in came:
        same = next((known for known in there[trade.id or 0] if _same(known, trade)), None)
        third += same is None
        found.append(same or trade)
    why = None if not third else f"the exchange has a third content of {third} of the ids"
    return Answer(span, tuple(found), why)


def _otherwise(lake: Lake, instrument: Instrument, day: date, came: Iterable[Trade]) -> list[Trade]:
    """Those of some trades that are there with another content."""
    wanted = {trade.id: trade for trade in came}
    found: list[Trade] = []
    for of in (day - _DAY, day):
        keys: dict[str, Any] = {"instrument": str(instrument.id), "date": of}
        if not lake.exists("ticks", **keys):
            continue
        ticks = lake.read("ticks", **keys).filter(pl.col("trade_id").is_in(list(wanted)))
        found += [
            wanted[known.id] for known in _trades(ticks) if not _same(known, wanted[known.id])
        ]
    return found


def _trades(rows: pl.DataFrame) -> list[Trade]:
    columns = rows.with_columns(pl.col("ts").to_physical()).select("trade_id", *CONTENT)
    return [Trade(*row) for row in columns.iter_rows()]


def _same(known: Trade, came: Trade) -> bool:
    """Whether a trade that is there is the one that came; files may have whole milliseconds only,
    where the exchange now shows microseconds.
    """
    rough = known.ts % MILLISECOND == 0 and known.ts == came.ts // MILLISECOND * MILLISECOND
    return known[:7] == (came._replace(ts=known.ts) if rough else came)[:7]


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
