"""A request that is about to be answered, whichever door it came through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vostok_exchange.commands import Answer, Command
from vostok_exchange.listing import Listing
from vostok_exchange.protocol.exchange import Exchange
from vostok_exchange.protocol.faults import BAD_SYMBOL
from vostok_exchange.protocol.parameters import SYMBOL, Parameters
from vostok_exchange.protocol.signing import Holder

Security = Literal["NONE", "USER_DATA", "TRADE", "USER_STREAM"]


@dataclass(slots=True)
class Call:
    """A request.

    Attributes:
        exchange: What it is asked of.
        parameters: What it says.
        unit: Microseconds in the unit of time that it wants answers in.
        holder: Who asks; None where anybody may.
    """

    exchange: Exchange
    parameters: Parameters
    unit: int
    holder: Holder | None = None

    @property
    def uid(self) -> int:
        """The account that asks."""
        assert self.holder is not None, "the operation is open to anybody"
        return self.holder.uid

    def listing(self, name: str) -> Listing:
        """A symbol.

        Raises:
            Fault: There is none of that name.
        """
        found = self.exchange.desk.venue.listings.get(name)
        if found is None:
            raise BAD_SYMBOL
        return found

    def symbol(self) -> Listing:
        """The symbol that must be sent."""
        return self.listing(self.parameters.required("symbol", SYMBOL))

    def do(self, command: Command[Answer]) -> Answer:
        """Ask the venue."""
        return self.exchange.do(command)

    def stamp(self, ts: int) -> int:
        """A market time as it is written; -1 stays -1."""
        return ts if ts < 0 else ts // self.unit


@dataclass(frozen=True)
class Operation:
    """Something that can be asked.

    Attributes:
        answer: Reads the parameters and answers; raises a `Fault`.
        weight: Request weight, by the parameters where it depends on them.
        security: Who may ask.
        orders: How many new orders it places.
        free: Whether it costs nothing where it succeeds.
    """

    answer: Callable[[Call], Any]
    weight: int | Callable[[Parameters], int] = 1
    security: Security = "NONE"
    orders: int = 0
    free: bool = False

    def cost(self, parameters: Parameters) -> int:
        """Request weight."""
        return self.weight if isinstance(self.weight, int) else self.weight(parameters)


Routes = Mapping[tuple[str, str], Operation]
