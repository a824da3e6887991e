"""Landed files, ticks, klines, quality and bars of every instrument and day."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import date

import dagster as dg

from vostok_core.errors import DataError, MissingPartition, StalePartition, UnfitDay
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market import days as market_days
from vostok_core.market.instrument import Instrument
from vostok_core.market.merging import merge_day
from vostok_core.market.parts import TABLES, keys_of, kind_of
from vostok_core.market.second_view import has_second_view, merge_second_view
from vostok_core.project import Project
from vostok_core.times import parse_interval
from vostok_pipelines import plots
from vostok_pipelines.bad_days import BadDays
from vostok_pipelines.landing import land_days
from vostok_pipelines.metadata import partition_metadata, plot, spec_metadata, table_markdown
from vostok_pipelines.partitions import Partitions, date_key, days_by_instrument
from vostok_pipelines.quality_checks import (
    QUALITY_CHECKS,
    QualityChecks,
    facts,
    findings_table,
    quality_plot,
)
from vostok_pipelines.resources import LakeResource
from vostok_pipelines.second_views import CHECKS, KlinesAgree, ReferenceAgrees
from vostok_pipelines.sources.mirror import Mirror

OWNERS = ["team:data"]
GROUP = "market"
SINGLE_RUN = dg.BackfillPolicy.single_run()

_MERGED = {
    "ticks": " Only of instruments that have ticks.",
    "klines": " Of instruments without ticks; of others only to hold their bars against.",
    "quality": "",
}
"""What landed files are merged into, and what to add to the table's description."""

_MOSTLY = 0.95
"""Least share of a day's bars that should be valid."""


