"""Parsing delimited text strictly.

The fast path parses all rows into their final types with Polars, a block of lines at a time. Only
when that fails, or a value is impossible, is the text walked line by line to say where and why.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from vostok_core.errors import SourceFormatError
from vostok_pipelines.sources.opening import PLAIN, Notation, SourceFile
from vostok_pipelines.sources.text import LONGEST, Block, shortened


@dataclass(frozen=True)
class Field:
    """One column of a layout: its name, type, and other names that headers use for it.

    Attributes:
        name: What it is called.
        dtype: What its values are parsed into.
        aliases: Other names.
        wanted: Whether anybody looks at its values; those of a column of text are not kept if not.
        is_time: Whether it is the time of a row.
    """

    name: str
    dtype: Any
    aliases: tuple[str, ...] = ()
    wanted: bool = True
    is_time: bool = False

    def is_called(self, text: str) -> bool:
        """Whether a header means this column; a slash may part its name from another tongue's."""
        names = {_plain(name) for name in (self.name, *self.aliases)}
        return _plain(text) in names or _plain(text.partition("/")[0]) in names


@dataclass(frozen=True)
class Layout:
    """The columns of one kind of file, and how to speak of it.

    Attributes:
        name: What such a file is called.
        fields: Its columns, in order.
        has_header: Whether its first line always names them.
    """

    name: str
    fields: tuple[Field, ...]
    has_header: bool = False

    @property
    def shown(self) -> str:
        return ",".join(field.name for field in self.fields)

    @property
    def time_field(self) -> int | None:
        """The place of the time in a line, from 0; none if there is no time."""
        return next((k for k, field in enumerate(self.fields) if field.is_time), None)


@dataclass(frozen=True)
class Delimited:
    """Parsed text: its rows in file order, and the number of the line that holds the first."""

    source: SourceFile
    layout: Layout
    frame: pl.DataFrame
    line: int = 1

    def refuse(self, row: int, what: str) -> SourceFormatError:
        """The error about one row (from 0)."""
        return _misfit(self.source, self.layout, f"line {row + self.line}: {what}")

    def require(self, good: pl.Expr | pl.Series, column: str, rule: str) -> None:
        """Check a condition on every row; null counts as bad.

        Raises:
            SourceFormatError: With the line and the value of the first bad row.
        """
        if isinstance(good, pl.Expr):
            good = self.frame.select(good.alias("good")).to_series()
        if good.null_count():
            good = good.fill_null(value=False)
        if not good.all():
            row = good.not_().arg_max()
            assert row is not None
            raise self.refuse(
                row, f"{column} should be {rule}, {found_words(self.frame[column][row])}"
            )


def found_words(value: object) -> str:
    """What an error says of a value that is not as it should be."""
    if value is None or value == "":
        return "found nothing"
    return f"found {shortened(value)!r}" if isinstance(value, str) else f"found {value!r}"


def first_line(source: SourceFile, notation: Notation = PLAIN) -> list[str]:
    """The fields of the first line that counts, without spaces and quotes around them.

    Raises:
        SourceFormatError: There is none.
    """
    lines = source.lines(notation.skip_lines + 1, notation.encoding)
    if len(lines) <= notation.skip_lines:
        raise SourceFormatError(
            f"the file has {len(lines)} lines, and {notation.skip_lines} are to be skipped",
            where=source.path,
            hint="check --skip-lines",
        )
    return [field.strip() for field in fields_of(lines[-1], notation.separator)]


def parse(source: SourceFile, layouts: Sequence[Layout]) -> Delimited:
    """Parse comma-separated text that has one of some layouts, told apart by their width.

    A first line whose first field is not of its type is a header, and must name the columns.

    Raises:
        SourceFormatError: The text has none of the layouts; with the first line that doesn't fit.
    """
    first = first_line(source)
    layout = next((known for known in layouts if len(known.fields) == len(first)), None)
    at = source.line
    if layout is None:
        expected = " or ".join(f"{len(known.fields)} ({known.shown})" for known in layouts)
        raise SourceFormatError(
            f"line {at}: found {len(first)} columns ({shortened(','.join(first))}), "
            f"expected {expected}",
            where=source.path,
            hint=f"this is not {layouts[0].name}: name the right --format (docs/sources.md)",
        )
    header = at == 1 and (layout.has_header or not is_number(first[0]))
    if header:
        for k, (field, name) in enumerate(zip(layout.fields, first, strict=True), start=1):
            if not field.is_called(name):
                raise SourceFormatError(
                    f"line 1: column {k} is called {shortened(name)!r}, expected {field.name!r}",
                    where=source.path,
                    hint=f"a header of {layout.name} is {layout.shown} (docs/sources.md)",
                )
    return parse_as(source, layout, header=header)


def parse_as(
    source: SourceFile, layout: Layout, *, header: bool, notation: Notation = PLAIN
) -> Delimited:
    """Parse delimited text of a known layout.

    Raises:
        SourceFormatError: With the first line that doesn't fit.
    """
    skip = notation.skip_lines + header
    first = source.line + skip
    frames: list[pl.DataFrame] = []
    for block in source.blocks(notation.encoding):
        if skip < block.count:
            frame = _rows(block.text, skip, block.count - skip, layout, notation)
            if frame is None:
                source.check_packing()
                raise _first_misfit(source, block, skip, layout, notation)
            frames.append(frame)
        skip = max(0, skip - block.count)
    if not frames:
        raise SourceFormatError(
            "the file holds a header and no rows", where=source.path, hint="download it again"
        )
    return Delimited(source, layout, _joined(frames), first)


