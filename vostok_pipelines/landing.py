"""Landing: a source file becomes raw partitions of the lake, a day at a time.

A file is parsed and checked to its last row before anything is written: one that is refused lands
nothing. Each UTC day it touches then gets a part, whole or not at all, in order; a landing that is
killed leaves the days it came to, and landing the file again adds the rest. A part is named by the
file's hash, so that landing it again changes nothing and landing another file of the same day adds
a part beside it, or in its place (`days.parts_in_use`). A day inside the file's span on which
nothing happened gets an empty part: the file vouches for the silence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from vostok_core.errors import DataError, UnknownName, UsageError
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.days import (
    ABSENT,
    ARCHIVE,
    LANDING_VERSION,
    ORDER,
    REPLACES,
    parts_in_use,
)
from vostok_core.market.instrument import Instrument
from vostok_core.market.kept_once import has_rows
from vostok_core.market.parts import (
    TABLES,
    keys_of,
    kind_of,
    need_not_land,
    next_place,
    part_name,
    stands_for,
    write_part,
)
from vostok_core.times import days as each_day
from vostok_pipelines.sources import klines
from vostok_pipelines.sources.by_day import opened
from vostok_pipelines.sources.common import PLAIN, Kind, Notation
from vostok_pipelines.sources.days import BadDay, DaySource
from vostok_pipelines.sources.formats import FORMATS
from vostok_pipelines.sources.generic import parse_columns
from vostok_pipelines.sources.layout import check_name
from vostok_pipelines.sources.reading import read_file


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
    notation: Notation = PLAIN,
    since: date | None = None,
    replace: bool = False,
    beside: Collection[date] = (),
) -> Landing:
    """Parse, check and write one source file.

    Args:
        lake: Where to write.
        path: The file.
        instrument: Whose trades or klines it holds.
        format: One of `sources.formats.FORMATS`.
        kind: What a `csv`, `parquet` or `feather` file holds, trades unless it says klines; of the
            other formats it may only repeat what they hold.
        columns: Map of columns of such a file, see `sources.generic`.
        notation: How such a file is written.
        since: The first day to land; the file is read whole all the same.
        replace: Whether what has landed of its days before is out of use from now on.
        beside: Days of which that stays in use all the same, such as those of files before it that
            were named along with it.

    Raises:
        UsageError: Format, kind, columns and instrument don't go together.
        SourceFormatError: The file is not what it claims to be. Nothing was written.
    """
    holds = check_request(instrument, format, kind, columns, notation)
    if format.startswith("binance-"):
        check_name(path, instrument)
    reader = partial(
        read_file,
        instrument=instrument,
        format_=format,
        holds=holds,
        columns=parse_columns(columns) if isinstance(columns, str) else columns,
        notation=notation,
    )
    with opened(path, FORMATS[format].time_field) as file:
        content = file.read(reader)
        klines.require_minutes(content.interval, path)
        span, warnings = _left_out(list(each_day(content.days[0], content.days[-1])), since)
        for day, rows in content.of(span):
            write_part(
                lake,
                instrument,
                holds,
                day,
                rows,
                file.sha256,
                {},
                written=content.written,
                replaces=replace and day not in beside,
            )
            del rows  # before those of the next day are read
        return Landing(
            path=path,
            sha256=file.sha256,
            kind=holds,
            interval=content.interval,
            rows=content.rows,
            days=tuple(span),
            warnings=(*content.warnings, *warnings),
        )


def land_days(
    lake: Lake, source: DaySource, instrument: Instrument, days: Sequence[date]
) -> Iterator[tuple[date, bool | DataError]]:
    """Land days of a source, one after another.

    Args:
        lake: Where to write.
        source: Which has them.
        instrument: Whose.
        days: Which, in order; those that the source doesn't have are left out.

    Yields:
        Each day as it has landed, and whether it had to be read; or why it can't be used. A day
        that landed before is not read again, unless its part is out of use for another file of the
        archive, or comes from another version of the readers.
    """
    holds = kind_of(instrument)

    def known(day: date, sha256: str) -> bool:
        keys, name = keys_of(instrument, holds, day), part_name(sha256)
        parts = lake.parts(TABLES[holds], **keys)
        if not need_not_land(parts, name, archived=source.name == ARCHIVE):
            return False
        used = [part for part in parts_in_use(parts) if stands_for(part, name)]
        return all(has_rows(lake, part, keys) for part in used)

    for read in source.read(instrument, days, known):
        if isinstance(read, BadDay):
            yield read.day, read.error
            continue
        day, content = read.day, read.content
        if content is not None:
            write_part(
                lake,
                instrument,
                holds,
                day,
                content.frame,
                read.sha256,
                read.provenance,
                written=content.written,
            )
        was_read = content is not None
        del read, content  # before the next day is read
        yield day, was_read


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
    holds = kind_of(instrument)
    keys = keys_of(instrument, holds, day)
    parts = lake.parts(TABLES[holds], **keys)
    used = [part.name for part in parts_in_use(parts)]
    if used == [ABSENT]:
        return False
    if used and not replace:
        raise UsageError(
            f"{instrument.id} has landed on {day}, so the day is not absent",
            hint=f"leave {day} out, or add --replace if the file is not to be trusted",
        )
    nothing = table(TABLES[holds]).empty()
    inputs = {ORDER: next_place(parts)} | ({REPLACES: "all"} if replace else {})
    lake.write(
        TABLES[holds], nothing, code_version=LANDING_VERSION, inputs=inputs, part=ABSENT, **keys
    )
    return True


def check_request(
    instrument: Instrument,
    format_: str,
    kind: Kind | None,
    columns: Mapping[str, str] | str | None,
    notation: Notation = PLAIN,
) -> Kind:
    """What files of a format hold, if they can be of the instrument.

    Raises:
        UnknownName: No such format.
        UsageError: Format, kind, columns and instrument don't go together.
    """
    if format_ not in FORMATS:
        raise UnknownName.of("format", format_, FORMATS)
    known = FORMATS[format_]
    holds: Kind = known.holds or kind or "trades"
    if kind is not None and kind != holds:
        raise UsageError(f"{format_} files hold {holds}, not {kind}", hint="leave --kind out")
    if columns is not None and known.read is not None:
        raise UsageError(
            f"{format_} files have known columns", hint="leave --columns out, or use --format csv"
        )
    if notation != PLAIN and known.read is not None:
        raise UsageError(
            f"it is known how {format_} files are written",
            hint="leave --separator, --decimal, --encoding, --skip-lines and --sides out, or use "
            "--format csv",
        )
    if known.venues and not instrument.id.venue.lower().startswith(known.venues):
        raise UsageError(
            f"{format_} files are of another exchange than {instrument.id}",
            hint=f"name an instrument whose venue begins with {known.venues[0]}, or the format of "
            "the file",
        )
    tick = instrument.tick
    if holds == "klines":  # of an instrument with ticks they are a second view of its trades
        return holds
    if tick == "none":
        raise UsageError(
            f"{instrument.id} has no ticks, and the file holds trades",
            hint='say tick = "trade" or "agg_trade" for it in vostok.toml',
        )
    given = known.tick or tick
    if given != tick:
        raise UsageError(
            f"a tick of {instrument.id} is declared as {tick}, and {format_} files hold {given}s",
            hint="see whether --format is that of the file; ids of the two don't mix, so if it is, "
            f'ingest the other kind of file, or say tick = "{given}" in vostok.toml',
        )
    return holds


def _left_out(days: Sequence[date], since: date | None) -> tuple[list[date], tuple[str, ...]]:
    """The days of a file from `since` on, and what to say of those before."""
    kept = [day for day in days if since is None or day >= since]
    away = len(days) - len(kept)
    if not away:
        return kept, ()
    return kept, (f"{away} days before {since} were left out: the calendar begins then",)
