"""What the daemon offers to those who ask about it; `server` knows nothing else of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vostok_core.trading.events import Action
from vostok_live.service.measures import Measures
from vostok_live.service.status import Status


@dataclass(frozen=True, slots=True)
class Pulse:
    """Whether the daemon lives.

    Attributes:
        failing: Why it does not do its work any more and should be started anew; None while it
            does. A daemon that waits (for the exchange, a model, a person) does its work.
        loop_lag: How late its event loop was at worst, lately; seconds.
    """

    failing: str | None
    loop_lag: float


class Source(Protocol):
    """The daemon, as its operator sees it. Every method is called in its event loop."""

    @property
    def measures(self) -> Measures:
        """What it counts and times; the server counts in it the calls that it refused."""
        ...

    def status(self) -> Status:
        """How it stands now. Neither waits nor changes anything."""
        ...

    def pulse(self) -> Pulse:
        """Whether it lives. Must work at any time, so it asks for little."""
        ...

    async def control(self, action: Action, asked_by: str) -> None:
        """Do what a person asks for.

        It is written to the journal, with who asked, before it is done (`Journal.record_control`),
        and returns when the engine has heard of it: a position that is to be closed is then on its
        way out, and seldom gone.

        Args:
            action: What to do.
            asked_by: Who asked, and by which way; at most 100 printable characters.

        Raises:
            VostokError: It can't be done; the asker is told why.
        """
        ...
