"""Landing: a source file becomes raw partitions of the lake, a day at a time.

A file is parsed and checked to its last row before anything is written: one that is refused lands
nothing. Each UTC day it touches then gets a part, whole or not at all, in order; a landing that is
killed leaves the days it came to, and landing the file again adds the rest. A part is named by the
file's hash, so that landing it again changes nothing and landing another file of the same day adds
a part beside it, or in its place (`days.parts_in_use`). A day inside the file's span on which
nothing happened gets an empty part: the file vouches for the silence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl

from vostok_core.errors import SourceFormatError, UnknownName, UsageError
from vostok_core.hashing import hash_frame
from vostok_core.lake.files import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.days import (
    ABSENT,
    ARCHIVE,
    KLINE_INTERVAL,
    LANDING_VERSION,
    ORDER,
    REPLACES,
    in_landing_order,
    parts_in_use,
)
from vostok_core.market.drift import WRITTEN
from vostok_core.market.instrument import Instrument
from vostok_core.market.kept_once import has_rows
from vostok_core.times import DAY, day_of, parse_interval
from vostok_pipelines.sources import binance, generic, klines, kraken
from vostok_pipelines.sources.common import Source, SourceFile
from vostok_pipelines.sources.style import style

Kind = Literal["trades", "klines"]

FORMATS: dict[str, Kind | None] = {
    "binance-aggtrades": "trades",
    "binance-trades": "trades",
    "binance-klines": "klines",
    "kraken-trades": "trades",
    "csv": None,
    "parquet": None,
}
"""Every format, and what it holds; none where `kind` says so."""


@dataclass(frozen=True)
class Landing:
    """What was landed.

    Attributes:
        path: The source file.
        sha256: Its hash (hex).
        kind: What it holds.
        interval: Interval of its klines; none for trades.
        rows: Its rows.
        days: The UTC days from its first to its last row, as far as they were landed.
        warnings: What a person should know about it.
    """

    path: Path
    sha256: str
    kind: Kind
    interval: str | None
    rows: int
    days: tuple[date, ...]
    warnings: tuple[str, ...]


def land(
    lake: Lake,
    path: Path,
    instrument: Instrument,
    format: str,  # noqa: A002 (the word that the command line uses)
    *,
    kind: Kind | None = None,
    columns: Mapping[str, str] | str | None = None,
    since: date | None = None,
    replace: bool = False,
    beside: Collection[date] = (),
) -> Landing:
    """Parse, check and write one source file.

    Args:
        lake: Where to write.
        path: The file.
        instrument: Whose trades or klines it holds.
        format: One of `FORMATS`.
        kind: What a `csv` or `parquet` file holds, trades unless it says klines; of the other
            formats it may only repeat what they hold.
        columns: Map of columns of a `csv` or `parquet` file, see `sources.generic`.
        since: The first day to land; the file is read whole all the same.
        replace: Whether what has landed of its days before is out of use from now on.
        beside: Days of which that stays in use all the same, such as those of files before it that
            were named along with it.

    Raises:
        UsageError: Format, kind, columns and instrument don't go together.
        SourceFormatError: The file is not what it claims to be. Nothing was written.
    """
    holds = check_request(instrument, format, kind, columns)
    if format.startswith("binance-"):
        binance.check_name(path, instrument)
    source = SourceFile.open(path)
    content = _read(source, format, holds, columns)
    return _write(lake, source, instrument, holds, content, since, replace=replace, beside=beside)


def land_from_archive(lake: Lake, root: Path | None, instrument: Instrument, day: date) -> bool:
    """Land a day from a folder in the layout of Binance's public archive.

    Args:
        lake: Where to write.
        root: The folder of the instrument's venue, which it shares with no other; None if it has
            none.
        instrument: Whose day.
        day: Which.

    Returns:
        Whether the archive has the day. A file that was landed before is not read again, unless
        its part is out of use for an archive's file that has gone, or comes from another version of
        the readers.

    Raises:
        SourceFormatError: The file is not what its name says. Nothing was written.
    """
    path = binance.archive_file(root, instrument, day)
    if path is None:
        return False
    source = SourceFile.open(path)
    holds: Kind = "klines" if instrument.tick == "none" else "trades"
    format_ = {
        "agg_trade": "binance-aggtrades",
        "trade": "binance-trades",
        "none": "binance-klines",
    }[instrument.tick]
    keys = _keys(instrument, holds, None, day)
    parts = lake.parts(_table(holds), **keys)
    name = part_name(source.sha256)
    if is_landed(parts, name):
        before = {part.name: part for part in parts_in_use(parts)}.get(name)
        if before is None or (
            before.code_version == LANDING_VERSION
            and ARCHIVE in before.inputs
            and has_rows(lake, before, keys)
        ):
            return True
    content = _read(source, format_, holds, None)
    found = [day_of(number * DAY) for number in _day_numbers(content).unique().sort()]
    if found != [day]:
        raise SourceFormatError(
            f"the file is named for {day} and holds {found[0]} to {found[-1]}",
            where=path,
            hint="download it again, or take it out of that folder",
        )
    _write(lake, source, instrument, holds, content, archived=True)
    return True


def part_name(sha256: str) -> str:
    """What the part of a file with this hash (hex) is called."""
    return sha256[:16]


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
        if part.name == name:
            return True
        if ARCHIVE in part.inputs:
            return False
    return False


def land_absent(lake: Lake, instrument: Instrument, day: date, *, replace: bool = False) -> bool:
    """Land the word that the exchange has no file of a day: nothing is known of it.

    Its bars are there, and invalid once nothing has come for longer than `max_silence`: until then
    nobody could have known. So a history can be walked, trained and judged across it. A file of
    the day that lands later takes the place of the word.

    Args:
        lake: Where to write.
        instrument: Whose day.
        day: Which.
        replace: Whether what has landed of it before is out of use from now on.

    Returns:
        Whether it is news.

    Raises:
        UsageError: A file of the day has landed, and is not to be replaced.
    """
    holds: Kind = "klines" if instrument.tick == "none" else "trades"
    keys = _keys(instrument, holds, KLINE_INTERVAL, day)
    parts = lake.parts(_table(holds), **keys)
    used = [part.name for part in parts_in_use(parts)]
    if used == [ABSENT]:
        return False
    if used and not replace:
        raise UsageError(
            f"{instrument.id} has landed on {day}, so the day is not absent",
            hint=f"leave {day} out, or add --replace if the file is not to be trusted",
        )
    nothing = table(_table(holds)).empty()
    inputs = {ORDER: _next(parts)} | ({REPLACES: "all"} if replace else {})
    lake.write(
        _table(holds), nothing, code_version=LANDING_VERSION, inputs=inputs, part=ABSENT, **keys
    )
    return True


def check_request(
    instrument: Instrument,
    format_: str,
    kind: Kind | None,
    columns: Mapping[str, str] | str | None,
) -> Kind:
    """What files of a format hold, if they can be of the instrument.

    Raises:
        UnknownName: No such format.
        UsageError: Format, kind, columns and instrument don't go together.
    """
    if format_ not in FORMATS:
        raise UnknownName.of("format", format_, FORMATS)
    holds: Kind = FORMATS[format_] or kind or "trades"
    if kind is not None and kind != holds:
        raise UsageError(f"{format_} files hold {holds}, not {kind}", hint="leave --kind out")
    if columns is not None and FORMATS[format_] is not None:
        raise UsageError(
            f"{format_} files have known columns", hint="leave --columns out, or use --format csv"
        )
    tick = instrument.tick
    if holds == "klines":  # of an instrument with ticks they are a second view of its trades
        return holds
    if tick == "none":
        raise UsageError(
            f"{instrument.id} has no ticks, and the file holds trades",
            hint='say tick = "trade" or "agg_trade" for it in vostok.toml',
        )
    given = {"binance-aggtrades": "agg_trade", "binance-trades": "trade", "kraken-trades": "trade"}
    if given.get(format_, tick) != tick:
        raise UsageError(
            f"a tick of {instrument.id} is declared as {tick}, and {format_} files hold "
            f"{given[format_]}s",
            hint="see whether --format is that of the file; ids of the two don't mix, so if it is, "
            f'ingest the other kind of file, or say tick = "{given[format_]}" in vostok.toml',
        )
    return holds


def _read(
    source: SourceFile, format_: str, holds: Kind, columns: Mapping[str, str] | str | None
) -> Source:
    if isinstance(columns, str):
        columns = generic.parse_columns(columns)
    if format_ in _READERS:
        content = _READERS[format_](source)
    else:
        file_format: Literal["csv", "parquet"] = "parquet" if format_ == "parquet" else "csv"
        content = generic.read(source, file_format, holds, columns or {})
    if content.interval not in (None, KLINE_INTERVAL):
        raise SourceFormatError(
            f"the file holds klines of {content.interval}, and bars are built from klines of "
            f"{KLINE_INTERVAL}",
            where=source.path,
            hint=f"ingest the {KLINE_INTERVAL} klines of these days: bars of longer intervals are "
            "built from them ([bars] intervals in vostok.toml)",
        )
    return dataclasses.replace(content, written=style(source, format_, columns))


_READERS: dict[str, Callable[[SourceFile], Source]] = {
    "binance-aggtrades": binance.read_agg_trades,
    "binance-trades": binance.read_trades,
    "binance-klines": klines.read_binance,
    "kraken-trades": kraken.read_trades,
}


def _write(
    lake: Lake,
    source: SourceFile,
    instrument: Instrument,
    holds: Kind,
    content: Source,
    since: date | None = None,
    *,
    archived: bool = False,
    replace: bool = False,
    beside: Collection[date] = (),
) -> Landing:
    frame = content.frame.with_columns(_day_numbers(content).alias("day"))
    by_day = {
        key[0]: rows.drop("day") for key, rows in frame.partition_by("day", as_dict=True).items()
    }
    first, last = min(by_day), max(by_day)
    every = [(number, day_of(number * DAY)) for number in range(first, last + 1)]
    span = [(number, day) for number, day in every if since is None or day >= since]
    warnings = content.warnings
    if len(span) < len(every):
        away = len(every) - len(span)
        warnings = (
            *warnings,
            f"{away} days before {since} were left out: the calendar begins then",
        )
    nothing = content.frame.clear()
    name = part_name(source.sha256)
    mark = {WRITTEN: content.written} if content.written else {}
    mark |= {ARCHIVE: source.path.name} if archived else {}
    for number, day in span:
        rows = by_day.get(number, nothing)
        keys = _keys(instrument, holds, content.interval, day)
        parts = lake.parts(_table(holds), **keys)
        used = {part.name: part for part in parts_in_use(parts)}
        before = used.get(name)
        replaces = replace and day not in beside
        if replaces:
            stays = list(used) == [name]
        else:
            stays = is_landed(parts, name) if archived else name in used
        if before is not None and stays:
            inputs = {**before.inputs, **mark}
            same = (before.code_version, before.content_hash, before.inputs) == (
                LANDING_VERSION,
                hash_frame(rows),
                inputs,
            )
            if same and has_rows(lake, before, keys):
                continue
        else:
            inputs = {"file": source.sha256, ORDER: _next(parts), **mark}
            inputs |= {REPLACES: "all"} if replaces else {}
        lake.write(
            _table(holds), rows, code_version=LANDING_VERSION, inputs=inputs, part=name, **keys
        )
    return Landing(
        path=source.path,
        sha256=source.sha256,
        kind=holds,
        interval=content.interval,
        rows=content.frame.height,
        days=tuple(day for _, day in span),
        warnings=warnings,
    )


def _day_numbers(content: Source) -> pl.Series:
    """The UTC day of each row, counted from 1970; a bar belongs to the day that it opens on."""
    ts = content.frame["ts"].to_physical()
    return (ts - parse_interval(content.interval) if content.interval else ts) // DAY


def _next(parts: Iterable[PartitionInfo]) -> str:
    """The place of a part that lands after others."""
    return str(max((int(part.inputs.get(ORDER, "0")) for part in parts), default=-1) + 1)


def _table(holds: Kind) -> str:
    return "raw_klines" if holds == "klines" else "raw_trades"


def _keys(
    instrument: Instrument, holds: Kind, interval: str | None, day: date
) -> dict[str, str | date]:
    keys: dict[str, str | date] = {"instrument": str(instrument.id), "date": day}
    if holds == "klines":
        keys["interval"] = interval or KLINE_INTERVAL
    return keys
