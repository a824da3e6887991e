"""The days of a path that are evidence: those of which enough was seen.

In an outage nothing is decided and prices stand still, so a day of it has a return of 0, or
whatever an open position made of the jump at its end. As a day of the record such a zero would
lengthen it and calm its deviation, though nobody could have traded on it.
"""

from __future__ import annotations

from typing import Any

import polars as pl

LEAST_OBSERVED = 0.5
"""Share of a day's bars that must have been valid for the day to be evidence."""

_RETURNS = ("net_return", "benchmark_return")


def observed_days(daily: pl.DataFrame) -> pl.DataFrame:
    """The days of a path that were observed, each with the returns since the one before.

    What equity gained or lost on days that are left out is not lost: it is compounded into the next
    day that stays, or into the last one where none follows.

    Args:
        daily: Rows of the table `trials`, sorted by date. A day of which it isn't known how much
            was observed is left out as well.

    Returns:
        The rows that stay, with `net_return` and `benchmark_return` as said; as they were where
        nothing is left out between them.
    """
    rows: list[dict[str, Any]] = []
    nothing: dict[str, float | None] = dict.fromkeys(_RETURNS, 0.0)
    carried = nothing
    for row in daily.iter_rows(named=True):
        together = {name: _compounded(carried[name], row[name]) for name in _RETURNS}
        if row["observed"] is not None and row["observed"] >= LEAST_OBSERVED:
            rows.append({**row, **together})
            carried = nothing
        else:
            carried = together
    if rows:
        rows[-1] |= {name: _compounded(rows[-1][name], carried[name]) for name in _RETURNS}
    return pl.DataFrame(rows, schema=daily.schema)


def _compounded(first: float | None, then: float | None) -> float | None:
    """The return over two periods; exactly that of one where the other's is 0."""
    if first is None or then is None:
        return None
    return first + then + first * then
