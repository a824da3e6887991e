"""One instrument's way through the pipeline, as Dagster runs, in a process of its own.

Started by `run`; says on standard output, one JSON object a line, what begins, what has ended under
which run id, and what went wrong.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from datetime import timedelta
from pathlib import Path

from vostok.demo import world
from vostok.faults import explained
from vostok.walk_forward import walk_forward
from vostok_core.project import find_project
from vostok_pipelines.jobs import day_assets
from vostok_pipelines.launch import Launcher, RunResult

FIRST_STAGE = "ingest and features"
STAGES = 5


def say(**event: object) -> None:
    """Tell the process that started this one."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Stages:
    """Says when each stage begins and what it came to."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def begin(self, stage: str) -> None:
        self.began = time.monotonic()
        say(stage=stage, event="start")

    def end(self, stage: str, run: RunResult) -> None:
        seconds = round(time.monotonic() - self.began, 2)
        say(stage=stage, event="end", seconds=seconds, run_id=run.run_id)


def main(instrument: str) -> int:
    """Walk one instrument through every stage; 0 when all succeeded."""
    try:
        project = find_project(Path.cwd(), os.environ)
        launcher = Launcher(project)
        strategy = project.strategy(world.STRATEGY)
        stages = Stages()
        stages.begin(FIRST_STAGE)
        run = launcher.materialize_days(
            day_assets(project, instrument), instrument, world.FIRST_DAY, world.LAST_DAY
        )
        stages.end(FIRST_STAGE, run)
        walk_forward(
            launcher,
            strategy,
            project.settings.instrument(instrument),
            world.first_model_week(strategy.file.model.train_weeks),
            world.SERVICE_WEEK - timedelta(weeks=1),
            stages.end,
            stages.begin,
        )
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001  (whatever it is, the person at the demo is told)
        told = explained(error)
        say(event="error", error=told.to_json(), traceback=traceback.format_exc())
        return told.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
