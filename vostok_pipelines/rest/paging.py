"""What to ask an exchange next, and whether its answer can be right. No input, no output.

Pages are not trusted: they may be empty, cut, older than asked for, the same once more, or of
somewhere else. By unbroken ids a page is taken as far as it goes on from the id that was asked for;
a hole is believed once it has been shown several times. By time each question goes back a little,
and a page is taken only if it holds the newest trades that are there, so that pages join as a
chain; the first of them must hold a trade from before the span. What was taken is all that a pager
has to remember, so that one begins anew from what was kept of another.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from vostok_core.times import DAY, HOUR, MINUTE, SECOND
from vostok_pipelines.rest.trades import Trade, Unusable, checked

LOOKS = 3
"""Times that the same odd answer has to come before it is believed."""

OVERLAP = SECOND
"""How far a question by time goes back: trades may be stamped that much too early."""

_LOOKBACKS = (MINUTE, 10 * MINUTE, 2 * HOUR, DAY, 30 * DAY)
"""How far before the span a trade is looked for that the pages begin with."""

Ids = Literal["unbroken", "unique", "none"]
"""What an exchange's ids of trades are: numbers without holes, numbers that grow, or nothing."""


@dataclass(frozen=True, slots=True)
class AskIds:
    """A question for trades from an id on."""

    from_id: int
    limit: int


@dataclass(frozen=True, slots=True)
class AskTime:
    """A question for the first trades from a time on, microseconds; `until` ends its window."""

    since: int
    limit: int
    until: int | None = None


Ask = AskIds | AskTime


class Odd(Unusable):
    """An answer that is looked at again before it is believed."""


class Stuck(Exception):
    """The pages can't be gone through: what the exchange shows doesn't allow it."""


class Ended(Exception):
    """The exchange has no trade beyond what is there, though the span is not over."""


class Pager(Protocol):
    """Goes through a span of trades, a page at a time."""

    def ask(self) -> Ask | None:
        """What to ask next; None once the span is whole."""
        ...

    def take(self, page: Sequence[Trade]) -> list[Trade]:
        """The trades of an answer that are new, in order.

        Raises:
            Unusable: It can't be right, or has to be seen again: ask once more.
            Stuck: It will never be right.
            Ended: There is no more.
        """
        ...


class IdPager:
    """Goes through trades whose ids are unbroken.

    Args:
        next_id: Id of the first.
        limit: How many to ask for.
        until: Time, microseconds; the span is whole with the first trade at or after it.
        last_id: Or the id that it is whole with.
        early: If given, the first trade must be from before this time, or its id the least there
            is: else the span was not begun at its first trade.
    """

    def __init__(
        self,
        next_id: int,
        *,
        limit: int,
        until: int | None = None,
        last_id: int | None = None,
        early: int | None = None,
    ) -> None:
        self.next_id = next_id
        self._limit = limit
        self._early = early
        self._until = until
        self._last_id = last_id
        self._whole = False
        self._doubts = _Doubts()

    @classmethod
    def after(cls, held: Sequence[Trade], *, limit: int, until: int) -> IdPager:
        """Go on behind trades that came before; there is at least one."""
        pager = cls(max(map(_id, held)) + 1, limit=limit, until=until)
        pager._whole = any(row.ts >= until for row in held)
        return pager

    def ask(self) -> AskIds | None:
        """What to ask next."""
        if self._whole:
            return None
        left = self._limit if self._last_id is None else self._last_id - self.next_id + 1
        return AskIds(self.next_id, min(left, self._limit))

    def take(self, page: Sequence[Trade]) -> list[Trade]:
        """The trades that are new, as far as no id is missing among them."""
        rows = [row for row in _by_id(page) if row.id is not None and row.id >= self.next_id]
        if not rows:
            if page:
                raise Odd(f"trades from id {self.next_id} on were asked for, and older ones came")
            if self._doubts.believes(None):
                raise Ended
            raise Odd(f"no trade from id {self.next_id} on")
        first = _id(rows[0])
        if first != self.next_id and not self._doubts.believes(first):
            raise Odd(f"the trades {self.next_id} to {first - 1} are not there")
        if self._early is not None and first == self.next_id and rows[0].ts >= self._early:
            raise Stuck(f"trade {first} should be from before the span, and isn't")
        self._early = None
        self._doubts.forget()
        taken = [row for k, row in enumerate(rows) if row.id == first + k]
        self.next_id = _id(taken[-1]) + 1
        if self._last_id is not None:
            self._whole = self.next_id > self._last_id
            taken = [row for row in taken if _id(row) <= self._last_id]
        if self._until is not None and any(row.ts >= self._until for row in taken):
            self._whole = True
        return taken


