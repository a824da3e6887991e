"""The days whose labels a week's model is trained on, and those that it predicts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from vostok_core.errors import NotYetKnowable
from vostok_core.labels.triple_barrier import last_day_needed
from vostok_core.lake.store import Lake
from vostok_core.models.splits import Window
from vostok_core.strategy import Strategy
from vostok_core.times import DAY, day_of, day_start
from vostok_core.times import days as each_day


def window_days(
    bars: Iterable[date], strategy: Strategy, first: date, last: date
) -> tuple[list[date], list[date]]:
    """The days that the models of the weeks `first` through `last` want labels of.

    A day's labels are used if every day that they may reach into was over before the cutoff. Days
    from before the first bars are left out; so is a day without bars, and one that reaches into
    such a day, since its labels can't be made.

    Args:
        bars: The days that have bars.
        strategy: Says how far labels reach and how long the training window is.
        first: Monday of the first model's week.
        last: Monday of the last one's.

    Returns:
        The days that must have labels, and the days between them without bars; both in order.
    """
    present = set(bars)
    if not present:
        return [], []
    lag, length = strategy.deployment_lag_us, strategy.file.model.train_weeks
    cutoff = Window.of(last, lag, length).cutoff
    # The bar that ends at midnight lies in the partition of the day it covers.
    opening = max(day_of(Window.of(first, lag, length).start - 1), min(present))
    known = [
        day
        for day in each_day(opening, day_of(cutoff))
        if day_start(last_day_needed(strategy, day)) + DAY <= cutoff
    ]
    used = [d for d in known if present.issuperset(each_day(d, last_day_needed(strategy, d)))]
    return used, [d for d in known if d not in present]


def week_days(lake: Lake, strategy: Strategy, instrument: str, week: date) -> list[date]:
    """The days whose bars end in the week; the bar that ends on Monday 00:00 is Sunday's.

    Raises:
        NotYetKnowable: The week is not over in the lake.
    """
    present = lake.days("bars", instrument=instrument, interval=strategy.file.interval)
    last = week + timedelta(days=6)
    if not present or present[-1] < last:
        raise NotYetKnowable(
            f"the week {week} of {instrument} is not over: the newest bars are of "
            f"{present[-1] if present else 'no day'}",
            hint=f"materialize bars and features through {last}",
        )
    known = set(present)
    return [d for d in each_day(week - timedelta(days=1), last) if d in known]
