"""Reading partitions, and telling which there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.hashing import hash_value
from vostok_core.lake.address import Place
from vostok_core.lake.mending import how_to_make
from vostok_core.lake.naming import Key, below, is_part, keys_of, part_key, spoken
from vostok_core.lake.objects import Folder, Objects, Stat
from vostok_core.lake.parquet import PartitionInfo, read_footer, read_rows
from vostok_core.lake.tables import Table, table

AT_ONCE = 16
"""Requests to an object store that are under way together, where many are wanted."""


class LakeReader:
    """What can be read of a lake.

    Args:
        root: Where its tables are: a folder, or objects.
        home: The folder of this machine for what can't be in an object store; by default the
            lake's own folder, or none.
    """

    def __init__(self, root: Path | Objects, home: Path | None = None) -> None:
        self.objects = Folder(root) if isinstance(root, Path) else root
        self.home = self.objects.root if isinstance(self.objects, Folder) else home

    @property
    def root(self) -> Place:
        """Where it is, for people and for names below it: a path where it is a folder."""
        return self.objects.place()

    def name_of(self, info: PartitionInfo) -> str:
        """The name of a partition's file, relative to the lake."""
        return str(info.path.relative_to(self.root))  # type: ignore[arg-type]

    def folder(self, name: str, /, **keys: Key) -> str:
        """The name of a partition's folder, relative to the lake.

        Raises:
            UnknownName: No such table.
            ValueError: The keys are not those of the table.
        """
        declared = table(name)
        if set(keys) != set(declared.keys):
            raise ValueError(f"{name} is keyed by {declared.keys}, not {tuple(keys)}")
        return below(declared, keys)

    def partition(self, name: str, /, **keys: Key) -> Place:
        """The folder of a partition.

        Raises:
            UnknownName: No such table.
            ValueError: The keys are not those of the table.
        """
        return self.objects.place(self.folder(name, **keys))

    def exists(self, name: str, /, **keys: Key) -> bool:
        """Whether a partition has been written."""
        folder = self.folder(name, **keys)
        if table(name).many_parts:
            return any(is_part(key) for key in self.objects.names(folder))
        return self.objects.stat(part_key(folder)) is not None

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
            name: A table whose last key is `date`.
            first: The first day; by default the first there is.
            last: The last day; by default the last there is.
            **keys: All other keys.

        Returns:
            The rows in the order of days; days that have not been written are left out, and stubs
            give no rows.

        Raises:
            MissingPartition: There is no day.
        """
        found = [
            stat.key
            for (day,), stat in self.listed(name, **keys)
            if str(first or "") <= day <= str(last or "~")
        ]
        if not found:
            raise self._missing(name, {**keys, "date": first or last or "of any day"})
        sources, options = self.objects.for_polars(found)
        declared = table(name)
        if declared.open_columns:
            return pl.scan_parquet(
                sources,
                glob=False,
                hive_partitioning=False,
                missing_columns="insert",
                storage_options=options,
            )
        return pl.scan_parquet(
            sources,
            glob=False,
            hive_partitioning=False,
            schema=pl.Schema(declared.schema),
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=options,
        )

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

    def load_days(
        self,
        name: str,
        days: Iterable[date],
        /,
        *,
        columns: Sequence[str] | None = None,
        **keys: Key,
    ) -> Iterator[tuple[PartitionInfo, pl.DataFrame]]:
        """As `load`, of some days in the order given; of an object store several at a time.

        Raises:
            MissingPartition: One has not been written.
            CorruptPartition: One doesn't read.
        """

        def load(day: date) -> tuple[PartitionInfo, pl.DataFrame]:
            return self.load(name, columns=columns, **keys, date=day)

        if isinstance(self.objects, Folder):
            yield from map(load, days)
        else:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                yield from pool.map(load, days)

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
        return PartitionInfo(
            parts[0].path.parent,
            sum(p.rows for p in parts),
            hash_value([p.content_hash for p in parts]),
            parts[-1].code_version,
            {p.path.stem: p.content_hash for p in parts},
            sum(p.size for p in parts),
            hash_value([p.tag for p in parts]),
        )

    def parts(self, name: str, /, **keys: Key) -> list[PartitionInfo]:
        """The footers of all files of a partition, by file name; empty if there is none.

        Raises:
            CorruptPartition: A footer is absent or doesn't read.
        """
        found = [read_footer(self.objects, key) for key in self._part_keys(name, keys)]
        return [info for info in found if info is not None]

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
            MissingPartition: It isn't there.
            CorruptPartition: It doesn't read.
        """
        found = read_rows(self.objects, part_key(self.folder(name, **keys), part), table(name))
        if found is None:
            raise self._missing(name, keys)
        return found[1]

    def _load(
        self, name: str, columns: Sequence[str] | None, keys: Mapping[str, Key]
    ) -> list[tuple[PartitionInfo, pl.DataFrame]]:
        declared, files = table(name), self._part_keys(name, keys)
        found = [read_rows(self.objects, key, declared, columns) for key in files]
        loaded = [each for each in found if each is not None]
        if not loaded:
            raise self._missing(name, keys)
        return loaded

    def _part_keys(self, name: str, keys: Mapping[str, Key]) -> list[str]:
        """The names of a partition's files; that of a partition of one file even if it isn't there,
        which opening it will show."""
        folder = self.folder(name, **keys)
        if not table(name).many_parts:
            return [part_key(folder)]
        return [key for key in self.objects.names(folder) if is_part(key)]

    def _missing(self, name: str, keys: Mapping[str, Key]) -> MissingPartition:
        return MissingPartition(
            f"{name} has no partition {spoken(keys)}",
            where=self.root,
            hint=how_to_make(name, keys),
        )

    def keys(self, name: str, /, **fixed: Key) -> list[str]:
        """The values of the first key that is not fixed, sorted.

        Raises:
            ValueError: The fixed keys don't lead the path, or are all there are.
        """
        declared = table(name)
        folder = self._leading(declared, fixed)
        if len(fixed) == len(declared.keys):
            raise ValueError(f"one of {declared.keys} must be left open")
        prefix = f"{declared.keys[len(fixed)]}="
        return sorted(
            unquote(entry[len(prefix) :])
            for entry in self.objects.below(folder)
            if entry.startswith(prefix)
        )

    def days(self, name: str, /, **fixed: Key) -> list[date]:
        """The days that have been written, sorted; all keys before `date` must be given.

        Raises:
            ValueError: They are not.
        """
        declared = table(name)
        if len(fixed) != len(declared.keys) - 1:
            raise ValueError(f"all of {declared.keys} but the last must be fixed")
        folder = self._leading(declared, fixed)
        found = (keys_of(declared, folder, key) for key in self.objects.names(folder))
        return sorted({date.fromisoformat(keys[-1]) for keys in found if keys})

    def listed(self, name: str, /, **fixed: Key) -> list[tuple[tuple[str, ...], Stat]]:
        """The files of a table, and the values of the keys that are not fixed; nothing is opened.

        Args:
            name: Name of the table.
            **fixed: Keys that lead the path.

        Raises:
            ValueError: The fixed keys don't lead the path.
        """
        declared = table(name)
        folder = self._leading(declared, fixed)
        found = ((keys_of(declared, folder, stat.key), stat) for stat in self.objects.stats(folder))
        return [(keys, stat) for keys, stat in found if keys is not None]

    def _leading(self, declared: Table, fixed: Mapping[str, Key]) -> str:
        if set(fixed) != set(declared.keys[: len(fixed)]):
            raise ValueError(f"keys that lead {declared.keys} must be fixed, not {tuple(fixed)}")
        return below(declared, fixed)
