"""Whether a position may be opened, and why not.

Nothing here keeps an exit from being placed: what is held is protected whatever the doubts are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vostok_live.daemon.model import Model
from vostok_live.feed.trades import TradeFeed
from vostok_live.gateway.desk import Desk
from vostok_live.gateway.user_stream import UserStream
from vostok_live.seams import Clock
from vostok_live.service.status import Reason

MAX_OFFSET_MS = 500.0
"""How far our clock may be off the exchange's."""
_MISSED = 3
"""Times between two comparisons that may go by without one."""


@dataclass
class Readiness:
    """Looks at every part that an entry depends on.

    Args:
        clock: Tells both times.
        feed: Trades of the market; None where nothing is decided, and `others` says why.
        stream: The account's stream.
        desk: Orders.
        model: The model in service; None where there is none, and `others` says why.
        offset_ms: The exchange's clock less ours.
        stale_after: Silence of the market stream after which nothing is entered; wall, µs.
        compare_every: Time between two comparisons with the exchange; wall, µs.
        model_grace: How long a model serves beyond its week; market time, µs.
        stopping: Whether the daemon is being stopped.
        others: Doubts that others have, by code; they add and remove their own.
    """

    clock: Clock
    feed: TradeFeed | None
    stream: UserStream
    desk: Desk
    model: Callable[[], Model | None]
    offset_ms: Callable[[], float]
    stale_after: int
    compare_every: int
    model_grace: int
    stopping: bool = False
    others: dict[str, Reason] = field(default_factory=dict)

    def reasons(self) -> tuple[Reason, ...]:
        """Every reason not to enter, the gravest first; none when all is well."""
        found = list(self.others.values())
        if self.stopping:
            found.append(Reason("stopping", "the daemon is being stopped", "start it again"))
        if self.feed is not None:
            found += self._market(self.feed)
        found += self._account()
        model = self.model()
        if model is not None and self.clock.market() >= model.serves_until(self.model_grace):
            week = model.bundle.manifest.week
            hint = "see in Dagster why the weekly retraining promoted none, and run it"
            found.append(Reason("stale_model", f"the model is of the week {week}", hint))
        if abs(self.offset_ms()) > MAX_OFFSET_MS:
            what = f"this machine's clock is {self.offset_ms():.0f} ms off the exchange's"
            found.append(Reason("clock_offset", what, "let the system's clock follow NTP"))
        return tuple(found)

    def _market(self, feed: TradeFeed) -> list[Reason]:
        stream = feed.stream
        if not stream.up:
            return [Reason("market_stream", "no trades are heard", "it connects by itself")]
        silent = (self.clock.wall_ns() - stream.heard_ns) // 1_000
        if silent > self.stale_after:
            what = f"the market stream has been silent for {silent / 1e6:.0f} s"
            return [Reason("stale_data", what, "it is replaced by itself")]
        if not feed.continuity.whole:
            return [Reason("trades_missing", "trades are missing", "they are being fetched")]
        return []

    def _account(self) -> list[Reason]:
        found = []
        if not self.stream.synced:
            hint = "it connects and catches up by itself"
            found.append(Reason("user_stream", "the account's stream is not caught up", hint))
        standing = self.desk.standing
        hint = "it is tried again by itself"
        if standing is None:
            found.append(Reason("not_compared", "nothing was compared with the exchange", hint))
        else:
            age = (self.clock.wall_ns() - self.desk.compared_ns) // 1_000
            if age > _MISSED * self.compare_every:
                what = f"nothing was compared with the exchange for {age / 1e6:.0f} s"
                found.append(Reason("not_compared", what, hint))
            found += [Reason(each.code, each.what, each.hint) for each in standing.doubts]
        unknown = self.desk.unknown
        if unknown:
            what = f"{unknown} orders of unknown fate"
            found.append(Reason("unknown_orders", what, "they are being asked for"))
        return found
