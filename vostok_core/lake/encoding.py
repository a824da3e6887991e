"""How the rows of a partition become the bytes of a Parquet file.

What is chosen here was measured on real trades and on the tables of a lake; docs/lake.md has the
figures and `bench/storage.py` prints them.

* Whole numbers and times are written as packed differences (DELTA_BINARY_PACKED): ids that go up
  by one take next to nothing, times a byte or two.
* Floats are written as they are. zstd finds the repetitions of prices, which a dictionary hides
  from it behind indices that are no whole bytes.
* Texts, and quantities, have few values in a partition and are written as a dictionary, as long as
  it stays below a megabyte. In lists, such as the levels of a book, likewise.
* Everything is compressed by zstd at level 3: level 9 takes three times as long and saves 3 %.
* Every row group has the least and greatest value of every column, so that a reader who asks for an
  hour skips the others.

Any reader of Parquet reads the files; the encodings are of its second version (2013).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import IO

import polars as pl

VERSION = "2"
"""Changes whenever the same rows become other bytes; `vostok lake compact` rewrites older files."""

ROW_GROUP = 262_144
"""Rows of a row group: some 20 MB in memory of ticks, an hour or two of a busy market."""

COMPRESSION_LEVEL = 3


def encoding() -> str:
    """What is noted in a file of how it was encoded: equal notes and rows give equal bytes."""
    import pyarrow as pa

    return f"{VERSION}, pyarrow {pa.__version__}"


def is_older(noted: str) -> bool:
    """Whether a file with such a note was encoded by another version of this module."""
    return noted.partition(",")[0] != VERSION


def write_parquet(
    frame: pl.DataFrame,
    file: IO[bytes],
    metadata: Mapping[str, str],
    repeating: Collection[str] = (),
) -> None:
    """Write rows and file metadata as Parquet.

    Args:
        frame: Columns of whole numbers, floats, lists of floats, Booleans, texts, dates and times.
        file: Open for writing.
        metadata: Keys and values of the file's footer.
        repeating: Columns of floats, or of lists of them, that have few values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    # A column without nulls needs no levels that say so, which also spares the readers.
    schema = pa.schema(
        [
            field.with_nullable(bool(frame[field.name].null_count()))
            for field in rows.schema.remove_metadata()
        ]
    )
    whole = [name for name, dtype in frame.schema.items() if _is_whole(dtype)]
    few = [
        _leaf(name, dtype)
        for name, dtype in frame.schema.items()
        if dtype == pl.String or name in repeating
    ]
    with pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=few,
        column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        write_statistics=True,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.write_table(pa.Table.from_arrays(rows.columns, schema=schema), ROW_GROUP)
        writer.add_key_value_metadata(dict(metadata))


def _leaf(name: str, dtype: pl.DataType) -> str:
    """The path within the file of the column that holds the values."""
    return f"{name}.list.element" if isinstance(dtype, pl.List) else name


def _is_whole(dtype: pl.DataType) -> bool:
    """Whether values of a type are whole numbers underneath."""
    return dtype.is_integer() or dtype.is_temporal()
