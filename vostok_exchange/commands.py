"""Everything that accounts can ask of a venue which may change it, as values that go to disk.

A venue is a function of how it was set up and of these, each at its time: asked again in the same
order, it comes to the same state, bit for bit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from vostok_exchange.events import Event
from vostok_exchange.orders import (
    Canceled,
    ListCanceled,
    ListPlaced,
    OcoRequest,
    OrderRequest,
    OtoRequest,
    Placed,
    Rejection,
    Replaced,
)
from vostok_exchange.venue import Restriction, Venue

Answer = TypeVar("Answer")


class Command(Struct, Generic[Answer], frozen=True, omit_defaults=True, tag_field="ask"):
    """Something that is asked; `Answer` is what comes of it."""

    uid: int

    def run(self, venue: Venue, now: int) -> tuple[Answer, list[Event]]:
        """Ask it of a venue at a time."""
        raise NotImplementedError


class Check(Command[Rejection | None], frozen=True, omit_defaults=True, tag="check"):
    """Would the filters let an order pass? A name may be made up for it, so it counts."""

    request: OrderRequest

    def run(self, venue: Venue, now: int) -> tuple[Rejection | None, list[Event]]:
        return venue.check(self.uid, self.request, now), []


class Place(Command[Placed | Rejection], frozen=True, omit_defaults=True, tag="place"):
    """Place an order."""

    request: OrderRequest

    def run(self, venue: Venue, now: int) -> tuple[Placed | Rejection, list[Event]]:
        return venue.place(self.uid, self.request, now)


class PlaceOco(Command[ListPlaced | Rejection], frozen=True, omit_defaults=True, tag="place_oco"):
    """Place an OCO."""

    request: OcoRequest

    def run(self, venue: Venue, now: int) -> tuple[ListPlaced | Rejection, list[Event]]:
        return venue.place_oco(self.uid, self.request, now)


class PlaceOto(Command[ListPlaced | Rejection], frozen=True, omit_defaults=True, tag="place_oto"):
    """Place an OTO or OTOCO; `pending` is one order or two (above and below)."""

    working: OrderRequest
    pending: tuple[OrderRequest, ...]
    list_client_order_id: str | None = None

    def run(self, venue: Venue, now: int) -> tuple[ListPlaced | Rejection, list[Event]]:
        first, *rest = self.pending
        pending = (first, rest[0]) if rest else (first,)
        request = OtoRequest(self.working, pending, self.list_client_order_id)
        return venue.place_oto(self.uid, request, now)


class Which(Struct, frozen=True, omit_defaults=True):
    """The order that a cancel means, see `Venue.cancel`."""

    order_id: int | None = None
    client_order_id: str | None = None
    cancel_id: str | None = None
    restriction: Restriction | None = None


class Cancel(
    Command[Canceled | ListCanceled | Rejection], frozen=True, omit_defaults=True, tag="cancel"
):
    """Cancel an order."""

    symbol: str
    which: Which

    def run(
        self, venue: Venue, now: int
    ) -> tuple[Canceled | ListCanceled | Rejection, list[Event]]:
        which = self.which
        return venue.cancel(
            self.uid,
            self.symbol,
            now,
            order_id=which.order_id,
            client_order_id=which.client_order_id,
            cancel_id=which.cancel_id,
            restriction=which.restriction,
        )


class CancelAll(
    Command[list[Canceled | ListCanceled] | Rejection],
    frozen=True,
    omit_defaults=True,
    tag="cancel_all",
):
    """Cancel every open order in a symbol."""

    symbol: str

    def run(
        self, venue: Venue, now: int
    ) -> tuple[list[Canceled | ListCanceled] | Rejection, list[Event]]:
        return venue.cancel_all(self.uid, self.symbol, now)


class CancelList(
    Command[ListCanceled | Rejection], frozen=True, omit_defaults=True, tag="cancel_list"
):
    """Cancel an order list."""

    symbol: str
    list_id: int | None = None
    list_client_order_id: str | None = None
    cancel_id: str | None = None

    def run(self, venue: Venue, now: int) -> tuple[ListCanceled | Rejection, list[Event]]:
        return venue.cancel_list(
            self.uid,
            self.symbol,
            now,
            list_id=self.list_id,
            list_client_order_id=self.list_client_order_id,
            cancel_id=self.cancel_id,
        )


class CancelReplace(
    Command[Replaced | Rejection], frozen=True, omit_defaults=True, tag="cancel_replace"
):
    """Cancel an order and place another."""

    request: OrderRequest
    which: Which
    mode: Literal["STOP_ON_FAILURE", "ALLOW_FAILURE"]

    def run(self, venue: Venue, now: int) -> tuple[Replaced | Rejection, list[Event]]:
        which = self.which
        return venue.cancel_replace(
            self.uid,
            self.request,
            now,
            mode=self.mode,
            order_id=which.order_id,
            client_order_id=which.client_order_id,
            cancel_id=which.cancel_id,
            restriction=which.restriction,
        )


class Deposit(Command[None], frozen=True, omit_defaults=True, tag="deposit"):
    """Bring an amount of an asset to the account, or take it away."""

    asset: str
    amount: Decimal

    def run(self, venue: Venue, now: int) -> tuple[None, list[Event]]:
        return None, venue.deposit(self.uid, self.asset, self.amount, now)


class Burn(Command[None], frozen=True, omit_defaults=True, tag="burn"):
    """Pay commission in BNB, or don't."""

    on: bool

    def run(self, venue: Venue, now: int) -> tuple[None, list[Event]]:
        del now  # it counts from the next trade on
        venue.burn(self.uid, on=self.on)
        return None, []


AnyCommand = (
    Check
    | Place
    | PlaceOco
    | PlaceOto
    | Cancel
    | CancelAll
    | CancelList
    | CancelReplace
    | Deposit
    | Burn
)
