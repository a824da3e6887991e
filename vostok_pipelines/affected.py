"""Which days have to be made again when some days of an instrument's market data change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from vostok_core.features.registry import pack
from vostok_core.features.walk import reach
from vostok_core.project import Project
from vostok_core.times import days as each_day
from vostok_core.times import parse_interval
from vostok_pipelines.assets.features import intervals_of
from vostok_pipelines.jobs import packs_of


def affected_days(project: Project, instrument: str, changed: Iterable[date]) -> list[date]:
    """The changed days, and the days made before whose features walk over one of them.

    Bars of the day after begin where a day ends, and features remember from the anchor of their
    month on. A day that was never made is not among them: it is made when it is asked for.
    """
    lake = project.open_lake(create=False)
    lengths = [
        (pack(name).warmup, parse_interval(interval))
        for name in packs_of(project, instrument)
        for interval in intervals_of(project)
    ]
    finest = min(intervals_of(project), key=parse_interval)
    made = set(lake.days("bars", instrument=instrument, interval=finest))
    wanted = set(changed)
    for day in sorted(wanted):
        last = max(reach(day, warmup, length) for warmup, length in lengths)
        wanted.update(made.intersection(each_day(day, last)))
    return sorted(wanted)
