"""Walking a strategy forward: the Dagster runs that it takes, in order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from vostok_core.errors import MissingPartition
from vostok_core.market.instrument import Instrument
from vostok_core.strategy import Strategy
from vostok_core.times import spans
from vostok_pipelines.training.window import window_days

if TYPE_CHECKING:
    from vostok_pipelines.launch import Launcher, RunResult

_WEEK = timedelta(weeks=1)


def walk_forward(
    launcher: Launcher,
    strategy: Strategy,
    instrument: Instrument,
    first: date,
    last: date,
    say: Callable[[str, RunResult], None] = lambda _stage, _run: None,
    begin: Callable[[str], None] = lambda _stage: None,
) -> date:
    """Train, predict, trade and judge a strategy over the weeks `first` through `last`.

    Args:
        launcher: Launches the runs.
        strategy: The strategy.
        instrument: What it trades; its features must be in the lake.
        first: Monday of the first week to predict.
        last: Monday of the last.
        say: Told the name of each stage and its run.
        begin: Told the name of each stage before it.

    Returns:
        The Monday after `last`, which the gate's decision is kept under: its model, with the weeks
        before it as evidence.

    Raises:
        MissingPartition: There are no bars to label.
        VostokError: What a stage raised.
    """
    name, market = strategy.name, str(instrument.id)
    lake = launcher.project.open_lake()
    decided = last + _WEEK
    written = lake.days("bars", instrument=market, interval=strategy.file.interval)
    wanted, _ = window_days(written, strategy, first, decided)
    if not wanted:
        raise MissingPartition(
            f"there are no bars of {market} to train on before {first}",
            where=lake.root,
            hint=f"ingest the {strategy.file.model.train_weeks} weeks before it, or start later",
        )
    begin("labels")
    for since, until in spans(wanted):
        say("labels", launcher.materialize_days([f"{name}/labels"], market, since, until))
    for stage, assets, since, until in (
        ("models", ["model"], first, decided),
        ("predictions", ["predictions"], first, last),
        ("backtest and gate", ["backtest", "promotion"], decided, decided),
    ):
        begin(stage)
        full = [f"{name}/{asset}" for asset in assets]
        say(stage, launcher.materialize_weeks(full, market, since, until))
    return decided
