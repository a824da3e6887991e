"""What the engine hears.

Every event carries `ts`, the time it became known to the engine, in microseconds of exchange time.
Prices are ticks, quantities lots and fees atoms of quote (see `rules`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vostok_core.errors import SourceFormatError

Status = Literal[
    "sent", "unknown", "held", "open", "partial", "filled", "canceled", "expired", "rejected",
    "absent",
]  # fmt: skip
Action = Literal["pause", "resume", "flatten", "kill", "reset"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the model said about a bar.

    Attributes:
        probability: Calibrated probability that a trade nets a profit.
        threshold: Probability above which its bundle trades.
        sigma: Volatility over the horizon, in log return.
        reference: Close of the bar, in quote per base.
    """

    probability: float
    threshold: float
    sigma: float
    reference: float


@dataclass(frozen=True, slots=True)
class BarClosed:
    """A bar ended at `ts` with `close` (ticks); `decision` is None where no decision was due."""

    ts: int
    close: int
    valid: bool = True
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """What the exchange says about an order.

    Attributes:
        client_order_id: The order.
        status: `held`: in a list, waiting for the entry. `unknown`: sent, and no answer came;
            the gateway goes on asking. `absent`: proven never to have reached the exchange.
        filled: Quantity executed so far, in lots, as far as the exchange says; fills may follow.
        reason: The exchange's own words.
    """

    ts: int
    client_order_id: str
    status: Status
    filled: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """A trade of one of our orders; applied once however often it is heard.

    The fee is in atoms of quote; a gateway whose exchange charges base converts it.
    """

    ts: int
    client_order_id: str
    trade_id: int
    price: int
    qty: int
    fee: int
    liquidity: Literal["taker", "maker"]


@dataclass(frozen=True, slots=True)
class Timer:
    """A time that a `SetTimer` asked for has come."""

    ts: int


@dataclass(frozen=True, slots=True)
class Control:
    """A person's word.

    `pause` and `resume` new entries; `flatten` closes the position and pauses; `kill` closes it and
    latches the kill switch; `reset` releases the switch, and only that does.
    """

    ts: int
    action: Action


Event = BarClosed | OrderUpdate | Fill | Timer | Control
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (BarClosed, OrderUpdate, Fill, Timer, Control)
}


def event_to_json(event: Event) -> dict[str, Any]:
    """An event as JSON-like values; doubles keep their bits through JSON."""
    return {"event": type(event).__name__, **asdict(event)}


def event_from_json(content: Mapping[str, Any]) -> Event:
    """The event that `event_to_json` wrote.

    Raises:
        SourceFormatError: It is not one.
    """
    fields = dict(content)
    kind = _KINDS.get(fields.pop("event", ""))
    try:
        if kind is None:
            raise TypeError("no such kind of event")  # noqa: TRY301
        if fields.get("decision") is not None:
            fields["decision"] = Decision(**fields["decision"])
        event: Event = kind(**fields)
    except TypeError as error:
        raise SourceFormatError(
            f"not an event of the engine ({error})",
            where=content.get("event"),
            hint=f"events are {', '.join(_KINDS)}, with the fields that docs/engine.md lists",
        ) from None
    return event
