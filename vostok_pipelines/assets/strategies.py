"""Each strategy's labels, weekly models, predictions, backtest and promotion.

Weeks are UTC and named by their Monday W. `model[W]` is trained on what was known before it and
used in it, from Monday 00:00 on; `predictions[W]` is written when it has ended; `backtest[W]` and
`promotion[W]` look at the weeks before it, and decide whether `model[W]` enters service. That
comes some hours into the week: until then a live trader uses the model before it
(docs/adr/0002-weeks.md).
"""

from datetime import date
from typing import Any

import dagster as dg

from vostok_core.backtest.path import prediction_weeks
from vostok_core.hashing import hash_value
from vostok_core.labels.days import label_days
from vostok_core.labels.version import label_version
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.project import Project
from vostok_core.strategy import Strategy
from vostok_pipelines import plots
from vostok_pipelines.evidence import write_backtest
from vostok_pipelines.metadata import (
    partition_metadata,
    plot,
    shown_place,
    spec_metadata,
    table_markdown,
)
from vostok_pipelines.outcomes import known_outcomes, recent_labels
from vostok_pipelines.partitions import (
    Partitions,
    date_key,
    days_by_instrument,
    week_key,
    weeks_by_instrument,
)
from vostok_pipelines.promotion import decide
from vostok_pipelines.resources import LakeResource
from vostok_pipelines.training.configuration import configuration_hash
from vostok_pipelines.training.currency import StrategyCurrency
from vostok_pipelines.training.predict import predict_week
from vostok_pipelines.training.train import train_week

OWNERS = ["team:research"]
SINGLE_RUN = dg.BackfillPolicy.single_run()


