"""An open journal's file: transactions that are final, and what happens when one fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from vostok_live.errors import JournalError
from vostok_live.journal.lease import Lease
from vostok_live.journal.place import explained, open_to_read, open_to_write, remove
from vostok_live.journal.view import View
from vostok_live.seams import Seams

_LONG = 256
"""Transactions after which the log is long."""


class Store(View):
    """The file, held by this process alone.

    A write is synced to the disk before it returns, or else is there after a kill, and after a
    power cut up to the last one that was synced. Once a write has failed nothing more is taken: a
    system that could not sync may say the next time that it has.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, seams: Seams, lease: Lease):
        super().__init__(connection, path)
        self._clock = seams.clock
        self._lease = lease
        self._synced = True
        self._ended: str | None = None
        self._commits = 0

    @classmethod
    def open(cls, path: Path, seams: Seams) -> Self:
        """Open the journal at `path`; one is made where there is none.

        Raises:
            JournalTaken: Another process writes it.
            JournalError: It is damaged, of another schema or no journal; or the file can't be
                opened or made.
        """
        with explained(path, "opening the journal"):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lease = Lease.take(path)
        try:
            return cls(open_to_write(path, seams), path, seams, lease)
        except BaseException:
            lease.give_back()
            raise

    def close(self, *, keep_empty: bool = True) -> None:
        """Fold the log into the file, let go of it, and let another process write.

        Args:
            keep_empty: Whether the file is to stay also where nothing was ever written down.

        Raises:
            JournalError: The log can't be folded into the file, or the file not be removed.
        """
        try:
            if self._ended is None:
                empty = not keep_empty and self.is_empty
                self._fold()
                self._ended = "it was closed"
                self._connection.close()
                if empty:
                    with explained(self.path, "removing the empty journal"):
                        remove(self.path)
        finally:
            self._lease.give_back()

    def abandon(self) -> None:
        """Let go of the file as a killed process does, whatever is under way."""
        if self._ended is None:
            self._leave("it was abandoned")
        self._lease.give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wall_us(self) -> int:
        return self._clock.wall_ns() // 1_000

    @contextmanager
    def _transaction(self, *, synced: bool = False) -> Iterator[sqlite3.Connection]:
        """Write something, whole or not at all; a failure is the last thing the journal does."""
        self._check_open()
        db = self._connection
        try:
            with explained(self.path, "writing the journal"):
                if synced is not self._synced:
                    db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
                    self._synced = synced
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
        except BaseException as error:
            self._leave(f"{type(error).__name__}: {error}")
            raise
        self._commits += 1

    def fold_if_long(self) -> None:
        """Fold the log into the file where it has grown; that takes as long as a disk's sync.

        Nobody else does: call it every so often, when nothing waits.

        Raises:
            JournalError: It can't be done, and the journal takes nothing more.
        """
        if self._commits >= _LONG:
            self._fold()

    def _fold(self) -> None:
        """Fold the log into the file, as far as no reader needs it."""
        self._check_open()
        try:
            with explained(self.path, "folding the journal's log"):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except BaseException as error:
            self._leave(f"{type(error).__name__}: {error}")
            raise
        self._commits = 0

    def _rows(self, query: str, *values: object) -> list[Any]:
        self._check_open()
        return super()._rows(query, *values)

    def _check_open(self) -> None:
        if self._ended is not None:
            raise JournalError(
                f"the journal takes nothing more since {self._ended}",
                where=self.path,
                hint="mend what was reported first, then start the daemon again",
            )

    def _leave(self, why: str) -> None:
        """Close the file without folding its log, which would sync what may have been lost.

        SQLite folds when the last connection closes, so another one closes last, and can't write.
        """
        self._ended = why
        with suppress(JournalError):
            bystander = open_to_read(self.path)
            self._connection.close()
            bystander.close()
        self._connection.close()
