"""Which fetchers there are, by the name that `vostok fetch --source` takes."""

from __future__ import annotations

from vostok_core.errors import UnknownName
from vostok_core.project import Project
from vostok_pipelines.fetching.fetcher import Fetcher

FETCHERS = ("archive",)


def fetcher(name: str, project: Project, *, jobs: int) -> Fetcher:
    """The fetcher of a name.

    Args:
        name: One of `FETCHERS`.
        project: Whose settings and folders it uses.
        jobs: How much it may ask for at once.

    Raises:
        UnknownName: There is none of that name.
    """
    if name == "archive":
        from vostok_pipelines.fetching.archive import ArchiveFetcher

        return ArchiveFetcher(project, jobs=jobs)
    raise UnknownName.of("source", name, FETCHERS)
