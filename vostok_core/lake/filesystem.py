"""The objects of a lake, as DuckDB reads files.

DuckDB opens a file more than once for one query: for its schema, its statistics and its rows. It
would meet two partitions under one name where one is swapped in between. So a file is read whole
when it is first opened, and what was read stands for it until a later query lists the table and
finds that it has been written since. That also makes one request of what would be several.
"""

from __future__ import annotations

import fnmatch
import io
import re
from collections import OrderedDict
from datetime import UTC, datetime
from threading import Lock
from typing import Any, BinaryIO

from fsspec import AbstractFileSystem

from vostok_core.lake.objects import Objects, Stat

THREADS = 16
"""Of DuckDB, which waits for the store rather than computes."""

_KEPT = 512_000_000  # bytes
_SPECIAL = re.compile(r"[*?\[]")


class LakeFiles(AbstractFileSystem):  # type: ignore[misc]
    """The files of a lake at `s3://`, to read and nothing else.

    Args:
        objects: The lake's objects.
    """

    protocol = "s3"
    cachable = False

    def __init__(self, objects: Objects) -> None:
        super().__init__()
        self._objects = objects
        self._root = f"{objects.spoken()}/"
        self._lock = Lock()
        self._listed: dict[str, Stat] = {}
        self._read: OrderedDict[str, tuple[bytes, Stat]] = OrderedDict()

    def open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        """A file as it was when it was first opened."""
        if mode not in ("r", "rb"):
            raise PermissionError(f"{path}: the lake is read, never written, by SQL")
        content, _stat = self._content(self._key(path))
        return io.BytesIO(content)

    def glob(self, path: str, **_: Any) -> list[str]:
        """The files that a pattern names, as they are now."""
        pattern = self._key(path)
        found = _SPECIAL.search(pattern)
        if found is None:
            stat = self._objects.stat(pattern)
            stats = [] if stat is None else [stat]
        else:
            folder = pattern[: found.start()].rpartition("/")[0]
            matching = _matching(pattern)
            stats = [each for each in self._objects.stats(folder) if matching.fullmatch(each.key)]
        with self._lock:
            self._listed |= {stat.key: stat for stat in stats}
        return [f"{self._root}{stat.key}" for stat in stats]

    def size(self, path: str) -> int:
        return self._content(self._key(path))[1].size

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(self._content(self._key(path))[1].modified / 1e9, UTC)

    def exists(self, path: str, **_: Any) -> bool:
        return bool(self.glob(path))

    def isdir(self, path: str) -> bool:
        del path
        return False

    def _content(self, key: str) -> tuple[bytes, Stat]:
        with self._lock:
            kept, listed = self._read.get(key), self._listed.get(key)
            if kept is not None and (listed is None or listed.tag == kept[1].tag):
                self._read.move_to_end(key)
                return kept
        found = self._objects.read(key)
        with self._lock:
            self._read[key] = found
            self._listed[key] = found[1]
            held = sum(stat.size for _, stat in self._read.values())
            while held > _KEPT and len(self._read) > 1:
                held -= self._read.popitem(last=False)[1][1].size
        return found

    def _key(self, path: str) -> str:
        if not path.startswith(self._root):
            raise FileNotFoundError(f"{path} is not in {self._root}")
        return path[len(self._root) :]


def _matching(pattern: str) -> re.Pattern[str]:
    """What a pattern means, as a regular expression: `*` within a name, `**` across folders."""
    said = []
    for part in pattern.split("/"):
        if part == "**":
            said.append(r"[^/]+(?:/[^/]+)*")
        else:
            said.append(fnmatch.translate(part).removesuffix(r"\Z").replace(".*", "[^/]*"))
    return re.compile("/".join(said), re.DOTALL)