def strategy_assets(project: Project, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The five assets of every strategy, a group a strategy."""
    return [
        asset
        for strategy in project.strategies.values()
        for asset in _assets_of(project, strategy, partitions)
    ]


def _assets_of(
    project: Project, strategy: Strategy, partitions: Partitions
) -> list[dg.AssetsDefinition]:
    name = strategy.name
    settings = project.settings
    universe = settings.universe
    traded = [settings.instrument(i) for i in strategy.file.instruments]
    # An asset has one code version; its partitions carry that of their own instrument.
    version = hash_value({str(i.id): configuration_hash(strategy, i, settings) for i in traded})
    version_of_labels = hash_value({str(i.id): label_version(strategy, i) for i in traded})
    feature_deps = [dg.AssetKey(["features", pack]) for pack in strategy.file.features.packs]

    def key(asset: str) -> dg.AssetKey:
        return dg.AssetKey([name, asset])

    @dg.asset(
        key=key("labels"),
        deps=[*feature_deps, "bars", "ticks"],
        group_name=name,
        owners=OWNERS,
        kinds={"numba", "parquet"},
        partitions_def=partitions.date_instrument,
        backfill_policy=SINGLE_RUN,
        description=table("labels").description
        + f" A day is written once the {strategy.file.labels.horizon} after its end are in the "
        "lake.",
        metadata=spec_metadata(table("labels")),
        code_version=version_of_labels[:16],
    )
    def labels(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        for instrument, days in days_by_instrument(context.partition_keys):
            place = {"strategy": name, "instrument": instrument}
            seen = store.seen_by_date("labels", **place)
            for day, frame, inputs in label_days(store, strategy, universe[instrument], days):
                info = store.write(
                    "labels",
                    frame,
                    code_version=label_version(strategy, universe[instrument]),
                    inputs=inputs,
                    over=seen[day],
                    **place,
                    date=day,
                )
                metadata = partition_metadata(info)
                if frame.height:
                    metadata |= {
                        "share_of_wins": float(frame["label"].mean()),
                        "mean_net_return_bps": float(frame["net_return"].mean()) * 1e4,
                    }
                if day == days[-1]:
                    recent = recent_labels(store, name, instrument, day)
                    metadata["plot"] = plot(plots.label_outcomes(recent, f"{instrument} to {day}"))
                context.add_asset_metadata(metadata, partition_key=date_key(day, instrument))
        return dg.MaterializeResult()

    @dg.asset(
        key=key("model"),
        deps=[key("labels"), *feature_deps],
        group_name=name,
        owners=OWNERS,
        kinds={"lightgbm"},
        partitions_def=partitions.week_instrument,
        backfill_policy=SINGLE_RUN,
        description=f"The week's model: trained on {strategy.file.model.train_weeks} weeks of "
        f"labels known {strategy.file.model.deployment_lag} before its Monday, purged, calibrated "
        "on their newest slice, exported to flat arrays and verified bit for bit.",
        code_version=version[:16],
    )
    def model(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        for instrument, weeks in weeks_by_instrument(context.partition_keys):
            market = universe[instrument]
            currency = StrategyCurrency(store, settings, strategy, market)
            for week in weeks:
                bundle = train_week(store, settings, strategy, market, week, currency)
                context.add_asset_metadata(
                    dict(bundle.summary()), partition_key=week_key(week, instrument)
                )
        return dg.MaterializeResult()

    @dg.asset(
        key=key("predictions"),
        deps=[key("model"), *feature_deps],
        group_name=name,
        owners=OWNERS,
        kinds={"numba", "parquet"},
        partitions_def=partitions.week_instrument,
        backfill_policy=SINGLE_RUN,
        description=table("predictions").description,
        metadata=spec_metadata(table("predictions")),
        code_version=version[:16],
    )
    def predictions(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        for instrument, weeks in weeks_by_instrument(context.partition_keys):
            market = universe[instrument]
            place = {"strategy": name, "instrument": instrument}
            seen = store.seen_by_date("predictions", **place)
            currency = StrategyCurrency(store, settings, strategy, market)
            for week in weeks:
                frame, inputs = predict_week(store, settings, strategy, market, week, currency)
                info = store.write(
                    "predictions",
                    frame,
                    code_version=configuration_hash(strategy, universe[instrument], settings),
                    inputs=inputs,
                    over=seen[week],
                    **place,
                    week=week,
                )
                metadata = partition_metadata(info)
                metadata["above_threshold"] = frame.filter(
                    frame["valid"] & (frame["probability"] > frame["threshold"])
                ).height
                if week == weeks[-1]:
                    known = known_outcomes(store, name, instrument, week)
                    title = f"Reliability, {instrument}, weeks to {week}"
                    metadata["plot"] = plot(plots.probabilities(frame))
                    metadata["reliability"] = plot(plots.reliability(known, title))
                context.add_asset_metadata(metadata, partition_key=week_key(week, instrument))
        return dg.MaterializeResult()

    @dg.asset(
        key=key("backtest"),
        deps=[key("predictions"), "bars", "ticks"],
        group_name=name,
        owners=OWNERS,
        kinds={"numba", "parquet"},
        partitions_def=partitions.week_instrument,
        backfill_policy=SINGLE_RUN,
        description="The engine's run through the out-of-sample path of all weeks before this one, "
        "fills on ticks after latency, costs inside; logs the configuration as a trial.",
        metadata=spec_metadata(table("backtest_trades")),
        code_version=version[:16],
    )
    def backtest(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        for instrument, weeks in weeks_by_instrument(context.partition_keys):
            for week in weeks:
                metadata = _backtest_week(store, instrument, week)
                context.add_asset_metadata(metadata, partition_key=week_key(week, instrument))
        return dg.MaterializeResult()

    def _backtest_week(store: Lake, instrument: str, week: date) -> dict[str, Any]:
        market = universe[instrument]
        used = prediction_weeks(store, name, instrument, week)
        StrategyCurrency(store, settings, strategy, market).require_predictions(used)
        result, statistics, info = write_backtest(
            store, strategy, market, week, configuration_hash(strategy, market, settings)
        )
        return partition_metadata(info) | {
            "trades": result.trades.height,
            "statistics": table_markdown(
                [
                    {"name": r["name"], "value": f"{r['value']:.4g}", "unit": r["unit"]}
                    for r in statistics.iter_rows(named=True)
                ]
            ),
            "plot": plot(plots.equity(result.equity)),
        }

    @dg.asset(
        key=key("promotion"),
        deps=[key("model"), key("backtest")],
        group_name=name,
        owners=OWNERS,
        kinds={"parquet"},
        partitions_def=partitions.week_instrument,
        backfill_policy=SINGLE_RUN,
        description=f"The gate's decision, profile {strategy.file.gate.profile}: on the path of "
        "the weeks before, does this week's model enter service? Moves the promoted pointer.",
        metadata=spec_metadata(table("promotions")),
        code_version=version[:16],
        check_specs=[
            dg.AssetCheckSpec(
                "bundle_reproduces",
                asset=key("promotion"),
                description="Every hash of the bundle fits, its golden rows give the same bits, "
                "and what it was trained on is unchanged.",
            )
        ],
    )
    def promotion(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        broken = []
        for instrument, weeks in weeks_by_instrument(context.partition_keys):
            for week in weeks:
                verdict = decide(store, project, strategy, universe[instrument], week)
                if not verdict.bundle_ok:
                    broken.append({"instrument": instrument, "week": str(week)})
                context.add_asset_metadata(
                    {
                        "decision": verdict.decision.decision,
                        "in_service": verdict.in_service,
                        "standing": verdict.standing,
                        "report": shown_place(verdict.report),
                        "rules": table_markdown(
                            [
                                {"rule": r.name, "verdict": r.verdict, "reason": r.reason}
                                for r in verdict.decision.rules
                            ]
                        ),
                    },
                    partition_key=week_key(week, instrument),
                )
        return dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(
                    check_name="bundle_reproduces",
                    passed=not broken,
                    metadata={"broken": table_markdown(broken)},
                )
            ]
        )

    return [labels, model, predictions, backtest, promotion]
