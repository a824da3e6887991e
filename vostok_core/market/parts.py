"""Landed parts: what they are called, which files they stand for, and the writing of one.

A part is the rows of one UTC day of one file, in `raw_trades` or `raw_klines`, named by the file's
hash, or by its segment where a recorder wrote it. Two files with the same rows of a day, such as
the archive's file of the day and that of its month, are one content: the part of the first stands
for the other too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Literal

import polars as pl

from vostok_core.hashing import hash_frame
from vostok_core.lake.naming import Key
from vostok_core.lake.objects import UNWRITTEN
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.market.days import (
    ABSENT,
    ALSO,
    ARCHIVE,
    GIVE_WAY,
    KLINE_INTERVAL,
    LANDING_VERSION,
    ORDER,
    PROVISIONAL,
    RECORDING_VERSION,
    REPLACES,
    in_landing_order,
    parts_in_use,
)
from vostok_core.market.drift import WRITTEN, together
from vostok_core.market.instrument import Instrument
from vostok_core.market.kept_once import has_rows

Kind = Literal["trades", "klines"]

TABLES: dict[Kind, str] = {"trades": "raw_trades", "klines": "raw_klines"}


def part_name(sha256: str) -> str:
    """What the part of a file with this hash (hex) is called."""
    return sha256[:16]


def stands_for(part: PartitionInfo, name: str) -> bool:
    """Whether a part is that of a file with this `part_name`, or holds the same rows."""
    return name in (part.name, *part.inputs.get(ALSO, "").split())


def kind_of(instrument: Instrument) -> Kind:
    """What the files of an instrument hold."""
    return "klines" if instrument.tick == "none" else "trades"


def keys_of(instrument: Instrument, holds: Kind, day: date) -> dict[str, Key]:
    """The keys of what has landed of a day."""
    keys: dict[str, Key] = {"instrument": str(instrument.id), "date": day}
    return keys | {"interval": KLINE_INTERVAL} if holds == "klines" else keys


def next_place(parts: Iterable[PartitionInfo]) -> str:
    """The place of a part that lands after others."""
    return str(max((int(part.inputs.get(ORDER, "0")) for part in parts), default=-1) + 1)


def is_landed(parts: Iterable[PartitionInfo], name: str) -> bool:
    """Whether the file that the archive has of a day has landed, so that it need not be landed.

    Args:
        parts: What has landed of the day.
        name: The `part_name` of the file.

    It has if its part is the newest of the archive. What has landed by hand since, even in its
    place, changes nothing of that; another file of the archive does, since the archive has then
    gone back to this one.
    """
    for part in reversed(in_landing_order(parts)):
        if stands_for(part, name):
            return True
        if ARCHIVE in part.inputs:
            return False
    return False


def need_not_land(parts: Iterable[PartitionInfo], name: str, *, archived: bool) -> bool:
    """Whether landing a file again would change nothing, so that its rows need not be read.

    Args:
        parts: What has landed of the day.
        name: The `part_name` of the file.
        archived: Whether it is the archive's file of the day.
    """
    parts = list(parts)
    found = next((part for part in parts_in_use(parts) if stands_for(part, name)), None)
    if archived:
        if not is_landed(parts, name):
            return False
        if found is None:  # something took its place by hand
            return True
    if found is None or found.code_version != LANDING_VERSION:
        return False
    return not archived or ARCHIVE in found.inputs


def write_part(
    lake: Lake,
    instrument: Instrument,
    holds: Kind,
    day: date,
    rows: pl.DataFrame,
    sha256: str,
    provenance: Mapping[str, str],
    *,
    written: str = "",
    replaces: bool = False,
) -> None:
    """Land the rows of a day, whole or not at all; again, without effect.

    Args:
        lake: Where to write.
        instrument: Whose.
        holds: What the rows are.
        day: Their day.
        rows: Rows of `raw_trades` or `raw_klines`.
        sha256: Hash (hex) of the file that they were read from.
        provenance: What the footer says of where it comes from, see `sources.days.Day`.
        written: How the file is written (`sources.style`); empty where it isn't one, or nobody has
            told.
        replaces: Whether all that has landed of the day before is out of use from now on.
    """
    keys, name = keys_of(instrument, holds, day), part_name(sha256)
    file = {"file": sha256, **({REPLACES: "all"} if replaces else {})}
    _write(lake, TABLES[holds], keys, rows, name, LANDING_VERSION, provenance, file, written)


def write_recorded(
    lake: Lake,
    instrument: Instrument,
    day: date,
    rows: pl.DataFrame,
    name: str,
    provenance: Mapping[str, str],
) -> None:
    """Land trades of a day that were recorded, whole or not at all; again, without effect.

    Args:
        lake: Where to write.
        instrument: Whose.
        day: Their day.
        rows: Rows of `raw_trades`.
        name: Of the part, for the segment that it comes from.
        provenance: What the footer says of where it comes from, `days.RECORDED` among it.
    """
    keys = keys_of(instrument, "trades", day)
    _write(lake, TABLES["trades"], keys, rows, name, RECORDING_VERSION, provenance)


def _write(
    lake: Lake,
    table: str,
    keys: Mapping[str, Key],
    rows: pl.DataFrame,
    name: str,
    version: str,
    provenance: Mapping[str, str],
    anew: Mapping[str, str] = MappingProxyType({}),
    written: str = "",
) -> None:
    """`anew` is what the footer says besides where nothing in use has the same rows."""
    parts = lake.parts(table, **keys)
    used = parts_in_use(parts)
    content = hash_frame(rows) if used else ""
    same = _same(used, name, content, version)
    if REPLACES in anew and len(used) > 1:
        same = None
    if same is None:
        inputs = {ORDER: next_place(parts), **anew, **provenance}
        inputs |= {WRITTEN: written} if written else {}
    else:
        inputs = _agreed(same, name, content, provenance)
        inputs |= _ways(same, content, provenance, written, replaces=REPLACES in anew)
        others = {key for part in used if part is not same for key in part.inputs}
        claimed = ARCHIVE in provenance and ARCHIVE not in same.inputs
        if claimed and others & GIVE_WAY and not is_landed(parts, name):
            inputs.pop(REPLACES, None)
            inputs[ORDER] = next_place(parts)
        name = same.name
        there = same.code_version, same.content_hash, dict(same.inputs)
        if there == (version, content, inputs) and has_rows(lake, same, keys):
            return
    seen = next((part.tag for part in parts if part.name == name), UNWRITTEN)
    lake.write(table, rows, code_version=version, inputs=inputs, part=name, over=seen, **keys)


def _ways(
    part: PartitionInfo,
    content: str,
    provenance: Mapping[str, str],
    written: str,
    *,
    replaces: bool,
) -> dict[str, str]:
    """How the files that a part stands for are written.

    The archive's file speaks for all of them, as does one that takes the place of the others.
    """
    before = part.inputs.get(WRITTEN, "")
    if written and (ARCHIVE in provenance or replaces or part.content_hash != content):
        before = ""
    elif ARCHIVE in part.inputs:
        written = ""
    ways = together(before, written)
    return {WRITTEN: ways} if ways else {}


def _same(
    used: Iterable[PartitionInfo], name: str, content: str, version: str
) -> PartitionInfo | None:
    """The part in use that is a file's own, or else one with the content of it."""
    used = list(used)
    own = [part for part in used if part.name == name]
    alike = [
        part
        for part in used
        if part.content_hash == content and part.code_version == version and part.name != ABSENT
    ]
    return next(iter([*own, *alike]), None)


def _agreed(
    part: PartitionInfo, name: str, content: str, provenance: Mapping[str, str]
) -> dict[str, str]:
    """The footer of a part whose content a file has too.

    Once the archive has it, it is the archive's. Nobody who only says the same takes that away.
    """
    inputs = dict(part.inputs)
    names = set(inputs.pop(ALSO, "").split())
    if part.content_hash != content:  # read otherwise now, and nobody has read the others again
        names.clear()
    if part.name != name:
        names.add(name)
    if names:
        inputs[ALSO] = " ".join(sorted(names))
    if ARCHIVE in provenance:
        for key in PROVISIONAL:
            inputs.pop(key, None)
        inputs |= provenance
    return inputs
