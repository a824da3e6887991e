"""CSV and Parquet of any exchange, with a declared map of columns.

`ts=time,price=price,qty=amount,side=type` says which of the file's columns plays which part. In a
CSV without a header columns are named by their position, from 1: `ts=5,price=4,qty=3,side=2,id=1`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import polars as pl

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.lake.tables import TIME
from vostok_pipelines.sources.common import (
    Delimited,
    Field,
    Layout,
    Source,
    SourceFile,
    first_line,
    parse_as,
)
from vostok_pipelines.sources.frames import (
    EARLIEST_SECOND,
    LATEST_SECOND,
    decimal_times,
    klines_frame,
    trades_frame,
    whole_times,
)
from vostok_pipelines.sources.klines import infer_interval

Kind = Literal["trades", "klines"]

_REQUIRED: dict[str, tuple[str, ...]] = {
    "trades": ("ts", "price", "qty", "side"),
    "klines": ("ts", "open", "high", "low", "close", "volume"),
}
_OPTIONAL: dict[str, tuple[str, ...]] = {
    "trades": ("id",),
    "klines": ("quote_volume", "trades", "buy_volume"),
}
_WHOLE = ("id", "trades")
_TEXT = ("ts", "side")
_BUYER_MAKER = {
    "buy": False,
    "b": False,
    "sell": True,
    "s": True,
    "true": True,
    "false": False,
}
_SIDES = (("buy", "sell"), ("b", "s"), ("true", "false"))


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
    file_format: Literal["csv", "parquet"],
    kind: Kind,
    columns: Mapping[str, str],
) -> Source:
    """Read trades or klines.

    Args:
        source: The file.
        file_format: `csv` (also zipped or gzipped) or `parquet`.
        kind: What its rows are.
        columns: Part -> column of the file. Parts of trades: ts, price, qty, side (buy or sell, b
            or s, or true or false for "the buyer was the maker"), id (optional). Of klines: ts
            (time at which the bar opens), open, high, low, close, volume, and optionally
            quote_volume, trades, buy_volume. A required part that is not in the map is looked for
            under its own name; an optional one must be named.

    Raises:
        UsageError: The map names a part that there is not.
        SourceFormatError: The file is not what it claims to be, or lacks a column.
    """
    unknown = sorted(set(columns) - {*_REQUIRED[kind], *_OPTIONAL[kind]})
    if unknown:
        parts = ", ".join(_REQUIRED[kind] + _OPTIONAL[kind])
        raise UsageError(f"{kind} have no part called {unknown[0]!r}", hint=f"parts are {parts}")
    chosen = {part: part for part in _REQUIRED[kind]} | dict(columns)
    parsed = (_from_parquet if file_format == "parquet" else _from_csv)(source, chosen)
    ts = _times(parsed)
    if kind == "klines":
        interval = infer_interval(ts, source)
        extra = {name: pl.col(name) for name in _OPTIONAL["klines"] if name in chosen}
        return Source(klines_frame(parsed, ts, interval, **extra), (), interval)
    side = _buyer_maker(parsed)
    if "id" in chosen:
        return Source(trades_frame(parsed, ts, buyer_maker=side, trade_id=pl.col("id")))
    return Source(
        trades_frame(parsed, ts, buyer_maker=side),
        ("no id was mapped: ids are assigned by time and file order",),
    )


def _from_csv(source: SourceFile, chosen: Mapping[str, str]) -> Delimited:
    first = first_line(source)
    by_position = all(name.isdigit() for name in chosen.values())
    names = [str(k) for k in range(1, len(first) + 1)] if by_position else first
    parts = {_found(source, name, names): part for part, name in chosen.items()}
    fields = tuple(
        Field(parts.get(k, f"column {k + 1}"), _dtype(parts.get(k))) for k in range(len(names))
    )
    layout = Layout("this file", fields)
    parsed = parse_as(source, layout, header=not by_position)
    return replace(parsed, frame=parsed.frame.select(list(chosen)))


def _found(source: SourceFile, name: str, names: list[str]) -> int:
    if names.count(name) == 1:
        return names.index(name)
    problem = "has several columns" if name in names else "has no column"
    raise SourceFormatError(
        f"line 1: the file {problem} called {name!r}; it has {', '.join(names)[:200]}",
        where=source.path,
        hint='map its columns, such as --columns "ts=time,price=price,qty=amount,side=type", '
        "or by position where there is no header",
    )


def _dtype(part: str | None) -> Any:
    if part is None or part in _TEXT:
        return pl.String
    return pl.Int64 if part in _WHOLE else pl.Float64


def _from_parquet(source: SourceFile, chosen: Mapping[str, str]) -> Delimited:
    if not source.data.startswith(b"PAR1"):
        raise SourceFormatError(
            "this is not a Parquet file", where=source.path, hint="try --format csv"
        )
    try:
        names = list(pl.read_parquet_schema(io.BytesIO(source.data)))
        for name in chosen.values():
            _found(source, name, names)
        frame = pl.read_parquet(
            io.BytesIO(source.data), columns=list(dict.fromkeys(chosen.values()))
        )
    except pl.exceptions.PolarsError as error:
        raise SourceFormatError(
            f"the Parquet file is truncated or damaged ({str(error).splitlines()[0]})",
            where=source.path,
            hint="download it again",
        ) from None
    if frame.is_empty():
        raise SourceFormatError("the file holds no rows", where=source.path, hint="check it")
    frame = frame.select(pl.col(name).alias(part) for part, name in chosen.items())
    parsed = _Rows(source, Layout("this file", ()), frame, header=False)
    for part in chosen:
        if frame[part].null_count():
            parsed.require(pl.col(part).is_not_null(), part, "there in every row")
        if part in _TEXT:
            continue
        dtype = _dtype(part)
        if not frame.schema[part].is_numeric():
            raise parsed.refuse(0, f"{part} should be a number, and is {frame.schema[part]}")
        if dtype == pl.Int64:
            whole = pl.col(part).cast(dtype, strict=False) == pl.col(part)
            parsed.require(whole, part, "a whole number")
        frame = frame.with_columns(pl.col(part).cast(dtype))
    return replace(parsed, frame=frame)


class _Rows(Delimited):
    """Rows that came from no text: errors name rows."""

    def refuse(self, row: int, what: str) -> SourceFormatError:
        return SourceFormatError(
            f"row {row + 1}: {what}",
            where=self.source.path,
            hint="check the map of columns (docs/sources.md)",
        )


def _times(parsed: Delimited) -> pl.Series:
    """The column `ts` as microseconds, whatever it is."""
    values = parsed.frame["ts"]
    dtype = values.dtype
    if dtype == pl.String:
        return _text_times(parsed)
    if dtype.is_integer():
        return whole_times(_with(parsed, values.cast(pl.Int64)), "ts")
    if isinstance(dtype, pl.Datetime):
        zoned = values if dtype.time_zone else values.dt.replace_time_zone("UTC")
        return _inside(parsed, zoned.dt.convert_time_zone("UTC").cast(TIME).to_physical())
    if dtype.is_float():
        return _inside(parsed, (values * 1e6).round().cast(pl.Int64, strict=False))
    raise parsed.refuse(0, f"ts should be a time, and is {dtype}")


def _text_times(parsed: Delimited) -> pl.Series:
    text = parsed.frame["ts"].str.strip_chars()
    if text.str.contains(r"^\d+$").all():
        return whole_times(_with(parsed, text.cast(pl.Int64, strict=False)), "ts")
    if text[0] is not None and text.head(1).str.contains(r"^\d+\.\d+$").any():
        return decimal_times(parsed, "ts")
    plain = text.str.replace("T", " ", literal=True).str.replace(r"\s*(Z|UTC|\+00:?00)$", "")
    times = plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    parsed.require(
        times.is_not_null(),
        "ts",
        "a number since 1970 or a UTC time such as 2025-01-31T00:00:00Z",
    )
    return _inside(parsed, times.to_physical())


def _with(parsed: Delimited, values: pl.Series) -> Delimited:
    return replace(parsed, frame=parsed.frame.with_columns(values.alias("ts")))


def _inside(parsed: Delimited, times: pl.Series) -> pl.Series:
    inside = times.is_between(EARLIEST_SECOND * 10**6, LATEST_SECOND * 10**6, closed="left")
    parsed.require(inside, "ts", "a time from 2009 to 2100")
    return times


def _buyer_maker(parsed: Delimited) -> pl.Series:
    """The column `side` as "the buyer was the maker"."""
    values = parsed.frame["side"]
    if values.dtype == pl.Boolean:
        return values
    if values.dtype != pl.String:
        raise parsed.refuse(0, f"side should be text or true/false, and is {values.dtype}")
    text = values.str.strip_chars().str.to_lowercase()
    found = set(text.unique().drop_nulls())
    if any(found <= set(pair) for pair in _SIDES):
        parsed.require(text.is_not_null(), "side", "there in every row")
        return text.replace_strict(_BUYER_MAKER, return_dtype=pl.Boolean)
    known = next((pair for pair in _SIDES if text[0] in pair), None)
    rule = " or ".join(known) if known else "buy or sell, b or s, or true or false"
    parsed.require(text.is_in(list(known or ())), "side", rule)
    raise AssertionError("unreachable: some side is not among the known ones")
