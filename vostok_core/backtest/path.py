"""The evidence of a configuration: its out-of-sample path, read from the lake and simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import polars as pl

from vostok_core.backtest.simulator import SimulationResult, simulate
from vostok_core.backtest.venue import Costs
from vostok_core.errors import MissingPartition, StalePartition
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.store import Lake
from vostok_core.market.currency import require_current_bars
from vostok_core.market.days import rules_of
from vostok_core.market.instrument import Instrument
from vostok_core.market.paths import PricePath, bar_path, tick_path
from vostok_core.strategy import Strategy
from vostok_core.times import days as each_day
from vostok_core.times import weeks
from vostok_core.trading.config import EngineConfig

INITIAL_CASH = 100_000.0
"""What a path starts with, in quote. Nothing is fed back into prices, so returns hardly depend on
it: it is only large enough that filters and rounding don't matter."""

_DAY = timedelta(days=1)
_PREDICTIONS = "predictions/"


def evidence_path(
    lake: Lake,
    strategy: Strategy,
    instrument: Instrument,
    week: date,
    configuration: str,
) -> tuple[SimulationResult, dict[str, str]]:
    """Simulate all out-of-sample predictions of the weeks before `week` as one path.

    The path runs from the Monday of the first week with predictions to Monday `week` 00:00. It is
    walked on ticks, one day in memory at a time; on bars where the instrument has no ticks.

    Args:
        lake: The lake.
        strategy: The strategy whose predictions are read.
        instrument: What was traded.
        week: Monday as of which evidence is gathered.
        configuration: What every prediction must have been made as.

    Returns:
        The result, and content hashes of every partition that it was computed from, by
        `table/partition`.

    Raises:
        MissingPartition: There are no predictions before `week`, a week between the first and
            `week` has none, or bars or ticks of a day are absent.
        StalePartition: Predictions of a week were made as another configuration, or bars are not
            what would be built of their ticks now.
    """
    name = str(instrument.id)
    # Footers are read before rows: what is swapped in between is told later by its hash.
    lake = RememberingLake.of(lake)
    used = prediction_weeks(lake, strategy.name, name, week)
    inputs = _prediction_hashes(lake, strategy.name, name, used, configuration)
    decisions = pl.concat(
        lake.read("predictions", strategy=strategy.name, instrument=name, week=w) for w in used
    )
    span = list(each_day(used[0], week - _DAY))
    interval = strategy.file.interval
    require_current_bars(lake, name, interval, span, rules_of(instrument))
    inputs |= _market_hashes(lake, strategy, instrument, span)
    bars = pl.concat(
        lake.read(
            "bars",
            columns=("ts", "open", "high", "low", "close", "volume", "valid"),
            instrument=name,
            interval=interval,
            date=day,
        )
        for day in span
    )
    result = simulate(
        EngineConfig.from_strategy(strategy),
        instrument,
        decisions,
        bars,
        bar_path(bars, strategy.interval_us)
        if instrument.tick == "none"
        else _tick_paths(lake, name, span),
        Costs.of(strategy),
        INITIAL_CASH,
        interval_us=strategy.interval_us,
    )
    return result, inputs


def prediction_weeks(lake: Lake, strategy: str, instrument: str, before: date) -> list[date]:
    """The unbroken weeks with predictions before a Monday, first to last.

    Raises:
        MissingPartition: There are none, or a week between the first and `before` has none.
    """
    keys = {"strategy": strategy, "instrument": instrument}
    written = [
        day
        for day in map(date.fromisoformat, lake.keys("predictions", **keys))
        if day < before and lake.exists("predictions", **keys, week=day)
    ]
    if not written:
        raise MissingPartition(
            f"there are no predictions of {strategy} on {instrument} before {before}",
            where=lake.root,
            hint=f"run `vostok walk-forward {strategy} --instrument {instrument} --from WEEK "
            f"--to {before - timedelta(weeks=1)}` first, from the first week to be predicted on",
        )
    wanted = list(weeks(written[0], before - _DAY))
    missing = sorted(set(wanted) - set(written))
    if missing:
        raise MissingPartition(
            f"the predictions of {strategy} on {instrument} have a hole: "
            f"{', '.join(map(str, missing[:5]))}",
            where=lake.root,
            hint=f"run `vostok walk-forward {strategy} --instrument {instrument} "
            f"--from {missing[0]} --to {missing[-1]}` first",
        )
    return wanted


def require_current_path(
    lake: Lake,
    strategy: Strategy,
    instrument: Instrument,
    week: date,
    inputs: Mapping[str, str],
) -> None:
    """Check that a path would be made of the same partitions now.

    Args:
        lake: The lake.
        strategy: The strategy.
        instrument: What was traded.
        week: Monday as of which the path was made.
        inputs: What `evidence_path` said it was made from.

    Raises:
        MissingPartition: As in `prediction_weeks`; or bars or ticks of a day are gone.
        StalePartition: Predictions, bars or ticks were made anew, or of further weeks, since.
    """
    name = str(instrument.id)
    used = prediction_weeks(lake, strategy.name, name, week)
    keys = {"strategy": strategy.name, "instrument": name}
    now = {_key(w): lake.info("predictions", **keys, week=w).content_hash for w in used}
    now |= _market_hashes(lake, strategy, instrument, list(each_day(used[0], week - _DAY)))
    if now != inputs:
        changed = min(key for key in {**now, **inputs} if now.get(key) != inputs.get(key))
        raise StalePartition(
            f"the backtest of {strategy.name} on {name}, week {week}, was made before {changed} "
            "was written as it is now",
            where=lake.root,
            hint=backtest_hint(strategy.name, name, week),
        )


def backtest_hint(strategy: str, instrument: str, week: date) -> str:
    """How to make the backtest of a week again."""
    return (
        f"run `vostok materialize {strategy}/backtest --instrument {instrument} "
        f"--from {week} --to {week}`"
    )


def _key(week: date) -> str:
    return f"{_PREDICTIONS}{week}"


def _prediction_hashes(
    lake: Lake, strategy: str, instrument: str, used: list[date], configuration: str
) -> dict[str, str]:
    """Content hashes by week; the weeks must be of the given configuration."""
    infos = {
        week: lake.info("predictions", strategy=strategy, instrument=instrument, week=week)
        for week in used
    }
    stale = [week for week, info in infos.items() if info.code_version != configuration]
    if stale:
        raise StalePartition(
            f"predictions of {strategy} on {instrument} were made as another configuration than "
            f"{configuration} in {len(stale)} weeks, first in {stale[0]}",
            where=lake.root,
            hint=f"run `vostok walk-forward {strategy} --instrument {instrument} "
            f"--from {stale[0]} --to {stale[-1]}` again",
        )
    return {_key(week): info.content_hash for week, info in infos.items()}


def _market_hashes(
    lake: Lake, strategy: Strategy, instrument: Instrument, span: list[date]
) -> dict[str, str]:
    """Content hashes of the bars and ticks of every day."""
    lake = RememberingLake.of(lake)
    keys = {"instrument": str(instrument.id)}
    tables: dict[str, dict[str, str]] = {"bars": {**keys, "interval": strategy.file.interval}}
    if instrument.tick != "none":
        tables["ticks"] = keys
    return {
        f"{name}/{day}": lake.info(name, **place, date=day).content_hash
        for name, place in tables.items()
        for day in span
    }


def _tick_paths(lake: Lake, instrument: str, span: list[date]) -> Iterator[PricePath]:
    for day in span:
        yield tick_path(
            lake.read(
                "ticks",
                columns=("ts", "price", "buyer_maker"),
                instrument=instrument,
                date=day,
            )
        )
