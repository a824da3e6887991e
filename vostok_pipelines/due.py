"""What the days and weeks that have passed still owe the lake.

Read from the lake alone, so that what was missed while nothing ran, or cut short, is due when
something runs again, what was corrected is due anew, and what is current is due no more. A day or
week is due once all it needs is there and current. Nothing from before `start`, the calendar's, is
due: it is no partition.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from vostok_core.errors import BundleError, MissingPartition, NotYetKnowable
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.models.folders import is_there
from vostok_core.models.registry import bundle_path, service
from vostok_core.sentiment.currency import SentimentRules, stale_scores
from vostok_core.settings import Settings
from vostok_core.strategy import Strategy
from vostok_core.times import days as each_day
from vostok_core.times import week_of, weeks
from vostok_pipelines.evidence import stale_decision
from vostok_pipelines.known_weeks import KnownWeeks
from vostok_pipelines.training.currency import StrategyCurrency
from vostok_pipelines.training.window import week_days

_WEEK = timedelta(weeks=1)


def due_news(
    lake: Lake, rules: SentimentRules, start: date, last: date, bars: Iterable[date]
) -> list[date]:
    """The days through `last` that have no current scores, from the first that needs them on.

    That is the first that was ever scored, or that has bars whose features need sentiment: their
    walk begins there, also for days that come after the first scored one. Only `last` where there
    is neither.

    Args:
        lake: The lake.
        rules: What scores are made by now.
        start: The calendar's.
        last: The last day to look at.
        bars: The first day with bars of each instrument whose features need sentiment.
    """
    lake = RememberingLake.of(lake)
    needed = [day for day in (*lake.days("sentiment_scores")[:1], *bars) if day <= last]
    return [
        day
        for day in each_day(max(start, min(needed, default=last)), last)
        if not lake.exists("sentiment_scores", date=day) or stale_scores(lake, day, rules)
    ]


@dataclass(frozen=True)
class DuePredictions:
    """A week to predict.

    Attributes:
        week: Its Monday.
        model: Whether its model has to be trained again first.
    """

    week: date
    model: bool


class Due:
    """What a strategy owes on an instrument: labels, then predictions week by week, then a model.

    The walk is the weeks from the first that was predicted on. A week of it whose predictions are
    stale, or were never made, comes before the weeks after it. Where a week was predicted as
    another configuration, no week is predicted and no model trained: evidence is of one
    configuration, and it is for a person to walk an edited strategy forward or to take it back.

    Args:
        lake: The lake.
        settings: Those of the project.
        strategy: The strategy.
        instrument: What it trades.
        today: The day it is.
        known: What earlier looks found of its weeks.
        deadline: Time on the monotonic clock after which no further week is read.

    Attributes:
        is_whole: False if time ran out. Then nothing is due: look again, it goes on from there.
        notes: What keeps weeks from being due that a person has to mend. Labels are due all the
            same.
    """

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        strategy: Strategy,
        instrument: Instrument,
        today: date,
        known: KnownWeeks,
        deadline: float,
    ) -> None:
        self._currency = StrategyCurrency(lake, settings, strategy, instrument)
        self._lake = self._currency.lake
        self._strategy = strategy
        self._instrument = instrument
        self._place = {"strategy": strategy.name, "instrument": str(instrument.id)}
        self._start = settings.calendar.start
        self._week = week_of(today)
        self.notes: list[str] = []
        predicted = [
            week
            for week in map(date.fromisoformat, self._lake.keys("predictions", **self._place))
            if self._lake.exists("predictions", **self._place, week=week)
        ]
        self._first = min(predicted, default=None)
        self._newest = max(predicted, default=None)
        self._mixed = not all(map(self._as_configured, predicted))
        self.is_whole = True
        self._seen = known.look(self._lake, self._walk())
        self._open = list(self._open_weeks(deadline))

    def labels(self) -> list[date]:
        """The days whose labels this week's or the next week's model wants, and those of the walk's
        open weeks, that have none or stale ones."""
        if not self.is_whole:
            return []
        walk = (self._newest + _WEEK,) if self._newest else ()
        first = min([self._week, *self._open, *walk])
        days = self._currency.labels_due(first, self._week + _WEEK)
        return [day for day in days if day >= self._start]

    def predictions(self) -> list[DuePredictions]:
        """The weeks that have ended, are open, and have a model and features.

        Where none was predicted, only the week that has ended last.
        """
        if not self.is_whole or self._is_mixed():
            return []
        wanted = self._open if self._first else [self._week - _WEEK]
        found = (self._predictable(week) for week in wanted if week >= week_of(self._start))
        return [due for due in found if due is not None]

    def model(self) -> date | None:
        """The week after the newest predicted one, if it has begun and lacks only its decision.

        It lacks it also when it was decided on other evidence than is there now, or when what was
        decided was not carried out: it was to enter service, and the pointer was not moved.

        The gate looks at the weeks before, so a week that was missed or is stale is predicted
        before the next one is trained.
        """
        if not self.is_whole or self._newest is None or self._is_mixed():
            return None
        week = self._newest + _WEEK
        if not week_of(self._start) <= week <= self._week or any(w < week for w in self._open):
            return None
        if self._lake.exists("promotions", **self._place, week=week) and self._is_decided(week):
            return None
        return None if self._lacks_labels(week) else week

    def _is_decided(self, week: date) -> bool:
        """Whether the decision on a week stands, and was carried out."""
        try:
            if self._is_cut_short(week):
                return False
            if self._seen.is_decided(week):
                return True
            why = stale_decision(self._lake, self._strategy, self._instrument, week, self._currency)
        except (BundleError, MissingPartition) as error:
            self._note(f"whether the decision on {week} stands can't be told: {error}")
            return True
        if why is None:
            self._seen.found_decided(week)
        return why is None

    def _is_cut_short(self, week: date) -> bool:
        """Whether a decision was to put its model into service, and nobody has, nor may not."""
        columns = ("enters_service", "bundle")
        row = self._lake.read("promotions", columns=columns, **self._place, week=week).row(0)
        entering, bundle = row
        if not entering:
            return False
        held = service(self._lake, *self._place.values())
        if held is None:
            return True
        serving = None if held.promotion is None else held.promotion.manifest_sha256
        return held.admits(week) and serving != bundle

    def _walk(self) -> list[date]:
        """The weeks that have ended, from the first predicted one on."""
        return [] if self._first is None else list(weeks(self._first, self._week - _WEEK))

    def _open_weeks(self, deadline: float) -> Iterator[date]:
        """The weeks of the walk that have ended and have no current predictions."""
        seen = self._seen
        for week in self._walk():
            if not self._lake.exists("predictions", **self._place, week=week):
                yield week
            elif self._as_configured(week) and not seen.is_current(week):
                if time.monotonic() > deadline:
                    self.is_whole = False
                    return
                if self._is_stale(week):
                    yield week
                else:
                    seen.found_current(week)

    def _is_mixed(self) -> bool:
        """Whether a week was predicted as another configuration, which is noted."""
        if self._mixed:
            strategy, instrument = self._place.values()
            self._note(
                f"weeks of {strategy} on {instrument} were predicted as another configuration than "
                f"it has now; walk it forward by `vostok walk-forward {strategy} --instrument "
                f"{instrument} --from {self._first} --to {self._newest}`, or take the change back"
            )
        return self._mixed

    def _as_configured(self, week: date) -> bool:
        info = self._lake.info("predictions", **self._place, week=week)
        return info.code_version == self._currency.configuration

    def _is_stale(self, week: date) -> bool:
        try:
            return self._currency.predictions(week) is not None
        except BundleError as error:
            self._note(str(error))
            return True
        except (MissingPartition, NotYetKnowable):
            return True

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _lacks_labels(self, week: date) -> bool:
        try:
            return self._currency.labels_lacking(week) is not None
        except MissingPartition:
            return True

    def _predictable(self, week: date) -> DuePredictions | None:
        place = self._place["instrument"]
        try:
            days = week_days(self._lake, self._strategy, place, week)
            if self._currency.features(days) is not None:
                return None
            if is_there(bundle_path(self._lake, self._strategy.name, place, week)):
                if self._currency.model(week) is None:
                    return DuePredictions(week, model=False)
            elif self._newest is None or week > self._newest:
                return None  # its model is due first, and its decision
        except BundleError as error:
            self._note(str(error))
            return None
        except (MissingPartition, NotYetKnowable):
            return None
        return None if self._lacks_labels(week) else DuePredictions(week, model=True)
