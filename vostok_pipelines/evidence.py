"""A week's backtest in the lake: logged and written whole, read back only if it is of one piece."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from vostok_core.backtest.metrics import statistics_frame
from vostok_core.backtest.path import backtest_hint, evidence_path, require_current_path
from vostok_core.backtest.simulator import SimulationResult
from vostok_core.errors import StalePartition
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.models.bundle_folder import read_manifest
from vostok_core.models.registry import bundle_path
from vostok_core.promotion.trials import TrialKey, log_trial
from vostok_core.strategy import Strategy
from vostok_core.times import week_of
from vostok_pipelines.training.currency import StrategyCurrency

BACKTEST_TABLES = (
    "backtest_trades",
    "backtest_equity",
    "backtest_daily",
    "backtest_halts",
    "backtest_statistics",
)
"""What a backtest writes, all of it under one code version and with the same inputs."""


def write_backtest(
    lake: Lake, strategy: Strategy, instrument: Instrument, week: date, configuration: str
) -> tuple[SimulationResult, pl.DataFrame, PartitionInfo]:
    """Run the path of the weeks before `week`, log it as a trial, then write its tables.

    Whoever can read the result finds it counted, whatever moment this is killed at.

    Returns:
        The result, its statistics, and what the footer of the trades says.

    Raises:
        MissingPartition, StalePartition: As in `evidence_path`.
        Conflict: Somebody else made it meanwhile, of something else.
    """
    place = {"strategy": strategy.name, "instrument": str(instrument.id)}
    seen = {name: lake.seen(name, **place, week=week) for name in BACKTEST_TABLES}
    result, inputs = evidence_path(lake, strategy, instrument, week, configuration)
    statistics = statistics_frame(result)
    frames = (result.trades, result.equity, result.daily, result.halts, statistics)
    log_trial(
        lake,
        **place,
        configuration=configuration,
        daily=result.daily,
        code_version=configuration,
        inputs=inputs,
    )
    infos = [
        lake.write(
            name,
            frame,
            code_version=configuration,
            inputs=inputs,
            over=seen[name],
            **place,
            week=week,
        )
        for name, frame in zip(BACKTEST_TABLES, frames, strict=True)
    ]
    return result, statistics, infos[0]


def read_backtest(
    lake: Lake, strategy: Strategy, instrument: Instrument, week: date, configuration: str
) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """The tables that a decision is made on, and their content hashes.

    Raises:
        MissingPartition: The week's backtest has not been made.
        StalePartition: It was made as another configuration, of other predictions, bars or ticks
            than are there now, not in one piece, or not to the end of the week before.
    """
    name, market = strategy.name, str(instrument.id)
    place = {"strategy": name, "instrument": market, "week": week}
    # Each footer with its own rows: a table that is swapped in between is told by its inputs.
    loaded = {table: lake.load(table, **place) for table in BACKTEST_TABLES}
    infos = {table: info for table, (info, _) in loaded.items()}
    frames = {table: frame for table, (_, frame) in loaded.items()}
    said = f"the backtest of {name} on {market}, week {week},"
    remedy = {"where": lake.root, "hint": backtest_hint(name, market, week)}
    other = [table for table, info in infos.items() if info.code_version != configuration]
    if other:
        raise StalePartition(
            f"{said} was made as another configuration than {configuration} ({other[0]} as "
            f"{infos[other[0]].code_version})",
            **remedy,
        )
    inputs = infos[BACKTEST_TABLES[0]].inputs
    if any(info.inputs != inputs for info in infos.values()):
        raise StalePartition(f"{said} holds tables of different runs", **remedy)
    require_current_path(lake, strategy, instrument, week, inputs)
    newest = max(frames["backtest_daily"]["date"].to_list(), default=None)
    if newest != week - timedelta(days=1):
        raise StalePartition(
            f"{said} ends with {newest} and not on the day before its Monday", **remedy
        )
    return frames, {table: info.content_hash for table, info in infos.items()}


def stale_decision(
    lake: Lake,
    strategy: Strategy,
    instrument: Instrument,
    week: date,
    currency: StrategyCurrency,
) -> str | None:
    """Why the newest decision on a week's model would be made on other evidence now, if it would.

    The predictions of the weeks before are taken as they are: whether they are current is asked of
    them first.

    Raises:
        MissingPartition: The week was not decided, or what it was decided on has gone.
        BundleError: The week's model is there and can't be trusted.
    """
    name, market = strategy.name, str(instrument.id)
    place = {"strategy": name, "instrument": market, "week": week}
    decided = lake.info("promotions", **place)
    if decided.code_version != currency.configuration:
        return f"it was made as configuration {decided.code_version}"
    infos = {table: lake.info(table, **place) for table in BACKTEST_TABLES}
    for table, info in infos.items():
        if decided.inputs.get(table) != info.content_hash:
            return f"{table} has changed since it was made"
    try:
        require_current_path(lake, strategy, instrument, week, infos[BACKTEST_TABLES[0]].inputs)
    except StalePartition as stale:
        return stale.what
    folder = bundle_path(lake, name, market, week)
    if not folder.is_dir():
        return None
    if found := currency.model(week):
        return f"the model's training would be another now: {found.why}"
    if read_manifest(folder)[1] != decided.inputs.get("bundle"):
        return "the model has been trained anew since it was made"
    return None


def require_logged(
    logged: Mapping[TrialKey, pl.DataFrame],
    strategy: Strategy,
    instrument: Instrument,
    week: date,
    configuration: str,
    daily: pl.DataFrame,
) -> None:
    """Check that a path which is to be judged was counted as a trial.

    Args:
        logged: Every trial of the instrument.
        strategy: The strategy.
        instrument: What was traded.
        week: Monday as of which the path was made.
        configuration: What it was made as.
        daily: Its days.

    Raises:
        StalePartition: The configuration is not among the trials, or with fewer days.
    """
    name, market = strategy.name, str(instrument.id)
    days = set(daily["date"].to_list())
    trial = logged.get((name, configuration))
    counted = set() if trial is None else set(trial["date"].to_list())
    if days <= counted:
        return
    # A trial that reaches further is only replaced by a path that reaches as far.
    last = max(counted, default=week) + timedelta(days=1)
    raise StalePartition(
        f"the backtest of {name} on {market}, week {week}, has {len(days)} days, and "
        f"{len(days & counted)} of them were logged as configuration {configuration}",
        where="the log of trials",
        hint=backtest_hint(name, market, max(week, week_of(last))),
    )
