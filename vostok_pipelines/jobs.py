"""Jobs: what schedules and sensors launch, and what a person launches from the UI's job page."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from vostok_core.features.registry import packs
from vostok_core.market.book_days import MADE
from vostok_core.project import Project

FETCH = "fetch"
INGEST = "ingest"
NEWS = "news_and_scores"
BOOKS = "books"

Jobs = dict[str, Any]


def packs_of(project: Project, instrument: str) -> list[str]:
    """The packs that are kept for an instrument: `core`, and those its strategies name."""
    used = {"core"}
    for needs in project.data_needs.values():
        if instrument in needs.instruments:
            used.update(needs.packs)
    return [name for name in packs() if name in used]


def needs_news(project: Project, instrument: str) -> bool:
    """Whether a pack that is kept for an instrument reads sentiment."""
    return any(packs()[name].inputs == "sentiment" for name in packs_of(project, instrument))


def day_assets(project: Project, instrument: str) -> list[str]:
    """The chain of a day of an instrument, from landed files to the features its strategies use."""
    return [
        "landed",
        "klines" if project.settings.universe[instrument].tick == "none" else "ticks",
        "quality",
        "bars",
        *(["sentiment"] if needs_news(project, instrument) else []),
        *(f"features/{name}" for name in packs_of(project, instrument)),
    ]


def asset_keys(names: Iterable[str]) -> list[dg.AssetKey]:
    return [dg.AssetKey(name.split("/")) for name in names]


def _selection(*names: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*asset_keys(names))


def job_name(strategy: str, what: str) -> str:
    return f"{strategy}_{what}"


def jobs(project: Project) -> Jobs:
    """The jobs of a project by name."""
    made = [
        dg.define_asset_job(
            FETCH,
            selection=_selection("archive_files"),
            description="Files of days of an instrument, from its venue's archive into the mirror.",
        ),
        dg.define_asset_job(
            INGEST,
            selection=_selection(
                *dict.fromkeys(
                    a for i in project.settings.universe for a in day_assets(project, i)
                ),
                "funding",
            ),
            description="Days of an instrument: landed files to ticks, quality, bars, features; or "
            "its funding rates.",
        ),
        dg.define_asset_job(
            NEWS,
            selection=_selection("news", "sentiment_scores"),
            description="Days of news, fetched and scored.",
        ),
    ]
    if project.settings.recorded:
        made.append(
            dg.define_asset_job(
                BOOKS,
                selection=_selection(*MADE),
                description="Days of a recorded book: quotes and depth in order, what is wrong "
                "with them.",
            )
        )
    for name, strategy in project.strategies.items():
        horizon = strategy.file.labels.horizon
        made += [
            dg.define_asset_job(
                job_name(name, "labels"),
                selection=_selection(f"{name}/labels"),
                description=f"A day of labels of {name}; needs the {horizon} after it.",
            ),
            dg.define_asset_job(
                job_name(name, "predictions"),
                selection=_selection(f"{name}/model", f"{name}/predictions"),
                description=f"Out-of-sample probabilities of {name} for a week that has ended, "
                "after its model where that is stale.",
            ),
            dg.define_asset_job(
                job_name(name, "retrain"),
                selection=_selection(f"{name}/model", f"{name}/backtest", f"{name}/promotion"),
                description=f"The model of {name} for a week, its evidence, the gate's decision.",
            ),
            dg.define_asset_job(
                job_name(name, "parity"),
                selection=_selection(f"{name}/parity"),
                description=f"Days that a daemon traded {name} on, computed again bit for bit.",
            ),
            dg.define_asset_job(
                job_name(name, "reconciliation"),
                selection=_selection(f"{name}/reconciliation"),
                description=f"Days that a daemon traded {name} on, against the archive and the "
                "simulator.",
            ),
        ]
    return {job.name: job for job in made}
