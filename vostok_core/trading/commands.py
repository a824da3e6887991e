"""What the engine asks for.

A driver (simulator, daemon) carries the commands out in order and answers with events. It writes a
command down before it acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Side = Literal["buy", "sell"]
Leg = Literal["entry", "take_profit", "stop_loss", "market"]
OrderKind = Literal["limit", "market", "stop"]
Level = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order.

    Attributes:
        client_order_id: Never used before or again.
        leg: What it is for.
        side: Buy or sell.
        kind: `limit`, `market`, or `stop` (a market order once the stop price trades).
        time_in_force: `IOC` for the entry, `GTC` for what rests.
        qty: Lots.
        price: Limit or stop price in ticks; 0 for a market order.
    """

    client_order_id: str
    leg: Leg
    side: Side
    kind: OrderKind
    time_in_force: Literal["IOC", "GTC"]
    qty: int
    price: int


@dataclass(frozen=True, slots=True)
class Place:
    """Send one order."""

    order: OrderRequest


@dataclass(frozen=True, slots=True)
class PlaceList:
    """Send orders as one list, accepted or refused as a whole.

    With an entry, the exits are held until it is filled in full. Of the exits, the first that
    trades, even in part, cancels the other.
    """

    entry: OrderRequest | None
    take_profit: OrderRequest
    stop_loss: OrderRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an order; an order of a list takes its list with it."""

    client_order_id: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Cancel an order (and its list), and send another only if that succeeded."""

    client_order_id: str
    order: OrderRequest


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Call back with `Timer(ts)` at or soon after `ts`; nothing is ever taken back."""

    ts: int


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell a person."""

    level: Level
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Closed:
    """Report of a position that ended.

    Attributes:
        decision_ts: Time of the decision.
        entry_ts: Time of the first entry fill.
        exit_ts: Time of the last exit fill, or of the booking as dust.
        reason: What ended it: take_profit, stop_loss, time, flatten, kill, uncovered, late_fill;
            too_small when what was bought could carry no exits, dust when nothing sold it.
        probability: Probability at the decision.
        bought: Lots bought.
        cost: Atoms paid for them.
        sold: Lots sold.
        proceeds: Atoms received for them.
        dust: Lots left over, too few to be sold.
        dust_worth: Their worth at the last close, in atoms.
        fees: Atoms.
        entry_id: Client id of the entry order; exits carry later sequence numbers.
    """

    decision_ts: int
    entry_ts: int
    exit_ts: int
    reason: str
    probability: float
    bought: int
    cost: int
    sold: int
    proceeds: int
    dust: int
    dust_worth: int
    fees: int
    entry_id: str


Command = Place | PlaceList | Cancel | Replace | SetTimer | Alert | Closed


def command_to_json(command: Command) -> dict[str, Any]:
    """A command as JSON-like values."""
    return {"command": type(command).__name__, **asdict(command)}


def closed_from_json(content: Mapping[str, Any]) -> Closed:
    """The report that `command_to_json` wrote."""
    return Closed(**{name: value for name, value in content.items() if name != "command"})


def requests(command: Command) -> tuple[OrderRequest, ...]:
    """The orders that a command sends."""
    match command:
        case Place(order) | Replace(_, order):
            return (order,)
        case PlaceList(None, take_profit, stop_loss):
            return take_profit, stop_loss
        case PlaceList(OrderRequest() as entry, take_profit, stop_loss):
            return entry, take_profit, stop_loss
        case _:
            return ()
