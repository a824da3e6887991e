"""Everything Dagster knows of a project, merged: the module that `workspace.yaml` names."""

import logging
import os
import warnings
from pathlib import Path

import dagster as dg

from vostok_core.project import Project, find_project
from vostok_pipelines.arrivals import ArrivalsReader
from vostok_pipelines.assets.archive import archive_assets
from vostok_pipelines.assets.book import book_assets, book_checks
from vostok_pipelines.assets.features import feature_assets
from vostok_pipelines.assets.live import live_assets
from vostok_pipelines.assets.market import market_assets
from vostok_pipelines.assets.news import news_assets
from vostok_pipelines.assets.research import research_assets
from vostok_pipelines.assets.strategies import strategy_assets
from vostok_pipelines.jobs import jobs
from vostok_pipelines.left_out import notes
from vostok_pipelines.partitions import Partitions
from vostok_pipelines.resources import LakeResource
from vostok_pipelines.schedules import schedules
from vostok_pipelines.sensors import sensors

_log = logging.getLogger("dagster.vostok")  # below Dagster's own, so that it is shown as its lines


def build_definitions(project: Project) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of a project, on its lake."""
    with warnings.catch_warnings():
        # Single-run backfills are marked beta; docs/dagster.md says why they are worth it.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return _build(project)


def _build(project: Project) -> dg.Definitions:
    partitions = Partitions.of(project.settings)
    project_jobs = jobs(project)
    arrivals = ArrivalsReader(project)
    return dg.Definitions(
        assets=[
            *archive_assets(project, partitions),
            *market_assets(project, partitions),
            *book_assets(project, partitions),
            *news_assets(project, partitions),
            *feature_assets(project, partitions),
            *research_assets(project, partitions),
            *strategy_assets(project, partitions),
            *live_assets(project, partitions),
        ],
        asset_checks=book_checks(project),
        jobs=list(project_jobs.values()),
        schedules=schedules(project, project_jobs, arrivals),
        sensors=sensors(project, project_jobs, arrivals),
        resources={"lake": LakeResource.of(project)},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The project found from the working directory and the environment.

    Strategies whose files can't be used are left out, which the log of whatever loads this says.
    """
    project = find_project(Path.cwd(), os.environ)
    for note in notes(project):
        _log.warning(note)
    return build_definitions(project)
