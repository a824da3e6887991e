"""Raw trades of a day, from one file or several, in order and once each.

With the exchange's ids, the id decides order and identity. Without ids (Kraken) order is by time
and then by position in the file, ids are assigned in that order, and a row that an earlier landed
file already holds is dropped as often as that file holds it: two equal trades inside one file are
two trades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from vostok_core.errors import DataError
from vostok_core.lake.tables import table
from vostok_core.market.findings import Finding, contradictions, findings_frame
from vostok_core.times import DAY, day_of

IDS_PER_DAY = 1_000_000_000
"""Assigned ids of a day start at its number (days since 1970) times this, so none occurs twice."""

_PART, _ROW = "part", "row"
_IDENTITY = ("ts", "price", "qty", "buyer_maker")


@dataclass(frozen=True)
class LastTick:
    """The newest tick before a day: what the first one is compared with.

    Attributes:
        trade_id: Its id.
        ts: Its time, microseconds, or the latest before it where times ran backwards.
        price: Its price.
        side: 1 when a buyer took, -1 when a seller did.
        last_id: Id of the last trade merged into it; none unless it is an aggregate trade.
    """

    trade_id: int
    ts: int
    price: float
    side: int
    last_id: int | None = None

    @property
    def id_assigned(self) -> bool:
        """Whether Vostok gave it its id."""
        return assigned(self.trade_id, self.ts)


def assigned(trade_id: int, ts: int) -> bool:
    """Whether an id is one that Vostok assigned, since the source had none."""
    return trade_id // IDS_PER_DAY == ts // DAY


def last_tick(ticks: pl.DataFrame) -> LastTick | None:
    """The last of some ticks in id order, or none."""
    if ticks.is_empty():
        return None
    row = ticks.tail(1)
    return LastTick(
        trade_id=row["trade_id"].item(),
        ts=ticks["ts"].to_physical().max(),  # type: ignore[arg-type]
        price=row["price"].item(),
        side=-1 if row["buyer_maker"].item() else 1,
        last_id=row["last_id"].item() if "last_id" in row.columns else None,
    )


def merge(
    parts: Sequence[pl.DataFrame], tick: Literal["agg_trade", "trade"]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Put the trades of one UTC day in order, once each.

    Args:
        parts: Rows of `raw_trades`, one frame per source file, in the order of landing.
        tick: What one tick of the instrument is.

    Returns:
        Rows of the table `ticks`, and rows of the table `quality` on what was mended: exact
        duplicates dropped, an id with two contents (the first landed is kept, and its minutes are
        not to be trusted), rows out of order, ids assigned.

    Raises:
        DataError: Some trades have ids and some have none, or aggregate trades have none.
    """
    rows = pl.concat(
        [
            part.with_columns(
                pl.lit(index, pl.Int32).alias(_PART), pl.int_range(pl.len()).alias(_ROW)
            )
            for index, part in enumerate(parts)
        ]
    )
    columns = list(table("ticks").schema)
    if rows.is_empty():
        return rows.select(columns), findings_frame([])
    without = rows["trade_id"].null_count()
    if without not in (0, rows.height):
        raise DataError(
            f"{without} of the day's {rows.height} trades have no id while the others have one",
            hint="keep one kind of source for a day: `vostok ingest PATH --instrument ID --format "
            "FORMAT --replace` lands a file in place of the others",
        )
    if without and tick == "agg_trade":
        raise DataError(
            "aggregate trades without ids can't be put in order",
            hint='say tick = "trade" for this instrument in vostok.toml',
        )
    ticks, findings = _merge_by_time(rows) if without else _merge_by_id(rows)
    return ticks.select(columns), findings_frame(findings)


def _span(rows: pl.DataFrame) -> tuple[int, int]:
    ts = rows["ts"].to_physical()
    return int(ts.min()), int(ts.max())  # type: ignore[arg-type]


def _steps_back(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    """The rows that stand after one that they should precede in the same file."""
    order = pl.col(by).to_physical()
    return rows.filter(order < order.cum_max().over(_PART))


def _disorder(rows: pl.DataFrame, by: str, words: str) -> list[Finding]:
    back = _steps_back(rows, by)
    if back.is_empty():
        return []
    detail = f"{back.height} rows stood after one with a later {words}; they were sorted"
    return [Finding("out_of_order", "info", *_span(back), back.height, detail)]


def _merge_by_id(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    ids = rows["trade_id"]
    if bool((ids.diff().drop_nulls() > 0).all()):
        return rows, []
    findings = _disorder(rows, "trade_id", "id")
    rows = rows.sort("trade_id", _PART, _ROW, maintain_order=True)
    repeated = rows.filter(pl.col("trade_id").is_duplicated())
    if repeated.is_empty():
        return rows, findings
    contents = repeated.unique(["trade_id", *_IDENTITY, "first_id", "last_id"], keep="first")
    torn = contents.filter(pl.col("trade_id").is_duplicated()).sort("trade_id")
    exact = repeated.height - contents.height
    if exact:
        detail = f"{exact} rows repeat a trade that is already there; they were dropped"
        findings.append(Finding("duplicate", "info", *_span(repeated), exact, detail))
    kept = rows.unique("trade_id", keep="first", maintain_order=True)
    # A trade that is stamped late counts in the bar of the newest before it.
    counted = kept.select("trade_id", pl.col("ts").cum_max()).filter(
        pl.col("trade_id").is_in(torn["trade_id"].unique().to_list())
    )
    at = pl.concat([torn.select("trade_id", "ts"), counted])
    findings += contradictions(
        at["ts"].to_physical(), at["trade_id"], "ids stand for more than one trade"
    )
    return kept, findings


def _merge_by_time(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    findings = _disorder(rows, "ts", "time")
    # The k-th occurrence of a trade in one file is the k-th occurrence of it in any other.
    numbered = rows.with_columns(pl.cum_count("ts").over(_PART, *_IDENTITY).alias("occurrence"))
    kept = numbered.sort(_PART, _ROW).unique(
        [*_IDENTITY, "occurrence"], keep="first", maintain_order=True
    )
    dropped = rows.height - kept.height
    if dropped:
        detail = f"{dropped} rows are in a file that was landed earlier; they were dropped"
        findings.append(Finding("duplicate", "info", *_span(rows), dropped, detail))
    ticks = kept.sort("ts", _PART, _ROW, maintain_order=True)
    start, end = _span(ticks)
    number = start // DAY
    if end // DAY != number or ticks.height > IDS_PER_DAY:
        raise DataError(
            f"trades from {day_of(start)} to {day_of(end)} were merged as one day",
            hint="land the file again",
        )
    detail = "the source has no trade ids: they were assigned by time and position in the file"
    findings.append(Finding("ids_assigned", "info", start, end, ticks.height, detail))
    first = number * IDS_PER_DAY
    ids = pl.int_range(first, first + ticks.height, dtype=pl.Int64, eager=True)
    return ticks.with_columns(ids.alias("trade_id")), findings
