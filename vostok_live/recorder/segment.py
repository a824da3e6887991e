"""A segment: one instrument's lines of about an hour, in a file that only grows.

Every line reaches the system before the next one is looked at, so that a process that is killed
loses nothing that it had received; the file is synced every second, for the power cut. A file that
was cut short in the middle of a line loses that line, which had not been written whole.

Its writer holds a lock on it, as does who lands it, so each segment is in one pair of hands.
"""

from __future__ import annotations

import fcntl
import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from vostok_core.lake.atomic import fsync_directory, replacing
from vostok_core.lake.recorder_folder import KEPT, SUFFIX
from vostok_live.recorder.errors import RecorderError
from vostok_live.recorder.lines import Own, on_one_line, split, written

LONGEST = 8 * 1024 * 1024
"""Bytes of a line; a longer one is none of a segment."""


class Segment:
    """A segment that is being written.

    Attributes:
        path: The file.
        size: Its bytes.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = 0
        self._descriptor = descriptor
        self._entered = False
        self._broken = False

    @classmethod
    def begin(cls, folder: Path, name: str, ns: int, first: Own) -> Self:
        """Make a segment with its first line; it is there whole, or not at all.

        Args:
            folder: Of the instrument, which exists.
            name: Of the segment, which never was there before.
            ns: Time of the first line.
            first: That line.

        Raises:
            RecorderError: It can't be made.
        """
        path = folder / f"{name}{SUFFIX}"
        new = folder / f".{name}.new"
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(new, flags, 0o644)
            try:
                # Before it is seen, for otherwise it could be landed before it is written.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                made = cls(path, descriptor)
                made.write(ns, first)
                new.rename(path)
            except BaseException:
                os.close(descriptor)
                with suppress(OSError):
                    new.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _unwritable(path, error) from error
        return made

    def append(self, ns: int, text: bytes) -> None:
        """Write down a text of the exchange.

        Raises:
            RecorderError: It can't be written; what was before stays, and nothing more is taken.
        """
        self._write(b"%d %b\n" % (ns, on_one_line(text)))

    def write(self, ns: int, line: Own) -> None:
        """Write down a line of ours.

        Raises:
            RecorderError: It can't be written; what was before stays.
        """
        self._write(b"%d %b\n" % (ns, written(line)))

    def _write(self, line: bytes) -> None:
        if self._broken:
            return  # what came after a line that was cut short would be a part of it
        try:
            done = os.write(self._descriptor, line)
            while done < len(line):  # a disk that is nearly full takes a part
                done += os.write(self._descriptor, line[done:])
        except OSError as error:
            self._broken = True
            raise _unwritable(self.path, error) from error
        self.size += len(line)

    def sync(self) -> None:
        """Have it on the disk; another thread may write meanwhile.

        Raises:
            RecorderError: It isn't, and what of it is can't be known.
        """
        try:
            os.fdatasync(self._descriptor)
            if not self._entered:
                fsync_directory(self.path.parent)
                self._entered = True
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def close(self) -> None:
        """Sync it and let go of it; who lands it may have it. May be called again."""
        if self._descriptor < 0:
            return
        try:
            self.sync()
        finally:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


@contextmanager
def taken(path: Path) -> Iterator[BinaryIO | None]:
    """A segment to land, for nobody else meanwhile; None where somebody has it, or it has landed.

    Raises:
        RecorderError: It can't be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file if _is_same(file, path) else None


def _is_same(file: BinaryIO, path: Path) -> bool:
    """Whether a file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A capture in the layout of a segment, compressed by gzip or not.

    Raises:
        RecorderError: It can't be read.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if packed:
                with gzip.open(file) as inner:
                    yield inner  # type: ignore[misc]
            else:
                yield file
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes] | None]:
    """Time and text of every line that was written whole; None for one that is no line.

    What stands behind the last end of a line is left out: its writer was killed while writing it.
    """
    while line := file.readline(LONGEST):
        if line.endswith(b"\n"):
            yield split(line[:-1])
        elif len(line) == LONGEST:
            yield None
            while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass


def put_away(path: Path, *, keep: bool) -> None:
    """Remove a segment that has landed, or keep it compressed.

    Raises:
        RecorderError: It can't be; it lands once more then, which changes nothing.
    """
    try:
        if keep:
            kept = path.parent / KEPT / f"{path.name}.gz"
            with (
                replacing(kept) as temporary,
                path.open("rb") as file,
                gzip.open(temporary, "wb", compresslevel=6) as packed,
            ):
                while content := file.read(1 << 20):
                    packed.write(content)
        path.unlink()
        fsync_directory(path.parent)
    except OSError as error:
        raise RecorderError(
            f"a segment that has landed can't be put away ({error.strerror})",
            where=path,
            hint="see that the folder can be written and the disk has room; it is tried again",
        ) from error


def _unwritable(path: Path, error: OSError) -> RecorderError:
    return RecorderError(
        f"what is received can't be written down ({error.strerror})",
        where=path,
        hint="make room, or see what the system's log says of the disk, and start the recorder "
        "again; all that was written before is kept, and trades since then are fetched",
    )


def _unreadable(path: Path, error: Exception) -> RecorderError:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return RecorderError(
        f"the recording can't be read ({said})",
        where=path,
        hint="check that the file is there, whole, and yours to read",
    )
