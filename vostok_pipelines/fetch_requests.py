"""Run requests for files that the archives should have and the mirror folders lack.

A history is gone on with, and its holes are looked at; how far back it begins is for a person to
say (`vostok fetch`). The archive publishes a day some hours after its end, so a day that has just
ended is asked for every hour. A hole that is older is one that the archive may never fill: it is
asked for a few times a day.
"""

import logging
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import islice

import dagster as dg

from vostok_core.hashing import hash_value
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.market.parts import TABLES, kind_of
from vostok_core.project import Project
from vostok_core.times import days as each_day
from vostok_pipelines.asked import (
    ATTEMPTS,
    Requests,
    answer,
    is_under_way,
    runs_of,
    same_content,
    tagged,
    told,
)
from vostok_pipelines.fetching.archive import ArchiveFetcher
from vostok_pipelines.leases import fail_dead_runs
from vostok_pipelines.partitions import date_key, range_tags
from vostok_pipelines.sources.layout import Series

RECENT = timedelta(days=3)
"""How long after its end a day is asked for every time."""

_DAY = timedelta(days=1)


def fetch_requests(
    project: Project,
    instance: dg.DagsterInstance,
    instruments: Iterable[str],
    now: datetime,
    log: logging.Logger,
) -> Requests:
    """Runs that bring the missing days of some instruments, up to yesterday.

    Args:
        project: The project.
        instance: Knows the runs.
        instruments: Whose days; of a venue without an address nothing is asked for.
        now: The time that the schedule was evaluated for.
        log: That of the tick.

    Returns:
        One request for each instrument that lacks days; if there is none, why.
    """
    fail_dead_runs(instance, project.dagster_home)
    lake = project.open_lake()
    fetcher = ArchiveFetcher(project, today=now.date())
    made: list[dg.RunRequest] = []
    notes: list[str] = []
    for name in instruments:
        instrument = project.settings.universe[name]
        if instrument.id.venue not in project.settings.sources.urls:
            continue
        with told(notes, name):
            first = _beginning(project, lake, fetcher, instrument)
            if first is None:
                notes.append(
                    f"nothing of {name} is there to go on from: begin with `vostok fetch {name} "
                    "--from DAY`"
                )
                continue
            days = list(each_day(first, now.date() - _DAY))
            missing = fetcher.missing(lake, instrument, days)
            if not missing:
                continue
            request, note = _ask(instance, name, missing, now)
            made += [request] if request else []
            notes += [note] if note else []
    return answer(made, notes, "no file is missing that the archives should have", log)


def _beginning(
    project: Project, lake: Lake, fetcher: ArchiveFetcher, instrument: Instrument
) -> date | None:
    """The first day of an instrument that has come, from the calendar's start on."""
    raw, keys = TABLES[kind_of(instrument)], {"instrument": str(instrument.id)}
    if instrument.tick == "none":
        keys["interval"] = "1m"
    there = [*lake.days(raw, **keys)[:1], *fetcher.source(instrument).files(Series.of(instrument))]
    return max(min(there), project.settings.calendar.start) if there else None


def _ask(
    instance: dg.DagsterInstance, name: str, missing: list[date], now: datetime
) -> tuple[dg.RunRequest | None, str | None]:
    what = f"files of {name}"
    if is_under_way(instance, what):
        return None, f"a run of {what} is under way"
    recent = missing[-1] >= now.date() - RECENT
    content = hash_value([[str(day) for day in missing], str(now if recent else now.date())])
    runs = list(islice(runs_of(instance, what), ATTEMPTS))
    tried = same_content(runs, content)
    if any(run.status is dg.DagsterRunStatus.CANCELED for run in tried) or len(tried) >= ATTEMPTS:
        days = f"{len(missing)} days" if len(missing) > 1 else "a day"
        return None, (
            f"{days} of {name} that the archive doesn't have, first {missing[0]}, will be asked "
            "for again tomorrow; if the exchange stood still, say so: `vostok ingest --absent "
            f"{missing[0]} --instrument {name}`"
        )
    request = dg.RunRequest(
        tags=range_tags(date_key(missing[0], name), date_key(missing[-1], name))
    )
    return tagged(request, what, content, runs), None
