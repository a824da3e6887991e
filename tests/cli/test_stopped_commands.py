"""Commands that are stopped, killed, or run into a system that says no: what they leave and say."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest

from vostok_core.hashing import hash_frame
from vostok_core.lake.store import Lake

ROOT = Path(__file__).resolve().parents[2]
INSTRUMENT = "binance.spot.BTC-USDT"
ARGUMENTS = ("--instrument", INSTRUMENT, "--format", "binance-aggtrades")
DAYS = 12
DEADLINE = 60.0


@pytest.fixture
def landed(folder: Path, agg_trades: Callable[..., str], vostok) -> Path:
    """A lake in which days have landed and nothing is made."""
    place = folder / "archive"
    place.mkdir()
    for day in range(DAYS):
        (place / f"{day:02}.csv").write_text(agg_trades(day))
    assert vostok("ingest", place, *ARGUMENTS, "--land-only").exit_code == 0
    return folder / "data_lake"


@contextmanager
def materializing(folder: Path, first: int = 1, last: int = DAYS) -> Iterator[subprocess.Popen]:
    """`vostok materialize` as a process, which is killed if the test fails."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "vostok", "materialize", "ticks,quality,bars", "--instrument",
            INSTRUMENT, "--from", f"2024-01-{first:02}", "--to", f"2024-01-{last:02}",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(true: Callable[[], object], process: subprocess.Popen) -> None:
    end = time.monotonic() + DEADLINE
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def runs(lake: Path) -> list[dg.DagsterRun]:
    with dg.DagsterInstance.from_config(str(lake / ".dagster")) as instance:
        return list(instance.get_runs())


def assert_whole(root: Path) -> None:
    """Every partition that is there reads, and is what its footer says."""
    lake = Lake.open(root, create=False)
    for name in ("ticks", "quality"):
        for day in lake.days(name, instrument=INSTRUMENT):
            keys = {"instrument": INSTRUMENT, "date": day}
            assert hash_frame(lake.read(name, **keys)) == lake.info(name, **keys).content_hash


@pytest.mark.long
def test_ctrl_c_during_a_run_ends_the_run_and_leaves_whole_partitions(
    folder: Path, landed: Path
) -> None:
    with materializing(folder) as process:
        wait_for(lambda: list(landed.glob("ticks/*/*/part-*.parquet")), process)
        below = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all that it has started
        stdout, stderr = process.communicate(timeout=DEADLINE)
    _, alive = psutil.wait_procs(below, timeout=DEADLINE)
    assert alive == []
    assert process.returncode == 130
    assert stdout == ""
    assert stderr == "Interrupted.\n"
    [run] = runs(landed)
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert list(landed.glob(".dagster/leases/*")) == []
    assert_whole(landed)
    made = Lake.open(landed).days("ticks", instrument=INSTRUMENT)
    assert 0 < len(made) < DAYS


@pytest.mark.long
def test_command_after_a_killed_one_marks_its_run_failed_and_completes(
    folder: Path, landed: Path
) -> None:
    with materializing(folder) as process:
        wait_for(lambda: list(landed.glob("ticks/*/*/part-*.parquet")), process)
        process.kill()
        process.communicate()
    [killed] = runs(landed)
    assert killed.status is dg.DagsterRunStatus.STARTED
    assert_whole(landed)
    with materializing(folder) as process:
        _, stderr = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, stderr
    after = {run.run_id: run.status for run in runs(landed)}
    assert after.pop(killed.run_id) is dg.DagsterRunStatus.FAILURE
    assert list(after.values()) == [dg.DagsterRunStatus.SUCCESS]
    assert list(landed.glob(".dagster/leases/*")) == []
    assert len(Lake.open(landed).days("bars", instrument=INSTRUMENT, interval="1m")) == DAYS


@pytest.mark.long
def test_two_commands_that_open_a_new_instance_at_once_both_work(
    folder: Path, landed: Path
) -> None:
    home = landed / ".dagster"
    home.mkdir()
    lock = home / "open.lock"

    def waits(process: subprocess.Popen) -> bool:
        return str(lock) in [file.path for file in psutil.Process(process.pid).open_files()]

    with (
        lock.open("w") as held,
        materializing(folder, 1, 2) as one,
        materializing(folder, 1, 3) as two,
    ):
        fcntl.flock(held, fcntl.LOCK_EX)
        for process in (one, two):
            wait_for(lambda process=process: waits(process), process)
        assert not (home / "history").exists()
        fcntl.flock(held, fcntl.LOCK_UN)
        said = [process.communicate(timeout=DEADLINE) for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], said
    assert {run.status for run in runs(landed)} == {dg.DagsterRunStatus.SUCCESS}
    assert len(runs(landed)) == 2


MATERIALIZE = ("materialize", "ticks,quality", "--instrument", INSTRUMENT)
FIRST_DAY = ("--from", "2024-01-01", "--to", "2024-01-01")


@pytest.mark.parametrize("name", ["runs.db", "runs/index.db"])
def test_database_that_cannot_be_written_is_told_with_its_place(
    landed: Path, vostok, name: str
) -> None:
    assert vostok(*MATERIALIZE, *FIRST_DAY).exit_code == 0
    with (landed / ".dagster" / "history" / name).open("r+b") as file:
        file.seek(18)  # the format's write version: SQLite only reads a file of a later one
        file.write(b"\x03")
    result = vostok(*MATERIALIZE, *FIRST_DAY)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {landed / '.dagster'}: Dagster's database can't be used: attempt to write a "
        "readonly database. Hint: make the folder and the files in it writable, or name another "
        "lake with --lake\n"
    )


@pytest.mark.long
def test_database_that_another_program_holds_is_told_as_such(landed: Path, vostok) -> None:
    """SQLite waits for it first, as long as Dagster tells it to."""
    assert vostok(*MATERIALIZE, *FIRST_DAY).exit_code == 0
    other = sqlite3.connect(landed / ".dagster" / "history" / "runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    result = vostok(*MATERIALIZE, *FIRST_DAY)
    other.close()
    assert result.exit_code == 1
    assert "database is locked" in result.stderr
    assert "stop `vostok ui`" in result.stderr
    assert vostok(*MATERIALIZE, *FIRST_DAY).exit_code == 0


def test_file_that_the_system_refuses_to_write_is_no_defect_of_ours(
    folder: Path, agg_trades: Callable[..., str]
) -> None:
    """A limit on the size of a file stands for a full disk: writing fails half way."""
    (folder / "day.csv").write_text(agg_trades())
    result = subprocess.run(
        [sys.executable, "-m", "vostok", "ingest", "day.csv", *ARGUMENTS, "--land-only"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Error: a file can't be read or written: File too large.")
    assert "free space" in result.stderr
    assert result.stderr.count("\n") == 1
    files = [path.name for path in (folder / "data_lake").rglob("*") if path.is_file()]
    assert files == ["vostok-lake.json"]
