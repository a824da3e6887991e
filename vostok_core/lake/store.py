"""Reading and writing partitions.

A partition is a folder `table/key=value/…` that holds one Parquet file (or, for landed raw files,
one per source); `files` says how one is written and read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import quote, unquote

import polars as pl

from vostok_core.errors import CorruptPartition, LakeVersionError, MissingPartition, UsageError
from vostok_core.hashing import hash_frame
from vostok_core.lake.atomic import replacing
from vostok_core.lake.encoding import encoding
from vostok_core.lake.files import (
    PartitionInfo,
    columns_hash,
    read_file,
    read_footer,
    scan_files,
    write_file,
)
from vostok_core.lake.tables import Table, table

FORMAT_VERSION = 1
_MARKER = "vostok-lake.json"

Key = str | date


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
                    hint="run `vostok demo` or `vostok ingest` first, or name another --lake",
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
        info = PartitionInfo(
            path,
            frame.height,
            hash_frame(frame),
            code_version,
            dict(inputs or {}),
            size=0,
            encoding=encoding(),
            columns=columns_hash(frame.columns),
        )
        return write_file(info, declared, frame)

    def stub(self, name: str, info: PartitionInfo, kept_in: str) -> PartitionInfo:
        """Swap in a file without rows for one whose rows stand in another table as well.

        Its footer stays, and says where they are. `read` of a stub gives no rows.

        Args:
            name: The table that the file is of.
            info: What its footer says.
            kept_in: The table that holds the same rows, under the same keys.
        """
        declared = table(name)
        return write_file(
            replace(
                info,
                encoding=encoding(),
                columns=columns_hash(declared.schema),
                kept_in=kept_in,
            ),
            declared,
            declared.empty(),
        )

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

    def scan(
        self,
        name: str,
        /,
        *,
        first: date | None = None,
        last: date | None = None,
        **keys: Key,
    ) -> pl.LazyFrame:
        """Many days of a table, to be asked lazily: Polars reads the columns and rows it needs.

        Args:
            name: A table that is partitioned by `date`.
            first: The first day; by default the first there is.
            last: The last day; by default the last there is.
            **keys: All other keys.

        Returns:
            The rows in the order of days; days that have not been written are left out. Stubs give
            no rows.

        Raises:
            MissingPartition: There is no day.
        """
        days = [
            day
            for day in self.days(name, **keys)
            if (first is None or day >= first) and (last is None or day <= last)
        ]
        files = [file for day in days for file in self.files(name, **keys, date=day)]
        if not files:
            raise self._missing(name, {**keys, "date": first or last or "of any day"})
        return scan_files(files, table(name))

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
        return [read_footer(file) for file in self._files(self.partition(name, **keys))]

    def read_parts(self, name: str, /, **keys: Key) -> list[tuple[PartitionInfo, pl.DataFrame]]:
        """The footer and the rows of each file of a partition, by file name.

        Raises:
            MissingPartition: It has not been written.
            CorruptPartition: A file of it doesn't read.
        """
        return self._load(name, None, keys)

    def read_part(self, name: str, part: str, /, **keys: Key) -> pl.DataFrame:
        """The rows of one part of a partition.

        Raises:
            CorruptPartition: It isn't there, or doesn't read.
        """
        path = self.partition(name, **keys) / f"part-{_quoted(part)}.parquet"
        return read_file(path, table(name), None)[1]

    def _load(
        self, name: str, columns: Sequence[str] | None, keys: Mapping[str, Key]
    ) -> list[tuple[PartitionInfo, pl.DataFrame]]:
        files = self._files(self.partition(name, **keys))
        if not files:
            raise self._missing(name, keys)
        return [read_file(file, table(name), columns) for file in files]

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

    def partitions(self, name: str, /) -> Iterator[dict[str, str]]:
        """The keys of every partition of a table that has been written, in the order of paths."""
        yield from self._partitions(name, {})

    def _partitions(self, name: str, fixed: dict[str, str]) -> Iterator[dict[str, str]]:
        declared = table(name).keys
        for value in self.keys(name, **fixed):
            keys = {**fixed, declared[len(fixed)]: value}
            if len(keys) < len(declared):
                yield from self._partitions(name, keys)
            elif self.exists(name, **keys):
                yield keys

    def files(self, name: str, /, **keys: Key) -> list[Path]:
        """The files of a partition, by name; empty if it has not been written."""
        return self._files(self.partition(name, **keys))

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        return sorted(folder.glob("part-*.parquet"))

    @staticmethod
    def _ordered(declared: Table, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns in the table's order; those that were added later may be left out."""
        names: list[str | pl.Expr] = []
        for column in declared.columns:
            if column.name in frame.columns:
                names.append(column.name)
            elif column.added:
                names.append(pl.lit(None, column.dtype).alias(column.name))
        return frame.select(*names, *(c for c in frame.columns if c not in declared.schema))


def _quoted(value: Key) -> str:
    """A key as one component of a path; what DuckDB's patterns know as special is escaped."""
    return quote(str(value), safe=" .-_:")


def _spoken(keys: Mapping[str, Key]) -> str:
    return ", ".join(f"{key}={value}" for key, value in keys.items())


def how_to_make(name: str, keys: Mapping[str, Key]) -> str:
    """The command that writes a partition."""
    if name in ("raw_trades", "raw_klines"):
        return (
            f"run `vostok ingest PATH --instrument {keys.get('instrument', 'ID')} --format FORMAT` "
            "first"
        )
    if name in ("news", "sentiment_scores") and "date" in keys:
        return (
            "run `vostok materialize news,sentiment_scores "
            f"--from {keys['date']} --to {keys['date']}` first"
        )
    if "date" in keys and "instrument" in keys and "strategy" not in keys:
        asset = f"{name}/{keys['pack']}" if "pack" in keys else name
        return (
            f"run `vostok materialize {asset} --instrument {keys['instrument']} "
            f"--from {keys['date']} --to {keys['date']}` first"
        )
    if "strategy" in keys:
        of = f" --instrument {keys['instrument']}" if "instrument" in keys else ""
        return f"run `vostok walk-forward {keys['strategy']}{of}` first"
    return "materialize it first"
