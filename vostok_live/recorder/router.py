"""What a shared connection brings, to the instrument that it is about."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from vostok_live.feed.connection import Arrival, Change, MarketStream
from vostok_live.feed.events import BookTop, DepthDiff, Event, Malformed, Resumed, Tick
from vostok_live.recorder.lines import Down, Up
from vostok_live.recorder.recording import Recording
from vostok_live.service import logs

_log = logging.getLogger(f"{logs.ROOT}.recorder")
_STREAM = re.compile(rb'"stream"\s*:\s*"([^"@]+)@')
_LOOKED_AT = 200  # bytes of a frame that can't be used, for its stream


class Router:
    """The instruments of one connection; what a `MarketStream` puts things into.

    Args:
        recordings: They.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._recordings = {recording.symbol: recording for recording in recordings}
        self._stream: MarketStream | None = None

    @property
    def streams(self) -> list[str]:
        """What the connection is to carry."""
        return [name for each in self._recordings.values() for name in each.streams]

    def follow(self, stream: MarketStream) -> None:
        """This is the connection."""
        self._stream = stream

    def frame(self, text: bytes, ns: int, event: Event) -> None:
        """Write a frame down where it belongs; one that can't be told apart, everywhere.

        Raises:
            RecorderError: It can't be written down.
        """
        if isinstance(event, Tick | BookTop | DepthDiff):
            recording = self._recordings.get(event.symbol)
            if recording is not None:
                recording.frame(text, ns, event)
        elif isinstance(event, Malformed):
            for recording in self._about(text):
                recording.frame(text, ns, event)

    def _about(self, text: bytes) -> Sequence[Recording]:
        """The instruments that a frame which can't be used may be about."""
        match = _STREAM.search(text[:_LOOKED_AT])
        symbol = "" if match is None else match[1].decode("ascii", "replace").upper()
        found = self._recordings.get(symbol)
        return list(self._recordings.values()) if found is None else [found]

    def put(self, item: Arrival) -> bool:  # noqa: ARG002
        """It was written down as a frame."""
        return True

    def mark(self, item: Resumed) -> None:
        """A new connection carries the streams; `changed` says which."""

    def changed(self, change: Change) -> None:
        """Write down what became of a connection.

        Raises:
            RecorderError: It can't be written down.
        """
        said = f"connection {change.connection} {change.state} {change.reason}".strip()
        logs.event(_log, "info", "connection", said)
        if change.state == "up":
            for recording in self._recordings.values():
                recording.up = True
                recording.write(Up(change.connection))
                recording.resumed()
        elif change.state == "down":
            left = self._stream is not None and self._stream.up
            for recording in self._recordings.values():
                recording.up = left
                recording.write(Down(change.connection, change.reason, change.heard_ns, left))
