"""News as fetched, scores, and the point-in-time sentiment of every minute."""

import time
from collections.abc import Callable
from datetime import date

import dagster as dg

from vostok_core.lake.tables import table
from vostok_core.project import Project
from vostok_core.sentiment.days import scores_day, sentiment_minutes, write_news
from vostok_core.sentiment.items import news_version
from vostok_core.sentiment.scorer import scorer as find_scorer
from vostok_core.sentiment.scorer import scores_version, sentiment_version
from vostok_pipelines.metadata import partition_metadata, spec_metadata
from vostok_pipelines.partitions import Partitions, date_key, days_by_instrument
from vostok_pipelines.resources import LakeResource
from vostok_pipelines.sources.feeds import read_feeds

OWNERS = ["team:data"]
GROUP = "sentiment"
SINGLE_RUN = dg.BackfillPolicy.single_run()


def _wall_time() -> int:
    return time.time_ns() // 1_000


def news_assets(
    project: Project, partitions: Partitions, now: Callable[[], int] = _wall_time
) -> list[dg.AssetsDefinition]:
    """The assets of this module for a project.

    Args:
        project: The project.
        partitions: Its partitions.
        now: Says when feeds are read: microseconds of wall time.
    """
    settings = project.settings
    universe = settings.universe
    bases = settings.bases

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"rss", "parquet"},
        partitions_def=partitions.date,
        backfill_policy=SINGLE_RUN,
        description=table("news").description,
        metadata=spec_metadata(table("news")),
        code_version=news_version(settings.sources.backfill_lag_us),
    )
    def news(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        feeds = {name: project.lake_home / path for name, path in settings.sources.feeds.items()}
        lag = settings.sources.backfill_lag_us
        batch = read_feeds(feeds, lag_us=lag)
        if batch.refused:
            context.log.warning("refused items, by reason: %s", batch.refusals)
        days = [date.fromisoformat(key) for key in context.partition_keys]
        for day, info in write_news(store, batch, days, now(), lag).items():
            if day in days:
                context.add_asset_metadata(partition_metadata(info), partition_key=str(day))
        return dg.MaterializeResult()

    @dg.asset(
        deps=["news"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        partitions_def=partitions.date,
        backfill_policy=SINGLE_RUN,
        description=table("sentiment_scores").description
        + f" Scorer: {settings.sentiment.scorer}.",
        metadata=spec_metadata(table("sentiment_scores")),
        code_version=scores_version(find_scorer(settings.sentiment.scorer), bases),
    )
    def sentiment_scores(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> dg.MaterializeResult:
        store = lake.open()
        scorer = find_scorer(settings.sentiment.scorer)
        version = scores_version(scorer, bases)
        for key in context.partition_keys:
            day = date.fromisoformat(key)
            seen = store.seen("sentiment_scores", date=day)
            frame, inputs = scores_day(store, day, scorer, bases)
            info = store.write(
                "sentiment_scores", frame, code_version=version, inputs=inputs, over=seen, date=day
            )
            context.add_asset_metadata(partition_metadata(info), partition_key=key)
        return dg.MaterializeResult()

    @dg.asset(
        deps=["sentiment_scores"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"numpy", "parquet"},
        partitions_def=partitions.date_instrument,
        backfill_policy=SINGLE_RUN,
        description=table("sentiment").description,
        metadata=spec_metadata(table("sentiment")),
        code_version=sentiment_version(find_scorer(settings.sentiment.scorer)),
    )
    def sentiment(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        scorer = find_scorer(settings.sentiment.scorer)
        for name, days in days_by_instrument(context.partition_keys):
            for day in days:
                seen = store.seen("sentiment", instrument=name, date=day)
                frame, inputs = sentiment_minutes(store, universe[name], day, scorer)
                info = store.write(
                    "sentiment",
                    frame,
                    code_version=sentiment_version(scorer),
                    inputs=inputs,
                    over=seen,
                    instrument=name,
                    date=day,
                )
                context.add_asset_metadata(
                    partition_metadata(info) | {"items": int(frame["items"].sum())},
                    partition_key=date_key(day, name),
                )
        return dg.MaterializeResult()

    return [news, sentiment_scores, sentiment]
