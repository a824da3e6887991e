"""Made-up rows for tests of the store."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from vostok_core.lake.tables import TIME

ITEM = "demo.spot.EDGE-USDT"


def ticks(rows: int = 4, price: float = 10.0, start: int = 1) -> pl.DataFrame:
    """Rows of the table `ticks`, without the column that may be left out."""
    base = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
    return pl.DataFrame(
        {
            "trade_id": range(start, start + rows),
            "ts": [base + 1_000 * i for i in range(rows)],
            "price": [price + i for i in range(rows)],
            "qty": [0.5] * rows,
            "buyer_maker": [i % 2 == 0 for i in range(rows)],
            "first_id": [None] * rows,
            "last_id": [None] * rows,
        },
        schema_overrides={"first_id": pl.Int64, "last_id": pl.Int64},
    ).with_columns(pl.col("ts").cast(TIME))


def as_written(frame: pl.DataFrame) -> pl.DataFrame:
    """With the column that may be left out."""
    return frame.with_columns(best_match=pl.lit(None, pl.Boolean))
