"""Reading and writing partitions.

A partition is a folder `table/key=value/…` that holds one Parquet file (or, for landed raw files,
one per source). A file appears whole: a reader sees the old partition or the new one, whatever
becomes of its writer (`objects` says how, in a folder and in an object store). The footer carries
the row count, a hash of the content, the version of the code and the hashes of the inputs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import quote, unquote

import polars as pl

from vostok_core.errors import (
    Conflict,
    CorruptPartition,
    LakeVersionError,
    MissingPartition,
    UsageError,
)
from vostok_core.hashing import hash_frame
from vostok_core.lake.address import LakeAddress, Place, S3Address, S3Options, parse_address
from vostok_core.lake.encoding import encoding
from vostok_core.lake.mending import how_to_make
from vostok_core.lake.objects import UNWRITTEN, Folder, Objects, Stat
from vostok_core.lake.parquet import (
    PartitionInfo,
    columns_hash,
    encode,
    read_footer,
    read_rows,
)
from vostok_core.lake.tables import Table, table

FORMAT_VERSION = 1
MARKER = "vostok-lake.json"

AT_ONCE = 16
"""Requests to an object store that are under way together, where many are wanted."""

Key = str | date


class Lake:
    """Partitioned Parquet tables, and what else is kept beside them.

    Args:
        root: Where they are: a folder, or objects. `Lake.open` also finds the objects of an address
            and checks that this version of Vostok can use them.
        home: The folder of this machine for what can't be in an object store; by default the
            lake's own folder, or none.
    """

    def __init__(self, root: Path | Objects, home: Path | None = None) -> None:
        self.objects = Folder(root) if isinstance(root, Path) else root
        self.home = self.objects.root if isinstance(self.objects, Folder) else home

    @classmethod
    def open(
        cls,
        root: LakeAddress | str,
        *,
        create: bool = True,
        home: Path | None = None,
        options: S3Options | None = None,
    ) -> Lake:
        """Open a lake, or make an empty one.

        Args:
            root: A folder, or `s3://bucket/prefix`.
            create: Whether one is made where there is none.
            home: As for the class.
            options: Where the server of an object store is.

        Raises:
            UsageError: `root` holds no lake and `create` is false, or is not a folder.
            LakeVersionError: The lake was written by a newer version of Vostok.
            StoreError: The object store doesn't answer, or refuses.
        """
        address = parse_address(root)
        objects = _objects(address, options, home)
        if isinstance(address, Path) and address.exists() and not address.is_dir():
            raise UsageError(f"{address} is a file, not a lake", hint="name a folder with --lake")
        try:
            content, _ = objects.read(MARKER)
        except FileNotFoundError:
            if not create:
                raise UsageError(
                    f"{address} holds no lake",
                    hint="run `vostok demo` first, or `vostok ingest PATH --instrument ID --format "
                    "FORMAT`, or name another --lake",
                ) from None
            content = _make_marker(objects)
        try:
            version = int(json.loads(content)["format"])
        except (ValueError, KeyError, TypeError):
            raise CorruptPartition(
                "the lake's marker file doesn't read",
                where=objects.spoken(MARKER),
                hint=f'it should hold {{"format": {FORMAT_VERSION}}}',
            ) from None
        if version > FORMAT_VERSION:
            raise LakeVersionError(
                f"the lake has format {version} and this Vostok knows up to {FORMAT_VERSION}",
                where=address,
                hint="update Vostok, or name another lake with --lake",
            )
        return cls(objects, home)

    @property
    def root(self) -> Place:
        """Where it is, for people and for names below it: a path where it is a folder."""
        return self.objects.place()

    def name_of(self, info: PartitionInfo) -> str:
        """The name of a partition's file, relative to the lake."""
        return str(info.path.relative_to(self.root))  # type: ignore[arg-type]

    def sole_writer(self, key: str) -> AbstractContextManager[None]:
        """For the time of a block, nobody else is the writer of `key`; see `Objects`."""
        return self.objects.sole_writer(key)

    def folder(self, name: str, /, **keys: Key) -> str:
        """The name of a partition's folder, relative to the lake.

        Raises:
            UnknownName: No such table.
            ValueError: The keys are not those of the table.
        """
        declared = table(name)
        if set(keys) != set(declared.keys):
            raise ValueError(f"{name} is keyed by {declared.keys}, not {tuple(keys)}")
        return self._below(declared, keys)

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
            return any(_is_part(key) for key in self.objects.names(folder))
        return self.objects.stat(_part_key(folder)) is not None

    def seen(self, name: str, /, *, part: str = "0", **keys: Key) -> str:
        """What tells the present state of a partition (or of a part of it) from every later one.

        Whoever is to write it asks for that before reading what it is made from, and gives it to
        `write`.
        """
        stat = self.objects.stat(_part_key(self.folder(name, **keys), part))
        return stat.tag if stat else UNWRITTEN

    def seen_by_date(self, name: str, /, **fixed: Key) -> Mapping[date, str]:
        """What `seen` says of every day (or week) there is, by one look; all other keys must be
        given. Of days that aren't there it holds what is said of those."""
        found = {
            date.fromisoformat(key): stat.tag
            for (key,), stat in self.listed(name, **fixed)
            if stat.key.endswith("/part-0.parquet")
        }
        return defaultdict(lambda: UNWRITTEN, found)

    def write(
        self,
        name: str,
        frame: pl.DataFrame,
        /,
        *,
        code_version: str,
        inputs: Mapping[str, str] | None = None,
        part: str = "0",
        over: str | None = None,
        **keys: Key,
    ) -> PartitionInfo:
        """Check a frame against its table and swap it in as the whole partition.

        Args:
            name: Name of the table.
            frame: The rows.
            code_version: Version of the code that made them.
            inputs: Hashes of what they were made from.
            part: Name of the part, for tables with several in a partition.
            over: What `seen` said before the inputs were read; None to write whatever is there.
            **keys: Of the partition.

        Raises:
            SchemaViolation: Nothing was written.
            Conflict: Somebody else has written something else since `over` was seen. Nothing was
                written.
        """
        from vostok_core.lake.schemas import validate

        declared = table(name)
        if part != "0" and not declared.many_parts:
            raise ValueError(f"a partition of {name} has one part, and it is not called {part!r}")
        folder = self.folder(name, **keys)
        key = _part_key(folder, part)
        frame = self._ordered(declared, frame).rechunk()
        validate(declared, frame, where=folder)
        info = PartitionInfo(
            self.objects.place(key),
            frame.height,
            hash_frame(frame),
            code_version,
            dict(inputs or {}),
            size=0,
            encoding=encoding(),
            columns=columns_hash(frame.columns),
        )
        content = encode(info, declared, frame)
        try:
            stat = (
                self.objects.put(key, content)
                if over is None
                else self.objects.put_if(key, content, over)
            )
        except Conflict:
            there = read_footer(self.objects, key)
            said = (info.content_hash, code_version, info.inputs)
            if there is None or (there.content_hash, there.code_version, there.inputs) != said:
                raise
            return there  # made twice, from the same
        return replace(info, size=stat.size, tag=stat.tag)

    def stub(self, name: str, info: PartitionInfo, kept_in: str) -> PartitionInfo:
        """Swap in a file without rows for one whose rows stand in another table as well.

        Its footer stays, and says where they are. `read` of a stub gives no rows.

        Args:
            name: The table that the file is of.
            info: What its footer says.
            kept_in: The table that holds the same rows, under the same keys; `NOWHERE` to let them
                go.

        Raises:
            Conflict: Somebody else has written the file since.
        """
        declared = table(name)
        stub = replace(
            info, encoding=encoding(), columns=columns_hash(declared.schema), kept_in=kept_in
        )
        content = encode(stub, declared, declared.empty())
        stat = self.objects.put_if(self.name_of(info), content, info.tag)
        return replace(stub, size=stat.size, tag=stat.tag)

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
        from vostok_core.hashing import hash_value

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
        found = read_rows(self.objects, _part_key(self.folder(name, **keys), part), table(name))
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
            return [_part_key(folder)]
        return [key for key in self.objects.names(folder) if _is_part(key)]

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
        found = (_keys_of(declared, folder, key) for key in self.objects.names(folder))
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
        found = (
            (_keys_of(declared, folder, stat.key), stat) for stat in self.objects.stats(folder)
        )
        return [(keys, stat) for keys, stat in found if keys is not None]

    def _leading(self, declared: Table, fixed: Mapping[str, Key]) -> str:
        if set(fixed) != set(declared.keys[: len(fixed)]):
            raise ValueError(f"keys that lead {declared.keys} must be fixed, not {tuple(fixed)}")
        return self._below(declared, fixed)

    @staticmethod
    def _below(declared: Table, keys: Mapping[str, Key]) -> str:
        named = (f"{key}={_quoted(keys[key])}" for key in declared.keys if key in keys)
        return "/".join([declared.name, *named])

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


