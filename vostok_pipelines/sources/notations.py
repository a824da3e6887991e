"""Times and sides in the many ways in which people write them."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from vostok_core.lake.tables import TIME
from vostok_pipelines.sources.common import Delimited
from vostok_pipelines.sources.frames import (
    UNITS,
    by_slices,
    decimal_times,
    times_in,
    unit_of,
    whole_times,
)

_SIDES = (("buy", "sell"), ("b", "s"), ("true", "false"))
_EXACT = 2**53


def times(parsed: Delimited) -> pl.Series:
    """The column `ts` as microseconds, whatever it is.

    Raises:
        SourceFormatError: It is no time, or one is not between 2009 and 2100.
    """
    values = parsed.frame["ts"]
    dtype = values.dtype
    if dtype == pl.String:
        return _text_times(parsed)
    if dtype == pl.Int64:
        return whole_times(parsed, "ts")
    if dtype == pl.Float64:
        return _fractional_times(parsed)
    if dtype == TIME:
        return times_in(_with(parsed, values.to_physical()), "ts", "microseconds")
    raise parsed.refuse(0, f"ts should be a time, and is {dtype}")


def _text_times(parsed: Delimited) -> pl.Series:
    text = parsed.frame["ts"]
    if text.str.contains(r"^\s*[0-9]+\s*$").all():
        whole = by_slices(parsed, _whole)
        return whole_times(_with(parsed, whole), "ts")
    if text.head(1).str.contains(r"^\s*[0-9]+(\.[0-9]+)?\s*$").fill_null(value=False).any():
        return decimal_times(parsed, "ts")
    dates = by_slices(parsed, _dates)
    return times_in(_with(parsed, dates), "ts", "microseconds")


def _whole(parsed: Delimited) -> pl.Series:
    whole = parsed.frame["ts"].str.strip_chars().cast(pl.Int64, strict=False)
    parsed.require(whole.is_not_null(), "ts", "a time since 1970")
    return whole


def _dates(parsed: Delimited) -> pl.Series:
    plain = parsed.frame["ts"].str.strip_chars().str.replace("T", " ", literal=True)
    plain = plain.str.replace(r"\s*(Z|UTC|\+00:?00)$", "")
    found = plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    rule = "a number since 1970 or a UTC time such as 2025-01-31T00:00:00Z"
    parsed.require(found.is_not_null(), "ts", rule)
    return found.to_physical()


def _fractional_times(parsed: Delimited) -> pl.Series:
    """Binary floating-point numbers of seconds or milliseconds, to the nearest microsecond."""
    values = parsed.frame["ts"]
    parsed.require(values.is_between(0, 2.0**62), "ts", "a time since 1970")
    if (values == values.floor()).all():
        return whole_times(_with(parsed, values.cast(pl.Int64)), "ts")
    unit = unit_of(int(values[0]))
    if unit not in ("seconds", "milliseconds"):
        rule = "a time since 1970 in seconds or milliseconds, from 2009 to 2100"
        raise parsed.refuse(0, f"ts should be {rule}, found {values[0]!r}")
    fine = (values * (10**6 // UNITS[unit])).round()
    parsed.require(fine < _EXACT, "ts", f"in {unit}, like the first line's")
    return times_in(_with(parsed, fine.cast(pl.Int64)), "ts", "microseconds")


def _with(parsed: Delimited, values: pl.Series) -> Delimited:
    return replace(parsed, frame=parsed.frame.with_columns(values.alias("ts")))


def buyer_maker(parsed: Delimited, sides: tuple[str, str] | None) -> pl.Series:
    """The column `side` as "the buyer was the maker".

    Args:
        parsed: The rows.
        sides: What stands for a taker who bought, and for one who sold. Otherwise it must be buy
            and sell, b and s, or true and false for "the buyer was the maker", in one notation.

    Raises:
        SourceFormatError: A side is neither.
    """
    values = parsed.frame["side"]
    if values.dtype == pl.Boolean and sides is None:
        return values
    if values.dtype not in (pl.String, pl.Boolean, pl.Int64):
        raise parsed.refuse(0, f"side should be text or true/false, and is {values.dtype}")
    if sides is not None:
        return by_slices(parsed, lambda rows: _as_declared(rows, sides))
    first = _plain(parsed.frame.head(1))[0]
    known = next((pair for pair in _SIDES if first in pair), ())
    rule = " or ".join(known) or "buy or sell, b or s, true or false, or as --sides says"
    return by_slices(parsed, lambda rows: _as_known(rows, known, rule))


def _plain(frame: pl.DataFrame) -> pl.Series:
    return frame["side"].cast(pl.String).str.strip_chars().str.to_lowercase()


def _as_declared(parsed: Delimited, sides: tuple[str, str]) -> pl.Series:
    text = _plain(parsed.frame)
    bought, sold = (side.strip().lower() for side in sides)
    parsed.require(text.is_in([bought, sold]), "side", f"{sides[0]} or {sides[1]}")
    return text == sold


def _as_known(parsed: Delimited, known: tuple[str, ...], rule: str) -> pl.Series:
    text = _plain(parsed.frame)
    parsed.require(text.is_in(list(known)), "side", rule)
    return text.is_in(["sell", "s", "true"])
