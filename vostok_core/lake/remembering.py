"""A lake whose footers are read once: for looking at much of it, while nothing is written."""

from __future__ import annotations

from pathlib import Path

from vostok_core.lake.files import PartitionInfo
from vostok_core.lake.store import Key, Lake


class RememberingLake(Lake):
    """The lake as it was when each of its partitions was first looked at.

    Whether something is still what would be made now takes the footers of all that it was made
    from, and those of neighbours are the same. Rows are read anew each time.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._parts: dict[tuple[str, frozenset[tuple[str, Key]]], list[PartitionInfo]] = {}

    @classmethod
    def of(cls, lake: Lake) -> RememberingLake:
        """A remembering view of a lake, itself if it is one."""
        return lake if isinstance(lake, RememberingLake) else cls(lake.root)

    def parts(self, name: str, /, **keys: Key) -> list[PartitionInfo]:
        """As of a lake, as it was at first sight."""
        place = name, frozenset(keys.items())
        found = self._parts.get(place)
        if found is None:
            found = self._parts[place] = super().parts(name, **keys)
        return found

    def exists(self, name: str, /, **keys: Key) -> bool:
        """As of a lake, as it was at first sight."""
        return bool(self.parts(name, **keys))
