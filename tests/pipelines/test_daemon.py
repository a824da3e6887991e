"""A real daemon on a small lake: what it launches, and what is left when it is stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster import DagsterRunStatus
from dagster._core.scheduler.instigation import ScheduleInstigatorData, TickStatus
from sqlalchemy.exc import OperationalError

from vostok_core.project import Project
from vostok_core.times import days
from vostok_pipelines.launch import Launcher

A, B = "test.spot.AAA-USD", "test.spot.BBB-USD"
ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 18)
DEADLINE = 120.0
PLACE = {"repositoryLocationName": "vostok", "repositoryName": "__repository__"}

pytestmark = pytest.mark.long


def wait_for(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + DEADLINE
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


class Served:
    """`vostok ui` of a project."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        assert self.process.poll() is None
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer)["data"])

    def answers(self) -> bool:
        try:
            return bool(self.ask("{ assetNodes { assetKey { path } } }")["assetNodes"])
        except OSError:
            return False

    def turn_on(self, kind: str, name: str) -> None:
        query = (
            f"mutation($it: {kind}Selector!) {{ start{kind}({kind.lower()}Selector: $it) "
            "{ __typename } }"
        )
        answer = self.ask(query, it=PLACE | {f"{kind.lower()}Name": name})
        assert answer[f"start{kind}"]["__typename"] in ("Sensor", "ScheduleStateResult")

    def end(self, number: int) -> None:
        """End it by a signal, and wait until nothing of it is left."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        self.process.wait(60)
        _, alive = psutil.wait_procs(below, timeout=60)
        assert alive == []


@contextmanager
def serving(project: Project) -> Iterator[Served]:
    """`vostok ui`, as soon as the page answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "vostok", "ui", "--port", str(port)],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        served = Served(process, port)
        wait_for(served.answers)
        yield served
    finally:
        below: list[psutil.Process] = []
        if process.poll() is None:
            below = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        for child in below:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.communicate()


@pytest.fixture
def lake(project: Project) -> Iterator[dg.DagsterInstance]:
    """The project with one instrument's files, its news scored, and its instance."""
    shutil.copy(ROOT / "workspace.yaml", project.root)
    Launcher(project).materialize(["news", "sentiment_scores"], None, FIRST, LAST)
    for path in (project.lake_root / "archive").rglob("*.zip"):
        if "BBB" in path.name:
            path.unlink()
        else:
            os.utime(path, (0, 0))  # long written
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        yield instance


def ingestion(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that make days, oldest first."""
    return list(instance.get_runs(dg.RunsFilter(job_name="ingest")))[::-1]


def made(project: Project) -> list[date]:
    folder = project.open_lake()
    return folder.days("features", pack="sentiment", instrument=A, interval="1m")


def process_of(run: dg.DagsterRun, project: Project, below: int) -> psutil.Process | None:
    """The process that executes a run: it has the run's file open."""
    held = str(project.dagster_home / "leases" / run.run_id)
    for process in psutil.Process(below).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if held in [file.path for file in process.open_files()]:
                return process
    return None


def suspend(worker: psutil.Process, instance: dg.DagsterInstance) -> None:
    """Stop a process where it is, but not while it holds the lock of the instance's database."""
    for _ in range(20):
        worker.suspend()
        try:
            ingestion(instance)
        except OperationalError:
            worker.resume()
            time.sleep(0.1)
        else:
            return
    pytest.fail("the run held the lock of the database every time that it was looked at")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_of_a_daemon_that_was_stopped_fails_and_is_asked_for_again(
    project: Project, lake: dg.DagsterInstance, number: int
) -> None:
    with serving(project) as first:
        first.turn_on("Sensor", "new_trade_files")
        [run] = wait_for(lambda: ingestion(lake))
        worker = wait_for(lambda: process_of(run, project, first.process.pid))
        suspend(worker, lake)  # in the middle of it
        assert ingestion(lake)[0].status is DagsterRunStatus.STARTED
        first.end(number)
    assert ingestion(lake)[0].status is DagsterRunStatus.STARTED
    assert made(project) == []
    with serving(project) as second:
        assert ingestion(lake)[0].status is DagsterRunStatus.FAILURE
        wait_for(lambda: [r for r in ingestion(lake) if r.status is DagsterRunStatus.SUCCESS])
        second.end(signal.SIGINT)
    before, after = ingestion(lake)
    assert before.run_id == run.run_id
    assert after.asset_selection == before.asset_selection
    assert made(project) == list(days(FIRST, LAST))


def test_a_schedule_does_not_ask_again_for_what_waits_in_the_queue(
    project: Project, lake: dg.DagsterInstance
) -> None:
    file = project.root / "dagster.yaml"
    settings = file.read_text()
    assert "max_concurrent_runs: 2" in settings
    file.write_text(settings.replace("max_concurrent_runs: 2", "max_concurrent_runs: 0"))
    with serving(project) as served:
        served.turn_on("Schedule", "daily_ingestion")
        served.end(signal.SIGINT)
    [state] = lake.all_instigator_state()
    for status in (TickStatus.SUCCESS, TickStatus.SKIPPED):
        # The daemon makes up for the last tick that it missed, if it did not make it before.
        lake.purge_ticks(state.instigator_origin_id, state.selector_id, time.time())
        long_ago = (datetime.now(UTC) - timedelta(hours=30)).timestamp()
        data = ScheduleInstigatorData(state.instigator_data.cron_schedule, long_ago)
        lake.update_instigator_state(state.with_data(data))
        with serving(project) as served:
            [tick] = wait_for(
                lambda status=status: lake.get_ticks(
                    state.instigator_origin_id, state.selector_id, statuses=[status]
                )
            )
            served.end(signal.SIGINT)
        assert [run.status for run in ingestion(lake)] == [DagsterRunStatus.QUEUED]
    assert tick.skip_reason == f"a run of {A} is under way"
    file.write_text(settings)
    with serving(project) as served:
        wait_for(lambda: ingestion(lake)[0].status is DagsterRunStatus.SUCCESS)
        served.end(signal.SIGINT)
    assert len(ingestion(lake)) == 1
    assert made(project) == list(days(FIRST, LAST))
