"""What a lake lies on: whole objects by name, in a folder or in an object store.

A name (`key`) is a relative path with slashes. An object appears whole or not at all, and whoever
reads one sees one state of it from beginning to end. `put_if` writes only over what the writer has
seen, told by its `tag`: of two that have seen the same, one is refused.
"""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vostok_core.errors import Conflict
from vostok_core.lake.address import Place
from vostok_core.lake.atomic import beside, install, install_new, replacing
from vostok_core.lake.locks import sole_writer

UNWRITTEN = ""
"""The tag of an object that isn't there."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of an object without reading it.

    Attributes:
        key: Its name.
        size: In bytes.
        tag: Changes whenever it is written.
        modified: When it was written, by the store's clock: nanoseconds since 1970; 0 where the
            store has not said.
    """

    key: str
    size: int
    tag: str
    modified: int


class Objects(ABC):
    """Where the objects of a lake are. A name that isn't there is a `FileNotFoundError`."""

    @abstractmethod
    def place(self, key: str = "") -> Place:
        """The name of an object, for people and for what lies beneath."""

    def spoken(self, key: str = "") -> str:
        """The full address of a name."""
        return str(self.place(key))

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """The names of all objects below a folder, sorted; those that begin with a dot are not
        among them."""

    @abstractmethod
    def stats(self, prefix: str) -> list[Stat]:
        """The same, with their stat."""

    @abstractmethod
    def below(self, prefix: str) -> list[str]:
        """The names of the folders right in a folder, sorted, less those that begin with a dot."""

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """What is known of one object; None where there is none."""

    @abstractmethod
    def open(self, key: str) -> AbstractContextManager[tuple[BinaryIO, Stat]]:
        """An object to read from, as it is now whatever is written over it meanwhile."""

    @abstractmethod
    def open_end(self, key: str, size: int) -> AbstractContextManager[tuple[BinaryIO, Stat]]:
        """At least the last bytes of an object to read from, for what is found from the end.

        The file begins with the first four bytes of a Parquet file and may lack what comes between.
        """

    def read(self, key: str) -> tuple[bytes, Stat]:
        """The content of an object."""
        with self.open(key) as (file, stat):
            return file.read(), stat

    @abstractmethod
    def put(self, key: str, content: bytes) -> Stat:
        """Write an object, over whatever is there."""

    @abstractmethod
    def put_if(self, key: str, content: bytes, tag: str) -> Stat:
        """Write an object if the one that is there has a tag, or none is and it is `UNWRITTEN`.

        Raises:
            Conflict: It has another.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""

    @abstractmethod
    def for_polars(self, keys: Sequence[str]) -> tuple[list[str], dict[str, str] | None]:
        """How polars reads objects by itself: their addresses, and the options that it needs."""

    @abstractmethod
    def sole_writer(self, key: str) -> AbstractContextManager[None]:
        """Wait until nobody else is the writer of a name, and be it for the time of the block.

        Raises:
            Conflict: Somebody else became it before the block was over.
        """


class Folder(Objects):
    """A folder of this machine.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folder) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def place(self, key: str = "") -> Path:
        return self.root / key

    def names(self, prefix: str) -> list[str]:
        return sorted(entry_key for entry_key, _ in self._walk(prefix))

    def stats(self, prefix: str) -> list[Stat]:
        found = []
        for key, entry in self._walk(prefix):
            try:
                found.append(_stat(key, entry.stat()))
            except FileNotFoundError:
                continue  # it was taken away since it was listed
        return sorted(found, key=lambda stat: stat.key)

    def below(self, prefix: str) -> list[str]:
        return sorted(entry.name for entry in _entries(self.root / prefix) if entry.is_dir())

    def stat(self, key: str) -> Stat | None:
        try:
            return _stat(key, (self.root / key).stat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[BinaryIO, Stat]]:
        with (self.root / key).open("rb") as file:
            yield file, _stat(key, os.fstat(file.fileno()))

    def open_end(self, key: str, size: int) -> AbstractContextManager[tuple[BinaryIO, Stat]]:
        del size  # the file has all of it
        return self.open(key)

    def put(self, key: str, content: bytes) -> Stat:
        path = self.root / key
        with beside(path) as temporary:
            temporary.write_bytes(content)
            stat = _stat(key, temporary.stat())
            with self._turn(key):
                install(temporary, path)
        return stat

    def put_if(self, key: str, content: bytes, tag: str) -> Stat:
        path = self.root / key
        with beside(path) as temporary:
            temporary.write_bytes(content)
            stat = _stat(key, temporary.stat())
            if tag == UNWRITTEN:
                try:
                    install_new(temporary, path)
                except FileExistsError:
                    raise conflict(self.spoken(key)) from None
                except OSError:
                    pass  # a file system on which a file has one name
                else:
                    return stat
            with self._turn(key):
                there = self.stat(key)
                if (there.tag if there else UNWRITTEN) != tag:
                    raise conflict(self.spoken(key))
                install(temporary, path)
        return stat

    def _turn(self, key: str) -> AbstractContextManager[None]:
        """A rename can't be made to depend on what it replaces, so writers of one table take turns,
        for as long as looking and renaming take."""
        return sole_writer(self.root / key.partition("/")[0])

    def delete(self, key: str) -> None:
        (self.root / key).unlink(missing_ok=True)

    def for_polars(self, keys: Sequence[str]) -> tuple[list[str], dict[str, str] | None]:
        return [str(self.root / key) for key in keys], None

    def sole_writer(self, key: str) -> AbstractContextManager[None]:
        return sole_writer(self.root / key)

    def _walk(self, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        for entry in _entries(self.root / prefix):
            key = f"{prefix}/{entry.name}" if prefix else entry.name
            if entry.is_dir():
                yield from self._walk(key)
            else:
                yield key, entry


def put_at(place: Place, content: bytes) -> None:
    """Write a file or an object, whole, over whatever is there."""
    if isinstance(place, Path):
        with replacing(place) as temporary:
            temporary.write_bytes(content)
    else:
        place.objects.put(place.key, content)


def conflict(where: object) -> Conflict:
    """Somebody else has written what was to be written."""
    return Conflict(
        "somebody else has written it since this began, from another state of the lake",
        where=where,
        hint="run it again: it then begins from what is there now",
    )


def parquet_end(content: bytes) -> BinaryIO:
    """The end of a Parquet file as a file of its own, whose footer reads."""
    return io.BytesIO(content if content.startswith(b"PAR1") else b"PAR1" + content)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return


def _stat(key: str, found: os.stat_result) -> Stat:
    tag = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
    return Stat(key, found.st_size, tag, found.st_mtime_ns)
