"""How recordings stand and what they owe the lake, told by files alone.

The recorder is a process of its own (`vostok-live record`). It leaves a heartbeat and the segments
that have not landed in its folder, and lands the others in the lake.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from vostok_core.hashing import hash_value
from vostok_core.lake.recorder_folder import is_held, open_days, read_heartbeat, segments
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.book_days import (
    BOOK_VERSION,
    MADE,
    RAW,
    book_days,
    book_inputs,
    is_current,
)
from vostok_core.market.instrument import Instrument
from vostok_core.project import Project
from vostok_core.times import SECOND, day_of, spans
from vostok_pipelines.asked import Ask
from vostok_pipelines.metadata import table_markdown
from vostok_pipelines.partitions import date_key, range_tags
from vostok_pipelines.stamps import is_settled, listing

LATE = 60.0
"""Seconds after which a heartbeat is late."""

_BEHIND = 3  # segments beside the open one that may wait to be landed
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class _Stamp:
    """What tells the folders of a day apart from what they were, and when they last changed."""

    newest: int
    content: list[list[str | int]]


_NONE = _Stamp(0, [])


@dataclass(frozen=True)
class Seen:
    """How one recording stands.

    Attributes:
        instrument: Its name.
        state: `recording`, `disconnected`, `starting`, `stopped`, `killed` or `never`.
        frame_age: Seconds since a frame came; none where none did.
        waiting: Segments that have not landed.
        hours: Segments that have landed of today and yesterday.
        seams: Spans of trades in them that were missed and fetched.
        fetched: Trades in those spans.
        newest: End of the newest span that was landed, microseconds; none where none was.
        problems: What a person should look at.
    """

    instrument: str
    state: str
    frame_age: float | None
    waiting: int
    hours: int
    seams: int
    fetched: int
    newest: int | None
    problems: tuple[str, ...]

    @property
    def row(self) -> dict[str, object]:
        """For a table."""
        return {
            "instrument": self.instrument,
            "state": self.state,
            "last frame": "none" if self.frame_age is None else f"{self.frame_age:.0f} s ago",
            "hours landed": self.hours,
            "to land": self.waiting,
            "seams": self.seams,
            "trades fetched": self.fetched,
            "problems": "; ".join(self.problems) or "none",
        }


def look_at(project: Project, instrument: Instrument, now: float | None = None) -> Seen:
    """How the recording of an instrument stands.

    Args:
        project: Where its files are.
        instrument: Which.
        now: Seconds since 1970 by the wall; by default it is asked.
    """
    now = time.time() if now is None else now
    name = str(instrument.id)
    folder = project.recorder_folder / name
    beat = read_heartbeat(folder) or {}
    waiting = len(segments(folder))
    held = is_held(folder)
    state = _state(beat, held=held)
    heard = _number(beat, "last_frame_us")
    frame_age = None if heard is None else max(now - heard / SECOND, 0.0)
    market = _number(beat, "market_ts")
    today = day_of(int(now * SECOND if market is None else market))
    landed = _landed(project.open_lake(), name, today)
    seams = landed.filter(pl.col("kind") == "seam")
    covered = landed.filter(pl.col("kind") == "covered")["end_ts"].to_physical()
    return Seen(
        instrument=name,
        state=state,
        frame_age=frame_age,
        waiting=waiting,
        hours=landed["segment"].n_unique(),
        seams=seams.height,
        fetched=int(seams["count"].sum()),
        newest=None if covered.is_empty() else int(covered.max()),  # type: ignore[arg-type]
        problems=tuple(_problems(instrument, beat, state, waiting, frame_age, now)),
    )


def _state(beat: Mapping[str, Any], *, held: bool) -> str:
    if not beat:
        return "never"
    said = str(beat.get("state"))
    return said if held or said == "stopped" else "killed"


def _problems(
    instrument: Instrument,
    beat: Mapping[str, Any],
    state: str,
    waiting: int,
    frame_age: float | None,
    now: float,
) -> Iterator[str]:
    start = f"start `vostok-live record {instrument.id}`"
    if state in ("never", "stopped", "killed"):
        said = {"never": "it was never recorded", "stopped": "its recorder was stopped"}
        yield f"{said.get(state, 'its recorder ended without a word')}: {start}"
        if waiting:
            yield f"what it wrote has not landed: `vostok-live record land {instrument.id}`"
        return
    beaten = _number(beat, "now_us") or 0.0
    if now - beaten / SECOND > LATE:
        yield f"no heartbeat for {now - beaten / SECOND:.0f} s: see recorder.log in its folder"
    if state == "disconnected":
        yield "no connection carries its streams"
    silence = instrument.max_silence / SECOND
    if frame_age is not None and frame_age > silence:
        yield f"no frame for {frame_age:.0f} s"
    if waiting > 1 + _BEHIND:
        yield f"{waiting} segments have not landed"
    if beat.get("trouble"):
        yield str(beat["trouble"])
    if beat.get("landing"):
        yield f"what was recorded can't be landed: {beat['landing']}"


def _number(beat: Mapping[str, Any], name: str) -> float | None:
    found = beat.get(name)
    return found if isinstance(found, int | float) else None


def _landed(lake: Lake, name: str, today: date) -> pl.DataFrame:
    """What the table `recordings` says of yesterday and today."""
    days = [today - _DAY, today]
    there = [day for day in days if lake.exists("recordings", instrument=name, date=day)]
    frames = [lake.read("recordings", instrument=name, date=day) for day in there]
    return pl.concat([table("recordings").empty(), *frames])


def metadata_of(seen: Sequence[Seen]) -> dict[str, Any]:
    """What Dagster shows of some recordings."""
    ages = [each.frame_age for each in seen if each.frame_age is not None]
    newest = {"newest_frame_age_s": round(min(ages), 1)} if ages else {}
    return newest | {
        "recording": sum(each.state == "recording" for each in seen),
        "hours_landed": sum(each.hours for each in seen),
        "segments_to_land": sum(each.waiting for each in seen),
        "seams": sum(each.seams for each in seen),
        "trades_fetched": sum(each.fetched for each in seen),
        "recordings": table_markdown([each.row for each in seen]),
    }


class DueBooks:
    """The days of recorded books that are over and whole, and not made as they would be now.

    Args:
        project: Where they are.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[tuple[str, str], tuple[str, Mapping[str, str] | None]] = {}

    def look(self, instrument: str, last: date) -> dict[date, Mapping[str, str]]:
        """Those of an instrument from the calendar's start through `last`.

        A day is looked at again when a folder of it, or of the day before, has changed. One that
        something of has not landed is not whole.

        Returns:
            Each, with what it would be made from.
        """
        lake = RememberingLake.of(self._project.open_lake())
        start = self._project.settings.calendar.start
        waiting = open_days(self._project.recorder_folder / instrument)
        stamps = self._stamps(lake, instrument)
        found: dict[date, Mapping[str, str]] = {}
        for day in book_days(lake, instrument):
            if start <= day <= last and day not in waiting:
                due = self._due(lake, instrument, day, stamps)
                if due is not None:
                    found[day] = due
        return found

    def _due(
        self, lake: Lake, instrument: str, day: date, stamps: Mapping[str, _Stamp]
    ) -> Mapping[str, str] | None:
        """What a day would be made from, if it isn't."""
        own = [stamps.get(str(each), _NONE) for each in (day - _DAY, day)]
        stamp = hash_value([each.content for each in own])
        known = self._known.get((instrument, str(day)))
        if known is not None and known[0] == stamp:
            return known[1]
        due = None if is_current(lake, instrument, day) else book_inputs(lake, instrument, day)
        if all(is_settled(each.newest) for each in own):
            self._known[instrument, str(day)] = stamp, due
        return due

    @staticmethod
    def _stamps(lake: Lake, instrument: str) -> dict[str, _Stamp]:
        places = [(name, {"instrument": instrument}) for name in (*RAW, *MADE)]
        found: defaultdict[str, list[tuple[int, list[str | int]]]] = defaultdict(list)
        for day, mtime, entry in listing(lake, places):
            found[day].append((mtime, entry))
        return {
            day: _Stamp(max(mtime for mtime, _ in entries), [entry for _, entry in entries])
            for day, entries in found.items()
        }


def book_asks(due: Mapping[date, Mapping[str, str]], instrument: str) -> Iterator[Ask]:
    """Runs that make the due days of a recorded book: one for each unbroken range."""
    for begin, end in spans(due):
        content = [BOOK_VERSION, *(due[day] for day in sorted(due) if begin <= day <= end)]
        tags = range_tags(date_key(begin, instrument), date_key(end, instrument))
        yield Ask(
            what=f"book of {instrument} from {begin} to {end}",
            content=hash_value(content),
            request=dg.RunRequest(tags=tags),
            command=f"vostok materialize {','.join(MADE)} --instrument {instrument} "
            f"--from {begin} --to {end}",
        )
