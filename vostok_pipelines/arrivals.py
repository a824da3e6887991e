"""Which days have landed, or lie in the archive, and are not yet made.

A day is made when every asset of its chain is there at every interval, and is what would be made
now of what has come. The answer is read from content alone: the files of the archive, and what the
footers of the lake's partitions say they were made from. Nothing is remembered but answers: an
instrument is looked at again when the stat of a file or partition of it has changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from threading import Lock

from vostok_core.features.currency import FeatureCurrency
from vostok_core.features.registry import packs
from vostok_core.hashing import hash_value
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.recorder_folder import open_days
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.store import Lake
from vostok_core.market.days import (
    CODE_VERSION,
    GIVE_WAY,
    KLINE_INTERVAL,
    LANDING_VERSION,
    parts_in_use,
    read_otherwise,
)
from vostok_core.market.instrument import Instrument
from vostok_core.market.kept_once import LANDED
from vostok_core.market.parts import is_landed, part_name, stands_for
from vostok_core.project import Project
from vostok_core.sentiment.currency import stale_scores
from vostok_core.times import days as each_day
from vostok_pipelines.assets.features import intervals_of
from vostok_pipelines.file_hashes import SETTLED_SECONDS, FileHashes
from vostok_pipelines.funding import TABLE as FUNDING
from vostok_pipelines.funding import DueFunding, due_funding, funding_files
from vostok_pipelines.jobs import needs_news, packs_of
from vostok_pipelines.sources.layout import Series
from vostok_pipelines.sources.mirror import Mirror
from vostok_pipelines.stamps import Place, day_places, is_settled, listing, merged_table
from vostok_pipelines.training.configuration import rules_in_force

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Arrivals:
    """What has come of an instrument.

    Attributes:
        sources: For each day, the files that it is made from once the archive's file has landed:
            names of the parts that are then in use, each the first 16 digits of the SHA-256, and
            its version where other readers made it and the archive doesn't have it.
        landed: The days that something in the lake has landed of.
        merged: For each day that has ticks (or klines), the content hash of them.
        scored: For each day whose news have current scores, the content hash of these; empty if
            the instrument needs none.
        by: Hash of the code and rules that days are made by.
        open: The days that are not made of those sources, in order; those are left out that the
            recorder has not landed all of, until it has or the archive has their file.
    """

    sources: Mapping[date, Sequence[str]]
    landed: AbstractSet[date]
    merged: Mapping[date, str]
    scored: Mapping[date, str]
    by: str
    open: Sequence[date]

    def content(self, first: date, last: date) -> str:
        """A hash of what the days from `first` through `last` are made from, and by.

        They begin where the day before ends, so that is part of it.
        """
        made_from = [
            [str(day), *self.sources.get(day, ()), self.scored.get(day)]
            for day in each_day(first, last)
        ]
        return hash_value([self.by, self.merged.get(first - _DAY), made_from])


@dataclass(frozen=True, slots=True)
class _Lake:
    """What the lake holds of an instrument."""

    parts: Mapping[date, Sequence[PartitionInfo]]  # what has landed
    merged: Mapping[date, str]
    scored: Mapping[date, str]
    made: frozenset[date]


class ArrivalsReader:
    """Looks at the archive and the lake of a project.

    Args:
        project: The project.
        settled: Seconds since a file of the archive was written to after which it is taken for
            whole.
    """

    def __init__(self, project: Project, *, settled: float = SETTLED_SECONDS) -> None:
        self._project = project
        self._archive = project.archive
        self._recorder = project.recorder_folder
        self._start = project.settings.calendar.start
        self._hashes = FileHashes(project.dagster_home / "archive-hashes.json", settled=settled)
        self._known: dict[str, tuple[str, _Lake]] = {}
        self._known_funding: dict[str, tuple[str, DueFunding]] = {}
        self._lock = Lock()  # schedules and the sensor are evaluated in threads of one process

    def look(
        self, lake: Lake, instrument: Instrument, last: date, deadline: float
    ) -> Arrivals | None:
        """What has come of an instrument on the days from the calendar's start through `last`.

        Args:
            lake: The lake.
            instrument: The instrument.
            last: The last day to look at.
            deadline: Time on the monotonic clock after which nothing more is read.

        Returns:
            None if there was more to read than time: look again, it goes on from there.

        Raises:
            CorruptPartition: A footer doesn't read.
        """
        with self._lock:
            mirror = Mirror(self._archive(instrument))
            files = {
                day: found.path
                for day, found in mirror.files(Series.of(instrument)).items()
                if self._start <= day <= last
            }
            paths = dict.fromkeys(files.values())  # a month's file is that of many days
            hashes = self._hashes.read(str(instrument.id), paths, deadline)
            found = self._look_at_lake(lake, instrument, deadline)
        if hashes is None or found is None:
            return None
        names = {day: part_name(hashes[path]) for day, path in files.items() if path in hashes}
        sources = {}
        unlanded = set()
        for day in sorted({*found.parts, *names}):
            parts, name = found.parts.get(day, ()), names.get(day)
            used = parts_in_use(parts)
            kept = set()
            if name is not None and not is_landed(parts, name):
                used = [part for part in used if not part.inputs.keys() & GIVE_WAY]
                kept = {name}
                unlanded.add(day)
            kept |= {part.name for part in used}
            # What the archive has is read again, and then of the present version.
            old = {
                part.name: part.code_version
                for part in read_otherwise(used)
                if name is None or not stands_for(part, name)
            }
            sources[day] = sorted(f"{part} {old[part]}" if part in old else part for part in kept)
        recording = open_days(self._recorder / str(instrument.id)) - names.keys()
        waiting = [
            day
            for day in sorted(sources)
            if self._start <= day <= last and (day in unlanded or day not in found.made)
            if day not in recording
        ]
        by = self._made_by(instrument)
        return Arrivals(sources, found.parts.keys(), found.merged, found.scored, by, waiting)

    def look_at_funding(
        self, lake: Lake, instrument: Instrument, last: date, deadline: float
    ) -> DueFunding | None:
        """Which days, from the calendar's start through `last`, have funding rates that have come.

        Returns:
            None if there was more to read than time, as of `look`.
        """
        name = str(instrument.id)
        with self._lock:
            files = {
                day: found.path
                for day, found in funding_files(
                    Mirror(self._archive(instrument)), instrument
                ).items()
                if self._start <= day <= last
            }
            paths = dict.fromkeys(files.values())
            hashes = self._hashes.read(f"{name} funding", paths, deadline)
            if hashes is None:
                return None
            come = {day: hashes[path] for day, path in files.items() if path in hashes}
            stamp, settled = _stamp(lake, [(FUNDING, {"instrument": name})])
            stamp = hash_value([stamp, {str(day): sha256 for day, sha256 in come.items()}])
            known = self._known_funding.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            due = due_funding(lake, instrument, come)
            if settled:
                self._known_funding[name] = stamp, due
            return due

    def _look_at_lake(self, lake: Lake, instrument: Instrument, deadline: float) -> _Lake | None:
        name = str(instrument.id)
        stamp, settled = _stamp(lake, day_places(self._project, instrument))
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        if time.monotonic() > deadline:
            return None
        found = self._read_lake(lake, instrument)
        if settled:
            self._known[name] = stamp, found
        return found

    def _read_lake(self, lake: Lake, instrument: Instrument) -> _Lake:
        lake = RememberingLake.anew(lake)
        name, main = str(instrument.id), merged_table(instrument)
        keys = {"instrument": name}
        if main == "klines":
            keys["interval"] = KLINE_INTERVAL
        raw = LANDED[main]
        parts = {day: lake.parts(raw, **keys, date=day) for day in lake.days(raw, **keys)}
        rules = rules_in_force(self._project.settings, instrument)
        scores = lake.days("sentiment_scores") if needs_news(self._project, name) else []
        looking = {
            interval: FeatureCurrency(lake, name, interval, rules)
            for interval in self._project.settings.bars.intervals
        }
        return _Lake(
            parts=parts,
            merged={
                day: lake.info(main, **keys, date=day).content_hash
                for day in lake.days(main, **keys)
            },
            scored={
                day: lake.info("sentiment_scores", date=day).content_hash
                for day in scores
                if stale_scores(lake, day, rules.sentiment) is None
            },
            made=frozenset(day for day in parts if self._is_made(lake, name, day, looking)),
        )

    def _is_made(
        self, lake: Lake, instrument: str, day: date, looking: Mapping[str, FeatureCurrency]
    ) -> bool:
        """Whether all of a day's chain is there and current."""
        timed = intervals_of(self._project)
        chosen = [packs()[name] for name in packs_of(self._project, instrument)]
        bars_there = all(
            lake.exists("bars", instrument=instrument, interval=interval, date=day)
            and currency.bars(day) is None
            for interval, currency in looking.items()
        )
        return bars_there and all(
            lake.exists(
                "features", pack=pack.name, instrument=instrument, interval=interval, date=day
            )
            and looking[interval].features(pack, day) is None
            for interval in timed
            for pack in chosen
        )

    def _made_by(self, instrument: Instrument) -> str:
        rules = rules_in_force(self._project.settings, instrument)
        chosen = packs_of(self._project, str(instrument.id))
        hashes = {name: packs()[name].hash for name in chosen}
        news = astuple(rules.sentiment) if needs_news(self._project, str(instrument.id)) else ()
        intervals = [*self._project.settings.bars.intervals, *intervals_of(self._project)]
        by = [CODE_VERSION, LANDING_VERSION, rules.market, *news, hashes, intervals]
        return hash_value(by)


def _stamp(lake: Lake, places: Iterable[Place]) -> tuple[str, bool]:
    """A hash of the days' folders; and whether none is so young that a change might not show."""
    found = listing(lake, places)
    newest = max((mtime for _, mtime, _ in found), default=0)
    return hash_value([entry for _, _, entry in found]), is_settled(newest)
