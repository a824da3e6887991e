"""Every format of source files, and the one function that reads them all.

A file that is refused is looked at once more: if it has the layout of another format, or of
something known that is no trades and no klines, the error says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources import (
    binance,
    bulk,
    bybit,
    elsewhere,
    funding,
    generic,
    klines,
    kraken,
    okx,
    tardis,
)
from vostok_pipelines.sources.common import (
    PLAIN,
    Kind,
    Layout,
    Notation,
    Source,
    SourceFile,
    parse,
)
from vostok_pipelines.sources.text import shortened

Reader = Callable[[SourceFile, Instrument], Source]


@dataclass(frozen=True)
class FileFormat:
    """A format of source files.

    Attributes:
        holds: What such files hold; none where it has to be said.
        layouts: The columns that they may have; none where these have to be said.
        read: What reads one; none where columns have to be said.
        tick: What one trade in it is; none if it can be either.
        venues: What the name of its exchange's venue begins with; none if it can be of any.
        time_field: The place of the time in a line, from 0, if each line can be read by itself, so
            that a large file can be read in blocks (`by_day`).
    """

    holds: Kind | None
    layouts: tuple[Layout, ...] = ()
    read: Reader | None = None
    tick: Literal["agg_trade", "trade"] | None = None
    venues: tuple[str, ...] = ()
    time_field: int | None = None


def _of_any(read: Callable[[SourceFile], Source]) -> Reader:
    """A reader to which it doesn't matter whose the file is."""
    return lambda source, _: read(source)


FORMATS: dict[str, FileFormat] = {
    "binance-aggtrades": FileFormat(
        "trades", binance.AGG_TRADES, _of_any(binance.read_agg_trades), "agg_trade", time_field=5
    ),
    "binance-trades": FileFormat(
        "trades", binance.TRADES, _of_any(binance.read_trades), "trade", time_field=4
    ),
    "binance-klines": FileFormat("klines", (klines.BINANCE,), _of_any(klines.read_binance)),
    "kraken-trades": FileFormat("trades", (kraken.TRADES,), _of_any(kraken.read_trades), "trade"),
    "kraken-bulk": FileFormat("klines", (bulk.KRAKEN,), _of_any(bulk.read_kraken)),
    "kraken-ohlcvt": FileFormat("klines", (klines.KRAKEN,), _of_any(klines.read_kraken)),
    "bybit-trades": FileFormat("trades", bybit.TRADES, bybit.read_trades, "trade", ("bybit",)),
    "okx-trades": FileFormat("trades", okx.TRADES, okx.read_trades, "trade", ("okx", "okex")),
    "tardis-trades": FileFormat("trades", (tardis.TRADES,), tardis.read_trades, "trade"),
    "bitcoincharts": FileFormat("klines", (bulk.BITCOINCHARTS,), _of_any(bulk.read_bitcoincharts)),
    "csv": FileFormat(None),
    "parquet": FileFormat(None),
    "feather": FileFormat(None),
}

_OF_OTHER_TABLES = {
    "binance-funding": FileFormat(None, (funding.BINANCE,), _of_any(funding.read_binance)),
}
"""Formats of files that hold neither trades nor klines, and that others read."""


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
            return reader(source, instrument)
        container: generic.Container = format_  # type: ignore[assignment]
        return generic.read(source, container, holds or "trades", columns or {}, notation)
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
    for other, known in (FORMATS | _OF_OTHER_TABLES).items():
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
