"""The days of a run that can't be used as they are: told in one error, and remembered by the run.

A day whose file is malformed must not keep the other days of its range from being made. So what
makes days one by one notes those that it can't, goes on, and raises at the end; and whoever asks
for days leaves those out that a run has noted, until their content is another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import dagster as dg

from vostok_core.errors import DataError
from vostok_pipelines.partitions import date_key

TAG = "vostok/bad_days"

_DAY = timedelta(days=1)


class BadDays:
    """What went wrong with the days that a step goes through.

    Args:
        kind: What is noted; other errors are raised at once.
    """

    def __init__(self, kind: type[DataError] = DataError) -> None:
        self._kind = kind
        self._found: list[tuple[str, date, DataError]] = []

    def __bool__(self) -> bool:
        """Whether a day was noted."""
        return bool(self._found)

    @contextmanager
    def noted(self, instrument: str, day: date) -> Iterator[None]:
        """Do something with a day, and note it if its data can't be used."""
        try:
            yield
        except self._kind as error:
            self._found.append((instrument, day, error))

    def raise_noted(self, context: dg.AssetExecutionContext) -> None:
        """Tag the run with the days that were noted, and raise why.

        Raises:
            DataError: That of the day, or one that names every day with its file.
        """
        if not self._found:
            return
        keys = ",".join(date_key(day, name) for name, day, _ in self._found)
        context.instance.add_run_tags(context.run.run_id, {TAG: keys})
        errors = [error for _, _, error in self._found]
        if len(errors) == 1:
            raise errors[0]
        kinds = {type(error) for error in errors}
        kind = kinds.pop() if len(kinds) == 1 else DataError
        hints = dict.fromkeys(error.hint for error in errors if error.hint)
        raise kind(
            f"{len(errors)} days can't be used: {'; '.join(self._told())}",
            hint="; or: ".join(hints) or None,
        )

    def _told(self) -> Iterator[str]:
        """A sentence for each day; one for neighbours that are told of the same place."""
        groups: list[list[tuple[str, date, DataError]]] = []
        for name, day, error in self._found:
            if groups:
                other, before, last = groups[-1][-1]
                if (other, before + _DAY, last.where) == (name, day, error.where):
                    groups[-1].append((name, day, error))
                    continue
            groups.append([(name, day, error)])
        for group in groups:
            (name, first, error), (_, last, _) = group[0], group[-1]
            days = str(first) if first == last else f"{first} to {last}"
            where = "" if error.where is None else f" ({error.where})"
            yield f"{name} {days}: {error.what}{where}"


def bad_days(run: dg.DagsterRun, instrument: str) -> set[date]:
    """The days of an instrument that a run has noted and failed of."""
    if run.status is not dg.DagsterRunStatus.FAILURE:  # repeated from the web page, with its tags
        return set()
    keys = (key.split("|") for key in run.tags.get(TAG, "").split(",") if key)
    return {date.fromisoformat(day) for day, name in keys if name == instrument}
