"""A source file's rows by the UTC days that they belong to.

A file is opened once: what is hashed is what is parsed. It is checked to its last row before any
row of it is given out. A large file, such as a month of trades, is read in blocks of lines, once to
check it and count, and once more to give its days out one by one. So no more than a day of its rows
and a block of its text are in memory, as long as its lines are in the order of days.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO, Protocol

import polars as pl

from vostok_core.errors import SourceFormatError
from vostok_core.times import DAY, day_of, parse_interval
from vostok_pipelines.sources.common import Source, SourceFile
from vostok_pipelines.sources.frames import unit_of
from vostok_pipelines.sources.packed import unpacked_size
from vostok_pipelines.sources.text import BLOCK, blocks

LARGE = 128 << 20
"""Bytes of text from which on a file is read in blocks."""

Reader = Callable[[SourceFile], Source]
_Frames = Iterator[tuple[date, pl.DataFrame]]


@dataclass(frozen=True)
class Content:
    """What a file holds, checked.

    Attributes:
        rows: How many rows.
        days: The UTC days that have some, in order; a bar belongs to the day it opens on.
        warnings: What a person should know about it.
        interval: Interval of klines; none for trades.
        written: How it is written, as far as its reader tells.
        of: The rows of each of some days, in order of days; of one without rows an empty frame.
    """

    rows: int
    days: tuple[date, ...]
    warnings: tuple[str, ...]
    interval: str | None
    written: str
    of: Callable[[Collection[date]], _Frames]


class OpenFile(Protocol):
    """A source file that is open."""

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the file as it is on disk."""
        ...

    def read(self, reader: Reader) -> Content:
        """Parse and check it to its last row.

        Raises:
            SourceFormatError: It is not what it claims to be.
        """
        ...


@contextmanager
def opened(path: Path, time_field: int | None = None) -> Iterator[OpenFile]:
    """Open a file.

    Args:
        path: The file.
        time_field: The place of the time in its lines, from 0, if lines may be read by themselves
            and a large file therefore in blocks.

    Raises:
        SourceFormatError: It doesn't exist, can't be read, is empty, or is a damaged archive.
    """
    if time_field is None or _about(path) < LARGE:
        yield _Small(SourceFile.open(path))
        return
    with path.open("rb") as file:
        yield _Large(path, file, time_field)


def _about(path: Path) -> int:
    """About how many bytes of text are in a file; 0 where opening it will say what is wrong."""
    try:
        with path.open("rb") as file:
            return unpacked_size(file)
    except OSError:
        return 0


def by_day(content: Source) -> dict[date, pl.DataFrame]:
    """The rows of a source by their days, in order of days."""
    frame = content.frame
    numbers = _day_numbers(content)
    if numbers.n_unique() == 1:
        return {day_of(int(numbers[0]) * DAY): frame}
    parts = frame.with_columns(numbers.alias("day")).partition_by("day", as_dict=True)
    return {day_of(number * DAY): rows.drop("day") for (number,), rows in sorted(parts.items())}


def _day_numbers(content: Source) -> pl.Series:
    """The UTC day of each row, counted from 1970."""
    ts = content.frame["ts"].to_physical()
    return (ts - parse_interval(content.interval) if content.interval else ts) // DAY


class _Small:
    """A file that is in memory."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source

    @property
    def sha256(self) -> str:
        return self._source.sha256

    def read(self, reader: Reader) -> Content:
        content = reader(self._source)
        return _held(content)


def _held(content: Source) -> Content:
    found = by_day(content)
    nothing = next(iter(found.values())).clear()
    return Content(
        rows=sum(rows.height for rows in found.values()),
        days=tuple(found),
        warnings=content.warnings,
        interval=content.interval,
        written=content.written,
        of=lambda wanted: ((day, found.get(day, nothing)) for day in sorted(wanted)),
    )


class _Large:
    """A file that is read in blocks of lines."""

    def __init__(self, path: Path, file: BinaryIO, time_field: int) -> None:
        self._path = path
        self._file = file
        self._time_field = time_field
        self._stat = self._seen()
        # At once, since reading on takes place where the file was left off.
        self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def read(self, reader: Reader) -> Content:
        counts: Counter[date] = Counter()
        warnings: dict[str, None] = {}
        held: list[Source] = []  # as long as all rows are of one day, they need not be read again
        nothing = pl.DataFrame()
        written = ""
        for block in self._blocks():
            content = reader(block)
            nothing = content.frame.clear()
            written = written or content.written  # of the block that holds the header
            warnings |= dict.fromkeys(content.warnings)
            found = by_day(content)
            counts.update({day: rows.height for day, rows in found.items()})
            held = [*held, content] if len(counts) == 1 else []
        if held:
            frame = pl.concat([content.frame for content in held])
            return _held(Source(frame, tuple(warnings), written=written))
        return Content(
            rows=counts.total(),
            days=tuple(sorted(counts)),
            warnings=tuple(warnings),
            interval=None,
            written=written,
            of=lambda wanted: self._give_out(reader, counts, wanted, nothing),
        )

    def _give_out(
        self,
        reader: Reader,
        counts: Counter[date],
        wanted: Collection[date],
        nothing: pl.DataFrame,
    ) -> _Frames:
        """The days in order, each as soon as all its rows have been read."""
        left = sorted(wanted)
        pieces: dict[date, list[pl.DataFrame]] = {day: [] for day in left if day in counts}
        for block in self._blocks():
            for day, rows in by_day(reader(block)).items():
                if day in pieces:
                    pieces[day].append(rows)
            while left and sum(rows.height for rows in pieces.get(left[0], ())) == counts[left[0]]:
                self._require_same()
                day = left.pop(0)
                yield day, pl.concat(pieces.pop(day, [nothing]))
            if not left:
                return
        assert not left, "a file that has not changed holds the rows that were counted"

    def _blocks(self) -> Iterator[SourceFile]:
        """The lines of the file, so many at once that a block of text is filled.

        A block that is read by itself must not pass what the file as a whole would not.
        """
        width: int | None = None
        unit: str | None = None
        for text in blocks(self._file, self._path, size=BLOCK):
            block = SourceFile.of_block(self._path, text)
            fields = block.data.partition(b"\n")[0].split(b",")
            if width is None:
                width = len(fields)
            elif len(fields) != width:
                raise self._refuse(block, f"found {len(fields)} columns, expected {width}")
            last = block.data.rpartition(b"\n")[2]
            time = last.split(b",")[self._time_field : self._time_field + 1]
            found = unit_of(int(time[0])) if time and _is_time(time[0].strip()) else None
            if unit is not None and found not in (None, unit):
                raise self._refuse(block, f"its times are in {found}, and those before in {unit}")
            unit = unit or found
            yield block
        self._require_same()

    def _require_same(self) -> None:
        if self._seen() != self._stat:
            raise SourceFormatError(
                "the file was written to while it was read",
                where=self._path,
                hint="land it again once it is whole",
            )

    def _refuse(self, block: SourceFile, what: str) -> SourceFormatError:
        return SourceFormatError(
            f"line {block.line}: {what}",
            where=self._path,
            hint="the file was put together of several: land each by itself",
        )

    def _seen(self) -> tuple[int, int]:
        stat = os.fstat(self._file.fileno())
        return stat.st_size, stat.st_mtime_ns


def _is_time(text: bytes) -> bool:
    return text.isdigit() and len(text) < 20
