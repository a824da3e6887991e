"""Day sources: whatever has days of an instrument, read as rows of the lake.

A day source reads and checks; it writes nothing. `vostok_pipelines.landing.land_days` is what lands
its days, and nothing else writes landed parts. Where days have to be brought from elsewhere first,
a fetcher (`vostok_pipelines.fetching`) does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from vostok_core.errors import DataError
from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources.common import Source

Known = Callable[[date, str], bool]
"""Whether a day, of bytes with a SHA-256 (hex), need not be read since it has landed as it is."""


@dataclass(frozen=True)
class Day:
    """One UTC day of an instrument, as a source has it.

    Attributes:
        day: Which.
        sha256: Hash (hex) of what it was read from. It names the landed part, so reading the same
            again must give the same hash.
        provenance: What the part's footer says of where its rows come from: keys of
            `vostok_core.market.days` such as `ARCHIVE`, with a short text each.
        content: Its rows, checked: rows of `raw_trades` or `raw_klines` that all lie in the day (a
            bar in the one that it opens on). Without rows the source vouches that nothing happened.
            None where `Known` said that it need not be read.
    """

    day: date
    sha256: str
    provenance: Mapping[str, str]
    content: Source | None


@dataclass(frozen=True)
class BadDay:
    """A day that a source has and that can't be used, and why."""

    day: date
    error: DataError


class DaySource(Protocol):
    """Whatever has days of instruments."""

    @property
    def name(self) -> str:
        """What it is called, in a word: `archive`, `rest`."""
        ...

    def days(self, instrument: Instrument, first: date, last: date) -> list[date]:
        """The days from `first` through `last` that can be read from it now, in order.

        They are there whole: a day of which something is still to come is none of them.
        """
        ...

    def read(
        self, instrument: Instrument, days: Sequence[date], known: Known
    ) -> Iterator[Day | BadDay]:
        """Read some days, in order; those that it doesn't have are left out.

        No more than a day of rows is in memory at once. What is bad about one day keeps no other
        from being read.

        Args:
            instrument: Whose.
            days: Which, in order.
            known: Says which of them need no reading, by the hash of what they would be read from.
        """
        ...


def nothing_known(day: date, sha256: str) -> bool:
    """For `DaySource.read`: every day is to be read."""
    del day, sha256
    return False
