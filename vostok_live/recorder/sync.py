"""Whether a book can be told from what was recorded: which snapshot goes before which changes.

A book is a snapshot and the changes after it without a break. Here it is only known when a snapshot
is wanted; changes are written down whatever becomes of it.

Source: binance-spot-api-docs, web-socket-streams.md, how to manage a local order book.
"""

from __future__ import annotations

from vostok_live.feed.events import DepthDiff, DepthSnapshot

_FAR = 1_000_000  # below the newest change: no repetition, the exchange counts anew


class BookSync:
    """One instrument's changes and snapshots.

    Attributes:
        breaks: How often changes were missing.
        snapshots: How many have come.
    """

    def __init__(self) -> None:
        self.breaks = 0
        self.snapshots = 0
        self._first = -1  # of the changes that follow each other without a break
        self._last = -1
        self._snapshot = -1
        self._due = True

    def wants(self) -> bool:
        """Whether a snapshot is: a new one is due, or none goes before the changes that come."""
        return self._due or self._snapshot + 1 < self._first

    def renew(self) -> None:
        """Have a snapshot once more, so that an hour can be told without those before it."""
        self._due = True

    def changed(self, diff: DepthDiff) -> None:
        """Changes have come; what two connections both say counts once."""
        if self._last - _FAR < diff.last_id <= self._last:
            return
        anew = diff.last_id < self._last
        if anew or diff.first_id > self._last + 1:
            self.breaks += self._last >= 0
            self._first = diff.first_id
            self._snapshot = -1 if anew else self._snapshot
        self._last = diff.last_id

    def stood(self, snapshot: DepthSnapshot) -> None:
        """A snapshot has come."""
        self.snapshots += 1
        self._due = False
        self._snapshot = max(self._snapshot, snapshot.last_id)
