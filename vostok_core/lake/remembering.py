"""A lake whose footers are read once: for looking at much of it, while nothing is written."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vostok_core.errors import CorruptPartition
from vostok_core.lake.naming import Key, below
from vostok_core.lake.objects import Folder, Objects, Stat
from vostok_core.lake.parquet import PartitionInfo, read_footer
from vostok_core.lake.reader import AT_ONCE
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table

_AHEAD = 32
"""Partitions whose footers are asked for at once, of an object store: the next ones in order are
wanted next as a rule."""

_KEPT = 50_000

_footers: dict[tuple[Objects, str], tuple[str, PartitionInfo]] = {}
"""Of objects: the tag and the footer of a file when it was read last. A footer with the same tag is
the same for ever."""


@dataclass(frozen=True)
class _Listing:
    """The files of a table as they were listed, by partition."""

    folders: list[str]
    files: dict[str, list[Stat]]

    @classmethod
    def of(cls, stats: Iterable[Stat]) -> _Listing:
        files: dict[str, list[Stat]] = {}
        for stat in stats:
            folder, _, name = stat.key.rpartition("/")
            if name.startswith("part-") and name.endswith(".parquet"):
                files.setdefault(folder, []).append(stat)
        return cls(sorted(files), files)

    def after(self, folder: str) -> list[str]:
        """A partition and those after it."""
        first = bisect_left(self.folders, folder)
        return self.folders[first : first + _AHEAD]


class RememberingLake(Lake):
    """The lake as it was when each of its partitions was first looked at.

    Whether something is still what would be made now takes the footers of all that it was made
    from, and those of neighbours are the same. Rows are read anew each time. In an object store a
    table is listed once for all partitions that share their leading keys, and footers are read many
    at a time.
    """

    def __init__(self, root: Path | Objects, home: Path | None = None) -> None:
        super().__init__(root, home)
        self._parts: dict[tuple[str, frozenset[tuple[str, Key]]], list[PartitionInfo]] = {}
        self._listings: dict[str, _Listing] = {}
        self._seen: dict[str, PartitionInfo] = {}

    @classmethod
    def of(cls, lake: Lake) -> RememberingLake:
        """A remembering view of a lake, itself if it is one."""
        return lake if isinstance(lake, RememberingLake) else cls.anew(lake)

    @classmethod
    def anew(cls, lake: Lake) -> RememberingLake:
        """A remembering view of a lake as it is from now on."""
        return cls(lake.objects, lake.home)

    def parts(self, name: str, /, **keys: Key) -> list[PartitionInfo]:
        """As of a lake, as it was at first sight."""
        place = name, frozenset(keys.items())
        found = self._parts.get(place)
        if found is None:
            if isinstance(self.objects, Folder):
                found = super().parts(name, **keys)
            else:
                found = self._footers_of(name, keys)
            self._parts[place] = found
        return found

    def exists(self, name: str, /, **keys: Key) -> bool:
        """As of a lake, as it was at first sight."""
        if isinstance(self.objects, Folder):
            return bool(self.parts(name, **keys))
        return self.folder(name, **keys) in self._listing(name, keys).files

    def _listing(self, name: str, keys: dict[str, Key]) -> _Listing:
        *leading, _ = table(name).keys
        above = below(table(name), {key: keys[key] for key in leading})
        if above not in self._listings:
            self._listings[above] = _Listing.of(self.objects.stats(above))
        return self._listings[above]

    def _footers_of(self, name: str, keys: dict[str, Key]) -> list[PartitionInfo]:
        folder = self.folder(name, **keys)
        listing = self._listing(name, keys)
        if folder not in listing.files:
            return []
        if any(self._known(stat) is None for stat in listing.files[folder]):
            self._read_ahead(stat for each in listing.after(folder) for stat in listing.files[each])
        found = (
            self._known(stat) or read_footer(self.objects, stat.key)
            for stat in listing.files[folder]
        )
        return [info for info in found if info is not None]

    def _known(self, stat: Stat) -> PartitionInfo | None:
        if (seen := self._seen.get(stat.key)) is not None:
            return seen
        tag, info = _footers.get((self.objects, stat.key), ("", None))
        return info if tag == stat.tag else None

    def _read_ahead(self, stats: Iterable[Stat]) -> None:
        wanted = [stat.key for stat in stats if self._known(stat) is None]
        if len(_footers) + len(wanted) > _KEPT:
            _footers.clear()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for key, info in zip(wanted, pool.map(self._tried, wanted), strict=True):
                if info is not None:
                    self._seen[key] = info
                    _footers[self.objects, key] = info.tag, info

    def _tried(self, key: str) -> PartitionInfo | None:
        try:
            return read_footer(self.objects, key)
        except CorruptPartition:  # it is said of the one that is asked for
            return None
