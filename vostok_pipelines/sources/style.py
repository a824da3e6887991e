"""How a source file is written: its columns, header, unit of times and notation of sides.

Told from its first lines, whatever reads it. The same kind of file is told in the same words on
every day, so that a source that comes to write its files otherwise is noticed (`market.drift`).
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from vostok_pipelines.sources import binance
from vostok_pipelines.sources.by_day import Reader
from vostok_pipelines.sources.common import Source, SourceFile
from vostok_pipelines.sources.frames import unit_of

TIME_FIELDS = {**binance.TIME_FIELDS, "binance-klines": 0, "kraken-trades": 0}
"""Format -> the place of the time among the fields of a line, from 0."""

_PAIRS = ("True/False", "true/false", "TRUE/FALSE", "b/s", "buy/sell", "BUY/SELL", "Buy/Sell")
_HEAD = 1 << 16  # bytes in which the first two lines lie


def telling(reader: Reader, format_: str, columns: Mapping[str, str] | None = None) -> Reader:
    """A reader that also says how what it reads is written; arguments as of `style`."""

    def read(source: SourceFile) -> Source:
        return replace(reader(source), written=style(source, format_, columns))

    return read


def style(source: SourceFile, format_: str, columns: Mapping[str, str] | None = None) -> str:
    """How a file is written, in words.

    Args:
        source: A file that has been read.
        format_: Its format.
        columns: Map of columns of a `csv` or `parquet` file.
    """
    time = (columns or {}).get("ts", "ts")
    if format_ == "parquet":
        return _of_parquet(source, time)
    return _of_text(source.text[:_HEAD], TIME_FIELDS.get(format_), time)


def _of_text(head: bytes, place: int | None, name: str) -> str:
    lines = head.decode("utf-8", errors="replace").split("\n", 2)
    first = _fields(lines[0])
    header = not any(map(_is_number, first))
    row = _fields(lines[1]) if header else first
    if place is None:
        place = _placed(first if header else [str(k) for k in range(1, len(first) + 1)], name)
    said = [f"columns {','.join(first)}" if header else f"{len(first)} columns without a header"]
    if place is not None and place < len(row):
        said.append(f"time in {_time(row[place])}")
    said += [pair for field in row for pair in _PAIRS if field in pair.split("/")]
    return ", ".join(said)


def _of_parquet(source: SourceFile, time: str) -> str:
    schema = pl.read_parquet_schema(io.BytesIO(source.data))
    said = [f"columns {','.join(f'{name}:{dtype}' for name, dtype in schema.items())}"]
    if time in schema and not schema[time].is_temporal():
        values = pl.read_parquet(io.BytesIO(source.data), columns=[time], n_rows=1)
        said.append(f"time in {_time(str(values[time][0]))}")
    return ", ".join(said)


def _fields(line: str) -> list[str]:
    return [field.strip().strip('"') for field in line.rstrip("\r").split(",")]


def _placed(names: list[str], name: str) -> int | None:
    return names.index(name) if name in names else None


def _time(text: str) -> str:
    """The notation of a time."""
    whole, point, part = text.partition(".")
    if not (whole.isdigit() and (part.isdigit() or not point)):
        return "text"
    unit = unit_of(int(whole)) or "an unknown unit"
    return f"decimal {unit}" if point else unit


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None
