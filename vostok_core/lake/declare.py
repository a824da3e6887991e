"""What a table of the lake is declared by: `Table` and `Column`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Column:
    """One column: its name, type, meaning and the values it allows.

    `added` columns came after the first lakes were written: older files lack them. `repeats` marks
    floats (or lists of them) of which a partition has few values, which are then written once each.
    """

    name: str
    dtype: Any
    description: str
    unit: str = ""
    nullable: bool = False
    nan: bool = False
    gt: float | None = None
    ge: float | None = None
    le: float | None = None
    isin: tuple[str, ...] | None = None
    added: bool = False
    repeats: bool = False

    def __post_init__(self) -> None:
        assert self.nullable or not self.added, f"{self.name}: what is not there reads as null"


@dataclass(frozen=True)
class Table:
    """One table: its partition keys in path order, its columns and its sort order.

    `open_columns` tables (features) carry further float64 columns beside the declared ones.
    `many_parts` tables (landed raw files) hold several files in a partition.
    """

    name: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    description: str
    sort_by: tuple[str, ...] = ("ts",)
    unique: tuple[str, ...] = ()
    open_columns: bool = False
    many_parts: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        return {column.name: column.dtype for column in self.columns}

    def empty(self) -> pl.DataFrame:
        """A frame with the declared columns and no row."""
        return pl.DataFrame(schema=self.schema)


def ts_column(description: str, name: str = "ts") -> Column:
    """A column of times of the exchange."""
    return Column(name, TIME, description, unit="UTC, exchange time")


TRADE_COLUMNS = (
    Column("price", pl.Float64, "price of the trade", "quote per base", gt=0),
    Column("qty", pl.Float64, "quantity traded", "base", gt=0, repeats=True),
    Column("buyer_maker", pl.Boolean, "true when the taker sold (the resting order was a buy)"),
    Column("first_id", pl.Int64, "first trade id merged into an aggregate trade", nullable=True),
    Column("last_id", pl.Int64, "last trade id merged into an aggregate trade", nullable=True),
)

BEST_MATCH = Column(
    "best_match",
    pl.Boolean,
    "at the best price; only Binance's spot archive says so",
    nullable=True,
    added=True,
)
"""The one column of an archive's trade files that is told nowhere else."""
