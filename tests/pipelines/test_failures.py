"""What goes wrong inside a run comes out as it was raised, and a signal is never forgotten."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import traceback
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.interrupts import capture_interrupts

from vostok_core.errors import MissingPartition
from vostok_core.project import Project, find_project
from vostok_exchange.archive import archive_path
from vostok_pipelines.arrivals import ArrivalsReader
from vostok_pipelines.launch import Launcher, _interruptible, environment

A = "test.spot.AAA-USD"
FIRST = date(2024, 3, 4)


def test_error_of_an_asset_keeps_its_class_its_place_and_its_hint(
    project: Project, launcher: Launcher
) -> None:
    archive = project.lake_root / "archive"
    archive_path(archive, "AAAUSD", FIRST).unlink()
    with pytest.raises(MissingPartition) as caught:
        launcher.materialize(["landed"], A, FIRST, FIRST)
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        [run] = instance.get_runs()
    error = caught.value
    assert error.where == f"run {run.run_id[:8]}, landed: {archive}"
    assert error.what == f"nothing has landed for {A} on {FIRST}"
    assert error.hint is not None
    assert "vostok ingest" in error.hint
    # For --debug: where it was raised, not only where it came out.
    assert "landed" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_a_venue_without_an_archive_takes_no_file_of_anothers_symbol(project: Project) -> None:
    other = A.replace("test", "other")
    path = project.root / "vostok.toml"
    rules = 'tick = "agg_trade"\nprice_tick = "0.01"\nquantity_step = "0.00001"\n'
    path.write_text(f'{path.read_text()}\n[instruments."{other}"]\n{rules}')
    project = find_project(project.root, {})
    lake, universe = project.open_lake(), project.settings.universe
    reader = ArrivalsReader(project)
    looked = [reader.look(lake, universe[name], FIRST, float("inf")) for name in (A, other)]
    assert [found.open for found in looked if found] == [[FIRST], []]
    with pytest.raises(MissingPartition, match="nothing has landed") as caught:
        Launcher(project).materialize(["landed"], other, FIRST, FIRST)
    assert caught.value.hint == (
        "other has no archive in [sources.archives]: run `vostok ingest PATH --instrument "
        f"{other} --format FORMAT`"
    )


def test_what_sentiment_features_lack_is_told_with_commands_that_make_all_of_it(
    launcher: Launcher,
) -> None:
    last = FIRST + timedelta(days=3)
    launcher.materialize(["landed", "ticks", "quality", "bars"], A, FIRST, last)
    launcher.materialize(["news", "sentiment_scores"], None, FIRST, FIRST)
    launcher.materialize(["sentiment"], A, FIRST, FIRST)
    with pytest.raises(MissingPartition, match="no sentiment on 3 days") as caught:
        launcher.materialize(["features/sentiment"], A, last, last)
    commands = re.findall(r"`vostok materialize ([^`]*)`", caught.value.hint or "")
    second = FIRST + timedelta(days=1)
    assert commands == [
        f"news,sentiment_scores --from {second} --to {last}",
        f"sentiment --instrument {A} --from {second} --to {last}",
    ]
    with pytest.raises(MissingPartition) as caught:
        launcher.materialize(["sentiment"], A, second, second)
    scores = f"`vostok materialize news,sentiment_scores --from {second} --to {second}`"
    assert scores in (caught.value.hint or "")
    launcher.materialize(["news", "sentiment_scores"], None, second, last)
    launcher.materialize(["sentiment"], A, second, last)
    launcher.materialize(["features/sentiment"], A, last, last)


def test_what_the_system_refuses_inside_an_asset_is_told_as_such(
    project: Project, launcher: Launcher
) -> None:
    (project.lake_root / "raw_trades").write_text("in the way")
    with pytest.raises(OSError, match="raw_trades"):
        launcher.materialize(["landed"], A, FIRST, FIRST)
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        [run] = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_processes_that_open_an_instance_at_once_find_its_tables_made(project: Project) -> None:
    home = Path(environment(project)["DAGSTER_HOME"])
    databases = [home / "history" / "runs.db", home / "history" / "runs" / "index.db"]
    databases.append(home / "schedules" / "schedules.db")
    for database in databases:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            assert len(connection.execute("SELECT * FROM alembic_version").fetchall()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_that_dagster_holds_back_still_interrupts(number: int) -> None:
    steps = []

    def run() -> None:
        with _interruptible():
            with capture_interrupts():  # what Dagster does between the steps of a run
                os.kill(os.getpid(), number)
            steps.append("ended")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert steps == ["ended"]
    with _interruptible():  # the signal is not kept for later
        steps.append("begun")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_run_that_is_stopped_before_dagster_listens_is_marked_failed(
    project: Project, launcher: Launcher, stop: type[BaseException]
) -> None:
    job = launcher.definitions.resolve_implicit_global_asset_job_def()
    begun = []

    def run() -> None:
        with launcher._instance() as instance, launcher._leased(instance) as run_id:
            begun.append(instance.create_run_for_job(job, run_id=run_id).run_id)
            raise stop

    with pytest.raises(stop):
        run()
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        assert [(each.run_id, each.status) for each in instance.get_runs()] == [
            (begun[0], dg.DagsterRunStatus.FAILURE)
        ]
