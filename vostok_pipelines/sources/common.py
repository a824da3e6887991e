"""What every reader needs: an open file, parsed text, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from vostok_core.market.parts import Kind
from vostok_pipelines.sources.delimited import (
    Delimited,
    Field,
    Layout,
    first_line,
    parse,
    parse_as,
)
from vostok_pipelines.sources.opening import PLAIN, Notation, SourceFile

__all__ = [
    "PLAIN",
    "Delimited",
    "Field",
    "Kind",
    "Layout",
    "Notation",
    "Source",
    "SourceFile",
    "first_line",
    "parse",
    "parse_as",
]


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
