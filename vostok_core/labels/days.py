"""A day's partition of labels: made from the lake, and checked against it before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

import polars as pl

from vostok_core.errors import NotYetKnowable
from vostok_core.hashing import hash_value
from vostok_core.labels.events import event_days, flags_by_day, volatility_pack
from vostok_core.labels.triple_barrier import label_events, last_day_needed, undisturbed
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.store import Lake
from vostok_core.market.currency import require_current_bars
from vostok_core.market.days import rules_of
from vostok_core.market.instrument import Instrument
from vostok_core.market.paths import PricePath, bar_path, tick_path
from vostok_core.strategy import Strategy
from vostok_core.times import days as each_day

EXTRA_DAYS = 2
"""Days read beyond those a label should need, when no order of it met a taker in time."""


def label_day(
    lake: Lake, strategy: Strategy, instrument: Instrument, day: date
) -> tuple[pl.DataFrame, dict[str, str]]:
    """The partition of the table `labels` for one day, and the hashes of what it was made from.

    Raises:
        NotYetKnowable: Data of a following day that a label may reach into are not in the lake.
        MissingPartition: Bars, features or quality of the day or before are not in the lake.
        StalePartition: Bars or features that its events come from are not current.
    """
    ((_, frame, inputs),) = label_days(lake, strategy, instrument, [day])
    return frame, inputs


def label_days(
    lake: Lake, strategy: Strategy, instrument: Instrument, days: Iterable[date]
) -> Iterator[tuple[date, pl.DataFrame, dict[str, str]]]:
    """`label_day` for several days, reading every partition once.

    Memory is bounded by the prints of one day and of those that its labels reach into.
    """
    wanted = sorted(set(days))
    # Footers are read before rows, so that a day that is swapped in between is told later by its
    # hash: it is then another one than was recorded.
    lake = RememberingLake.of(lake)
    reader = _Reader(lake, strategy, instrument)
    flags = flags_by_day(lake, strategy, str(instrument.id), wanted)
    for day in wanted:
        yield day, *_label_day(reader, strategy, instrument, day, flags.pop(day))


def _label_day(
    reader: _Reader, strategy: Strategy, instrument: Instrument, day: date, flags: pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, str]]:
    events = flags.filter("event")
    used = list(each_day(day, last_day_needed(strategy, day)))
    reader.require(day, used)
    labels, unfinished = label_events(strategy, instrument, reader.path(used), events)
    for _ in range(EXTRA_DAYS):
        if not unfinished:
            break
        used.append(used[-1] + timedelta(days=1))
        reader.require(day, used)
        labels, unfinished = label_events(strategy, instrument, reader.path(used), events)
    if unfinished:
        raise NotYetKnowable(
            f"{unfinished} labels of {instrument.id} on {day} have met no taker by {used[-1]}",
            hint="the market has stood still for days: leave this day out",
        )
    labels = labels.with_columns(undisturbed(labels, *reader.marks(used)))
    return labels, label_inputs(reader.lake, strategy, instrument, day, used)


def label_inputs(
    lake: Lake, strategy: Strategy, instrument: Instrument, day: date, used: Iterable[date]
) -> dict[str, str]:
    """Hashes of what the labels of a day are made from.

    Args:
        lake: The lake.
        strategy: The strategy.
        instrument: The instrument.
        day: The day of the labels.
        used: The days whose prices they reach into, `day` first.

    Raises:
        MissingPartition: One of them, or of the days that the events are walked over, is absent.
    """
    name = str(instrument.id)

    def content(table: str, d: date) -> str:
        return lake.info(table, **_keys(strategy, name, table), date=d).content_hash

    walked = event_days(lake, strategy, name, day)
    inputs = {"events": hash_value([[content(n, d) for n in ("bars", "features")] for d in walked])}
    days = list(used)
    for table in _sources(instrument):
        inputs |= {f"{table}/{d}": content(table, d) for d in days}
    return inputs


def _sources(instrument: Instrument) -> tuple[str, ...]:
    return ("ticks", "bars", "quality") if instrument.tick != "none" else ("bars",)


def _keys(strategy: Strategy, instrument: str, name: str) -> dict[str, str]:
    keys = {"instrument": instrument}
    if name in {"bars", "features"}:
        keys["interval"] = strategy.file.interval
    if name == "features":
        keys["pack"] = volatility_pack(strategy)
    return keys


class _Reader:
    """The partitions that labels are made from, each read once and dropped when it is past."""

    def __init__(self, lake: Lake, strategy: Strategy, instrument: Instrument) -> None:
        self.lake = lake
        self.strategy = strategy
        self.instrument = instrument
        self.name = str(instrument.id)
        self.ticks = instrument.tick != "none"
        self._frames: dict[tuple[str, date], pl.DataFrame] = {}

    def require(self, day: date, used: list[date]) -> None:
        """Raise unless the prices of every day in `used` are there and current."""
        names = ("ticks", "bars") if self.ticks else ("bars",)
        for name in names:
            for d in used:
                if not self.lake.exists(name, **_keys(self.strategy, self.name, name), date=d):
                    raise NotYetKnowable(
                        f"the labels of {self.name} on {day} reach into {d}, "
                        f"and there are no {name} of that day",
                        where=self.lake.root,
                        hint=f"run `vostok materialize {','.join(names)} --instrument {self.name} "
                        f"--from {d} --to {d}` first, or leave {day} out until {d} is over",
                    )
        rules = rules_of(self.instrument)
        require_current_bars(self.lake, self.name, self.strategy.file.interval, used, rules)

    def _read(self, name: str, used: list[date], columns: tuple[str, ...]) -> pl.DataFrame:
        for key in [k for k in self._frames if k[0] == name and k[1] < used[0]]:
            del self._frames[key]
        for d in used:
            if (name, d) not in self._frames:
                keys = _keys(self.strategy, self.name, name)
                self._frames[name, d] = self.lake.read(name, columns=columns, **keys, date=d)
        return pl.concat([self._frames[name, d] for d in used])

    def path(self, used: list[date]) -> PricePath:
        if self.ticks:
            return tick_path(self._read("ticks", used, ("ts", "price", "buyer_maker")))
        return bar_path(self._bars(used), self.strategy.interval_us)

    def _bars(self, used: list[date]) -> pl.DataFrame:
        return self._read("bars", used, ("ts", "open", "high", "low", "close", "volume", "valid"))

    def marks(self, used: list[date]) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        if not self.ticks:
            return self._bars(used), None
        return self._bars(used), self._read("quality", used, ("end_ts", "invalidates"))
