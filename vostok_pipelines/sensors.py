"""Sensors: what happens because something has arrived."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from vostok_core.project import Project
from vostok_pipelines.arrivals import ArrivalsReader
from vostok_pipelines.asked import Requests
from vostok_pipelines.ingestion import ingestion_requests
from vostok_pipelines.jobs import INGEST, Jobs
from vostok_pipelines.recording_sensors import recording_sensors


def sensors(
    project: Project, project_jobs: Jobs, arrivals: ArrivalsReader
) -> list[dg.SensorDefinition]:
    """The sensors of a project; off until a person turns them on."""

    @dg.sensor(
        job=project_jobs[INGEST],
        minimum_interval_seconds=30,
        description="Ingests the days of every instrument whose files lie in the archive folder, "
        "or were landed by `vostok ingest --land-only`, or were recorded, and that the lake's bars "
        "are not made from, and those of funding rates. Files are told by their content; a day "
        "that the recorder has not landed all of waits.",
    )
    def new_trade_files(
        context: dg.SensorEvaluationContext,
    ) -> Requests:
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        universe = project.settings.universe
        return ingestion_requests(
            project, arrivals, context.instance, universe, yesterday, context.log
        )

    return [new_trade_files, *recording_sensors(project, project_jobs)]
