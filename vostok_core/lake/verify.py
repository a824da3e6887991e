"""Looking for damage in the files of a lake: flipped bits, lost rows, files that don't read.

The content of a file is hashed again and compared with its footer. A file that this version of the
writer wrote is also encoded again, which gives the same bytes, so that a bit which changes no value
(a statistic by which readers skip rows, say) is found too. The footer has a seal of its own.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from vostok_core.errors import CorruptPartition
from vostok_core.hashing import hash_frame
from vostok_core.lake.address import Place
from vostok_core.lake.encoding import encoding
from vostok_core.lake.mending import how_to_make
from vostok_core.lake.parquet import (
    NOWHERE,
    UNREADABLE,
    PartitionInfo,
    encode,
    no_footer,
    read_info,
)
from vostok_core.lake.store import Lake
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
    path: Place
    size: int
    damage: str | None = None
    hint: str | None = None


def verify(lake: Lake, name: str) -> Iterator[Looked]:
    """Look at every file of a table, one at a time.

    Args:
        lake: The lake.
        name: The table.
    """
    declared = table(name)
    for values, stat in lake.listed(name):
        keys = dict(zip(declared.keys, values, strict=True))
        place = lake.objects.place(stat.key)
        try:
            content, now = lake.objects.read(stat.key)
        except FileNotFoundError:
            continue  # taken away since it was listed
        except OSError as error:
            yield Looked(name, place, stat.size, f"it can't be read ({error.strerror})", "")
            continue
        try:
            info = read_info(io.BytesIO(content), place, now)
        except CorruptPartition as error:
            damage: str | None = error.what
        except UNREADABLE:
            damage = no_footer(place).what
        else:
            damage = _damage(lake, declared, keys, info, content)
        yield Looked(name, place, now.size, damage, _remedy(name, keys) if damage else None)


def _damage(
    lake: Lake, declared: Table, keys: dict[str, str], info: PartitionInfo, content: bytes
) -> str | None:
    try:
        frame = pl.read_parquet(content, hive_partitioning=False)
    except UNREADABLE as error:
        return f"the file doesn't read ({str(error).splitlines()[0]})"
    if info.kept_in == NOWHERE:
        damage = None
    elif info.kept_in is not None:
        damage = _damage_beneath(lake, info, keys)
    elif frame.height != info.rows:
        damage = f"it holds {frame.height} rows, and its footer says {info.rows}"
    elif hash_frame(frame) != info.content_hash:
        damage = "its content doesn't match the hash in its footer"
    else:
        damage = None
    if damage is None and info.encoding == encoding() and encode(info, declared, frame) != content:
        return "its rows are whole, and other bytes of it are not those that were written"
    return damage


def _damage_beneath(lake: Lake, info: PartitionInfo, keys: dict[str, str]) -> str | None:
    """What is the matter with what a stub stands on."""
    assert info.kept_in is not None
    if not lake.exists(info.kept_in, **keys):
        return f"its rows stood in {info.kept_in}, whose partition has gone"
    if lake.info(info.kept_in, **keys).content_hash != info.content_hash:
        return f"its rows stood in {info.kept_in}, whose partition holds others now"
    return None


def _remedy(name: str, keys: dict[str, str]) -> str:
    return f"delete the file, and {how_to_make(name, keys).removesuffix(' first')}"
