"""Whether ticks, klines, quality and bars are what would be made now of what has landed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from vostok_core.errors import StalePartition
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.staleness import Stale, commands
from vostok_core.lake.store import Lake
from vostok_core.market.days import (
    ARCHIVE,
    CODE_VERSION,
    KLINE_INTERVAL,
    NOTHING,
    RULES,
    landed_inputs,
    parts_in_use,
    read_otherwise,
)
from vostok_core.market.drift import WRITTEN, written
from vostok_core.market.kept_once import LANDED


class MarketCurrency:
    """Looks at the market data of an instrument, at each day once.

    Args:
        lake: The lake.
        instrument: Name of the instrument.
        rules: `days.rules_of` the instrument as it is declared now; left out, partitions may have
            been made by other rules.
    """

    def __init__(self, lake: Lake, instrument: str, rules: str | None = None) -> None:
        self._lake = RememberingLake.of(lake)
        self._instrument = instrument
        self._rules = rules
        self._merged: dict[tuple[str, date], Stale | None] = {}
        self._inspected: dict[date, Stale | None] = {}
        self._bars: dict[tuple[str, date], Stale | None] = {}

    def merged(self, name: str, day: date) -> Stale | None:
        """What is the matter with the rows of a day of `ticks` or `klines`, if anything.

        They are merged from what has landed of the day, and from nothing else.
        """
        if (name, day) not in self._merged:
            self._merged[name, day] = self._look_at_merged(name, day)
        return self._merged[name, day]

    def inspected(self, day: date) -> Stale | None:
        """What is the matter with a day of `quality`, if anything."""
        if day not in self._inspected:
            self._inspected[day] = self._look_at_quality(day)
        return self._inspected[day]

    def bars(self, interval: str, day: date) -> Stale | None:
        """What is the matter with the bars of a day, if anything.

        Raises:
            MissingPartition: The day has none.
        """
        if (interval, day) not in self._bars:
            self._bars[interval, day] = self._look_at_bars(interval, day)
        return self._bars[interval, day]

    def _look_at_merged(self, name: str, day: date) -> Stale | None:
        if not self._lake.exists(name, **self._keys(name), date=day):
            return None  # what was made from it says so
        info = self._lake.info(name, **self._keys(name), date=day)
        if found := self._other_code(info, day, name):
            return found
        raw = LANDED[name]
        used = parts_in_use(self._lake.parts(raw, **self._keys(raw), date=day))
        if old := read_otherwise(used):
            why = f"files of {day} were read by another version of the readers"
            if any(ARCHIVE not in part.inputs for part in old):
                why += (
                    ", and those that the archive doesn't have must be ingested again (`vostok "
                    f"ingest PATH --instrument {self._instrument} --format FORMAT`) before"
                )
            return Stale.of(day, why, "landed", *_chain(info))
        merged_from = _of_day(info, raw, day)
        if merged_from != landed_inputs(raw, day, used):
            why = f"other files have landed on {day} than its {name} were merged from"
            return Stale.of(day, why, *_chain(info))
        return None

    def _look_at_quality(self, day: date) -> Stale | None:
        if not self._lake.exists("quality", **self._keys("quality"), date=day):
            return None
        info = self._lake.info("quality", **self._keys("quality"), date=day)
        before = {k: v for k, v in info.inputs.items() if k.split("/")[0] in LANDED}
        return (
            self.merged(_merged_of(info), day)
            or self._other_code(info, day, "quality")
            or self._changed(before, day, _chain(info))
            or self._mended_otherwise(info, day)
            or self._written_otherwise(info, day)
        )

    def _mended_otherwise(self, info: PartitionInfo, day: date) -> Stale | None:
        """What has changed of the parts of days before whose repairs were looked at."""
        raw = LANDED[_merged_of(info)]
        for text in {key.split("/")[1] for key in info.inputs if key.startswith(f"{raw}/")}:
            of = date.fromisoformat(text)
            used = parts_in_use(self._lake.parts(raw, **self._keys(raw), date=of))
            if of != day and _of_day(info, raw, of) != landed_inputs(raw, of, used):
                return Stale.of(day, f"other files have landed on {of} since", *_chain(info))
        return None

    def _written_otherwise(self, info: PartitionInfo, day: date) -> Stale | None:
        """What has changed of how files of the day and the day before were said to be written."""
        name = _merged_of(info)
        for key, way in info.inputs.items():
            if not key.startswith(f"{WRITTEN}/"):
                continue
            of = date.fromisoformat(key.split("/")[1])
            if not self._lake.exists(name, **self._keys(name), date=of):
                continue  # it has landed since, and nothing of it is made yet
            parts = self._lake.parts(LANDED[name], **self._keys(name), date=of)
            if written(parts_in_use(parts)) != way:
                return Stale.of(day, f"other files have landed on {of} since", *_chain(info))
        return None

    def _look_at_bars(self, interval: str, day: date) -> Stale | None:
        info = self._lake.info("bars", **self._keys("bars"), interval=interval, date=day)
        if found := self._other_code(info, day, "bars"):
            return found
        recorded = {k: v for k, v in info.inputs.items() if k != RULES}
        return (self.inspected(day) if f"quality/{day}" in recorded else None) or self._changed(
            recorded, day, ("bars",)
        )

    def _other_code(self, info: PartitionInfo, day: date, name: str) -> Stale | None:
        assets = _chain(info)
        if info.code_version != CODE_VERSION:
            return Stale.of(day, f"its {name} were made by another version of the code", *assets)
        if self._rules is not None and info.inputs.get(RULES, self._rules) != self._rules:
            why = f"its {name} were made by other rules of {self._instrument} than vostok.toml has"
            return Stale.of(day, why, *assets)
        return None

    def _changed(
        self, recorded: Mapping[str, str], day: date, assets: tuple[str, ...]
    ) -> Stale | None:
        """What has changed of the inputs that were recorded, or is stale among them."""
        for key in sorted(recorded):
            name, text = key.split("/")
            of = date.fromisoformat(text)
            beneath = self.merged(name, of) if name in LANDED else None
            if beneath is not None:
                return beneath.beneath(day, *assets)
            if self._content(name, of) != recorded[key]:
                return Stale.of(day, f"{key} has changed since they were made", *assets)
        return None

    def _content(self, name: str, day: date) -> str:
        if not self._lake.exists(name, **self._keys(name), date=day):
            return NOTHING
        return self._lake.info(name, **self._keys(name), date=day).content_hash

    def _keys(self, name: str) -> dict[str, str]:
        keys = {"instrument": self._instrument}
        return keys | {"interval": KLINE_INTERVAL} if "klines" in name else keys


def _of_day(info: PartitionInfo, raw: str, day: date) -> dict[str, str]:
    """The landed parts of a day that a partition was made from."""
    return {k: v for k, v in info.inputs.items() if k.startswith(f"{raw}/{day}/")}


def _merged_of(info: PartitionInfo) -> str:
    """Whether a partition comes from `ticks` or from `klines`."""
    tables = {key.split("/")[0] for key in info.inputs}
    # Bars of ticks name klines too, which they are held against.
    of_klines = tables & {"klines", LANDED["klines"]} and not tables & {"ticks", LANDED["ticks"]}
    return "klines" if of_klines else "ticks"


def _chain(info: PartitionInfo) -> tuple[str, ...]:
    return _merged_of(info), "quality", "bars"


def stale_bars(
    lake: Lake, instrument: str, interval: str, days: Iterable[date], rules: str | None = None
) -> dict[date, Stale]:
    """The days whose bars would be built otherwise now, and why, in order of days.

    Args:
        lake: The lake.
        instrument: Its name.
        interval: The interval of the bars.
        days: The days.
        rules: As in `MarketCurrency`.

    Raises:
        MissingPartition: A day has no bars.
    """
    market = MarketCurrency(lake, instrument, rules)
    found = {day: market.bars(interval, day) for day in sorted(set(days))}
    return {day: stale for day, stale in found.items() if stale is not None}


def require_current_bars(
    lake: Lake, instrument: str, interval: str, days: Iterable[date], rules: str | None = None
) -> None:
    """Check that the bars of some days are what would be built of what has landed now.

    Raises:
        MissingPartition: A day has no bars.
        StalePartition: They are not, on the days that the error names.
    """
    stale = stale_bars(lake, instrument, interval, days, rules)
    if stale:
        first = min(stale)
        raise StalePartition(
            f"the {interval} bars of {instrument} are stale on {len(stale)} days, first on "
            f"{first}: {stale[first].why}",
            where=lake.root,
            hint=f"{commands(lake, instrument, interval, stale.values())}, then their features",
        )
