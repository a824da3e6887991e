"""Trades put in order of ids, once each: what is missing is named, waited for, given up in time.

It holds no clock and no socket. The caller says what came and when, asks the exchange for what is
`wanted`, and calls `expire` when the `deadline` comes. Aggregate trades and single trades are
alike: each kind counts its ids up by one.

Trades above a hole are held back until the hole is filled, or `patience` seconds have passed since
it opened or since an answer of the exchange last filled some of it. Then it is given up: the trades
above it are handed on, and their broken ids tell whoever reads them that some are missing. If the
newest trade came in its turn, below the hole, it is the ones above that are out of line, and those
are dropped; were they real, the next one shows the hole again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vostok_live.feed.events import Tick

PAGE = 1_000
"""Trades that the exchange gives in one answer, at most."""

_FAR = 100_000  # below the id that is due: no repetition, the exchange counts anew


@dataclass(frozen=True, slots=True)
class Missing:
    """What to ask the exchange for: `limit` trades from the id `from_id` on."""

    from_id: int
    limit: int


class Continuity:
    """The order of one instrument's trades.

    What happened is counted in `counts`: `duplicate` (dropped), `held`, `overflow` (not held, since
    too many were), `gap` (holes that were waited for), `given_up` (holes that stayed), `lost` (ids
    in them), `stray` (dropped from above a hole), `fell_back` (ids far below the one due).

    Args:
        next_id: Id of the first trade that is wanted; without it, the first that comes.
        patience: Seconds that a hole is waited for.
        hold: Trades held back at most. Those that come after are dropped, and asked for later.
    """

    def __init__(
        self, next_id: int | None = None, *, patience: float = 10.0, hold: int = 100_000
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.deadline: float | None = None
        self._next = next_id
        self._patience = patience
        self._hold = hold
        self._held: dict[int, Tick] = {}
        self._highest = 0  # of the ids held, where there are any
        self._behind = False  # the stream broke off, and what followed is not known yet
        self._since: int | None = None  # the first trade that came after it did
        self._below = False  # what the stream said last was in its turn
        self._fell_back = False

    @property
    def next_id(self) -> int | None:
        """Id of the trade that is due; none before the first, where it was not given."""
        return self._next

    @property
    def whole(self) -> bool:
        """Whether every trade that the exchange is known to have made was handed on."""
        return not (self._held or self._behind or self._fell_back)

    def resync(self) -> None:
        """The stream broke off: what happened in between is to be asked for."""
        self._behind = self._next is not None
        self._since = None

    def take(self, ticks: Sequence[Tick], now: float) -> list[Tick]:
        """Take in trades of the stream.

        Args:
            ticks: As they came.
            now: Seconds, of whatever clock `expire` is told.

        Returns:
            Those whose turn has come, in order.
        """
        if self._behind and self._since is None:
            due = self._due()
            self._since = next((t.trade_id for t in ticks if t.trade_id >= due), None)
        passed = self._merged(ticks, now)
        if not ticks:
            return passed
        last = ticks[-1].trade_id
        if last in self._held:
            self._below = False
        elif passed:
            self._below = True
        elif last < self._due() - _FAR:
            self.counts["fell_back"] += 1
            self._fell_back = True
        return passed

    def wanted(self) -> Missing | None:
        """What to ask the exchange for now, if anything."""
        if self._next is None:
            return None
        if self._held:
            return Missing(self._next, min(self._highest - self._next, PAGE))
        return Missing(self._next, PAGE) if self._behind else None

    def answered(self, asked: Missing, ticks: Sequence[Tick], now: float) -> list[Tick]:
        """Take in what the exchange answered to a question.

        Args:
            asked: The question.
            ticks: Trades in order of ids; fewer than asked for where the exchange has no more.
            now: Seconds.

        Returns:
            Those whose turn has come, in order.
        """
        to_the_end = not self._held
        passed = self._merged(ticks, now)
        if ticks and ticks[-1].trade_id in self._held:
            self._below = False
        if passed and self._held:
            self.deadline = now + self._patience
        if to_the_end and len(ticks) < asked.limit:
            self._behind = False
        return passed

    def expire(self, now: float) -> list[Tick]:
        """Give up a hole whose deadline has come.

        Args:
            now: Seconds.

        Returns:
            The trades above it, in order.
        """
        passed: list[Tick] = []
        if self.deadline is None or now < self.deadline:
            return passed
        if self._below:
            self.counts["stray"] += len(self._held)
            self._held.clear()
            self.deadline = None
            return passed
        lowest = min(self._held)
        self.counts["given_up"] += 1
        self.counts["lost"] += lowest - self._due()
        self._next = lowest
        self._drain(passed, now)
        self._look_back()
        return passed

    def _merged(self, ticks: Sequence[Tick], now: float) -> list[Tick]:
        """Those whose turn has come; the rest is held or dropped."""
        passed: list[Tick] = []
        for tick in ticks:
            if tick.trade_id == self._next or self._next is None:
                passed.append(tick)
                self._next = tick.trade_id + 1
                if self._next in self._held:
                    self._drain(passed, now)
            else:
                self._put_aside(tick, self._next, now)
        if passed:
            self._fell_back = False
            self._look_back()
        return passed

    def _put_aside(self, tick: Tick, due: int, now: float) -> None:
        """Take in a trade whose turn it is not."""
        trade_id = tick.trade_id
        if trade_id < due or trade_id in self._held:
            self.counts["duplicate"] += 1
        elif len(self._held) >= self._hold:
            self.counts["overflow"] += 1
        else:
            if not self._held:
                self._highest = trade_id
                self._open(now)
            self._highest = max(self._highest, trade_id)
            self._held[trade_id] = tick
            self.counts["held"] += 1

    def _drain(self, passed: list[Tick], now: float) -> None:
        """Hand on the trades above a hole that is no more, up to the next one."""
        due = self._due()
        while (tick := self._held.pop(due, None)) is not None:
            passed.append(tick)
            due += 1
        self._next = due
        if self._held:
            self._open(now)
        else:
            self.deadline = None

    def _look_back(self) -> None:
        """A break is over once a trade from after it has been handed on."""
        if self._since is not None and self._due() > self._since:
            self._behind = False

    def _due(self) -> int:
        assert self._next is not None, "a trade is due once one has come"
        return self._next

    def _open(self, now: float) -> None:
        """A hole is now the lowest."""
        self.counts["gap"] += 1
        self.deadline = now + self._patience
