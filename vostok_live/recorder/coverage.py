"""The spans in which the streams were heard, told by the lines of a segment."""

from __future__ import annotations

from dataclasses import dataclass

from vostok_live.recorder.lines import Begun, Down, Ended, Own, Up

KILLED = "the recorder was killed"
FILE_ENDS = "the file ends"


@dataclass
class Span:
    """A span in which a connection carried the streams.

    Attributes:
        begin_ns: Its begin, by the wall.
        end_ns: Its end.
        frames: That came in it.
        why: What ended it.
    """

    begin_ns: int
    end_ns: int
    frames: int = 0
    why: str = ""


class Coverage:
    """Told line by line.

    Attributes:
        spans: Those that have ended.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._open: Span | None = None
        self._foreign = True  # it has no lines of ours: all of it is covered

    def heard(self, ns: int) -> None:
        """A frame came."""
        if self._open is None and self._foreign:
            self._open = Span(ns, ns)
        if self._open is not None:
            self._open.frames += 1
            self._open.end_ns = ns

    def own(self, ns: int, line: Own) -> None:
        """A line of ours stands there."""
        self._foreign = False
        begins = isinstance(line, Up) or (isinstance(line, Begun) and line.up)
        if begins and self._open is None:
            self._open = Span(ns, ns)
        elif isinstance(line, Down) and not line.left:
            self._close(line.why, line.heard_ns)
        elif isinstance(line, Ended):
            self._close(line.why, ns)

    def end(self) -> None:
        """No line follows."""
        self._close(FILE_ENDS if self._foreign else KILLED)

    def _close(self, why: str, heard_ns: int = 0) -> None:
        if self._open is not None:
            self._open.why = why
            self._open.end_ns = max(self._open.end_ns, heard_ns)
            self.spans.append(self._open)
            self._open = None
