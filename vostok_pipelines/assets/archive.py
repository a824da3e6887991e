"""What comes from the venues' archives: files into the mirror folders, and funding rates."""

import dagster as dg

from vostok_core.errors import MissingPartition
from vostok_core.lake.tables import table
from vostok_core.market.days import LANDING_VERSION
from vostok_core.project import Project
from vostok_pipelines.bad_days import BadDays
from vostok_pipelines.fetching.archive import ArchiveFetcher
from vostok_pipelines.funding import TABLE, land_archived_funding, require_funding
from vostok_pipelines.metadata import partition_metadata, spec_metadata
from vostok_pipelines.partitions import Partitions, date_key, days_by_instrument
from vostok_pipelines.resources import LakeResource
from vostok_pipelines.sources.mirror import Mirror

OWNERS = ["team:data"]
GROUP = "market"
SINGLE_RUN = dg.BackfillPolicy.single_run()


def archive_assets(project: Project, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this module for a project."""
    universe = project.settings.universe

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"file"},
        partitions_def=partitions.date_instrument,
        backfill_policy=SINGLE_RUN,
        description="The archive's file of the day in the mirror folder of its venue, brought from "
        "the address in [sources.urls] where neither folder nor lake has the day, and checked. A "
        "day that the archive doesn't have (yet) is noted and fails nothing. One that can't be "
        "fetched lets the others come, and then fails the run.",
        code_version="1",
    )
    def archive_files(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> dg.MaterializeResult:
        store, fetcher, bad = lake.open(), ArchiveFetcher(project), BadDays()
        days_of = {
            universe[name]: days for name, days in days_by_instrument(context.partition_keys)
        }
        wanted = {
            instrument: fetcher.missing(store, instrument, days)
            for instrument, days in days_of.items()
        }
        for instrument, fetched in zip(wanted, fetcher.fetch(wanted), strict=True):
            for note in fetched.notes:
                context.log.warning(note)
            for day in days_of[instrument]:
                with bad.noted(fetched.instrument, day):
                    if day in fetched.failed:
                        raise fetched.failed[day]
                    came = "fetched" if day in fetched.days else "was there"
                    context.add_asset_metadata(
                        {"came": "not in the archive" if day in fetched.absent else came},
                        partition_key=date_key(day, fetched.instrument),
                    )
        bad.raise_noted(context)
        return dg.MaterializeResult()

    @dg.asset(
        deps=["archive_files"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"file", "parquet"},
        partitions_def=partitions.date_instrument,
        backfill_policy=SINGLE_RUN,
        description=table(TABLE).description + " Only of perpetual futures; a day comes when its "
        "month is over.",
        metadata=spec_metadata(table(TABLE)),
        code_version=LANDING_VERSION,
    )
    def funding(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store, bad = lake.open(), BadDays()
        for name, days in days_by_instrument(context.partition_keys):
            instrument = universe[name]
            require_funding(instrument)
            mirror = Mirror(project.archive(instrument))
            unusable = dict(land_archived_funding(store, mirror, instrument, days))
            for day in days:
                with bad.noted(name, day):
                    if (error := unusable.get(day)) is not None:
                        raise error
                    if not store.exists(TABLE, instrument=name, date=day):
                        raise MissingPartition(
                            f"no funding rates of {name} have come for {day}",
                            where=mirror.root or store.root,
                            hint="once its month is over, run "
                            f"`vostok fetch {name} --from {day} --to {day}`: the archive has them "
                            "by the month",
                        )
                    info = store.info(TABLE, instrument=name, date=day)
                    context.add_asset_metadata(
                        partition_metadata(info), partition_key=date_key(day, name)
                    )
        bad.raise_noted(context)
        return dg.MaterializeResult()

    return [archive_files, funding]
