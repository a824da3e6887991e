"""Notices when the event loop is late: everything in the daemon waits for the same one."""

from __future__ import annotations

import asyncio
from collections import deque

_EVERY = 0.1  # seconds between two beats
_KEPT = 100  # beats, ten seconds where none is late


class Heartbeat:
    """Sleeps, and sees how much too late it wakes."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=_KEPT)
        self._due: float | None = None

    async def run(self) -> None:
        """Go on until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._due = loop.time() + _EVERY
                await asyncio.sleep(_EVERY)
                self._late.append(max(loop.time() - self._due, 0.0))
        finally:
            self._due = None

    @property
    def beating(self) -> bool:
        """Whether it runs."""
        return self._due is not None

    def lag(self) -> float:
        """How late it woke at worst in the last ten seconds or so, and is now; seconds."""
        overdue = 0.0
        if self._due is not None:
            overdue = max(asyncio.get_running_loop().time() - self._due, 0.0)
        return max(overdue, max(self._late, default=0.0))
