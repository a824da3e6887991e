"""The weeks of a strategy's walk that were found current, so that they aren't read again.

Whether a week is current takes the footers of all that its model and predictions were made from,
back to landed files: half a second of reading for each week of a long walk. It is decided by what
is dated up to the week's end, and by the week's own bundle and predictions. So a week that was
found current is so until one of these is swapped, and a new day concerns no week before it.

Nothing is remembered but that: a new process reads every week once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.models.folders import stamps
from vostok_core.models.manifest import MANIFEST, SEAL
from vostok_core.models.registry import bundle_path
from vostok_core.project import Project
from vostok_core.strategy import Strategy
from vostok_pipelines.stamps import day_places, is_settled, listing

_SIX_DAYS = timedelta(days=6)


class KnownWeeks:
    """What the schedules of a strategy know of its weeks on one instrument.

    Args:
        project: The project.
        strategy: The strategy.
        instrument: What it trades.
    """

    def __init__(self, project: Project, strategy: Strategy, instrument: Instrument) -> None:
        self._project = project
        self._strategy = strategy
        self._instrument = instrument
        self._current: dict[date, str] = {}

    def look(self, lake: Lake, weeks: Iterable[date]) -> WeeksSeen:
        """The stat of all that decides some weeks (Mondays), as it is now."""
        return WeeksSeen(self._current, dict(self._stamps(lake, sorted(weeks))))

    def _stamps(self, lake: Lake, weeks: Iterable[date]) -> Iterator[tuple[date, str]]:
        """A stamp of each week, but for those of which something is too young to tell by stat."""
        place = {"strategy": self._strategy.name, "instrument": str(self._instrument.id)}
        places = [*day_places(self._project, self._instrument), ("labels", place)]
        entries = iter(listing(lake, places))
        entry = next(entries, None)
        digest, newest = hashlib.sha256(), 0
        predicted = {
            week: (stat.tag, stat.modified if isinstance(lake.root, Path) else 0)
            for (week,), stat in lake.listed("predictions", **place)
        }
        for week in weeks:
            while entry is not None and entry[0] <= str(week + _SIX_DAYS):
                digest.update(repr(entry[2]).encode())
                newest = max(newest, entry[1])
                entry = next(entries, None)
            bundle = bundle_path(lake, self._strategy.name, place["instrument"], week)
            own = [predicted.get(str(week), ("", 0)), *stamps(bundle, MANIFEST, SEAL)]
            if is_settled(max(newest, *(mtime for _, mtime in own))):
                yield week, f"{digest.hexdigest()} {own}"


class WeeksSeen:
    """The weeks as they were when a look began, beside what is known of them.

    Args:
        current: The stamps of weeks that were found current.
        stamps: The stamps as they are now.
    """

    def __init__(self, current: dict[date, str], stamps: dict[date, str]) -> None:
        self._current = current
        self._stamps = stamps

    def is_current(self, week: date) -> bool:
        """Whether the week was found current, and nothing of it has been swapped since."""
        return week in self._stamps and self._current.get(week) == self._stamps[week]

    def found_current(self, week: date) -> None:
        """Remember that the week, as it was when the look began, is current."""
        if week in self._stamps:
            self._current[week] = self._stamps[week]
