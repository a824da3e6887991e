"""What assets are given: the lake."""

from pathlib import Path

import dagster as dg

from vostok_core.lake.store import Lake
from vostok_pipelines.leases import hold


class LakeResource(dg.ConfigurableResource):
    """The lake that a run reads and writes.

    Every asset takes it, and so it is the place where the process of a run locks the run's file.
    """

    root: str
    home: str

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        if context.run is not None and context.instance is not None:
            hold(Path(self.home), context.instance, context.run.run_id)

    def open(self) -> Lake:
        """Open it, or make an empty one."""
        return Lake.open(Path(self.root))
