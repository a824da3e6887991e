"""Whether features are what their pack would compute now, of current bars and sentiment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from vostok_core.errors import StalePartition
from vostok_core.features.frames import BEGINS
from vostok_core.features.registry import Pack
from vostok_core.features.walk import anchor
from vostok_core.hashing import hash_value
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.staleness import Stale, commands
from vostok_core.lake.store import Lake
from vostok_core.market.currency import MarketCurrency
from vostok_core.sentiment.currency import SentimentRules, stale_sentiment
from vostok_core.times import days as each_day
from vostok_core.times import parse_interval


@dataclass(frozen=True)
class Rules:
    """What of `vostok.toml` data are made by.

    Attributes:
        market: `market.days.rules_of` the instrument.
        sentiment: Of the scorer and the universe.
    """

    market: str
    sentiment: SentimentRules


class FeatureCurrency:
    """Looks at the bars and features of an instrument, at each day once.

    Args:
        lake: The lake.
        instrument: Name of the instrument.
        interval: The interval of the bars.
        rules: What data are made by now; left out, they may have been made by other rules.
    """

    def __init__(
        self, lake: Lake, instrument: str, interval: str, rules: Rules | None = None
    ) -> None:
        self.lake = RememberingLake.of(lake)
        self._instrument = instrument
        self._interval = interval
        self._rules = rules
        self._market = MarketCurrency(self.lake, instrument, rules.market if rules else None)
        self._features: dict[tuple[str, date], Stale | None] = {}
        self._sentiment: dict[date, Stale | None] = {}

    def bars(self, day: date) -> Stale | None:
        """What is the matter with the bars of a day, if anything.

        Raises:
            MissingPartition: The day has none.
        """
        return self._market.bars(self._interval, day)

    def features(self, pack: Pack, day: date) -> Stale | None:
        """What is the matter with a pack's features of a day, if anything.

        Raises:
            MissingPartition: The day has none.
        """
        if (pack.name, day) not in self._features:
            self._features[pack.name, day] = self._look_at_features(pack, day)
        return self._features[pack.name, day]

    def _look_at_features(self, pack: Pack, day: date) -> Stale | None:
        asset = f"features/{pack.name}"
        place = {"instrument": self._instrument, "interval": self._interval}
        info = self.lake.info("features", pack=pack.name, **place, date=day)
        start = anchor(day, pack.warmup, parse_interval(self._interval))
        begin = date.fromisoformat(info.inputs.get(BEGINS, str(start)))
        over = list(each_day(begin, day))
        sources = ("bars", "sentiment") if pack.inputs == "sentiment" else ("bars",)
        for of in over:
            beneath = self._source("bars", of)
            if beneath is None and "sentiment" in sources:
                beneath = self._source("sentiment", of)
            if beneath is not None:
                return beneath.beneath(day, asset)
        now = {name: hash_value([self._content(name, d) for d in over]) for name in sources}
        changed = [name for name, value in now.items() if info.inputs.get(name) != value]
        why = ""
        if info.code_version != pack.hash:
            why = "the pack has changed since they were made"
        elif begin > start and self._content("bars", begin - timedelta(days=1)) is not None:
            why = f"they were made when history began on {begin}, and bars of days before have "
            why += "been added since"
        elif changed:
            why = f"{' and '.join(changed)} that they were computed from have changed since"
        return Stale.of(day, why, asset) if why else None

    def _source(self, name: str, day: date) -> Stale | None:
        if self._content(name, day) is None:
            return None  # and the features were made from something: their hash tells
        if name == "bars":
            return self.bars(day)
        if day not in self._sentiment:
            rules = self._rules.sentiment if self._rules else None
            found = stale_sentiment(self.lake, self._instrument, [day], rules)
            self._sentiment[day] = found.get(day)
        return self._sentiment[day]

    def _content(self, name: str, day: date) -> str | None:
        keys = {"instrument": self._instrument}
        if name == "bars":
            keys["interval"] = self._interval
        if not self.lake.exists(name, **keys, date=day):
            return None
        return self.lake.info(name, **keys, date=day).content_hash


def stale_features(
    lake: Lake,
    pack: Pack,
    instrument: str,
    interval: str,
    days: Iterable[date],
) -> dict[date, Stale]:
    """The days whose features the pack would compute otherwise now, and why, in order.

    Raises:
        MissingPartition: They have not been materialized for a day.
    """
    currency = FeatureCurrency(lake, instrument, interval)
    found = {day: currency.features(pack, day) for day in sorted(set(days))}
    return {day: stale for day, stale in found.items() if stale is not None}


def require_current(
    lake: Lake,
    pack: Pack,
    instrument: str,
    interval: str,
    days: Iterable[date],
) -> None:
    """Check that the features of some days are what the pack would compute now.

    Raises:
        MissingPartition: They have not been materialized for a day.
        StalePartition: The pack, or what they were computed from, has changed since or is stale
            itself; or bars have been added that their walk would now begin with.
    """
    stale = stale_features(lake, pack, instrument, interval, days)
    if stale:
        first = min(stale)
        raise StalePartition(
            f"the features of {instrument}, pack {pack.name}, {interval}, are stale on "
            f"{len(stale)} days, first on {first}: {stale[first].why}",
            where=lake.root,
            hint=commands(lake, instrument, interval, stale.values()),
        )
