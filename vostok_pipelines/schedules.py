"""The two cadences that people see: every day's data, and every Monday's models.

All times are UTC. A schedule looks at the lake for what is due: what has passed, has all it needs
there, and has not been made. So an archive file that comes late, a run that took long and days on
which nothing ran delay what follows and lose nothing. What is asked for, and how often, says
`vostok_pipelines.asked`.
"""

import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from itertools import islice

import dagster as dg

from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.store import Lake
from vostok_core.project import Project
from vostok_core.sentiment.currency import SentimentRules
from vostok_core.strategy import Strategy
from vostok_core.times import spans
from vostok_pipelines.arrivals import ArrivalsReader
from vostok_pipelines.asked import (
    UNFINISHED,
    Ask,
    Requests,
    answer,
    is_under_way,
    requests,
    runs_of,
    tagged,
    told,
)
from vostok_pipelines.assets.features import intervals_of
from vostok_pipelines.contents import (
    labels_content,
    model_content,
    news_content,
    predictions_content,
)
from vostok_pipelines.due import Due, due_news
from vostok_pipelines.fetch_requests import fetch_requests
from vostok_pipelines.ingestion import LOOK_SECONDS, ingestion_requests
from vostok_pipelines.jobs import FETCH, INGEST, NEWS, Jobs, asset_keys, job_name, needs_news
from vostok_pipelines.known_weeks import KnownWeeks
from vostok_pipelines.leases import fail_dead_runs
from vostok_pipelines.left_out import CRONS, left_out_schedules, waiting
from vostok_pipelines.partitions import date_key, range_tags, week_key
from vostok_pipelines.proofs import proof_schedules
from vostok_pipelines.ranges import history

_DAY = timedelta(days=1)


def schedules(
    project: Project, project_jobs: Jobs, arrivals: ArrivalsReader
) -> list[dg.ScheduleDefinition]:
    """The schedules of a project; all are off until a person turns them on."""
    start = project.settings.calendar.start
    universe = project.settings.universe
    wanted = {name for needs in project.data_needs.values() for name in needs.instruments}
    traded = sorted(wanted & universe.keys())

    @dg.schedule(
        job=project_jobs[NEWS],
        cron_schedule="15 1-23 * * *",
        execution_timezone="UTC",
        description="Fetches and scores the news of yesterday, and of the days before it, back to "
        "the first that was scored or has bars whose features need sentiment, that have no current "
        "scores; the newest range first, and one run at a time.",
    )
    def daily_news(context: dg.ScheduleEvaluationContext) -> Requests:
        rules = SentimentRules.in_force(project.settings)
        lake = project.open_lake()
        bars = [
            day
            for name in traded
            if needs_news(project, name)
            for interval in intervals_of(project)
            for day in lake.days("bars", instrument=name, interval=interval)[:1]
        ]
        days = due_news(lake, rules, start, _yesterday(context), bars)
        fail_dead_runs(context.instance, project.dagster_home)
        otherwise = "the news of every day are scored"
        if context.instance.get_runs(dg.RunsFilter(job_name=NEWS, statuses=UNFINISHED), limit=1):
            under_way = [*waiting(project), "a run of news is under way"]
            return answer([], under_way, otherwise, context.log)
        asks = [
            Ask(
                what=f"news from {first} to {last}",
                content=news_content(project, rules),
                request=dg.RunRequest(tags=range_tags(str(first), str(last))),
                command=f"vostok materialize news,sentiment_scores --from {first} --to {last}",
            )
            for first, last in reversed(spans(days))
        ]
        made, notes = requests(context.instance, asks)
        return answer(made[:1], [*waiting(project), *notes], otherwise, context.log)

    @dg.schedule(
        job=project_jobs[FETCH],
        cron_schedule="20 1-23 * * *",
        execution_timezone="UTC",
        description="Brings the archive's files of the days, up to yesterday, that instruments "
        "which a strategy trades lack since their history began, and the funding rates of months "
        "that are over, into the mirror folder.",
    )
    def daily_fetch(context: dg.ScheduleEvaluationContext) -> Requests:
        now = context.scheduled_execution_time
        return fetch_requests(project, context.instance, traded, now, context.log)

    @dg.schedule(
        job=project_jobs[INGEST],
        cron_schedule="30 1-23 * * *",
        execution_timezone="UTC",
        description="Ingests the days of every instrument that a strategy trades, up to yesterday, "
        "that have come and are not made: landed files to ticks, quality, bars and features.",
    )
    def daily_ingestion(context: dg.ScheduleEvaluationContext) -> Requests:
        last = _yesterday(context)
        return ingestion_requests(project, arrivals, context.instance, traded, last, context.log)

    made = [daily_news, daily_fetch, daily_ingestion, *left_out_schedules(project)]
    for strategy in project.strategies.values():
        made += _strategy_schedules(project, strategy, project_jobs)
        made += proof_schedules(project, strategy, project_jobs)
    return made


