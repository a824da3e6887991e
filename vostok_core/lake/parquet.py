"""One Parquet file of a partition: its bytes, its rows, its footer.

The footer carries the row count, a hash of the content, the version of the code and the hashes of
the inputs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import polars as pl

from vostok_core.errors import CorruptPartition
from vostok_core.lake.address import Place
from vostok_core.lake.objects import Objects, Stat

_FOOTER_KEY = "vostok"
_ROW_GROUP = 262_144
_FOOTER_SIZE = 65_536
"""Bytes from the end of a file that are read for its footer; few footers are larger."""


@dataclass(frozen=True)
class PartitionInfo:
    """What the footer of a partition's file says about it.

    Attributes:
        path: The file: a path, or the name of an object.
        rows: How many it has.
        content_hash: Hash of them.
        code_version: Version of the code that made them.
        inputs: Hashes of what they were made from.
        size: Of the file, in bytes.
        tag: Changes whenever the file is written; two that differ in it alone are equal.
    """

    path: Place
    rows: int
    content_hash: str
    code_version: str
    inputs: Mapping[str, str]
    size: int
    tag: str = field(default="", compare=False)


def encode(
    frame: pl.DataFrame, content_hash: str, code_version: str, inputs: Mapping[str, str]
) -> bytes:
    """The file of a partition."""
    footer = {
        "rows": frame.height,
        "content_hash": content_hash,
        "code_version": code_version,
        "inputs": dict(inputs),
    }
    buffer = io.BytesIO()
    frame.write_parquet(
        buffer,
        compression="zstd",
        compression_level=3,
        statistics=True,
        row_group_size=_ROW_GROUP,
        metadata={_FOOTER_KEY: json.dumps(footer, sort_keys=True)},
    )
    return buffer.getvalue()


def read_rows(
    objects: Objects, key: str, columns: Sequence[str] | None = None
) -> tuple[PartitionInfo, pl.DataFrame] | None:
    """The footer and the rows of a file; None where there is none.

    Raises:
        CorruptPartition: It doesn't read.
    """
    # By one open file: given a path, polars opens it twice, for its footer and for its rows, and a
    # partition swapped in between would be read with the other's footer. It would also expand `*`.
    where = objects.place(key)
    try:
        with objects.open(key) as (file, stat):
            info = _info(where, file, stat)
            file.seek(0)
            return info, pl.read_parquet(
                file, columns=list(columns) if columns else None, hive_partitioning=False
            )
    except FileNotFoundError:
        return None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorruptPartition(
            f"the file doesn't read ({str(error).splitlines()[0]})",
            where=where,
            hint="delete it and materialize the partition again",
        ) from error


def read_footer(objects: Objects, key: str) -> PartitionInfo | None:
    """What the footer of a file says; None where there is no file.

    Raises:
        CorruptPartition: It is absent or doesn't read.
    """
    where = objects.place(key)
    try:
        with objects.open_end(key, _FOOTER_SIZE) as (file, stat):
            try:
                return _info(where, file, stat)
            except pl.exceptions.PolarsError:
                if stat.size <= _FOOTER_SIZE:
                    raise
        with objects.open(key) as (file, stat):  # a larger footer, or none
            return _info(where, file, stat)
    except FileNotFoundError:
        return None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _no_footer(where) from error


def _info(path: Place, file: BinaryIO, stat: Stat) -> PartitionInfo:
    metadata = pl.read_parquet_metadata(file)
    try:
        footer = json.loads(metadata[_FOOTER_KEY])
        return PartitionInfo(
            path,
            footer["rows"],
            footer["content_hash"],
            footer["code_version"],
            footer["inputs"],
            stat.size,
            stat.tag,
        )
    except (KeyError, ValueError) as error:
        raise _no_footer(path) from error


def _no_footer(path: Place) -> CorruptPartition:
    return CorruptPartition(
        "the file has no readable Vostok footer",
        where=path,
        hint="delete it and materialize the partition again",
    )
