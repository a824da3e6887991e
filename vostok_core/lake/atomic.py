"""Files that appear whole or not at all.

A file is written beside its place under a name that no reader matches, synced, and renamed over it,
so that a reader sees the old file or the new one and a killed writer leaves at most a stray
temporary file.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def fsync_directory(path: Path) -> None:
    """Make a rename inside `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut as a file in it does."""
    made = []
    place = folder
    while not place.exists():
        made.append(place)
        place = place.parent
    folder.mkdir(parents=True, exist_ok=True)
    for place in made:
        fsync_directory(place.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; on success it is synced and renamed over `path`."""
    _make_folders(path.parent)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
