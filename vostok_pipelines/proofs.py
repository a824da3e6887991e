"""The days that a daemon traded on, and that have not been held against the pipeline yet.

A day is due once its journal has been shipped, for reconciliation also once the archive's record of
it is in the lake; and anew when either has changed, for reconciliation also when that of the days
around it has, to which positions reach. Days on which a daemon saw to exits alone have no bars to
reconcile, and are due for parity. A schedule asks for unbroken ranges of them.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import dagster as dg

from vostok_core.hashing import hash_value
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.store import Lake
from vostok_core.live import parity, reconciliation
from vostok_core.live.shipped import Shipped
from vostok_core.project import Project
from vostok_core.strategy import Strategy
from vostok_core.times import spans
from vostok_pipelines.asked import Ask, Requests, answer, requests, told
from vostok_pipelines.jobs import Jobs, job_name
from vostok_pipelines.leases import fail_dead_runs
from vostok_pipelines.partitions import date_key, range_tags

_DESCRIPTIONS = {
    "parity": "Computes the days that were traded again, those that have been shipped and were not "
    "proven as they are: a run for each unbroken range of days.",
    "reconciliation": "Holds the days that were traded against the archive's record of them, once "
    "that is there: a run for each unbroken range of days.",
}

PROOFS = ("parity", "reconciliation")
PROOF_CRON = "45 2-23 * * *"
"""When their schedules look."""

VERSIONS = {"parity": parity.CODE_VERSION, "reconciliation": reconciliation.CODE_VERSION}
_OF = {"parity": ("live_steps", "live_cuts", "live_events"), "reconciliation": ("live_steps",)}
"""Tables of which one must have something on a day that is due."""


def proof_contents(lake: Lake, strategy: Strategy, instrument: str, day: date) -> dict[str, str]:
    """Content hashes of what the journal and, where it is there, the archive say of a day, and of
    those around it as far as positions reach."""
    found = Shipped(lake, strategy.name, instrument).contents(day)
    found |= reconciliation.archived(lake, strategy, instrument, day)
    return found | reconciliation.beside(lake, strategy, instrument, day)


def contents_of(
    asset: str, lake: Lake, strategy: Strategy, instrument: str, day: date
) -> dict[str, str] | None:
    """What one of the assets would be made of; None where something of it is not there."""
    if asset == "parity":
        return Shipped(lake, strategy.name, instrument).contents(day)
    if not reconciliation.is_archived(lake, strategy, instrument, day):
        return None
    return proof_contents(lake, strategy, instrument, day)


def due_proofs(
    asset: str, lake: Lake, strategy: Strategy, instrument: str, first: date, last: date
) -> dict[date, Mapping[str, str]]:
    """The days of which an asset is not there, or not as it would be made now.

    Args:
        asset: `parity` or `reconciliation`.
        lake: The lake.
        strategy: The strategy.
        instrument: What its daemon trades.
        first, last: The days that are looked at.

    Returns:
        Each, with what it would be made of.
    """
    keys = {"strategy": strategy.name, "instrument": instrument}
    shipped = Shipped(lake, strategy.name, instrument)
    found: dict[date, Mapping[str, str]] = {}
    for day in shipped.days():
        if not first <= day <= last or not any(shipped.rows(name, day) for name in _OF[asset]):
            continue
        now = contents_of(asset, lake, strategy, instrument, day)
        if now is None:
            continue
        if lake.exists(asset, **keys, date=day):
            info = lake.info(asset, **keys, date=day)
            if info.code_version == VERSIONS[asset] and dict(info.inputs) == now:
                continue
        found[day] = now
    return found


def proof_schedules(
    project: Project, strategy: Strategy, project_jobs: Jobs
) -> list[dg.ScheduleDefinition]:
    """The schedules that prove what a strategy's daemons did."""
    return [_schedule(project, strategy, project_jobs, asset) for asset in VERSIONS]


def _schedule(
    project: Project, strategy: Strategy, project_jobs: Jobs, asset: str
) -> dg.ScheduleDefinition:
    name = strategy.name
    start = project.settings.calendar.start

    def asks(lake: Lake, instrument: str, last: date) -> Iterator[Ask]:
        due = due_proofs(asset, lake, strategy, instrument, start, last)
        for begin, end in spans(due):
            content = [VERSIONS[asset], *(due[day] for day in sorted(due) if begin <= day <= end)]
            tags = range_tags(date_key(begin, instrument), date_key(end, instrument))
            yield Ask(
                what=f"{asset} of {name} for {instrument} from {begin} to {end}",
                content=hash_value(content),
                request=dg.RunRequest(tags=tags),
                command=f"vostok materialize {name}/{asset} --instrument {instrument} "
                f"--from {begin} --to {end}",
            )

    def look(context: dg.ScheduleEvaluationContext) -> Requests:
        fail_dead_runs(context.instance, project.dagster_home)
        last = context.scheduled_execution_time.date() - timedelta(days=1)
        made: list[dg.RunRequest] = []
        notes: list[str] = []
        for instrument in strategy.file.instruments:
            with told(notes, f"{name} on {instrument}"):
                lake = RememberingLake.of(project.open_lake())
                asked, why = requests(context.instance, asks(lake, instrument, last))
                made += asked
                notes += why
        otherwise = f"every day that was traded and is over has its {asset}"
        return answer(made, notes, otherwise, context.log)

    schedule = dg.schedule(
        name=f"{name}_daily_{asset}",
        job=project_jobs[job_name(name, asset)],
        cron_schedule=PROOF_CRON,
        execution_timezone="UTC",
        description=_DESCRIPTIONS[asset],
    )
    return schedule(look)
