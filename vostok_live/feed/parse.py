"""Frames of Binance's spot market streams, decoded.

Combined frames (`{"stream": …, "data": …}`) and raw ones are told apart by what they hold. A frame
that can't be used becomes a `Malformed`: nothing that a server sends raises an error here.

Prices and quantities are decimal texts; each becomes the double nearest to it, which is what the
archive's reader makes of the same text. Times are milliseconds, or microseconds on a connection
that asked for them (`timeUnit=MICROSECOND`); from 2009 to 2100 the two ranges don't overlap, so a
time says itself in which of them it is.

Source: binance-spot-api-docs, web-socket-streams.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from vostok_live.feed.events import (
    Answer,
    BookTop,
    DepthDiff,
    DepthSnapshot,
    Event,
    Flaw,
    Kline,
    Level,
    Malformed,
    Shutdown,
    Tick,
)

MAX_FRAME = 1024 * 1024
"""Bytes; a snapshot of 5,000 levels a side, the largest that there is, has a third of it."""

_SHOWN = 120  # bytes of a frame that a finding quotes
_EARLIEST = 1_230_768_000  # 2009-01-01 in seconds: Bitcoin's first block
_LATEST = 4_102_444_800  # 2100-01-01

_Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Time = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Impossible(ValueError):
    """A price, quantity or time that can't be."""


def microseconds(time: int) -> int:
    """A time in milli- or microseconds, as microseconds.

    Raises:
        Impossible: It is in neither, between 2009 and 2100.
    """
    if _EARLIEST * 1_000_000 <= time < _LATEST * 1_000_000:
        return time
    if _EARLIEST * 1_000 <= time < _LATEST * 1_000:
        return time * 1_000
    raise Impossible(f"{time} is no time in milli- or microseconds from 2009 to 2100")


def positive(value: float) -> float:
    """A price or quantity.

    Raises:
        Impossible: It is not finite and above 0.
    """
    if 0.0 < value < inf:
        return value
    raise Impossible(f"{value} is not a finite number above 0")


def not_negative(value: float) -> float:
    """A volume.

    Raises:
        Impossible: It is not finite and at least 0.
    """
    if 0.0 <= value < inf:
        return value
    raise Impossible(f"{value} is not a finite number, 0 or above")


class AggTrade(Struct, gc=False):
    """`aggTrade`, and an element of the answer to `GET /api/v3/aggTrades`, which has no `s`."""

    a: _Id
    p: float
    q: float
    f: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    l: Annotated[int, Meta(ge=-1, le=2**63 - 1)]  # noqa: E741
    T: _Time
    m: bool
    s: str = ""
    E: _Time = 0
    e: Literal["aggTrade"] = "aggTrade"

    def tick(self, symbol: str, seen: int) -> Tick:
        """The trade.

        Raises:
            Impossible: Its price, quantity or time can't be.
        """
        price, qty = positive(self.p), positive(self.q)
        sent = microseconds(self.E) if self.E else -1
        ts = microseconds(self.T)
        if self.l < self.f:
            raise Impossible(f"the trades beneath run from {self.f} to {self.l}")
        return Tick(symbol, self.a, ts, price, qty, self.m, self.f, self.l, sent, seen)


class _Trade(Struct, gc=False):
    t: _Id
    p: float
    q: float
    T: _Time
    m: bool
    s: str
    E: _Time
    e: Literal["trade"]


class _BookTicker(Struct, gc=False):
    u: _Id
    s: str
    b: float
    B: float
    a: float
    A: float


class _Depth(Struct, gc=False):
    U: _Id
    u: _Id
    s: str
    E: _Time
    b: list[Level]
    a: list[Level]
    e: Literal["depthUpdate"]


class _Snapshot(Struct, gc=False):
    lastUpdateId: _Id  # noqa: N815
    bids: list[Level]
    asks: list[Level]


class _KlineBody(Struct, gc=False):
    t: _Time
    T: _Time
    i: str
    o: float
    h: float
    l: float  # noqa: E741
    c: float
    v: float
    q: float
    n: _Id
    V: float
    x: bool


class _Kline(Struct, gc=False):
    s: str
    k: _KlineBody
    e: Literal["kline"]


class _Shutdown(Struct, gc=False):
    E: _Time
    e: Literal["serverShutdown"]


class _Error(Struct, gc=False):
    code: int = 0
    msg: str = ""


class _Frame(Struct, gc=False):
    """What says of what kind a frame is. `u` and `b` tell a raw bookTicker, which has no `e`, and
    `lastUpdateId` a snapshot."""

    stream: str = ""
    data: Raw = Raw()
    e: str = ""
    id: int | str | None = None
    result: Raw = Raw()
    error: _Error | None = None
    code: int | None = None
    msg: str = ""
    u: Raw = Raw()
    b: Raw = Raw()
    lastUpdateId: Raw = Raw()  # noqa: N815


_frame = msgspec.json.Decoder(_Frame)
# Not strict: a number in a text is a number. Its grammar is that of JSON, and `nan` and `inf`,
# which it also takes, are not above 0.
_agg_trade = msgspec.json.Decoder(AggTrade, strict=False)
_trade = msgspec.json.Decoder(_Trade, strict=False)
_book_ticker = msgspec.json.Decoder(_BookTicker, strict=False)
_depth = msgspec.json.Decoder(_Depth, strict=False)
_snapshot = msgspec.json.Decoder(_Snapshot, strict=False)
_kline = msgspec.json.Decoder(_Kline, strict=False)
_shutdown = msgspec.json.Decoder(_Shutdown)

