"""Hashes of source files, each read once for as long as its stat stays the same.

The hashes are kept in a file, so that a restart doesn't read an archive of years again. It is a
cache and nothing else: without it, or with a damaged one, the same answers take longer. It lies
beside Dagster's databases and not in a sensor's cursor, because Dagster writes the cursor down with
every tick: two megabytes twice a minute, for 20 instruments and three years.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vostok_core.hashing import hash_file
from vostok_core.lake.atomic import replacing

SETTLED_SECONDS = 5
"""A file that was written to more recently may not be whole yet, and is left for the next time."""

_Entry = list[int | str]  # inode, size, mtime and ctime in nanoseconds; sha256


class FileHashes:
    """SHA-256 of files, in groups.

    A group is forgotten but for the files that were last asked for in it, which bounds the cache by
    the files that there are.

    Args:
        path: The file that keeps them.
        settled: Seconds since a file was written to after which it is taken for whole.
    """

    def __init__(self, path: Path, *, settled: float = SETTLED_SECONDS) -> None:
        self._path = path
        self._settled = settled
        self._groups: dict[str, dict[str, _Entry]] | None = None

    def read(self, group: str, paths: Iterable[Path], deadline: float) -> dict[Path, str] | None:
        """The hashes (hex) of those of the files that are there and settled.

        Args:
            group: Name of the group that the files are all of.
            paths: The files.
            deadline: Time on the monotonic clock after which no further file is read.

        Returns:
            None if time ran out; the files that were read until then are known next time.
        """
        if self._groups is None:
            self._groups = _load(self._path)
        known = self._groups.get(group, {})
        entries: dict[str, _Entry] = {}
        hashes: dict[Path, str] = {}
        newest = (time.time() - self._settled) * 1e9
        for path in paths:
            with suppress(FileNotFoundError):  # it was taken away since it was listed
                seen = path.stat()
                stat = [seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
                if seen.st_mtime_ns > newest:
                    continue
                entry = known.get(str(path))
                if entry is None or entry[:-1] != stat:
                    if time.monotonic() > deadline:
                        self._keep(group, known | entries)
                        return None
                    entry = [*stat, hash_file(path)]
                entries[str(path)] = entry
                hashes[path] = str(entry[-1])
        self._keep(group, entries)
        return hashes

    def _keep(self, group: str, entries: dict[str, _Entry]) -> None:
        assert self._groups is not None
        if self._groups.get(group, {}) == entries:
            return
        self._groups[group] = entries
        with replacing(self._path) as temporary:
            temporary.write_text(json.dumps(self._groups))


def _load(path: Path) -> dict[str, dict[str, _Entry]]:
    try:
        groups = json.loads(path.read_bytes())
        return {
            str(group): {str(file): list(entry) for file, entry in entries.items()}
            for group, entries in groups.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # absent or damaged: it is filled anew
