"""Putting a whole folder in place at once, and reading it.

A rename can't replace a folder that holds files. Where the system can exchange two names in one
step (Linux), it does; elsewhere the old folder is renamed aside first, and a reader in that instant
finds none, never half of one.

An object store has no folders and swaps one object at a time, so there the folder `NAME` is the
object `NAME.zip`, its files stored as they are. Either form is read in either place, whichever is
there: a lake may be copied with any tool.
"""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import uuid
import zipfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from vostok_core.lake.address import Place
from vostok_core.lake.atomic import fsync_directory
from vostok_core.lake.locks import sole_writer
from vostok_core.lake.objects import Folder, Objects

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step; False where the system or its file system can't."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    if call is None:
        return False
    result: int = call(
        _AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE
    )
    return result == 0


Files = Mapping[str, bytes | None]
"""Content by name; None for what is no file."""

Stamps = list[tuple[str, int]]

_EPOCH = (1980, 1, 1, 0, 0, 0)


def put_files(
    place: Place, files: Mapping[str, bytes], *, check: Callable[[Files], object]
) -> None:
    """Make a folder hold exactly `files`, in one step, in a folder lake or in an object store.

    Args:
        place: The folder.
        files: Content by name.
        check: Called with the files as they were written; what it raises is raised, and then
            nothing has changed.
    """
    if isinstance(place, Path):
        install_folder(place, files, check=lambda made: check(_read_folder(made)))
        _zip_beside(place).unlink(missing_ok=True)
        return
    content = pack(files)
    check(unpack(content))
    place.objects.put(f"{place.key}.zip", content)
    for key in place.objects.names(place.key):
        place.objects.delete(key)  # what another tool copied here


def read_files(place: Place, *only: str) -> Files | None:
    """What a folder holds, of one moment where it lies in an object store; None where there is
    none.

    Args:
        place: The folder.
        *only: The files that are wanted, if not all; others may come with them.
    """
    if isinstance(place, Path):
        if place.is_dir():
            return _read_folder(place, only)
        with suppress(FileNotFoundError):
            return unpack(_zip_beside(place).read_bytes())
        return None
    with suppress(FileNotFoundError):
        return unpack(place.objects.read(f"{place.key}.zip")[0])
    found = place.objects.names(place.key)
    prefix = len(place.key) + 1
    return {key[prefix:]: place.objects.read(key)[0] for key in found} if found else None


def is_there(place: Place) -> bool:
    """Whether a folder has been put in place."""
    if isinstance(place, Path):
        return place.is_dir() or _zip_beside(place).is_file()
    objects = place.objects
    return objects.stat(f"{place.key}.zip") is not None or bool(objects.names(place.key))


def stamps(place: Place, *names: str) -> Stamps:
    """What changes whenever a folder or some of its files are written, and when they were, in
    nanoseconds since 1970: 0 where the first alone tells."""
    if isinstance(place, Path):
        return [_stamp(path) for path in (place, *(place / name for name in names))]
    stat = place.objects.stat(f"{place.key}.zip")
    return [("" if stat is None else stat.tag, 0)]


def stamps_below(objects: Objects, prefix: str, *names: str) -> Callable[[Place], Stamps]:
    """Tells `stamps` of the folders below a name; an object store is asked once for all of them."""
    if isinstance(objects, Folder):
        return lambda place: stamps(place, *names)
    tags = {stat.key: stat.tag for stat in objects.stats(prefix)}
    return lambda place: [(tags.get(f"{_key(place)}.zip", ""), 0)]


def _key(place: Place) -> str:
    assert not isinstance(place, Path)
    return place.key


def pack(files: Mapping[str, bytes]) -> bytes:
    """Files as one; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name])
    return buffer.getvalue()


def unpack(content: bytes) -> Files:
    """What `pack` put together; whatever else is in it counts as no file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {
                info.filename: archive.read(info)
                if info.compress_type == zipfile.ZIP_STORED and not info.is_dir()
                else None
                for info in archive.infolist()
            }
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError):
        return {}


def _zip_beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.zip")


def _read_folder(folder: Path, only: Collection[str] = ()) -> Files:
    paths = [path for path in sorted(folder.iterdir()) if not only or path.name in only]
    is_file = [path.is_file() and not path.is_symlink() for path in paths]
    return {
        path.name: path.read_bytes() if plain else None
        for path, plain in zip(paths, is_file, strict=True)
    }


def _stamp(path: Path) -> tuple[str, int]:
    with suppress(FileNotFoundError):
        seen = path.stat()
        return str(seen.st_ino), seen.st_mtime_ns
    return "", 0


def install_folder(
    folder: Path, files: Mapping[str, bytes], *, check: Callable[[Path], object]
) -> None:
    """Make `folder` hold exactly `files`, in one step.

    Writers of one folder take turns; what a killed one left beside it is removed.

    Args:
        folder: Is made, or replaced.
        files: Content by name.
        check: Called with the finished folder before it is put in place; what it raises is raised,
            and then nothing has changed.
    """
    with sole_writer(folder):
        prefix = f".{folder.name}."
        for stray in folder.parent.iterdir():
            if stray.name.startswith(prefix) and stray.name.endswith(".tmp"):
                shutil.rmtree(stray)
        temporary = folder.parent / f"{prefix}{uuid.uuid4().hex}.tmp"
        temporary.mkdir()
        try:
            for name, content in files.items():
                with (temporary / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            fsync_directory(temporary)
            check(temporary)
            if not folder.exists():
                temporary.rename(folder)
            elif not _exchange(temporary, folder):
                aside = folder.parent / f"{prefix}{uuid.uuid4().hex}.tmp"
                folder.rename(aside)
                temporary.rename(folder)
                shutil.rmtree(aside)
            fsync_directory(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
