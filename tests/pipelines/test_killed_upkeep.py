"""Landing, merging and compacting, killed at random moments: nothing is lost, nothing is doubled.

A child lands files of two contents over and over, merges, compacts and lets old rows go, as fast as
it can. It is killed somewhere in that, many times; whatever it leaves must be a whole lake that
holds the rows of every file in use, and from which the next one goes on.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from vostok_core.hashing import hash_frame
from vostok_core.lake import encoding
from vostok_core.lake.store import Lake
from vostok_core.lake.verify import verify
from vostok_core.market.days import parts_in_use
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.kept_once import rows_of
from vostok_core.market.merging import merge_day
from vostok_core.project import find_project
from vostok_core.times import MINUTE, day_start
from vostok_pipelines.landing import land
from vostok_pipelines.upkeep import compact_table, find_garbage

NAME = "binance.spot.XRP-ETH"
OF = Instrument(
    InstrumentId.parse(NAME),
    "agg_trade",
    Decimal("0.00000001"),
    Decimal(1),
    Decimal(0),
    60 * MINUTE,
)
DAYS = [date(2025, 1, 1) + timedelta(days=2 * k) for k in range(3)]  # apart
TABLES = ("raw_trades", "ticks", "quality")
ROWS = 2_000
PRESENT = encoding.VERSION
PRELOAD = ["vostok_pipelines.upkeep", "vostok_pipelines.landing", "vostok_core.lake.schemas"]
SETTINGS = f"""
[instruments."{NAME}"]
tick = "agg_trade"
price_tick = "0.00000001"
quantity_step = "1"
"""


def write_files(folder: Path) -> None:
    """Two files of each day: of its whole, and of a half of it, which the whole corrects."""
    folder.mkdir()
    for number, day in enumerate(DAYS):
        chance = random.Random(number)
        lines = [
            f"{number * ROWS + k},{chance.uniform(9, 11):.6f},{chance.randrange(1, 10**6)},"
            f"{k},{k},{day_start(day) + k * 40_000_000},True,True"
            for k in range(ROWS)
        ]
        (folder / f"whole-{day}.csv").write_text("\n".join(lines))
        (folder / f"half-{day}.csv").write_text("\n".join(lines[: ROWS // 2]))


def land_file(lake: Lake, folder: Path, day: date, kind: str, *, replace: bool) -> None:
    land(lake, folder / f"{kind}-{day}.csv", OF, "binance-aggtrades", replace=replace)


def work(root: str, seed: int) -> None:
    """Change the lake until somebody kills it."""
    project = find_project(Path(root), {})
    lake, folder, chance = project.open_lake(), Path(root) / "files", random.Random(seed)
    later = datetime.now(UTC) + timedelta(days=1_000)
    while True:
        act, day = chance.randrange(8), chance.choice(DAYS)
        encoding.VERSION = chance.choice(["1", PRESENT])  # as an older version, now and then
        if act < 3:
            kind = chance.choice(["whole", "half"])
            land_file(lake, folder, day, kind, replace=chance.random() < 0.7)
        elif act < 6 and lake.exists("raw_trades", instrument=NAME, date=day):
            merge_day(lake, OF, day)
        encoding.VERSION = PRESENT
        if act == 6:
            for name in TABLES:
                assert not [done.problem for done in compact_table(lake, name) if done.problem]
        elif act == 7:
            for garbage in list(find_garbage(project, lake, later)):
                garbage.remove()


def started(root: Path, seed: int) -> ForkServerProcess:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(PRELOAD)
    child = forks.Process(target=work, args=(str(root), seed))
    child.start()
    return child


def check(lake: Lake) -> None:
    """Every file is whole, and the rows of every landed file in use are to be had, once each."""
    damaged = [looked for name in TABLES for looked in verify(lake, name) if looked.damage]
    assert damaged == []
    for day in lake.days("raw_trades", instrument=NAME):
        keys = {"instrument": NAME, "date": day}
        for part in parts_in_use(lake.parts("raw_trades", **keys)):
            rows = rows_of(lake, "raw_trades", part, keys)
            assert hash_frame(rows) == part.content_hash
            assert rows.height in (ROWS, ROWS // 2)
        if lake.exists("ticks", **keys):
            ticks = lake.read("ticks", **keys)
            assert ticks["trade_id"].is_unique().all()
            assert ticks.height in (ROWS, ROWS // 2)


def contents(lake: Lake, folder: Path) -> dict[tuple[str, date], str]:
    """What all days hold once the whole files have landed and were merged."""
    for day in DAYS:
        land_file(lake, folder, day, "whole", replace=True)
        merge_day(lake, OF, day)
    return {
        (name, day): lake.info(name, instrument=NAME, date=day).content_hash
        for name in ("ticks", "quality")
        for day in DAYS
    }


@pytest.mark.parametrize(
    "kills", [20, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_whatever_is_killed_loses_and_doubles_nothing(tmp_path: Path, kills: int) -> None:
    root = tmp_path / "project"
    (root / "strategies").mkdir(parents=True)
    (root / "vostok.toml").write_text(SETTINGS)
    write_files(root / "files")
    lake = Lake.open(root / "data_lake")
    chance, ended = random.Random(kills), []
    for seed in range(kills):
        before = changed(lake)
        child = started(root, seed)
        wait_for_work(lake, before, child)
        time.sleep(chance.uniform(0, 0.15))
        child.kill()
        child.join()
        ended.append(child.exitcode)
        check(lake)
    assert ended == [-signal.SIGKILL] * kills, "it works until it is killed"

    reference = Lake.open(tmp_path / "reference")
    assert contents(lake, root / "files") == contents(reference, root / "files")
    for name in TABLES:
        list(compact_table(lake, name))
    check(lake)
    kept = lake.parts("raw_trades", instrument=NAME, date=DAYS[0])
    assert len(kept) <= 2, "a file that lands again is the same part"


def changed(lake: Lake) -> set[str]:
    """What tells that something was written."""
    return {stat.tag for name in TABLES for _, stat in lake.listed(name)}


def wait_for_work(lake: Lake, before: set[str], child: ForkServerProcess) -> None:
    limit = time.monotonic() + 60
    while changed(lake) == before:
        assert child.exitcode is None, "it ended by itself"
        assert time.monotonic() < limit
        time.sleep(0.01)
