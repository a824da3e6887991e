"""What the engine was told of bars, read back and held against what it should have been told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import polars as pl

from vostok_core.hashing import one_line
from vostok_core.live.shipped import Shipped
from vostok_core.live.tally import Tally, shown
from vostok_core.times import day_of
from vostok_core.trading.events import BarClosed, event_to_json

_DAY = timedelta(days=1)


class Heard:
    """What the engine was told of bars, found by run and bar in whatever day it stands under."""

    def __init__(self, shipped: Shipped) -> None:
        self._shipped = shipped
        keys = {"strategy": shipped.strategy, "instrument": shipped.instrument}
        self._days = shipped.lake.days("live_events", **keys)
        self._read: dict[date, dict[tuple[int, int], tuple[int, str]]] = {}

    def compare(self, tally: Tally, run: int, again: BarClosed) -> None:
        """Compare what the engine was told of a bar with what it should have been told."""
        found = next(self._find(run, again.ts), None)
        batch = one_line(event_to_json(again))
        if found is None and self._shipped.is_behind(day_of(again.ts - 1)):
            tally.cannot_tell(1, "the events of the days after have not been shipped")
            return
        if found is None:
            tally.lack(again.ts, "event", "none", batch, "the engine was not told of the bar")
            return
        _, live = found
        tally.compared += 1
        if live == batch:
            tally.equal += 1
        else:
            tally.differ(again.ts, *_first_field(live, batch))

    def when(self, run: int, ts: int) -> int | None:
        """Market time when the engine was told of a bar, microseconds; None if it was not."""
        found = next(self._find(run, ts), None)
        return None if found is None else found[0]

    def look_for_unmade(self, day: date, steps: pl.DataFrame, tally: Tally) -> None:
        """Count bars that the engine was told of under a day and that are no steps."""
        made = {day: set(zip(steps["run"], steps["ts"].to_physical(), strict=True))}
        for run, ts in self._of(day):
            own = day_of(ts - 1)
            if own not in made:
                rows = self._shipped.read_days("live_steps", [own])
                made[own] = set(zip(rows["run"], rows["ts"].to_physical(), strict=True))
            if (run, ts) not in made[own]:
                tally.lack(ts, "event", "told of a bar", "none", "no step of the run says it")

    def _find(self, run: int, ts: int) -> Iterator[tuple[int, str]]:
        """Under the day of its bar, or a later one: bars are closed late after an outage. Or under
        the day before, by a clock that is behind the exchange's."""
        first = day_of(ts - 1) - _DAY
        for day in self._days:
            if day >= first and (run, ts) in (known := self._of(day)):
                yield known[run, ts]

    def _of(self, day: date) -> dict[tuple[int, int], tuple[int, str]]:
        if day not in self._read:
            rows = self._shipped.read_days("live_events", [day]).filter(kind="BarClosed")
            times = rows["ts"].to_physical()
            self._read[day] = {
                (run, json.loads(body)["ts"]): (ts, body)
                for ts, run, body in zip(times, rows["run"], rows["body"], strict=True)
            }
        return self._read[day]


def _first_field(live: str, batch: str) -> tuple[str, str, str]:
    """The first field in which two events differ: its name, and what each says."""

    def flat(text: str) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(text)
        decision = event.pop("decision") or {}
        return event | {f"decision.{name}": value for name, value in decision.items()}

    ours, theirs = flat(live), flat(batch)
    for name in [*ours, *theirs]:
        said = [
            shown(each[name]) if isinstance(each.get(name), float) else str(each.get(name))
            for each in (ours, theirs)
        ]
        if said[0] != said[1]:
            return name, said[0], said[1]
    return "text", live, batch
