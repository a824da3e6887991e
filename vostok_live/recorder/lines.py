"""The lines of a segment: `<wall time in nanoseconds> <text>`.

A text is a frame of the exchange, as it came, or one of ours, which begins with `{"vostok":`. That
is the layout of the public captures of hftbacktest, so those are read as segments too.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

OURS = b'{"vostok":'
"""How a line of ours begins, after the time."""

BEGUN = b'{"vostok":"begun"'
"""How the first line of a segment begins, after the time."""

VERSION = 1
"""Of this form."""

_EARLIEST_NS = 1_230_768_000 * 10**9  # 2009, before which nothing was traded
_LATEST_NS = 2**63 - 1


class Begun(Struct, frozen=True, tag="begun", tag_field="vostok"):
    """The first line of a segment.

    Attributes:
        version: Of the form.
        instrument: What is recorded.
        tick: What a tick of it is.
        exchange: Where.
        up: Whether a connection carries the streams.
    """

    version: int
    instrument: str
    tick: str
    exchange: str
    up: bool


class Ended(Struct, frozen=True, tag="ended", tag_field="vostok"):
    """The last line of a segment that was closed in order; `why`: `hour` or `stopped`."""

    why: str


class Up(Struct, frozen=True, tag="up", tag_field="vostok"):
    """A connection carries the streams from here on."""

    connection: int


class Down(Struct, frozen=True, tag="down", tag_field="vostok"):
    """A connection has ended.

    Attributes:
        connection: Which.
        why: In words.
        heard_ns: When it last brought anything, a pong included; 0 if it never did.
        left: Whether another one carries the streams.
    """

    connection: int
    why: str
    heard_ns: int
    left: bool


class Clock(Struct, frozen=True, tag="clock", tag_field="vostok"):
    """What the market's clock showed.

    Attributes:
        wall_ns: By our wall, when.
        market_us: What it showed, microseconds.
        speed: Seconds of market time in a second.
        round_trip_ns: How long asking took: it may be off by half of that.
        apart: Whether market time is another than the wall's, as at an exchange that runs faster.
    """

    wall_ns: int
    market_us: int
    speed: float
    round_trip_ns: int
    apart: bool


class Trades(Struct, frozen=True, tag="trades", tag_field="vostok"):
    """Trades that were missed, as REST answered.

    Attributes:
        from_id: Id that was asked for.
        body: The answer.
    """

    from_id: int
    body: Raw


class Depth(Struct, frozen=True, tag="depth", tag_field="vostok"):
    """A snapshot of the book, as REST answered."""

    body: Raw


class Skipped(Struct, frozen=True, tag="skipped", tag_field="vostok"):
    """Trades that are missing and were not fetched.

    Attributes:
        from_id: The first of them.
        to_id: The one after the last of them; -1 where that is not known.
        why: In words.
    """

    from_id: int
    to_id: int
    why: str


class Text(Struct, frozen=True, tag="text", tag_field="vostok"):
    """A text of the exchange that does not stand on a line as it came."""

    text: str


Own = Begun | Ended | Up | Down | Clock | Trades | Depth | Skipped | Text

_own = msgspec.json.Decoder(Own)
_any = msgspec.json.Decoder(Raw)


def written(line: Own) -> bytes:
    """A line of ours, without its time."""
    return msgspec.json.encode(line)


def read_own(text: bytes) -> Own:
    """What `written` wrote.

    Raises:
        msgspec.MsgspecError: It is no line of ours.
    """
    return _own.decode(text)


def on_one_line(text: bytes) -> bytes:
    """A text of the exchange as it stands in a segment."""
    if b"\n" not in text and text:
        return text
    return written(Text(text.decode("utf-8", "backslashreplace")))


def compact(body: bytes) -> Raw:
    """An answer as a part of a line of ours.

    Raises:
        msgspec.MsgspecError: It is not JSON.
    """
    _any.decode(body)
    return Raw(msgspec.json.format(body, indent=-1) if b"\n" in body else body)


def split(line: bytes) -> tuple[int, bytes] | None:
    """Time and text of a line; None for what is no line of a segment."""
    stamp, _, text = line.partition(b" ")
    if not (text and len(stamp) < 20 and stamp.isdigit()):
        return None
    ns = int(stamp)
    return (ns, text) if _EARLIEST_NS <= ns <= _LATEST_NS else None
