"""How recordings stand, for a person."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from vostok_core.times import utc
from vostok_live.recorder.status import RecorderStatus, Recording

_LATE = 30.0  # seconds after which a heartbeat is late


def render(status: RecorderStatus, console: Console) -> None:
    """Print it: a line for each instrument, and what a person should look at."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("instrument", "state", "last frame", "trades", "quotes", "depth", "to land"):
        table.add_column(name, justify="left" if name in ("instrument", "state") else "right")
    notes = []
    for each in status.recordings:
        lines = {} if each.heartbeat is None else each.heartbeat.lines
        counts = [f"{lines.get(name, 0):,}" for name in ("trades", "quotes", "depth")]
        table.add_row(each.instrument, state_of(each), _heard(each), *counts, f"{each.waiting}")
        notes += [f"{each.instrument}: {note}" for note in notes_of(each)]
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True, highlight=False)


def state_of(recording: Recording) -> str:
    """One word."""
    if recording.heartbeat is None:
        return "unknown"
    if recording.alive:
        return recording.heartbeat.state
    return "stopped" if recording.heartbeat.state == "stopped" else "killed"


def notes_of(recording: Recording) -> list[str]:
    """What a person should look at."""
    beat = recording.heartbeat
    if beat is None:
        return ["its heartbeat can't be read: start the recorder again"]
    found = []
    if state_of(recording) == "killed":
        found.append("its recorder ended without a word: start `vostok-live record` again")
    elif recording.alive and (recording.heartbeat_age_s or 0.0) > _LATE:
        found.append(f"no heartbeat for {recording.heartbeat_age_s:.0f} s")
    if not recording.alive and recording.waiting:
        found.append("what it wrote has not landed: `vostok-live record land`")
    if beat.trouble:
        found.append(beat.trouble)
    if beat.landing:
        found.append(f"not landed: {beat.landing}")
    if beat.lost:
        found.append(f"{beat.lost} missed trades could not be had")
    if beat.fetched:
        found.append(f"{beat.fetched} missed trades were fetched")
    if beat.depth_breaks:
        found.append(f"the book broke {beat.depth_breaks} times")
    if beat.clock_offset_ms is not None and abs(beat.clock_offset_ms) > 500.0:
        found.append(f"this machine's clock is {beat.clock_offset_ms / 1e3:+.2f} s off")
    return found


def _heard(recording: Recording) -> str:
    beat = recording.heartbeat
    if beat is None or beat.last_frame_us is None:
        return "never"
    if recording.alive and recording.frame_age_s is not None:
        return f"{recording.frame_age_s:.1f} s ago"
    return f"{utc(beat.last_frame_us):%Y-%m-%d %H:%M:%S}"
