"""A day of a recorded book, in order and once each, and what is wrong with it.

Quotes are ordered by the number of the change that made them, changes of the depth by the numbers
they hold, which follow each other without a break: where one ends the next begins. A break says
that changes are missing, so that the book is not known until a snapshot goes before what comes.
Quotes have no such numbers; of them it is only known when nobody listened.

A row of `book_quality` holds the whole span as it is known afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.lake.tables import TIME, table
from vostok_core.times import DAY, MINUTE, SECOND, day_start, utc

CLOCK = 0.5
"""Seconds that the recorder's clock may be off the exchange's."""

_JOINED = 1 * SECOND  # between two captures that were one
_CAPTURE = "the file ends"
_MOST_ROWS = 20  # of crossed prices; more become one row

Stream = Literal["quotes", "depth", "recording"]


@dataclass(frozen=True)
class BookFinding:
    """One row of the table `book_quality`; its columns say what each is."""

    stream: Stream
    kind: str
    severity: Literal["info", "warn", "error"]
    ts: int
    end_ts: int
    count: int
    detail: str
    unknown: bool = False


Merged = tuple[pl.DataFrame, list[BookFinding]]


def merge_quotes(parts: Sequence[pl.DataFrame], before: Iterable[int] = ()) -> Merged:
    """Put the best bids and asks of a day in order, once each.

    Args:
        parts: Rows of `raw_quotes`, in any order.
        before: Numbers of the changes that the day before has: they are not repeated.

    Returns:
        Rows of the table `quotes`, and what was mended. Of two contents of one change the first
        that was received is kept. What is stamped earlier than a change before it counts as of that
        one's time, so that times never go back.
    """
    declared = table("quotes").schema
    rows = pl.concat([table("quotes").empty(), *(part.select(list(declared)) for part in parts)])
    rows = rows.sort("update_id", "ts", maintain_order=True)
    contents = rows.unique([name for name in declared if not name.endswith("ts")])
    kept = rows.unique("update_id", keep="first", maintain_order=True)
    kept = kept.filter(~pl.col("update_id").is_in(pl.Series(before, dtype=pl.Int64).implode()))
    found = [
        *_repeated("quotes", rows, rows.height - contents.height, contents["update_id"]),
        *_late("quotes", kept),
        *_crossed(kept),
    ]
    return kept.with_columns(pl.col("ts").cum_max()), found


def merge_depth(parts: Sequence[pl.DataFrame], before: pl.DataFrame | None = None) -> Merged:
    """Put the changes and snapshots of a day's book in order, once each.

    Args:
        parts: Rows of `raw_depth`, in any order.
        before: `last_id` and `snapshot` of what the day before has: it is not repeated, and what
            comes is to follow it.

    Returns:
        Rows of the table `depth`, and what is wrong with them: repetitions, which were dropped, and
        spans in which the book can't be told.
    """
    declared = table("depth").schema
    rows = pl.concat([table("depth").empty(), *(part.select(list(declared)) for part in parts)])
    rows = rows.sort("last_id", "snapshot", "first_id", "seen_ts", maintain_order=True)
    identity = ["last_id", "snapshot"]
    contents = rows.unique([*identity, "first_id"])
    kept = rows.unique(identity, keep="first", maintain_order=True)
    last = None
    if before is not None:
        kept = kept.join(before, on=identity, how="anti", maintain_order="left")
        last = before.filter(~pl.col("snapshot"))["last_id"].max()
    changes = kept.filter(~pl.col("snapshot"))
    found = [
        *_repeated("depth", rows, rows.height - contents.height, None),
        *_late("depth", changes),
        *_unknown(changes, kept.filter("snapshot"), None if last is None else int(last)),  # type: ignore[arg-type]
    ]
    return kept, found


def _repeated(
    stream: Stream, rows: pl.DataFrame, dropped: int, ids: pl.Series | None
) -> Iterator[BookFinding]:
    if dropped:
        detail = f"{dropped} rows were recorded twice; they were dropped"
        yield BookFinding(stream, "duplicate", "info", *_ends(rows), dropped, detail)
    torn = 0 if ids is None else ids.len() - ids.n_unique()
    if torn:
        detail = f"{torn} changes have two contents; the first that was received was kept"
        yield BookFinding(stream, "duplicate", "error", *_ends(rows), torn, detail)


def _late(stream: Stream, rows: pl.DataFrame) -> Iterator[BookFinding]:
    ts = rows["ts"].to_physical().to_numpy()
    newest = np.maximum.accumulate(ts) if ts.size else ts
    at = np.flatnonzero(ts < newest)
    if at.size:
        worst = int((newest - ts).max())
        detail = f"{at.size} rows are stamped earlier than one before them, by up to {worst} us"
        span = int(ts[at].min()), int(newest[at].max())
        severity: Literal["info", "warn"] = "warn" if worst > SECOND else "info"
        yield BookFinding(stream, "late", severity, *span, int(at.size), detail)


def _crossed(quotes: pl.DataFrame) -> Iterator[BookFinding]:
    crossed = quotes.filter(pl.col("bid") >= pl.col("ask"))
    if crossed.height > _MOST_ROWS:
        detail = f"{crossed.height} best bids at or above the best ask"
        yield BookFinding("quotes", "crossed", "warn", *_ends(crossed), crossed.height, detail)
        return
    for row in crossed.iter_rows(named=True):
        at = crossed.filter(pl.col("update_id") == row["update_id"])
        detail = f"bid {row['bid']:g} at or above ask {row['ask']:g}"
        yield BookFinding("quotes", "crossed", "warn", *_ends(at), 1, detail)


def _unknown(
    changes: pl.DataFrame, snapshots: pl.DataFrame, last: int | None
) -> Iterator[BookFinding]:
    """Where changes are missing, and until when no snapshot goes before those that come."""
    if changes.is_empty():
        return
    first_id, last_id = changes["first_id"].to_numpy(), changes["last_id"].to_numpy()
    ts = changes["ts"].to_physical().to_numpy()
    stood = snapshots["last_id"].to_numpy()
    stood_ts = snapshots["ts"].to_physical().to_numpy()
    ends = np.maximum.accumulate(last_id)
    before = np.concatenate(([first_id[0] - 1 if last is None else last], ends[:-1]))
    breaks = np.flatnonzero(first_id > before + 1)
    begins = breaks if last is not None else np.union1d([0], breaks)
    for n, i in enumerate(begins):
        missing = int(first_id[i] - before[i]) - 1
        if missing > 0:
            since = int(ts[i - 1]) if i else int(ts[0])
            detail = f"{missing} changes are missing before {first_id[i]}"
            yield BookFinding(
                "depth", "sequence", "warn", since, int(ts[i]), missing, detail, unknown=True
            )
        stop = begins[n + 1] if n + 1 < begins.size else ts.size
        fit = np.flatnonzero((stood >= first_id[i] - 1) & (stood <= ends[stop - 1]))
        known = int(stood_ts[fit[0]]) if fit.size else int(ts[stop - 1])
        known = min(max(known, int(ts[i])), int(ts[stop - 1]))
        if known > ts[i] or not fit.size:
            count = int(np.count_nonzero(ts[i:stop] < known)) if fit.size else int(stop - i)
            detail = f"no snapshot goes before the changes from {first_id[i]} on"
            yield BookFinding(
                "depth", "unsynced", "warn", int(ts[i]), known, count, detail, unknown=True
            )


def inspect_recordings(recordings: pl.DataFrame, day: date) -> list[BookFinding]:
    """What is wrong with the recordings of a day: spans that nobody recorded, a clock that is off,
    lines that can't be used.

    Args:
        recordings: The day's rows of the table `recordings`.
        day: The UTC day.
    """
    return [
        *_uncovered(recordings.filter(pl.col("kind") == "covered"), day),
        *_clock(recordings.filter((pl.col("kind") == "clock") & pl.col("value").is_finite())),
        *_unusable(recordings.filter(pl.col("kind") == "unusable")),
    ]


def _uncovered(covered: pl.DataFrame, day: date) -> Iterator[BookFinding]:
    start = day_start(day)
    covered = covered.sort("ts", "end_ts", maintain_order=True)
    spans = zip(
        covered["ts"].to_physical(), covered["end_ts"].to_physical(), covered["detail"], strict=True
    )
    end, why = start, "nothing was recorded before"
    for begin, stop, ended in [*spans, (start + DAY, start + DAY, "")]:
        joined = why == _CAPTURE and begin - end <= _JOINED
        if begin > end and not joined:
            detail = f"not recorded for {_long(begin - end)}: {_why(why)}"
            last = min(begin, start + DAY - 1)
            yield BookFinding("recording", "uncovered", "warn", end, last, 0, detail, unknown=True)
        if stop >= end:
            end, why = stop, ended


def _long(span: int) -> str:
    """A length of time in words."""
    return f"{span / SECOND:.3f} s" if span < MINUTE else f"{timedelta(seconds=span // SECOND)}"


def _why(ended: str) -> str:
    return {"hour": "the next segment begins later", "stopped": "the recorder was stopped"}.get(
        ended, ended
    )


def _clock(readings: pl.DataFrame) -> Iterator[BookFinding]:
    off = readings.filter(pl.col("value").abs() > CLOCK)
    if off.height:
        most = off["value"].gather([int(off["value"].abs().arg_max() or 0)]).item()
        where = "behind" if most > 0 else "ahead of"
        detail = f"the recorder's clock was {abs(most):.2f} s {where} the exchange's"
        yield BookFinding("recording", "clock", "warn", *_ends(off), off.height, detail)


def _unusable(rows: pl.DataFrame) -> Iterator[BookFinding]:
    if rows.height:
        count = int(rows["count"].sum())
        detail = f"{count} lines can't be used; the first: {rows['detail'][0]}"
        yield BookFinding("recording", "unusable", "warn", *_ends(rows), count, detail)


def _ends(rows: pl.DataFrame) -> tuple[int, int]:
    ts = rows["ts"].to_physical()
    return int(ts.min()), int(ts.max())  # type: ignore[arg-type]


def book_findings_frame(findings: Iterable[BookFinding]) -> pl.DataFrame:
    """Rows of the table `book_quality`, sorted by time."""
    declared = table("book_quality")
    rows = sorted(findings, key=lambda f: (f.ts, f.stream, f.kind, f.end_ts, f.detail))
    return pl.DataFrame(
        {
            name: pl.Series(
                [getattr(row, name) for row in rows], dtype=pl.Int64 if dtype == TIME else dtype
            ).cast(dtype)
            for name, dtype in declared.schema.items()
        }
    )


@dataclass(frozen=True)
class Book:
    """A book as it stood after a change.

    Attributes:
        last_id: The change.
        bids: What buyers offer at each price.
        asks: What sellers do.
    """

    last_id: int
    bids: dict[float, float]
    asks: dict[float, float]


def book_after(depth: pl.DataFrame, last_id: int) -> Book:
    """The book after a change, told by the newest snapshot before it and the changes since.

    Levels beyond those of the snapshot are known only as far as they have changed since.

    Args:
        depth: Rows of the table `depth`, in order.
        last_id: Number of the change.

    Raises:
        MissingPartition: No snapshot goes before it, or changes are missing between.
    """
    rows = depth.filter(pl.col("last_id") <= last_id)
    stood = rows.filter("snapshot").tail(1)
    if stood.is_empty():
        raise MissingPartition(
            f"no snapshot of the book goes before its change {last_id}",
            hint="ask for a later change, or read the rows of the day before too",
        )
    levels: tuple[dict[float, float], dict[float, float]] = ({}, {})
    now = int(stood["last_id"].item())
    changes = rows.filter(~pl.col("snapshot") & (pl.col("last_id") > now))
    for row in (*stood.iter_rows(named=True), *changes.iter_rows(named=True)):
        if row["first_id"] > now + 1:
            raise MissingPartition(
                f"changes of the book are missing between {now} and {row['first_id']}",
                hint=f"ask for a change after {utc(int(row['ts'].timestamp() * SECOND))}, once a "
                "snapshot has come: book_quality lists the spans that can't be told",
            )
        now = row["last_id"]
        for side, name in zip(levels, ("bid", "ask"), strict=True):
            side.update(zip(row[f"{name}_price"], row[f"{name}_qty"], strict=True))
    bids, asks = ({p: q for p, q in side.items() if q} for side in levels)
    return Book(now, bids, asks)
