"""Fixtures for every test: a fresh lake, and the shared real data where it is installed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.store.server import BUCKET, Server, running
from vostok_core.lake.store import Lake

# A busy machine is no failure: examples have no deadline.
hypothesis.settings.register_profile("vostok", deadline=None)
hypothesis.settings.load_profile("vostok")

PROJECT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and list, the tests on shared data where there is none to be had."""
    if os.environ.get("VOSTOK_SHARED"):
        return
    away = [item for item in items if item.get_closest_marker("shared_data")]
    if away:
        config.hook.pytest_deselected(items=away)
        config.stash[_NOT_RUN] = [item.nodeid for item in away]
        items[:] = [item for item in items if item not in away]


_NOT_RUN = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    not_run = terminalreporter.config.stash.get(_NOT_RUN, [])
    if not_run:
        terminalreporter.section("not run: VOSTOK_SHARED is unset, so there is no shared data")
        for name in not_run:
            terminalreporter.write_line(name)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real market data; absent data is a failure, not a skip."""
    root = Path(os.environ["VOSTOK_SHARED"])
    if not root.is_absolute():
        root = PROJECT / root
    assert (root / "data" / "MANIFEST.md").is_file(), (
        f"VOSTOK_SHARED is set to {root}, but {root}/data/MANIFEST.md is missing"
    )
    return root.resolve() / "data"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real object store, and the environment that leads to it."""
    with (
        running(tmp_path_factory.mktemp("seaweedfs")) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def s3_address(s3_server: Server) -> str:
    """An address in it that nothing else is at."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.open(tmp_path / "lake")
