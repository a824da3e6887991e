"""Which fetchers there are, by the name that `vostok fetch --source` takes."""

from __future__ import annotations

from vostok_core.errors import UnknownName, UsageError
from vostok_core.project import Project
from vostok_pipelines.fetching.fetcher import Fetcher

FETCHERS = ("archive", "rest")


def fetcher(
    name: str, project: Project, *, jobs: int, corrected: bool = False, monthly: bool = True
) -> Fetcher:
    """The fetcher of a name.

    Args:
        name: One of `FETCHERS`.
        project: Whose settings and folders it uses.
        jobs: How much it may ask for at once.
        corrected: Whether files that are there are looked at too, and those that the archive has
            corrected come anew; of the archive only.
        monthly: Whether files of whole months are asked for; of the archive only.

    Raises:
        UnknownName: There is none of that name.
        UsageError: It can't do what is asked of it.
    """
    if name == "archive":
        from vostok_pipelines.fetching.archive import ArchiveFetcher
        from vostok_pipelines.fetching.polite import Pace

        return ArchiveFetcher(project, pace=Pace(jobs=jobs), corrected=corrected, monthly=monthly)
    if corrected or not monthly:
        raise UsageError(
            f"{name} has no files that could be corrected, or be of a day or a month",
            hint="leave --corrected and --daily out, or use --source archive",
        )
    if name == "rest":
        from vostok_pipelines.fetching.rest import RestFetcher

        return RestFetcher(project)
    raise UnknownName.of("source", name, FETCHERS)
