"""Looking after a lake: what takes how much room, older files written anew, what nobody needs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from vostok_core.errors import Conflict, CorruptPartition
from vostok_core.hashing import hash_frame
from vostok_core.lake.address import Place
from vostok_core.lake.encoding import encoding, is_older
from vostok_core.lake.objects import Stat
from vostok_core.lake.parquet import (
    AGAIN,
    UNREADABLE,
    PartitionInfo,
    columns_hash,
    encode,
    read_footer,
    read_info,
)
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table

ABANDONED = 3600.0
"""Seconds after which a temporary file is nobody's: a writer needs a few."""


@dataclass(frozen=True)
class Usage:
    """The room that a table takes, or the part of it that one value of its first key has.

    Attributes:
        table: Name of the table.
        key: The value of its first key; empty where that is a day.
        files: Number of files.
        size: Bytes of them.
        days: Number of partitions by day (or week), where it has such.
        first: The first of those.
        last: The last of them.
        rows: Rows of the files, if they were counted; stubs count as none.
    """

    table: str
    key: str
    files: int
    size: int
    days: int
    first: str | None
    last: str | None
    rows: int | None


def usage(lake: Lake, name: str, *, count_rows: bool = False) -> list[Usage]:
    """What a table takes, for each value of its first key; nothing is opened unless rows count.

    Raises:
        CorruptPartition: Rows are counted, and a footer doesn't read.
    """
    declared = table(name)
    dated = declared.keys[-1:] if declared.keys[-1:] in (("date",), ("week",)) else ()
    named = len(declared.keys) > len(dated)
    found: dict[str, list[tuple[str, Stat]]] = {}
    for values, stat in lake.listed(name):
        key = values[0] if named and values else ""
        found.setdefault(key, []).append((values[-1] if dated else "", stat))
    made = []
    for key, files in found.items():
        days = {day for day, _ in files if day}
        rows = None
        if count_rows:
            infos = [read_footer(lake.objects, stat.key) for _, stat in files]
            rows = sum(i.rows for i in infos if i is not None and i.kept_in is None)
        made.append(
            Usage(
                name,
                key,
                len(files),
                sum(stat.size for _, stat in files),
                len(days),
                min(days, default=None),
                max(days, default=None),
                rows,
            )
        )
    return made


@dataclass(frozen=True)
class Rewritten:
    """One file of which `compact` changed the bytes, or could not.

    Attributes:
        table: Its table.
        path: The file.
        before: Its bytes until then.
        after: Its bytes since.
        problem: Why it was left as it was, if it was.
    """

    table: str
    path: Place
    before: int
    after: int
    problem: str | None = None


def compact(lake: Lake, name: str, seen: Callable[[], None] = lambda: None) -> Iterator[Rewritten]:
    """Write the files of a table anew that an older version encoded otherwise.

    Rows, columns and footers stay, and with them the hashes that other partitions are made from. A
    file is swapped for its new self if nobody has written it meanwhile.

    Args:
        lake: The lake.
        name: The table.
        seen: Called after each file, rewritten or not.
    """
    for _, stat in lake.listed(name):
        try:
            info = read_footer(lake.objects, stat.key)
            if info is not None and is_older(info.encoding):
                yield _recode(lake, name, stat.key)
        except FileNotFoundError:
            pass  # taken away since it was listed
        except CorruptPartition as error:
            place = lake.objects.place(stat.key)
            yield Rewritten(name, place, stat.size, stat.size, error.what)
        except Conflict:
            pass  # by whoever knows the present encoding
        seen()


def _recode(lake: Lake, name: str, key: str) -> Rewritten:
    place = lake.objects.place(key)
    content, stat = lake.objects.read(key)
    try:
        info = read_info(io.BytesIO(content), place, stat)
        frame = pl.read_parquet(content, hive_partitioning=False)
    except UNREADABLE as error:
        raise CorruptPartition("the file doesn't read", where=place, hint=AGAIN) from error
    if info.kept_in is None and not whole(info, frame):
        return Rewritten(
            name, place, stat.size, stat.size, "its content doesn't match the hash in its footer"
        )
    made = replace(info, encoding=encoding(), columns=columns_hash(frame.columns))
    after = lake.objects.put_if(key, encode(made, table(name), frame.rechunk()), stat.tag)
    return Rewritten(name, place, stat.size, after.size)


def leftovers(root: Path, now: float) -> Iterator[Path]:
    """The temporary files below a folder that killed writers have left.

    Args:
        root: The folder.
        now: Seconds since 1970: what was written shortly before may be somebody's.
    """
    for path in sorted(root.rglob(".*.tmp")):
        try:
            if path.is_file() and path.stat().st_mtime < now - ABANDONED:
                yield path
        except FileNotFoundError:
            continue  # its writer has renamed it


def whole(info: PartitionInfo, frame: pl.DataFrame) -> bool:
    """Whether rows are those that a footer tells of."""
    return hash_frame(frame) == info.content_hash
