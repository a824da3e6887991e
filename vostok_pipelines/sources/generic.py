"""CSV, Parquet and Feather of any exchange, with a declared map of columns.

`ts=time,price=price,qty=amount,side=type` says which of the file's columns plays which part. In a
CSV without a header columns are named by their position, from 1: `ts=5,price=4,qty=3,side=2,id=1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import polars as pl

from vostok_core.errors import SourceFormatError, UsageError
from vostok_pipelines.sources.columnar import read_columns, require_name
from vostok_pipelines.sources.common import (
    PLAIN,
    Delimited,
    Field,
    Kind,
    Layout,
    Notation,
    Source,
    SourceFile,
    first_line,
    parse_as,
)
from vostok_pipelines.sources.frames import (
    klines_frame,
    quantities_by_worth,
    trades_frame,
    trades_without_ids,
)
from vostok_pipelines.sources.klines import infer_interval
from vostok_pipelines.sources.notations import buyer_maker, times

Container = Literal["csv", "parquet", "feather"]

_REQUIRED: dict[str, tuple[str, ...]] = {
    "trades": ("ts", "price", "qty", "side"),
    "klines": ("ts", "open", "high", "low", "close", "volume"),
}
_OPTIONAL: dict[str, tuple[str, ...]] = {
    "trades": ("id", "quote_qty"),
    "klines": ("quote_volume", "trades", "buy_volume"),
}
_WHOLE = ("id", "trades")
_TEXT = ("ts", "side")
_SEPARATORS = (";", "\t", "|")


def parse_columns(text: str) -> dict[str, str]:
    """Read a map of columns such as `ts=time,price=price`.

    Raises:
        UsageError: It is not one.
    """
    columns: dict[str, str] = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        part, equals, name = (piece.strip() for piece in item.partition("="))
        if not (part and equals and name) or part in columns:
            raise UsageError(
                f"{item!r} in the map of columns says nothing new",
                hint="write each part once, such as ts=time,price=price,qty=amount,side=type",
            )
        columns[part] = name
    return columns


def read(
    source: SourceFile,
    container: Container,
    kind: Kind,
    columns: Mapping[str, str],
    notation: Notation = PLAIN,
) -> Source:
    """Read trades or klines.

    Args:
        source: The file, packed or not.
        container: What it is.
        kind: What its rows are.
        columns: Part -> column of the file. Parts of trades: ts, price, qty, side, and optionally
            id; or quote_qty, what the trade is worth in quote, in place of qty. Of klines: ts (time
            at which the bar opens), open, high, low, close, volume, and optionally quote_volume,
            trades, buy_volume. A required part that is not in the map is looked for under its own
            name; an optional one must be named.
        notation: How it is written; of a file that is no text, only the sides can be said.

    Raises:
        UsageError: The map names a part that there is not, or a notation that there can't be.
        SourceFormatError: The file is not what it claims to be, or lacks a column.
    """
    chosen = _chosen(kind, columns)
    warnings: tuple[str, ...] = ()
    if container == "csv":
        parsed = _from_csv(source, chosen, notation)
    else:
        if notation != Notation(sides=notation.sides):
            raise UsageError(
                f"a {container} file has no separators, decimal marks, encoding or lines",
                hint="leave these options out, or use --format csv",
            )
        dtypes = {part: _dtype(part) for part in chosen if part not in _TEXT}
        parsed, warnings = read_columns(source, container, chosen, dtypes)
    ts = times(parsed)
    if kind == "klines":
        interval = infer_interval(ts, source)
        extra = {name: pl.col(name) for name in _OPTIONAL["klines"] if name in chosen}
        return Source(klines_frame(parsed, ts, interval, **extra), warnings, interval)
    side = buyer_maker(parsed, notation.sides)
    if "quote_qty" in chosen:
        parsed = quantities_by_worth(parsed, "quote_qty")
        warnings = (*warnings, "quantities are the worth of the trades by their price")
    if "id" in chosen:
        frame = trades_frame(parsed, ts, buyer_maker=side, trade_id=pl.col("id"))
        return Source(frame, warnings)
    found = trades_without_ids(parsed, ts, buyer_maker=side)
    return replace(found, warnings=(*warnings, *found.warnings))


def _chosen(kind: Kind, columns: Mapping[str, str]) -> dict[str, str]:
    """Part -> column, of all parts that are to be read.

    Raises:
        UsageError: There is no such part, or both quantities are named.
    """
    unknown = sorted(set(columns) - {*_REQUIRED[kind], *_OPTIONAL[kind]})
    if unknown:
        parts = ", ".join(_REQUIRED[kind] + _OPTIONAL[kind])
        raise UsageError(f"{kind} have no part called {unknown[0]!r}", hint=f"parts are {parts}")
    required = [part for part in _REQUIRED[kind] if part != "qty" or "quote_qty" not in columns]
    if "quote_qty" in columns and "qty" in columns:
        raise UsageError(
            "a trade has one quantity, and both qty and quote_qty are named",
            hint="leave quote_qty out: the quantity in base is the exact one",
        )
    return {part: part for part in required} | dict(columns)


def _from_csv(source: SourceFile, chosen: Mapping[str, str], notation: Notation) -> Delimited:
    first = first_line(source, notation)
    by_position = all(name.isdecimal() for name in chosen.values())
    names = [str(k) for k in range(1, len(first) + 1)] if by_position else first
    where = f"line {notation.skip_lines + 1}: the file"
    try:
        places = {part: require_name(source, name, names, where) for part, name in chosen.items()}
    except SourceFormatError as error:
        _say_separator(error, first, notation)
        raise
    parts = {place: part for part, place in places.items()}
    fields = tuple(
        Field(parts.get(k, f"column {k + 1}"), _dtype(parts.get(k)), wanted=k in parts)
        for k in range(len(names))
    )
    parsed = parse_as(
        source, Layout("this file", fields), header=not by_position, notation=notation
    )
    # A column may play several parts.
    renamed = [pl.col(parts[places[part]]).alias(part) for part in chosen]
    return replace(parsed, frame=parsed.frame.select(renamed))


def _say_separator(error: SourceFormatError, first: list[str], notation: Notation) -> None:
    """Let the error about a column that isn't there say that fields may be separated otherwise."""
    found = max(_SEPARATORS, key=lambda mark: sum(name.count(mark) for name in first))
    if found != notation.separator and any(found in name for name in first):
        word = "tab" if found == "\t" else f'"{found}"'
        error.hint = f"its fields seem to be separated otherwise: add --separator {word}"


def _dtype(part: str | None) -> type[pl.DataType]:
    if part is None or part in _TEXT:
        return pl.String
    return pl.Int64 if part in _WHOLE else pl.Float64
