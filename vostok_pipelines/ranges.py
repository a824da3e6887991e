"""What became of the days that were asked for before, in ranges that differ from look to look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg

from vostok_core.times import days as each_day
from vostok_core.times import spans
from vostok_pipelines.asked import CONTENT, given_up, is_given_up
from vostok_pipelines.partitions import RANGE_END, RANGE_START


@dataclass(frozen=True)
class History:
    """What has come of some days with the content that they would have now.

    Attributes:
        tried: The runs that tried each day since it last had another content, newest first.
        bad: The days that can't be used, with the newest runs that found it.
    """

    tried: Mapping[date, Sequence[dg.DagsterRun]]
    bad: Mapping[date, dg.DagsterRun]

    @property
    def spent(self) -> list[date]:
        """The days that are not asked for again, in order."""
        return sorted(day for day, runs in self.tried.items() if is_given_up(runs))

    def ranges(self, days: Iterable[date]) -> list[tuple[date, date]]:
        """Unbroken ranges of those of the days that are not spent, in order.

        A day of which a run has failed is a range of its own: it may have been the fault of
        another day of that run.
        """
        left = set(days).difference(self.spent)
        alone = left & self.tried.keys()
        return sorted([*spans(left - alone), *((day, day) for day in alone)])

    def told(self, what: str, command: Callable[[date, date], str]) -> list[str]:
        """Why the spent days are not asked for again, and the command that makes them by hand."""
        if not self.spent:
            return []
        first, last = self.spent[0], self.spent[-1]
        what = f"{count(self.spent)} of {what}"
        return [given_up(what, self.tried[first][0], command(first, last))]


def history(
    runs: Iterable[dg.DagsterRun],
    days: Iterable[date],
    content: Callable[[date, date], str],
    bad_days: Callable[[dg.DagsterRun], set[date]],
) -> History:
    """Read back in the runs of ranges, for each day as far as decides what to do with it.

    Args:
        runs: The runs that were asked for, newest first.
        days: The days.
        content: Hash of what the days from one through another would be made from now.
        bad_days: The days that a run has found to be of no use.
    """
    tried: defaultdict[date, list[dg.DagsterRun]] = defaultdict(list)
    bad: dict[date, dg.DagsterRun] = {}
    wanted = set(days)
    for run in runs:
        if not wanted:
            break
        first, last = (
            date.fromisoformat(run.tags[tag].split("|")[0]) for tag in (RANGE_START, RANGE_END)
        )
        asked = wanted.intersection(each_day(first, last))
        if not asked:
            continue
        if run.tags.get(CONTENT) != content(first, last):
            wanted -= asked
        elif found := bad_days(run):  # and so the other days were not tried
            bad |= dict.fromkeys(asked & found, run)
            wanted -= found
        else:
            for day in asked:
                tried[day].append(run)
            wanted.difference_update(day for day in asked if is_given_up(tried[day]))
    return History(tried, bad)


def count(days: Sequence[date]) -> str:
    """How many days there are, in words."""
    return f"{len(days)} {'day' if len(days) == 1 else 'days'}"
