"""Landed rows that are those of the day's ticks (or klines), kept once.

Most days have one file that is in order: its rows are the day's ticks, to the bit. They are kept in
`ticks` alone then, and the landed part is a stub: its footer stays, and says where its rows are.
Before the ticks of a day become others, the parts that stand on them get their rows back.

Whoever is killed in between leaves rows in both places or in one of them, never in none. Those who
write the ticks of an instrument take turns (`keeping`): otherwise one could make a stub of a part
on ticks that another is about to replace.

A part that a later file took out of use may be a stub as well, whose rows were let go: it tells
that the file landed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.hashing import hash_frame
from vostok_core.lake.parquet import NOWHERE, PartitionInfo
from vostok_core.lake.store import Lake

Keys = Mapping[str, Any]

LANDED = {"ticks": "raw_trades", "klines": "raw_klines"}
"""What a day of these tables is merged from."""


def keeping(lake: Lake, main: str, keys: Keys) -> AbstractContextManager[None]:
    """For the time of a block, nobody else changes where the rows of an instrument are kept.

    Args:
        lake: The lake.
        main: `ticks` or `klines`.
        keys: Those of a day.
    """
    return lake.sole_writer(lake.folder(main, **keys).rpartition("/")[0])


def rows_of(lake: Lake, name: str, part: PartitionInfo, keys: Keys) -> pl.DataFrame:
    """The rows of a landed part, wherever they are kept.

    Args:
        lake: The lake.
        name: `raw_trades` or `raw_klines`.
        part: What the footer of the part says.
        keys: Those of the day.

    Raises:
        MissingPartition: It is a stub, and what it stands on has changed or gone.
    """
    if part.kept_in is None:
        return lake.read_part(name, part.name, **keys)
    if not has_rows(lake, part, keys):
        raise MissingPartition(
            f"the rows of a file that landed on {keys['date']} stood in {part.kept_in} of that "
            "day, which have been removed or changed by hand",
            where=part.path,
            hint=f"ingest the file again: `vostok ingest PATH --instrument {keys['instrument']} "
            "--format FORMAT`",
        )
    return lake.read(part.kept_in, **keys)


def has_rows(lake: Lake, part: PartitionInfo, keys: Keys) -> bool:
    """Whether the rows of a landed part are there: its own, or those that it stands on."""
    if part.kept_in is None:
        return True
    if part.kept_in == NOWHERE or not lake.exists(part.kept_in, **keys):
        return False
    return lake.info(part.kept_in, **keys).content_hash == part.content_hash


def write_once(
    lake: Lake,
    main: str,
    rows: pl.DataFrame,
    keys: Keys,
    *,
    code_version: str,
    inputs: Mapping[str, str],
    over: str,
) -> PartitionInfo:
    """Write a day of `ticks` or `klines`; landed parts with the same rows become stubs.

    Args:
        lake: The lake.
        main: `ticks` or `klines`.
        rows: The rows.
        keys: Those of the day.
        code_version: As for `Lake.write`.
        inputs: As for `Lake.write`.
        over: As for `Lake.write`.

    Raises:
        Conflict: Somebody else has written the day meanwhile.
    """
    with keeping(lake, main, keys):
        _give_back(lake, LANDED[main], keys, rows)
        info = lake.write(main, rows, code_version=code_version, inputs=inputs, over=over, **keys)
        keep_once(lake, main, keys, info, rows)
    return info


def _give_back(lake: Lake, name: str, keys: Keys, rows: pl.DataFrame) -> None:
    """Write the rows of stubs again, before what they stand on becomes another content; stubs of
    the rows that are about to be written stay."""
    stubs = [part for part in lake.parts(name, **keys) if part.kept_in is not None]
    if not stubs:
        return
    content_hash = hash_frame(rows)
    for part in stubs:
        if part.content_hash != content_hash and has_rows(lake, part, keys):
            _write_back(lake, name, keys, part, rows_of(lake, name, part, keys))


def keep_once(
    lake: Lake, main: str, keys: Keys, info: PartitionInfo, rows: pl.DataFrame
) -> list[PartitionInfo]:
    """Make stubs of the landed parts whose rows are those of the day's `ticks` or `klines`.

    To be called where `keeping` is held.

    Args:
        lake: The lake.
        main: `ticks` or `klines`.
        keys: Those of the day.
        info: What the footer of the day says.
        rows: Its rows, as they were written or read just now.

    Returns:
        The parts as they were.
    """
    if not info.rows:
        return []
    name = LANDED[main]
    made = []
    for part in lake.parts(name, **keys):
        if part.kept_in is not None or part.content_hash != info.content_hash:
            continue
        stub = lake.stub(name, part, main)
        made.append(part)
        if not has_rows(lake, stub, keys):  # whoever held the turn was held up, and lost it
            _write_back(lake, name, keys, stub, rows)
            made.pop()
    return made


def _write_back(lake: Lake, name: str, keys: Keys, stub: PartitionInfo, rows: pl.DataFrame) -> None:
    lake.write(
        name,
        rows,
        code_version=stub.code_version,
        inputs=stub.inputs,
        part=stub.name,
        over=stub.tag,
        **keys,
    )
