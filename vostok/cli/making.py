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

    project, name = launcher.project, str(instrument.id)
    assets = day_assets(project, name)
    there = _of_calendar(launcher, landed)
    made = []
    for span in spans(affected_days(project, name, there)):
        for first, last in pieces(*span):
            if "sentiment" in assets:
                launcher.materialize_dates(["news", "sentiment_scores"], first, last)
            result = launcher.materialize_days(assets, name, first, last)
            say(f"materialized {first} to {last}: run {result.run_id}")
            made.append((first, last, result.run_id))
    return made


def compare_landed(launcher: Launcher, instrument: Instrument, landed: Iterable[date]) -> None:
    """Merge klines that landed beside trades, hold the bars of their days against them, and say
    how they agree.

    Args:
        launcher: Launches the runs.
        instrument: Whose days.
        landed: The days whose klines have come. Where there are no bars yet, these will be held
            against the klines when they are built.

    Raises:
        UnfitDay: They differ in so much that the day must not be trained on.
    """
    from vostok_core.market.second_view import agreement_of
    from vostok_core.times import spans

    name, lake = str(instrument.id), launcher.project.open_lake()
    keys = {"instrument": name, "interval": "1m"}
    there = _of_calendar(launcher, landed)
    made = [day for day in there if lake.exists("bars", **keys, date=day)]
    for first, last in spans(set(there) - set(made)):
        launcher.materialize_days(["klines"], name, first, last)
    for first, last in spans(made):
        result = launcher.materialize_days(["klines", "bars"], name, first, last)
        typer.echo(f"compared {first} to {last}: run {result.run_id}")
    for day in made:
        found = agreement_of(lake, instrument, day, lake.read("bars", **keys, date=day))
        assert found is not None, "klines of the day have just been merged"
        if worst := next(found.unexplained.iter_rows(named=True), None):
            typer.echo(
                f"Warning: {found.unexplained.height} of {found.minutes} minutes of {day} differ "
                f"from these klines, worst the bar of {worst['ts']:%H:%M} in {worst['differs']}: "
                f"{worst['ours']} against {worst['theirs']}",
                err=True,
            )
        else:
            typer.echo(f"{day}: the bars of {found.minutes} minutes are those klines")


def _of_calendar(launcher: Launcher, landed: Iterable[date]) -> list[date]:
    """Those of some days that are partitions, in order; of others it is said that they aren't."""
    landed = sorted(set(landed))
    there = [day for day in landed if launcher.has_day(day)]
    if len(there) < len(landed):
        away = sorted(set(landed) - set(there))
        typer.echo(
            f"Warning: landed, and not materialized: {spoken_days(away)}. Hint: "
            f"{launcher.calendar}; change it, or ingest again once the day is over",
            err=True,
        )
    return there


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
