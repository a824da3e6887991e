"""What may honestly differ, one finding after the other: rows of the table `reconciliation`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import polars as pl

from vostok_core.lake.tables import TIME, table

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something that differs; the columns of the table `reconciliation`.

    Attributes:
        kind: What differs.
        ts: When it first does, microseconds.
        live: What the daemon saw or did.
        expected: What the archive or the simulation says.
        difference: How far they are apart; where it costs, positive is against us.
        unit: Of the difference.
        count: How many rows it stands for.
        cause: What it comes from, where that is known.
        detail: In words.
    """

    kind: str
    ts: int
    live: float
    expected: float
    difference: float
    unit: str
    count: int = 1
    cause: str = ""
    detail: str = ""


def findings_table(found: Iterable[Deviation]) -> pl.DataFrame:
    """Rows of the table `reconciliation`, in order of time."""
    schema = table("reconciliation").schema
    physical = {name: pl.Int64 if kind == TIME else kind for name, kind in schema.items()}
    rows = pl.DataFrame([astuple(each) for each in found], schema=physical, orient="row")
    return rows.cast(pl.Schema(schema)).sort("ts", "kind", maintain_order=True)


def summary(findings: pl.DataFrame) -> pl.DataFrame:
    """Findings by kind and cause.

    Args:
        findings: Rows of the table `reconciliation`.

    Returns:
        `kind`, `cause`, `findings`, `count` (rows that they stand for), `mean` and `worst` (the one
        farthest from zero) of the differences, `unit`.
    """
    known = pl.col("difference").filter(pl.col("difference").is_not_nan())
    return (
        findings.group_by("kind", "cause", "unit", maintain_order=True)
        .agg(
            findings=pl.len().cast(pl.Int64),
            count=pl.col("count").sum(),
            mean=known.mean(),
            worst=known.sort_by(known.abs()).last(),
        )
        .select("kind", "cause", "findings", "count", "mean", "worst", "unit")
        .sort("kind", "cause")
    )
