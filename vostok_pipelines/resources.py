"""What assets are given: the lake."""

from pathlib import Path
from typing import Self

import dagster as dg

from vostok_core.lake.address import S3Options
from vostok_core.lake.store import Lake
from vostok_core.project import Project
from vostok_pipelines.leases import hold


class LakeResource(dg.ConfigurableResource):
    """The lake that a run reads and writes.

    Every asset takes it, and so it is the place where the process of a run locks the run's file.
    """

    root: str
    home: str
    local: str | None = None
    endpoint: str | None = None
    region: str | None = None

    @classmethod
    def of(cls, project: Project) -> Self:
        """The lake of a project."""
        return cls(
            root=str(project.lake_root),
            local=str(project.lake_home),
            home=str(project.dagster_home),
            endpoint=project.settings.lake.endpoint,
            region=project.settings.lake.region,
        )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        if context.run is not None and context.instance is not None:
            hold(Path(self.home), context.instance, context.run.run_id)

    def open(self) -> Lake:
        """Open it, or make an empty one."""
        options = S3Options(self.endpoint, self.region)
        home = None if self.local is None else Path(self.local)
        return Lake.open(self.root, home=home, options=options)
