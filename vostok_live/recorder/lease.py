"""One process at a time records an instrument: a locked file in its folder says who does.

The lock ends with the process, however it ends. The file stays.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from pathlib import Path
from typing import Self

from vostok_core.lake.recorder_folder import LOCK
from vostok_live.recorder.errors import RecorderError, RecorderTaken

_TRIES = 5
_PAUSE = 0.05  # seconds


class RecorderLease:
    """The right to record an instrument, held until it is given back or the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path) -> Self:
        """Take it, and write down who has it. The folder is made.

        Raises:
            RecorderTaken: Another process has it.
            RecorderError: The folder can't be written.
        """
        path = folder / LOCK
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise unwritable(folder, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise RecorderTaken(
                f"{folder.name} is being recorded by {holder}",
                where=folder,
                hint="stop that process first; `vostok-live record status` shows how it stands",
            ) from None
        os.ftruncate(descriptor, 0)
        me = {"pid": os.getpid(), "host": os.uname().nodename}
        os.pwrite(descriptor, json.dumps(me).encode(), 0)
        return cls(descriptor)

    @classmethod
    async def take_patiently(cls, folder: Path) -> Self:
        """As `take`, also while somebody looks whether it is held, who holds it for an instant."""
        for _ in range(_TRIES):
            try:
                return cls.take(folder)
            except RecorderTaken:
                await asyncio.sleep(_PAUSE)
        return cls.take(folder)

    def give_back(self) -> None:
        """Let another process record. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def unwritable(folder: Path, error: OSError) -> RecorderError:
    """The error about a folder in which nothing can be recorded."""
    return RecorderError(
        f"the recorder's folder can't be written ({error.strerror})",
        where=folder,
        hint="see that it is yours and on a disk that can be written",
    )


def _holder(descriptor: int) -> str:
    """Who wrote the file; they may be between taking the lock and writing."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {found['pid']} on {found['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
