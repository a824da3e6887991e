"""Many schedules, each in a process of its own that is forked from a warm one; and shrinking.

A process of its own, since what a killed daemon leaves behind must not be collected, least of all
into the next schedule; forked, since that costs nothing.
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
from dataclasses import replace
from functools import cache
from pathlib import Path

import aiohttp.connector

from tests.simulation.loop import VirtualLoop
from tests.simulation.schedule import Maker, Outcome, Schedule, without
from tests.simulation.world import World

_STUCK = 240  # seconds of the machine's time for one schedule
_SHORTEST = 10.0  # virtual seconds of storm


def play(
    schedule: Schedule,
    *,
    show: Callable[[str], None] | None = None,
    make: Maker | None = None,
) -> Outcome:
    """Run a schedule in this process, which is of no use for another afterwards.

    What a killed daemon held is not let go of before the process ends, so end it with `os._exit`.
    """
    folder = Path(tempfile.mkdtemp(prefix=_prefix(os.getpid()), dir=_scratch()))
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    _seal(loop, schedule.seed)
    try:
        world = World(loop, schedule, folder, show=show, make=make)
        return loop.run_until_complete(world.run())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def warm() -> None:
    """Load and compile everything that a schedule needs, so that forks find it done."""
    play(Schedule(0, 10.0, ()))
    asyncio.set_event_loop(None)
    gc.collect()
    gc.freeze()


def in_child(
    schedule: Schedule, *, show: Callable[[str], None] | None = None, make: Maker | None = None
) -> Outcome:
    """Run a schedule in a child."""
    (outcome,) = campaign([schedule], jobs=1, show=show, make=make)
    return outcome


def campaign(
    schedules: Iterable[Schedule],
    *,
    jobs: int = 2,
    show: Callable[[str], None] | None = None,
    make: Maker | None = None,
) -> Iterator[Outcome]:
    """Run schedules, as many at a time as `jobs`; outcomes come as they are done."""
    waiting = iter(schedules)
    running: dict[int, tuple[Schedule, int]] = {}
    try:
        while True:
            while len(running) < jobs and (schedule := next(waiting, None)) is not None:
                pid, pipe = _fork(schedule, show, make)
                running[pid] = schedule, pipe
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


def shrink(schedule: Schedule, *, make: Maker | None = None) -> Schedule:
    """A schedule that fails too, with fewer kinds of faults and a shorter storm, if there is one.

    Kinds are left out by halves, then quarters, down to each alone.
    """
    schedule = replace(schedule, kinds=schedule.chosen())
    size = max(len(schedule.chosen()) // 2, 1)
    while schedule.kinds:
        at = 0
        while at < len(schedule.chosen()):
            smaller = without(schedule, schedule.chosen()[at : at + size])
            if in_child(smaller, make=make).failures:
                schedule = smaller
            else:
                at += size
        if size == 1:
            break
        size = max(size // 2, 1)
    while schedule.seconds / 2 >= _SHORTEST:
        shorter = replace(schedule, seconds=round(schedule.seconds / 2, 1))
        if not in_child(shorter, make=make).failures:
            break
        schedule = shorter
    return schedule


def command(schedule: Schedule, mutant: str | None = None) -> str:
    """What to type to run a schedule again."""
    words = [f"python -m tests.simulation --seed {schedule.seed} --seconds {schedule.seconds:g}"]
    if schedule.kinds is not None:
        words.append(f"--faults {','.join(schedule.kinds) or 'none'}")
    if mutant is not None:
        words.append(f"--mutant {mutant}")
    return " ".join([*words, "--trace"])


def _fork(
    schedule: Schedule, show: Callable[[str], None] | None, make: Maker | None
) -> tuple[int, int]:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return pid, ours
    os.close(ours)
    gc.disable()
    signal.alarm(_STUCK)
    try:
        outcome = play(schedule, show=show, make=make)
    except BaseException:  # noqa: BLE001, the child ends here in any case
        outcome = _failed(schedule, traceback.format_exc())
    with os.fdopen(theirs, "wb") as stream:
        stream.write(pickle.dumps(outcome))
    os._exit(0)


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
