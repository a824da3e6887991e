"""Parquet and Feather (Arrow IPC): chosen columns, in few types.

Read by Arrow, which refuses what is damaged with an exception; from the many types that a column
can have come text, whole numbers, doubles, times and booleans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vostok_core.errors import SourceFormatError
from vostok_core.lake.tables import TIME
from vostok_pipelines.sources.common import Delimited, Layout, SourceFile
from vostok_pipelines.sources.frames import times_in
from vostok_pipelines.sources.text import shortened

_MAGIC = {"parquet": (b"PAR1",), "feather": (b"ARROW1", b"\xff\xff\xff\xff")}
_CALLED = {"parquet": "a Parquet file", "feather": "a Feather file (Arrow IPC)"}
_ROWS = 1 << 21
_ROWS_PER_BYTE = 8
"""More rows than both this many and so many a byte are held for a trap: trades take bytes each."""

_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_NEEDED: dict[type[pl.DataType], str] = {pl.Int64: "a whole number", pl.Float64: "a number"}
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


class Rows(Delimited):
    """Rows that came from no text: errors name rows."""

    def refuse(self, row: int, what: str) -> SourceFormatError:
        return SourceFormatError(
            f"row {row + self.line}: {what}",
            where=self.source.path,
            hint="check the map of columns (docs/sources.md)",
        )


def read_columns(
    source: SourceFile,
    container: Literal["parquet", "feather"],
    chosen: Mapping[str, str],
    dtypes: Mapping[str, type[pl.DataType]],
) -> tuple[Rows, tuple[str, ...]]:
    """Read the columns that parts are mapped to.

    Args:
        source: The file, packed or not.
        container: What it is.
        chosen: Part -> column of the file.
        dtypes: Parts that are numbers -> Int64 or Float64. Others come as they are: text, whole
            numbers, doubles, times or booleans.

    Returns:
        The rows, by part and without nulls, and what a person should know about them.

    Raises:
        SourceFormatError: The file is something else or damaged, lacks a column, or a value is not
            what its part needs.
    """
    data = source.unpacked()
    if not data.startswith(_MAGIC[container]):
        found = next((name for name, magic in _MAGIC.items() if data.startswith(magic)), "csv")
        what = f", and looks like {_CALLED[found]}" if found in _CALLED else ""
        raise SourceFormatError(
            f"this is not {_CALLED[container]}{what}",
            where=source.path,
            hint=f"try --format {found}",
        )
    try:
        table = _table(source, data, container, chosen)
        table.validate(full=True)
    except SourceFormatError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError) as bad:
        raise SourceFormatError(
            f"{_CALLED[container][2:]} is truncated or damaged ({_words(bad)})",
            where=source.path,
            hint="download it again",
        ) from None
    if not table.num_rows:
        raise SourceFormatError("the file holds no rows", where=source.path, hint="check it")
    rows = Rows(source, Layout("this file", ()), pl.DataFrame())
    columns = [_column(rows, part, table[name], dtypes.get(part)) for part, name in chosen.items()]
    single = [
        part for part, name in chosen.items() if pa.types.is_float32(table.schema.field(name).type)
    ]
    warnings = [f"{part} is in single precision: about 7 digits of it are known" for part in single]
    return replace(rows, frame=pl.DataFrame(columns)), tuple(warnings)


def _table(source: SourceFile, data: bytes, container: str, chosen: Mapping[str, str]) -> pa.Table:
    wanted = list(dict.fromkeys(chosen.values()))
    if container == "parquet":
        file = pq.ParquetFile(pa.BufferReader(data))
        _require_names(source, file.schema_arrow.names, wanted)
        if file.metadata.num_rows > max(_ROWS, _ROWS_PER_BYTE * len(data)):
            raise ValueError(f"it claims to hold {file.metadata.num_rows} rows")
        return file.read(columns=wanted)
    opener = pa.ipc.open_file if data.startswith(b"ARROW1") else pa.ipc.open_stream
    with opener(pa.BufferReader(data)) as file:
        _require_names(source, file.schema.names, wanted)
        return file.read_all().select(wanted)


def columns_of(
    source: SourceFile, container: str, time: str
) -> tuple[list[tuple[str, str]], object]:
    """What the columns of a file are, and the first value of one of them.

    Args:
        source: A file that has been read.
        container: What it is, `parquet` or `feather`.
        time: A column; one of times that know their unit, or that isn't there, has no first value.

    Returns:
        Name and type of each column, and the value or None.
    """
    data = source.unpacked()
    if container == "parquet":
        file = pq.ParquetFile(pa.BufferReader(data))
        schema = file.schema_arrow
        batches = file.iter_batches(1, columns=[time])
    else:
        opener = pa.ipc.open_file if data.startswith(b"ARROW1") else pa.ipc.open_stream
        stream = opener(pa.BufferReader(data))
        schema = stream.schema
        batches = _batches(stream)
    types = [(field.name, str(field.type)) for field in schema]
    if time not in schema.names or pa.types.is_temporal(schema.field(time).type):
        return types, None
    return types, next(batch.column(time)[0].as_py() for batch in batches if batch.num_rows)


def _batches(stream: pa.RecordBatchFileReader | pa.RecordBatchStreamReader) -> Iterator[Any]:
    if isinstance(stream, pa.RecordBatchStreamReader):
        yield from stream
    else:
        yield from (stream.get_batch(k) for k in range(stream.num_record_batches))


def _require_names(source: SourceFile, names: list[str], wanted: list[str]) -> None:
    for name in wanted:
        require_name(source, name, names, "the file")


_TRADES = "ts=time,price=price,qty=amount,side=type"
_BARS = "ts=time,open=open,high=high,low=low,close=close,volume=volume"


def require_name(source: SourceFile, name: str, names: list[str], who: str) -> int:
    """Where a column stands among those of a file.

    Raises:
        SourceFormatError: There is none of that name, or several.
    """
    if names.count(name) == 1:
        return names.index(name)
    problem = "has several columns" if name in names else "has no column"
    bars = {"open", "high", "low", "close"} <= {each.lower() for each in names}
    raise SourceFormatError(
        f"{who} {problem} called {name!r}; it has {shortened(', '.join(names), 200)}",
        where=source.path,
        hint=f'map its columns, such as --columns "{_BARS if bars else _TRADES}", '
        + ("of --kind klines" if bars else "or by position where there is no header"),
    )


def _words(error: BaseException) -> str:
    lines = str(error).splitlines()
    return shortened(lines[0]) if lines else type(error).__name__


def _column(
    rows: Rows, part: str, column: pa.ChunkedArray, dtype: type[pl.DataType] | None
) -> pl.Series:
    """A column in a type that its part may have.

    Raises:
        SourceFormatError: It can't be; with the first row that has no value or a wrong one.
    """
    if column.null_count:
        row = pc.index(column.is_null(), value=True).as_py()
        raise rows.refuse(row, f"{part} should be there in every row, found nothing")
    if dtype is None and pa.types.is_timestamp(column.type):
        return _times(rows, part, column)
    otherwise = "a time" if part == "ts" else "text or true/false"
    needed = otherwise if dtype is None else _NEEDED[dtype]
    target = _target(column.type)
    if target is None or (dtype is not None and pa.types.is_boolean(target)):
        raise rows.refuse(0, f"{part} should be {needed}, and is {column.type}")
    try:
        found = pl.Series(part, pl.from_arrow(column.cast(target)))
    except pa.ArrowInvalid as error:
        raise rows.refuse(0, f"{part} should be {needed} in every row ({_words(error)})") from None
    if pa.types.is_float32(column.type) or pa.types.is_decimal(column.type):
        # From a decimal, which of a float is the shortest that stands for it.
        found = found.cast(pl.Float64, strict=False)
    if dtype is None:
        return found
    number = found.cast(dtype, strict=False)
    good = number.is_not_null()
    if found.dtype == pl.String:
        good &= found.str.contains(_NUMBER)
    elif dtype == pl.Int64:
        good &= number == found
    replace(rows, frame=pl.DataFrame([found])).require(good, part, needed)
    return number


def _times(rows: Rows, part: str, column: pa.ChunkedArray) -> pl.Series:
    unit = _UNITS[column.type.unit]
    values = pl.Series(part, pl.from_arrow(column.cast(pa.int64())))
    since = replace(rows, frame=pl.DataFrame([values]))
    return times_in(since, part, unit).cast(TIME)


def _target(kind: pa.DataType) -> pa.DataType | None:
    """What a column of a type is cast to; none if it can't be of use."""
    if pa.types.is_dictionary(kind):
        return _target(kind.value_type)
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_float64(kind) or pa.types.is_float16(kind):
        return pa.float64()
    if any(is_text(kind) for is_text in _TEXT):
        return pa.large_string()
    return kind if pa.types.is_boolean(kind) else None


_TEXT = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,  # what writers that knew no text wrote it as
    pa.types.is_large_binary,
    pa.types.is_float32,  # by way of their decimals
    pa.types.is_decimal,
)
