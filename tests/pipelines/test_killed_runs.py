"""A backfill killed at random moments leaves whole partitions, and the next run completes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import dagster as dg
import pytest

from vostok_core.hashing import hash_file
from vostok_core.lake.store import Lake
from vostok_core.models.bundle_folder import load_bundle
from vostok_core.project import Project

A = "test.spot.AAA-USD"
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 6)
ASSETS = ["landed", "ticks", "quality", "bars"]
TABLES = 4
KILLS = 20
PRELOAD = [
    "vostok_pipelines.launch",
    "vostok_core.lake.schemas",
    "matplotlib.backends.backend_agg",
    "dagster._core.storage.legacy_storage",
    "dagster._core.storage.runs",
    "dagster._core.storage.schedules",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.run_coordinator",
    "dagster._core.launcher",
    "alembic.config",
    "sqlalchemy.dialects.sqlite",
]


Step = tuple[Sequence[str], str | None, date, date]
"""Assets, instrument, first and last day or week: one run."""

BACKFILL: Step = (ASSETS, A, FIRST, LAST)

MONDAY, AFTER = date(2024, 3, 11), date(2024, 3, 18)
RESEARCH: tuple[Step, ...] = (
    (["news", "sentiment_scores"], None, FIRST, AFTER),
    ([*ASSETS, "sentiment", "features/core", "features/sentiment"], A, FIRST, AFTER),
    (["tiny/labels"], A, FIRST, AFTER - timedelta(days=1)),
    (["tiny/model", "tiny/predictions"], A, MONDAY, MONDAY),
    (["tiny/model", "tiny/backtest", "tiny/promotion"], A, AFTER, AFTER),
)
"""From files to a decision of the gate."""
KILLS_OF_A_STEP = 3


def _run(root: str, step: Step) -> None:
    """What the child does. Imported modules come with the fork."""
    from vostok_core.project import find_project
    from vostok_pipelines.launch import Launcher

    Launcher(find_project(Path(root), {})).materialize(*step)


def _written_since(lake: Path, moment: int) -> int:
    return sum(path.stat().st_mtime_ns > moment for path in lake.glob("*/*=*/**/part-*.parquet"))


@pytest.mark.parametrize("kills", [6, pytest.param(KILLS, marks=pytest.mark.long)])
def test_a_backfill_killed_many_times_leaves_no_half_partition_and_then_completes(
    make_project: Callable[..., Project],
    contents: Callable[[Project], dict[str, str]],
    kills: int,
) -> None:
    whole, killed = make_project("whole"), make_project("killed")
    _complete(whole, BACKFILL)
    expected = contents(whole)
    days = (LAST - FIRST).days + 1
    assert len(expected) == TABLES * days

    rng = random.Random(20)
    stages = []
    for _ in range(kills):
        began = time.time_ns()
        child = _started(killed, BACKFILL)
        # A moment by progress, not by the clock, so that a busy machine has the same moments.
        enough = rng.randrange(len(expected))
        while child.is_alive() and _written_since(killed.lake_root, began) < enough:
            time.sleep(0.01)
        stages.append(_killed(child, rng.uniform(0.0, 0.15)))
        found = contents(killed)
        assert {name: expected[name] for name in found} == found
        _no_reader_sees_temporary_files(killed.open_lake())
    assert stages.count(-signal.SIGKILL) >= kills * 3 // 4, stages
    assert set(stages) <= {-signal.SIGKILL, 0}

    _complete(killed, BACKFILL)
    assert contents(killed) == expected
    with dg.DagsterInstance.from_config(str(killed.dagster_home)) as instance:
        ended = [run.status for run in instance.get_runs()]
    assert set(ended) == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}


@pytest.mark.long
def test_the_whole_research_path_killed_step_by_step_ends_with_the_same_bits(
    make_project: Callable[..., Project],
    contents: Callable[[Project], dict[str, str]],
) -> None:
    whole, killed = make_project("whole"), make_project("killed")
    rng = random.Random(5)
    for step in RESEARCH:
        ended = []
        began, clock = time.time_ns(), time.monotonic()
        _complete(whole, step)
        files, gap = _written_since(whole.lake_root, began), time.monotonic() - clock
        assert files
        gap /= files
        expected, models = contents(whole), _models(whole)
        for _ in range(KILLS_OF_A_STEP):
            began = time.time_ns()
            child = _started(killed, step)
            enough = rng.randrange(files)
            while child.is_alive() and _written_since(killed.lake_root, began) < enough:
                time.sleep(0.01)
            ended.append(_killed(child, rng.uniform(0.0, gap)))
            found = contents(killed)
            assert {name: expected[name] for name in found} == found
            _no_reader_sees_temporary_files(killed.open_lake())
            for bundle in killed.lake_root.glob("models/strategy=*/*/*/bundle"):
                load_bundle(bundle)
        assert -signal.SIGKILL in ended, (step, ended)
        assert set(ended) <= {-signal.SIGKILL, 0}
        _complete(killed, step)
        assert contents(killed) == expected
        assert _models(killed) == models
    tables = {name.split("/")[0] for name in expected}
    assert tables >= {"features", "labels", "predictions", "backtest_trades", "promotions"}
    assert any("bundle/manifest.json" in name for name in models)


def _started(project: Project, step: Step) -> ForkServerProcess:
    """A child at its work.

    A server that has imported everything, and used nothing, forks it: polars and the numba kernels
    don't survive a fork after use.
    """
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(PRELOAD)
    child = forks.Process(target=_run, args=(str(project.root), step))
    child.start()
    return child


def _killed(child: ForkServerProcess, patience: float) -> int | None:
    """Kill a child that does not end in time; how it ended."""
    child.join(patience)
    assert child.pid is not None
    if child.is_alive():
        os.kill(child.pid, signal.SIGKILL)
    child.join()
    return child.exitcode


def _complete(project: Project, step: Step) -> None:
    child = _started(project, step)
    child.join()
    assert child.exitcode == 0


def _models(project: Project) -> dict[str, str]:
    """Hashes of bundles and of what is in service."""
    root = project.lake_root
    return {
        str(path.relative_to(root)): hash_file(path)
        for path in sorted((root / "models").rglob("*"))
        if path.is_file() and not path.name.endswith(".tmp")
    }


def _no_reader_sees_temporary_files(lake: Lake) -> None:
    """What a killed writer left beside a partition's place, nobody takes for the partition."""
    for path in lake.root.rglob("*.tmp"):
        assert path.name.startswith(".")
        assert path not in lake.root.glob("*/**/part-*.parquet")
        assert path not in lake.root.glob("*/**/*.parquet")
