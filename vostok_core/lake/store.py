"""Reading and writing partitions.

A partition is a folder `table/key=value/…` that holds one Parquet file (or, for landed raw files,
one per source). A file is written beside its place under a name that no reader matches, synced,
and renamed over it, so that a reader sees the old partition or the new one and a killed writer
leaves at most a stray temporary file. The footer carries the row count, a hash of the content, the
version of the code and the hashes of the inputs.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

import polars as pl

from vostok_core.errors import CorruptPartition, LakeVersionError, MissingPartition, UsageError
from vostok_core.hashing import hash_frame
from vostok_core.lake.mending import how_to_make
from vostok_core.lake.tables import Table, table

FORMAT_VERSION = 1
_MARKER = "vostok-lake.json"
_FOOTER_KEY = "vostok"
_ROW_GROUP = 262_144

Key = str | date


@dataclass(frozen=True)
class PartitionInfo:
    """What the footer of a partition's file says about it."""

    path: Path
    rows: int
    content_hash: str
    code_version: str
    inputs: Mapping[str, str]
    size: int


def fsync_directory(path: Path) -> None:
    """Make a rename inside `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut as a file in it does."""
    made = []
    place = folder
    while not place.exists():
        made.append(place)
        place = place.parent
    folder.mkdir(parents=True, exist_ok=True)
    for place in made:
        fsync_directory(place.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; on success it is synced and renamed over `path`."""
    _make_folders(path.parent)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


class Lake:
    """A folder of partitioned Parquet tables.

    Args:
        root: The folder; `Lake.open` also checks that this version of Vostok can use it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, root: Path | str, *, create: bool = True) -> Lake:
        """Open a lake, or make an empty one.

        Raises:
            UsageError: `root` holds no lake and `create` is false, or is not a folder.
            LakeVersionError: The lake was written by a newer version of Vostok.
        """
        root = Path(root).expanduser().absolute()
        marker = root / _MARKER
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file, not a lake", hint="name a folder with --lake")
        if not marker.exists():
            if not create:
                raise UsageError(
                    f"{root} holds no lake",
                    hint="run `vostok demo` first, or `vostok ingest PATH --instrument ID --format "
                    "FORMAT`, or name another --lake",
                )
            with replacing(marker) as temporary:
                temporary.write_text(json.dumps({"format": FORMAT_VERSION}) + "\n")
        try:
            version = int(json.loads(marker.read_text())["format"])
        except (ValueError, KeyError, TypeError):
            raise CorruptPartition(
                "the lake's marker file doesn't read",
                where=marker,
                hint=f'it should hold {{"format": {FORMAT_VERSION}}}',
            ) from None
        if version > FORMAT_VERSION:
            raise LakeVersionError(
                f"the lake has format {version} and this Vostok knows up to {FORMAT_VERSION}",
                where=root,
                hint="update Vostok, or name another lake with --lake",
            )
        return cls(root)

    def partition(self, name: str, /, **keys: Key) -> Path:
        """The folder of a partition.

        Raises:
            UnknownName: No such table.
            ValueError: The keys are not those of the table.
        """
        declared = table(name)
        if set(keys) != set(declared.keys):
            raise ValueError(f"{name} is keyed by {declared.keys}, not {tuple(keys)}")
        path = self.root / name
        for key in declared.keys:
            path /= f"{key}={_quoted(keys[key])}"
        return path

    def exists(self, name: str, /, **keys: Key) -> bool:
        """Whether a partition has been written."""
        return bool(self._files(self.partition(name, **keys)))

    def write(
        self,
        name: str,
        frame: pl.DataFrame,
        /,
        *,
        code_version: str,
        inputs: Mapping[str, str] | None = None,
        part: str = "0",
        **keys: Key,
    ) -> PartitionInfo:
        """Check a frame against its table and swap it in as the whole partition.

        Raises:
            SchemaViolation: Nothing was written.
        """
        from vostok_core.lake.schemas import validate

        declared = table(name)
        folder = self.partition(name, **keys)
        path = folder / f"part-{_quoted(part)}.parquet"
        frame = self._ordered(declared, frame).rechunk()
        validate(declared, frame, where=str(folder.relative_to(self.root)))
        content_hash = hash_frame(frame)
        used = dict(inputs or {})
        footer = {
            "rows": frame.height,
            "content_hash": content_hash,
            "code_version": code_version,
            "inputs": used,
        }
        with replacing(path) as temporary:
            frame.write_parquet(
                temporary,
                compression="zstd",
                compression_level=3,
                statistics=True,
                row_group_size=_ROW_GROUP,
                metadata={_FOOTER_KEY: json.dumps(footer, sort_keys=True)},
            )
            size = temporary.stat().st_size
        return PartitionInfo(path, frame.height, content_hash, code_version, used, size)

    def read(
        self, name: str, /, *, columns: Sequence[str] | None = None, **keys: Key
    ) -> pl.DataFrame:
        """The rows of one partition.

        Raises:
            MissingPartition: It has not been written.
            CorruptPartition: A file of it doesn't read.
        """
        frames = [frame for _, frame in self._load(name, columns, keys)]
        return frames[0] if len(frames) == 1 else pl.concat(frames)

    def load(
        self, name: str, /, *, columns: Sequence[str] | None = None, **keys: Key
    ) -> tuple[PartitionInfo, pl.DataFrame]:
        """The footer and the rows of a partition, of one file: a swap can't come in between.

        Raises:
            MissingPartition: It has not been written.
            CorruptPartition: It doesn't read.
            ValueError: The table has partitions of many parts.
        """
        if table(name).many_parts:
            raise ValueError(f"{name} has partitions of many parts: read_parts reads them")
        ((info, frame),) = self._load(name, columns, keys)
        return info, frame

    def info(self, name: str, /, **keys: Key) -> PartitionInfo:
        """What the footer of a partition says; of a partition with parts, the parts combined.

        Raises:
            MissingPartition: It has not been written.
            CorruptPartition: A footer is absent or doesn't read.
        """
        parts = self.parts(name, **keys)
        if not parts:
            raise self._missing(name, keys)
        if len(parts) == 1:
            return parts[0]
        from vostok_core.hashing import hash_value

        return PartitionInfo(
            parts[0].path.parent,
            sum(p.rows for p in parts),
            hash_value([p.content_hash for p in parts]),
            parts[-1].code_version,
            {p.path.stem: p.content_hash for p in parts},
            sum(p.size for p in parts),
        )

    def parts(self, name: str, /, **keys: Key) -> list[PartitionInfo]:
        """The footers of all files of a partition, by file name; empty if there is none."""
        return [_read_footer(file) for file in self._files(self.partition(name, **keys))]

    def read_parts(self, name: str, /, **keys: Key) -> list[tuple[PartitionInfo, pl.DataFrame]]:
        """The footer and the rows of each file of a partition, by file name.

        Raises:
            MissingPartition: It has not been written.
            CorruptPartition: A file of it doesn't read.
        """
        return self._load(name, None, keys)

    def _load(
        self, name: str, columns: Sequence[str] | None, keys: Mapping[str, Key]
    ) -> list[tuple[PartitionInfo, pl.DataFrame]]:
        files = self._files(self.partition(name, **keys))
        if not files:
            raise self._missing(name, keys)
        declared = table(name)
        if not any(column.added for column in declared.columns):
            return [_read_file(file, columns) for file in files]
        whole = [_read_file(file, None) for file in files]
        return [
            (info, self._ordered(declared, frame).select(columns or pl.all()))
            for info, frame in whole
        ]

    def _missing(self, name: str, keys: Mapping[str, Key]) -> MissingPartition:
        return MissingPartition(
            f"{name} has no partition {_spoken(keys)}",
            where=self.root,
            hint=how_to_make(name, keys),
        )

    def keys(self, name: str, /, **fixed: Key) -> list[str]:
        """The values of the first key that is not fixed, sorted.

        Raises:
            ValueError: The fixed keys don't lead the path, or are all there are.
        """
        declared = table(name)
        leading = declared.keys[: len(fixed)]
        if set(fixed) != set(leading) or len(leading) == len(declared.keys):
            raise ValueError(f"keys that lead {declared.keys} must be fixed, not {tuple(fixed)}")
        folder = self.root / name
        for key in leading:
            folder /= f"{key}={_quoted(fixed[key])}"
        key = declared.keys[len(leading)]
        if not folder.is_dir():
            return []
        prefix = f"{key}="
        return sorted(
            unquote(entry.name[len(prefix) :])
            for entry in folder.iterdir()
            if entry.name.startswith(prefix)
        )

    def days(self, name: str, /, **fixed: Key) -> list[date]:
        """The days that have been written, sorted; all keys before `date` must be given."""
        return [
            date.fromisoformat(day)
            for day in self.keys(name, **fixed)
            if self.exists(name, **fixed, date=day)
        ]

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        return sorted(folder.glob("part-*.parquet"))

    @staticmethod
    def _ordered(declared: Table, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns in the table's order; those that were added to it, null where it has none."""
        absent = [c for c in declared.columns if c.added and c.name not in frame.columns]
        frame = frame.with_columns(pl.lit(None, c.dtype).alias(c.name) for c in absent)
        names = [c for c in declared.schema if c in frame.columns]
        if declared.open_columns:
            names += [c for c in frame.columns if c not in declared.schema]
            return frame.select(names)
        return frame.select(names + [c for c in frame.columns if c not in declared.schema])


def _quoted(value: Key) -> str:
    """A key as one component of a path; what DuckDB's patterns know as special is escaped."""
    return quote(str(value), safe=" .-_:")


def _read_file(path: Path, columns: Sequence[str] | None) -> tuple[PartitionInfo, pl.DataFrame]:
    # By one open file: given a path, polars opens it twice, for its footer and for its rows, and a
    # partition swapped in between would be read with the other's footer. It would also expand `*`.
    try:
        with path.open("rb") as file:
            info = _info(path, file)
            file.seek(0)
            return info, pl.read_parquet(
                file, columns=list(columns) if columns else None, hive_partitioning=False
            )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorruptPartition(
            f"the file doesn't read ({str(error).splitlines()[0]})",
            where=path,
            hint="delete it and materialize the partition again",
        ) from error


def _read_footer(path: Path) -> PartitionInfo:
    try:
        with path.open("rb") as file:
            return _info(path, file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _no_footer(path) from error


def _info(path: Path, file: BinaryIO) -> PartitionInfo:
    metadata = pl.read_parquet_metadata(file)
    try:
        footer = json.loads(metadata[_FOOTER_KEY])
        return PartitionInfo(
            path,
            footer["rows"],
            footer["content_hash"],
            footer["code_version"],
            footer["inputs"],
            os.fstat(file.fileno()).st_size,
        )
    except (KeyError, ValueError) as error:
        raise _no_footer(path) from error


def _no_footer(path: Path) -> CorruptPartition:
    return CorruptPartition(
        "the file has no readable Vostok footer",
        where=path,
        hint="delete it and materialize the partition again",
    )


def _spoken(keys: Mapping[str, Key]) -> str:
    return ", ".join(f"{key}={value}" for key, value in keys.items())