class TimePager:
    """Goes through trades by their times.

    Args:
        start: Begin of the span, microseconds; trades from before it come too.
        until: End of it: it is whole with the first trade at or after that.
        limit: How many trades a page holds at most.
        ids: What the exchange's ids are.
        step: What times in a question are rounded down to, microseconds.
        window: Longest time that a question may span; None where it needs no end.
        held: Trades that came before, in order, to go on from.
    """

    def __init__(
        self,
        start: int,
        until: int,
        *,
        limit: int,
        ids: Ids,
        step: int,
        window: int | None = None,
        held: Iterable[Trade] = (),
    ) -> None:
        self._start = start
        self._until = until
        self._limit = limit
        self._ids: Ids = ids
        self._step = step
        self._window = window
        self._held: deque[Trade] = deque()
        self._newest: Trade | None = None
        self._lookback = 0
        self._overlap = OVERLAP
        self._from = 0  # windows before it are known to be empty
        self._whole = False
        self._doubts = _Doubts()
        self._hold(held)

    def ask(self) -> AskTime | None:
        """What to ask next."""
        if self._whole:
            return None
        since = self._since()
        until = None if self._window is None else since + self._window
        return AskTime(since, self._limit, until)

    def take(self, page: Sequence[Trade]) -> list[Trade]:
        """The trades that are new."""
        since = self._since()
        shown = self._in_order(page)
        rows = [row for row in shown if row.ts >= since]
        full = len(shown) >= self._limit
        if self._newest is None:
            return self._begin(rows, full=full)
        if not self._joins(rows, since):
            return self._doubt_joint(rows, full=full)
        new = self._new(rows)
        if new and (self._newest.ts >= since or self._doubts.believes(new[:1])):
            return self._accept(new)
        if new or not self._doubts.believes((full, rows[-1:])):
            raise Odd("the page holds nothing new")
        self._doubts.forget()
        if self._overlap and self._newest.ts >= since:
            self._overlap = 0  # what is there already may fill the page
            return []
        if full:
            raise Stuck(f"all trades of a page are of one time, and it holds {self._limit} at most")
        self._next_window()
        return []

    def _since(self) -> int:
        if self._newest is None:
            since = max(self._start - _LOOKBACKS[self._lookback], self._from)
        else:
            back = self._newest.ts - self._overlap
            since = max(min(back, self._earlier()) if self._overlap else back, self._from)
        return since // self._step * self._step - self._step  # it may be meant exclusively

    def _begin(self, rows: list[Trade], *, full: bool) -> list[Trade]:
        """Begin with a page that holds a trade from before the span.

        Where there is none for a long time, the market may be new. That the exchange shows its
        newest trades only, whatever is asked, looks the same where such a page reaches beyond the
        span.
        """
        if rows and rows[0].ts < self._start:
            return self._accept(rows)
        if self._window is None and self._lookback + 1 < len(_LOOKBACKS):
            self._lookback += 1
            return []
        if not self._doubts.believes(rows[:1]):
            raise Odd("no trade from before the span")
        self._doubts.forget()
        if not rows:
            self._next_window()
            return []
        if full and self._window is None and rows[-1].ts >= self._until:
            raise Stuck("it can't be told whether the exchange shows more than its newest trades")
        return self._accept(rows)

    def _doubt_joint(self, rows: list[Trade], *, full: bool) -> list[Trade]:
        if not self._doubts.believes((full, rows[:1])):
            raise Odd("the page doesn't hold the newest trades that are there")
        self._doubts.forget()
        if not self._overlap:
            held = f", and a page holds {self._limit} at most" if full else ""
            raise Stuck(f"a page doesn't go on from where the one before it ended{held}")
        self._overlap = 0
        return []

    def _next_window(self) -> None:
        """Go on after a window in which nothing was traded."""
        if self._window is None:
            raise Ended
        self._from = self._since() + self._window
        self._whole = self._from >= self._until + self._window

    def _accept(self, new: list[Trade]) -> list[Trade]:
        self._doubts.forget()
        self._overlap = OVERLAP
        self._hold(new)
        return new

    def _hold(self, trades: Iterable[Trade]) -> None:
        for trade in trades:
            self._held.append(trade)
            if self._newest is None or trade.ts >= self._newest.ts:
                self._newest = trade
        if self._newest is not None:
            self._whole = self._newest.ts >= self._until
            oldest = min(self._newest.ts - OVERLAP, self._earlier()) - 2 * self._step
            while self._held[0].ts < oldest:
                self._held.popleft()

    def _earlier(self) -> int:
        """Time of the newest trade from before the newest time: without ids, only a page that
        begins there is known to hold all trades of that time.
        """
        assert self._newest is not None
        newest = self._newest.ts
        if self._ids != "none":
            return newest
        return max((row.ts for row in self._held if row.ts < newest), default=newest)

    def _joins(self, rows: Sequence[Trade], since: int) -> bool:
        """Whether a page holds all that is there of its time."""
        there = [row for row in self._held if row.ts > since]
        if self._ids == "none":
            return not Counter(there) - Counter(rows)
        return {row.id for row in there} <= {row.id for row in rows}

    def _new(self, rows: list[Trade]) -> list[Trade]:
        if self._ids == "none":
            # The k-th occurrence of a trade on one page is the k-th occurrence of it on any other.
            held = Counter(self._held)
            new = []
            for row in rows:
                if held[row] > 0:
                    held[row] -= 1
                else:
                    new.append(row)
            return new
        known = {row.id: row for row in self._held}
        for row in rows:
            if known.get(row.id, row) != row:
                raise Odd(f"trade {row.id} is another one than before")
        return [row for row in rows if row.id not in known]

    def _in_order(self, page: Sequence[Trade]) -> list[Trade]:
        if self._ids == "none":
            return sorted(checked(page), key=lambda row: row.ts)
        return sorted(_by_id(page), key=lambda row: (row.ts, row.id))


class _Doubts:
    """Counts how often the same odd thing was seen, one time after the other."""

    def __init__(self) -> None:
        self._what: object = self
        self._times = 0

    def believes(self, what: object) -> bool:
        self._times = self._times + 1 if what == self._what else 1
        self._what = what
        return self._times >= LOOKS

    def forget(self) -> None:
        self._what, self._times = self, 0


def _by_id(page: Sequence[Trade]) -> list[Trade]:
    """Each trade of a page once, by id.

    Raises:
        Unusable: One has no id, or one id has two contents.
    """
    found: dict[int, Trade] = {}
    for row in checked(page):
        if found.setdefault(_id(row), row) != row:
            raise Unusable(f"two trades with the id {row.id} on one page")
    return [found[key] for key in sorted(found)]


def _id(row: Trade) -> int:
    if row.id is None:
        raise Unusable("trades without ids")
    return row.id
