"""Putting a whole folder in place at once.

A rename can't replace a folder that holds files. Where the system can exchange two names in one
step (Linux), it does; elsewhere the old folder is renamed aside first, and a reader in that instant
finds none, never half of one.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from vostok_core.lake.atomic import fsync_directory
from vostok_core.lake.locks import sole_writer

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
