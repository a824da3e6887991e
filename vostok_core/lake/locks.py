"""One writer at a time, among all processes of a machine that write to one lake.

A partition that is one file needs none of this: writers of it overwrite one another whole. It is
for what takes several steps, where a second writer between two of them would undo the first.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_held = threading.local()


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Wait until nobody else is the writer of `path`, and be it for the time of the block.

    The lock is the empty file `.NAME.lock` beside `path`, which stays there. The system lets go of
    it however its holder ends, killed included. A thread that holds it may take it again.

    Args:
        path: A file or folder, which need not exist; its folder is made.
    """
    mine: set[Path] = _held.__dict__.setdefault("paths", set())
    if path in mine:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        mine.add(path)
        try:
            yield
        finally:
            mine.remove(path)
            # By name: closing alone would leave it to a child that was forked meanwhile.
            fcntl.flock(file, fcntl.LOCK_UN)
