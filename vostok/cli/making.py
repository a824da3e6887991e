"""What `ingest` and `fetch` do with days that have come: everything that is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vostok_core.market.instrument import Instrument
    from vostok_pipelines.launch import Launcher

_DAYS_A_RUN = 100
"""A longer range is made by quarters, so that one sees how far it is; a run costs half a second."""


def materialize_landed(
    launcher: Launcher,
    instrument: Instrument,
    landed: Iterable[date],
    say: Callable[[str], None] = typer.echo,
) -> list[tuple[date, date, str]]:
    """Make all that is made of days of an instrument, and of the days after that remember them.

    Args:
        launcher: Launches the runs.
        instrument: Whose days.
        landed: The days that have come; those that are no partitions are left out, with a warning.
        say: Is told of each run once it is over.

    Returns:
        The first and last day of each run, and its id.
    """
    from vostok_core.times import spans
    from vostok_pipelines.affected import affected_days
    from vostok_pipelines.jobs import day_assets

    project, name, landed = launcher.project, str(instrument.id), sorted(set(landed))
    assets = day_assets(project, name)
    there = [day for day in landed if launcher.has_day(day)]
    if len(there) < len(landed):
        away = sorted(set(landed) - set(there))
        typer.echo(
            f"Warning: landed, and not materialized: {spoken_days(away)}. Hint: "
            f"{launcher.calendar}; change it, or ingest again once the day is over",
            err=True,
        )
    made = []
    for span in spans(affected_days(project, name, there)):
        for first, last in pieces(*span):
            if "sentiment" in assets:
                launcher.materialize_dates(["news", "sentiment_scores"], first, last)
            result = launcher.materialize_days(assets, name, first, last)
            say(f"materialized {first} to {last}: run {result.run_id}")
            made.append((first, last, result.run_id))
    return made


def pieces(first: date, last: date) -> list[tuple[date, date]]:
    """A range of days; where it is long, its quarters."""
    from itertools import groupby

    from vostok_core.times import days

    if (last - first).days < _DAYS_A_RUN:
        return [(first, last)]
    quarters = groupby(days(first, last), key=lambda day: (day.year, (day.month - 1) // 3))
    return [(found[0], found[-1]) for found in (list(each) for _, each in quarters)]


def spoken_days(days: Iterable[date]) -> str:
    """`31 days, 2025-01-01 to 2025-01-31`."""
    ordered = sorted(days)
    if not ordered:
        return "no rows"
    count = f"{len(ordered)} day{'s' if len(ordered) > 1 else ''}"
    return f"{count}, {ordered[0]} to {ordered[-1]}"
