"""Recordings of the market, which come from outside, and the books that are made of them.

The recorder lands by itself what it has heard of an hour (`vostok-live record`). Of that a day of
quotes and of depth is made once the day is over and whole, with what is wrong with them beside.
"""

from collections.abc import Iterator

import dagster as dg

from vostok_core.lake.tables import table
from vostok_core.market.book_days import BOOK_VERSION, MADE, book_day
from vostok_core.market.days import RECORDING_VERSION
from vostok_core.project import Project
from vostok_pipelines.bad_days import BadDays
from vostok_pipelines.metadata import partition_metadata, spec_metadata, table_markdown
from vostok_pipelines.partitions import Partitions, date_key, days_by_instrument
from vostok_pipelines.recordings import look_at, metadata_of
from vostok_pipelines.resources import LakeResource

OWNERS = ["team:data"]
GROUP = "book"
SINGLE_RUN = dg.BackfillPolicy.single_run()
RECORDINGS = dg.AssetKey("recordings")
CHECK = "is_recording"

_SHOWN = 20


def book_assets(
    project: Project, partitions: Partitions
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets of this module for a project; none where no instrument is recorded."""
    if not project.settings.recorded:
        return []
    recordings = dg.AssetSpec(
        RECORDINGS,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"websocket", "parquet"},
        description="What `vostok-live record` has heard, as parts of raw_trades, raw_quotes, "
        "raw_depth and recordings, an hour at a time. It lands them by itself; the sensor "
        "watch_recordings shows how they stand.",
        metadata=spec_metadata(table("recordings")),
        code_version=RECORDING_VERSION,
    )

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                name,
                deps=[RECORDINGS],
                group_name=GROUP,
                owners=OWNERS,
                kinds={"polars", "parquet"},
                partitions_def=partitions.date_recorded,
                description=table(name).description,
                metadata=spec_metadata(table(name)),
                code_version=BOOK_VERSION,
            )
            for name in MADE
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "book_is_known",
                asset="book_quality",
                description="Quotes and the book are known at every moment of the days of the run: "
                "all was recorded and no change is missing. A warning: no bar depends on them.",
            )
        ],
        backfill_policy=SINGLE_RUN,
        name="merge_recorded",
    )
    def merge_recorded(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult]:
        store = lake.open()
        bad = BadDays()
        unknown: list[dict[str, object]] = []
        for name, days in days_by_instrument(context.partition_keys):
            for day in days:
                with bad.noted(name, day):
                    seen = {asset: store.seen(asset, instrument=name, date=day) for asset in MADE}
                    made, inputs = book_day(store, name, day)
                    for asset, frame in made.items():
                        info = store.write(
                            asset,
                            frame,
                            code_version=BOOK_VERSION,
                            inputs=inputs,
                            over=seen[asset],
                            instrument=name,
                            date=day,
                        )
                        context.add_asset_metadata(
                            partition_metadata(info),
                            asset_key=asset,
                            partition_key=date_key(day, name),
                        )
                    unknown += [
                        {
                            "day": str(day),
                            "instrument": name,
                            "stream": row["stream"],
                            "from": str(row["ts"]),
                            "to": str(row["end_ts"]),
                            "detail": row["detail"],
                        }
                        for row in made["book_quality"].filter("unknown").iter_rows(named=True)
                    ]
        bad.raise_noted(context)
        for asset in MADE:
            yield dg.MaterializeResult(
                asset_key=asset,
                check_results=[
                    dg.AssetCheckResult(
                        check_name="book_is_known",
                        passed=not unknown,
                        severity=dg.AssetCheckSeverity.WARN,
                        metadata={
                            "spans": len(unknown),
                            "first": table_markdown(unknown[:_SHOWN]),
                        },
                    )
                ]
                if asset == "book_quality"
                else [],
            )

    return [recordings, merge_recorded]


def book_checks(project: Project) -> list[dg.AssetChecksDefinition]:
    """The checks of this module for a project; none where no instrument is recorded."""
    if not project.settings.recorded:
        return []

    @dg.asset_check(
        asset=RECORDINGS,
        name=CHECK,
        description="Every instrument of [recorder] instruments is being recorded now: heartbeats "
        "and frames are fresh, and hours land. The sensor watch_recordings evaluates it too.",
    )
    def is_recording() -> dg.AssetCheckResult:
        seen = [look_at(project, each) for each in project.settings.recorded]
        return dg.AssetCheckResult(
            passed=not any(each.problems for each in seen),
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata_of(seen),
        )

    return [is_recording]
