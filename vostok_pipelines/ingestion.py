"""Run requests for the days that have come: what the sensor and the daily schedule both ask for.

While a run of an instrument goes on, nothing is asked for it, since a day begins where the day
before ends. A range whose run failed is asked for again, without the days whose data can't be used,
and not more than a few times as long as its content stays the same. For a day that has landed and
can't be merged, all those after it wait.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import islice

import dagster as dg

from vostok_core.project import Project
from vostok_core.times import spans
from vostok_pipelines.affected import affected_days
from vostok_pipelines.arrivals import Arrivals, ArrivalsReader
from vostok_pipelines.asked import UNFINISHED, Ask, Requests, answer, runs_of, tagged, told
from vostok_pipelines.asked import requests as asked_for
from vostok_pipelines.bad_days import bad_days
from vostok_pipelines.funding import DueFunding
from vostok_pipelines.jobs import asset_keys, day_assets
from vostok_pipelines.leases import fail_dead_runs
from vostok_pipelines.left_out import waiting as left_out
from vostok_pipelines.partitions import PARTITION, RANGE_END, RANGE_START, date_key, range_tags
from vostok_pipelines.ranges import count, history

LOOK_SECONDS = 20.0
"""After so long reading is broken off and goes on the next time; Dagster waits a minute for it."""


_DAY = timedelta(days=1)


def ingestion_requests(
    project: Project,
    reader: ArrivalsReader,
    instance: dg.DagsterInstance,
    instruments: Iterable[str],
    last: date,
    log: logging.Logger,
) -> Requests:
    """Runs that make the days of some instruments which have come, up to `last`.

    Returns:
        One request for each unbroken range of days. With the days that changed go those after them
        that were made before and remember them. If there is nothing to ask for, why. An instrument
        of which something can't be read is noted, and the others go on.
    """
    fail_dead_runs(instance, project.dagster_home)
    deadline = time.monotonic() + LOOK_SECONDS
    busy = busy_instruments(instance, project.settings.universe)
    lake = project.open_lake()
    requests: list[dg.RunRequest] = []
    notes = left_out(project)
    for name in instruments:
        if name in busy:
            notes.append(f"a run of {name} is under way")
            continue
        with told(notes, name):
            arrivals = reader.look(lake, project.settings.universe[name], last, deadline)
            if arrivals is None:
                notes.append(f"reading the files of {name} goes on at the next look")
                continue
            made, note = _requests(project, instance, name, arrivals)
            requests += made
            notes += note
            due = reader.look_at_funding(lake, project.settings.universe[name], last, deadline)
            if due is None:
                notes.append(f"reading the funding rates of {name} goes on at the next look")
                continue
            made, note = asked_for(instance, _funding(name, due))
            requests += made
            notes += note
    return answer(requests, notes, "every day that has come is made", log)


def _requests(
    project: Project, instance: dg.DagsterInstance, name: str, arrivals: Arrivals
) -> tuple[list[dg.RunRequest], list[str]]:
    if not arrivals.open:
        return [], []
    notes = []
    days = set(arrivals.open)
    assets = day_assets(project, name)
    if "sentiment" in assets:
        if unscored := sorted(days - arrivals.scored.keys()):
            notes.append(_note(unscored, f"of {name} wait for their news to be scored"))
        days &= arrivals.scored.keys()
    what = f"days of {name}"
    found = history(
        runs_of(instance, what), days, arrivals.content, lambda run: bad_days(run, name)
    )
    if unusable := sorted(found.bad):
        run = found.bad[unusable[0]].run_id[:8]
        notes.append(_note(unusable, f"of {name} can't be used, run {run} says why"))
    notes += found.told(
        name,
        lambda first, last: (
            f"vostok materialize {','.join(assets)} --instrument {name} --from {first} --to {last}"
        ),
    )
    days -= found.bad.keys()
    days.difference_update(found.spent)
    if not days:
        return [], notes
    affected = set(affected_days(project, name, days)) - found.bad.keys() - set(found.spent)
    begun, waiting = _begun(affected, arrivals)
    if waiting:
        notes.append(_note(waiting, f"of {name} wait for the day before, where they begin"))
    newest = list(islice(runs_of(instance, what), 1))
    return [
        tagged(
            dg.RunRequest(
                asset_selection=asset_keys(assets),
                tags=range_tags(date_key(first, name), date_key(last, name)),
            ),
            what,
            arrivals.content(first, last),
            newest,
        )
        for first, last in spans(begun)
    ], notes


def _funding(name: str, due: DueFunding) -> Iterator[Ask]:
    for first, last in spans(due.days):
        yield Ask(
            what=f"funding rates of {name} from {first} to {last}",
            content=due.content(first, last),
            request=dg.RunRequest(
                asset_selection=asset_keys(["funding"]),
                tags=range_tags(date_key(first, name), date_key(last, name)),
            ),
            command=f"vostok materialize funding --instrument {name} --from {first} --to {last}",
        )


def _begun(days: Iterable[date], arrivals: Arrivals) -> tuple[list[date], list[date]]:
    """The days that can begin where the day before ends, and those that can't; both in order.

    A day before that has landed must be merged, or be made before it by the same run.
    """
    begun: list[date] = []
    waiting: list[date] = []
    for day in sorted(days):
        before = day - _DAY
        if before in arrivals.landed and before not in arrivals.merged and before not in begun[-1:]:
            waiting.append(day)
        else:
            begun.append(day)
    return begun, waiting


def busy_instruments(instance: dg.DagsterInstance, universe: Iterable[str]) -> set[str]:
    """The instruments of which an unfinished run reads or writes partitions."""
    order = list(universe)
    busy: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        keys = [run.tags.get(tag, "") for tag in (PARTITION, RANGE_START, RANGE_END)]
        named = [order.index(part) for key in keys for part in key.split("|") if part in order]
        if named:
            busy.update(order[min(named) : max(named) + 1])
    return busy


def _note(days: list[date], what: str) -> str:
    return f"{count(days)} {what}, first {days[0]}"
