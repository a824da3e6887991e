"""The model of a week of the walk-forward, as it is known on its Monday.

`model[W]` sees decisions whose labels ended before Monday W 00:00 UTC less the deployment lag, and
of those only days whose whole label partition was knowable by then, so that a model trained on that
Monday and one backfilled years later are the same bytes. In the evidence it serves from Monday
00:00; a live trader has it once the Monday run has trained and promoted it, and uses the model in
service until then (docs/adr/0002-weeks.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from vostok_core.errors import TrainingError
from vostok_core.features.registry import pack
from vostok_core.labels.weights import average_uniqueness
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.instrument import Instrument
from vostok_core.models.bundle import Bundle, golden_rows
from vostok_core.models.bundle_folder import write_bundle
from vostok_core.models.calibration import fit_calibration
from vostok_core.models.fingerprint import fingerprint
from vostok_core.models.manifest import SCHEMA_VERSION, Manifest, TrainingSpan
from vostok_core.models.registry import bundle_path
from vostok_core.models.splits import (
    Window,
    assert_disjoint,
    assert_known,
    calibration_split,
    training_rows,
)
from vostok_core.settings import Settings
from vostok_core.strategy import Strategy
from vostok_core.times import utc
from vostok_pipelines.training import lightgbm
from vostok_pipelines.training.configuration import configuration_hash, model_features
from vostok_pipelines.training.currency import StrategyCurrency
from vostok_pipelines.training.inputs import strategy_features, training_hashes


def break_even(net_returns: np.ndarray, margin_bps: float) -> tuple[float, float, float]:
    """The probability above which a trade is worth taking.

    With mean win w and mean loss l, a trade that wins with probability p returns p·w - (1 - p)·l on
    average; that reaches the margin m at p = (l + m) / (w + l).

    Returns:
        (threshold, mean win, mean loss as a positive number). A threshold above 1 means no trade.

    Raises:
        TrainingError: No label won, or none lost.
    """
    wins, losses = net_returns[net_returns > 0.0], net_returns[net_returns <= 0.0]
    if not len(wins) or not len(losses):
        raise TrainingError(
            f"{len(wins)} of {len(net_returns)} labels have a net profit, and a model needs both",
            hint="widen the barriers, lower the costs, or train on more weeks",
        )
    win, loss = _mean(wins), -_mean(losses)
    return (loss + margin_bps / 1e4) / (win + loss), win, loss


def train_week(
    lake: Lake,
    settings: Settings,
    strategy: Strategy,
    instrument: Instrument,
    week: date,
    currency: StrategyCurrency | None = None,
) -> Bundle:
    """Fit, calibrate and write the bundle of a week.

    Args:
        lake: Holds the labels and features of the training window.
        settings: Those of the project, for the name of the configuration.
        strategy: The strategy.
        instrument: What it trades.
        week: Its Monday.
        currency: Looks at what is there; who trains many weeks gives one for all of them.

    Returns:
        The bundle, as written to `bundle_path`. The same inputs give the same bytes.

    Raises:
        TrainingError: Too few labels, or labels of one kind only.
        MissingPartition: Labels or features that could be there have not been materialized.
        StalePartition: Labels, features or bars that would be made otherwise now.
    """
    rule, name = strategy.file.model, str(instrument.id)
    window = Window.of(week, strategy.deployment_lag_us, rule.train_weeks)
    currency = currency or StrategyCurrency(lake, settings, strategy, instrument)
    # Its footers are read before rows: what is swapped in between is told later by its hash.
    lake = currency.lake
    used, empty = currency.require_labels(week)
    if not used:
        raise TrainingError(
            f"{name} has no bars before {utc(window.cutoff):%Y-%m-%d %H:%M}",
            hint="materialize bars, features and labels of earlier days, or begin the walk later",
        )
    data = _assemble(lake, strategy, name, week, used)
    n = len(data.labels)
    if n < rule.min_labels:
        raise TrainingError(
            f"{strategy.name} on {name} has {n} usable labels before week {week}, and "
            f"model.min_labels is {rule.min_labels}; {data.explanation}",
            where=f"{utc(window.start):%Y-%m-%d} to {utc(window.cutoff):%Y-%m-%d %H:%M}",
            hint=data.hint,
        )
    threshold, mean_win, mean_loss = break_even(data.net, strategy.file.decision.margin_bps)
    older, newest = calibration_split(data.starts, data.ends, rule.calibration_share)
    assert_known(data.starts, data.ends, window)
    assert_disjoint(data.starts[older], data.ends[older], data.starts[newest], data.ends[newest])
    for piece, part in (("fit", older), ("calibration", newest)):
        if not 0 < int(data.labels[part].sum()) < len(part):
            raise TrainingError(
                f"the {piece} slice of {strategy.name} on {name}, week {week}, has "
                f"{len(part)} labels, {int(data.labels[part].sum())} of them with a net profit",
                hint="a walk can't step over a week: train on more weeks, or change barriers, "
                "costs or calibration_share",
            )
    trees = lightgbm.fit(
        data.rows[older],
        data.labels[older],
        average_uniqueness(data.starts[older], data.ends[older]),
        parameters=rule.parameters,
        seed=rule.seed,
    )
    calibration = fit_calibration(
        rule.calibration, trees.score(data.rows[newest]), data.labels[newest]
    )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        strategy=strategy.name,
        configuration=configuration_hash(strategy, instrument, settings),
        settings=strategy.resolved(),
        instrument=name,
        week=str(week),
        interval=strategy.file.interval,
        training=TrainingSpan(
            start=window.start,
            cutoff=window.cutoff,
            first_ts=int(data.starts[0]),
            last_label_end=int(data.ends.max()),
            labels=n,
            fitted=len(older),
            purged=n - len(older) - len(newest),
            calibrated=len(newest),
            days_without_data=tuple(str(d) for d in empty),
        ),
        family=rule.family,
        features=model_features(strategy),
        packs={p: pack(p).hash for p in strategy.file.features.packs},
        calibration=rule.calibration,
        threshold=threshold,
        mean_win=mean_win,
        mean_loss=mean_loss,
        inputs=data.inputs,
        platform=fingerprint(),
        versions=_library_versions(),
    )
    bundle = Bundle.assemble(manifest, trees, calibration, golden_rows(data.rows[older], trees))
    write_bundle(bundle_path(lake, strategy.name, name, week), bundle)
    return bundle


@dataclass(frozen=True)
class _Data:
    """The usable labels of a window with their features, in time order."""

    starts: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    net: np.ndarray
    rows: np.ndarray
    inputs: Mapping[str, str]
    explanation: str
    hint: str


def _assemble(
    lake: Lake, strategy: Strategy, instrument: str, week: date, days: list[date]
) -> _Data:
    keys = {"strategy": strategy.name, "instrument": instrument}
    parts = [rows for _, rows in lake.load_days("labels", days, **keys)]
    labels = pl.concat(parts) if parts else table("labels").empty()
    labels = training_rows(
        labels, week, strategy.deployment_lag_us, strategy.file.model.train_weeks
    ).sort("ts")
    names = model_features(strategy)
    if labels.height:
        features = strategy_features(lake, strategy, instrument, days).rename(
            {"valid": "bar_valid"}
        )
        rows = labels.join(features, on="ts", how="left", maintain_order="left")
        matrix = np.column_stack([rows[name].fill_null(np.nan).to_numpy() for name in names])
        known = np.isfinite(matrix)
        steady = (rows["valid"] & rows["bar_valid"].fill_null(value=False)).to_numpy()
    else:
        matrix, known = np.empty((0, len(names))), np.empty((0, len(names)), dtype=bool)
        steady = np.empty(0, dtype=bool)
    usable = steady & known.all(axis=1)
    kept = labels.filter(pl.Series(usable, dtype=pl.Boolean))
    lacking = [name for name, ok in zip(names, known.any(axis=0), strict=True) if not ok]
    if labels.height and lacking:
        hint = f"{', '.join(lacking)} never have a value here: exclude them in features.exclude"
    else:
        hint = "a walk can't step over a week: train on more weeks or with a smaller "
        hint += "model.min_labels, or begin the walk later"
    disturbed = int((~steady).sum())
    return _Data(
        starts=kept["ts"].to_physical().to_numpy(),
        ends=kept["label_end"].to_physical().to_numpy(),
        labels=kept["label"].to_numpy().astype(np.float64),
        net=kept["net_return"].to_numpy(),
        rows=np.ascontiguousarray(matrix[usable], dtype=np.float64),
        inputs=training_hashes(lake, strategy, instrument, days),
        explanation=f"of {labels.height} in the window, {disturbed} lie in or too soon after a gap "
        f"or silence and {labels.height - kept.height - disturbed} lack a feature",
        hint=hint,
    )


def _library_versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("lightgbm", "numba", "numpy", "polars")}


def _mean(values: np.ndarray) -> float:
    """Sum in order, divided by the count: the same bits whatever the processor's vector width."""
    total = 0.0
    for value in values.tolist():
        total += value
    return total / len(values)
