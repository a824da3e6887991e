"""Which runs count as dead: by the lock of the process that executes them, and by nothing else."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from vostok_core.errors import DataError, UsageError
from vostok_pipelines.leases import fail_dead_runs, hold, lease, serving

ROOT = Path(__file__).resolve().parents[2]
RUN_ID = "0a5e6d1c-0000-4000-8000-000000000001"

# A run of two assets that Dagster executes in a process of its own, without Vostok's launcher. The
# second says that it has begun, and waits for a word.
RUN = """
import sys
from pathlib import Path
import dagster as dg
from vostok_pipelines.resources import LakeResource

@dg.asset
def first(lake: LakeResource) -> dg.MaterializeResult:
    return dg.MaterializeResult()

@dg.asset(deps=[first])
def second(lake: LakeResource) -> dg.MaterializeResult:
    print("begun", flush=True)
    sys.stdin.readline()
    return dg.MaterializeResult()

home, run_id = sys.argv[1:]
definitions = dg.Definitions(
    assets=[first, second],
    resources={"lake": LakeResource(root=str(Path(home).parent), home=home)},
)
with dg.DagsterInstance.from_config(home) as instance:
    definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, run_id=run_id
    )
    print("ended", flush=True)
    sys.stdin.readline()
"""

# Holds the lock of the daemon, or a lease, for as long as its standard input is open.
HOLDER = """
import sys
from pathlib import Path
from vostok_pipelines.leases import lease, serving
home = Path(sys.argv[1])
with lease(home, sys.argv[2]) if len(sys.argv) > 2 else serving(home):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def process(code: str, *arguments: object, says: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said a word, and is killed at the end."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == f"{says}\n"
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / ".dagster"
    home.mkdir()
    (home / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    return home


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@dg.job
def nothing() -> None:
    pass


def begin(instance: dg.DagsterInstance, status: DagsterRunStatus, run_id: str = RUN_ID) -> None:
    """A run that the daemon has brought to a status, just now."""
    instance.create_run_for_job(nothing, run_id=run_id, status=status)


def age(home: Path) -> None:
    """Let the status of every run be a minute old."""
    with closing(sqlite3.connect(home / "history" / "runs.db")) as runs, runs:
        runs.execute("UPDATE runs SET update_timestamp = datetime(update_timestamp, '-1 minute')")


def status_of(instance: dg.DagsterInstance, run_id: str = RUN_ID) -> DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_is_dead_once_the_process_that_executes_it_is_killed(
    home: Path, instance: dg.DagsterInstance
) -> None:
    with process(RUN, home, RUN_ID, says="begun") as child:
        age(home)
        assert fail_dead_runs(instance, home, launching=False) == []
        child.kill()
        child.wait()
        assert status_of(instance) is DagsterRunStatus.STARTED
        assert fail_dead_runs(instance, home) == [RUN_ID]
    assert status_of(instance) is DagsterRunStatus.FAILURE
    assert fail_dead_runs(instance, home) == []
    assert list((home / "leases").iterdir()) == []


def test_a_run_that_has_ended_keeps_its_status_and_its_file_goes_with_its_process(
    home: Path, instance: dg.DagsterInstance
) -> None:
    with process(RUN, home, RUN_ID, says="begun") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "ended\n"
        assert fail_dead_runs(instance, home) == []
        assert [path.name for path in (home / "leases").iterdir()] == [RUN_ID]
    assert fail_dead_runs(instance, home) == []
    assert status_of(instance) is DagsterRunStatus.SUCCESS
    assert list((home / "leases").iterdir()) == []


@pytest.mark.parametrize(
    ("status", "at_once", "later", "alone"),
    [
        (DagsterRunStatus.NOT_STARTED, False, False, True),
        (DagsterRunStatus.STARTING, False, False, True),  # later the daemon itself gives it up
        (DagsterRunStatus.STARTED, False, True, True),
        (DagsterRunStatus.CANCELING, False, True, True),
        (DagsterRunStatus.CANCELED, False, False, False),
    ],
    ids=lambda value: value.value if isinstance(value, DagsterRunStatus) else None,
)
def test_a_run_that_has_not_come_to_its_first_step_is_given_time(
    home: Path,
    instance: dg.DagsterInstance,
    status: DagsterRunStatus,
    at_once: bool,
    later: bool,
    alone: bool,
) -> None:
    begin(instance, status)
    assert bool(fail_dead_runs(instance, home)) is at_once
    age(home)
    assert bool(fail_dead_runs(instance, home)) is later
    if later:
        begin(instance, status, other := RUN_ID[:-1] + "2")
        assert fail_dead_runs(instance, home, launching=False) == [other]
    else:
        assert bool(fail_dead_runs(instance, home, launching=False)) is alone


def test_a_run_in_the_queue_waits_for_the_daemon(
    home: Path, instance: dg.DagsterInstance, enqueue: Callable[..., dg.DagsterRun]
) -> None:
    run = enqueue(instance, nothing)
    age(home)
    assert fail_dead_runs(instance, home, launching=False) == []
    assert status_of(instance, run.run_id) is DagsterRunStatus.QUEUED


def test_a_command_holds_the_file_before_there_is_a_run_and_until_it_has_ended(
    home: Path, instance: dg.DagsterInstance
) -> None:
    with process(HOLDER, home, RUN_ID, says="held"):
        assert fail_dead_runs(instance, home, launching=False) == []  # leaves the file alone
        begin(instance, DagsterRunStatus.NOT_STARTED)
        assert fail_dead_runs(instance, home, launching=False) == []
    assert fail_dead_runs(instance, home) == [RUN_ID]
    with lease(home, RUN_ID[:-1] + "2"):
        begin(instance, DagsterRunStatus.STARTED, RUN_ID[:-1] + "2")
        assert fail_dead_runs(instance, home, launching=False) == []
    assert list((home / "leases").iterdir()) == []


def test_a_process_that_comes_too_late_to_its_run_does_not_execute_it(
    home: Path, instance: dg.DagsterInstance
) -> None:
    begin(instance, DagsterRunStatus.STARTED)
    age(home)
    assert fail_dead_runs(instance, home) == [RUN_ID]
    with pytest.raises(DataError, match="given up before its process began"):
        hold(home, instance, RUN_ID)


def test_one_daemon_serves_a_lake(home: Path) -> None:
    with process(HOLDER, home, says="held"):
        with pytest.raises(UsageError, match="run already") as caught, serving(home):
            pass
        assert caught.value.where == str(home)
    with serving(home):
        pass
