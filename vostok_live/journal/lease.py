"""One process at a time writes a journal: a locked file beside it, which says who holds it.

The lock ends with the process, however it ends. The file stays.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Self

from vostok_live.errors import JournalTaken


class Lease:
    """The right to write a journal, held until it is given back or the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take the right to write the journal at `path`, and write down who has it.

        Raises:
            JournalTaken: Another process has it.
        """
        place = path.with_name(f"{path.name}.lock")
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise JournalTaken(
                f"the journal is being written by {holder}",
                where=path,
                hint="stop that process first, or give this daemon a state folder of its own",
            ) from None
        os.ftruncate(descriptor, 0)
        me = {"pid": os.getpid(), "host": os.uname().nodename}
        os.write(descriptor, json.dumps(me).encode())
        return cls(descriptor)

    def give_back(self) -> None:
        """Let another process write. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _holder(descriptor: int) -> str:
    """Who wrote the file; they may be between taking the lock and writing."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {found['pid']} on {found['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
