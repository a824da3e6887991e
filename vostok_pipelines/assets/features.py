"""Feature packs: one asset a pack, every interval that a strategy decides on."""

from collections.abc import Mapping

import dagster as dg

from vostok_core.features.frames import feature_frames
from vostok_core.features.registry import Pack, packs
from vostok_core.lake.tables import table
from vostok_core.market.days import rules_of
from vostok_core.market.instrument import Instrument
from vostok_core.project import Project
from vostok_pipelines.metadata import column_schema, partition_metadata
from vostok_pipelines.partitions import Partitions, date_key, days_by_instrument
from vostok_pipelines.resources import LakeResource

OWNERS = ["team:research"]
GROUP = "features"


def feature_assets(project: Project, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """One asset for every registered pack."""
    intervals, universe = intervals_of(project), project.settings.universe
    return [_pack_asset(pack, intervals, universe, partitions) for pack in packs().values()]


def intervals_of(project: Project) -> tuple[str, ...]:
    """The intervals that features are computed on: those of the strategies, and 1m."""
    used = {needs.interval for needs in project.data_needs.values()}
    return tuple(i for i in project.settings.bars.intervals if i in used | {"1m"})


def pack_schema(pack: Pack) -> dg.TableSchema:
    """A pack's features in Dagster's terms, after the table's own columns."""
    own = column_schema(table("features")).columns
    return dg.TableSchema(
        columns=[
            *own,
            *(
                dg.TableColumn(
                    name=feature.name,
                    type="Float64",
                    description=f"{feature.description} [{feature.unit}] ({feature.source})",
                )
                for feature in pack.features
            ),
        ]
    )


def _pack_asset(
    pack: Pack,
    intervals: tuple[str, ...],
    universe: Mapping[str, Instrument],
    partitions: Partitions,
) -> dg.AssetsDefinition:
    deps = ["bars", "sentiment"] if pack.inputs == "sentiment" else ["bars"]

    @dg.asset(
        name=pack.name,
        key_prefix="features",
        deps=deps,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"numba", "parquet"},
        partitions_def=partitions.date_instrument,
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=f"{pack.description} {len(pack.columns)} columns, warm-up {pack.warmup} bars.",
        metadata={
            "dagster/column_schema": pack_schema(pack),
            "dagster/table_name": "features",
            "pack_hash": pack.hash,
            "warmup_bars": pack.warmup,
        },
        code_version=pack.hash[:16],
    )
    def features(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        for name, days in days_by_instrument(context.partition_keys):
            rules = rules_of(universe[name])
            for interval in intervals:
                place = {"pack": pack.name, "instrument": name, "interval": interval}
                seen = store.seen_by_date("features", **place)
                for day, frame, inputs in feature_frames(
                    store, pack, name, interval, days, rules=rules
                ):
                    info = store.write(
                        "features",
                        frame,
                        code_version=pack.hash,
                        inputs=inputs,
                        over=seen[day],
                        **place,
                        date=day,
                    )
                    if interval == intervals[0]:
                        context.add_asset_metadata(
                            partition_metadata(info), partition_key=date_key(day, name)
                        )
        return dg.MaterializeResult()

    return features
