"""The weeks of a strategy's walk that were found current, so that they aren't read again, and the
decision on what comes of them.

Whether a week is current takes the footers of all that its model and predictions were made from,
back to landed files: half a second of reading for each week of a long walk. It is decided by what
is dated up to the week's end, and by the week's own bundle and predictions. So a week that was
found current is so until one of these is swapped, and a new day concerns no week before it. The
decision on a week is about all the weeks before: it stands until one of them is swapped, or its own
model, backtest or record is.

Nothing is remembered but that: a new process reads every week once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from vostok_core.lake.address import Place
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.models.folders import Stamps, stamps_below
from vostok_core.models.manifest import MANIFEST, SEAL
from vostok_core.models.registry import bundle_path
from vostok_core.project import Project
from vostok_core.strategy import Strategy
from vostok_pipelines.evidence import BACKTEST_TABLES
from vostok_pipelines.stamps import day_places, is_settled, listing

_NEVER = "", 0
_SIX_DAYS, _WEEK = timedelta(days=6), timedelta(weeks=1)


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
        self._decided: dict[date, str] = {}

    def look(self, lake: Lake, weeks: Iterable[date]) -> WeeksSeen:
        """The stat of all that decides some weeks (Mondays), and the decision after each, as it is
        now."""
        walk = sorted(weeks)
        stamps = dict(self._stamps(lake, walk))
        return WeeksSeen(
            self._current, stamps, self._decided, dict(self._decisions(lake, walk, stamps))
        )

    def _decisions(
        self, lake: Lake, walk: Sequence[date], stamps: Mapping[date, str]
    ) -> Iterator[tuple[date, str]]:
        """A stamp of the decision after each week, as far as every week up to it has one."""
        place = {"strategy": self._strategy.name, "instrument": str(self._instrument.id)}
        digest = hashlib.sha256()
        tables = [_swapped(lake, name, place) for name in ("promotions", *BACKTEST_TABLES)]
        bundles = self._bundles(lake)
        for before in walk:
            if before not in stamps:
                return
            digest.update(stamps[before].encode())
            week = before + _WEEK
            bundle = bundle_path(lake, *place.values(), week)
            own = [*(swapped.get(str(week), _NEVER) for swapped in tables), *bundles(bundle)]
            if is_settled(max(mtime for _, mtime in own)):
                yield week, f"{digest.hexdigest()} {own}"

    def _stamps(self, lake: Lake, weeks: Iterable[date]) -> Iterator[tuple[date, str]]:
        """A stamp of each week, but for those of which something is too young to tell by stat."""
        place = {"strategy": self._strategy.name, "instrument": str(self._instrument.id)}
        places = [*day_places(self._project, self._instrument), ("labels", place)]
        entries = iter(listing(lake, places))
        entry = next(entries, None)
        digest, newest = hashlib.sha256(), 0
        predicted = _swapped(lake, "predictions", place)
        bundles = self._bundles(lake)
        for week in weeks:
            while entry is not None and entry[0] <= str(week + _SIX_DAYS):
                digest.update(repr(entry[2]).encode())
                newest = max(newest, entry[1])
                entry = next(entries, None)
            bundle = bundle_path(lake, self._strategy.name, place["instrument"], week)
            own = [predicted.get(str(week), _NEVER), *bundles(bundle)]
            if is_settled(max(newest, *(mtime for _, mtime in own))):
                yield week, f"{digest.hexdigest()} {own}"

    def _bundles(self, lake: Lake) -> Callable[[Place], Stamps]:
        place = f"strategy={self._strategy.name}/instrument={self._instrument.id}"
        return stamps_below(lake.objects, f"models/{place}", MANIFEST, SEAL)


def _swapped(lake: Lake, name: str, place: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """When each week of a table was swapped (in nanoseconds; 0 where tags tell every swap), and
    what tells it apart."""
    dated = isinstance(lake.root, Path)
    return {
        week: (stat.tag, stat.modified if dated else 0)
        for (week,), stat in lake.listed(name, **place)
    }


class WeeksSeen:
    """The weeks as they were when a look began, beside what is known of them.

    Args:
        current: The stamps of weeks that were found current.
        stamps: The stamps as they are now.
        decided: Those of the weeks whose decision was found to stand.
        decisions: Those as they are now.
    """

    def __init__(
        self,
        current: dict[date, str],
        stamps: dict[date, str],
        decided: dict[date, str],
        decisions: dict[date, str],
    ) -> None:
        self._current = current
        self._stamps = stamps
        self._decided = decided
        self._decisions = decisions

    def is_current(self, week: date) -> bool:
        """Whether the week was found current, and nothing of it has been swapped since."""
        return week in self._stamps and self._current.get(week) == self._stamps[week]

    def found_current(self, week: date) -> None:
        """Remember that the week, as it was when the look began, is current."""
        if week in self._stamps:
            self._current[week] = self._stamps[week]

    def is_decided(self, week: date) -> bool:
        """Whether the decision on the week was found to stand, and nothing of it has been swapped
        since."""
        return week in self._decisions and self._decided.get(week) == self._decisions[week]

    def found_decided(self, week: date) -> None:
        """Remember that the decision on the week, as it was when the look began, stands."""
        if week in self._decisions:
            self._decided[week] = self._decisions[week]
