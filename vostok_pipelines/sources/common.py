"""Opening a source file and parsing it strictly.

The fast path parses all rows into their final types with Polars. Only when that fails, or a value
is impossible, is the text walked line by line to say where and why.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from vostok_core.errors import SourceFormatError

_BOM = b"\xef\xbb\xbf"
_LOOKS_LIKE = (
    (b"PK", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "a Feather file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"<", "an HTML or XML page"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


@dataclass(frozen=True)
class SourceFile:
    """A file's bytes, read once: what is hashed is what is parsed.

    Attributes:
        path: The file.
        data: Its bytes, or lines from the middle of its text.
        line: The number that the first of these lines has in the file; a header is line 1.
    """

    path: Path
    data: bytes
    line: int = 1

    @classmethod
    def open(cls, path: Path) -> SourceFile:
        """Read a file.

        Raises:
            SourceFormatError: It doesn't exist, is a folder, can't be read, or is empty.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise SourceFormatError(
                "the file doesn't exist", where=path, hint="check the path"
            ) from None
        except IsADirectoryError:
            raise SourceFormatError(
                "this is a folder, not a file", where=path, hint="name the files inside it"
            ) from None
        except OSError as error:
            raise SourceFormatError(
                f"the file can't be read ({error.strerror})", where=path, hint="check its rights"
            ) from None
        if not data.strip():
            raise SourceFormatError("the file is empty", where=path, hint="download it again")
        return cls(path, data)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the file as it is on disk."""
        return sha256(self.data).hexdigest()

    @cached_property
    def text(self) -> bytes:
        """The delimited text inside: the file itself, the one member of a zip, or gunzipped.

        Raises:
            SourceFormatError: The archive is damaged or holds several files, or this is no text.
        """
        data = self.data
        if data.startswith(b"PK"):
            data = self._unzipped()
        elif data.startswith(b"\x1f\x8b"):
            data = self._gunzipped()
        data = data.removeprefix(_BOM).rstrip()
        if not data:
            raise SourceFormatError("the file is empty", where=self.path, hint="download it again")
        start = data.lstrip()
        for magic, name in _LOOKS_LIKE:
            if start.startswith(magic):
                raise SourceFormatError(
                    f"delimited text was expected, and this is {name}",
                    where=self.path,
                    hint="check the address it came from, or name its format with --format",
                )
        if b"\0" in data[:4096]:
            raise SourceFormatError(
                "delimited text was expected, and this is binary",
                where=self.path,
                hint="name its format with --format",
            )
        return data

    def _unzipped(self) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
                members = [m for m in archive.infolist() if not m.is_dir()]
                if len(members) != 1:
                    names = ", ".join(m.filename for m in members[:3]) or "none"
                    raise SourceFormatError(
                        f"the zip holds {len(members)} files ({names}) instead of one",
                        where=self.path,
                        hint="unpack it and ingest each file on its own",
                    )
                return archive.read(members[0])
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as bad:
            raise SourceFormatError(
                f"the zip is truncated or damaged ({bad})",
                where=self.path,
                hint="download it again",
            ) from None

    def _gunzipped(self) -> bytes:
        try:
            return gzip.decompress(self.data)
        except (gzip.BadGzipFile, zlib.error, EOFError) as bad:
            raise SourceFormatError(
                f"the gzip file is truncated or damaged ({bad})",
                where=self.path,
                hint="download it again",
            ) from None


@dataclass(frozen=True)
class Source:
    """What a source file holds, checked.

    Attributes:
        frame: Rows of the table `raw_trades` or `raw_klines`, in the order of the file.
        warnings: What a person should know about it.
        interval: Interval of klines; none for trades.
        written: How the file is written (`sources.style`); empty where nobody has told.
    """

    frame: pl.DataFrame
    warnings: tuple[str, ...] = ()
    interval: str | None = None
    written: str = ""


@dataclass(frozen=True)
class Field:
    """One column of a layout: its name, type, and other names that headers use for it."""

    name: str
    dtype: Any
    aliases: tuple[str, ...] = ()

    def is_called(self, text: str) -> bool:
        """Whether a header means this column."""
        return _plain(text) in {_plain(name) for name in (self.name, *self.aliases)}


@dataclass(frozen=True)
class Layout:
    """The columns of one kind of file, and how to speak of it."""

    name: str
    fields: tuple[Field, ...]

    @property
    def shown(self) -> str:
        return ",".join(field.name for field in self.fields)


@dataclass(frozen=True)
class Delimited:
    """Parsed text: its rows in file order, and how many lines stand before the first."""

    source: SourceFile
    layout: Layout
    frame: pl.DataFrame
    header: bool

    def refuse(self, row: int, what: str) -> SourceFormatError:
        """The error about one row (from 0)."""
        line = row + self.source.line + self.header
        return SourceFormatError(
            f"line {line}: {what}",
            where=self.source.path,
            hint=f"a line of {self.layout.name} is {self.layout.shown} (docs/sources.md)",
        )

    def require(self, good: pl.Expr | pl.Series, column: str, rule: str) -> None:
        """Check a condition on every row; null counts as bad.

        Raises:
            SourceFormatError: With the line and the value of the first bad row.
        """
        if isinstance(good, pl.Expr):
            good = self.frame.select(good.alias("good")).to_series()
        bad = good.not_() if not good.null_count() else good.fill_null(value=False).not_()
        if bad.any():
            row = bad.arg_max()
            assert row is not None
            value = self.frame[column][row]
            found = "nothing" if value is None else repr(value)
            raise self.refuse(row, f"{column} should be {rule}, found {found}")


def first_line(source: SourceFile) -> list[str]:
    """The fields of the first line, without spaces and quotes around them."""
    end = source.text.find(b"\n")
    line = source.text[: end if end >= 0 else None].decode("utf-8", errors="replace")
    return [field.strip().strip('"') for field in line.rstrip("\r").split(",")]


def parse(source: SourceFile, layouts: Sequence[Layout]) -> Delimited:
    """Parse comma-separated text that has one of some layouts, told apart by their width.

    A first line whose first field is no number is a header, and must name the layout's columns.

    Raises:
        SourceFormatError: The text has none of the layouts; with the first line that doesn't fit.
    """
    first = first_line(source)
    layout = next((known for known in layouts if len(known.fields) == len(first)), None)
    if layout is None:
        expected = " or ".join(f"{len(known.fields)} ({known.shown})" for known in layouts)
        raise SourceFormatError(
            f"line {source.line}: found {len(first)} columns ({_shortened(first)}), expected "
            f"{expected}",
            where=source.path,
            hint=f"this is not {layouts[0].name}: name the right --format (docs/sources.md)",
        )
    header = source.line == 1 and not _is_number(first[0])
    if header:
        for k, (field, name) in enumerate(zip(layout.fields, first, strict=True), start=1):
            if not field.is_called(name):
                raise SourceFormatError(
                    f"line 1: column {k} is called {name!r}, expected {field.name!r}",
                    where=source.path,
                    hint=f"a header of {layout.name} is {layout.shown} (docs/sources.md)",
                )
    return parse_as(source, layout, header=header)


def parse_as(source: SourceFile, layout: Layout, *, header: bool) -> Delimited:
    """Parse comma-separated text of a known layout.

    Raises:
        SourceFormatError: With the first line that doesn't fit.
    """
    schema = {field.name: field.dtype for field in layout.fields}
    try:
        frame = pl.read_csv(
            source.text,
            has_header=False,
            skip_lines=1 if header else 0,
            schema=schema,
            encoding="utf8-lossy",
        )
    except pl.exceptions.PolarsError as error:
        raise _first_misfit(source, layout, header=header, otherwise=str(error)) from None
    parsed = Delimited(source, layout, frame, header)
    if frame.is_empty():
        raise SourceFormatError(
            "the file holds a header and no rows", where=source.path, hint="download it again"
        )
    typed = [field for field in layout.fields if field.dtype != pl.String]
    if any(frame[field.name].null_count() for field in typed):
        raise _first_misfit(source, layout, header=header, otherwise="a field is empty")
    return parsed


def _first_misfit(
    source: SourceFile, layout: Layout, *, header: bool, otherwise: str
) -> SourceFormatError:
    """The error about the first line that is not of the layout."""
    lines = source.text.split(b"\n")
    for number, line in enumerate(lines[header:], start=source.line + header):
        texts = line.decode("utf-8", errors="replace").split(",")
        if len(texts) != len(layout.fields):
            what = f"found {len(texts)} columns, expected {len(layout.fields)}"
        else:
            wrong = [
                (field, text)
                for field, text in zip(layout.fields, texts, strict=True)
                if not _reads_as(text.strip().strip('"'), field.dtype)
            ]
            if not wrong:
                continue
            field, text = wrong[0]
            found = repr(text) if text else "nothing"
            what = f"{field.name} should be {_KIND[field.dtype]}, found {found}"
        hint = f"a line of {layout.name} is {layout.shown} (docs/sources.md)"
        return SourceFormatError(f"line {number}: {what}", where=source.path, hint=hint)
    return SourceFormatError(
        f"the text doesn't parse: {otherwise.splitlines()[0]}",
        where=source.path,
        hint=f"a line of {layout.name} is {layout.shown} (docs/sources.md)",
    )


_KIND = {pl.Int64: "a whole number", pl.Float64: "a number", pl.Boolean: "true or false"}


def _reads_as(text: str, dtype: Any) -> bool:
    if dtype == pl.Int64:
        return re.fullmatch(r"[+-]?\d{1,18}", text) is not None
    if dtype == pl.Float64:
        return _is_number(text)
    return dtype != pl.Boolean or text.lower() in ("true", "false")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _shortened(fields: Sequence[str]) -> str:
    text = ",".join(fields)
    return text if len(text) <= 80 else text[:80] + "…"
