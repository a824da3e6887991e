"""What the daemon promises of its time, judged by the world's: when it decides, and when it acts.

| Promise | |
|---|---|
| `ready` | No decision reaches the engine unless both streams were heard lately, in this life. |
| `late` | No decision reaches the engine on a bar that ended longer ago than `decide_within`. |
| `rung` | The engine is called when it asked to be, while the daemon lives and nothing is wrong. |
| `overdue` | What is held is sold at the horizon of its strategy, likewise. |
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.simulation.faults import Storm
from tests.simulation.place import START, Place
from tests.simulation.project import DAY
from vostok_core.times import parse_duration
from vostok_live.daemon.plan import Plan
from vostok_live.journal.reader import Reader

if TYPE_CHECKING:
    from tests.simulation.invariants import Observed

_SILENCE = 19.0  # seconds: a stream that is dead is known to be after 15, and frames come late
_OFF = 1.0  # seconds by which clocks and latencies make a time doubtful
_CALM = 30.0  # seconds without a fault, in which every start and every comparison is through
_RINGS = 3.0  # seconds within which a time that has come is told
_GONE = 5.0  # seconds within which what is to be closed is sold


def promises(
    place: Place, plan: Plan, journal: Reader, observed: Observed, storm: Storm
) -> Iterator[str]:
    """What was promised and not kept."""
    events = journal.read_events(DAY)
    yield from _decided(place, plan, observed, events)
    yield from _rung(place, journal, observed, storm, events)
    yield from _overdue(place, plan, journal, observed, storm)


def _decided(
    place: Place, plan: Plan, observed: Observed, events: Mapping[str, list]
) -> Iterator[str]:
    for wall, kind, body in zip(events["wall_us"], events["kind"], events["body"], strict=True):
        if kind != "BarClosed" or (said := json.loads(body)).get("decision") is None:
            continue
        when = (wall - START) / 1e6
        age = when - (said["ts"] - START) / 1e6 / place.speed
        if age > plan.timing.decide_within / 1e6 + _OFF:
            yield f"late: a decision is told {age:.1f} s after its bar, at {when:.3f}"
        born = min(
            begun for begun, end in observed.lives if begun <= when + _OFF and when - _OFF <= end
        )
        for stream, times in observed.heard.items():
            at = bisect_right(times, when + _OFF)
            last = times[at - 1] if at else -1.0
            if last < max(born, when - _SILENCE):
                yield f"ready: at {when:.3f} a decision is told; {stream} was heard at {last:.3f}"


def _rung(
    place: Place, journal: Reader, observed: Observed, storm: Storm, events: Mapping[str, list]
) -> Iterator[str]:
    heard = dict(zip(events["seq"], events["wall_us"], strict=True))
    rung = [
        (wall - START) / 1e6
        for wall, kind in zip(events["wall_us"], events["kind"], strict=True)
        if kind == "Timer"
    ]
    passed = (place.now - START) / 1e6 / place.speed - _RINGS
    commands = journal.read_commands(DAY)
    for seq, kind, body in zip(commands["seq"], commands["kind"], commands["body"], strict=True):
        if kind != "SetTimer":
            continue
        due = (json.loads(body)["ts"] - START) / 1e6 / place.speed
        # What a bar asks for that was told late may be due already.
        when = max(due, (heard[seq] - START) / 1e6)
        lived = any(begun <= when - _CALM and when + _RINGS <= end for begun, end in observed.lives)
        if not lived or when > passed or storm.troubled(when - _CALM, when + _RINGS):
            continue
        if not any(when - _OFF <= each <= when + _RINGS for each in rung):
            yield f"rung: nobody was told at {when:.1f} what was due at {due:.1f}"


def _overdue(
    place: Place, plan: Plan, journal: Reader, observed: Observed, storm: Storm
) -> Iterator[str]:
    orders = journal.read_orders(DAY)
    entries = [ts for ts, leg in zip(orders["ts"], orders["leg"], strict=True) if leg == "entry"]
    horizon = parse_duration(plan.project.strategy(plan.strategy).file.labels.horizon)
    for entry, following in pairwise([*entries, 2**62]):
        gone = entry + horizon + int(_GONE * 1e6 * place.speed)
        when = (entry + horizon - START) / 1e6 / place.speed
        silent = observed.healed < when + _GONE and when - _CALM < observed.healed
        if silent or storm.troubled(when - _CALM, when + _GONE) or gone > min(place.now, following):
            continue
        lots = sum(f.qty if f.buyer else -f.qty for f in place.fills() if f.ts <= gone)
        if lots > 0:
            yield f"overdue: {lots} lots are held {_GONE:.0f} s after {when:.1f}, their horizon"
