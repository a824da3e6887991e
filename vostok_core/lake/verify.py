"""Looking for damage in the files of a lake: flipped bits, lost rows, files that don't read.

The content of a file is hashed again and compared with its footer. A file that this version of the
writer wrote is also encoded again, which gives the same bytes, so that a bit which changes no value
(a statistic by which readers skip rows, say) is found too. The footer has a seal of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from vostok_core.errors import CorruptPartition
from vostok_core.hashing import hash_frame
from vostok_core.lake.encoding import encoding
from vostok_core.lake.files import UNREADABLE, PartitionInfo, encode, read_footer
from vostok_core.lake.store import Lake, how_to_make
from vostok_core.lake.tables import Table, table


@dataclass(frozen=True)
class Looked:
    """One file that was looked at.

    Attributes:
        table: Its table.
        path: The file.
        size: Bytes of it.
        damage: What is the matter with it, if anything.
        hint: How to mend it.
    """

    table: str
    path: Path
    size: int
    damage: str | None = None
    hint: str | None = None


def verify(lake: Lake, name: str) -> Iterator[Looked]:
    """Look at every file of a table, a partition at a time.

    Args:
        lake: The lake.
        name: The table.
    """
    for keys in lake.partitions(name):
        for path in lake.files(name, **keys):
            size = path.stat().st_size
            try:
                info = read_footer(path)
                if info.kept_in is not None:
                    damage = _damage_of_stub(lake, info, keys)
                else:
                    damage = _damage(table(name), info)
                hint = _remedy(name, keys)
            except CorruptPartition as error:
                damage, hint = error.what, _remedy(name, keys)
            yield Looked(name, path, size, damage, hint if damage else None)


def _damage(declared: Table, info: PartitionInfo) -> str | None:
    try:
        content = info.path.read_bytes()
        frame = pl.read_parquet(content, hive_partitioning=False)
    except UNREADABLE as error:
        return f"the file doesn't read ({str(error).splitlines()[0]})"
    if frame.height != info.rows:
        return f"it holds {frame.height} rows, and its footer says {info.rows}"
    if hash_frame(frame) != info.content_hash:
        return "its content doesn't match the hash in its footer"
    if info.encoding == encoding() and encode(info, declared, frame) != content:
        return "its rows are whole, and other bytes of it are not those that were written"
    return None


def _damage_of_stub(lake: Lake, info: PartitionInfo, keys: dict[str, str]) -> str | None:
    assert info.kept_in is not None
    if not lake.exists(info.kept_in, **keys):
        return f"its rows stood in {info.kept_in}, whose partition has gone"
    if lake.info(info.kept_in, **keys).content_hash != info.content_hash:
        return f"its rows stood in {info.kept_in}, whose partition holds others now"
    return None


def _remedy(name: str, keys: dict[str, str]) -> str:
    return f"delete the file, and {how_to_make(name, keys).removesuffix(' first')}"
