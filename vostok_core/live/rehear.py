"""The engine, told everything again: it must answer every event as it did.

A run begins with what the engine knew. From there on it hears the events that were written down,
and where another run begins it must know what that run wrote down.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from vostok_core.hashing import one_line
from vostok_core.live.shipped import Shipped, ShippedRun
from vostok_core.live.tally import Tally
from vostok_core.times import day_of
from vostok_core.trading.commands import command_to_json
from vostok_core.trading.engine import CODE_VERSION, Engine
from vostok_core.trading.events import event_from_json

Tallies = Mapping[str, Tally]

_COLUMNS = ("seq", "run", "ts", "body")
_DAY = timedelta(days=1)


def rehear(shipped: Shipped, runs: Sequence[ShippedRun], proofs: Mapping[date, Tallies]) -> None:
    """Tell the engine the events of some days again, from the last start before them on.

    Args:
        shipped: The journal.
        runs: Every start of the daemon, the first first.
        proofs: For each day, the tallies that its events are counted in: `answers` (events whose
            whole answer is compared), `commands` (each command) and `runs` (what the engine knew
            when a run began).

    Time is linear in the events since the last start before the days.
    """
    wanted = shipped.read_days("live_events", sorted(proofs))
    if wanted.is_empty():
        return
    first, last = int(wanted["seq"].min()), int(wanted["seq"].max())  # type: ignore[arg-type]
    begun = [run for run in runs if run.seq < first]
    if not begun:
        for day, tallies in proofs.items():
            count = shipped.read_days("live_events", [day]).height
            tallies["answers"].cannot_tell(count, "no start of the daemon was shipped before them")
        return
    start = begun[-1]
    _Listener(start, [run for run in runs if run.run > start.run], proofs).hear(
        _events(shipped, start, last, max(proofs)), _commands(shipped, start, last, max(proofs))
    )


def _between(
    shipped: Shipped, name: str, start: ShippedRun, last: int, until: date
) -> pl.DataFrame:
    """Rows of events after a start, through one of them, with the day that they stand under."""
    keys = {"strategy": shipped.strategy, "instrument": shipped.instrument}
    # A clock that was set back at midnight leaves events under the day before.
    since, until = day_of(start.beginning.begin_us) - _DAY, until + _DAY
    parts = [
        shipped.read(name, day).with_columns(day=pl.lit(day))
        for day in shipped.lake.days(name, **keys)
        if since <= day <= until
    ]
    return pl.concat(parts).filter(pl.col("seq") > start.seq, pl.col("seq") <= last)


def _events(shipped: Shipped, start: ShippedRun, last: int, until: date) -> pl.DataFrame:
    found = _between(shipped, "live_events", start, last, until)
    return found.select(*_COLUMNS, "day").sort("seq").with_columns(pl.col("ts").to_physical())


def _commands(shipped: Shipped, start: ShippedRun, last: int, until: date) -> dict[int, list[str]]:
    found = _between(shipped, "live_commands", start, last, until).sort("seq", "position")
    answers: dict[int, list[str]] = {}
    for seq, body in found.select("seq", "body").iter_rows():
        answers.setdefault(seq, []).append(body)
    return answers


class _Listener:
    """An engine that hears events again, run after run."""

    def __init__(
        self, start: ShippedRun, later: Sequence[ShippedRun], proofs: Mapping[date, Tallies]
    ) -> None:
        self._run = start
        self._later = list(later)
        self._proofs = proofs
        self._engine = Engine.restore(start.config, start.rules, start.engine)
        self._seq = start.seq

    def hear(self, events: pl.DataFrame, answers: Mapping[int, Sequence[str]]) -> None:
        """Hear all events in order, and compare each answer."""
        rows = events.rows(named=True)
        for n, row in enumerate(rows):
            self._begin_runs(row["seq"] - 1, self._proofs.get(row["day"]))
            if row["seq"] != self._seq + 1:
                self._give_up(rows[n:], f"event {self._seq + 1} was not shipped")
                return
            self._seq = row["seq"]
            commands = self._engine.handle(event_from_json(json.loads(row["body"])))
            tallies = self._proofs.get(row["day"])
            if tallies is not None:
                again = [one_line(command_to_json(each)) for each in commands]
                self._compare(tallies, row, answers.get(row["seq"], ()), again)
        self._begin_runs(self._seq, self._proofs[max(self._proofs)])

    def _begin_runs(self, seq: int, tallies: Tallies | None) -> None:
        """Begin the runs that began after an event; each must know what is known now."""
        while self._later and self._later[0].seq == self._seq == seq:
            run = self._run = self._later.pop(0)
            known = self._engine.snapshot()
            if tallies is not None:
                place = f"what the engine knew when run {run.run} began"
                live, batch = _canonical(run.engine), _canonical(known)
                tallies["runs"].texts(self._engine.ts, place, live, batch, self._why())
            self._engine = Engine.restore(run.config, run.rules, known)

    def _compare(
        self, tallies: Tallies, row: dict[str, Any], live: Sequence[str], batch: Sequence[str]
    ) -> None:
        ts, place, why = row["ts"], f"event {row['seq']}", self._why()
        tallies["answers"].texts(ts, place, " ".join(live), " ".join(batch), why)
        for position in range(max(len(live), len(batch))):
            ours = live[position] if position < len(live) else "nothing"
            theirs = batch[position] if position < len(batch) else "nothing"
            tallies["commands"].texts(ts, f"{place}, command {position}", ours, theirs, why)

    def _why(self) -> str:
        wrote = self._run.engine_version
        return "" if wrote == CODE_VERSION else f"engine {wrote} wrote it; this is {CODE_VERSION}"

    def _give_up(self, rows: Sequence[dict[str, Any]], why: str) -> None:
        for row in rows:
            tallies = self._proofs.get(row["day"])
            if tallies is not None:
                tallies["answers"].cannot_tell(1, why)


def _canonical(snapshot: Mapping[str, Any]) -> str:
    """A snapshot as text; the order of its keys means nothing."""
    return json.dumps(snapshot, sort_keys=True, separators=(",", ":"))
