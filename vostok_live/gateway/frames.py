"""What the user stream says, frame by frame.

Source: binance-spot-api-docs, user-data-stream.md and web-socket-api.md.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from vostok_live.feed.events import Flaw, Malformed, Shutdown
from vostok_live.feed.parse import Impossible, microseconds
from vostok_live.gateway.payloads import ErrorBody, Unreadable, finite
from vostok_live.gateway.port import OrderReport, TradeReport

_MAX_FRAME = 64 * 1024  # bytes; a report has one or two thousand
_SHOWN = 120  # bytes of a frame that a finding quotes


class Execution(NamedTuple):
    """Something happened to an order of the account."""

    symbol: str
    order: OrderReport
    trade: TradeReport | None


class Reply(NamedTuple):
    """The answer to a request on the stream; a status of 200 grants it."""

    id: str | int | None
    status: int
    code: int | None
    text: str


class Ended(NamedTuple):
    """The subscription has ended; the connection has not."""


class Other(NamedTuple):
    """An event that says nothing of orders, such as a deposit."""

    kind: str


Frame = Execution | Reply | Ended | Shutdown | Other | Malformed


class _Execution(Struct):
    s: str
    c: str
    C: str | None
    S: str
    x: str
    X: str
    r: str
    i: int
    l: Decimal  # noqa: E741
    z: Decimal
    L: Decimal
    n: Decimal
    N: str | None
    T: int
    t: int
    m: bool
    eR: str = ""  # noqa: N815

    def read(self) -> Execution:
        ts = microseconds(self.T)
        # Of a cancel, `c` is the cancel's own name and `C` the order's.
        name = self.C or self.c
        reason = next((word for word in (self.r, self.eR) if word not in ("", "NONE")), "")
        report = OrderReport(ts, self.i, name, self.X, finite(self.z), reason)
        if self.x != "TRADE" or self.t < 0 or not self.l:
            return Execution(self.s, report, None)
        trade = TradeReport(
            ts=ts,
            trade_id=self.t,
            order_id=self.i,
            client_order_id=name,
            side="buy" if self.S == "BUY" else "sell",
            price=finite(self.L),
            qty=finite(self.l),
            commission=finite(self.n),
            commission_asset=self.N or "",
            maker=self.m,
            source="stream",
        )
        return Execution(self.s, report, trade)


class _Kind(Struct):
    e: str
    E: int = 0


class _Envelope(Struct):
    event: Raw = Raw()
    id: str | int | None = None
    status: int = 0
    error: ErrorBody | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_kind = msgspec.json.Decoder(_Kind)
_execution = msgspec.json.Decoder(_Execution)


def decode(data: bytes) -> Frame:
    """What a frame of the user stream says; nothing that a server sends raises an error here."""
    if len(data) > _MAX_FRAME:
        return Malformed("huge", f"{len(data)} bytes: {_quoted(data)}")
    try:
        return _decode(data)
    except (Impossible, Unreadable) as problem:
        return _malformed("impossible", problem, data)
    except msgspec.ValidationError as problem:
        return _malformed("wrong_shape", problem, data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        if not data.strip():
            return Malformed("empty", f"{len(data)} bytes")
        return _malformed("not_json", problem, data)


def _decode(data: bytes) -> Frame:
    envelope = _envelope.decode(data)
    if envelope.event:
        kind = _kind.decode(envelope.event)
        match kind.e:
            case "executionReport":
                return _execution.decode(envelope.event).read()
            case "eventStreamTerminated":
                return Ended()
            case "serverShutdown":
                return Shutdown(microseconds(kind.E))
            case _:
                return Other(kind.e)
    if envelope.status:
        problem = envelope.error
        return Reply(
            envelope.id,
            envelope.status,
            None if problem is None else problem.code,
            "" if problem is None else problem.msg,
        )
    return Malformed("unexpected", _quoted(data))


def _malformed(flaw: Flaw, problem: Exception, data: bytes) -> Malformed:
    return Malformed(flaw, f"{problem}: {_quoted(data)}")


def _quoted(data: bytes) -> str:
    """How a frame begins."""
    return repr(data[:_SHOWN].decode("utf-8", "replace"))
