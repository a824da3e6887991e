"""One Parquet file of a partition: its bytes, its rows, its footer.

The footer carries the row count, a hash of the content, the version of the code and the hashes of
the inputs, and a seal of itself.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import polars as pl

from vostok_core.errors import CorruptPartition, StalePartition, UsageError
from vostok_core.hashing import hash_value
from vostok_core.lake.address import Place
from vostok_core.lake.encoding import write_parquet
from vostok_core.lake.objects import Objects, Stat
from vostok_core.lake.tables import Table

_FOOTER_KEY = "vostok"
_SEAL = 16  # hex digits
_FOOTER_SIZE = 65_536
"""Bytes from the end of a file that are read for its footer; few footers are larger."""

UNREADABLE = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What reading a damaged file raises; Polars panics at some kinds of damage."""

NOWHERE = ""
"""Where the rows of a stub are that was made to let them go."""

AGAIN = "delete it and materialize the partition again"


@dataclass(frozen=True)
class PartitionInfo:
    """What the footer of a partition's file says about it.

    Attributes:
        path: The file: a path, or the name of an object.
        rows: Its rows; of a stub, those that it stands for.
        content_hash: Hash of those rows.
        code_version: Version of the code that made them.
        inputs: What they were made from, by name: content hashes, and what else was noted.
        size: Bytes of the file.
        tag: Changes whenever the file is written; two that differ in it alone are equal.
        encoding: How it was encoded (`vostok_core.lake.encoding`); empty before that was noted.
        columns: Hash of the names of its columns; empty before it was noted.
        kept_in: The table that holds the rows, or `NOWHERE`, if the file is a stub.
    """

    path: Place
    rows: int
    content_hash: str
    code_version: str
    inputs: Mapping[str, str]
    size: int
    tag: str = field(default="", compare=False)
    encoding: str = ""
    columns: str = ""
    kept_in: str | None = None

    @property
    def name(self) -> str:
        """Name of the part."""
        return self.path.stem.removeprefix("part-")


def encode(info: PartitionInfo, declared: Table, frame: pl.DataFrame) -> bytes:
    """The bytes of a file; the same footer and rows give the same bytes.

    Args:
        info: What its footer shall say.
        declared: The table that it is of.
        frame: Its rows.
    """
    buffer = io.BytesIO()
    repeating = {column.name for column in declared.columns if column.repeats}
    write_parquet(frame, buffer, {_FOOTER_KEY: _sealed(info)}, repeating)
    return buffer.getvalue()


def columns_hash(names: Iterable[str]) -> str:
    """A hash of the names of columns."""
    return hash_value(list(names))[:_SEAL]


def read_rows(
    objects: Objects, key: str, declared: Table, columns: Sequence[str] | None = None
) -> tuple[PartitionInfo, pl.DataFrame] | None:
    """The footer and the rows of a file; None where there is none.

    Args:
        objects: What the lake lies on.
        key: Name of the file.
        declared: The table that it is of.
        columns: Those that are wanted; by default all.

    Raises:
        CorruptPartition: It doesn't read.
        StalePartition: An older version wrote it, and it lacks a column that can't be null.
        UsageError: The table has no such column.
    """
    # By one open file: given a path, polars opens it twice, for its footer and for its rows, and a
    # partition swapped in between would be read with the other's footer. It would also expand `*`.
    where = objects.place(key)
    try:
        with objects.open(key) as (file, stat):
            info = read_info(file, where, stat)
            file.seek(0)
            there = list(pl.read_parquet_schema(file))
            if info.columns not in ("", columns_hash(there)):
                raise no_footer(where)
            asked = [name for name in columns or there if name in there]
            file.seek(0)
            frame = pl.read_parquet(file, columns=asked, hive_partitioning=False)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise CorruptPartition(
            f"the file doesn't read ({str(error).splitlines()[0]})", where=where, hint=AGAIN
        ) from error
    return info, _as_declared(frame, declared, columns, where)


def read_footer(objects: Objects, key: str) -> PartitionInfo | None:
    """What the footer of a file says; None where there is no file.

    Raises:
        CorruptPartition: It is absent or doesn't read.
    """
    where = objects.place(key)
    try:
        with objects.open_end(key, _FOOTER_SIZE) as (file, stat):
            try:
                return read_info(file, where, stat)
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
                if stat.size <= _FOOTER_SIZE:
                    raise
        with objects.open(key) as (file, stat):  # a larger footer, or none
            return read_info(file, where, stat)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise no_footer(where) from error


def _as_declared(
    frame: pl.DataFrame, declared: Table, columns: Sequence[str] | None, where: Place
) -> pl.DataFrame:
    """The rows of a file as if it had been written with the columns that there are now.

    A column that came later and may be null is null; one that has gone is left out.
    """
    names = list(columns or declared.schema)
    if columns is None and declared.open_columns:
        names += [name for name in frame.columns if name not in declared.schema]
    if frame.columns == names:
        return frame
    lacking = [name for name in names if name not in frame.columns]
    if unknown := [name for name in lacking if name not in declared.schema]:
        raise UsageError(
            f"{declared.name} has no column {unknown[0]!r}",
            hint="docs/lake.md lists what there is",
        )
    by_name = {column.name: column for column in declared.columns}
    if any(not by_name[name].added for name in lacking):
        raise CorruptPartition(
            f"the file lacks the columns {', '.join(lacking)}", where=where, hint=AGAIN
        )
    if wanting := [name for name in lacking if not by_name[name].nullable]:
        raise StalePartition(
            f"the file was written by an older version and lacks the columns {', '.join(wanting)}",
            where=where,
            hint="materialize the partition again",
        )
    return frame.select(
        pl.col(name) if name in frame.columns else pl.lit(None, declared.schema[name]).alias(name)
        for name in names
    )


def read_info(file: BinaryIO, where: Place, stat: Stat) -> PartitionInfo:
    """What the footer of a file says.

    Raises:
        CorruptPartition: It is not ours, or is damaged. What polars raises is left to the caller.
    """
    metadata = pl.read_parquet_metadata(file)
    try:
        footer = json.loads(metadata[_FOOTER_KEY])
        seal = footer.pop("seal", None)  # older files have none
        whole = seal in (None, hash_value(footer)[:_SEAL])
        info = PartitionInfo(
            where,
            footer["rows"],
            footer["content_hash"],
            footer["code_version"],
            footer["inputs"],
            stat.size,
            stat.tag,
            footer.get("encoding", ""),
            footer.get("columns", ""),
            footer.get("kept_in"),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise no_footer(where) from error
    if not whole:
        raise no_footer(where)
    return info


def no_footer(where: Place) -> CorruptPartition:
    """The error about a file whose footer is not ours."""
    return CorruptPartition("the file has no readable Vostok footer", where=where, hint=AGAIN)


def _sealed(info: PartitionInfo) -> str:
    """The footer as text, with a hash of itself."""
    footer: dict[str, object] = {
        "rows": info.rows,
        "content_hash": info.content_hash,
        "code_version": info.code_version,
        "inputs": dict(info.inputs),
        "encoding": info.encoding,
        "columns": info.columns,
    }
    if info.kept_in is not None:
        footer["kept_in"] = info.kept_in
    return json.dumps({**footer, "seal": hash_value(footer)[:_SEAL]}, sort_keys=True)
