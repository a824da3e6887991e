"""What a fetcher is: it brings days from elsewhere to where a day source reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from vostok_core.errors import VostokError
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources.days import DaySource


@dataclass(frozen=True)
class Item:
    """Something that would be asked for.

    Attributes:
        what: In words that a person knows it by: a file's name, a day of trades.
        days: The days that it brings.
        place: Where it comes from: an address.
    """

    what: str
    days: tuple[date, ...]
    place: str


@dataclass(frozen=True)
class Progress:
    """How far the fetching of an instrument is.

    Attributes:
        instrument: Its id.
        done: Days that have come, or of which it is known that they can't.
        total: Days that were asked for.
        received: Bytes that have come over the wire.
        doing: What is under way, in words.
    """

    instrument: str
    done: int
    total: int
    received: int
    doing: str


Report = Callable[[Progress], None]
"""Takes progress; it is called often, and from the thread that fetches."""


@dataclass(frozen=True)
class Fetched:
    """What came of fetching days of an instrument.

    Attributes:
        instrument: Its id.
        days: The days that the day source has now and had not before, in order.
        absent: The days that the other side says it doesn't have (yet), in order.
        failed: Days that could not be fetched, and why; asking again goes on where it stopped.
        received: Bytes that came over the wire.
        notes: What a person should know besides.
    """

    instrument: str
    days: tuple[date, ...] = ()
    absent: tuple[date, ...] = ()
    failed: Mapping[date, VostokError] = field(default_factory=dict)
    received: int = 0
    notes: tuple[str, ...] = ()


class Fetcher(Protocol):
    """Whatever brings days from elsewhere.

    It keeps what has come at once and whole, so that a fetcher that was killed goes on when it is
    asked again, and a day source never sees half of anything.
    """

    def source(self, instrument: Instrument) -> DaySource:
        """The day source that has the days of an instrument once they have come."""
        ...

    def missing(self, lake: Lake, instrument: Instrument, days: Sequence[date]) -> list[date]:
        """Those of some days that fetching would bring: neither landed nor with the source.

        Raises:
            UsageError: Nothing can be fetched of the instrument, and what to do about it.
        """
        ...

    def plan(self, instrument: Instrument, days: Sequence[date]) -> list[Item]:
        """What would be asked for to bring some days. Asks nobody."""
        ...

    def fetch(
        self, wanted: Mapping[Instrument, Sequence[date]], report: Report | None = None
    ) -> list[Fetched]:
        """Bring days, of several instruments at once where that is polite.

        What goes wrong with a day is told in the answer; only what concerns everything, such as a
        folder that can't be written, is raised.
        """
        ...
