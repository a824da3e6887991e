"""Runs `vostok-live` as it is, with timers at its journal and its sockets; `live.py` starts it.

    python bench/live_timers.py TIMES run STRATEGY --instrument ID ...

What was timed is written to TIMES when the daemon has stopped. All times are of the daemon's own
clock (`WallClock`): that of a trade's arrival is the daemon's, taken when the frame comes out of
the WebSocket; that of an order is taken when `send` of the socket has returned, with the whole
request in the kernel's hands.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from vostok_core.trading.commands import requests
from vostok_live import cli, seams
from vostok_live.journal.writer import Journal

WRITES = (
    "append", "snapshot", "record_request", "record_answer", "record_order", "record_fill",
    "record_ticks", "record_cut", "record_news", "record_alert", "record_control",
)  # fmt: skip
_ENTRY = re.compile(rb"vl[A-Za-z0-9]{1,12}-\d+-e")


class Timers:
    """What was timed, nanoseconds.

    Attributes:
        orders: Of each entry: its trade arrived, was taken up, the decision was on the disk, the
            request was in the socket; the journal's share in all of that and in the last step; and
            the processor time of the event loop since the trade was taken up.
        synced: Writes of an entry's decision.
        snapshots: Writes of what the engine remembers, the folding of the log among them.
        by_timer: Entries on bars that no trade closed.
    """

    def __init__(self) -> None:
        self.orders: list[tuple[int, ...]] = []
        self.synced: list[int] = []
        self.snapshots: list[int] = []
        self.by_timer = 0
        self._clock: Callable[[], int] = lambda: 0
        self._ticks: Any = ()
        self._taken_up = 0
        self._used = 0
        self._closed_by: int | None = None
        self._waiting: dict[bytes, tuple[int, int, int, int]] = {}
        self._writes: deque[tuple[int, int]] = deque(maxlen=4_096)

    def wrap(self, name: str) -> None:
        """Time a method of the journal."""
        write = getattr(Journal, name)

        def timed(journal: Journal, *given: Any, **named: Any) -> Any:
            self._clock = journal._clock.wall_ns
            used, began = time.thread_time_ns(), self._clock()
            result = write(journal, *given, **named)
            ended = self._clock()
            self._writes.append((began, ended))
            self._note(name, given, used, began, ended)
            return result

        setattr(Journal, name, timed)

    def _note(self, name: str, given: tuple[Any, ...], used: int, began: int, ended: int) -> None:
        if name == "record_ticks":
            self._ticks, self._taken_up, self._used = given[0], began, used
        elif name == "record_cut":
            # Of the trades that came at once, the first behind the cut has closed the bar.
            cut = given[0]
            behind = (tick.seen * 1_000 for tick in self._ticks if tick.trade_id > cut.last_id)
            self._closed_by = next(behind) if cut.by == "trade" else None
        elif name == "snapshot":
            self.snapshots.append(ended - began)
        elif name == "append":
            for request in (request for command in given[1] for request in requests(command)):
                if request.leg == "entry":
                    self.synced.append(ended - began)
                    if self._closed_by is None:
                        self.by_timer += 1
                    else:
                        about = (self._closed_by, self._taken_up, ended, self._used)
                        self._waiting[request.client_order_id.encode()] = about

    def sent(self, data: bytes) -> None:
        """The socket has taken this."""
        now, used = self._clock(), time.thread_time_ns()
        for name in _ENTRY.findall(data):
            if name in self._waiting:
                arrived, taken_up, decided, before = self._waiting.pop(name)
                whole, last = self._written(arrived, now), self._written(decided, now)
                self.orders.append((arrived, taken_up, decided, now, whole, last, used - before))
                return

    def _written(self, begin: int, end: int) -> int:
        """How much of a span the journal was written in."""
        return sum(max(min(end, b) - max(begin, a), 0) for a, b in self._writes)


timers = Timers()


class TimedSocket(socket.socket):
    """A socket that tells what it has taken."""

    def send(self, data: Any, flags: int = 0) -> int:
        taken = super().send(data, flags)
        if taken == len(data) and data[:5] == b"POST ":
            timers.sent(bytes(data))
        return taken


def _connector() -> aiohttp.BaseConnector:
    return aiohttp.TCPConnector(socket_factory=lambda address: TimedSocket(*address[:3]))


def main() -> None:
    times = Path(sys.argv[1])
    for name in WRITES:
        timers.wrap(name)
    seams._connector = _connector
    try:
        cli.app(sys.argv[2:], prog_name="vostok-live")
    finally:
        found = {k: v for k, v in vars(timers).items() if not k.startswith("_")}
        times.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
