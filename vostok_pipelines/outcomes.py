"""How labels and predictions turned out, for the pictures on their assets. No model reads this."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.times import WEEK, day_start, weeks
from vostok_core.times import days as each_day

LABEL_DAYS = 28
"""Days of labels that a picture shows."""

PREDICTED_WEEKS = 12
"""Weeks of predictions that are held against their labels."""


def recent_labels(lake: Lake, strategy: str, instrument: str, last: date) -> pl.DataFrame:
    """The valid labels of the last days through `last`, as far as they have been made."""
    first = last - timedelta(days=LABEL_DAYS - 1)
    return _labels(lake, strategy, instrument, first, last)


def known_outcomes(lake: Lake, strategy: str, instrument: str, week: date) -> pl.DataFrame:
    """Out-of-sample probabilities of the last weeks through `week`, and what came of them.

    Args:
        lake: Holds the predictions, and the labels as far as they have been made.
        strategy: Name of the strategy.
        instrument: Name of the instrument.
        week: Monday of the last week.

    Returns:
        `ts`, `probability` and `label` (1 for a net profit, else 0) of the valid predictions whose
        label is valid and was known before the week's end.
    """
    first = week - timedelta(weeks=PREDICTED_WEEKS - 1)
    place = {"strategy": strategy, "instrument": instrument}
    there = [w for w in weeks(first, week) if lake.exists("predictions", **place, week=w)]
    predictions = pl.concat(lake.read("predictions", **place, week=w) for w in there)
    end = day_start(week) + WEEK
    # The bar that ends at midnight on Monday lies in the partition of Sunday.
    since, until = first - timedelta(days=1), week + timedelta(days=6)
    known = _labels(lake, strategy, instrument, since, until).filter(
        pl.col("label_end").to_physical() < end
    )
    return (
        predictions.filter("valid")
        .join(known.select("ts", "label"), on="ts", maintain_order="left")
        .select("ts", "probability", "label")
    )


def _labels(lake: Lake, strategy: str, instrument: str, first: date, last: date) -> pl.DataFrame:
    place = {"strategy": strategy, "instrument": instrument}
    there = [day for day in each_day(first, last) if lake.exists("labels", **place, date=day)]
    if not there:
        return table("labels").empty()
    return pl.concat(lake.read("labels", **place, date=day) for day in there).filter("valid")
