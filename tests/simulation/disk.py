"""The journal's file: it survives a kill, which may come right before or after any commit.

The file is real. It lies where syncing costs nothing, so what the journal says of syncing is left
out; a power cut, which would tell the difference, is not simulated here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from tests.simulation.loop import NODE, Killed, Node

Side = Literal["before", "after"]


class _Connection(sqlite3.Connection):
    """A connection of a node."""

    node: Node | None = None
    disk: Disk

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        self._live()
        if sql.startswith("PRAGMA synchronous"):
            sql = "PRAGMA synchronous = OFF"
        if sql != "COMMIT" or self.node is None:
            return super().execute(sql, *values)
        kills = self.disk.committing()
        if kills == "before":
            self._die("before")
        cursor = super().execute(sql, *values)
        if kills == "after":
            self._die("after")
        return cursor

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        self._live()
        return super().executemany(sql, rows)

    def _live(self) -> None:
        if self.node is not None and self.node.dead:
            raise Killed

    def _die(self, when: str) -> None:
        assert self.node is not None, "only nodes are killed"
        self.disk.armed = None
        self.disk.on_kill(f"right {when} commit {self.disk.commits} of the journal")
        self.node.kill()
        raise Killed


class Disk:
    """A folder that survives.

    Args:
        time: Seconds of the loop.
        on_kill: Called when an armed commit is about to kill its node.
        root: Where its nodes keep what they lock.

    Attributes:
        armed: On which side of a commit its node is killed; the next one that is at least the
            `least`th at the same instant. Where several are needed for one thing that happened, the
            time between them is the worst to die in.
        least: See above.
        commits: How many there were.
    """

    def __init__(
        self, time: Callable[[], float], on_kill: Callable[[str], None], root: Path
    ) -> None:
        self.armed: Side | None = None
        self.least = 1
        self.commits = 0
        self.on_kill = on_kill
        self._time = time
        self._root = root
        self._instant = -1.0
        self._here = 0

    def committing(self) -> Side | None:
        """A commit begins; on which side of it its node is killed."""
        self.commits += 1
        now = self._time()
        self._here = self._here + 1 if now == self._instant else 1
        self._instant = now
        return self.armed if self._here >= self.least else None

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open a file for the node that runs now (`seams.Connect`)."""
        uri = f"{path.absolute().as_uri()}?mode=rw"
        made = sqlite3.connect(uri, uri=True, isolation_level=None, factory=_Connection)
        made.node, made.disk = NODE.get(), self
        if made.node is not None:
            made.node.on_death.append(lambda: _let_go(made, path, self._root))
        return made


def _let_go(connection: sqlite3.Connection, path: Path, root: Path) -> None:
    """Do what the system does for a dead process: roll back, release locks, fold nothing."""
    if path.exists():
        # SQLite folds the log when the last connection closes, so one that can't closes last.
        bystander = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        bystander.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.close()
        bystander.close()
    else:
        connection.close()  # it has got another name meanwhile
    locks = f"{root.absolute()}/"
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208, of names that go while we look
        try:
            where = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:
            continue
        if where.startswith(locks) and where.endswith(".lock"):
            os.close(int(name))
