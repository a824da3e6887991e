"""The tables of a recorded order book, and of the recording itself.

`vostok-live record` lands the raw ones, some parts an hour; `quotes`, `depth` and `book_quality`
are made of them day by day (`vostok_core.market.books`). What is wrong with a book stands in a
table of its own and not in `quality`: bars are made from that one and current only as long as it
is the same, and a lost connection of the book must not make bars, features and labels anew.
"""

from __future__ import annotations

import polars as pl

from vostok_core.lake.declare import TIME, Column, Table, ts_column

_KEYS = ("instrument", "date")
_F = pl.Float64
_LEVELS = pl.List(pl.Float64)

_RECEIVED = ts_column("when it was received, by the exchange's clock")
_SEEN = Column("seen_ts", TIME, "when it was received", unit="UTC, the recorder's wall clock")

_QUOTE = (
    Column("update_id", pl.Int64, "number of the book's change that made it so", ge=0),
    _RECEIVED,
    _SEEN,
    Column("bid", _F, "best price that a buyer offers", "quote per base", gt=0),
    Column("bid_qty", _F, "what is offered there", "base", ge=0),
    Column("ask", _F, "best price that a seller offers", "quote per base", gt=0),
    Column("ask_qty", _F, "what is offered there", "base", ge=0),
)
_LEFT = "what they offer there now; 0 where none is left"
_DEPTH = (
    Column("first_id", pl.Int64, "number of the first change of the book in it", ge=0),
    Column("last_id", pl.Int64, "number of the last change in it", ge=0),
    ts_column("when the exchange said it; of a snapshot, when it was received by its clock"),
    _SEEN,
    Column("snapshot", pl.Boolean, "true: the best levels as they stood, not what changed"),
    Column("bid_price", _LEVELS, "prices of buyers, as they came", "quote per base", gt=0),
    Column("bid_qty", _LEVELS, _LEFT, "base", ge=0, repeats=True),
    Column("ask_price", _LEVELS, "prices of sellers, as they came", "quote per base", gt=0),
    Column("ask_qty", _LEVELS, _LEFT, "base", ge=0, repeats=True),
)
_KIND = {
    "recordings": "`covered`: the streams were heard; `seam`: trades that were missed and fetched "
    "by REST; `skipped`: trades that were not fetched; `clock`: the exchange's clock against the "
    "recorder's; `trades`, `quotes`, `depth`, `snapshots`: rows that were landed; `unusable`: "
    "lines that say nothing",
    "book_quality": "`uncovered`: the streams were not heard; `sequence`: numbers of changes "
    "break; `unsynced`: changes that no snapshot goes before; `crossed`: a best bid at or above "
    "the best ask; `duplicate`: dropped; `late`: stamped before one with a smaller number; "
    "`clock`: the recorder's clock was far off",
}

BOOK_TABLES: tuple[Table, ...] = (
    Table(
        "raw_quotes",
        _KEYS,
        _QUOTE,
        "Best bids and asks as recorded, in the order in which they came: a part for each segment "
        "(an hour) of the recorder.",
        sort_by=(),
        many_parts=True,
    ),
    Table(
        "raw_depth",
        _KEYS,
        _DEPTH,
        "Changes of the book's depth and snapshots of it as recorded, in the order in which they "
        "came: a part for each segment of the recorder.",
        sort_by=(),
        many_parts=True,
    ),
    Table(
        "recordings",
        _KEYS,
        (
            Column("kind", pl.String, _KIND["recordings"]),
            ts_column("its begin"),
            ts_column("its end", "end_ts"),
            Column("count", pl.Int64, "lines, rows or trades concerned", ge=0),
            Column("value", _F, "of `clock`: the exchange's less ours", "s", nan=True),
            Column("detail", pl.String, "in words: ids, or what ended it"),
            Column("segment", pl.String, "name of the segment or file"),
        ),
        "What was recorded and what not: a part for each segment of the recorder.",
        sort_by=("ts", "kind"),
        many_parts=True,
    ),
    Table(
        "quotes",
        _KEYS,
        _QUOTE,
        "Every best bid and ask that was recorded, once, in the order of the book's changes; times "
        "never go back.",
        sort_by=("update_id",),
        unique=("update_id",),
    ),
    Table(
        "depth",
        _KEYS,
        _DEPTH,
        "Every change of the book's depth that was recorded, once, in order, and the snapshots "
        "between them. A book is the newest snapshot and the changes after it: a level becomes "
        "what they say, and goes where they say 0.",
        sort_by=("last_id", "snapshot"),
        unique=("last_id", "snapshot"),
    ),
    Table(
        "book_quality",
        _KEYS,
        (
            Column("stream", pl.String, "what it is about", isin=("quotes", "depth", "recording")),
            Column("kind", pl.String, _KIND["book_quality"]),
            Column("severity", pl.String, "how bad it is", isin=("info", "warn", "error")),
            ts_column("start of the affected span"),
            ts_column("end of the affected span", "end_ts"),
            Column("count", pl.Int64, "rows or changes concerned", ge=0),
            Column("unknown", pl.Boolean, "quotes, or the book, are not known in that span"),
            Column("detail", pl.String, "the finding in words"),
        ),
        "What is wrong with a day of quotes and depth: spans that were not recorded, numbers that "
        "break, prices that cross, a clock that is off. Bars don't depend on it.",
        sort_by=("ts", "stream", "kind"),
    ),
)
