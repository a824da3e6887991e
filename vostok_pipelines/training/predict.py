"""What the model of week W says of events in [W, W + 7 days): predictions out of sample."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from vostok_core.errors import BundleError
from vostok_core.labels.barriers import horizon_sigma
from vostok_core.labels.events import event_flags
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.instrument import Instrument
from vostok_core.models.bundle_folder import load_bundle
from vostok_core.models.registry import bundle_path
from vostok_core.settings import Settings
from vostok_core.strategy import Strategy
from vostok_core.times import DAY, day_start
from vostok_pipelines.training.configuration import configuration_hash
from vostok_pipelines.training.currency import StrategyCurrency
from vostok_pipelines.training.inputs import prediction_hashes, strategy_features
from vostok_pipelines.training.window import week_days


def predict_week(
    lake: Lake,
    settings: Settings,
    strategy: Strategy,
    instrument: Instrument,
    week: date,
    currency: StrategyCurrency | None = None,
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Score the events of a week with that week's bundle.

    Args:
        lake: Holds the week's bundle, bars and features.
        settings: Those of the project.
        strategy: The strategy.
        instrument: What it trades.
        week: The Monday.
        currency: Looks at what is there; who predicts many weeks gives one for all of them.

    Returns:
        Rows of the table `predictions`, and the hashes of what they were made from. A row with a
        feature that has no value is there with `valid` false.

    Raises:
        BundleError: The week's bundle is absent, can't be trusted, or is of another configuration.
        NotYetKnowable: The week is not over in the lake.
        MissingPartition: Features of the week have not been materialized.
        StalePartition: They would be made otherwise now.
    """
    name = str(instrument.id)
    currency = currency or StrategyCurrency(lake, settings, strategy, instrument)
    # Its footers are read before rows: what is swapped in between is told later by its hash.
    lake = currency.lake
    folder = bundle_path(lake, strategy.name, name, week)
    bundle = load_bundle(folder)
    expected = configuration_hash(strategy, instrument, settings)
    if bundle.manifest.configuration != expected:
        raise BundleError(
            f"the model of week {week} was trained as configuration "
            f"{bundle.manifest.configuration}, and {strategy.name} is now {expected}",
            where=folder,
            hint=f"run `vostok walk-forward {strategy.name} --instrument {name} --from {week} "
            f"--to {week}` again",
        )
    days = week_days(lake, strategy, name, week)
    currency.require_features(days)
    start = day_start(week)
    flags = event_flags(lake, strategy, name, days).filter(
        "event",
        pl.col("ts").to_physical() >= start,
        pl.col("ts").to_physical() < start + 7 * DAY,
    )
    features = strategy_features(lake, strategy, name, days)
    rows = flags.drop("valid").join(features, on="ts", how="left", maintain_order="left")
    matrix = bundle.select(rows.with_columns(pl.col(bundle.manifest.features).fill_null(np.nan)))
    scores, probabilities = bundle.predict(matrix)
    frame = rows.select(
        "ts",
        score=pl.Series(scores, dtype=pl.Float64),
        probability=pl.Series(probabilities, dtype=pl.Float64),
        threshold=pl.lit(bundle.manifest.threshold),
        sigma=pl.Series(
            [horizon_sigma(s, strategy.horizon_bars) for s in rows["sigma_bar"]], dtype=pl.Float64
        ),
        reference="close",
        valid=pl.col("valid").fill_null(value=False)
        & pl.Series(np.isfinite(matrix).all(axis=1), dtype=pl.Boolean),
        model=pl.lit(bundle.sha256),
    ).select(*table("predictions").schema)
    inputs = prediction_hashes(lake, strategy, name, days)
    return frame, {"model": bundle.sha256, **inputs}
