"""Opening a lake, and writing its partitions.

A partition is a folder `table/key=value/…` that holds one Parquet file (or, for landed raw files,
one per source). A file appears whole: a reader sees the old partition or the new one, whatever
becomes of its writer (`objects` says how, in a folder and in an object store). The footer carries
the row count, a hash of the content, the version of the code and the hashes of the inputs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from vostok_core.errors import (
    Conflict,
    CorruptPartition,
    LakeVersionError,
    UsageError,
)
from vostok_core.hashing import hash_frame
from vostok_core.lake.address import LakeAddress, S3Address, S3Options, parse_address
from vostok_core.lake.encoding import encoding
from vostok_core.lake.naming import Key, part_key
from vostok_core.lake.objects import UNWRITTEN, Folder, Objects
from vostok_core.lake.parquet import (
    PartitionInfo,
    columns_hash,
    encode,
    read_footer,
)
from vostok_core.lake.reader import LakeReader
from vostok_core.lake.tables import Table, table

FORMAT_VERSION = 1
MARKER = "vostok-lake.json"


class Lake(LakeReader):
    """Partitioned Parquet tables, and what else is kept beside them.

    `Lake.open` finds the objects of an address and checks that this version of Vostok can use them.
    """

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

    def sole_writer(self, key: str) -> AbstractContextManager[None]:
        """For the time of a block, nobody else is the writer of `key`; see `Objects`."""
        return self.objects.sole_writer(key)

    def seen(self, name: str, /, *, part: str = "0", **keys: Key) -> str:
        """What tells the present state of a partition (or of a part of it) from every later one.

        Whoever is to write it asks for that before reading what it is made from, and gives it to
        `write`.
        """
        stat = self.objects.stat(part_key(self.folder(name, **keys), part))
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
        key = part_key(folder, part)
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
