"""Whether a strategy's labels, models and predictions are what would be made now.

One notion for all who ask: training and prediction before they read, the gate before it decides,
and the schedules when they look for what is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from vostok_core.errors import MissingPartition, StalePartition
from vostok_core.features.registry import pack
from vostok_core.labels.currency import LabelCurrency
from vostok_core.labels.triple_barrier import last_day_needed
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.staleness import Stale, commands
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.models.bundle_folder import read_manifest
from vostok_core.models.folders import is_there
from vostok_core.models.registry import bundle_path
from vostok_core.settings import Settings
from vostok_core.strategy import Strategy
from vostok_core.times import days as each_day
from vostok_pipelines.training.configuration import configuration_hash, rules_in_force
from vostok_pipelines.training.inputs import lead_days, prediction_hashes, training_hashes
from vostok_pipelines.training.window import week_days, window_days


class StrategyCurrency:
    """Looks at what a strategy has made on an instrument, at each partition once.

    Args:
        lake: The lake.
        settings: Those of the project: what data and models are made by now.
        strategy: The strategy.
        instrument: What it trades.
    """

    def __init__(
        self, lake: Lake, settings: Settings, strategy: Strategy, instrument: Instrument
    ) -> None:
        self.lake = RememberingLake.of(lake)
        self.configuration = configuration_hash(strategy, instrument, settings)
        self._strategy = strategy
        self._instrument = instrument
        self._name = str(instrument.id)
        self._place = {"strategy": strategy.name, "instrument": self._name}
        self._packs = [pack(name) for name in strategy.file.features.packs]
        self._labels = LabelCurrency(
            self.lake, strategy, instrument, rules_in_force(settings, instrument)
        )
        self._bars = self.lake.days("bars", instrument=self._name, interval=strategy.file.interval)

    def features(self, days: Iterable[date]) -> Stale | None:
        """What is the matter with the features of some days, or bars that they look back on.

        Raises:
            MissingPartition: A day has none of a pack.
        """
        wanted = sorted(set(days))
        for day in lead_days(self.lake, self._strategy, self._name, wanted):
            if found := self._labels.beneath.bars(day):
                return found
        for day in wanted:
            for each in self._packs:
                if found := self._labels.beneath.features(each, day):
                    return found
        return None

    def require_features(self, days: Iterable[date]) -> None:
        """Check the features of some days.

        Raises:
            MissingPartition: As in `features`.
            StalePartition: They are not what would be computed now.
        """
        wanted = sorted(set(days))
        if found := self.features(wanted):
            raise StalePartition(
                f"features of {self._name} from {wanted[0]} to {wanted[-1]} are stale: {found.why}",
                where=self.lake.root,
                hint=self._commands([found]),
            )

    def labels_due(self, first: date, last: date) -> list[date]:
        """The days that the models of some weeks want labels of and that have none, or stale ones,
        while the bars and features that they are made from are there and current.

        Args:
            first: Monday of the first week.
            last: Monday of the last one.
        """
        due = []
        for day in window_days(self._bars, self._strategy, first, last)[0]:
            try:
                if self.lake.exists("labels", **self._place, date=day) and not self.labels(day):
                    continue
                reached = each_day(day, last_day_needed(self._strategy, day))
                if self._labels.sources(day, reached) is None:
                    due.append(day)
            except MissingPartition:
                continue  # features that are not made yet
        return due

    def labels(self, day: date) -> Stale | None:
        """As `LabelCurrency.labels`."""
        return self._labels.labels(day)

    def labels_lacking(self, week: date) -> date | None:
        """The first day that the week's model wants labels of and that has no current ones.

        Raises:
            MissingPartition: Features that labels are made from are absent.
        """
        used, _ = window_days(self._bars, self._strategy, week, week)
        there = (self.lake.exists("labels", **self._place, date=day) for day in used)
        return next(
            (d for d, made in zip(used, there, strict=True) if not made or self.labels(d)), None
        )

    def require_labels(self, week: date) -> tuple[list[date], list[date]]:
        """The days that the week's model is trained on, with current labels and features.

        Returns:
            As `window_days`.

        Raises:
            MissingPartition: A day lacks labels or features.
            StalePartition: Labels or features would be made otherwise now.
        """
        name, market = self._strategy.name, self._name
        used, empty = window_days(self._bars, self._strategy, week, week)
        there = {day for day in used if self.lake.exists("labels", **self._place, date=day)}
        if lacking := [day for day in used if day not in there]:
            raise MissingPartition(
                f"the labels of {name} on {market} for {lacking[0]} have not been made, and their "
                "bars are there",
                where=self.lake.root,
                hint=self._commands([Stale.of(day, "", f"{name}/labels") for day in lacking]),
            )
        found = {day: self.labels(day) for day in used}
        stale = {day: why for day, why in found.items() if why is not None}
        if stale:
            first = min(stale)
            raise StalePartition(
                f"the labels of {name} on {market} are stale on {len(stale)} days, first on "
                f"{first}: {stale[first].why}",
                where=self.lake.partition("labels", **self._place, date=first),
                hint=self._commands(stale.values()),
            )
        self.require_features(used)
        return used, empty

    def model(self, week: date) -> Stale | None:
        """What is the matter with the week's model, if it is there and anything is.

        Raises:
            MissingPartition: A day of its window lacks features.
            BundleError: Its manifest can't be trusted.
        """
        folder = bundle_path(self.lake, self._strategy.name, self._name, week)
        if not is_there(folder):
            return None
        manifest, _ = read_manifest(folder)
        asset = f"{self._strategy.name}/model"
        if manifest.configuration != self.configuration:
            why = f"it was trained as configuration {manifest.configuration}"
            return Stale.of(week, why, asset)
        used, _ = window_days(self._bars, self._strategy, week, week)
        for day in used:
            if not self.lake.exists("labels", **self._place, date=day):
                why = f"labels of {day} have been lost since it was trained, or bars been added"
                return Stale.of(day, why, f"{self._strategy.name}/labels", asset)
            if found := self.labels(day):
                return found.beneath(day, asset)
        if found := self.features(used):
            return found.beneath(week, asset)
        now = training_hashes(self.lake, self._strategy, self._name, used)
        changed = sorted(name for name, value in now.items() if manifest.inputs.get(name) != value)
        if changed:
            return Stale.of(week, f"{_and(changed)} have changed since it was trained", asset)
        return None

    def predictions(self, week: date) -> Stale | None:
        """What is the matter with the predictions of a week, if anything.

        The model of a week may be gone; if it is there, it must be the one that predicted, and
        current.

        Raises:
            MissingPartition: The week has none, or lacks features that they are made from.
            BundleError: The week's model is there and can't be trusted.
        """
        asset = f"{self._strategy.name}/predictions"
        info = self.lake.info("predictions", **self._place, week=week)
        if info.code_version != self.configuration:
            return Stale.of(week, f"they were made as configuration {info.code_version}", asset)
        days = week_days(self.lake, self._strategy, self._name, week)
        if found := self.features(days):
            return found.beneath(week, asset)
        now = prediction_hashes(self.lake, self._strategy, self._name, days)
        folder = bundle_path(self.lake, self._strategy.name, self._name, week)
        if is_there(folder):
            if found := self.model(week):
                return found.beneath(week, asset)
            now["model"] = read_manifest(folder)[1]
        changed = sorted(name for name, value in now.items() if info.inputs.get(name) != value)
        if changed:
            return Stale.of(week, f"{_and(changed)} have changed since they were made", asset)
        return None

    def require_predictions(self, weeks: Iterable[date]) -> None:
        """Check that the predictions of some weeks are what would be predicted now.

        Raises:
            MissingPartition: As in `predictions`.
            StalePartition: They are not.
            BundleError: As in `predictions`.
        """
        found = {week: self.predictions(week) for week in sorted(set(weeks))}
        stale = {week: why for week, why in found.items() if why is not None}
        if stale:
            first, name = min(stale), self._strategy.name
            raise StalePartition(
                f"the predictions of {name} on {self._name} are stale in {len(stale)} weeks, first "
                f"in {first}: {stale[first].why}",
                where=self.lake.root,
                hint=self._walk_again(stale),
            )

    def _commands(self, stale: Iterable[Stale]) -> str:
        return commands(self.lake, self._name, self._strategy.file.interval, stale)

    def _walk_again(self, stale: Mapping[date, Stale]) -> str:
        """The commands that make the days beneath again, then the walk of the weeks."""
        name = self._strategy.name
        walk = (
            f"`vostok walk-forward {name} --instrument {self._name} --from {min(stale)} "
            f"--to {max(stale)}`"
        )
        beneath = []
        for week, found in stale.items():
            days = tuple(a for a in found.assets if not a.startswith(f"{name}/"))
            if days:
                beneath.append(Stale(found.why, found.first, week + timedelta(days=6), days))
        return f"{self._commands(beneath)}, then {walk}" if beneath else f"run {walk}"


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)
