"""Files that appear whole: written beside their place, synced, and renamed over it."""

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


def make_folders(folder: Path) -> None:
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
def beside(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, whose folder is made; what is left of it goes at the end."""
    make_folders(path.parent)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def install(temporary: Path, path: Path) -> None:
    """Sync a temporary file and rename it over `path`."""
    _sync(temporary)
    temporary.replace(path)
    fsync_directory(path.parent)


def install_new(temporary: Path, path: Path) -> None:
    """Sync a temporary file and give it the name `path` as well.

    Raises:
        FileExistsError: Something has that name.
    """
    _sync(temporary)
    path.hardlink_to(temporary)
    fsync_directory(path.parent)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; on success it is synced and renamed over `path`."""
    with beside(path) as temporary:
        yield temporary
        install(temporary, path)
