"""What is run, what it is run on, and what came of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tests.simulation.faults import KINDS
from vostok_live.seams import MarketTime


class WorldClock:
    """A machine's clock: the world's, a little off.

    Args:
        wall_ns: The world's time.

    Attributes:
        off_ns: By how much it is off.
    """

    def __init__(self, wall_ns: Callable[[], int]) -> None:
        self.off_ns = 0
        self._wall_ns = wall_ns
        self._market_time = MarketTime()

    def boot(self) -> None:
        """Forget what was known of market time: a process that starts knows nothing."""
        self._market_time = MarketTime()

    @property
    def market_time(self) -> MarketTime:
        return self._market_time

    def follow(self, market_time: MarketTime) -> None:
        self._market_time = market_time

    def wall_ns(self) -> int:
        return self._wall_ns() + self.off_ns

    def market(self) -> int:
        return self._market_time.at(self.wall_ns())


@dataclass(frozen=True)
class Schedule:
    """What is run.

    Attributes:
        seed: Decides everything.
        seconds: Virtual seconds of storm.
        kinds: Kinds of faults that may strike; None for a choice that the seed makes.
        mutant: Name of the mistake that is built into the daemon; none by default.
    """

    seed: int
    seconds: float = 100.0
    kinds: tuple[str, ...] | None = None
    mutant: str | None = None

    def chosen(self) -> tuple[str, ...]:
        """The kinds of faults that may strike."""
        if self.kinds is not None:
            return self.kinds
        chance = random.Random(f"{self.seed}/swarm")
        return tuple(kind for kind in KINDS if chance.random() < 0.6)


@dataclass(frozen=True)
class Outcome:
    """What came of a schedule.

    Attributes:
        seed: Of the schedule.
        kinds: Kinds of faults that might strike.
        failures: What was not in order; empty where all was.
        fingerprint: Of all that happened and of the journal.
        settled: Seconds after the storm at which all was in order; -1 where it never was.
        virtual: Virtual seconds that passed.
        tally: What happened, by name.
        lines: The trace.
    """

    seed: int
    kinds: tuple[str, ...]
    failures: tuple[str, ...]
    fingerprint: str
    settled: float
    virtual: float
    tally: Counter[str]
    lines: tuple[str, ...]


def without(schedule: Schedule, kinds: Iterable[str]) -> Schedule:
    """The schedule without some kinds of faults."""
    left = tuple(kind for kind in schedule.chosen() if kind not in set(kinds))
    return replace(schedule, kinds=left)
