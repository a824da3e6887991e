"""Counting values that are compared, bit for bit, and keeping the first that differ.

Doubles are compared as the 64 bits that they are: a zero differs from its negative, and what is not
a number equals what has the same bits. Nothing is rounded, and nothing forgiven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

KEPT = 20
"""Differences of a kind that are kept; all are counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that the batch tells otherwise.

    Attributes:
        kind: What was compared.
        ts: Market time it belongs to, microseconds.
        place: Which value it is.
        live: What the daemon wrote down; doubles as their 16 hexadecimal digits and their value.
        batch: What the batch says, likewise.
        why: What it comes from, where that is known.
    """

    kind: str
    ts: int
    place: str
    live: str
    batch: str
    why: str = ""


@dataclass
class Tally:
    """What was compared of one kind.

    Attributes:
        kind: What.
        compared: How many values.
        equal: How many of them had the same bits.
        untold: How many could not be told again.
        differences: The first that differ, in the order in which they were found.
        reasons: Why something could not be told again.
    """

    kind: str
    compared: int = 0
    equal: int = 0
    untold: int = 0
    differences: list[Difference] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether all that was compared is equal, and nothing could not be told."""
        return self.equal == self.compared and not self.untold

    def doubles(
        self,
        ts: np.ndarray,
        names: Sequence[str],
        live: np.ndarray,
        batch: np.ndarray,
        why: str = "",
    ) -> None:
        """Compare doubles.

        Args:
            ts: Times of the rows, int64, shape (rows,).
            names: What the columns are.
            live, batch: float64, shape (rows, columns).
            why: What a difference would come from.
        """
        ours, theirs = _bits(live), _bits(batch)
        differ = ours != theirs
        self._count(differ)
        for row, column in np.argwhere(differ)[: self._room]:
            ours_then, theirs_then = (shown(float(each[row, column])) for each in (live, batch))
            self.differ(int(ts[row]), names[column], ours_then, theirs_then, why)

    def whole(
        self, ts: np.ndarray, name: str, live: np.ndarray, batch: np.ndarray, why: str = ""
    ) -> None:
        """Compare whole numbers or truth values, shape (rows,)."""
        differ = live != batch
        self._count(differ)
        for row in np.flatnonzero(differ)[: self._room]:
            self.differ(int(ts[row]), name, str(live[row]), str(batch[row]), why)

    def texts(self, ts: int, place: str, live: str, batch: str, why: str = "") -> None:
        """Compare two texts."""
        self.compared += 1
        if live == batch:
            self.equal += 1
        else:
            self.differ(ts, place, live, batch, why)

    def lack(self, ts: int, place: str, live: str, batch: str, why: str = "") -> None:
        """Count something that only one of the two has."""
        self.compared += 1
        self.differ(ts, place, live, batch, why)

    def differ(self, ts: int, place: str, live: str, batch: str, why: str = "") -> None:
        """Keep a difference, if there is room."""
        if self._room:
            self.differences.append(Difference(self.kind, ts, place, live, batch, why))

    def cannot_tell(self, count: int, why: str) -> None:
        """Count values that can't be told again."""
        self.untold += count
        if count and why not in self.reasons:
            self.reasons.append(why)

    @property
    def _room(self) -> int:
        return KEPT - len(self.differences)

    def _count(self, differ: np.ndarray) -> None:
        self.compared += differ.size
        self.equal += differ.size - int(np.count_nonzero(differ))


def _bits(values: np.ndarray) -> np.ndarray:
    bits: np.ndarray = np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)
    return bits


def shown(value: float) -> str:
    """A double as its bits in hexadecimal, and for people to read."""
    return f"{int(np.float64(value).view(np.uint64)):016x} ({value!r})"
