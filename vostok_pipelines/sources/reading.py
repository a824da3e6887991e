"""The one function that reads a source file of any format.

A file that is refused is looked at once more: if it has the layout of another format, or of
something known that is no trades and no klines, the error says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources import elsewhere, generic
from vostok_pipelines.sources.common import (
    PLAIN,
    Kind,
    Layout,
    Notation,
    Source,
    SourceFile,
    parse,
)
from vostok_pipelines.sources.formats import FORMATS, OF_OTHER_TABLES, FileFormat
from vostok_pipelines.sources.style import style
from vostok_pipelines.sources.text import shortened


def read_file(
    source: SourceFile,
    instrument: Instrument,
    format_: str,
    holds: Kind | None = None,
    columns: Mapping[str, str] | None = None,
    notation: Notation = PLAIN,
) -> Source:
    """Read a file of any format.

    Args:
        source: The file.
        instrument: Whose it is said to be.
        format_: One of `FORMATS`.
        holds: What it holds, where the format doesn't say.
        columns: Map of columns, where the format has none of its own.
        notation: How it is written, where the format doesn't say.

    Raises:
        UsageError: Format, columns and notation don't go together.
        SourceFormatError: It is not what it claims to be.
    """
    try:
        reader = FORMATS[format_].read
        if reader is not None:
            found = reader(source, instrument)
        else:
            container: generic.Container = format_  # type: ignore[assignment]
            found = generic.read(source, container, holds or "trades", columns or {}, notation)
        return replace(found, written=style(source, format_, columns, notation))
    except SourceFormatError as error:
        error.what = shortened(error.what, _LONGEST)
        error.hint = _better_hint(source, instrument, format_, notation) or error.hint
        raise


_LONGEST = 1000
"""Characters of what an error says; whatever a file holds, they can be printed."""

_LOOKED_AT = 200
"""Lines by which a file is recognized."""


def _better_hint(
    source: SourceFile, instrument: Instrument, format_: str, notation: Notation
) -> str | None:
    """What to do about a file that isn't of its format, if it is known for something else."""
    try:
        name = elsewhere.called(source.beginning())
        lines = [] if name else source.lines(_LOOKED_AT, notation.encoding)
    except SourceFormatError:
        return None
    if name is not None:
        return f"the file looks like {name}: it holds no trades and no klines, and is not read"
    head = SourceFile(source.path, "\n".join(lines).encode())
    if _fitting(head, instrument, FORMATS[format_]) is not None:
        return None
    for other, known in (FORMATS | OF_OTHER_TABLES).items():
        layout = _fitting(head, instrument, known)
        if layout is not None:
            return f"the file looks like {layout.name}: name --format {other}"
    return None


def _fitting(head: SourceFile, instrument: Instrument, known: FileFormat) -> Layout | None:
    """Which layout of a format the first lines of a file have, if any."""
    if known.read is None:
        return None
    try:
        layout = parse(head, known.layouts).layout
        if not layout.has_header:
            with suppress(UsageError):  # of another instrument, but of the format
                known.read(head, instrument)
    except SourceFormatError:
        return None
    return layout
