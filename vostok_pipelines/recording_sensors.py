"""Sensors of what is recorded: how it stands, and the days of books that are due."""

import json
import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from vostok_core.hashing import hash_value
from vostok_core.project import Project
from vostok_pipelines.asked import Requests, answer, requests, told
from vostok_pipelines.assets.book import CHECK, RECORDINGS
from vostok_pipelines.ingestion import busy_instruments
from vostok_pipelines.jobs import BOOKS, Jobs
from vostok_pipelines.leases import fail_dead_runs
from vostok_pipelines.recordings import DueBooks, book_asks, look_at, metadata_of

_AGAIN = 3_600.0
"""Seconds after which what stays the same is told again."""


def recording_sensors(project: Project, project_jobs: Jobs) -> list[dg.SensorDefinition]:
    """The sensors of a project's recordings, none where nothing is recorded; off until a person
    turns them on."""
    recorded = project.settings.recorded
    if not recorded:
        return []

    books = DueBooks(project)

    @dg.sensor(
        minimum_interval_seconds=60,
        description="Shows on the asset recordings how `vostok-live record` stands: hours landed, "
        "age of the newest frame, seams. It reads files alone, and tells what has changed.",
    )
    def watch_recordings(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        now = time.time()
        seen = [look_at(project, each, now) for each in recorded]
        told_of = hash_value(
            [[each.state, each.hours, each.seams, bool(each.problems)] for each in seen]
        )
        before = json.loads(context.cursor or "{}")
        if before.get("told") == told_of and now - before.get("at", 0.0) < _AGAIN:
            return dg.SkipReason("recordings stand as they did")
        metadata = metadata_of(seen)
        return dg.SensorResult(
            cursor=json.dumps({"told": told_of, "at": now}),
            asset_events=[
                dg.AssetObservation(RECORDINGS, metadata=metadata),
                dg.AssetCheckEvaluation(
                    RECORDINGS,
                    CHECK,
                    passed=not any(each.problems for each in seen),
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata=metadata,
                ),
            ],
        )

    @dg.sensor(
        job=project_jobs[BOOKS],
        minimum_interval_seconds=60,
        description="Makes the days of quotes and depth that were recorded, are over and have "
        "landed whole, and are not made as they would be now: a run for each unbroken range.",
    )
    def recorded_books(context: dg.SensorEvaluationContext) -> Requests:
        fail_dead_runs(context.instance, project.dagster_home)
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        busy = busy_instruments(context.instance, project.settings.universe)
        made: list[dg.RunRequest] = []
        notes: list[str] = []
        for name in (str(each.id) for each in recorded):
            if name in busy:
                notes.append(f"a run of {name} is under way")
                continue
            with told(notes, f"the book of {name}"):
                asks = book_asks(books.look(name, yesterday), name)
                asked, why = requests(context.instance, asks)
                made += asked
                notes += why
        return answer(made, notes, "every day that was recorded is made", context.log)

    return [watch_recordings, recorded_books]
