"""From parsed rows to rows of the lake: times in microseconds, and values that can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from vostok_core.lake.tables import TIME, table
from vostok_core.times import parse_interval
from vostok_pipelines.sources.common import Delimited, Source
from vostok_pipelines.sources.delimited import found_words

EARLIEST_SECOND = 1_230_768_000  # 2009-01-01: Bitcoin's first block
LATEST_SECOND = 4_102_444_800  # 2100-01-01
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
"""Units that a time may be in, per second; their ranges from 2009 to 2100 don't overlap."""

_SPAN = "from 2009 to 2100"


def whole_times(parsed: Delimited, column: str) -> pl.Series:
    """Times of whole seconds, milli-, micro- or nanoseconds as microseconds.

    The unit is told from the first value's magnitude and must hold for all.

    Raises:
        SourceFormatError: A time is not in that unit between 2009 and 2100.
    """
    values = parsed.frame[column]
    unit = unit_of(int(values[0]))
    if unit is None:
        rule = "a time since 1970 in seconds, ms, us or ns, from 2009 to 2100"
        raise parsed.refuse(0, f"{column} should be {rule}, found {values[0]!r}")
    parsed.require(_inside(values, unit), column, f"in {unit}, {_SPAN}, like the first line's")
    return in_microseconds(values, unit)


def times_in(parsed: Delimited, column: str, unit: str) -> pl.Series:
    """Times of whole seconds, milli-, micro- or nanoseconds, whichever is known, as microseconds.

    Raises:
        SourceFormatError: A time is not between 2009 and 2100.
    """
    values = parsed.frame[column]
    parsed.require(_inside(values, unit), column, f"a time {_SPAN}")
    return in_microseconds(values, unit)