def _strategy_schedules(
    project: Project, strategy: Strategy, project_jobs: Jobs
) -> list[dg.ScheduleDefinition]:
    name = strategy.name
    known = {
        i: KnownWeeks(project, strategy, project.settings.universe[i])
        for i in strategy.file.instruments
    }

    def owed(
        context: dg.ScheduleEvaluationContext,
        find: Callable[[Due, Lake, str], tuple[list[dg.RunRequest], list[str]]],
        otherwise: str,
    ) -> Requests:
        fail_dead_runs(context.instance, project.dagster_home)
        deadline = time.monotonic() + LOOK_SECONDS
        made: list[dg.RunRequest] = []
        notes: list[str] = []
        for i in strategy.file.instruments:
            with told(notes, f"{name} on {i}"):
                lake, settings = RememberingLake.of(project.open_lake()), project.settings
                market, today = settings.universe[i], _today(context)
                due = Due(lake, settings, strategy, market, today, known[i], deadline)
                if not due.is_whole:
                    notes.append(f"reading the weeks of {name} on {i} goes on at the next look")
                    continue
                asked, why = find(due, lake, i)
                made += asked
                notes += [*due.notes, *why]
        return answer(made, notes, otherwise, context.log)

    def labels(
        instance: dg.DagsterInstance, due: Due, lake: Lake, i: str
    ) -> tuple[list[dg.RunRequest], list[str]]:
        days = due.labels()
        what = f"labels of {name} for {i}"
        if not days:
            return [], []
        if is_under_way(instance, what):
            return [], [f"a run of {what} is under way"]

        def content(first: date, last: date) -> str:
            return labels_content(project, lake, strategy, i, first, last)

        found = history(runs_of(instance, what), days, content, lambda _run: set())
        newest = list(islice(runs_of(instance, what), 1))
        made = [
            tagged(
                dg.RunRequest(tags=range_tags(date_key(first, i), date_key(last, i))),
                what,
                content(first, last),
                newest,
            )
            for first, last in found.ranges(days)
        ]
        return made, found.told(
            what, lambda first, last: _command([f"{name}/labels"], i, first, last)
        )

    def weekly(what: str, content: str, assets: list[str], instrument: str, week: date) -> Ask:
        full = [f"{name}/{asset}" for asset in assets]
        return Ask(
            what=f"{what} of {name} for {instrument} in the week of {week}",
            content=content,
            request=dg.RunRequest(
                partition_key=week_key(week, instrument), asset_selection=asset_keys(full)
            ),
            command=_command(full, instrument, week, week),
        )

    @dg.schedule(
        name=f"{name}_daily_labels",
        job=project_jobs[job_name(name, "labels")],
        cron_schedule=CRONS["daily_labels"],
        execution_timezone="UTC",
        description="Labels the days whose longest barrier has ended, as far back as a model of "
        "this week, the next or a due one looks, that have none or stale ones: a run for each "
        "unbroken range of days.",
    )
    def daily_labels(context: dg.ScheduleEvaluationContext) -> Requests:
        find = partial(labels, context.instance)
        return owed(context, find, "every day whose labels can be known has them")

    @dg.schedule(
        name=f"{name}_weekly_predictions",
        job=project_jobs[job_name(name, "predictions")],
        cron_schedule=CRONS["weekly_predictions"],
        execution_timezone="UTC",
        description="From Monday on, writes the out-of-sample predictions of the week that has "
        "ended, and of the weeks before it that have none or stale ones, with their models.",
    )
    def weekly_predictions(context: dg.ScheduleEvaluationContext) -> Requests:
        def asks(due: Due, lake: Lake, i: str) -> Iterator[Ask]:
            for found in due.predictions():
                assets = ["model", "predictions"] if found.model else ["predictions"]
                content = predictions_content(project, lake, strategy, i, found.week)
                yield weekly("predictions", content, assets, i, found.week)

        return owed(
            context,
            lambda *each: requests(context.instance, asks(*each)),
            "no week has ended that has a model and features and no predictions",
        )

    @dg.schedule(
        name=f"{name}_weekly_retraining",
        job=project_jobs[job_name(name, "retrain")],
        cron_schedule=CRONS["weekly_retraining"],
        execution_timezone="UTC",
        description="From Monday on, once the week that has ended has its predictions, trains the "
        "next week's model and lets the gate decide whether it enters service.",
    )
    def weekly_retraining(context: dg.ScheduleEvaluationContext) -> Requests:
        def asks(due: Due, lake: Lake, i: str) -> Iterator[Ask]:
            week = due.model()
            if week is not None:
                content = model_content(project, lake, strategy, i, week)
                yield weekly("model", content, ["model", "backtest", "promotion"], i, week)

        return owed(
            context,
            lambda *each: requests(context.instance, asks(*each)),
            "no week has begun that lacks its model, with predictions before it and its labels",
        )

    return [daily_labels, weekly_predictions, weekly_retraining]


def _command(assets: list[str], instrument: str, first: date, last: date) -> str:
    return (
        f"vostok materialize {','.join(assets)} --instrument {instrument} --from {first} --to "
        f"{last}"
    )


def _today(context: dg.ScheduleEvaluationContext) -> date:
    return context.scheduled_execution_time.date()


def _yesterday(context: dg.ScheduleEvaluationContext) -> date:
    return _today(context) - _DAY
