"""What daemons of a strategy on an instrument wrote down, read back from the tables `live_*`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.live.cuts import Cut
from vostok_core.market.ticks import LastTick
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.rules import Rules

_DAILY = (
    "live_ticks", "live_cuts", "live_steps", "live_events", "live_commands", "live_news",
)  # fmt: skip
_CARRIED = ("live_ticks", "live_cuts", "live_events")
"""Those of which a day goes on from the day before."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a run's knowledge of the market begins; runs that share it make the same bars.

    Attributes:
        interval: Length of its bars.
        begin_us: Market time from which on they are made of the journal's trades.
        next_id: Id of the first trade in them.
        previous: The trade before it, if any is known.
        history: Hash of the lake's bars before, which were walked over; empty for none.
    """

    interval: str
    begin_us: int
    next_id: int
    previous: LastTick | None
    history: str


@dataclass(frozen=True, slots=True)
class ShippedRun:
    """A start of the daemon.

    Attributes:
        run: Its number.
        seq: The newest event before it.
        beginning: Where its bars begin.
        engine_version: Version of the engine.
        config: What the engine was told.
        rules: The grid of its integers.
        engine: What the engine knew, as `Engine.snapshot`.
        bundle: SHA-256 of the manifest of the bundle in service then; of a run that saw to exits
            alone, that of the run before.
        name: Its part of client order ids.
        speed: Seconds of market time in a second.
        decide_within: Age of a bar beyond which nothing is entered on it; market time, µs.
        cut_before: End of the newest bars that were cut before it, microseconds; None for none.
        trade_before: Id of the newest trade written down before it; None for none.
    """

    run: int
    seq: int
    beginning: Beginning
    engine_version: str
    config: EngineConfig
    rules: Rules
    engine: dict[str, Any]
    bundle: str
    name: str
    speed: float
    decide_within: int
    cut_before: int | None
    trade_before: int | None

    def had_closed(self, ts: int, newest: int | None) -> bool:
        """Whether a bar closed before the run began, or by a trade that came before it did.

        Args:
            ts: End of the bar, microseconds.
            newest: Id of the newest trade that counts in it or before it; None if not known.
        """
        if self.cut_before is not None and ts <= self.cut_before:
            return True
        return newest is not None and self.trade_before is not None and newest < self.trade_before


@dataclass(frozen=True)
class Shipped:
    """The journal of a strategy on an instrument, as far as it has been shipped.

    Attributes:
        lake: The lake.
        strategy: Name of the strategy.
        instrument: Name of the instrument.
    """

    lake: Lake
    strategy: str
    instrument: str
    _newest: dict[date, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def days(self) -> list[date]:
        """The days of which there are steps, sorted; some may be empty."""
        return self.lake.days("live_steps", strategy=self.strategy, instrument=self.instrument)

    def rows(self, name: str, day: date) -> int:
        """How many rows of a day one of the tables has; 0 if it has not been shipped."""
        keys = {"strategy": self.strategy, "instrument": self.instrument}
        there = self.lake.exists(name, **keys, date=day)
        return self.lake.info(name, **keys, date=day).rows if there else 0

    def is_behind(self, day: date) -> bool:
        """Whether the journal had events, when a day's steps were shipped, that are not there."""
        keys = {"strategy": self.strategy, "instrument": self.instrument}
        seq = int(self.lake.info("live_steps", **keys, date=day).inputs.get("seq", "0"))
        shipped = self.lake.days("live_events", **keys)
        return all(self._newest_event(each) < seq for each in reversed(shipped))

    def _newest_event(self, day: date) -> int:
        """Number of the newest event that stands under a day; 0 for none. It is read once."""
        if day not in self._newest:
            seqs = self.read("live_events", day, ["seq"])["seq"]
            self._newest[day] = int(seqs[-1]) if seqs.len() else 0
        return self._newest[day]

    def read(self, name: str, day: date, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows of a day of one of the tables.

        Raises:
            MissingPartition: The day has not been shipped.
        """
        keys = {"strategy": self.strategy, "instrument": self.instrument}
        if not self.lake.exists(name, **keys, date=day):
            raise MissingPartition(
                f"the journal of {self.strategy} on {self.instrument} has not been shipped for "
                f"{day} ({name})",
                where=self.lake.root,
                hint=f"run `vostok-live ship {self.strategy} --instrument {self.instrument}` where "
                "its daemon trades, or ask for days on which it traded",
            )
        return self.lake.read(name, columns=columns, **keys, date=day)

    def read_days(self, name: str, days: Iterable[date]) -> pl.DataFrame:
        """The rows of those of some days that have been shipped, one day after the other."""
        keys = {"strategy": self.strategy, "instrument": self.instrument}
        found = [self.read(name, day) for day in days if self.lake.exists(name, **keys, date=day)]
        return pl.concat(found) if found else table(name).empty()

    def contents(self, day: date) -> dict[str, str]:
        """Content hashes of what the journal says of a day, and of every start of the daemon.

        A day goes on from the one before it, whose last trades may count in its bars; days farther
        back change only with that one. Its bars are heard of on the days after it: of these it
        matters only whether they have been shipped as far as its own steps have.
        """
        keys = {"strategy": self.strategy, "instrument": self.instrument}
        places = [("live_runs", each) for each in self.lake.days("live_runs", **keys)]
        places += [(name, day - _DAY) for name in _CARRIED]
        places += [(name, day) for name in _DAILY]
        found = {
            f"{name}/{each}": self.lake.info(name, **keys, date=each).content_hash
            for name, each in places
            if self.lake.exists(name, **keys, date=each)
        }
        if self.rows("live_steps", day) and self.is_behind(day):
            found["live_events/later"] = "not shipped"
        return found

    def runs(self) -> list[ShippedRun]:
        """Every start of the daemon, the first first."""
        keys = {"strategy": self.strategy, "instrument": self.instrument}
        rows = self.read_days("live_runs", self.lake.days("live_runs", **keys)).sort("run")
        return [
            _run(row)
            for row in rows.with_columns(_us("ts"), _us("cut_before")).iter_rows(named=True)
        ]

    def cuts(self, day: date) -> list[Cut]:
        """Where the day's bars ended; none if it has not been shipped."""
        rows = self.read_days("live_cuts", [day]).with_columns(_us("ts"))
        return [Cut(*row) for row in rows.select("ts", "last_id", "by").iter_rows()]


def _run(row: dict[str, Any]) -> ShippedRun:
    previous = None if row["previous"] is None else LastTick(**json.loads(row["previous"]))
    return ShippedRun(
        row["run"],
        row["seq"],
        Beginning(row["interval"], row["ts"], row["next_id"], previous, row["history"]),
        row["engine_version"],
        EngineConfig.from_json(json.loads(row["config"])),
        Rules.from_json(json.loads(row["rules"])),
        json.loads(row["engine"]),
        row["bundle"],
        row["name"],
        row["speed"],
        row["decide_within"],
        row["cut_before"],
        row["trade_before"],
    )


def _us(name: str) -> pl.Expr:
    """A column of times as microseconds."""
    return pl.col(name).to_physical()
