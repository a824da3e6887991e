"""Tables for researchers that no model reads."""

import dagster as dg

from vostok_core.lake.tables import table
from vostok_core.market.days import rules_of
from vostok_core.project import Project
from vostok_pipelines.metadata import partition_metadata, spec_metadata
from vostok_pipelines.partitions import Partitions, date_key, days_by_instrument
from vostok_pipelines.research.ta_catalogue import CODE_VERSION, ta_catalogue_days
from vostok_pipelines.resources import LakeResource


def research_assets(project: Project, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this module."""
    universe = project.settings.universe

    @dg.asset(
        name="ta_catalogue",
        deps=["bars"],
        group_name="research",
        owners=["team:research"],
        kinds={"pandas", "parquet"},
        partitions_def=partitions.date_instrument,
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=table("ta_catalogue").description,
        metadata=spec_metadata(table("ta_catalogue")),
        code_version=CODE_VERSION,
    )
    def ta_catalogue_asset(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> dg.MaterializeResult:
        store = lake.open()
        for name, days in days_by_instrument(context.partition_keys):
            seen = store.seen_by_date("ta_catalogue", instrument=name, interval="1m")
            rules = rules_of(universe[name])
            for day, frame, inputs in ta_catalogue_days(store, name, "1m", days, rules=rules):
                info = store.write(
                    "ta_catalogue",
                    frame,
                    code_version=CODE_VERSION,
                    inputs=inputs,
                    over=seen[day],
                    instrument=name,
                    interval="1m",
                    date=day,
                )
                context.add_asset_metadata(
                    partition_metadata(info), partition_key=date_key(day, name)
                )
        return dg.MaterializeResult()

    return [ta_catalogue_asset]
