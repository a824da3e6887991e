"""Whether a day's labels are what would be made now, of bars and features that are current."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from vostok_core.features.currency import FeatureCurrency, Rules
from vostok_core.features.registry import pack
from vostok_core.labels.days import label_inputs
from vostok_core.labels.events import event_days, volatility_pack
from vostok_core.labels.version import label_version
from vostok_core.lake.staleness import Stale
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.strategy import Strategy
from vostok_core.times import days as each_day


class LabelCurrency:
    """Looks at the labels of a strategy on an instrument, at each day once.

    Args:
        lake: The lake.
        strategy: The strategy.
        instrument: The instrument.
        rules: As in `FeatureCurrency`.

    Attributes:
        beneath: Looks at the bars and features that they are made from.
    """

    def __init__(
        self, lake: Lake, strategy: Strategy, instrument: Instrument, rules: Rules | None = None
    ) -> None:
        self._strategy = strategy
        self._instrument = instrument
        self._name = str(instrument.id)
        self._version = label_version(strategy, instrument)
        self._volatility = pack(volatility_pack(strategy))
        self._known: dict[date, Stale | None] = {}
        self.beneath = FeatureCurrency(lake, self._name, strategy.file.interval, rules)

    def labels(self, day: date) -> Stale | None:
        """What is the matter with the labels of a day, if anything.

        Raises:
            MissingPartition: The day has none, or lacks bars or features that they are made from.
        """
        if day not in self._known:
            self._known[day] = self._look_at(day)
        return self._known[day]

    def _look_at(self, day: date) -> Stale | None:
        lake = self.beneath.lake
        asset = f"{self._strategy.name}/labels"
        info = lake.info("labels", strategy=self._strategy.name, instrument=self._name, date=day)
        reached = [name.removeprefix("bars/") for name in info.inputs if name.startswith("bars/")]
        if info.code_version != self._version or not reached:
            why = "they were made by other rules or code than those now in force"
            return Stale.of(day, why, asset)
        used = list(each_day(day, date.fromisoformat(max(reached))))
        if found := self.sources(day, used):
            return found.beneath(day, f"features/{self._volatility.name}", asset)
        now = label_inputs(lake, self._strategy, self._instrument, day, used)
        changed = sorted(name for name, value in now.items() if info.inputs.get(name) != value)
        if not changed:
            return None
        spoken = ["features" if name == "events" else name for name in changed]
        return Stale.of(day, f"{' and '.join(spoken)} have changed since they were made", asset)

    def sources(self, day: date, used: Iterable[date]) -> Stale | None:
        """What is the matter with the bars and features that labels of a day are made from.

        Args:
            day: The day of the labels.
            used: The days that they reach into, `day` among them.

        Raises:
            MissingPartition: Some are absent.
        """
        walked = event_days(self.beneath.lake, self._strategy, self._name, day)
        for of in sorted({*used, *walked}):
            found = self.beneath.bars(of)
            if found is None and of in walked:
                found = self.beneath.features(self._volatility, of)
            if found is not None:
                return found
        return None
