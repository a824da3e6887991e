"""Why a partition is not what would be made now, and what mends it.

A derived partition records the content hashes of all that it was made from and the version of the
code that made it. It is current while making it again would give the same: each of those is there
with the same content, nothing that it would read has been added, the code is the same, and what it
was made from is current itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from vostok_core.lake.store import Lake
from vostok_core.times import days as each_day
from vostok_core.times import spans

_OF_DATES = ("news", "sentiment_scores")


@dataclass(frozen=True)
class Stale:
    """What is the matter with a partition.

    Attributes:
        why: What has changed, in words.
        first: The first day that has to be made again: the partition's own, or one before it.
        last: The last one: its own, or one that it reaches into.
        assets: What has to be made again, in order, its own asset last.
    """

    why: str
    first: date
    last: date
    assets: tuple[str, ...]

    @classmethod
    def of(cls, day: date, why: str, *assets: str) -> Stale:
        """What is the matter with a partition of a day that itself has to be made again."""
        return cls(why, day, day, assets)

    def beneath(self, day: date, *assets: str) -> Stale:
        """What is then the matter with a partition of `day` that was made from this one."""
        more = tuple(asset for asset in assets if asset not in self.assets)
        first, last = min(self.first, day), max(self.last, day)
        return Stale(self.why, first, last, (*self.assets, *more))


def commands(lake: Lake, instrument: str, interval: str, stale: Iterable[Stale]) -> str:
    """The commands that make partitions of an instrument again, with all that lies beneath.

    Args:
        lake: The lake.
        instrument: Its name.
        interval: Interval of the bars that are meant: days without them are left out, since they
            can't be made.
        stale: What is the matter.
    """
    found = sorted(stale, key=lambda each: -len(each.assets))
    assets = list(dict.fromkeys(asset for each in found for asset in each.assets))
    first, last = min(each.first for each in found), max(each.last for each in found)
    now = Lake(lake.objects, lake.home)  # not as somebody remembers it
    there = set(now.days("bars", instrument=instrument, interval=interval))
    days = [day for day in each_day(first, last) if day in there]
    dated = [asset for asset in assets if asset in _OF_DATES]
    others = [asset for asset in assets if asset not in _OF_DATES]
    ranges = spans(days)
    said = _over(dated, "", ranges) + _over(others, f" --instrument {instrument}", ranges)
    return f"run {', then '.join(said)}"


def _over(assets: Sequence[str], of: str, ranges: Sequence[tuple[date, date]]) -> list[str]:
    if not assets:
        return []
    return [
        f"`vostok materialize {','.join(assets)}{of} --from {first} --to {last}`"
        for first, last in ranges
    ]
