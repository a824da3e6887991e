"""`vostok fetch` killed at random moments: nothing is half there, and the next one completes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.fetching.archive_server import ArchiveServer, trickle, zipped
from vostok_core.hashing import hash_file, hash_frame
from vostok_core.lake.store import Lake

NAME = "binance.spot.XRP-ETH"
FIRST, LAST = date(2025, 1, 1), date(2025, 2, 6)
A_DAY = 300  # trades
DAYS = (LAST - FIRST).days + 1
PRELOAD = ["vostok.cli.fetching", "vostok_pipelines.launch", "vostok_core.lake.schemas"]
SETTINGS = """
[calendar]
start = 2025-01-01

[sources.archives]
binance = "archive"

[sources.urls]
binance = "{url}"

[instruments."binance.spot.XRP-ETH"]
tick = "agg_trade"
price_tick = "0.00000001"
quantity_step = "1"
"""


def rows(day: date) -> str:
    number, chance = (day - FIRST).days, random.Random(str(day))
    start = 1_735_689_600_000_000 + number * 86_400_000_000
    return "".join(
        f"{number * A_DAY + k + 1},{chance.uniform(9, 11):.6f},{chance.randrange(1, 10**6)},"
        f"{k},{k},{start + k * 280_000_000},True,True\n"
        for k in range(A_DAY)
    )


@pytest.fixture
def published(server: ArchiveServer) -> ArchiveServer:
    """A server with a month, the days after it, and no haste."""
    base = "data/spot/{}/aggTrades/XRPETH/XRPETH-aggTrades-{}.zip"
    january = [FIRST + timedelta(days=k) for k in range(31)]
    server.put(base.format("monthly", "2025-01"), zipped("".join(rows(day) for day in january)))
    for k in range(31, DAYS):
        day = FIRST + timedelta(days=k)
        server.put(base.format("daily", day), zipped(rows(day)))
    return server


def slowly(server: ArchiveServer) -> None:
    """Every answer comes in pieces."""
    server.faults["*"] = [trickle(server, 8_000, 0.01) for _ in range(50)]


def make(root: Path, server: ArchiveServer) -> Path:
    root.mkdir()
    (root / "strategies").mkdir()
    (root / "vostok.toml").write_text(SETTINGS.format(url=server.url))
    return root


def _run(root: str) -> None:
    """What the child does. Imported modules come with the fork."""
    from vostok.cli.app import app

    os.environ["VOSTOK_PROJECT"] = root
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
        app(["fetch", NAME, "--from", str(FIRST), "--to", str(LAST), "--land-only"])


def started(root: Path) -> ForkServerProcess:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(PRELOAD)
    child = forks.Process(target=_run, args=(str(root),))
    child.start()
    return child


def landed(root: Path) -> dict[date, str]:
    """The content of each day, whose footer says the same."""
    if not (root / "data_lake" / "vostok-lake.json").exists():
        return {}
    lake, found = Lake.open(root / "data_lake"), {}
    for day in lake.days("raw_trades", instrument=NAME):
        ((info, frame),) = lake.read_parts("raw_trades", instrument=NAME, date=day)
        assert hash_frame(frame) == info.content_hash
        found[day] = info.content_hash
    return found


def mirrored(root: Path) -> dict[str, str]:
    """The hash of each file of the mirror, which is whole."""
    found = {}
    for path in sorted((root / "data_lake" / "archive").rglob("[!.]*")):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
        if path.is_file():
            found[path.name] = hash_file(path)
    return found


def moments(seed: int, kills: int, most: int) -> Iterator[int]:
    """How far each fetch comes before it is killed, in what `progress` counts."""
    chance = random.Random(seed)
    for _ in range(kills):
        yield chance.randrange(most)


def progress(root: Path) -> int:
    """Bytes in the mirror, and parts in the lake."""
    size = 0
    for path in (root / "data_lake").rglob("*"):
        if path.name.endswith((".zip", ".part")) and path.exists():
            size += path.stat().st_size // 10_000
        elif path.name.endswith(".parquet"):
            size += 1
    return size


@pytest.mark.parametrize(
    "kills", [20, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_a_fetch_killed_again_and_again_ends_with_what_one_that_was_never_killed_brings(
    published: ArchiveServer, tmp_path: Path, kills: int
) -> None:
    whole = make(tmp_path / "whole", published)
    child = started(whole)
    child.join()
    assert child.exitcode == 0
    expected, files = landed(whole), mirrored(whole)
    assert len(expected) == DAYS
    assert len(files) == 2 * (1 + DAYS - 31)
    most = progress(whole)

    ended, rounds = [], 0
    root = make(tmp_path / "killed-0", published)
    for enough in moments(7, kills, most):
        slowly(published)
        child = started(root)
        assert child.pid is not None
        while child.is_alive() and progress(root) < enough:
            time.sleep(0.005)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
        child.join()
        ended.append(child.exitcode)
        found = landed(root)
        assert {day: expected[day] for day in found} == found
        there = mirrored(root)
        assert {name: files[name] for name in there} == there
        if len(found) == DAYS:  # begin anew
            rounds += 1
            root = make(tmp_path / f"killed-{rounds}", published)
    assert set(ended) <= {-signal.SIGKILL, 0}
    assert ended.count(-signal.SIGKILL) > kills // 2

    published.faults.clear()
    child = started(root)
    child.join()
    assert child.exitcode == 0
    assert landed(root) == expected
    assert mirrored(root) == files
    left = {path.suffix for path in (root / "data_lake" / "archive").rglob(".*") if path.is_file()}
    assert left <= {".tmp"}  # which `vostok doctor` finds