_Payload = Raw | bytes | str


def _read_agg_trade(data: _Payload, seen: int) -> Tick:
    got = _agg_trade.decode(data)
    return got.tick(got.s, seen)


def _read_trade(data: _Payload, seen: int) -> Tick:
    got = _trade.decode(data)
    price, qty = positive(got.p), positive(got.q)
    ts, sent = microseconds(got.T), microseconds(got.E)
    return Tick(got.s, got.t, ts, price, qty, got.m, -1, -1, sent, seen)


def _read_book_ticker(data: _Payload, seen: int) -> BookTop:
    got = _book_ticker.decode(data)
    bid, ask = positive(got.b), positive(got.a)
    return BookTop(got.s, got.u, bid, not_negative(got.B), ask, not_negative(got.A), seen)


def _read_depth(data: _Payload, seen: int) -> DepthDiff:
    got = _depth.decode(data)
    if got.u < got.U:
        raise Impossible(f"the changes run from {got.U} to {got.u}")
    _check_levels(got.b)
    _check_levels(got.a)
    return DepthDiff(got.s, got.U, got.u, microseconds(got.E), got.b, got.a, seen)


def depth_snapshot(data: _Payload, seen: int) -> DepthSnapshot:
    """The answer to `GET /api/v3/depth`.

    Raises:
        msgspec.MsgspecError: It is no such answer.
        Impossible: A price or quantity can't be, or levels are not in order.
    """
    got = _snapshot.decode(data)
    for levels, sign in ((got.bids, -1.0), (got.asks, 1.0)):
        _check_levels(levels)
        before = -inf
        for price, qty in levels:
            if price * sign <= before or not qty:
                raise Impossible(f"a level {price}, {qty} out of its place")
            before = price * sign
    if got.bids and got.asks and got.bids[0][0] >= got.asks[0][0]:
        raise Impossible(f"buyers offer {got.bids[0][0]} and sellers {got.asks[0][0]}")
    return DepthSnapshot(got.lastUpdateId, got.bids, got.asks, seen)


def _check_levels(levels: list[Level]) -> None:
    for price, qty in levels:
        if not (0.0 < price < inf and 0.0 <= qty < inf):
            raise Impossible(f"{qty} at a price of {price} can't rest in a book")


def _read_kline(data: _Payload, seen: int) -> Kline:  # noqa: ARG001
    got = _kline.decode(data)
    k = got.k
    return Kline(
        got.s,
        k.i,
        kline_end(k.t, k.T),
        positive(k.o),
        positive(k.h),
        positive(k.l),
        positive(k.c),
        not_negative(k.v),
        not_negative(k.q),
        k.n,
        not_negative(k.V),
        k.x,
    )


def kline_end(opened: int, closes: int) -> int:
    """End of a kline in microseconds, from its first and last moment in the exchange's unit.

    Raises:
        Impossible: One of them is no time, or they are not in order.
    """
    microseconds(opened)
    if closes < opened:
        raise Impossible(f"a kline that opens at {opened} can't close at {closes}")
    return microseconds(closes + 1)


def _read_shutdown(data: _Payload, seen: int) -> Shutdown:  # noqa: ARG001
    return Shutdown(microseconds(_shutdown.decode(data).E))


_READERS: dict[str, Callable[[_Payload, int], Event]] = {
    "aggTrade": _read_agg_trade,
    "trade": _read_trade,
    "bookTicker": _read_book_ticker,
    "depth": _read_depth,
    "depthUpdate": _read_depth,
    "kline": _read_kline,
    "serverShutdown": _read_shutdown,
}


@lru_cache(maxsize=1024)
def _kind(stream: str) -> str:
    """The event that a stream carries: `btcusdt@kline_1m` carries `kline`, `btcusdt@depth@100ms`
    carries `depth`."""
    name = stream.partition("@")[2] or stream
    return name.partition("@")[0].lstrip("!").partition("_")[0]


def decode(frame: bytes | str, seen: int = 0) -> Event:
    """What a frame says.

    Args:
        frame: The payload of a text message.
        seen: When it arrived, wall time in microseconds.
    """
    if len(frame) > MAX_FRAME:
        return Malformed("huge", f"{len(frame)} bytes: {_quoted(frame)}")
    try:
        head = _frame.decode(frame)
        if head.stream:
            reader = _READERS.get(_kind(head.stream))
            if reader is not None:
                return reader(head.data, seen)
        elif head.e or (head.u and head.b):
            reader = _READERS.get(head.e or "bookTicker")
            if reader is not None:
                return reader(frame, seen)
        elif head.lastUpdateId:
            return depth_snapshot(frame, seen)
        elif head.error is not None:
            return Answer(head.id, f"{head.error.code}: {head.error.msg}")
        elif head.code is not None:
            return Answer(head.id, f"{head.code}: {head.msg}")
        elif head.result:
            return Answer(head.id, "")
    except Impossible as error:
        return _malformed("impossible", error, frame)
    except msgspec.ValidationError as error:
        return _malformed("wrong_shape", error, frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        if not frame.strip():
            return Malformed("empty", f"{len(frame)} bytes")
        return _malformed("not_json", error, frame)
    return Malformed("unexpected", _quoted(frame))


def _malformed(flaw: Flaw, error: Exception, frame: bytes | str) -> Malformed:
    return Malformed(flaw, f"{error}: {_quoted(frame)}")


def _quoted(frame: bytes | str) -> str:
    """How a frame begins."""
    start = frame[:_SHOWN]
    return repr(start if isinstance(start, str) else start.decode("utf-8", "replace"))
