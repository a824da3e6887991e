"""What is wrong with a day of data, one finding per row of the table `quality`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from vostok_core.lake.tables import TIME, table
from vostok_core.times import MINUTE


@dataclass(frozen=True)
class Finding:
    """One row of the table `quality`.

    Attributes:
        kind: `gap`, `silence`, `missing_minutes`, `absent`, `jump`, `duplicate`, `out_of_order`,
            `ids_assigned`, `outlier`, `crossed`, `off_tick`, `off_step`, `time_reversal`,
            `clock_still`, `clock_leap` or `schema_drift`.
        severity: `info` needs nobody, `warn` wants a look, `error` means that data is lost or
            wrong: where bars are not invalid for it, none are built of the day.
        ts: First microsecond of the affected span.
        end_ts: Last microsecond of it, itself affected.
        count: Rows, ids or minutes concerned.
        detail: The finding in words.
        invalidates: Whether bars are not valid for it; which ones, `quality.valid` says.
        repaired: What repaired it; None if nothing did.
    """

    kind: str
    severity: Literal["info", "warn", "error"]
    ts: int
    end_ts: int
    count: int
    detail: str
    invalidates: bool = False
    repaired: str | None = None


def contradictions(ts: pl.Series, identity: pl.Series, words: str) -> list[Finding]:
    """What is wrong where two contents of one thing are in use: a finding for each such minute.

    Args:
        ts: A time inside each of the contradicting rows, microseconds.
        identity: What they agree in.
        words: What is the matter with them.
    """
    rows = pl.DataFrame({"minute": ts // MINUTE, "ts": ts, "identity": identity})
    minutes = rows.group_by("minute", maintain_order=True).agg(
        pl.col("ts").min().alias("first"),
        pl.col("ts").max().alias("last"),
        pl.col("identity").n_unique().alias("count"),
    )
    hint = (
        "the first landed was kept; `vostok ingest --replace` lands a file in place of the others"
    )
    return [
        Finding(
            "duplicate", "error", first, last, count, f"{count} {words}: {hint}", invalidates=True
        )
        for _, first, last, count in minutes.iter_rows()
    ]


def findings_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """Rows of the table `quality`, sorted by time and kind."""
    declared = table("quality")
    rows = sorted(findings, key=lambda f: (f.ts, f.kind, f.end_ts, f.detail))
    return pl.DataFrame(
        {
            name: pl.Series([getattr(f, name) for f in rows], dtype=pl.Int64).cast(TIME)
            if dtype == TIME
            else pl.Series([getattr(f, name) for f in rows], dtype=dtype)
            for name, dtype in declared.schema.items()
        }
    )
