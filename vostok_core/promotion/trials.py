"""The log of trials: daily out-of-sample returns of every configuration ever walked forward.

Whoever picks the best of many trials must count the many. So a configuration is logged whether or
not anyone liked its result, under the hash that names it, and no trial is ever taken out.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from vostok_core.lake.objects import UNWRITTEN
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake

TrialKey = tuple[str, str]


def log_trial(
    lake: Lake,
    strategy: str,
    instrument: str,
    configuration: str,
    daily: pl.DataFrame,
    *,
    code_version: str,
    inputs: Mapping[str, str] | None = None,
) -> PartitionInfo:
    """Log the daily returns of a configuration.

    Of a configuration, the path that reaches furthest is kept, the newer of two that reach as far.
    So walking an earlier week again does not shorten the record, not even at the same time, and
    days of two runs, which may have seen different data, are never mixed.

    Args:
        lake: The lake.
        strategy: Name of the strategy.
        instrument: Id of the instrument.
        configuration: Hash of the resolved strategy and of the code that it uses.
        daily: The whole path, by the table `trials`: date, net_return, benchmark_return, trades.
        code_version: Version of the code that made the returns.
        inputs: Hashes of what they were made from.

    Returns:
        What is logged now.

    Raises:
        SchemaViolation: The rows don't fit; nothing was written.
        Conflict: Somebody else logged it meanwhile; nothing was written.
    """
    place = {"strategy": strategy, "instrument": instrument, "configuration": configuration}
    daily = daily.sort("date")
    with lake.sole_writer(lake.folder("trials", **place)):
        seen = lake.seen("trials", **place)
        if seen != UNWRITTEN:
            logged = lake.read("trials", columns=["date"], **place)
            if logged.height and (
                not daily.height or daily["date"].to_list()[-1] < logged["date"].to_list()[-1]
            ):
                return lake.info("trials", **place)
        return lake.write(
            "trials", daily, code_version=code_version, inputs=inputs, over=seen, **place
        )


def trials(lake: Lake, instrument: str) -> dict[TrialKey, pl.DataFrame]:
    """Every trial logged for an instrument, of all strategies: (strategy, configuration) -> days.

    Raises:
        CorruptPartition: A trial doesn't read. It is not skipped: it would count as never tried.
    """
    logged: dict[TrialKey, pl.DataFrame] = {}
    for strategy in lake.keys("trials"):
        if instrument not in lake.keys("trials", strategy=strategy):
            continue
        place = {"strategy": strategy, "instrument": instrument}
        for configuration in lake.keys("trials", **place):
            if lake.exists("trials", **place, configuration=configuration):
                logged[strategy, configuration] = lake.read(
                    "trials", **place, configuration=configuration
                )
    return logged
