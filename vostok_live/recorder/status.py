"""How recordings stand: a heartbeat for each instrument, and all of them as one document.

A recorder writes the heartbeat of each of its instruments every few seconds
(`heartbeat.json` in its folder), whole or not at all. `vostok-live record status --json` prints the
document, whose JSON schema is published as `docs/recorder-status.schema.json`. Fields may be added;
none is removed or changes its meaning.

Names that end in `_us` are the wall's time and `ts` is market time, both whole microseconds since
1970 UTC. What is not known is null.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from vostok_core.lake.atomic import replacing
from vostok_core.lake.recorder_folder import HEARTBEAT, instruments, is_held, segments

State = Literal["starting", "recording", "disconnected", "stopped"]


class Heartbeat(Struct, frozen=True):
    """How the recording of one instrument stood when it was last written."""

    version: Annotated[str, Meta(description="of Vostok")]
    instrument: Annotated[str, Meta(description="venue.market.BASE-QUOTE")]
    tick: Annotated[str, Meta(description="what a trade is: agg_trade or trade")]
    exchange: Annotated[str, Meta(description="where: binance, testnet, embedded")]
    url: Annotated[str, Meta(description="of its REST API")]
    host: Annotated[str, Meta(description="machine that records")]
    pid: Annotated[int, Meta(description="process that records")]
    state: Annotated[State, Meta(description="disconnected: no connection carries the streams")]
    started_us: Annotated[int, Meta(description="when the process began to record")]
    now_us: Annotated[int, Meta(description="when this was written")]
    market_ts: Annotated[int, Meta(description="what the market's clock showed then")]
    last_frame_us: Annotated[int | None, Meta(description="when a frame last came")]
    trade_id: Annotated[int | None, Meta(description="of the newest trade that came")]
    trade_ts: Annotated[int | None, Meta(description="when the newest trade was made")]
    next_id: Annotated[
        int | None, Meta(description="trade that is due: all before it, from the first, were had")
    ]
    whole: Annotated[bool, Meta(description="whether no trade is known to be missing")]
    lines: Annotated[
        dict[str, int],
        Meta(description="lines of this process: trades, quotes, depth, and what can't be used"),
    ]
    bytes: Annotated[int, Meta(description="that this process has written")]
    fetched: Annotated[int, Meta(description="missed trades that were fetched")]
    lost: Annotated[int, Meta(description="missed trades that were given up")]
    snapshots: Annotated[int, Meta(description="of the book that were fetched")]
    depth_breaks: Annotated[int, Meta(description="times that changes of the book were missing")]
    connections: Annotated[int, Meta(description="that were made, shared with other instruments")]
    ended: Annotated[dict[str, int], Meta(description="connections that ended, by reason")]
    clock_offset_ms: Annotated[
        float | None,
        Meta(description="the exchange's clock less ours; null where market time is its own"),
    ]
    clock_age_s: Annotated[float | None, Meta(description="since the clock was last read")]
    segment: Annotated[str | None, Meta(description="that is being written")]
    trouble: Annotated[
        str | None, Meta(description="why the exchange didn't answer the newest question")
    ]
    landing: Annotated[str | None, Meta(description="why what was recorded could not be landed")]
    disk_free: Annotated[int, Meta(description="bytes that are free where segments lie")]


class Recording(Struct, frozen=True):
    """One instrument that was recorded or is."""

    instrument: Annotated[str, Meta(description="venue.market.BASE-QUOTE")]
    alive: Annotated[bool, Meta(description="whether a process of this machine records it now")]
    heartbeat_age_s: Annotated[float | None, Meta(description="since the heartbeat was written")]
    frame_age_s: Annotated[float | None, Meta(description="since a frame came, at the heartbeat")]
    waiting: Annotated[int, Meta(description="segments that have not landed, the open one too")]
    heartbeat: Annotated[Heartbeat | None, Meta(description="null where none reads")]


class RecorderStatus(Struct, frozen=True):
    """How all recordings of a lake stand."""

    now_us: Annotated[int, Meta(description="when this was asked")]
    recordings: Annotated[tuple[Recording, ...], Meta(description="by name of the instrument")]


_encoder = msgspec.json.Encoder()
_beat = msgspec.json.Decoder(Heartbeat)


def write_heartbeat(folder: Path, beat: Heartbeat) -> None:
    """Write a heartbeat, whole or not at all.

    Raises:
        OSError: It can't be written.
    """
    with replacing(folder / HEARTBEAT) as temporary:
        temporary.write_bytes(_encoder.encode(beat) + b"\n")


def read_status(root: Path, now_us: int, only: Iterable[str] = ()) -> RecorderStatus:
    """How the recordings of a recorder's folder stand.

    Args:
        root: The folder.
        now_us: The wall's time.
        only: Instruments to look at; none for all.
    """
    wanted = set(only)
    return RecorderStatus(
        now_us,
        tuple(
            _recording(name, folder, now_us)
            for name, folder in instruments(root)
            if not wanted or name in wanted
        ),
    )


def _recording(name: str, folder: Path, now_us: int) -> Recording:
    try:
        beat = _beat.decode((folder / HEARTBEAT).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return Recording(name, is_held(folder), None, None, len(segments(folder)), None)
    heard = beat.last_frame_us
    return Recording(
        instrument=name,
        alive=is_held(folder),
        heartbeat_age_s=(now_us - beat.now_us) / 1e6,
        frame_age_s=None if heard is None else (beat.now_us - heard) / 1e6,
        waiting=len(segments(folder)),
        heartbeat=beat,
    )


def encode(status: RecorderStatus) -> bytes:
    """The document as JSON."""
    return _encoder.encode(status)
