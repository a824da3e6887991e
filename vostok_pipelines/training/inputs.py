"""A strategy's features as its models see them, and what they were read from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import polars as pl

from vostok_core.features.reading import memory, read_features, settled
from vostok_core.hashing import hash_value
from vostok_core.labels.events import event_days, volatility_pack
from vostok_core.lake.store import Lake
from vostok_core.strategy import Strategy
from vostok_core.times import DAY
from vostok_pipelines.training.configuration import model_features


def strategy_features(
    lake: Lake, strategy: Strategy, instrument: str, days: Iterable[date]
) -> pl.DataFrame:
    """`ts`, `valid` and the model's columns; a bar is valid once its features have left behind
    every bar that isn't: they warm up anew after a gap or silence, as after the start of history.
    """
    choice = strategy.file.features
    wanted = sorted(days)
    keys = {"instrument": instrument, "interval": strategy.file.interval}
    frame = read_features(lake, choice.packs, choice.exclude, days=wanted, **keys)
    before = lead_days(lake, strategy, instrument, wanted)
    lead = [bars for _, bars in lake.load_days("bars", before, columns=("ts", "valid"), **keys)]
    seen = pl.concat([*lead, frame.select("ts", "valid")]).sort("ts")
    steady = settled(
        frame["ts"].to_physical().to_numpy(),
        seen.filter(~pl.col("valid"))["ts"].to_physical().to_numpy(),
        memory(choice.packs, choice.exclude) * strategy.interval_us,
    )
    return frame.select(
        "ts", pl.Series("valid", steady, dtype=pl.Boolean), *model_features(strategy)
    )


def lead_days(lake: Lake, strategy: Strategy, instrument: str, days: Sequence[date]) -> list[date]:
    """The days before the given ones that their features look back on, as far as there are bars."""
    if not days:
        return []
    first = min(days)
    choice = strategy.file.features
    reach = -(-memory(choice.packs, choice.exclude) * strategy.interval_us // DAY)
    keys = {"instrument": instrument, "interval": strategy.file.interval}
    before = (first - timedelta(days=back) for back in range(reach, 0, -1))
    return [d for d in before if lake.exists("bars", **keys, date=d)]


def training_hashes(
    lake: Lake, strategy: Strategy, instrument: str, days: Sequence[date]
) -> dict[str, str]:
    """Hashes of all that a model of the labels of some days is made from."""
    keys = {"strategy": strategy.name, "instrument": instrument}
    return {
        "labels": hash_value([lake.info("labels", **keys, date=d).content_hash for d in days]),
        **_feature_hashes(lake, strategy, instrument, days),
    }


def prediction_hashes(
    lake: Lake, strategy: Strategy, instrument: str, days: Sequence[date]
) -> dict[str, str]:
    """Hashes of all that predictions of some days are made from, but for the model."""
    keys = {"instrument": instrument, "interval": strategy.file.interval}
    source = volatility_pack(strategy)
    walked = sorted({d for day in days for d in event_days(lake, strategy, instrument, day)})
    events = [
        [
            lake.info("bars", **keys, date=d).content_hash,
            lake.info("features", pack=source, **keys, date=d).content_hash,
        ]
        for d in walked
    ]
    return {
        **_feature_hashes(lake, strategy, instrument, days),
        "events": hash_value(events),
    }


def _feature_hashes(
    lake: Lake, strategy: Strategy, instrument: str, days: Sequence[date]
) -> dict[str, str]:
    keys = {"instrument": instrument, "interval": strategy.file.interval}
    lead = lead_days(lake, strategy, instrument, days)
    return {
        f"features/{name}": hash_value(
            [lake.info("features", pack=name, **keys, date=d).content_hash for d in days]
        )
        for name in strategy.file.features.packs
    } | {"bars before": hash_value([lake.info("bars", **keys, date=d).content_hash for d in lead])}
