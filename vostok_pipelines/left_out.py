"""What is there of a strategy whose file can't be used: its schedules, which ask for nothing.

Dagster forgets that a schedule was on once it has been away for half a day, and a person would have
to turn it on again. So those of such a strategy stay. Each of their ticks says what is wrong with
the file, and they work again as soon as it is mended.
"""

import re

import dagster as dg

from vostok_core.errors import StrategyError
from vostok_core.project import Project
from vostok_pipelines.jobs import job_name
from vostok_pipelines.proofs import PROOF_CRON, PROOFS

CRONS = {
    "daily_labels": "0 2-23 * * *",
    "weekly_predictions": "0 3-23 * * *",
    "weekly_retraining": "15 3-23 * * *",
    **{f"daily_{proof}": PROOF_CRON for proof in PROOFS},
}
"""When each schedule of a strategy looks, by its name behind the strategy's."""


def notes(project: Project) -> list[str]:
    """What is left out and why, a text for each strategy."""
    return [_note(project, name) for name in project.unusable_strategies]


def waiting(project: Project) -> list[str]:
    """Those of the notes that are of strategies whose data wait: their files don't say which."""
    return [
        _note(project, name)
        for name in project.unusable_strategies
        if name not in project.data_needs
    ]


def left_out_schedules(project: Project) -> list[dg.ScheduleDefinition]:
    """The schedules that stand in for those of strategies whose files can't be used."""
    return [
        schedule
        for name, error in project.unusable_strategies.items()
        if re.fullmatch(r"\w+", name, re.ASCII)  # others never had any
        for schedule in _stand_ins(name, error)
    ]


def _stand_ins(name: str, error: StrategyError) -> list[dg.ScheduleDefinition]:
    @dg.op(name=f"{name}_cannot_be_used")
    def refuse() -> None:
        raise StrategyError(error.what, where=error.where, hint=error.hint)

    @dg.job(name=job_name(name, "left_out"), description=f"Does nothing: {error}")
    def left_out() -> None:
        refuse()

    def stand_in(schedule: str, cron: str) -> dg.ScheduleDefinition:
        @dg.schedule(
            name=f"{name}_{schedule}",
            job=left_out,
            cron_schedule=cron,
            execution_timezone="UTC",
            description=f"Asks for nothing until the strategy's file can be used: {error}",
        )
        def look(_context: dg.ScheduleEvaluationContext) -> dg.SkipReason:
            return dg.SkipReason(f"the strategy's file can't be used: {error}")

        return look

    return [stand_in(schedule, cron) for schedule, cron in CRONS.items()]


def _note(project: Project, name: str) -> str:
    data = (
        "its data are kept as the file says"
        if name in project.data_needs
        else "the file doesn't say which data to keep, so that what only it trades waits"
    )
    return f"the strategy {name} is left out, {data}: {project.unusable_strategies[name]}"
