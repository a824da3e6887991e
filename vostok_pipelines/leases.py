"""Locks in a lake's Dagster home, which end with the process that holds them.

If the process of a run is killed, nothing is left to say that the run has ended, and Dagster counts
it as running for ever: its health check knows containers, not processes. So a run's process locks a
file that is named by the run's id, and whoever can lock that file knows that the process is gone. A
command locks it before it makes the run; a process that the daemon starts locks it before its first
step (`LakeResource`), and keeps it to its end.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from vostok_core.errors import DataError, UsageError

_BEGUN = (DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
_BEGINNING = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING)

_MOMENT = timedelta(seconds=15)
"""More than a run that the daemon has begun takes to lock its file."""

_held: dict[str, int] = {}
"""Descriptors of the files that this process has locked, by the ids of their runs."""


@contextmanager
def opening(home: Path) -> Iterator[None]:
    """One process at a time opens the instance: the first one makes its tables."""
    with (home / "open.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def serving(home: Path) -> Iterator[int]:
    """One daemon at a time launches the runs of a lake.

    Returns:
        A file descriptor. The lock lasts as long as any process that inherits it.

    Raises:
        UsageError: Another one does.
    """
    with (home / "serve.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                "the page and the daemon of this lake run already, or are ending",
                where=home,
                hint="use those, or stop that `vostok ui` and try again in 15 s",
            ) from None
        yield file.fileno()


@contextmanager
def lease(home: Path, run_id: str) -> Iterator[None]:
    """Hold a run's file, from before the run is made until it has ended.

    After an error the file stays, and so a run that has not ended counts as dead.
    """
    descriptor = _held[run_id] = _lock(_path(home, run_id))
    try:
        yield
        _path(home, run_id).unlink()
    finally:
        os.close(descriptor)
        del _held[run_id]


def hold(home: Path, instance: dg.DagsterInstance, run_id: str) -> None:
    """Hold the file of the run that this process executes until the process ends.

    Raises:
        DataError: It was taken for dead, and reported as failed, before it came to this.
    """
    if run_id in _held:
        return
    _held[run_id] = _lock(_path(home, run_id))
    run = instance.get_run_by_id(run_id)
    if run is not None and run.is_finished:
        raise DataError(
            f"run {run_id[:8]} was given up before its process began",
            where=home,
            hint="launch it again; what it would have made may be asked for already",
        )


def fail_dead_runs(
    instance: dg.DagsterInstance, home: Path, *, launching: bool = True
) -> list[str]:
    """Report runs as failed whose process has gone.

    A run without a file has not come to its first step: for a moment that is so of every run that
    the daemon launches. The daemon itself fails runs that don't begin within three minutes. Runs in
    the queue wait for the daemon, and stay.

    Args:
        instance: The instance of `home`.
        home: The lake's Dagster home.
        launching: Whether there may be a daemon that is launching runs. If not, a run that is about
            to begin has nobody to begin it.

    Returns:
        The ids of these runs.
    """
    (home / "leases").mkdir(exist_ok=True)
    # Before the runs are asked for: whoever holds a file has it before its run is there.
    left = {path.name for path in (home / "leases").iterdir()}
    dead = []
    statuses = [*_BEGUN, *_BEGINNING]
    for record in instance.get_run_records(RunsFilter(statuses=statuses)):
        run_id, status = record.dagster_run.run_id, record.dagster_run.status
        if not _path(home, run_id).exists():
            if instance.run_launcher.supports_check_run_worker_health:
                continue  # it runs where no lock of this machine is seen
            recent = datetime.now(UTC) - record.update_timestamp < _MOMENT
            if launching and (recent or status in _BEGINNING):
                continue
        with _tried(_path(home, run_id)) as free:
            run = instance.get_run_by_id(run_id) if free else None
            if run is not None and not run.is_finished:
                instance.report_run_failed(run, "The process of the run was interrupted or killed.")
                dead.append(run_id)
        left.discard(run_id)
    for name in left:
        with _tried(_path(home, name)):
            pass  # of a run that has ended; what nobody holds is deleted
    return dead


def _path(home: Path, run_id: str) -> Path:
    return home / "leases" / run_id


def _lock(path: Path) -> int:
    """Open and lock a file, and be sure that it still has its name."""
    path.parent.mkdir(exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_named(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_named(descriptor: int, path: Path) -> bool:
    """Whether an open file still has its name: another process may have deleted it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


@contextmanager
def _tried(path: Path) -> Iterator[bool]:
    """Whether the file can be locked; if so it is, and deleted at the end."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        free = _is_named(file.fileno(), path)
        yield free
        if free:
            path.unlink()