def in_microseconds(values: pl.Series, unit: str) -> pl.Series:
    """Times in a unit as microseconds; what is finer is cut off."""
    per_second = UNITS[unit]
    if per_second > 10**6:
        return values // (per_second // 10**6)
    return values * (10**6 // per_second)


def _inside(values: pl.Series, unit: str) -> pl.Series:
    per_second = UNITS[unit]
    return values.is_between(
        EARLIEST_SECOND * per_second, LATEST_SECOND * per_second, closed="left"
    )


def unit_of(value: int) -> str | None:
    """The unit in which a whole number is a time from 2009 to 2100, or none."""
    for name, per_second in UNITS.items():
        if EARLIEST_SECOND * per_second <= value < LATEST_SECOND * per_second:
            return name
    return None


def decimal_times(parsed: Delimited, column: str) -> pl.Series:
    """Times written as decimal numbers of seconds or milliseconds, exactly, as microseconds.

    The decimal text itself is read, so that no binary fraction blurs it; what is finer than a
    microsecond is rounded half up, which also mends the noise of sources that went through one
    (1525721451.7629998 was 1525721451.763).

    Raises:
        SourceFormatError: A text is no such number, or not between 2009 and 2100.
    """
    first = parsed.frame[column].head(1).str.extract(r"^\s*([0-9]{1,18})").cast(pl.Int64)
    unit = unit_of(int(first[0] or 0))
    return by_slices(parsed, lambda rows: _decimal_times(rows, column, unit))


SLICE = 1 << 18


def by_slices(parsed: Delimited, made_of: Callable[[Delimited], pl.Series]) -> pl.Series:
    """A column that is made of the rows of parsed text, so many at once.

    The steps from a text to its value take several times the memory of the text.
    """
    found: list[pl.Series] = []
    for at in range(0, parsed.frame.height, SLICE):
        rows = parsed.frame.slice(at, SLICE)
        found.append(made_of(replace(parsed, frame=rows, line=parsed.line + at)))
    return pl.concat(found, rechunk=True)


def _decimal_times(parsed: Delimited, column: str, unit: str | None) -> pl.Series:
    text = parsed.frame[column].str.strip_chars()
    parsed.require(text.str.contains(r"^[0-9]{1,18}(\.[0-9]+)?$"), column, "a decimal number")
    halves = text.str.split_exact(".", 1).struct.rename_fields(["whole", "part"]).struct.unnest()
    whole: pl.Series = halves["whole"].cast(pl.Int64)
    if unit not in ("seconds", "milliseconds"):
        rule = "a time since 1970 in seconds or milliseconds, from 2009 to 2100"
        raise parsed.refuse(0, f"{column} should be {rule}, {found_words(text[0])}")
    parsed.require(_inside(whole, unit), column, f"in {unit}, {_SPAN}, like the first line's")
    digits, scale = (6, 1_000_000) if unit == "seconds" else (3, 1_000)
    part = halves["part"].fill_null("").str.pad_end(digits + 1, "0").str.slice(0, digits + 1)
    return whole * scale + (part.cast(pl.Int64) + 5) // 10


def trades_frame(parsed: Delimited, ts: pl.Series, **columns: pl.Expr | pl.Series) -> pl.DataFrame:
    """Rows of the table `raw_trades`, checked.

    Args:
        parsed: The text, with float64 columns `price` and `qty`.
        ts: Times, microseconds.
        **columns: `trade_id`, `buyer_maker`, `first_id`, `last_id`, `best_match`; absent ones are
            null, and one that the table doesn't have is left out.

    Raises:
        SourceFormatError: A price or quantity is not finite and above 0, or an id is negative.
    """
    require_positive(parsed)
    frame = parsed.frame.select("price", "qty", **columns).with_columns(ts=ts.cast(TIME))
    ids = [name for name in ("trade_id", "first_id", "last_id") if name in columns]
    for name in ids:
        replace(parsed, frame=frame).require(pl.col(name) >= 0, name, "0 or above")
    return _declared(frame, "raw_trades")


def trades_without_ids(
    parsed: Delimited, ts: pl.Series, order: pl.Series | None = None, **columns: pl.Expr | pl.Series
) -> Source:
    """Trades of a source whose ids don't count them, so that Vostok assigns ids.

    Those of one time are told apart by their place in the file alone. So the rows of a file that
    has several of one time and runs from the newest to the oldest are turned round.

    Args:
        parsed: As for `trades_frame`.
        ts: Times, microseconds.
        order: Numbers that tell which of the trades of one time came first, if the file has them.
        **columns: As for `trades_frame`, without ids.

    Raises:
        SourceFormatError: As for `trades_frame`.
    """
    frame = trades_frame(parsed, ts, **columns)
    steps = ts.diff().drop_nulls()
    warnings = ["the source has no trade ids: they are assigned by time and file order"]
    if order is not None:
        by = frame.select("ts", order=order)
        if not by.equals(by.sort("ts", "order", maintain_order=True)):
            frame = frame.with_columns(order=order).sort("ts", "order", maintain_order=True)
        warnings = ["the source's ids may have holes: ids are assigned, by time and in their order"]
    elif bool((steps <= 0).all() and (steps < 0).any() and (steps == 0).any()):
        frame = frame.reverse()
        warnings.append("the file runs from the newest to the oldest, and was read from its end")
    return Source(_declared(frame, "raw_trades"), tuple(warnings))


def require_positive(parsed: Delimited, *names: str) -> None:
    """Check prices and quantities, or other columns.

    Raises:
        SourceFormatError: One is not finite and above 0.
    """
    for name in names or ("price", "qty"):
        good = pl.col(name).is_finite() & (pl.col(name) > 0)
        parsed.require(good, name, "a finite number above 0")


def quantities_by_worth(parsed: Delimited, column: str) -> Delimited:
    """Rows whose quantity is what they are worth in quote, divided by the price.

    Raises:
        SourceFormatError: A price or worth is not finite and above 0.
    """
    require_positive(parsed, "price", column)
    worth = pl.col(column) / pl.col("price")
    return replace(parsed, frame=parsed.frame.with_columns(qty=worth))


def klines_frame(
    parsed: Delimited, opens: pl.Series, interval: str, **columns: pl.Expr | pl.Series
) -> pl.DataFrame:
    """Rows of the table `raw_klines`, checked.

    Args:
        parsed: The rows, with float64 columns `open`, `high`, `low`, `close`, `volume`.
        opens: Times at which the bars open, microseconds.
        interval: Their length.
        **columns: `quote_volume`, `trades`, `buy_volume`; absent ones are null.

    Raises:
        SourceFormatError: Prices contradict each other or are not above 0, a volume is negative, or
            a bar doesn't open on a multiple of the interval.
    """
    length = parse_interval(interval)
    prices = ("open", "high", "low", "close")
    require_positive(parsed, *prices)
    top, bottom = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    parsed.require(pl.col("high") >= top, "high", "at or above open and close")
    parsed.require(pl.col("low") <= bottom, "low", "at or below open and close")
    frame = parsed.frame.select(*prices, "volume", **columns)
    frame = frame.with_columns(ts=(opens + length).cast(TIME))
    checked = replace(parsed, frame=frame)
    for name in ("volume", *columns):
        fine = pl.col(name) >= 0
        if frame.schema[name] == pl.Float64:
            fine &= pl.col(name).is_finite()
        checked.require(fine, name, "a finite number, 0 or above")
    on_grid = opens % length == 0
    if not on_grid.all():
        row = (~on_grid).arg_max()
        assert row is not None
        raise parsed.refuse(row, f"a bar of {interval} can't open at {opens[row]} us since 1970")
    return _declared(frame, "raw_klines")


def _declared(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """The declared columns, in order; absent ones null, others left out."""
    return frame.select(
        pl.col(column).cast(dtype) if column in frame.columns else pl.lit(None, dtype).alias(column)
        for column, dtype in table(name).schema.items()
    )
