"""Many schedules, each in a process of its own that is forked from a warm one; and shrinking.

A process of its own, since what a killed daemon leaves behind must not be collected, least of all
into the next schedule; forked, since that costs nothing. The one that forks reads no lake: Polars
has threads, which a fork would lack.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import random
import select
import shutil
import signal
import ssl
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Self

import aiohttp.connector

from tests.simulation import project
from tests.simulation.loop import VirtualLoop
from tests.simulation.mutants import MUTANTS
from tests.simulation.schedule import Outcome, Schedule, without
from tests.simulation.world import World
from vostok_live.daemon import trader

_STUCK = 240  # seconds of the machine's time for one schedule
_SHORTEST = 10.0  # virtual seconds of storm


class Campaign(AbstractContextManager["Campaign"]):
    """Runs schedules, in a `with`; within it a project lies ready that each gets a copy of.

    Args:
        jobs: Schedules at a time.
        show: Called with every line of a trace; None to show nothing.
    """

    def __init__(self, jobs: int = 2, show: Callable[[str], None] | None = None) -> None:
        self._jobs = jobs
        self._show = show
        self._template = Path(_scratch())

    def __enter__(self) -> Self:
        self._template = Path(tempfile.mkdtemp(prefix=_prefix(os.getpid()), dir=_scratch()))
        _warm(self._template)
        return self

    def __exit__(self, *_: object) -> None:
        _tidy(os.getpid())

    def one(self, schedule: Schedule) -> Outcome:
        """Run a schedule."""
        (outcome,) = self.run([schedule])
        return outcome

    def run(self, schedules: Iterable[Schedule]) -> Iterator[Outcome]:
        """Run schedules; outcomes come as they are done."""
        waiting = iter(schedules)
        running: dict[int, tuple[Schedule, int]] = {}
        try:
            while True:
                while len(running) < self._jobs and (given := next(waiting, None)) is not None:
                    pid, pipe = self._fork(given)
                    running[pid] = given, pipe
                if not running:
                    return
                ready, _, _ = select.select([pipe for _, pipe in running.values()], [], [])
                pid = next(pid for pid, (_, pipe) in running.items() if pipe in ready)
                schedule, pipe = running[pid]
                with os.fdopen(pipe, "rb") as stream:
                    said = stream.read()
                os.waitpid(pid, 0)
                _tidy(pid)
                del running[pid]
                yield _outcome(schedule, said)
        finally:
            for pid, (_, pipe) in running.items():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                _tidy(pid)
                os.close(pipe)

    def shrink(self, schedule: Schedule) -> Schedule:
        """A schedule that fails too, with fewer kinds of faults and a shorter storm, if there is
        one.

        Kinds are left out by halves, then quarters, down to each alone.
        """
        schedule = replace(schedule, kinds=schedule.chosen())
        size = max(len(schedule.chosen()) // 2, 1)
        while schedule.kinds:
            at = 0
            while at < len(schedule.chosen()):
                smaller = without(schedule, schedule.chosen()[at : at + size])
                if self.one(smaller).failures:
                    schedule = smaller
                else:
                    at += size
            if size == 1:
                break
            size = max(size // 2, 1)
        while schedule.seconds / 2 >= _SHORTEST:
            shorter = replace(schedule, seconds=round(schedule.seconds / 2, 1))
            if not self.one(shorter).failures:
                break
            schedule = shorter
        return schedule

    def _fork(self, schedule: Schedule) -> tuple[int, int]:
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid:
            os.close(theirs)
            return pid, ours
        os.close(ours)
        gc.disable()
        signal.alarm(_STUCK)
        try:
            outcome = _play(schedule, self._template, self._show)
        except BaseException:  # noqa: BLE001, the child ends here in any case
            outcome = _failed(schedule, traceback.format_exc())
        with os.fdopen(theirs, "wb") as stream:
            stream.write(pickle.dumps(outcome))
        os._exit(0)


def _play(schedule: Schedule, template: Path, show: Callable[[str], None] | None) -> Outcome:
    """Run a schedule in this process, which is of no use for another afterwards.

    What a killed daemon held is not let go of before the process ends, so end it with `os._exit`.
    """
    if schedule.mutant is not None:
        MUTANTS[schedule.mutant].plant()
    folder = Path(tempfile.mkdtemp(prefix=_prefix(os.getpid()), dir=_scratch()))
    project.copy(template, folder / "project")
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    _seal(loop, schedule.seed)
    try:
        world = World(loop, schedule, folder, show=show)
        return loop.run_until_complete(world.run())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _warm(template: Path) -> None:
    """Make the project, in a child; load what a schedule needs, so that forks find it done."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            project.build(template)
            code = 0
        except BaseException:  # noqa: BLE001, the child ends here in any case
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert status == 0, "the project can't be made"
    project.warm(template)
    gc.collect()
    gc.freeze()


def command(schedule: Schedule) -> str:
    """What to type to run a schedule again."""
    words = [f"python -m tests.simulation --seed {schedule.seed} --seconds {schedule.seconds:g}"]
    if schedule.kinds is not None:
        words.append(f"--faults {','.join(schedule.kinds) or 'none'}")
    if schedule.mutant is not None:
        words.append(f"--mutant {schedule.mutant}")
    return " ".join([*words, "--trace"])


def _outcome(schedule: Schedule, said: bytes) -> Outcome:
    if not said:
        return _failed(schedule, f"the process has died; it may take {_STUCK} s")
    outcome: Outcome = pickle.loads(said)
    return outcome


def _failed(schedule: Schedule, why: str) -> Outcome:
    return Outcome(schedule.seed, schedule.chosen(), (why,), "", -1.0, 0.0, Counter(), ())


def _seal(loop: VirtualLoop, seed: int) -> None:
    """Leave nothing to chance or to the machine's clock."""
    random.seed(seed)  # aiohttp's own
    trader._KEEP_EVERY = 16  # events between two snapshots, so that kills meet them
    # How long connections are kept is counted by a clock that aiohttp takes from `time`.
    aiohttp.connector.monotonic = loop.time
    # ccxt reads all certificates for each client; there is nothing to encrypt here.
    ssl.create_default_context = _tls


_make_tls = ssl.create_default_context


@cache
def _no_tls() -> ssl.SSLContext:
    return _make_tls()


def _tls(*_: object, **__: object) -> ssl.SSLContext:
    return _no_tls()


def _scratch() -> str:
    """A folder in memory, where there is one: syncing a disk takes the machine's time."""
    memory = "/dev/shm"
    return memory if os.access(memory, os.W_OK) else tempfile.gettempdir()


def _prefix(pid: int) -> str:
    return f"vostok-simulation-{pid}-"


def _tidy(pid: int) -> None:
    """Remove what a child has left, if it was ended before it could."""
    for folder in Path(_scratch()).glob(f"{_prefix(pid)}*"):
        shutil.rmtree(folder, ignore_errors=True)
