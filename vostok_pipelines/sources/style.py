"""How a source file is written: its columns, header, unit of times and notation of sides.

Told from its first lines, whatever reads it. The same kind of file is told in the same words on
every day, so that a source that comes to write its files otherwise is noticed (`market.drift`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vostok_pipelines.sources.columnar import columns_of
from vostok_pipelines.sources.common import PLAIN, Notation, SourceFile
from vostok_pipelines.sources.delimited import fields_of, is_number
from vostok_pipelines.sources.formats import FORMATS
from vostok_pipelines.sources.frames import unit_of
from vostok_pipelines.sources.text import shortened

_PAIRS = ("True/False", "true/false", "TRUE/FALSE", "b/s", "buy/sell", "BUY/SELL", "Buy/Sell")
_LONGEST = 4000  # characters that are kept of it


def style(
    source: SourceFile,
    format_: str,
    columns: Mapping[str, str] | None = None,
    notation: Notation = PLAIN,
) -> str:
    """How a file is written, in words.

    Args:
        source: A file that has been read.
        format_: Its format.
        columns: Map of columns, where the format has none of its own.
        notation: How it is written, where the format doesn't say.
    """
    time = (columns or {}).get("ts", "ts")
    if format_ in ("parquet", "feather"):
        types, first = columns_of(source, format_, time)
        said = [f"columns {','.join(f'{name}:{dtype}' for name, dtype in types)}"]
        said += [] if first is None else [f"time in {_time(str(first))}"]
    else:
        said = _of_text(source, format_, time, notation)
    return shortened(", ".join(said), _LONGEST)


def _of_text(source: SourceFile, format_: str, time: str, notation: Notation) -> list[str]:
    lines = source.lines(notation.skip_lines + 2, notation.encoding)[notation.skip_lines :]
    first, *more = (
        [field.strip() for field in fields_of(line, notation.separator)] for line in lines
    )
    header = not any(is_number(field.replace(notation.decimal, ".")) for field in first)
    row = more[0] if header and more else first
    place = _place(format_, first if header else [str(k + 1) for k in range(len(first))], time)
    said = [f"columns {','.join(first)}" if header else f"{len(first)} columns without a header"]
    if place is not None and place < len(row):
        said.append(f"time in {_time(row[place].replace(notation.decimal, '.'))}")
    pairs = _PAIRS if notation.sides is None else (*_PAIRS, "/".join(notation.sides))
    return said + [pair for field in row for pair in pairs if field in pair.split("/")]


def _place(format_: str, names: Sequence[str], time: str) -> int | None:
    """The place of the time in a line, from 0."""
    layouts = FORMATS[format_].layouts
    if layouts:
        return next(each.time_field for each in layouts if len(each.fields) == len(names))
    return names.index(time) if time in names else None


def _time(text: str) -> str:
    """The notation of a time."""
    whole, point, part = text.partition(".")
    if not (_is_whole(whole) and (_is_whole(part) or not point)):
        return "text"
    unit = unit_of(int(whole)) or "an unknown unit"
    return f"decimal {unit}" if point else unit


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()