def market_assets(project: Project, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this module for a project."""
    settings = project.settings
    universe = settings.universe

    @dg.asset(
        deps=["archive_files"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"file", "parquet"},
        partitions_def=partitions.date_instrument,
        backfill_policy=SINGLE_RUN,
        description="Raw trades or klines of the day: fetched from its venue's archive where that "
        "has the day's file, else as landed before by `vostok ingest`, which must have been by the "
        "present version of the readers. A run over days of which "
        "some can't be used lands the others, and then fails.",
        code_version=market_days.LANDING_VERSION,
    )
    def landed(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        bad = BadDays()
        for name, days in days_by_instrument(context.partition_keys):
            mirror, unusable, read = Mirror(project.archive(universe[name])), {}, set()
            for day, outcome in land_days(store, mirror, universe[name], days):
                read.add(day)
                if isinstance(outcome, DataError):
                    unusable[day] = outcome
            for day in days:
                with bad.noted(name, day):
                    if day in unusable:
                        raise unusable[day]
                    metadata = _landed(store, mirror, universe[name], day)
                    context.add_asset_metadata(
                        metadata | {"from_archive": day in read}, partition_key=date_key(day, name)
                    )
        bad.raise_noted(context)
        return dg.MaterializeResult()

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                name,
                deps=["landed"],
                group_name=GROUP,
                owners=OWNERS,
                kinds={"polars", "parquet"},
                partitions_def=partitions.date_instrument,
                description=table(name).description + note,
                metadata=spec_metadata(table(name)),
                code_version=market_days.CODE_VERSION,
                skippable=True,
            )
            for name, note in _MERGED.items()
        ],
        check_specs=QUALITY_CHECKS,
        backfill_policy=SINGLE_RUN,
        can_subset=True,
        name="merge_landed",
    )
    def merge_landed(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult]:
        store = lake.open()
        selected = {key.to_user_string() for key in context.selected_asset_keys}
        checks = QualityChecks()
        written: set[str] = set()
        bad, unfit = BadDays(), BadDays(UnfitDay)
        for name, days in days_by_instrument(context.partition_keys):
            instrument = universe[name]
            for day in days:
                with bad.noted(name, day):
                    described = _merge(store, instrument, day, selected, checks)
                bad.raise_noted(context)  # the days after it would begin where it ends
                with unfit.noted(name, day):
                    checks.require_fit(name, day)
                if day == days[-1] and "quality" in described:
                    described["quality"]["plot"] = plot(quality_plot(store, instrument, day))
                written |= described.keys()
                for asset in selected & described.keys():
                    context.add_asset_metadata(
                        described[asset], asset_key=asset, partition_key=date_key(day, name)
                    )
        for main in sorted(selected - {"quality"}):
            # An output that is left out would have everything after it skipped.
            note = {} if main in written else {"note": f"these instruments have no {main}"}
            yield dg.MaterializeResult(asset_key=main, metadata=note)
        if "quality" in selected:
            yield dg.MaterializeResult(asset_key="quality", check_results=checks.results())
            unfit.raise_noted(context)

    @dg.asset(
        deps=["ticks", "klines", "quality"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"numba", "parquet"},
        partitions_def=partitions.date_instrument,
        backfill_policy=SINGLE_RUN,
        description=table("bars").description
        + f" Intervals: {', '.join(settings.bars.intervals)}.",
        metadata=spec_metadata(table("bars")),
        code_version=market_days.CODE_VERSION,
        check_specs=[
            dg.AssetCheckSpec(
                "mostly_valid",
                asset="bars",
                description=f"At least {_MOSTLY:.0%} of the bars of each day of the run are valid.",
            ),
            *CHECKS,
        ],
    )
    def bars(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        store = lake.open()
        poor: list[dict[str, object]] = []
        built: list[tuple[str, date]] = []
        klines, reference = KlinesAgree(), ReferenceAgrees(settings.instruments)
        unfit = BadDays(UnfitDay)
        intervals = sorted(settings.bars.intervals, key=parse_interval)
        for name, days in days_by_instrument(context.partition_keys):
            instrument = universe[name]
            for day in days:
                seen = {
                    interval: store.seen("bars", instrument=name, interval=interval, date=day)
                    for interval in intervals
                }
                with unfit.noted(name, day):
                    made, inputs = market_days.bars_day(store, instrument, intervals, day)
                    minutes = made["1m"]
                    klines.look(store, instrument, day, minutes)
                    metadata: dict[str, object] = {}
                    for interval, frame in made.items():
                        info = store.write(
                            "bars",
                            frame,
                            code_version=market_days.CODE_VERSION,
                            inputs=inputs,
                            over=seen[interval],
                            instrument=name,
                            interval=interval,
                            date=day,
                        )
                        if interval == "1m":
                            metadata = partition_metadata(info)
                    share = float(minutes["valid"].mean() or 0.0)
                    metadata["valid_share"] = share
                    if share < _MOSTLY:
                        poor.append({"day": str(day), "instrument": name, "valid": f"{share:.1%}"})
                    if day == days[-1]:
                        metadata["plot"] = plot(plots.bars(minutes, f"{name} {day}"))
                    context.add_asset_metadata(metadata, partition_key=date_key(day, name))
                    built.append((name, day))
        for each in built:  # when those of another venue are there, if this run builds them
            reference.look(store, *each)
        results = [
            dg.AssetCheckResult(
                check_name="mostly_valid",
                asset_key="bars",
                passed=not poor,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"days": len(poor), "first": table_markdown(poor[:20])},
            ),
            klines.result(),
            reference.result(),
        ]
        if unfit:
            yield from results
            unfit.raise_noted(context)
        yield dg.MaterializeResult(check_results=results)

    return [landed, merge_landed, bars]


def _merge(
    store: Lake,
    instrument: Instrument,
    day: date,
    selected: AbstractSet[str],
    checks: QualityChecks,
) -> dict[str, dict[str, object]]:
    """Merge what has landed of a day, and describe each table that was written."""
    described: dict[str, dict[str, object]] = {}
    if has_second_view(store, instrument, day):
        info, odd = merge_second_view(store, instrument, day)
        described["klines"] = partition_metadata(info) | {"findings": findings_table(odd)}
    if instrument.tick != "none" and selected == {"klines"}:
        return described  # klines can be there before there are trades
    info, quality, findings = merge_day(store, instrument, day)
    checks.look(instrument, day, findings)
    described["klines" if instrument.tick == "none" else "ticks"] = partition_metadata(info)
    described["quality"] = partition_metadata(quality) | facts(instrument, day, findings)
    return described


def _landed(store: Lake, mirror: Mirror, instrument: Instrument, day: date) -> dict[str, int]:
    """Check that a day has landed, and describe what has landed of it."""
    name, holds = str(instrument.id), kind_of(instrument)
    parts = market_days.parts_in_use(store.parts(TABLES[holds], **keys_of(instrument, holds, day)))
    if not parts:
        raise MissingPartition(
            f"nothing has landed for {name} on {day}",
            where=mirror.root or store.root,
            hint=(
                "put the day's file there, or "
                if mirror.root
                else f"{instrument.id.venue} has no archive in [sources.archives]: "
            )
            + f"run `vostok ingest PATH --instrument {name} --format FORMAT`",
        )
    if old := market_days.read_otherwise(parts):
        raise StalePartition(
            f"{len(old)} files of {name} that landed on {day} were read by another version of the "
            "readers, and the archive doesn't have them",
            where=store.root,
            hint="ingest the same files again: "
            f"`vostok ingest PATH --instrument {name} --format FORMAT`",
        )
    return {
        "dagster/partition_row_count": sum(part.rows for part in parts),
        "files": len(parts),
    }
