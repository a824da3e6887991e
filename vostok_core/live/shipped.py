"""What daemons of a strategy on an instrument wrote down, read back from the tables `live_*`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
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
        bundle: SHA-256 of the manifest of the bundle in service then.
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

    def days(self) -> list[date]:
        """The days of which there are steps, sorted; some may be empty."""
        return self.lake.days("live_steps", strategy=self.strategy, instrument=self.instrument)

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
                hint="run `vostok-live ship` where its daemon trades, or ask for days on which it "
                "traded",
            )
        return self.lake.read(name, columns=columns, **keys, date=day)

    def read_days(self, name: str, days: Iterable[date]) -> pl.DataFrame:
        """The rows of those of some days that have been shipped, one day after the other."""
        keys = {"strategy": self.strategy, "instrument": self.instrument}
        found = [self.read(name, day) for day in days if self.lake.exists(name, **keys, date=day)]
        return pl.concat(found) if found else table(name).empty()

    def contents(self, day: date) -> dict[str, str]:
        """Content hashes of what the journal says of a day, and of every start of the daemon.

        A day also depends on those before it, whose late trades and whose bars it goes on from;
        what is shipped of these does not change any more.
        """
        keys = {"strategy": self.strategy, "instrument": self.instrument}
        places = [("live_runs", each) for each in self.lake.days("live_runs", **keys)]
        places += [(name, day) for name in _DAILY if self.lake.exists(name, **keys, date=day)]
        return {
            f"{name}/{each}": self.lake.info(name, **keys, date=each).content_hash
            for name, each in places
        }

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
