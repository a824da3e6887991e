"""Parts that mend others: what they add to a day, what they settle, and what they repaired.

A day is merged and inspected twice where a repair part is in use, without it and with it. What was
wrong without it and isn't any more stays in the table `quality` as a row that says what repaired
it. So the answer follows from what has landed and from nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from vostok_core.market.ticks import LastTick, assigned

CONTENT = ("ts", "price", "qty", "buyer_maker", "first_id", "last_id")
"""Columns in which two rows of one trade id must agree."""

_FOUND = ("kind", "ts", "end_ts", "count", "detail")


@dataclass(frozen=True)
class Mend:
    """A repair part that is in use.

    Attributes:
        part: What it is called.
        source: Where its rows come from, as its footer says.
        rows: They.
    """

    part: str
    source: str
    rows: pl.DataFrame


@dataclass(frozen=True)
class Hole:
    """Trades that are missing between two that are there.

    Attributes:
        before: Id of the last trade before the hole.
        after: Id of the first one after it.
        ts: Time of the trade before it, microseconds.
        end_ts: Time of the one after it, or of the newest before that where times ran backwards.
        beneath: Whether the ids are unbroken, and only trades beneath aggregate ones are missing.
    """

    before: int
    after: int
    ts: int
    end_ts: int
    beneath: bool = False

    @property
    def first(self) -> int:
        """Id of the first missing trade."""
        return self.before + 1

    @property
    def last(self) -> int:
        """Id of the last one."""
        return self.after - 1


def holes(ticks: pl.DataFrame, previous: LastTick | None) -> list[Hole]:
    """Where the ids of a day's ticks break, in order.

    Args:
        ticks: The day's rows of the table `ticks`, in id order.
        previous: The newest tick before the day, if known.

    Returns:
        Each hole, also those beneath unbroken aggregate ids. Ids that go back, and aggregate ids
        that jump while the ids beneath don't, leave no hole.
    """
    if ticks.is_empty():
        return []
    ids, ts = ticks["trade_id"].to_numpy(), ticks["ts"].to_physical().to_numpy()
    if assigned(int(ids[0]), int(ts[0])):
        return []
    first, last = (ticks[name].fill_null(-1).to_numpy() for name in ("first_id", "last_id"))
    if previous is not None and not previous.id_assigned:
        ids = np.concatenate(([previous.trade_id], ids))
        ts = np.concatenate(([previous.ts], ts))
        first = np.concatenate(([-1], first))
        last = np.concatenate(([-1 if previous.last_id is None else previous.last_id], last))
    newest = np.maximum.accumulate(ts)
    step = np.diff(ids)
    known = (last[:-1] >= 0) & (first[1:] >= 0)
    beneath = np.where(known, first[1:] - last[:-1], step)
    broken = (step >= 1) & (beneath > 1)
    return [
        Hole(
            int(ids[i]),
            int(ids[i + 1]),
            min(int(ts[i]), int(ts[i + 1])),
            int(newest[i + 1]),
            beneath=bool(step[i] == 1),
        )
        for i in np.flatnonzero(broken)
    ]


def settled(parts: Sequence[pl.DataFrame], mending: Sequence[bool]) -> list[pl.DataFrame]:
    """The parts of a day to merge, contradictions that a repair part decides settled.

    Where other parts hold two contents of a trade id and the repair parts hold one of them, the
    rows with the others go. A content that stands alone is never replaced: one that differs in a
    repair part is one more contradiction.

    Args:
        parts: Rows of `raw_trades`, in the order of landing.
        mending: For each part, whether it is a repair part.

    Returns:
        The parts, in the same order.
    """
    plain = [part for part, mends in zip(parts, mending, strict=True) if not mends]
    mends = [part for part, mends in zip(parts, mending, strict=True) if mends]
    if not plain or not mends:
        return list(parts)
    told = _contents(mends)
    told = told.filter(~pl.col("trade_id").is_duplicated())
    there = _contents(plain).filter(pl.col("trade_id").is_in(told["trade_id"].to_list()))
    torn = there.filter(pl.col("trade_id").is_duplicated())
    columns = ["trade_id", *CONTENT]
    decided = torn.join(told, on=columns, how="semi", nulls_equal=True)
    if decided.is_empty():
        return list(parts)
    wrong = torn.join(decided, on=columns, how="anti", nulls_equal=True).filter(
        pl.col("trade_id").is_in(decided["trade_id"].to_list())
    )
    return [
        part if is_mend else part.join(wrong, on=columns, how="anti", nulls_equal=True)
        for part, is_mend in zip(parts, mending, strict=True)
    ]


def _contents(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Every content of every trade id, once."""
    return (
        pl.concat([part.select("trade_id", *CONTENT) for part in parts])
        .filter(pl.col("trade_id").is_not_null())
        .unique(maintain_order=True)
    )


def with_repaired(after: pl.DataFrame, before: pl.DataFrame, mends: Sequence[Mend]) -> pl.DataFrame:
    """The findings of a day, with those that repair parts have done away with.

    Args:
        after: Rows of the table `quality` with the repair parts.
        before: Rows of it without them.
        mends: The parts.

    Returns:
        `after`, and each finding of `before` that invalidated or blocked and has gone: it does
        neither any more and says what repaired it. One of which something is left is not among
        them: what is left says so.
    """
    harms = pl.col("invalidates") | (pl.col("severity") == "error")
    gone = before.filter(harms).join(after, on=_FOUND, how="anti")
    new = after.filter(harms).join(before, on=_FOUND, how="anti")
    rows = []
    for row in gone.iter_rows(named=True):
        inside = (
            (new["kind"] == row["kind"])
            & (new["ts"] >= row["ts"])
            & (new["end_ts"] <= row["end_ts"])
        )
        if not inside.any():
            repaired = _told(mends, row["ts"], row["end_ts"])
            rows.append(row | {"severity": "info", "invalidates": False, "repaired": repaired})
    if not rows:
        return after
    mended = pl.DataFrame(rows, schema=after.schema)
    return pl.concat([after, mended]).sort("ts", "kind", "end_ts", "detail", maintain_order=True)


def _told(mends: Sequence[Mend], start: datetime, end: datetime) -> str:
    told = [
        f"{count} trade{'' if count == 1 else 's'} of {mend.source} (part {mend.part})"
        for mend in mends
        if (count := mend.rows.filter(pl.col("ts").is_between(start, end)).height)
    ]
    return ", ".join(told) or ", ".join(f"{mend.source} (part {mend.part})" for mend in mends)