def _objects(address: LakeAddress, options: S3Options | None, home: Path | None) -> Objects:
    if not isinstance(address, S3Address):
        return Folder(address)
    from vostok_core.lake.s3 import s3_objects

    return s3_objects(address, options or S3Options(), home)


def _make_marker(objects: Objects) -> bytes:
    """Make an empty lake; what its marker holds, which may be another's that was faster."""
    content = (json.dumps({"format": FORMAT_VERSION}) + "\n").encode()
    try:
        objects.put_if(MARKER, content, UNWRITTEN)
    except Conflict:
        content, _ = objects.read(MARKER)
    return content


def _part_key(folder: str, part: str = "0") -> str:
    return f"{folder}/part-{_quoted(part)}.parquet"


def _keys_of(declared: Table, folder: str, key: str) -> tuple[str, ...] | None:
    """The values of the keys below a folder of a table that a file's name holds; None for what is
    no file of the table."""
    *parts, file = key[len(folder) + 1 :].split("/")
    named = [part.partition("=") for part in parts]
    open_keys = declared.keys[folder.count("/") :]
    if tuple(name for name, _, _ in named) != open_keys or not _is_part(file):
        return None
    return tuple(unquote(value) for _, _, value in named)


def _is_part(key: str) -> bool:
    name = key.rpartition("/")[2]
    return name.startswith("part-") and name.endswith(".parquet")


def _quoted(value: Key) -> str:
    """A key as one component of a path; what DuckDB's patterns know as special is escaped."""
    return quote(str(value), safe=" .-_:")


def _spoken(keys: Mapping[str, Key]) -> str:
    return ", ".join(f"{key}={value}" for key, value in keys.items())
