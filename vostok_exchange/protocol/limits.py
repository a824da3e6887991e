"""How much may be asked: request weight by address, unfilled orders by account; bans.

Windows begin at whole multiples of their length of wall time. An address that goes on asking after
it was told to wait is banned, for two minutes at first and each time longer, up to three days.
https://github.com/binance/binance-spot-api-docs/blob/master/faqs/order_count_decrement.md
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vostok_core.times import DAY, MINUTE, SECOND
from vostok_exchange.events import Event, ExecutionReport
from vostok_exchange.protocol.faults import Fault

_UNITS = {"SECOND": SECOND, "MINUTE": MINUTE, "DAY": DAY}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, as `exchangeInfo` lists it.

    Attributes:
        kind: `rateLimitType`.
        interval: `SECOND`, `MINUTE` or `DAY`.
        number: So many of them.
        most: What may be asked in that time.
    """

    kind: str
    interval: str
    number: int
    most: int

    @property
    def length(self) -> int:
        """Microseconds."""
        return _UNITS[self.interval] * self.number

    @property
    def header(self) -> str:
        """The end of the name of its header, such as `1M`."""
        return f"{self.number}{self.interval[0]}"

    def listed(self) -> dict[str, Any]:
        """As `exchangeInfo` lists it."""
        return {
            "rateLimitType": self.kind,
            "interval": self.interval,
            "intervalNum": self.number,
            "limit": self.most,
        }


@dataclass(frozen=True)
class Policy:
    """All limits; the defaults are Binance's.

    Attributes:
        weight: Of requests from an address.
        raw: Requests from an address, whatever their weight.
        orders: Unfilled orders of an account.
        connections: WebSockets that an address may open within five minutes.
        patience: Requests after a 429 for which an address is not banned yet.
        first_ban: Seconds of the first ban; each one after is twice as long.
        longest_ban: Seconds that no ban is longer than.
    """

    weight: Limit = Limit("REQUEST_WEIGHT", "MINUTE", 1, 6_000)
    raw: Limit = Limit("RAW_REQUESTS", "MINUTE", 5, 300_000)
    orders: tuple[Limit, ...] = (
        Limit("ORDERS", "SECOND", 10, 100),
        Limit("ORDERS", "DAY", 1, 200_000),
    )
    connections: int = 300
    patience: int = 5
    first_ban: int = 120
    longest_ban: int = 3 * 86_400

    def listed(self) -> list[dict[str, Any]]:
        """As `exchangeInfo` lists them."""
        return [limit.listed() for limit in (self.weight, *self.orders, self.raw)]


@dataclass(slots=True)
class _Count:
    window: int = -1
    used: int = 0

    def at(self, limit: Limit, now: int) -> int:
        window = now // limit.length
        if window != self.window:
            self.window, self.used = window, 0
        return self.used


@dataclass(slots=True)
class _Address:
    weight: _Count = field(default_factory=_Count)
    raw: _Count = field(default_factory=_Count)
    refused: int = 0
    bans: int = 0
    banned_until: int = 0
    opened: deque[int] = field(default_factory=deque)


class Limits:
    """What has been asked so far.

    Args:
        policy: What may be asked.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._addresses: dict[str, _Address] = {}
        self._orders: dict[int, list[_Count]] = {}

    def ask(self, address: str, weight: int, now: int) -> None:
        """Count a request.

        Raises:
            Fault: It is one too many, or the address is banned.
        """
        one = self._addresses.setdefault(address, _Address())
        if now < one.banned_until:
            raise self._banned(one, now)
        policy = self.policy
        used, raw = one.weight.at(policy.weight, now), one.raw.at(policy.raw, now)
        if used + weight <= policy.weight.most and raw < policy.raw.most:
            one.refused = 0
            one.weight.used += weight
            one.raw.used += 1
            return
        one.refused += 1
        if one.refused > policy.patience:
            seconds = min(policy.first_ban * 2**one.bans, policy.longest_ban)
            one.bans += 1
            one.refused = 0
            one.banned_until = now + seconds * SECOND
            raise self._banned(one, now)
        full = policy.weight if used + weight > policy.weight.most else policy.raw
        raise Fault(
            -1003,
            f"Too much request weight used; current limit is {full.most} request weight per "
            f"{full.number} {full.interval}. Please use WebSocket Streams for live updates to "
            "avoid polling the API.",
            429,
            wait=_wait(full, now),
        )

    def give_back(self, address: str, weight: int) -> None:
        """A request cost nothing because it succeeded."""
        count = self._addresses[address].weight
        count.used = max(0, count.used - weight)

    def weight(self, address: str, now: int) -> int:
        """Weight that an address has used."""
        return self._addresses.setdefault(address, _Address()).weight.at(self.policy.weight, now)

    def connect(self, address: str, now: int) -> None:
        """Count a WebSocket.

        Raises:
            Fault: The address has opened too many, or is banned.
        """
        one = self._addresses.setdefault(address, _Address())
        if now < one.banned_until:
            raise self._banned(one, now)
        while one.opened and one.opened[0] <= now - 5 * MINUTE:
            one.opened.popleft()
        if len(one.opened) >= self.policy.connections:
            raise Fault(
                -1034,
                "Too many connection attempts from IP; current limit is "
                f"{self.policy.connections} per '5 MINUTE'.",
                429,
                wait=-(-(one.opened[0] + 5 * MINUTE - now) // SECOND),
            )
        one.opened.append(now)

    def place(self, uid: int, orders: int, now: int) -> None:
        """Count an account's new orders.

        Raises:
            Fault: They are too many.
        """
        limits = self.policy.orders
        counts = self._orders.setdefault(uid, [_Count() for _ in limits])
        for limit, count in zip(limits, counts, strict=True):
            if count.at(limit, now) + orders > limit.most:
                raise Fault(
                    -1015,
                    f"Too many new orders; current limit is {limit.most} orders per "
                    f"{limit.number} {limit.interval}.",
                    429,
                    wait=_wait(limit, now),
                )
        for count in counts:
            count.used += orders

    def unplace(self, uid: int, orders: int) -> None:
        """Orders that were counted were filled for the first time, or refused."""
        for count in self._orders.get(uid, ()):
            count.used = max(0, count.used - orders)

    def orders(self, uid: int, now: int) -> Sequence[tuple[Limit, int]]:
        """Unfilled orders of an account, for each limit."""
        limits = self.policy.orders
        counts = self._orders.setdefault(uid, [_Count() for _ in limits])
        return [(limit, count.at(limit, now)) for limit, count in zip(limits, counts, strict=True)]

    def hear(self, events: list[Event]) -> None:
        """An order's first fill takes it off the count."""
        for event in events:
            if (
                isinstance(event, ExecutionReport)
                and event.execution == "TRADE"
                and event.order.filled == event.last_qty
            ):
                self.unplace(event.uid, 1)

    @staticmethod
    def _banned(one: _Address, now: int) -> Fault:
        return Fault(
            -1003,
            f"Way too much request weight used; IP banned until {one.banned_until // 1_000}. "
            "Please use WebSocket Streams for live updates to avoid bans.",
            418,
            wait=-(-(one.banned_until - now) // SECOND),
        )


def _wait(limit: Limit, now: int) -> int:
    """Seconds until the next window."""
    return -(-(limit.length - now % limit.length) // SECOND)
