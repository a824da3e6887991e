"""A small project with real files: two synthetic markets and news, run by the real Dagster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from vostok_core.hashing import hash_frame
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.synthetic import MarketSpec
from vostok_core.project import Project, find_project
from vostok_core.settings import load_settings
from vostok_exchange.feed import write_feed
from vostok_exchange.world import Market, write_history
from vostok_pipelines.launch import Launcher

ROOT = Path(__file__).resolve().parents[2]

A, B, K = "test.spot.AAA-USD", "test.spot.BBB-USD", "test.spot.KKK-USD"
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 18)

SETTINGS = f"""
[calendar]
start = {FIRST}

[sources.archives]
test = "archive"

[instruments."{A}"]
tick = "agg_trade"
price_tick = "0.01"
quantity_step = "0.00001"
max_silence = "30m"

[instruments."{B}"]
tick = "agg_trade"
price_tick = "0.01"
quantity_step = "0.00001"
max_silence = "30m"

[instruments."{K}"]
tick = "none"
price_tick = "0.01"
quantity_step = "0.00001"
max_silence = "30m"
"""

STRATEGY = f"""
description = "Small and quick."
instruments = ["{A}", "{B}"]

[features]
packs = ["core", "sentiment"]

[events]
threshold = 3.0

[labels]
horizon = "1h"

[model]
train_weeks = 1
min_labels = 50

[model.parameters]
num_iterations = 20
"""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's settings don't reach a test, and what the launcher sets doesn't leave it."""
    import os

    for name in [name for name in os.environ if name.startswith("VOSTOK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_HOME", "/nowhere")


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of fifteen days of two markets, four trades a minute, and their news."""
    root = tmp_path_factory.mktemp("history")
    (root / "vostok.toml").write_text(SETTINGS)
    settings = load_settings(root / "vostok.toml")
    spec = MarketSpec(edge=0.2, trades_per_minute=4.0, start_price=2_000.0)
    news = []
    for name in (A, B):
        market = Market(settings.instrument(name), spec)
        news += write_history(market, root / "archive", FIRST, LAST, seed=5).news
    write_feed(root / "feeds" / "demo.xml", sorted(news))
    return root


@pytest.fixture
def make_project(history: Path, tmp_path: Path) -> Callable[..., Project]:
    """Makes a project whose lake has the history's archive and feed; files are links."""

    def make(name: str = "project") -> Project:
        root = tmp_path / name
        (root / "strategies").mkdir(parents=True)
        (root / "vostok.toml").write_text(SETTINGS)
        (root / "strategies" / "tiny.toml").write_text(STRATEGY)
        (root / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
        for source in history.rglob("*"):
            if source.is_file() and source.name != "vostok.toml":
                target = root / "data_lake" / source.relative_to(history)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.hardlink_to(source)
        return find_project(root, {})

    return make


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """One such project."""
    return make_project()


@pytest.fixture
def launcher(project: Project) -> Launcher:
    """Launches runs of it."""
    return Launcher(project)


@pytest.fixture(scope="session")
def enqueue() -> Callable[..., dg.DagsterRun]:
    """Makes a run that waits in the daemon's queue."""

    def make(
        instance: dg.DagsterInstance,
        job: dg.JobDefinition,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
    ) -> dg.DagsterRun:
        place = GrpcServerCodeLocationOrigin(host="localhost", port=1, location_name="vostok")
        repository = RemoteRepositoryOrigin(place, "__repository__")
        return instance.create_run_for_job(
            job,
            run_id=run_id,
            status=dg.DagsterRunStatus.QUEUED,
            tags=tags,
            remote_job_origin=RemoteJobOrigin(repository, job.name),
            job_code_origin=JobPythonOrigin(
                job.name,
                RepositoryPythonOrigin(
                    sys.executable, ModuleCodePointer("vostok_pipelines.definitions", "defs")
                ),
            ),
        )

    return make


@pytest.fixture(scope="session")
def contents() -> Callable[[Project], dict[str, str]]:
    """Reads every file of every table, holds it against its footer, and returns the hashes."""

    def read(project: Project) -> dict[str, str]:
        lake = project.open_lake()
        return dict(_checked_files(lake))

    return read


def _checked_files(lake: Lake) -> Iterator[tuple[str, str]]:
    for path in sorted(lake.root.glob("*/*=*/**/part-*.parquet")):
        relative = path.relative_to(lake.root)
        keys = dict(part.split("=", 1) for part in relative.parts[1:-1])
        name = relative.parts[0]
        assert set(keys) == set(table(name).keys)
        for info, frame in lake.read_parts(name, **keys):
            if info.kept_in is not None:
                there, rows = lake.load(info.kept_in, **keys)
                assert there.content_hash == info.content_hash, relative
            else:
                rows = frame
            assert hash_frame(rows) == info.content_hash, relative
            assert rows.height == info.rows, relative
        yield str(relative), lake.info(name, **keys).content_hash