def _joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """One frame of several, in one piece; the list is emptied so that a column lives twice only
    while it is copied."""
    parts = {name: [frame[name] for frame in frames] for name in frames[0].columns}
    frames.clear()
    return pl.DataFrame([pl.concat(parts.pop(name), rechunk=True) for name in list(parts)])


def _rows(
    text: bytes, skip: int, count: int, layout: Layout, notation: Notation
) -> pl.DataFrame | None:
    """The rows of some lines, after as many as are skipped; none if a line doesn't fit."""
    quotes = b'"' in text
    bare = re.sub(rb'"[^"\n]*"', b"", text) if quotes else text
    start = 0
    for _ in range(skip):
        start = bare.index(b"\n", start) + 1
    if quotes and bare.find(b'"', start) >= 0:
        return None
    # Polars takes a line that is too short for one that ends in empty fields, which shows in the
    # last of them unless it may be empty.
    if quotes or layout.fields[-1].dtype == pl.String:
        separators = bare.count(notation.separator.encode(), start)
        if separators != count * (len(layout.fields) - 1):
            return None
    comma = notation.decimal == ","
    schema = {
        field.name: pl.String if comma and field.dtype == pl.Float64 else field.dtype
        for field in layout.fields
    }
    wanted = [field for field in layout.fields if field.wanted or field.dtype != pl.String]
    try:
        frame = pl.scan_csv(
            text,
            has_header=False,
            skip_lines=skip,
            schema=schema,
            separator=notation.separator,
            quote_char='"' if quotes else None,
            encoding="utf8" if text.isascii() else "utf8-lossy",
        )
        if len(wanted) < len(schema):
            frame = frame.select(field.name for field in wanted)
        rows = frame.collect()
        if comma:
            rows = _with_points(rows, wanted)
    except pl.exceptions.PolarsError:
        return None
    typed = [field.name for field in wanted if field.dtype != pl.String]
    if rows.height != count or any(rows[name].null_count() for name in typed):
        return None
    return rows


_COMMA = r"^[ \t]*[+-]?\d+(,\d+)?([eE][+-]?\d+)?$"


def _with_points(frame: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    """Numbers that are written with a decimal comma; null where a text is none."""
    numbers = [field.name for field in fields if field.dtype == pl.Float64]
    if not numbers:
        return frame
    text = pl.col(numbers).str.strip_chars_start().str.replace(",", ".", literal=True)
    return frame.with_columns(
        pl.when(pl.col(numbers).str.contains(_COMMA)).then(text).cast(pl.Float64)
    )


def _first_misfit(
    source: SourceFile, block: Block, skip: int, layout: Layout, notation: Notation
) -> SourceFormatError:
    """The error about the first line of a block that is not of the layout.

    Halving finds it by the parser's own judgement; then the line is looked at to say why.
    """
    text = block.text
    starts = [0, *(match.end() for match in re.finditer(b"\n", text)), len(text) + 1]

    def lines(low: int, high: int) -> bytes:
        return text[starts[low] : starts[high] - 1]

    low, high = skip, block.count
    while high - low > 1:
        middle = (low + high) // 2
        if _rows(lines(low, middle), 0, middle - low, layout, notation) is None:
            high = middle
        else:
            low = middle
    why = _why(lines(low, high).decode("utf-8", "replace").rstrip("\r"), layout, notation)
    return _misfit(source, layout, f"line {block.line + low}: {why}")


def _why(line: str, layout: Layout, notation: Notation) -> str:
    if len(line) > LONGEST:
        return f"it has {len(line)} characters"
    texts = fields_of(line, notation.separator)
    if len(texts) != len(layout.fields):
        return f"found {len(texts)} columns, expected {len(layout.fields)}"
    for field, text in zip(layout.fields, texts, strict=True):
        if not _reads_as(text, field.dtype, notation):
            return f"{field.name} should be {_KIND[field.dtype]}, {found_words(text)}"
    return "a quotation mark is not closed" if line.count('"') % 2 else "it doesn't parse"


def _misfit(source: SourceFile, layout: Layout, what: str) -> SourceFormatError:
    hint = f"a line of {layout.name} is {layout.shown} (docs/sources.md)"
    return SourceFormatError(what, where=source.path, hint=hint)


_KIND = {pl.Int64: "a whole number", pl.Float64: "a number", pl.Boolean: "true or false"}


def _reads_as(text: str, dtype: Any, notation: Notation) -> bool:
    if dtype == pl.Int64:
        whole = re.fullmatch(r"[ \t]*[+-]?[0-9]{1,30}", text)
        return whole is not None and -(2**63) <= int(text) < 2**63
    if dtype == pl.Float64:
        plain = re.fullmatch(_COMMA, text) is not None if notation.decimal == "," else True
        return plain and text == text.rstrip() and is_number(text.replace(notation.decimal, "."))
    return dtype != pl.Boolean or text.lower() in ("true", "false")


def fields_of(line: str, separator: str) -> list[str]:
    """The fields of a line; quotes around them belong to none."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [""])
    except csv.Error:
        return line.split(separator)


def is_number(text: str) -> bool:
    return re.fullmatch(r"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII) is not None


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
