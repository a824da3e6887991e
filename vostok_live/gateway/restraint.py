"""How much the exchange lets this address ask.

Where it wants to be left alone (418, 429, and 403 of its firewall), nothing is sent before, orders
neither: whoever goes on is banned for longer. Too many orders (-1015) hold back orders alone, which
must be canceled and asked for all the same. Questions also wait for the next minute once a share of
the minute's weight is used, whoever at this address used it, so that orders always find some left.

Source: binance-spot-api-docs, rest-api.md ("LIMITS").
"""

from __future__ import annotations

from collections.abc import Mapping

from vostok_live.feed.http import retry_after
from vostok_live.seams import Clock

_MINUTE_NS = 60_000_000_000
_TOO_MANY_ORDERS = -1015


class Restraint:
    """Says when to wait.

    Args:
        clock: Tells when the wall's minute ends, at which the exchange begins to count anew.
        weight_limit: Weight that may be used in a minute.
        weight_share: Share of it after which questions wait.
    """

    def __init__(
        self, clock: Clock, *, weight_limit: int = 6_000, weight_share: float = 0.8
    ) -> None:
        self.weight_limit = weight_limit
        self.weight_used = 0
        self._clock = clock
        self._weight_share = weight_share
        self._banned_until = float("-inf")
        self._full_until = float("-inf")
        self._spent_until = float("-inf")

    def answered(
        self, status: int, code: int | None, headers: Mapping[str, str], now: float
    ) -> None:
        """Take note of an answer.

        Args:
            status: Of the HTTP response.
            code: The exchange's; None where it gave none.
            headers: Its headers, by their names in any case.
            now: Seconds of the event loop.
        """
        plain = {name.upper(): value for name, value in headers.items()}
        rest = (_MINUTE_NS - self._clock.wall_ns() % _MINUTE_NS) / 1e9
        used = plain.get("X-MBX-USED-WEIGHT-1M", "")
        if used.isdecimal():
            self.weight_used = int(used)
            if self.weight_used >= self.weight_limit * self._weight_share:
                self._spent_until = max(self._spent_until, now + rest)
        if status in (403, 418, 429):
            wait = retry_after({"Retry-After": plain.get("RETRY-AFTER", "")}) or rest
            if code == _TOO_MANY_ORDERS:
                self._full_until = max(self._full_until, now + wait)
            else:
                self._banned_until = max(self._banned_until, now + wait)

    def held(self, now: float, *, orders: bool) -> float:
        """Seconds for which nothing may be sent; `orders`: that places orders."""
        until = max(self._banned_until, self._full_until) if orders else self._banned_until
        return max(until - now, 0.0)

    def wait(self, now: float) -> float:
        """Seconds for which no question may be asked."""
        return max(self._banned_until - now, self._spent_until - now, 0.0)
