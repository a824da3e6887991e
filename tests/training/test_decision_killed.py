"""A decision killed each time something of it appears, until there is nothing left to kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.training.conftest import Market, make_strategy
from tests.training.desk import Desk
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.models.bundle_folder import load_kept
from vostok_core.models.registry import pointer_path, promoted

PRELOAD = [
    "tests.training.desk",
    "tests.training.conftest",
    "vostok_core.lake.schemas",
    "matplotlib.backends.backend_agg",
]
MOST = 40


def _decide(root: str, instrument: Instrument, appear: int) -> None:
    """What the child does: decides, and dies as the given file or folder is about to appear."""
    desk = Desk(Market(Lake.open(Path(root)), instrument, make_strategy()))
    seen = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in ("os.rename", "os.link"):
            seen += 1
            if seen == appear:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    desk.decide()


@pytest.mark.timeout(300)
def test_a_decision_killed_anywhere_leaves_nothing_unexplained_and_is_completed_by_the_next(
    walked, tmp_path
) -> None:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(PRELOAD)
    without_pointer = 0
    for appear in range(1, MOST):
        desk = Desk(walked.copy(tmp_path / f"lake-{appear}"))
        desk.excel()
        child = forks.Process(target=_decide, args=(str(desk.lake.root), desk.instrument, appear))
        child.start()
        child.join()
        killed = child.exitcode == -signal.SIGKILL
        assert killed or child.exitcode == 0
        recorded = desk.lake.exists("promotions", **desk.place, week=desk.week)
        if pointer_path(desk.lake, *desk.place.values()).exists():
            _explained(desk)
        elif recorded and desk.rows()["enters_service"].all():
            without_pointer += 1
            assert desk.due() == desk.week
        assert desk.decide().in_service
        assert desk.due() is None
        _explained(desk)
        assert promoted(desk.lake, *desk.place.values()) is not None
        assert len(desk.decisions()) == 1
        assert desk.lake.read("service", **desk.place).height == 1
        if not killed:
            break
    assert not killed
    assert appear > 6  # report, copy, log, row, pointer, note, page
    assert without_pointer == 1


def _explained(desk: Desk) -> None:
    """What is in service has its row, its log, its gate's report and its page."""
    bundle, report = load_kept(desk.lake.root / desk.pointer.bundle)
    assert json.loads(report)["bundle"] == bundle.sha256
    rows = desk.rows()
    assert rows.filter(pl.col("bundle") == bundle.sha256, "enters_service").height == rows.height
    assert [each.bundle for each in desk.decisions()] == [bundle.sha256]
    page = desk.lake.root / "reports/tiny" / desk.place["instrument"] / f"{desk.week}.html"
    assert page.exists()
